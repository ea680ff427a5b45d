#!/usr/bin/env python3
"""Compare casmesaliency with GStreamer's onnxinference; print docs/performance-upstream.md.

scripts/upstream.sh runs this inside the Debian that it has made.  Standard library only.
"""

import argparse
import array
import glob
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Of the clip, in a round: as many as the first pipeline of upstream's plays in this time, within these bounds.
ROUND, LEAST, MOST = 3.0, 2, 8
# Upstream's element takes packed pixels of the model's size. Scaling before the conversion costs it least: 0.1 ms a
# frame here, against 1.1 ms with `videoconvertscale`.
FRONT = (
    "videoscale add-borders=false ! video/x-raw,width=224,height=224,pixel-aspect-ratio=1/1 ! "
    "videoconvert ! video/x-raw,format=RGB"
)
# What onnxinference must know of the model; -1 is any number. Ranges say to which numbers 0 and 255 are mapped.
MODELINFO = """\
[modelinfo]
version=1.0
group-id=casm

[pixels]
id=casm-pixels
type=float32
dims=-1,3,-1,-1
dir=input
ranges={ranges}

[mask]
id=casm-mask
type=float32
dims=-1,1,-1,-1
dir=output

[logits]
id=casm-logits
type=float32
dims=-1,-1
dir=output
"""
# ImageNet's, which every model here is trained with.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GOAL = 1.5


def ranges(folded):
    """To which numbers the graph wants 0 and 255 mapped, for each colour."""
    ends = [
        (0.0, 255.0) if folded else ((0 - mean) / deviation, (1 - mean) / deviation)
        for mean, deviation in zip(MEAN, DEVIATION)
    ]
    return ";".join(f"{low:.9g},{high:.9g}" for low, high in ends)


class Line:
    """A pipeline in a process of its own, which plays the clip whenever it is told to."""

    def __init__(self, title, elements, environment=None):
        self.title, self.elements = title, elements
        self.environment = environment or {}
        self.rounds = []
        self.masks = []
        self.process = None
        self.log = None

    def start(self, settings, seconds):
        masks = settings.work / "masks"
        description = (
            f"filesrc location={settings.work / settings.clip} ! decodebin ! {self.elements}"
            "fakesink name=sink sync=false"
        )
        player = settings.release / "examples/player"
        environment = dict(os.environ, GST_PLUGIN_PATH=str(settings.release / "gstreamer-1.0"))
        environment.update(self.environment)
        if self.elements:
            # A process of its own, which writes: those that are measured do not.
            environment["CASM_PLAYER_MASKS"] = str(masks)
            self.run(player, description, environment)
            frames = self.play(seconds)["frames"]
            self.process.communicate()
            self.masks = self.read(masks, frames + 1)
            masks.unlink()
            del environment["CASM_PLAYER_MASKS"]
        self.run(player, description, environment)
        self.play(seconds)  # warms up

    def run(self, player, description, environment):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [player, *shlex.split(description)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
        )

    def play(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        if not said:
            self.log.seek(0)
            log = self.log.read().decode(errors="replace").splitlines()
            # Debian's libonnx registers its schemas twice and says so a thousand times.
            log = [line for line in log if line and "Schema error" not in line]
            raise SystemExit(f"{self.title}: the pipeline ended early:\n" + "\n".join(log[-10:]))
        return json.loads(said)

    def read(self, file, frames):
        values = array.array("f", file.read_bytes())
        side = round((len(values) / frames) ** 0.5)
        if side * side * frames != len(values):
            raise SystemExit(f"{self.title}: {len(values)} numbers in {frames} masks are no squares")
        masks = [values[at * side * side : (at + 1) * side * side] for at in range(frames)]
        # Ours is given at the picture's size, four equal pixels for one of the network's.
        step = side // 56
        return [
            [mask[row * side + column] for row in range(0, side, step) for column in range(0, side, step)]
            for mask in masks
        ]

    def round(self, seconds):
        before = self.cpu()
        played = self.play(seconds)
        played["cpu"] = self.cpu() - before
        self.rounds.append(played)

    def cpu(self):
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cores(self):
        """The cores that its threads may use."""
        tasks = glob.glob(f"/proc/{self.process.pid}/task/*/status")
        lines = [line for task in tasks for line in Path(task).read_text().splitlines()]
        return {line.split()[1] for line in lines if line.startswith("Cpus_allowed_list")}

    def milliseconds(self, clock="seconds"):
        return [1e3 * played[clock] / played["frames"] for played in self.rounds]


def lines(model, settings):
    """Decoding alone, upstream's, ours."""
    ours = "casmesaliency threads=1 device=cpu"
    if model != "built-in":
        ours += f" model={settings.work / model}.safetensors"
    found = [Line("decoding alone", "")]
    upstream = [("", {})]
    if settings.onnxruntime:
        upstream.append((f", ONNX Runtime {settings.onnxruntime}", {"LD_LIBRARY_PATH": str(settings.work / "onnxruntime")}))
    for runtime, environment in upstream:
        # The unfolded graph is for the record: it is slower.
        for kind in ("", "-unfolded") if not runtime else ("",):
            file = settings.work / f"{model}{kind}.onnx"
            Path(f"{file}.modelinfo").write_text(MODELINFO.format(ranges=ranges(not kind)))
            title = "`onnxinference`" + (", unfolded graph" if kind else "") + runtime
            elements = f"{FRONT} ! onnxinference optimization-level=enable-all model-file={file} ! "
            found.append(Line(title, elements, environment))
    engines = ["torch"]
    if settings.openvino:
        engines.append("openvino")
    for engine in engines:
        for precision in ("f32", "bf16"):
            title = f"`casmesaliency`, {engine} {precision}"
            found.append(Line(title, f"{ours} engine={engine} precision={precision} ! "))
    return found


def spread(values, digits=2):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} – {high:.{digits}f})"


