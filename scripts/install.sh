#!/usr/bin/env bash
# `make install` and `make uninstall`: install.sh install|uninstall, with PREFIX, DESTDIR and
# GSTPLUGINDIR in the environment. Copies what `make build` built and builds nothing itself, so that
# `sudo make install` leaves no files of root's in the source folder.
set -euo pipefail
cd "$(dirname "$0")/.."

action=$1
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
built=${CARGO_TARGET_DIR:-target}/release
light=$PWD/third_party/libtorch

bin=$prefix/bin
lib=$prefix/lib/casm
share=$prefix/share/casm
own_plugins=$prefix/lib/gstreamer-1.0
gst_plugins=$(pkg-config --variable=pluginsdir gstreamer-1.0)
# Where GStreamer looks in a user's home.
home_plugins=${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}/gstreamer-1.0/plugins

# GStreamer looks in the folder that it was built with, and not below /usr/local. So the default
# prefix, too, puts the plugin there, if it may.
plugins=$own_plugins
if [ -n "${GSTPLUGINDIR:-}" ]; then
    plugins=$GSTPLUGINDIR
elif [ "$prefix" = /usr ] || { [ "$prefix" = /usr/local ] && [ -z "$root" ] && [ -w "$gst_plugins" ]; }; then
    plugins=$gst_plugins
fi

remove() {
    rm -rf "$root$lib" "$root$share"
    rm -f "$root$bin/casm" "$root$plugins/libgstcasm.so" "$root$own_plugins/libgstcasm.so"
    if [ -n "$root" ]; then return; fi
    if [ -L "$home_plugins/libgstcasm.so" ] && [ "$(readlink "$home_plugins/libgstcasm.so")" = "$own_plugins/libgstcasm.so" ]; then
        rm "$home_plugins/libgstcasm.so"
    fi
}

case $action in
uninstall)
    remove
    echo "casm is removed from $root$prefix"
    exit
    ;;
install) ;;
*)
    echo "usage: $0 install|uninstall" >&2
    exit 2
    ;;
esac

for file in libgstcasm.so libcasm.so casm; do
    [ -f "$built/$file" ] || { echo "install: $built/$file is missing; run  make build  first" >&2; exit 1; }
done

# An older casm's libraries must not lie about next to this one's.
remove
# Stripped (-s): the line tables of libtorch's bindings are 98 % of libcasm.so.
install -Dsm755 "$built/libgstcasm.so" "$root$plugins/libgstcasm.so"
install -Dsm755 "$built/libcasm.so" "$root$lib/libcasm.so"
install -Dsm755 "$built/casm" "$root$bin/casm"
# Only builds with CUDA have it; the newest, if cargo has kept older ones.
cuda=$(ls -t "$built"/build/casm-*/out/libcasm_cuda.so 2>/dev/null | head -n 1 || true)
[ -z "$cuda" ] || install -Dsm755 "$cuda" "$root$lib/libcasm_cuda.so"
install -Dm644 -t "$root$share/models" models/*.safetensors

# What libcasm.so was built with, which need not be what the environment names now (sudo clears it).
if readelf -d "$built/libcasm.so" | grep -F 'RUNPATH' | grep -qF "$light/torch/lib"; then
    # torch/ and nvidia/ side by side: libtorch_cpu.so finds the latter by a path relative to itself.
    # libtorch.so, an empty shell that only the linker wants, stays behind.
    (cd "$light" && find torch/lib nvidia ./*.dist-info/licenses -type f ! -name libtorch.so) |
        while read -r file; do install -Dm644 "$light/$file" "$root$lib/libtorch/$file"; done
else
    echo "libtorch is not copied: casm goes on using the one that it was built with"
fi

# One folder with the libraries and their licences; without it casm computes with libtorch.
openvino=$PWD/third_party/openvino
if [ -f "$openvino/.complete" ]; then
    install -Dm644 -t "$root$lib/openvino" "$openvino"/openvino/libs/*
    (cd "$openvino" && find ./*.dist-info/licenses -type f) |
        while read -r file; do install -Dm644 "$openvino/$file" "$root$lib/openvino/$file"; done
fi

echo "casm is installed in $root$prefix, its plugin in $root$plugins"
[ -z "$root" ] || exit 0
if [ "$prefix" = "${HOME:-}/.local" ] && [ "$plugins" = "$own_plugins" ]; then
    install -d "$home_plugins"
    ln -sf "$plugins/libgstcasm.so" "$home_plugins/"
elif [ "$plugins" != "$gst_plugins" ]; then
    echo "for GStreamer to find it:  export GST_PLUGIN_PATH=$plugins"
fi
case $plugins in
"$own_plugins") ;; # finds the engine by a path relative to itself
*) [[ $prefix = /usr || $prefix = /usr/local ]] || echo "and to find its engine:  export CASM_ENGINE_DIR=$lib" ;;
esac
case :$PATH: in *":$bin:"*) ;; *) echo "for the command to be found:  export PATH=$bin:\$PATH" ;; esac
