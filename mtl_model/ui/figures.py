"""Figures of records in words: what each metric is called, its unit, how a number is written."""

from __future__ import annotations

from collections.abc import Mapping

from mtl_model.evaluate import metrics
from mtl_model.kinds import PLAIN, POINTS, SHARE
from mtl_model.tasks import Task

SHARES = (SHARE, POINTS, PLAIN)
"""Units of figures from 0 to 1; any other is that of a quantity, such as "years"."""
METRICS: Mapping[str, str] = {name: metric.title for name, metric in metrics.all_metrics().items()}
"""Metric of a record -> what a person reads. One that is not here is shown under its own name."""
SOURCES = {
    "utkface": "UTKFace",
    "genki4k": "GENKI-4K",
    "fairface": "FairFace",
    "celeba": "CelebA",
    "imdbwiki": "IMDB-WIKI",
}
LAYOUTS = {
    "folders": "Pictures in folders",
    "csv": "Pictures with a table of labels",
    "list": "Pictures with a list of labels",
}
"""Those that hold any data set, which is then known by its folder."""
DATA_SETS = {"aaf": "All-Age-Faces", "housenumbers": "SVHN"}

Figure = Mapping[str, float]
"""{"value", "low", "high", "n"}; the 95 % interval may be missing."""


def data_set(source: str, folder: str = "") -> str:
    """Return what a person calls a data set. source: its layout. folder: its name, "" where a card does not say."""
    if source not in LAYOUTS:
        return SOURCES.get(source, source)
    return DATA_SETS.get(folder) or f"{LAYOUTS[source]}{f', {folder}' if folder else ''}"


def words_of(metric: str, task: Task | None) -> tuple[str, str]:
    """Return what a person reads for a metric of a task, and its unit."""
    known = metrics.all_metrics().get(metric)
    return METRICS.get(metric, metric), known.unit_for(task) if known else PLAIN


def number(value: float, unit: str, with_unit: bool = True) -> str:
    if unit == SHARE:
        return f"{100 * value:.1f}{' %' if with_unit else ''}"
    if unit == POINTS:
        return f"{100 * value:.1f}{' points' if with_unit else ''}"
    if unit == PLAIN:
        return f"{value:.3f}"
    return f"{quantity(value)}{f' {unit}' if with_unit and unit else ''}"


def quantity(value: float, sign: str = "") -> str:
    """Write a quantity with one decimal, or two digits where that would be little of it. sign: "+" to write it always."""
    return f"{value:{sign}.1f}" if abs(value) >= 0.1 or not value else f"{value:{sign}.2g}"
