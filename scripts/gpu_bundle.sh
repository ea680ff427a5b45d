#!/usr/bin/env bash
# `make gpu-bundle`: target/gpu-bundle, a folder for a machine with a GPU and Python's torch 2.11 with CUDA, and nothing
# else: no Rust, no GStreamer. `run.sh` in it is `make gpu-check` and `make bench-gpu`, without the element. Built with
# libtorch for the CPU; the programs take the one with CUDA that they find there.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
built=${CARGO_TARGET_DIR:-target}/release
bundle=${CARGO_TARGET_DIR:-target}/gpu-bundle
check=$1 # the test program
[ -f "$check" ] || { echo "no test program: cargo must name it (unset CARGO_TERM_QUIET)" >&2; exit 1; }

rm -rf "$bundle"
mkdir -p "$bundle/golden"
PYTHON=$python SHIM=$bundle/libcasm_cuda.so scripts/check_shim.sh
install -sm755 "$check" "$bundle/gpu_check"
install -sm755 "$built/examples/bench_gpu" "$bundle/bench_gpu"
cp -r tests/data/golden/. "$bundle/golden/"
cat >"$bundle/run.sh" <<END
#!/usr/bin/env bash
# Tests, then measurements into performance-gpu.md in this folder; options are bench_gpu's. LIBTORCH names a libtorch
# with CUDA, else it is that of python3.
set -uo pipefail
cd "\$(dirname "\$0")"
lib=\${LIBTORCH:+\$LIBTORCH/lib}
[ -n "\$lib" ] || lib=\$(python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || exit 2
export LD_LIBRARY_PATH=\$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export CASM_GOLDEN_DIR=\$PWD/golden CASM_COMMIT=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
NVIDIA_TF32_OVERRIDE=0 ./gpu_check --test-threads 1
checked=\$?
./bench_gpu --out performance-gpu.md "\$@" || exit
exit \$checked
END
chmod +x "$bundle/run.sh"
du -sh "$bundle"
