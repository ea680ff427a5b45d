#!/usr/bin/env bash
# Makes this machine ready to build casm: system packages, Rust (checked only) and libtorch.
# Does only what is missing, so that every `make` target can afford to run it first.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

# A GStreamer of one's own (not Debian's, under /usr) needs none of Debian's packages.
own_gstreamer() {
    local prefix
    prefix=$(pkg-config --variable=prefix gstreamer-1.0 2>/dev/null) && [ "$prefix" != /usr ]
}

# package: why
packages='g++: C++ compiler, for the bindings to libtorch
pkg-config: finds GStreamer for the build
ca-certificates: for downloads
python3: fetches libtorch'
gstreamer='libgstreamer1.0-dev: GStreamer, to build against
libgstreamer-plugins-base1.0-dev: its video library, to build against
gstreamer1.0-tools: gst-launch-1.0 and gst-inspect-1.0
gstreamer1.0-plugins-base: sources, converters, overlays
gstreamer1.0-plugins-good: MP4, WebM, VP8, JPEG and PNG
gstreamer1.0-plugins-bad: H.264 parser and encoder
gstreamer1.0-libav: H.264 decoder'

install_packages() {
    own_gstreamer || packages+=$'\n'$gstreamer
    local installed missing=() name why run=()
    installed=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' | sed -n 's/^\([^ :]*\).* installed$/\1/p')
    while IFS=: read -r name why; do
        [ "$name" = python3 ] && command -v python3 >/dev/null && continue
        grep -qxF "$name" <<<"$installed" && continue
        [ ${#missing[@]} -gt 0 ] || say 'installing these packages:'
        printf '    %-34s%s\n' "$name" "$why"
        missing+=("$name")
    done <<<"$packages"
    [ ${#missing[@]} -gt 0 ] || return 0

    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "neither root nor sudo; have somebody run: apt-get install ${missing[*]}"
        run=(sudo)
    fi
    run+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600)
    # A stale list names files that are gone from the mirror.
    if ! "${run[@]}" update || ! "${run[@]}" install -y --no-install-recommends "${missing[@]}"; then
        fail 'apt-get did not succeed (its messages are above); run this again when that is mended'
    fi
}

check_packages() {
    local missing=()
    command -v g++ >/dev/null || command -v clang++ >/dev/null || missing+=('a C++ compiler')
    command -v python3 >/dev/null || missing+=(python3)
    pkg-config --exists gstreamer-1.0 gstreamer-video-1.0 gstreamer-app-1.0 gstreamer-check-1.0 2>/dev/null ||
        missing+=('GStreamer >= 1.22 (core and plugins-base) with development files, and pkg-config')
    command -v gst-launch-1.0 >/dev/null || missing+=("GStreamer's command line tools")
    [ ${#missing[@]} -eq 0 ] && return
    say 'only Debian and its derivatives are set up by this script. Debian names what is needed:'
    printf '%s\n' "$packages" "$gstreamer"
    fail 'missing here:' "${missing[@]/#/    }"
}

check_rust() {
    local want have
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! have=$(rustc --version 2>/dev/null) || ! command -v cargo >/dev/null; then
        [ ! -f "$HOME/.cargo/env" ] || fail "Rust is installed but not on PATH: run  . ~/.cargo/env"
        fail "Rust >= $want is missing. Install it, then run this again:" \
            "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    fi
    have=${have#rustc }
    printf '%s\n' "$want" "${have%%[- ]*}" | sort -V -C ||
        fail "Rust >= $want is needed, and this is ${have%% *}. Run: rustup update stable"
}

# tch compares versions, too, but deep in the output of a build script.
check_libtorch() {
    local want=$1 have=$2 where=$3
    [ "${have%%+*}" = "$want" ] && return
    fail "$where is torch $have, but tch 0.24 wants $want. Install torch==$want there, or unset" \
        'LIBTORCH and LIBTORCH_USE_PYTORCH: then the CPU-only libtorch is fetched.'
}

setup_libtorch() {
    local want have python=python3
    want=$(sed -n 's/^TORCH = "\(.*\)"/\1/p' scripts/libtorch.py)
    if [ -n "${LIBTORCH_USE_PYTORCH+set}" ]; then # as torch-sys does: also when empty
        [ -z "${VIRTUAL_ENV+set}" ] || python=python
        have=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null) ||
            fail "LIBTORCH_USE_PYTORCH is set, but $python finds no torch. Try: $python -m pip install torch==$want"
        check_libtorch "$want" "$have" "$(command -v "$python")'s"
    elif [ -n "${LIBTORCH:-}" ]; then
        [ -f "$LIBTORCH/lib/libtorch_cpu.so" ] ||
            fail "LIBTORCH is $LIBTORCH, but there is no lib/libtorch_cpu.so in it. Unset it to have libtorch fetched."
        # libtorch's archives have the one file, Python's package the other.
        have=$(cat "$LIBTORCH/build-version" 2>/dev/null ||
            sed -n "s/^__version__ = '\(.*\)'/\1/p" "$LIBTORCH/version.py" 2>/dev/null) || have=
        [ -z "$have" ] || check_libtorch "$want" "$have" "$LIBTORCH"
    elif [ ! third_party/libtorch/.complete -nt scripts/libtorch.py ]; then
        python3 scripts/libtorch.py
    fi
}

if command -v apt-get >/dev/null; then install_packages; else check_packages; fi
check_rust
setup_libtorch
