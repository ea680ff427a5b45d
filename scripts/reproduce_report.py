#!/usr/bin/env python3
"""Write report.md (and table2.svg) of a folder that scripts/reproduce_small.sh has filled.

What is not there yet is left empty and named, so that a report of an unfinished run is possible.
Standard library only, Python 3.9 or newer.
"""

import csv
import json
import sys
from pathlib import Path

# Table 2 of the paper: thinning, score, encoder, then OM, LE, F1.
TABLE2 = {
    "a": ("F", "entropy", "shared", 62.7, 53.5, 49.0),
    "b": ("L", "entropy", "shared", 49.0, 36.5, 61.7),
    "c": ("FL", "entropy", "shared", 52.7, 41.3, 57.2),
    "d": ("L1000", "entropy", "shared", 48.7, 36.2, 61.6),
    "e": ("L100", "entropy", "shared", 48.6, 36.1, 61.4),
    "f": ("F", "classification", "shared", 80.8, 75.9, 42.5),
    "g": ("L", "classification", "shared", 49.5, 37.0, 62.2),
    "h": ("L100", "classification", "shared", 49.7, 37.3, 62.1),
    "i": ("F", "entropy", "separate", None, 55.5, None),
    "j": ("L", "entropy", "separate", None, 47.2, None),
    "k": ("L100", "entropy", "separate", None, 46.8, None),
}
# Table 3 of the paper: LE on A, B, C, D, E, F, and on all.
TABLE3 = {
    "F": (46.5, 46.4, 48.1, 45.0, 45.7, 41.3, 44.9),
    "EF": (39.5, 41.2, 43.1, 40.3, 39.5, 38.7, 40.0),
    "DEF": (37.9, 39.3, 40.0, 38.0, 38.0, 37.4, 38.1),
    "CDEF": (38.2, 38.5, 39.9, 37.9, 37.9, 37.8, 38.1),
    "BCDEF": (36.7, 36.8, 39.9, 37.4, 37.0, 37.0, 37.4),
    "ABCDEF": (35.6, 36.1, 39.0, 37.0, 36.6, 36.7, 36.9),
}
# Section 6.1 of the paper: total variation (its unit is not stated), entropy, spread.
SECTION61 = {"table2-e": ("2.5·10³", 0.05, 0.19), "table2-a": ("7.0·10³", 0.21, 0.14)}


class Folder:
    """What the script left in a folder."""

    def __init__(self, path):
        self.path = path
        self.settings = dict(part.split("=", 1) for part in self.text("settings").split())

    def text(self, name):
        file = self.path / name
        return file.read_text() if file.exists() else ""

    def done(self, step):
        return (self.path / "done" / step).exists()

    def scores(self, name):
        """The JSON of `casm evaluate`, if that step is done."""
        done = self.done(name if name == "baselines" else f"score-{name}")
        return json.loads(self.text(f"scores/{name}.json")) if done else None

    def training(self, name):
        """Steps, images a second, last λ of a run that is done; three times None otherwise."""
        if not self.done(name):
            return None, None, None
        rows = list(csv.DictReader(self.text(f"runs/{name}/steps.csv").splitlines()))
        if not rows:
            return None, None, None
        last = rows[-1]
        price = float(last["lambda"]) if last.get("lambda") else None
        return int(last["step"]), float(last["images_per_second"]), price


def number(scores, measure, method="model", resize="stretch", rule="quantile"):
    """An estimate (value, low, high) by its names; `rule` does not matter to some measures."""
    for found in scores["models"][0]["numbers"] if scores else []:
        names = (found["measure"], found["method"], found["resize"])
        if names == (measure, method, resize) and found["rule"] in (rule, None):
            return found
    return None


def percent(estimate):
    return "" if estimate is None else f"{100 * estimate['value']:.1f}"


def interval(estimate):
    if estimate is None:
        return ""
    return f"{percent(estimate)} ({100 * estimate['low']:.1f} – {100 * estimate['high']:.1f})"


