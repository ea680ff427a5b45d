#!/usr/bin/env bash
# Runs a pipeline of this folder: pipelines/run.sh NAME [VARIABLE=VALUE ...]
#
# A .launch file is a comment and a pipeline in the words of gst-launch-1.0. Lines `# NAME=value  text`
# of the comment declare the variables that ${NAME} in the pipeline stands for: with a default, or
# without one, in which case the variable must be given, unless the text says "(optional)".
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
release=${CARGO_TARGET_DIR:-$here/../target}/release

fail() {
    echo "error: $*" >&2
    exit 2
}

usage() {
    echo "usage: pipelines/run.sh NAME [VARIABLE=VALUE ...]"
    for file in "$here"/*.launch; do
        printf '\n%s\n' "$(basename "$file" .launch)"
        sed -n 's/^# /    /p' "$file" | grep -v 'RUNNER='
    done
}

[[ $# -gt 0 ]] || { usage >&2; exit 2; }
case $1 in -h | --help) usage; exit 0 ;; esac
file=$here/$1.launch
[[ -f $file ]] || fail "there is no pipeline '$1'; pipelines/run.sh --help lists those that there are"
name=$1
shift

declare -A values optional
runner=gst-launch-1.0
declaration='^# ([A-Z_]+)=([^ ]*)( .*)?$'
while IFS= read -r line; do
    [[ $line =~ $declaration ]] || continue
    if [[ ${BASH_REMATCH[1]} == RUNNER ]]; then
        runner=${BASH_REMATCH[2]}
        continue
    fi
    values[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
    [[ ${BASH_REMATCH[3]} != *"(optional)"* ]] || optional[${BASH_REMATCH[1]}]=yes
done <"$file"

for assignment in "$@"; do
    case $assignment in -h | --help) sed -n 's/^# //p' "$file" | grep -v 'RUNNER='; exit 0 ;; esac
    variable=${assignment%%=*}
    [[ $assignment == *=* && -v "values[$variable]" ]] ||
        fail "'$assignment' sets no variable of $name, which has: ${!values[*]}; write VARIABLE=VALUE"
    values[$variable]=${assignment#*=}
done
for variable in "${!values[@]}"; do
    [[ -n ${values[$variable]} || -v "optional[$variable]" ]] || fail "$name needs $variable=..."
done
input=${values[INPUT]:-}
[[ -z $input || -r $input ]] || fail "INPUT=$input cannot be read; give the path of a video file"

# Words first, values after: a value with spaces stays one word, and the quotes around it are the
# pipeline parser's.
words=()
set -f
for word in $(grep -v '^#' "$file"); do
    for variable in "${!values[@]}"; do
        value=${values[$variable]//\\/\\\\}
        value=${value//\"/\\\"}
        word=${word//"\${$variable}"/"$value"}
    done
    words+=("$word")
done

# autovideosink ends with a crash of one of its sinks where there is no display at all.
if [[ " ${words[*]} " == *" autovideosink"* && -z ${DISPLAY:-}${WAYLAND_DISPLAY:-} && ! -e /dev/dri/card0 ]]; then
    fail "$name shows a window, and there is no display (DISPLAY and WAYLAND_DISPLAY are empty);" \
        "run it in a desktop session, or use a pipeline that writes a file (pipelines/run.sh --help)"
fi

if [[ -z ${GST_PLUGIN_PATH:-} && -f $release/gstreamer-1.0/libgstcasm.so ]]; then
    export GST_PLUGIN_PATH=$release/gstreamer-1.0
fi
# Not --exists, which is false for a plugin whose version is below GStreamer's.
gst-inspect-1.0 casmesaliency >/dev/null 2>&1 ||
    fail "GStreamer does not find casmesaliency (GST_PLUGIN_PATH is '${GST_PLUGIN_PATH:-}');" \
        "run 'make build', and unset GST_PLUGIN_PATH or add $release/gstreamer-1.0 to it"
if [[ $runner == boxes ]]; then
    runner=$release/examples/boxes
    [[ -x $runner ]] || fail "$runner is missing; run 'make build'"
    exec "$runner" "${words[@]}"
fi
# -e: Ctrl-C ends the stream, so that a file being written is completed.
exec "$runner" -e "${words[@]}"
