#!/usr/bin/env bash
# Runs the paper's tables and figures at toy scale on the pictures in $CASM_TEST_DATA, and writes one report.
#
# The path through the program is the paper's; the numbers are not, and the report says why. What is done
# already is not done again, so that a run that was stopped goes on when it is started again.
#
#   STEPS=240             steps of each mapping
#   CLASSIFIER_STEPS=384  steps of each classifier of Table 3
#   MINUTES=              stop each training run after so long
#   SEED=0                of all draws
#   OUT=reproduce-small   where everything goes; report.md is the report
#   SMOKE=1               two steps and a few pictures of everything, to see whether it runs
#   DRY=1                 only print the commands
set -euo pipefail
cd "$(dirname "$0")/.."

smoke=${SMOKE:+1}
casm=${CASM:-${CARGO_TARGET_DIR:-target}/release/casm}
data=${CASM_TEST_DATA:-../shared/data}
out=${OUT:-reproduce-small${smoke:+-smoke}}
seed=${SEED:-0}
minutes=${MINUTES:-}
steps=${STEPS:-${smoke:+2}}
steps=${steps:-240}
classifier_steps=${CLASSIFIER_STEPS:-${smoke:+2}}
classifier_steps=${classifier_steps:-384}
batch=$((smoke ? 4 : 8))

sample=$data/ilsvrc-val-650-dev.tar
tiny=$data/tiny-imagenet-200.tar.gz
full_size=("$data/imagenet-one-per-class.tar" "$data/nips2017-cc-by.tar")
weights=$data/mobilenet_v2_imagenet_folded.safetensors

# Scored pictures: all of the sample; of Tiny ImageNet's val and for Figure 3 some, evenly spread.
sample_limit=() tiny_limit=(--limit 2000) figure_limit=(--limit 130)
if [ -n "$smoke" ]; then
    sample_limit=(--limit 24) tiny_limit=(--limit 120) figure_limit=(--limit 4)
fi

# Of all mappings. The classifier's rate goes with the size of the batch: 1e-3 · 8 / 128.
mapping=(--target-area 0.4 --classifier-rate 6e-5 --crop-scale 0.25)

say() { printf 'reproduce-small: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

check() {
    local file
    [ -x "$casm" ] || fail "'$casm' is missing: make build"
    command -v python3 >/dev/null || fail 'python3 is missing; it writes the report'
    for file in "$sample" "$tiny" "${full_size[@]}" "$weights"; do
        [ -f "$file" ] || fail "'$file' is missing; CASM_TEST_DATA names the folder with the pictures"
    done
}

# What was done with other settings must not end up in the same report.
settings() {
    local now
    now="steps=$steps classifier_steps=$classifier_steps minutes=${minutes:-any} batch=$batch seed=$seed smoke=${smoke:-0}"
    mkdir -p "$out"/{commands,logs,done,scores,figures}
    if [ -f "$out/settings" ] && [ "$now" != "$(cat "$out/settings")" ]; then
        fail "'$out' was begun with $(cat "$out/settings"); set these again, or another OUT, or remove it"
    fi
    echo "$now" >"$out/settings"
}

# shown COMMAND...: the command as one could type it.
shown() {
    local word line=
    for word in "$@"; do line+=$(printf '%q' "$word")' '; done
    line=${line//\\,/,} # needs no quoting
    printf '%s\n' "${line% }"
}

# step NAME COMMAND...: runs a command unless it is done.
step() {
    local name=$1 start=$SECONDS
    shift
    [ ! -e "$out/done/$name" ] || return 0
    say "$name"
    if ! "$@" >"$out/logs/$name.out" 2>"$out/logs/$name.log" </dev/null; then
        tail -n 5 "$out/logs/$name.log" >&2
        fail "$name has failed; its messages are in $out/logs/$name.log"
    fi
    echo $((SECONDS - start)) >"$out/done/$name"
}

# run NAME VERB ARGUMENT...: a casm command, noted for the report.
run() {
    local name=$1
    shift
    if [ -n "${DRY:-}" ]; then
        shown casm "$@"
        return
    fi
    shown casm "$@" >"$out/commands/$name"
    step "$name" "$casm" "$@"
}

# train NAME VERB ARGUMENT...: a training run, which goes on from its last snapshot if there is one.
train() {
    local name=$1 folder=$out/runs/$1
    local watch=(--snapshot-every 60 --keep 1 ${minutes:+--max-minutes "$minutes"})
    shift
    if [ -z "${DRY:-}" ] && compgen -G "$folder/snapshots/step-*" >/dev/null; then
        step "$name" "$casm" "$1" --resume "$folder" "${watch[@]}"
    else
        run "$name" "$@" --out "$folder" --seed "$seed" "${watch[@]}"
    fi
    [ -z "${DRY:-}" ] || return 0
    # 300 MB with kept classifiers, and of no use any more.
    rm -rf "$folder"/{snapshots,history}
}

# length STEPS PICTURES: options for a run of so many steps, in as few epochs as there are pictures for.
length() {
    local batches=$((($2 + batch - 1) / batch)) epochs per_epoch
    epochs=$((($1 + batches - 1) / batches))
    per_epoch=$((($1 + epochs - 1) / epochs))
    # The half step is for rounding down.
    awk -v epochs="$epochs" -v steps="$per_epoch" -v batches="$batches" -v batch="$batch" 'BEGIN {
        share = (steps + 0.5) / batches
        printf "--batch %d --epochs %d --epoch-share %.6f --lr-schedule cosine", \
            batch, epochs, share < 1 ? share : 1 }'
}

# kept PRESET: how often the classifier is kept. The paper's epoch of 2003 steps, in which L100 keeps 20
# and L1000 keeps 2, becomes the whole run.
kept() {
    local share=0
    case $1 in
        L100) share=20 ;;
        L1000) share=2 ;;
        *) return 0 ;;
    esac
    echo --history-every $((steps > share ? steps / share : 1))
}