def difference(line, reference):
    """Mean absolute difference of the masks, and mean IoU of what is above 0.5 in them."""
    pairs = list(zip(line.masks, reference.masks))
    apart = statistics.fmean(
        statistics.fmean(abs(a - b) for a, b in zip(one, other)) for one, other in pairs
    )
    overlaps = []
    for one, other in pairs:
        both = sum(a > 0.5 and b > 0.5 for a, b in zip(one, other))
        either = sum(a > 0.5 or b > 0.5 for a, b in zip(one, other))
        overlaps.append(both / either if either else 1.0)
    return f"{apart:.4f}, {statistics.fmean(overlaps):.3f}"


def measure(model, settings):
    """All rounds of one model; returns its part of the page."""
    field = lines(model, settings)
    trial = field[1]
    trial.start(settings, 1)
    seconds = max(LEAST, min(MOST, round(ROUND / trial.play(1)["seconds"])))
    trial.process.communicate()
    for line in field:
        line.start(settings, seconds)
        print(f"  {line.title}: runs", file=sys.stderr)
    for number in range(settings.rounds):
        # Every round begins with another one.
        turn = number % len(field)
        for line in field[turn:] + field[:turn]:
            line.round(seconds)
        print(f"  round {number + 1} of {settings.rounds}", file=sys.stderr)
    for line in field:
        if line.cores() != {settings.core}:
            raise SystemExit(f"{line.title} has threads on the cores {line.cores()}, not only on {settings.core}")
        line.process.communicate()
    return table(model, field, seconds)


