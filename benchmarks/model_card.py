"""Tables of figures from checkpoints' cards: one name, all of docs/model-card.md; several, those of docs/figures.md side by side.

python -m benchmarks.model_card default [--into docs/model-card.md]
python -m benchmarks.model_card default bknet [--into docs/figures.md]
python -m benchmarks.model_card default --first [--into README.md]      the few rows of the README

With --into they take the place of what stands between the lines `<!-- tables -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_model import card, kinds

YEARS = ("mae", "mae_0_12", "mae_21_60", "mae_over_60")
NAMES = {
    "mae": "mean error, years",
    "mae_0_12": "mean error, 12 and under",
    "mae_21_60": "mean error, 21 to 60",
    "mae_over_60": "mean error, over 60",
    "cs5": "within 5 years",
    "coverage80": "the 80 % interval covers the truth",
    "accuracy_five_groups": "the right one of five groups",
    "accuracy_ranges": "the right one of nine ranges",
    "accuracy": "right",
    "accuracy_13_plus": "right, known to be 13 and over",
    "balanced_accuracy": "right, mean of the classes",
    "gap_race": "right, worst race below the mean of all, points",
    "auc": "area under the ROC curve",
    "ece": "calibration error",
}
TITLES = {  # source, task, figure: how people call it
    ("utkface", "age", "mae"): "UTKFace, age, mean error in years, all ages",
    ("utkface", "age", "mae_21_60"): "UTKFace, age, 21 to 60 years",
    ("utkface", "age", "mae_0_12"): "UTKFace, age, 12 years and under",
    ("utkface", "age", "mae_over_60"): "UTKFace, age, over 60 years",
    ("utkface", "age", "accuracy_five_groups"): "UTKFace, age, the right one of five groups",
    ("utkface", "age", "coverage80"): "UTKFace, age, the 80 % interval covers the truth",
    ("utkface", "gender", "accuracy"): "UTKFace, gender, all ages",
    ("utkface", "gender", "accuracy_13_plus"): "UTKFace, gender, 13 years and over",
    ("genki4k", "smile", "accuracy"): "GENKI-4K, smile",
    ("celeba", "smile", "accuracy"): "CelebA, smile",
    ("celeba", "gender", "accuracy"): "CelebA, gender",
    ("fairface", "gender", "accuracy"): "FairFace, gender",
    ("fairface", "age", "accuracy_ranges"): "FairFace, age, the right one of nine ranges",
    ("csv", "age", "mae"): "All-Age-Faces (never learned from), age, mean error in years",
    ("csv", "age", "coverage80"): "All-Age-Faces (never learned from), age, the 80 % interval covers the truth",
    ("csv", "gender", "accuracy"): "All-Age-Faces (never learned from), gender",
}
FIRST = (
    ("utkface", "age", "mae"),
    ("utkface", "gender", "accuracy_13_plus"),
    ("genki4k", "smile", "accuracy"),
    ("fairface", "gender", "accuracy"),
    ("csv", "age", "mae"),
    ("csv", "age", "coverage80"),
)
"""Rows of the table in the README."""
PLAIN = ("auc", "ece")
POINTS = ("gap_race",)


def shown(metric: str, one: Mapping[str, float]) -> str:
    if metric in YEARS:
        return f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
    if metric in POINTS:
        return f"{100 * one['value']:.1f} ({100 * one['low']:.1f} to {100 * one['high']:.1f})"
    if metric in PLAIN:
        return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
    return f"{100 * one['value']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})"


def tables(loaded: card.Card) -> Iterator[str]:
    for record in loaded.metrics:
        yield f"### {record['source']}, {record['split']}: {record['n']:,} faces\n"
        yield f"`{record.get('command', '')}`\n"
        yield "| task | figure | value (95 % interval) | faces |\n|---|---|---|---|"
        for task, metrics in record["tasks"].items():
            for metric, one in metrics.items():
                yield f"| {task} | {NAMES.get(metric, metric)} | {shown(metric, one)} | {one['n']:,} |"
        yield ""
        for attribute, levels in record["groups"].items():
            yield from _group(attribute, levels)


def comparison(cards: Mapping[str, card.Card], rows: Sequence[tuple[str, str, str]] = (*TITLES,)) -> Iterator[str]:
    """Yield a table with a column per card. cards: by name. rows: source, task, figure, of `TITLES`."""
    found = [{record["source"]: record["tasks"] for record in one.metrics} for one in cards.values()]
    yield "| Test set and figure (95 % interval) | " + " | ".join(f"`{name}`" for name in cards) + " | faces |"
    yield "|---" * (len(cards) + 2) + "|"
    for source, task, metric in rows:
        title = TITLES[source, task, metric]
        values = [one.get(source, {}).get(task, {}).get(metric) for one in found]
        counts = [one["n"] for one in values if one]
        if counts:
            cells = " | ".join(shown(metric, one) if one else "not measured" for one in values)
            yield f"| {title} | {cells} | {counts[0]:,} |"


def _group(attribute: str, levels: Mapping[str, Any]) -> Iterator[str]:
    columns = []
    for task in dict.fromkeys(name for level in levels.values() for name in level):
        metric = kinds.headline({name for level in levels.values() for name in level.get(task, {})})
        if metric:
            columns.append((task, metric))
    if attribute == "face" or not columns:
        return
    yield f"| {attribute} | " + " | ".join(f"{task}: {NAMES[metric]}" for task, metric in columns) + " | faces |"
    yield "|---" * (len(columns) + 2) + "|"
    for level, found in levels.items():
        cells = [
            shown(metric, found[task][metric]) if metric in found.get(task, {}) else "" for task, metric in columns
        ]
        count = max(one["n"] for metrics in found.values() for one in metrics.values())
        yield f"| {level} | " + " | ".join(cells) + f" | {count:,} |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--first", action="store_true", help="the rows of the README alone")
    parser.add_argument("--into", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    cards = {
        name: card.read_card(card.find_checkpoint(name, card.shipped_weights(), Path("runs")))
        for name in arguments.checkpoints
    }
    if arguments.first or len(cards) > 1:
        text = "\n".join(comparison(cards, FIRST if arguments.first else (*TITLES,)))
    else:
        text = "\n".join(tables(*cards.values()))
    if not arguments.into:
        return print(text)
    before, rest = arguments.into.read_text(encoding="utf-8").split("<!-- tables -->")
    after = rest.split("<!-- end -->")[1]
    card.write_text(arguments.into, f"{before}<!-- tables -->\n\n{text}\n<!-- end -->{after}")


if __name__ == "__main__":
    main()