prepare() {
    [ -n "${DRY:-}" ] || step classes tar -xOf "$sample" ilsvrc-val-650/synset_words.txt
    run import import "$weights" --classes "$out/logs/classes.out" --output "$out/f0.safetensors" --force
    run split split-classes "$tiny" --sizes 10,10,20,60,60,40 --seed "$seed" --output "$out/split.json"
}

# score NAME [OPTION...]: the masks of a run on the sample.
score() {
    local name=$1
    shift
    run "score-$name" evaluate --model "$out/runs/$name" --data "$sample" --resize stretch \
        --binarize quantile --binarize mean "${sample_limit[@]}" --json "$out/scores/$name.json" "$@"
}

# Rows a to k: strategy, score, encoder, and the λ to begin with, half of the preset's.
table2() {
    local row preset score encoder lambda
    while read -r row preset score encoder lambda; do
        # shellcheck disable=SC2046 # several words are meant
        train "table2-$row" train "${full_size[@]}" --preset "$preset" --score "$score" --encoder "$encoder" \
            --init "$out/f0.safetensors" $(length "$steps" 2000) $(kept "$preset") \
            --lambda "$lambda" "${mapping[@]}"
        score "table2-$row"
    done <<'ROWS'
a F entropy shared 1.25
b L entropy shared 7
c FL entropy shared 3.75
d L1000 entropy shared 5
e L100 entropy shared 5
f F classification shared 4.5
g L classification shared 9
h L100 classification shared 8.5
i F entropy separate 1.25
j L entropy separate 7
k L100 entropy separate 5
ROWS
}

# Classifier and mapping see the classes of some subsets only; Tiny ImageNet's val is scored by subset.
# Without batch norm, which f0 has folded, rates of 0.001 and above diverge.
table3() {
    local row subsets classes
    while read -r row subsets classes; do
        # shellcheck disable=SC2046
        train "table3-$row-classifier" train-classifier "$tiny" --classes "$out/split.json:$subsets" \
            --init "$out/f0.safetensors" --replace-head --input-size 128 \
            $(length "$classifier_steps" $((200 * classes))) --rate 3e-4 --crop-scale 0.25
        # shellcheck disable=SC2046
        train "table3-$row" train "$tiny" --classes "$out/split.json:$subsets" --preset L \
            --init "$out/runs/table3-$row-classifier/model.safetensors" \
            $(length "$steps" $((200 * classes))) \
            --lambda 7 "${mapping[@]}"
        run "score-table3-$row" evaluate --model "$out/runs/table3-$row" --data "$tiny" --split val \
            --resize stretch --binarize quantile --per-subset "$out/split.json" "${tiny_limit[@]}" \
            --json "$out/scores/table3-$row.json"
    done <<'ROWS'
F F 40
EF E,F 100
DEF D,E,F 160
CDEF C,D,E,F 180
BCDEF B,C,D,E,F 190
ABCDEF A,B,C,D,E,F 200
ROWS
}

figures() {
    local best=$out/runs/table2-e baseline=$out/runs/table2-a
    run baselines evaluate --model "$best" --data "$sample" --resize stretch --binarize quantile --baselines \
        --activation-model "$out/f0.safetensors" --protocol wsoleval "${sample_limit[@]}" \
        --json "$out/scores/baselines.json"
    run figure2 visualize --model "$best" --compare "$baseline" --data "$sample" --resize stretch \
        --columns 7 --plots 2 --seed 931001 --gallery "${sample_limit[@]}" --out "$out/figures/figure2"
    run figure3 confuse --model "$best" "$baseline" --data "$sample" --resize stretch \
        --classifier "$out/f0.safetensors" "$out/runs/table2-b" "$best" "$out/runs/table2-k" \
        --toy zero,one,random56,random224 "${figure_limit[@]}" \
        --csv "$out/figures/figure3.csv" --plot "$out/figures/figure3.svg"
    run stats stats --model "$best" "$baseline" --data "$sample" --resize stretch "${sample_limit[@]}" --json
}

report() {
    python3 scripts/reproduce_report.py "$out" && say "the report is $out/report.md"
}

all() {
    prepare
    table2
    table3
    figures
}

if [ -n "${DRY:-}" ]; then
    all
    exit
fi
check
settings
# casm saves and ends well when it is interrupted; then this script ends, too, and the step is not done.
trap 'say "stopped; start again to go on"; exit 130' INT TERM
trap report EXIT
all
trap - EXIT
report