def table(model, field, seconds):
    decoding = field[0].milliseconds()
    upstream = [line for line in field if "onnxinference" in line.title]
    ours = [line for line in field if "casmesaliency" in line.title]
    medians = {line: statistics.median(line.milliseconds()) for line in field}
    plain = min((line for line in upstream if not line.environment), key=medians.get)
    best = min(upstream, key=medians.get)
    reference = ours[0]

    frames = field[0].rounds[0]["frames"] + 1
    text = f"## {model}\n\nThe first {seconds} s of the clip, {frames} frames, in each round.\n\n"
    text += (
        "| pipeline | frames/s | ms a frame | without decoding | CPU ms a frame | masks against ours in f32 |\n"
        "|---|---|---|---|---|---|\n"
    )
    for line in field:
        times = line.milliseconds()
        alone = [here - there for here, there in zip(times, decoding)]
        cells = [
            line.title,
            spread([1e3 / time for time in times], 1),
            spread(times),
            f"{statistics.median(alone):.2f}" if line.elements else "",
            f"{statistics.median(line.milliseconds('cpu')):.2f}",
            difference(line, reference) if line.elements and line is not reference else "",
        ]
        text += "| " + " | ".join(cells) + " |\n"
    text += f"\nThe goal is {GOAL} × the frames/s of `onnxinference`, end to end, with the same model.\n\n"
    text += "| `casmesaliency` against `onnxinference` | frames/s | CPU time | goal kept |\n|---|---|---|---|\n"
    compared = [(plain, "Debian's")] + ([(best, "the fastest")] if best is not plain else [])
    for line in ours:
        for other, word in compared:
            wall, processor = (
                [there / here for here, there in zip(line.milliseconds(clock), other.milliseconds(clock))]
                for clock in ("seconds", "cpu")
            )
            kept = "yes" if statistics.median(wall) >= GOAL else "no"
            text += f"| {line.title.split(', ')[1]}, against {word} | {spread(wall)} | {spread(processor)} | {kept} |\n"
    text += "\n```\n"
    for line in field:
        if line.elements:
            text += f"{line.elements.removesuffix(' ! ')}\n"
    return text + "```\n\n"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def cpu():
    facts = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    known = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"]
    has = [flag for flag in known if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name')} (family {facts.get('cpu family')}, model {facts.get('model')}; {' '.join(has)})"


def head(settings):
    versions = {
        "GStreamer": output("gst-launch-1.0", "--version").splitlines()[0].split()[-1],
        "`gstreamer1.0-plugins-bad`": output("dpkg-query", "-W", "-f", "${Version}", "gstreamer1.0-plugins-bad"),
        "ONNX Runtime": output("dpkg-query", "-W", "-f", "${Version}", "libonnxruntime1.*"),
    }
    versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    other = ""
    if settings.onnxruntime:
        other = f"; a second time with another build of ONNX Runtime, {settings.onnxruntime}, put before Debian's"
    engines = output(settings.release / "casm", "info", "--engines").partition("\n\n")[0]
    return f"""\
# `casmesaliency` beside `onnxinference`

Written by `make bench-upstream`; do not edit.

Commit {settings.commit}, {output("date", "-u", "+%F")}, {cpu()}. Everything is bound to core {settings.core} and computes
in one thread. Load before the start {settings.load}: on a machine that is not idle absolute numbers are low; ratios are those of times in the
same round, and the processor's own time depends little on neighbours. Debian sid: {versions}{other}.

```
{engines}
```

GStreamer's own way to run this model: `onnxinference` on what `casm export --onnx` writes, with all of ONNX Runtime's
optimisations (its default is none), behind the cheapest conversion that was found. It leaves the mask and the classes
as tensors; ours attaches the mask, the same tensor, boxes and detections. f32 against f32 is like for like; ONNX Runtime
has no bf16 on CPUs. "Unfolded" is `casm export --onnx --unfolded`, normalised by the `.modelinfo` file.

The clip `{settings.name}` is decoded by `decodebin` in all of them, end to end into `fakesink`; the first frame is inside before the clock starts. All pipelines take turns in each of {settings.rounds} rounds, each in a process
of its own; a number is the median over rounds, then the least and the largest. Masks: mean absolute difference and mean
IoU of what is above 0.5, against `casmesaliency` in libtorch in f32. `videoscale` resizes without smoothing, ours as in
training, so that these differ even for equal networks.

"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("release", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("clip", "name", "core", "commit", "load"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--onnxruntime", help="version of the ONNX Runtime in the folder onnxruntime of --work")
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--model", action="append", required=True)
    settings = parser.parse_args()
    page = head(settings)
    for model in settings.model:
        print(model, file=sys.stderr)
        page += measure(model, settings)
    print(page.rstrip())


main()
