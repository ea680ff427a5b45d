#!/usr/bin/env python3
"""Computes the built-in model's outputs in plain PyTorch, for tests/data/golden/built_in_*.npy.

Run it when models/casm-mobilenet-v2.safetensors changes: python3 scripts/built_in_reference.py
Needs torch and numpy. The network is written down here a second time, on purpose: the tests compare the two.
"""

import json
import pathlib
import struct

import numpy as np
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/data/golden"
KINDS = {"F16": torch.float16, "F32": torch.float32}
# MobileNetV2: expansion, channels, blocks, stride of the first; the decoder reads the outputs of TAPS and the last.
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
TAPS = (3, 6, 13)


def read(path):
    """Tensors of a safetensors file by name, in f32."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = torch.frombuffer(bytearray(data[begin:end]), dtype=KINDS[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).float()
    return tensors


def convolve(tensors, name, x, stride=1, groups=1):
    weight = tensors[name + ".weight"]
    return F.conv2d(x, weight, tensors.get(name + ".bias"), stride, weight.shape[-1] // 2, 1, groups)


def forward(tensors, x):
    """Normalised pictures [N, 3, 224, 224] -> masks [N, 56, 56], logits [N, 1000]. Batch norm is folded."""
    features = "classifier.features."
    x = F.relu(convolve(tensors, features + "0.0", x, 2))
    taps, index = [], 1
    for expansion, _, blocks, stride in STAGES:
        for block in range(blocks):
            name, y = f"{features}{index}.conv.", x
            step = stride if block == 0 else 1
            layer = 0
            if expansion > 1:
                y = F.relu(convolve(tensors, name + "0.0", y))
                layer = 1
            y = F.relu(convolve(tensors, f"{name}{layer}.0", y, step, y.shape[1]))
            y = convolve(tensors, f"{name}{layer + 1}", y)
            x = x + y if y.shape == x.shape and step == 1 else y
            if index in TAPS:
                taps.append(x)
            index += 1
    x = F.relu(convolve(tensors, features + "18.0", x))
    taps.append(x)
    logits = F.linear(x.mean((2, 3)), tensors["classifier.classifier.1.weight"], tensors["classifier.classifier.1.bias"])
    sides = []
    for position, tap in enumerate(taps, 1):
        name = f"decoder.conv1x1_{position}"
        y = convolve(tensors, name + ".0", tap)
        statistics = [tensors[f"{name}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        y = F.relu(F.batch_norm(y, *statistics))
        sides.append(F.interpolate(y, taps[0].shape[-2:], mode="bilinear", align_corners=False))
    return torch.sigmoid(convolve(tensors, "decoder.final.0", torch.cat(sides, 1)))[:, 0], logits


def main():
    tensors = read(ROOT / "models/casm-mobilenet-v2.safetensors")
    pictures = torch.from_numpy(np.load(GOLDEN / "forward_images_u8.npy")).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        masks, logits = forward(tensors, (pictures - mean) / deviation)
    np.save(GOLDEN / "built_in_mask56_f32.npy", masks.numpy())
    np.save(GOLDEN / "built_in_logits_f32.npy", logits.numpy())
    print("means of the masks:", masks.mean((1, 2)).tolist())


if __name__ == "__main__":
    main()
