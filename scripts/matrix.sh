#!/usr/bin/env bash
# matrix.sh [SUITE...]: runs the element's tests on other versions of GStreamer, each in a Debian of its own
# (default: trixie, 1.26, and sid, 1.28). Needs root, debootstrap and unshare; the Debians are made once, in
# CASM_CHROOTS (default target/chroots; 2 GB each), from the mirror that this machine uses or DEBIAN_MIRROR.
# Rust, the registry's cache and libtorch are this machine's.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD

say() { printf 'matrix: %s\n' "$*"; }
fail() { printf 'matrix: %s\n' "$*" >&2; exit 2; }

[ "$(id -u)" = 0 ] || fail 'only root may make and enter a chroot: run this with sudo -E'
command -v debootstrap >/dev/null || fail 'debootstrap is missing: apt-get install debootstrap'
[ $# -gt 0 ] || set -- trixie sid
chroots=${CASM_CHROOTS:-$project/target/chroots}
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)*\([^ ]*\) .*/\2/p' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1 || true)}
[ -n "$mirror" ] || fail 'no Debian mirror is known here: name one in DEBIAN_MIRROR'

packages='g++ pkg-config ca-certificates python3 gstreamer1.0-tools gstreamer1.0-libav
libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad'

# enter SUITE COMMAND...: in a mount namespace of its own, so that nothing stays mounted.
enter() {
    local root=$chroots/$1
    shift
    mkdir -p "$root/casm" "$root/host/rustup" "$root/host/cargo" "$root/host/data"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$root/host/ca.crt"
    cp -n /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/*registry* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    unshare -m --propagation private bash -c '
        set -e
        root=$1 project=$2 rustup=$3 cargo=$4 data=$5
        shift 5
        mount --bind "$project" "$root/casm"
        mount --bind -o ro "$rustup" "$root/host/rustup"
        mount --bind "$cargo" "$root/host/cargo"
        [ ! -d "$data" ] || mount --bind -o ro "$data" "$root/host/data"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            PATH=/host/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            RUSTUP_HOME=/host/rustup CARGO_HOME=/host/cargo RUSTUP_AUTO_INSTALL=0 \
            SSL_CERT_FILE=/host/ca.crt CARGO_HTTP_CAINFO=/host/ca.crt \
            CASM_TEST_DATA=/host/data LIBTORCH="/casm/third_party/libtorch/torch" \
            ${CARGO_BUILD_JOBS:+CARGO_BUILD_JOBS="$CARGO_BUILD_JOBS"} ${CASM_WRITE_TABLES:+CASM_WRITE_TABLES=1} sh -c "cd /casm && exec \"\$@\"" sh "$@"
    ' bash "$root" "$project" "${RUSTUP_HOME:-$HOME/.rustup}" "${CARGO_HOME:-$HOME/.cargo}" \
        "$(realpath "${CASM_TEST_DATA:-../shared/data}" 2>/dev/null || echo /nowhere)" "$@"
}

[ -d third_party/libtorch/torch ] || python3 scripts/libtorch.py

failed=()
for suite in "$@"; do
    if [ ! -e "$chroots/$suite/.ready" ]; then
        say "making a Debian $suite in $chroots/$suite"
        mkdir -p "$chroots"
        [ -e "$chroots/$suite/bin/sh" ] || debootstrap --variant=minbase "$suite" "$chroots/$suite" "$mirror"
        # shellcheck disable=SC2086
        enter "$suite" sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends "$@" && apt-get clean' sh $packages
        touch "$chroots/$suite/.ready"
    fi
    version=$(enter "$suite" pkg-config --modversion gstreamer-1.0)
    minor=$(cut -d. -f2 <<<"$version")
    feature=
    for known in 28 26 24; do
        if [ "$minor" -ge "$known" ]; then feature=v1_$known; break; fi
    done
    flags=(--release --workspace --locked --target-dir "target/matrix/$suite")
    [ -z "$feature" ] || flags+=(--features "gst-plugin-casm/$feature,casm-tests/$feature")
    say "$suite: GStreamer $version, ${feature:-no analytics metadata}"
    if enter "$suite" sh -ec '
        cargo build "$@" --lib --bins
        cargo test "$@" --test element --test element_streaming --test element_live --test element_errors \
            --test metadata --test pipelines' sh "${flags[@]}"; then
        say "$suite: passed"
    else
        say "$suite: FAILED"
        failed+=("$suite")
    fi
done
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
