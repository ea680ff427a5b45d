#!/usr/bin/env bash
# matrix.sh [SUITE...]: runs the element's tests on other versions of GStreamer, each in a Debian of its own
# (default: trixie, 1.26, and sid, 1.28). Needs root, debootstrap and unshare; chroot.sh says what is made where.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/chroot.sh

[ $# -gt 0 ] || set -- trixie sid
failed=()
for suite in "$@"; do
    debian "$suite"
    if enter "$suite" sh -ec '
        cargo build "$@" --lib --bins --example boxes
        cargo test "$@" --test element --test element_streaming --test element_live --test element_errors \
            --test metadata --test pipelines --test soak' sh "${flags[@]}"; then
        say "$suite: passed"
    else
        say "$suite: FAILED"
        failed+=("$suite")
    fi
done
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
