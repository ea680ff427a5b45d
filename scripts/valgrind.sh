#!/bin/sh
# The element under valgrind from start to stop, one frame each: what it loses or reads wrongly, libtorch aside.
#
#   PLUGINS  the folder of libgstcasm.so   target/release/gstreamer-1.0
#   OUT      valgrind's whole log          valgrind.log
set -eu

: "${PLUGINS:=target/release/gstreamer-1.0}" "${OUT:=valgrind.log}"

command -v valgrind >/dev/null || {
    echo 'valgrind is missing: apt-get install valgrind' >&2
    exit 1
}
here=$(cd "$(dirname "$0")" && pwd)
# In this process, or the scanner's children would be counted; one allocator for all, so that valgrind sees every block.
export GST_PLUGIN_PATH="$PLUGINS" GST_REGISTRY_FORK=no G_SLICE=always-malloc OMP_NUM_THREADS=1
# Without AVX-512, which valgrind does not know, oneDNN and OpenVINO take what it does.
export ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
code=0
valgrind -s --log-file="$OUT" --error-exitcode=9 --errors-for-leak-kinds=definite --leak-check=full \
    --show-leak-kinds=definite --num-callers=30 --suppressions="$here/valgrind.supp" \
    gst-launch-1.0 -q videotestsrc num-buffers=2 ! video/x-raw,width=64,height=48 ! \
    casmesaliency overlay=heatmap threads=1 device=cpu engine=torch ! fakesink || code=$?
grep -E 'definitely lost|ERROR SUMMARY|FATAL|SIGILL' "$OUT" || true
exit "$code"
