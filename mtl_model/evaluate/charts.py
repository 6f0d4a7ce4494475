"""Records of metrics -> PNG files, with matplotlib, which is an extra."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtl_model import kinds
from mtl_model.errors import UsageError
from mtl_model.names import printable, shortened
from mtl_model.tasks import Task

LONGEST_NAME = 60  # letters
INK, ACCENT, QUIET = "#1f2933", "#2156c9", "#9aa5b1"


def check_installed() -> None:
    """Raise UsageError without matplotlib: before the work whose figures are to be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("Charts need matplotlib, which is not installed. Run: pip install matplotlib")


def chart_file(folder: Path, *parts: str) -> Path:
    """Return the file of a chart, named by its parts. Names of tasks come from anybody's table: none leads out of the folder."""
    plain = (printable(part).replace("/", "_").replace(os.sep, "_") for part in parts)
    return folder / f"{'-'.join(shortened(part, LONGEST_NAME) for part in plain)}.png"


def _pyplot() -> Any:
    check_installed()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(pyplot: Any, figure: Any, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    stamped = {"metadata": {"Date": None}} if file.suffix == ".svg" else {}
    with pyplot.rc_context({"svg.hashsalt": "mtl_model"}):  # the same drawing is the same file
        figure.savefig(file, dpi=120, bbox_inches="tight", **stamped)
    pyplot.close(figure)
    return file


def training_chart(curves: Mapping[str, Mapping[str, list[float]]], titles: Mapping[str, str], file: Path) -> Path:
    """Draw a training: for each task the loss on train and the error on val by epoch, in a file of the kind that its suffix says.

    curves: {task: {"loss": [one per epoch], "error": [one per epoch]}}. titles: {task: what its error is}."""
    pyplot = _pyplot()
    figure, rows = pyplot.subplots(2, len(curves), figsize=(2.8 * len(curves), 3.6), squeeze=False, sharex=True)
    for column, (task, numbers) in enumerate(curves.items()):
        for row, (name, title) in enumerate((("loss", f"{task}, loss on train"), ("error", titles[task]))):
            axes = rows[row][column]
            axes.plot(range(1, len(numbers[name]) + 1), numbers[name], color=ACCENT, marker="o", markersize=3)
            axes.set_title(title, fontsize=8, color=INK, loc="left")
            axes.tick_params(labelsize=7, colors=INK)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.spines[["top", "right"]].set_visible(False)
    for axes in rows[1]:
        axes.set_xlabel("epoch", fontsize=8, color=INK)
    figure.tight_layout()
    return _save(pyplot, figure, file)


def evaluation_charts(record: Mapping[str, Any], tasks: Iterable[Task], folder: Path) -> list[Path]:
    """Draw a confusion matrix and a calibration chart for each task of classes, an error chart for each of numbers.

    record: as `metrics.evaluate` returns it, with its "curves". Returns the files written."""
    axes = {task.name: kinds.of(task).axes(task) for task in tasks}
    files = []
    name = f"{record['source']}-{record['split']}"
    for task, curves in record["curves"].items():
        if "confusion" in curves:
            files.append(confusion_chart(curves, f"{task} on {name}", chart_file(folder, name, task, "confusion")))
            files.append(calibration_chart(curves, f"{task} on {name}", chart_file(folder, name, task, "calibration")))
        if curves.get("errors"):
            file = chart_file(folder, name, task, "errors")
            files.append(error_chart(curves["errors"], axes[task], f"{task} on {name}", file))
    return files


def label_charts(labels: Mapping[str, Mapping[str, Mapping[str, int]]], kind: str, folder: Path) -> list[Path]:
    """Draw the pictures by class, one chart per task. labels: {task: {class: {split: pictures}}}. Returns the files written."""
    files = []
    for task, classes in labels.items():
        counts = {name: sum(splits.values()) for name, splits in classes.items()}
        files.append(count_chart(counts, f"{task} in {kind}", chart_file(folder, kind, task)))
    return files


def confusion_chart(curves: Mapping[str, Any], title: str, file: Path) -> Path:
    """Rows are the truth, columns the answers; shares of each row, with the counts."""
    pyplot = _pyplot()
    classes, counts = curves["classes"], curves["confusion"]
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    side = 1.6 + 1.1 * len(classes)
    figure, axes = pyplot.subplots(figsize=(side + 1, side))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="answer", ylabel="truth", title=title)
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            text = f"{100 * share:.0f} %\n{counts[row][column]:,}"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else INK)
    return _save(pyplot, figure, file)


def calibration_chart(curves: Mapping[str, Any], title: str, file: Path) -> Path:
    """How often the answer is right against how sure the network is, in bins of equal mass; on the line is calibrated."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(4.2, 4))
    confidence, right = ([one[index] for one in curves["calibration"]] for index in (0, 1))
    low = min(0.5, *confidence)
    axes.plot([low, 1], [low, 1], color=QUIET, linewidth=1)
    axes.plot(confidence, right, color=ACCENT, marker="o", markersize=4)
    axes.set(xlabel="how sure it is", ylabel="how often it is right", title=title, xlim=(low, 1.01), ylim=(0, 1.02))
    return _save(pyplot, figure, file)


def error_chart(
    errors: Iterable[tuple[str, float, float, int]], axes_of: tuple[str, str], title: str, file: Path
) -> Path:
    """Draw the mean error and its mean absolute value for each range of true values. axes_of: what the axes are called."""
    pyplot = _pyplot()
    rows = list(errors)
    figure, axes = pyplot.subplots(figsize=(0.75 * max(6, len(rows)) + 1, 3.6))
    names = [f"{name}\nn = {count}" for name, _, _, count in rows]
    axes.bar(names, [absolute for _, _, absolute, _ in rows], color=ACCENT, width=0.6, label="mean absolute error")
    axes.plot(names, [bias for _, bias, _, _ in rows], color=INK, marker="o", label="mean error (above 0: too high)")
    axes.axhline(0, color=QUIET, linewidth=1)
    axes.set(xlabel=axes_of[0], ylabel=axes_of[1], title=title)
    axes.legend(frameon=False, fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    return _save(pyplot, figure, file)


def count_chart(counts: Mapping[str, int], title: str, file: Path) -> Path:
    """Pictures by class, as horizontal bars in the order given."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(6.4, 0.6 + 0.3 * max(1, len(counts))))
    bars = axes.barh(list(counts), list(counts.values()), color=ACCENT)
    axes.bar_label(bars, [f" {count:,}" for count in counts.values()], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="pictures", title=title)
    return _save(pyplot, figure, file)
