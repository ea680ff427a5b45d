"""Makes the checkpoints of tests/import.rs with PyTorch itself (torch 2.11.0).

    python make_fixtures.py

Every tensor's values follow from its name, see `value`; tests/import.rs has the same formula.
"""

import argparse
import collections
import io
import json
import os
import pickle
import struct
import warnings
import zipfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def value(name, shape):
    """Multiples of 1/16 between -16 and 16: exact in half precision, too."""
    length = torch.Size(shape).numel()
    seed = sum(name.encode())
    values = [((seed + 7 * j) % 509 - 254) / 16 for j in range(length)]
    return torch.tensor(values).reshape(shape)


def batch_norm(prefix, width):
    parts = ["weight", "bias", "running_mean", "running_var"]
    return {f"{prefix}.{part}": [width] for part in parts}


def state_dict(shapes, prefix=""):
    state = collections.OrderedDict(
        (prefix + name, value(name, shape)) for name, shape in shapes.items()
    )
    for name in shapes:
        if name.endswith("running_var"):
            counter = name.replace("running_var", "num_batches_tracked")
            state[prefix + counter] = torch.tensor(5)
    # As the state dict of a module has it, saved as the OrderedDict's own state.
    state._metadata = collections.OrderedDict([("", {"version": 1}), ("bn1", {"version": 2})])
    return state


# A ResNet's names, as far as they tell the architecture, at a fraction of the width.
RESNET = {
    "conv1.weight": [4, 3, 7, 7],
    **batch_norm("bn1", 4),
    **{f"layer1.{block}.conv1.weight": [2, 4, 1, 1] for block in range(2)},
    "layer1.0.conv2.weight": [2, 2, 3, 3],
    "layer1.0.conv3.weight": [8, 2, 1, 1],
    **{f"layer{layer}.0.conv1.weight": [2, 8, 1, 1] for layer in (2, 3, 4)},
    "fc.weight": [10, 8],
    "fc.bias": [10],
}

DECODER = {
    **{f"conv1x1_{n}.0.weight": [2, 2 * n, 1, 1] for n in (1, 2, 3, 4)},
    **batch_norm("conv1x1_1.1", 2),
    "final.0.weight": [1, 6, 3, 3],
    "final.0.bias": [1],
}

MOBILENET = {
    "features.0.0.weight": [4, 3, 3, 3],
    **batch_norm("features.0.1", 4),
    "features.1.conv.0.0.weight": [4, 1, 3, 3],
    "classifier.1.weight": [7, 16],
    "classifier.1.bias": [7],
}

# The prototype: folded MobileNetV2, a decoder with names of its own.
PROTOTYPE = {
    "classifier.features.0.0.weight": [4, 3, 3, 3],
    "classifier.features.0.0.bias": [4],
    "classifier.features.1.conv.0.0.weight": [4, 1, 3, 3],
    "classifier.classifier.1.weight": [7, 16],
    "classifier.classifier.1.bias": [7],
    "decoder.side1.conv.weight": [2, 4, 1, 1],
    **batch_norm("decoder.side1.norm", 2),
    "decoder.final.weight": [1, 2, 3, 3],
    "decoder.final.bias": [1],
}


def optimizer_state(make):
    """The state of an optimiser after a step, moments included."""
    parameters = [torch.nn.Parameter(value(name, [3])) for name in ("a", "b")]
    optimizer = make(parameters)
    sum(parameter.sum() for parameter in parameters).backward()
    optimizer.step()
    return optimizer.state_dict()


