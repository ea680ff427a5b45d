#!/bin/sh
# Endurance, disorder and damage at length; `make soak` builds first. The results are a table in OUT/soak.md.
#
#   FRAMES           frames through each of three pipelines            100000
#   RENEGOTIATIONS   changes of format, size, layout and properties      2000
#   INTERRUPTIONS    sequences of flushes, seeks, pauses, restarts       1000
#   OVERLOAD         seconds of a live source four times as fast as the model  600
#   DAMAGED          damaged model files of each kind                   10000
#   LEAK_FRAMES      frames of each pipeline under GStreamer's leak tracer  500
#   RECONNECTS       times that a camera on the network goes away            20
#   SEED             what happens by chance                                 1
#   OUT              where the table goes                            soak-out
set -eu

: "${FRAMES:=100000}" "${RENEGOTIATIONS:=2000}" "${INTERRUPTIONS:=1000}" "${DAMAGED:=10000}"
: "${OVERLOAD:=600}" "${LEAK_FRAMES:=500}" "${RECONNECTS:=20}" "${SEED:=1}" "${OUT:=soak-out}"
: "${CARGO:=cargo}" "${CARGO_FLAGS:=--release --workspace --locked}" "${PLUGINS:=target/release/gstreamer-1.0}"

mkdir -p "$OUT"
report=$(cd "$OUT" && pwd)/soak.md
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
{
    echo "Commit $commit, $(date -u +%Y-%m-%d), $processor, $(gst-launch-1.0 --version | sed -n 2p), seed $SEED."
    echo
    echo '| what | times | result |'
    echo '|---|---|---|'
} >"$report"

failed=0
step() {
    echo "== $*" >&2
    "$@" || failed=1
}

# One pipeline after the other: their memory is that of one process.
export CASM_SOAK_REPORT="$report" CASM_SOAK_FRAMES="$FRAMES" CASM_SOAK_RENEGOTIATIONS="$RENEGOTIATIONS"
export CASM_SOAK_INTERRUPTIONS="$INTERRUPTIONS" CASM_SOAK_SEED="$SEED" CASM_DAMAGE_COUNT="$DAMAGED"
export CASM_SOAK_STAND_IN_FRAMES="$FRAMES"
# Without the C library's caches of each thread: they fill over thousands of frames, which looks like a leak.
# shellcheck disable=SC2086 # several words on purpose
step env GLIBC_TUNABLES=glibc.malloc.tcache_count=0 \
    $CARGO test $CARGO_FLAGS --test damage --test soak --test element_allocation -- --nocapture --test-threads=1

# Twice: in the streaming thread, and with frames that wait inside.
# shellcheck disable=SC2086 # several words on purpose
step env CASM_SOAK_SECONDS="$OVERLOAD" \
    $CARGO test $CARGO_FLAGS --test element_live -- --nocapture --test-threads=1 at_four_times the_same_with_frames

# The tracer tells at the end of a program which of GStreamer's objects are still alive.
leaks() {
    name=$1
    shift
    log=$(mktemp)
    code=0
    GST_PLUGIN_PATH="$PLUGINS" GST_TRACERS=leaks GST_DEBUG='GST_TRACER:7' GST_DEBUG_NO_COLOR=1 \
        gst-launch-1.0 -q "$@" >"$log" 2>&1 || code=$?
    # The tracer also logs the format of such a line.
    grep 'object-alive, type-name=' "$log" | grep -v 'new format' >"$log.alive" || true
    alive=$(wc -l <"$log.alive")
    if [ "$code" -eq 0 ] && [ "$alive" -eq 0 ]; then
        echo "| leak tracer: $name | $LEAK_FRAMES frames | clean |" >>"$report"
    else
        echo "| leak tracer: $name | $LEAK_FRAMES frames | **exit $code, $alive objects alive** |" >>"$report"
        head -n 5 "$log.alive" >&2
        grep -v GST_TRACER "$log" | tail -n 5 >&2
        failed=1
    fi
    rm -f "$log" "$log.alive"
}
# shellcheck disable=SC2086 # the words of a pipeline
{
    source="videotestsrc pattern=ball num-buffers=$LEAK_FRAMES ! video/x-raw"
    leaks 'NV12, contour' \
        $source,format=NV12,width=320,height=240 ! casmesaliency overlay=contour ! fakesink
    leaks 'RGB, every second frame, objects with numbers, messages, heat map' \
        $source,format=RGB,width=322,height=181 ! queue ! casmesaliency overlay=heatmap inference-interval=2 \
        max-objects=4 tracking=true mask-smoothing=0.5 post-messages=true ! queue ! fakesink
    leaks 'I420 through a tee, thresholded at the mean, converted' \
        $source,format=I420,width=480,height=270 ! tee name=t t. ! queue ! casmesaliency binarization=mean overlay=box ! \
        videoconvert ! video/x-raw,format=BGRx ! fakesink t. ! queue ! fakesink
}

camera() {
    code=0
    # One arena: else what is free in the others' looks like a leak that comes and goes.
    MALLOC_ARENA_MAX=1 GST_PLUGIN_PATH="$PLUGINS" "$(dirname "$0")/soak_camera.py" --reconnects "$RECONNECTS" || code=$?
    case $code in
        0) ;;
        77) echo '| RTSP camera | 0 reconnects | skipped: its Python bindings are missing |' >>"$report" ;;
        *) echo "| RTSP camera | $RECONNECTS reconnects | **failed** |" >>"$report"; return 1 ;;
    esac
}
step camera

cat "$report"
[ "$failed" -eq 0 ] || echo 'make soak: something failed; see above' >&2
exit "$failed"
