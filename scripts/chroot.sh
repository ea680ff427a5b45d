# chroot.sh: sourced by matrix.sh and upstream.sh, in the project's folder: other versions of GStreamer, each in a
# Debian of its own. Needs root, debootstrap and unshare; the Debians are made once, in CASM_CHROOTS (default
# target/chroots; 2 GB each), from the mirror that this machine uses or DEBIAN_MIRROR. Rust, the registry's cache,
# libtorch and OpenVINO are this machine's.
# shellcheck shell=bash
project=$PWD
chroots=${CASM_CHROOTS:-$project/target/chroots}

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
fail() { say "$@" >&2; exit 2; }

# libonnx-dev is not needed: gstreamer1.0-plugins-bad of sid brings onnxinference and ONNX Runtime.
packages='g++ pkg-config ca-certificates python3 gstreamer1.0-tools gstreamer1.0-libav
libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad'

# enter SUITE COMMAND...: in a mount namespace of its own, so that nothing stays mounted.
enter() {
    local root=$chroots/$1 inside variable data openvino
    shift
    mkdir -p "$root/casm" "$root/host/rustup" "$root/host/cargo" "$root/host/data" "$root/host/openvino"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$root/host/ca.crt"
    cp -n /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/*registry* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    inside=(HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
        PATH=/host/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        RUSTUP_HOME=/host/rustup CARGO_HOME=/host/cargo RUSTUP_AUTO_INSTALL=0
        SSL_CERT_FILE=/host/ca.crt CARGO_HTTP_CAINFO=/host/ca.crt
        CASM_TEST_DATA=/host/data LIBTORCH=/casm/third_party/libtorch/torch)
    for variable in CARGO_BUILD_JOBS CASM_WRITE_TABLES; do
        [ -z "${!variable:-}" ] || inside+=("$variable=${!variable}")
    done
    data=$(realpath "${CASM_TEST_DATA:-../shared/data}" 2>/dev/null || echo /nowhere)
    openvino=/nowhere
    if [ -n "${CASM_OPENVINO_DIR:-}" ]; then
        openvino=$(realpath "$CASM_OPENVINO_DIR")
        inside+=(CASM_OPENVINO_DIR=/host/openvino)
    fi
    unshare -m --propagation private bash -c '
        set -e
        root=$1 project=$2 rustup=$3 cargo=$4 data=$5 openvino=$6
        shift 6
        mount --bind "$project" "$root/casm"
        mount --bind -o ro "$rustup" "$root/host/rustup"
        mount --bind "$cargo" "$root/host/cargo"
        [ ! -d "$data" ] || mount --bind -o ro "$data" "$root/host/data"
        [ ! -d "$openvino" ] || mount --bind -o ro "$openvino" "$root/host/openvino"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        exec chroot "$root" /usr/bin/env -i "$@"
    ' bash "$root" "$project" "${RUSTUP_HOME:-$HOME/.rustup}" "${CARGO_HOME:-$HOME/.cargo}" "$data" "$openvino" \
        "${inside[@]}" sh -c 'cd /casm && exec "$@"' sh "$@"
}

# debian SUITE: makes it, unless it is there; sets version to that of its GStreamer, flags to those of cargo.
debian() {
    local mirror minor known feature=
    [ "$(id -u)" = 0 ] || fail 'only root may make and enter a chroot: run this with sudo -E'
    [ -d third_party/libtorch/torch ] || python3 scripts/libtorch.py
    if [ ! -e "$chroots/$1/.ready" ]; then
        command -v debootstrap >/dev/null || fail 'debootstrap is missing: apt-get install debootstrap'
        mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)*\([^ ]*\) .*/\2/p' \
            /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1 || true)}
        [ -n "$mirror" ] || fail 'no Debian mirror is known here: name one in DEBIAN_MIRROR'
        say "making a Debian $1 in $chroots/$1"
        mkdir -p "$chroots"
        [ -e "$chroots/$1/bin/sh" ] || debootstrap --variant=minbase "$1" "$chroots/$1" "$mirror"
        # shellcheck disable=SC2086
        enter "$1" sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends "$@" && apt-get clean' sh $packages
        touch "$chroots/$1/.ready"
    fi
    version=$(enter "$1" pkg-config --modversion gstreamer-1.0)
    minor=$(cut -d. -f2 <<<"$version")
    for known in 28 26 24; do
        if [ "$minor" -ge "$known" ]; then feature=v1_$known; break; fi
    done
    flags=(--release --workspace --locked --target-dir "target/matrix/$1")
    [ -z "$feature" ] || flags+=(--features "gst-plugin-casm/$feature,casm-tests/$feature")
    say "$1: GStreamer $version, ${feature:-no analytics metadata}"
}
