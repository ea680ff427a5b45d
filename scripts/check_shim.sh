#!/usr/bin/env bash
# Compiles src/cuda/shim.cpp, without CUDA and without a GPU: libtorch's headers are those of `make setup`, CUDA's come
# from PyPI (5.5 MB, into a temporary folder, of the CUDA that libtorch 2.11's wheel is made for). CUDA_HOME names
# others. With CASM_CUDA_LIBS, the lib folder of a libtorch with CUDA, it is linked as well, and every symbol must be
# found. With SHIM, it is built into that file, to find its symbols in the libtorch that is loaded before it.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
torch=${LIBTORCH:-third_party/libtorch/torch}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -f "$torch/include/ATen/cuda/CUDAGraph.h" ] || { echo "no libtorch in $torch; run  make setup  first" >&2; exit 1; }
cuda=${CUDA_HOME:-}/include
if [ -z "${CUDA_HOME:-}" ]; then
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85
    for wheel in "$work"/*.whl; do "$python" -m zipfile -e "$wheel" "$work"; done
    cuda=$work/nvidia/cu13/include
fi

compiler=(${CXX:-c++} -std=c++17 -Wall -Wextra -isystem "$torch/include" -isystem "$cuda")
if [ -n "${SHIM:-}" ]; then
    "${compiler[@]}" -O2 -fPIC -shared src/cuda/shim.cpp -o "$SHIM"
    exit
fi
if [ -z "${CASM_CUDA_LIBS:-}" ]; then
    "${compiler[@]}" -fsyntax-only src/cuda/shim.cpp
    echo "the shim compiles; it was not linked (CASM_CUDA_LIBS) and has not run"
    exit
fi
"${compiler[@]}" -O2 -fPIC -shared src/cuda/shim.cpp -o "$work/libcasm_cuda.so" \
    -L "$CASM_CUDA_LIBS" -ltorch_cuda -lc10_cuda -ltorch_cpu -lc10
# libtorch's own, mangled, of any of its libraries; CUDA's runtime comes with them when they are loaded.
needed=$(nm -D --undefined-only "$work/libcasm_cuda.so" | awk '$2 ~ /^_ZN?K?(2at|3c10)/ { print $2 }' | sort -u)
found=$(for library in torch_cuda c10_cuda torch_cpu c10; do
    nm -D --defined-only "$CASM_CUDA_LIBS/lib$library.so" | awk '{ print $3 }'
done | sed 's/@.*//' | sort -u)
missing=$(comm -23 <(echo "$needed") <(echo "$found"))
[ -z "$missing" ] || { echo "not in libtorch: $missing" >&2; exit 1; }
echo "the shim compiles and links: $(echo "$needed" | wc -l) symbols of libtorch's, all found; it has not run"
