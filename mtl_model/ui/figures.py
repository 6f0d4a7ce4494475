"""Figures of records in words: what each metric is called, its unit, how a number is written."""

from __future__ import annotations

from collections.abc import Mapping

SHARE, POINTS, YEARS, PLAIN = "share", "points", "years", "plain"
METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("Right answers", SHARE),
    "accuracy_13_plus": ("Right answers, known to be 13 and over", SHARE),
    "gap_race": ("Right answers, worst race below the mean of all", POINTS),
    "balanced_accuracy": ("Right answers, each class counting the same", SHARE),
    "auc": ("Ranking (area under the ROC curve)", PLAIN),
    "ece": ("Distance between stated and true probability", SHARE),
    "mae": ("Mean error", YEARS),
    "mae_0_12": ("Mean error, ages 0 to 12", YEARS),
    "mae_21_60": ("Mean error, ages 21 to 60", YEARS),
    "mae_over_60": ("Mean error, over 60", YEARS),
    "cs5": ("At most 5 years off", SHARE),
    "coverage80": ("True age inside the interval (meant: 80 %)", SHARE),
    "accuracy_five_groups": ("Right age group of the five", SHARE),
    "accuracy_ranges": ("Right age range", SHARE),
}
"""Metric of a record -> what a person reads, and its unit. One that is not here is shown under its own name."""
HEADLINES = ("mae", "accuracy_ranges", "accuracy")
"""The one figure that stands for a task, the first of these that was measured."""
SOURCES = {
    "utkface": "UTKFace",
    "genki4k": "GENKI-4K",
    "fairface": "FairFace",
    "celeba": "CelebA",
    "imdbwiki": "IMDB-WIKI",
    "folders": "Pictures in folders",
    "csv": "Pictures with a table of labels",
    "list": "Pictures with a list of labels",
}

Figure = Mapping[str, float]
"""{"value", "low", "high", "n"}; the 95 % interval may be missing."""


def number(value: float, unit: str, with_unit: bool = True) -> str:
    if unit == SHARE:
        return f"{100 * value:.1f}{' %' if with_unit else ''}"
    if unit == POINTS:
        return f"{100 * value:.1f}{' points' if with_unit else ''}"
    if unit == YEARS:
        return f"{value:.1f}{' years' if with_unit else ''}"
    return f"{value:.3f}"