def casme():
    """As train.py of the authors saves it."""
    return {
        "epoch": 60,
        "state_dict_classifier": state_dict(RESNET),
        "state_dict_decoder": state_dict(DECODER),
        "optimizer_classifier": optimizer_state(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        "optimizer_decoder": optimizer_state(lambda p: torch.optim.Adam(p, 0.1)),
        "args": argparse.Namespace(lr=0.001, lambda_r=10, name="casme", adversarial=False),
    }


def data_parallel():
    """As pytorch/examples' imagenet saves it."""
    return {
        "epoch": 90,
        "arch": "resnet50",
        "state_dict": state_dict(RESNET, "module."),
        "best_acc1": torch.tensor(76.0),
        "optimizer": optimizer_state(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    }


def dtypes():
    third = torch.full([2], 1 / 3, dtype=torch.float64)
    return {
        "float32": value("float32", [5]),
        "float64": third,
        "float16": value("float16", [5]).half(),
        "bfloat16": torch.tensor([1.5, -0.0078125, 3e38], dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(value("parameter", [2, 2])),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros([0, 3]),
        "int64": torch.arange(3),
        "uint8": torch.arange(3, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "complex64": torch.tensor([1 + 2j]),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "sparse": torch.eye(2).to_sparse(),
        "uint16": torch.arange(3).to(torch.uint16),
    }


def views():
    base = torch.arange(24.0)
    grid = base.reshape(2, 3, 4)
    return {
        "base": base,
        "transposed": grid.permute(2, 0, 1),
        "offset": base[5:9],
        "stepped": grid[:, 1:, ::2],
        "channels_last": value("channels_last", [2, 3, 2, 2]).to(memory_format=torch.channels_last),
    }


class Evil:
    def __reduce__(self):
        return os.system, ("touch casm-pickle-was-executed",)


def python2():
    """A legacy file as Python 2 and PyTorch 0.1 to 0.3 wrote it; assembled, since neither is to be
    had: byte strings, an OrderedDict with its entries as arguments, parameters with a state."""

    def text(string):
        return b"U" + bytes([len(string)]) + string.encode()

    def integers(values):
        return b"(" + b"".join(b"K" + bytes([v]) for v in values) + b"t"

    def tensor(key, shape, strides):
        length = torch.Size(shape).numel()
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key)
        storage += text("cuda:0") + b"K" + bytes([length]) + b"Nt" + b"Q"
        body = b"(" + storage + b"K\x00" + integers(shape) + integers(strides) + b"t"
        return b"ctorch._utils\n_rebuild_tensor\n" + body + b"R"

    def parameter(inner):
        hooks = b"ccollections\nOrderedDict\n]\x85R"
        call = b"ctorch.nn.parameter\nParameter\n" + inner + b"\x85R"
        return call + b"(\x88\x89" + hooks + b"tb"

    def entry(name, body):
        return b"](" + text(name) + body + b"e"

    entries = entry("weight", parameter(tensor("140", [2, 3], [3, 1])))
    entries += entry("running_mean", tensor("141", [3], [1]))
    state = b"\x80\x02ccollections\nOrderedDict\n](" + entries + b"e\x85R."
    storages = b""
    for name, shape in (("weight", [2, 3]), ("running_mean", [3])):
        values = value(name, shape).flatten().tolist()
        storages += struct.pack(f"<q{len(values)}f", len(values), *values)
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    keys = b"\x80\x02](" + text("140") + text("141") + b"e."
    return b"".join(pickle.dumps(part, 2) for part in head) + state + keys + storages


def safetensors(shapes):
    header, data = {}, b""
    for name, shape in shapes.items():
        raw = value(name, shape).half().numpy().tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": offsets}
        data += raw
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def save(content, name, **options):
    torch.save(content, os.path.join(HERE, name), **options)


def deflated(content):
    """A zip checkpoint packed anew, and compressed, as PyTorch itself never does."""
    stored, packed = io.BytesIO(), io.BytesIO()
    torch.save(content, stored)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return packed.getvalue()


def write(content, name):
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(content)


def main():
    # PyTorch warns of its own old functions.
    warnings.simplefilter("ignore")
    legacy = {"_use_new_zipfile_serialization": False}
    checkpoints = {
        "resnet": (state_dict(RESNET), "pth"),
        "casme": (casme(), "chk"),
        "data_parallel": (data_parallel(), "pth"),
        "dtypes": (dtypes(), "pth"),
        "views": (views(), "pth"),
        "evil_inside": ({"weight": value("weight", [2]), "evil": Evil()}, "pth"),
        "evil_root": (Evil(), "pth"),
    }
    for name, (content, extension) in checkpoints.items():
        save(content, f"{name}_zip.{extension}")
        save(content, f"{name}_legacy.{extension}", **legacy)
    for protocol in (1, 3, 4, 5):
        content = {"weight": value("weight", [2, 3]), "flag": True, "long": 1 << 70}
        save(content, f"protocol_{protocol}_legacy.pth", pickle_protocol=protocol, **legacy)
    save(state_dict(MOBILENET), "mobilenet_v2_zip.pth")
    save({"weight": torch.ones(1).expand(1000, 1000)}, "expanded_zip.pth")
    save(torch.nn.Linear(2, 2), "module_zip.pth")
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(os.path.join(HERE, "script_zip.pt"))
    write(safetensors(PROTOTYPE), "prototype.safetensors")
    write(deflated(state_dict(RESNET)), "deflated_zip.pth")
    write(deflated({"weight": torch.zeros(1 << 20)}), "bomb_zip.pth")
    write(python2(), "python2_legacy.pth")
    loaded = torch.load(os.path.join(HERE, "python2_legacy.pth"), "cpu", weights_only=False)
    assert torch.equal(loaded["weight"].data, value("weight", [2, 3]))
    assert torch.equal(loaded["running_mean"], value("running_mean", [3]))


if __name__ == "__main__":
    main()
