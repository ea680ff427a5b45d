#!/usr/bin/env bash
# model.sh: trains the built-in model again, as models/README.md says. DATA: folder with the pictures and the initial
# classifier (default ../shared/data); OUT: where the run goes (default run-model); SEED, STEPS_OF_100 to change them.
# Killed, it goes on where it was when it is started again. 17 minutes on one core that has bf16; THREADS (1)
# makes it faster, and other numbers in the last digits.
set -euo pipefail
cd "$(dirname "$0")/.."
casm=${CASM:-target/release/casm} data=${DATA:-../shared/data} out=${OUT:-run-model}

for file in tiny-imagenet-200.tar.gz imagenet-one-per-class.tar nips2017-cc-by.tar \
    mobilenet_v2_imagenet_folded.safetensors ilsvrc-val-650-dev.tar; do
    [ -e "$data/$file" ] || { echo "model: $data/$file is missing; DATA names the folder that has it" >&2; exit 2; }
done

if compgen -G "$out/snapshots/*.safetensors" >/dev/null; then
    "$casm" train --resume "$out"
else
    # Killed before the first snapshot: nothing to go on from.
    [ ! -e "$out/config.json" ] || rm -r "$out"
    tar xf "$data/ilsvrc-val-650-dev.tar" --strip-components=1 ilsvrc-val-650/synset_words.txt -O >"$out.classes.txt"
    "$casm" import "$data/mobilenet_v2_imagenet_folded.safetensors" --classes "$out.classes.txt" -o "$out.f0.safetensors" --force
    "$casm" train "$data/tiny-imagenet-200.tar.gz" "$data/imagenet-one-per-class.tar" "$data/nips2017-cc-by.tar" \
        --weights 0.34,0.33,0.33 --crop-scale 0.5,0.35,0.35 --init "$out.f0.safetensors" --decoder-init uniform \
        --preset casm --history-every 20 --lambda 3 --target-area 0.34 --total-variation 0.002 \
        --batch 32 --classifier-rate 1e-4 --lr-schedule cosine --epochs "${STEPS_OF_100:-6}" --epoch-share 0.0763 \
        --ema 0.99 --precision bf16 --threads "${THREADS:-1}" --snapshot-every 100 --keep 1 --seed "${SEED:-0}" --out "$out"
fi
"$casm" evaluate --model "$out" --data "$data/ilsvrc-val-650-dev.tar" --resize stretch \
    --binarize quantile --binarize mean --threshold-sweep --baselines --json "$out/evaluation.json"