def plain(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def table(head, rows):
    lines = [head, ["---"] * len(head)] + rows
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def commands(folder, *prefixes):
    """The commands whose names begin so, as they were called, with the seconds they took."""
    lines = []
    for file in sorted((folder.path / "commands").glob("*"), key=lambda file: file.stat().st_mtime):
        if any(file.name == prefix or file.name.startswith(prefix + "-") for prefix in prefixes):
            seconds = folder.text(f"done/{file.name}").strip()
            lines.append(f"# {file.name}: {seconds + ' s' if seconds else 'not done'}")
            lines.append(file.read_text().strip())
    text = "\n".join(lines)
    return f"<details><summary>Commands, with the seconds that they took</summary>\n\n```\n{text}\n```\n</details>\n"


def plot(rows):
    """LE with intervals as SVG; the paper's as a tick. `rows`: name, estimate or None, paper's."""
    left, scale, line = 230, 5.0, 22
    height = line * len(rows) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 100 * scale + 30:.0f}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for tick in range(0, 101, 20):
        x = left + scale * tick
        parts.append(f'<path d="M{x} 10V{height - 35}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{height - 20}" text-anchor="middle">{tick}</text>')
    for index, (name, estimate, paper) in enumerate(rows):
        y = 22 + line * index
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{name}</text>')
        if paper is not None:
            x = left + scale * paper
            parts.append(f'<path d="M{x:.1f} {y - 8}v16" stroke="#c40" stroke-width="2"/>')
        if estimate is not None:
            low, value, high = (left + 100 * scale * estimate[key] for key in ("low", "value", "high"))
            parts.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="#06c" stroke-width="2"/>')
            parts.append(f'<circle cx="{value:.1f}" cy="{y}" r="4" fill="#06c"/>')
    parts.append(
        f'<text x="{left}" y="{height - 4}">LE, %: <tspan fill="#06c">here, with 95 % interval</tspan>; '
        '<tspan fill="#c40">the paper at full scale</tspan></text></svg>\n'
    )
    return "\n".join(parts)


def introduction(folder):
    settings, scored = folder.settings, folder.scores("table2-a")
    pictures = scored["models"][0]["pictures_evaluated"] if scored else "the"
    missing = [file.name for file in (folder.path / "commands").glob("*") if not folder.done(file.name)]
    text = f"""# The paper's matrix at toy scale

Settings: {", ".join(f"{name} {value}" for name, value in settings.items())}.

**These are not the paper's results.** Columns marked "paper" are from ImageNet at full scale and stand beside ours for orientation only. What differs:

- Encoder: MobileNetV2 with batch norm folded in, not ResNet-50. Its initial weights are torchvision's.
- Training pictures: 2,000 (Table 2), up to 40,000 of 64×64 pixels (Table 3), not 1.28 million.
- {settings["steps"]} steps of {settings["batch"]} pictures, not 120,180 of 128. Learning rates fall along a cosine. The classifier's rate is
  6e-5 instead of 1e-3, by as much smaller as the batch. Crops take at least 25 % of a picture, not 8 %.
- λ starts at half of the preset's number and is steered towards masks of 40 % of the picture (`--target-area 0.4`): the presets' numbers were chosen for ResNet-50 and long
  runs. So rows differ by strategy here and little by mask area.
- Kept classifiers: `--history-every` makes the paper's epoch of 2,003 steps the whole run: L100 keeps 20 classifiers in it, L1000 keeps 2.
- Table 3: a fifth of the paper's classes, drawn from Tiny ImageNet's 200, at 128 pixels. The classifier of each row starts from weights that know all of ImageNet and gets
  a new last layer, so that "unseen" classes are unseen by the mapping and the last layer only.
- Scored: {pictures} pictures of an easier sample of ILSVRC's validation set, stored squashed to 227×227. Cropped and
  stretched they are the same, so that the supplement's study of resizing means nothing here and is left out.
- Sums on the CPU depend on the number of threads, and one seed was run: differences within the intervals say nothing.
"""
    if settings.get("smoke") == "1":
        text += "\n**Smoke run: two steps each. The numbers mean nothing at all.**\n"
    if missing:
        text += f"\n**Unfinished:** {', '.join(sorted(missing))}.\n"
    return text


def section_table2(folder):
    rows, points = [], []
    for row, (preset, score, encoder, om, le, f1) in TABLE2.items():
        name = f"table2-{row}"
        scores, (steps, speed, price) = folder.scores(name), folder.training(name)
        error = number(scores, "localization_error")
        rows.append([
            row, preset, score, encoder, steps or "", plain(speed), plain(price, 2),
            interval(error), percent(number(scores, "official_metric")), percent(number(scores, "f1")),
            percent(number(scores, "mask_mean")), percent(number(scores, "top1")),
            plain(le), plain(om), plain(f1),
        ])
        points.append((f"{row}: {preset}, {score}, {encoder}", error, le))
    (folder.path / "table2.svg").write_text(plot(points))
    head = ["row", "thinning", "score", "encoder", "steps", "images/s", "λ at the end", "LE % (95 %)", "OM %",
            "F1 %", "mask area %", "top-1 %", "paper LE", "paper OM", "paper F1"]
    return "## Table 2 (Table 1: rows a and e)\n\n" + table(head, rows) + "\n![LE of each row](table2.svg)\n"


