"""Tell variants of a published system apart, by the lines that `benchmarks.systems` wrote: curves in one chart, errors per task.

python -m benchmarks.curves NAME a,b,c FILE.svg [--quantity loss|error]
python -m benchmarks.curves NAME a,b,c
    [--results docs/systems.jsonl]

a,b,c: variants. With a file a curve per variant, the mean over its tasks, of the first seed. loss: on train, mean over the steps
that were reported in an epoch. error: on val, what chooses the epoch: the share of wrong answers, or of few labels the log loss.
Without one a table with a row per task and a column per variant: the error after the last epoch in %, mean over the seeds with
the least and the largest. It also holds the tasks that are no headline of the system.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lines import Lines
from mtl_model.config import listed

QUANTITIES = {"loss": "loss on train", "error": "error on val"}


def runs_of(lines: Lines, name: str, variant: str) -> list[dict[str, Any]]:
    """Return the longest runs of a system or variant, one per seed, in the order of the seeds."""
    of_it = [run for run in lines.runs if (run["system"], run["variant"], run["shuffled"]) == (name, variant, False)]
    length = max((run["epochs"] * run["fraction"] for run in of_it), default=0)
    return sorted((run for run in of_it if run["epochs"] * run["fraction"] == length), key=lambda run: run["seed"])


def series(lines: Lines, name: str, variants: Sequence[str], quantity: str) -> dict[str, list[float]]:
    """{variant: one number per epoch}, as far as each run went."""
    result = {}
    for variant in variants:
        run = runs_of(lines, name, variant)[0]
        of_tasks = [curve[quantity] for curve in run["curves"].values()]
        means = [float(np.mean(values)) for values in zip(*of_tasks, strict=False)]
        result[f"{variant} (failed)" if "failed" in run else variant] = means
    return result


def draw(curves: Mapping[str, Sequence[float]], quantity: str, file: Path) -> None:
    """Write the curves as an SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {
        "svg.hashsalt": "mtl_model",
        "svg.fonttype": "none",
    }  # the same curves make the same small file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.4))
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, linewidth=1.4, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel(QUANTITIES[quantity])
    axes.set_ylim(bottom=0)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def table(lines: Lines, name: str, variants: Sequence[str]) -> Iterator[str]:
    """The error on val after the last epoch, in % or as the log loss, by task and variant."""
    runs = {variant: runs_of(lines, name, variant) for variant in variants}
    tasks = dict.fromkeys(task for of_it in runs.values() for run in of_it for task in run["curves"])
    yield f"| error on val | {' | '.join(f'{variant} ({len(of_it)})' for variant, of_it in runs.items())} |"
    yield "|---" * (len(runs) + 1) + "|"
    for task in tasks:
        cells = []
        for of_it in runs.values():
            curves = [run["curves"][task]["error"] for run in of_it if task in run["curves"] and "failed" not in run]
            last = [100 * errors[-1] for errors in curves]
            ends = f" ({min(last):.1f} to {max(last):.1f})" if len(last) > 1 else ""
            cells.append(f"{np.mean(last):.1f}{ends}" if last else "-")
        yield f"| {task.replace('_', ' ')} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("variants", type=listed, metavar="VARIANTS")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE.svg")
    parser.add_argument("--quantity", default="error", choices=QUANTITIES)
    parser.add_argument("--results", type=Path, default=Path("docs/systems.jsonl"))
    arguments = parser.parse_args()
    lines = Lines(arguments.results)
    if arguments.file:
        curves = series(lines, arguments.name, arguments.variants, arguments.quantity)
        draw(curves, arguments.quantity, arguments.file)
    else:
        print("\n".join(table(lines, arguments.name, arguments.variants)))


if __name__ == "__main__":
    main()
