#!/usr/bin/env bash
# upstream.sh: writes docs/performance-upstream.md, which compares casmesaliency with GStreamer 1.28's own onnxinference:
# the same model, the same clip, the same core, in a Debian sid of its own (chroot.sh says what is made where).
# CLIP: a video file (default: intel-car-detection.mp4 of the test data). MODELS: checkpoints beside the built-in model.
# CORE: the one that everything is bound to (default: the last one allowed). ROUNDS: of each (default 7).
# OpenVINO takes part if it is in third_party/openvino or CASM_OPENVINO_DIR. ONNXRUNTIME: the folder of another
# libonnxruntime.so, such as onnxruntime/capi of PyPI's wheel, which upstream's element is tried with as well.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/chroot.sh

clip=${CLIP:-${CASM_TEST_DATA:-../shared/data}/clips/intel-car-detection.mp4}
core=${CORE:-$(taskset -cp $$ | sed 's/.*[-,: ]//')}
for file in "$clip" ${MODELS:-}; do
    [ -r "$file" ] || fail "'$file' cannot be read; CLIP names a video file, MODELS checkpoints"
done
debian sid
work=target/upstream
release=target/matrix/sid/release
rm -rf "$work"
mkdir -p "$work" "$release/gstreamer-1.0"
cp "$clip" "$work/clip.${clip##*.}"
settings=(--release "$release" --work "$work" --clip "clip.${clip##*.}" --name "$(basename "$clip")"
    --core "$core" --rounds "${ROUNDS:-7}" --load "$(cut -d' ' -f1 /proc/loadavg)")
commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit+=' with changes'
settings+=(--commit "$commit")
[ ! -d "${CASM_OPENVINO_DIR:-third_party/openvino}" ] || settings+=(--openvino)

say 'building'
enter sid cargo build "${flags[@]}" --features casm-examples/v1_26 --lib --bins --example player
ln -sf ../libgstcasm.so "$release/gstreamer-1.0/"

# export_model [MODEL.safetensors]: writes its graph, folded and not.
export_model() {
    local name arguments=()
    name=$(basename "${1:-built-in}" .safetensors)
    say "exporting $name"
    if [ $# -gt 0 ]; then
        cp "$1" "$work/$name.safetensors"
        arguments=(--model "$work/$name.safetensors")
    fi
    enter sid "$release/casm" export --onnx "$work/$name.onnx" "${arguments[@]}"
    enter sid "$release/casm" export --onnx "$work/$name-unfolded.onnx" --unfolded "${arguments[@]}"
    settings+=(--model "$name")
}
export_model
for model in ${MODELS:-}; do export_model "$model"; done

if [ -n "${ONNXRUNTIME:-}" ]; then
    other=$(find "$ONNXRUNTIME" -maxdepth 1 -name 'libonnxruntime.so.*' | head -n 1)
    [ -n "$other" ] || fail "ONNXRUNTIME: there is no libonnxruntime.so.* in '$ONNXRUNTIME'"
    mkdir "$work/onnxruntime"
    cp -L "$other" "$work/onnxruntime/other.so"
    # Debian's element asks for a symbol version of Debian's, which others do not have, though their function answers
    # for all earlier versions: a library of that name stands between.
    cat >"$work/onnxruntime/between.c" <<'END'
#include <dlfcn.h>
const void *OrtGetApiBase(void) {
    void *other = dlopen("/casm/target/upstream/onnxruntime/other.so", RTLD_NOW | RTLD_LOCAL);
    const void *(*base)(void) = other ? (const void *(*)(void))dlsym(other, "OrtGetApiBase") : 0;
    return base ? base() : 0;
}
END
    enter sid sh -ec '
        cd target/upstream/onnxruntime
        name=$(readelf -d /usr/lib/*/gstreamer-1.0/libgstonnx.so | sed -n "s/.*\[\(libonnxruntime[^]]*\)\].*/\1/p")
        echo "VERS_${name#libonnxruntime.so.} { global: OrtGetApiBase; local: *; };" >between.map
        cc -shared -fPIC -O2 -Wl,-soname,"$name" -Wl,--version-script=between.map -o "$name" between.c'
    settings+=(--onnxruntime "${other##*.so.}")
fi

say 'measuring'
enter sid taskset -c "$core" python3 scripts/upstream.py "${settings[@]}" >"$work/page.md"
mv "$work/page.md" docs/performance-upstream.md
cat docs/performance-upstream.md
