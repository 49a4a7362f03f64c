#!/bin/sh
# Type-checks the trainer for NVIDIA's and Apple's GPUs on a Linux machine that has none of them.
# CUDA: nvcc and the headers come from PyPI, so candle's kernels are compiled as well; neither a driver nor a GPU is needed, and nothing is run.
# Metal: for aarch64-apple-darwin; a check links nothing, so the C parts of dependencies are left out.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}/gpu
mkdir -p "$target/no-c"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR="$target"

python3 -m venv "$target/cuda"
"$target/cuda/bin/pip" install -q 'nvidia-cuda-nvcc==13.5.*' 'nvidia-nvvm==13.5.*' 'nvidia-cuda-crt==13.5.*' 'nvidia-cuda-runtime==13.5.*' \
    'nvidia-cuda-nvrtc==13.5.*' nvidia-cuda-cccl nvidia-cublas nvidia-curand
cuda=$(echo "$target"/cuda/lib/python3*/site-packages/nvidia/cu13)
# cudarc knows versions up to 13.4 by number; what we call of CUDA is far older.
PATH="$cuda/bin:$PATH" CUDA_HOME="$cuda" CUDA_PATH="$cuda" CUDA_ROOT="$cuda" CUDA_TOOLKIT_ROOT_DIR="$cuda" CUDA_COMPUTE_CAP=80 CUDARC_CUDA_VERSION=13040 \
    cargo check --locked -p trainer --all-targets --features cuda

printf '#!/bin/sh\nwhile [ $# -gt 0 ]; do if [ "$1" = -o ]; then : > "$2"; fi; shift; done\n' > "$target/no-c/cc"
printf '#!/bin/sh\nfor file; do case "$file" in *.a) : > "$file";; esac; done\n' > "$target/no-c/ar"
chmod +x "$target/no-c/cc" "$target/no-c/ar"
rustup target add aarch64-apple-darwin
CC_aarch64_apple_darwin="$target/no-c/cc" AR_aarch64_apple_darwin="$target/no-c/ar" \
    cargo check --locked -p trainer --all-targets --features metal --target aarch64-apple-darwin
