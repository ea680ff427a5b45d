#!/usr/bin/env bash
# model.sh: trains the built-in model again, as models/README.md says. DATA: folder with the pictures and the initial
# classifier (default ../shared/data); OUT: where the run goes (default run-model), with those of its teachers beside it
# (OUT.teacher, OUT.first); the model is OUT/rounded.safetensors. SEED to change it. Killed, it goes on where it was when it is started
# again. Three quarters of an hour on one core that has bf16; THREADS (1) makes it faster, and other numbers in the last digits.
set -euo pipefail
cd "$(dirname "$0")/.."
casm=${CASM:-target/release/casm} data=${DATA:-../shared/data} out=${OUT:-run-model}
out=${out%/}
teacher=$out.teacher first=$out.first f0=$out.f0.safetensors
full=("$data/imagenet-one-per-class.tar" "$data/nips2017-cc-by.tar")
course=(--batch 32 --lr-schedule cosine --ema 0.99 --precision bf16 --threads "${THREADS:-1}" --snapshot-every 100 --keep 1
    --seed "${SEED:-0}")

for file in tiny-imagenet-200.tar.gz imagenet-one-per-class.tar nips2017-cc-by.tar \
    mobilenet_v2_imagenet_folded.safetensors ilsvrc-val-650-dev.tar; do
    [ -e "$data/$file" ] || { echo "model: $data/$file is missing; DATA names the folder that has it" >&2; exit 2; }
done

# go_on COMMAND FOLDER OPTION...: begins the run in FOLDER, or goes on with it; nothing if it has ended.
go_on() {
    local command=$1 folder=$2
    shift 2
    if [ -e "$folder/config.json" ] && ! grep -q "\"seed\": ${SEED:-0}," "$folder/config.json"; then
        echo "model: $folder holds a run with another seed than ${SEED:-0}; name another folder with OUT" >&2
        exit 2
    fi
    if compgen -G "$folder/snapshots/*.safetensors" >/dev/null; then
        "$casm" "$command" --resume "$folder"
    else
        # Killed before the first snapshot: nothing to go on from.
        [ ! -e "$folder/config.json" ] || rm -r "$folder"
        "$casm" "$command" "$@" "${course[@]}" --out "$folder"
    fi
}

if [ -e "$out/config.json" ] && ! grep -q '"teacher"' "$out/config.json"; then
    echo "model: $out holds another kind of run; name another folder with OUT" >&2
    exit 2
fi
if [ ! -e "$f0" ]; then
    tar xf "$data/ilsvrc-val-650-dev.tar" --strip-components=1 ilsvrc-val-650/synset_words.txt -O >"$out.classes.txt"
    "$casm" import "$data/mobilenet_v2_imagenet_folded.safetensors" --classes "$out.classes.txt" -o "$f0"
fi
go_on train "$teacher" "$data/tiny-imagenet-200.tar.gz" "${full[@]}" --weights 0.34,0.33,0.33 --crop-scale 0.5,0.35,0.35 \
    --init "$f0" --preset casm-tv --history-every 20 --epochs 6 --epoch-share 0.0763
# Both students begin as the mapping; the second one learns what the first one sees.
student=("${full[@]}" --init "$teacher/model.safetensors" --classifier "$f0" --squash 256 --crop-scale 0.4 --whole 0.4 --jitter 0.3
    --zooms 1.2,1.35 --class-weight 0.3 --classifier-rate 1e-4 --mapping-rate 1e-3 --epochs 9)
go_on distill "$first" "${student[@]}"
go_on distill "$out" "${student[@]}" --teacher "$first/model.safetensors"
[ -e "$out/sharp.safetensors" ] || "$casm" sharpen --model "$out/model.safetensors" --data "${full[0]}" --data "${full[1]}" \
    --contrast 3 --area 0.4 --threads "${THREADS:-1}" --out "$out/sharp.safetensors"
[ -e "$out/rounded.safetensors" ] || "$casm" round --model "$out/sharp.safetensors" --out "$out/rounded.safetensors"
"$casm" evaluate --model "$out/rounded.safetensors" --data "$data/ilsvrc-val-650-dev.tar" --resize stretch \
    --binarize quantile --binarize mean --threshold-sweep --baselines --json "$out/evaluation.json"