def section_baselines(folder):
    scores = folder.scores("baselines")
    names = {"model": "row e", "full_image": "full image", "centre_box": "centre box",
             "class_activation_map": "class-activation map of f(0)"}
    rows = []
    for found in scores["models"][0]["numbers"] if scores else []:
        wanted = found["measure"] in ("localization_error", "max_box_acc", "max_box_acc_v2")
        # Of the fixed thresholds the best alone is shown.
        if wanted and not (found["rule"] or "").startswith("value>"):
            rule = found["rule"] or ""
            if found["chosen_threshold"] is not None:
                rule = f"threshold {found['chosen_threshold']:.2f}, the best on these pictures"
            measure = {"localization_error": "LE"}.get(found["measure"], found["measure"])
            rows.append([names[found["method"]], rule, measure, interval(found)])
    return "## What every row must beat, and wsolevaluation's protocol\n\n" + table(
        ["boxes of", "made binary by", "measure", "% (95 %)"], rows
    ) + "\nAccuracies (max_box_acc) should be high, LE low. wsolevaluation's are at the thresholds that are best on these pictures.\n"


def section_binarize(folder):
    rows = []
    for row in TABLE2:
        scores = folder.scores(f"table2-{row}")
        rules = [number(scores, "localization_error", rule=rule) for rule in ("quantile", "mean")]
        rows.append([row] + [interval(rule) for rule in rules])
    return "## Eq. 9: quantile (released code) or mean (as printed)\n\n" + table(
        ["row", "LE % quantile", "LE % mean"], rows)


def section_table3(folder):
    rows = []
    for row, paper in TABLE3.items():
        name = f"table3-{row}"
        scores, (steps, speed, _) = folder.scores(name), folder.training(name)
        learned, _, _ = folder.training(f"{name}-classifier")
        parts = {part["name"]: part for part in scores["models"][0]["per_subset"]} if scores else {}
        cells = []
        for subset, published in zip("ABCDEF", paper):
            found = parts.get(subset, {}).get("numbers", {}).get("localization_error")
            seen = "" if subset in row else "*"
            cells.append(f"{percent(found)}{seen} [{published}]")
        everything = number(scores, "localization_error")
        cells.append(f"{interval(everything)} [{paper[-1]}]")
        rows.append([", ".join(row), learned or "", steps or "", plain(speed)] + cells
                    + [percent(number(scores, "mask_mean"))])
    head = ["trained on", "classifier's steps", "steps", "images/s", *"ABCDEF", "all (95 %)", "mask area %"]
    return ("## Table 3: LE % on subsets of classes\n\nOn pictures of Tiny ImageNet's val; * marks classes that were "
            "not trained on; in brackets the paper's, on ImageNet.\n\n" + table(head, rows))


def section_figures(folder):
    text = "## Figure 2\n\nLeft row e, right row a; from above: picture, masked in, masked out, inpainted.\n\n"
    for sheet in sorted(folder.path.glob("figures/figure2/sheet-*.png")):
        name = sheet.relative_to(folder.path)
        text += f"![{sheet.stem}]({name})\n"
    if (folder.path / "figures/figure2/index.html").exists():
        text += "\n[Best and worst cases](figures/figure2/index.html)\n"
    text += "\n" + commands(folder, "figure2") + "\n## Figure 3\n\n"
    if (folder.path / "figures/figure3.svg").exists():
        text += "![What masked pictures do to classifiers](figures/figure3.svg)\n\n"
    groups = {}
    written = folder.text("figures/figure3.csv") if folder.done("figure3") else ""
    for row in csv.DictReader(written.splitlines()):
        groups.setdefault((row["mask"] or "–", row["condition"]), []).append(row)

    def mean(rows, column):
        return sum(float(row[column]) for row in rows) / len(rows)

    rows = [[*names, group[0]["pictures"], len(group), plain(100 * mean(group, "top1")),
             plain(100 * mean(group, "top5")), plain(mean(group, "loss"), 2), plain(mean(group, "entropy"), 2)]
            for names, group in groups.items()]
    head = ["masks of", "condition", "pictures", "classifiers", "top-1 %", "top-5 %", "loss", "entropy"]
    text += "Means over the classifiers; each one is in [figure3.csv](figures/figure3.csv).\n\n"
    return text + table(head, rows) + "\n" + commands(folder, "figure3")


def section_statistics(folder):
    rows = []
    for found in json.loads(folder.text("logs/stats.out")) if folder.done("stats") else []:
        paper = SECTION61[found["model"]]
        rows.append([found["model"], found["pictures"], *(plain(found[key], 4) for key in (
            "average", "std_batch128", "std_global", "entropy", "tv_mean", "tv_sum")), *paper])
    head = ["masks of", "pictures", "average", "std_batch128", "std_global", "entropy", "tv_mean", "tv_sum",
            "paper total variation", "paper entropy", "paper spread"]
    return "## Section 6.1\n\n" + table(head, rows) + "\n" + commands(folder, "stats")


def main():
    folder = Folder(Path(sys.argv[1]))
    parts = [
        introduction(folder),
        section_baselines(folder) + "\n" + commands(folder, "baselines"),
        section_table2(folder),
        section_binarize(folder) + "\n" + commands(folder, "import", "table2", "score-table2"),
        section_table3(folder) + "\n" + commands(folder, "split", "table3", "score-table3"),
        section_figures(folder),
        section_statistics(folder),
    ]
    (folder.path / "report.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
