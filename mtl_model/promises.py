"""The words of a forecast: what a learning would reach, what would make it better, what is a trap. See `train.forecast`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_model import wording
from mtl_model.names import isolated
from mtl_model.wording import SHARE

FACTS: Mapping[str, str] = {
    "width": "the width of the picture",
    "height": "the height of the picture",
    "bytes_per_pixel": "the size of the file for each pixel",
    "brightness": "how bright the picture is",
    "contrast": "its contrast",
    "saturation": "how strong its colours are",
    "sharpness": "how sharp the picture is",
    "jpeg_quality": "how strongly the file is compressed",
    "format": "the format of the file",
    "folder": "the folder that it comes from",
}


def reached(figures: Mapping[str, Any]) -> str:
    """Return the figure of a task that was learned, with its interval, as a sentence."""
    share, unit = figures["unit"] == SHARE, figures["unit"]
    scale, digits = (100, 0) if share else (1, 1)
    value = f"{scale * figures['after']:.{digits}f}"
    said = f"right for {value} of 100 pictures" if share else f"off by {f'{value} {unit}'.strip()} on average"
    if not figures.get("interval"):
        return f"{said}."
    low, high = (f"{scale * end:.{digits}f}" for end in figures["interval"])
    return f"{said} ({low} to {high})."


def worth(figures: Mapping[str, Any]) -> str:
    """Return what the figure of a task that was learned is worth, in words; see `wording.verdict_of`."""
    verdict, blind = wording.verdict_of(figures), figures.get("guess")
    if blind is None or verdict not in ("new", "guess"):
        return wording.VERDICTS[verdict]
    rate = f"{100 * blind:.0f}" if figures["unit"] == SHARE else f"{blind:.1f} {figures['unit']}".strip()
    return f"{'better' if verdict == 'new' else 'no better'} than guessing, which gives {rate}"


def promise(figures: Mapping[str, Any]) -> str:
    """Return what learning now would reach, as a sentence; figures: of a task, measured by cross-validation."""
    low, high = figures["interval"]
    if figures["unit"] != SHARE:
        off = f"{figures['after']:.1f} {figures['unit']}".strip()
        said = f"off by {off} on average ({low:.1f} to {high:.1f})"
    else:
        said = f"right for about {100 * figures['after']:.0f} of 100 new pictures ({100 * low:.0f} to {100 * high:.0f})"
    if figures.get("beats_guess", True):
        return f"If you learn this now: {said}."
    blind = figures["guess"]
    rate = f"{100 * blind:.0f} of 100" if figures["unit"] == SHARE else f"{blind:.1f} {figures['unit']}".strip()
    return f"If you learn this now: {said}, no better than guessing, which gives {rate}."


def growth(figures: Mapping[str, Any]) -> str:
    """Return what more pictures may bring, as a sentence; "" where nothing could be measured, or guessing is as good."""
    if not figures.get("curve") or not figures.get("beats_guess", True):
        return ""
    share = figures["unit"] == SHARE
    half, now, twice = (
        f"{100 * value:.0f}" if share else f"{value:.1f} {figures['unit']}".strip()
        for value in (figures["curve"][-2][1], figures["curve"][-1][1], figures["twice"])
    )
    first, last = figures["curve"][-2][1], figures["curve"][-1][1]
    if now == twice or (first >= last if share else first <= last):
        return f"With half of them it was {half}: more pictures like these would hardly change it."
    return f"With half of them it was {half}; with twice as many it may be about {twice}."


def confused(figures: Mapping[str, Any]) -> list[str]:
    """Return per class what it is taken for, as sentences, the worst first."""
    rows = figures.get("confusion_after") or ()
    classes, told = figures.get("classes") or (), []
    for truth, row in enumerate(rows):
        total = sum(row)
        wrong = sorted(((count, name) for name, count in zip(classes, row, strict=True)), reverse=True)
        wrong = [(count, name) for count, name in wrong if count and name != classes[truth]]
        if total and wrong:
            taken = ", ".join(f"{count} for {isolated(name)}" for count, name in wrong[:3])
            told.append((1 - row[truth] / total, f"Of {total:,} {isolated(classes[truth])}, {taken}."))
    return [text for _, text in sorted(told, key=lambda pair: -pair[0])]


def trap(title: str, right: float, fact: str, alone: float, means: Mapping[str, float]) -> str:
    """Return the warning that classes can be told by what has nothing to do with the face."""
    values = f" ({', '.join(f'{isolated(group)}: {value:g}' for group, value in means.items())})" if means else ""
    return (
        f"{title}: the classes can be told for {100 * right:.0f} of 100 pictures by what has nothing to do with the face, "
        f"most of all by {FACTS.get(fact, fact)}{values}, alone {100 * alone:.0f}. What is learned may be that, and fail "
        "on other pictures. Bring pictures in which this is the same in all classes."
    )


def harm(code: str, count: int, values: Mapping[str, Any], **more: Any) -> str:
    """Return what harms a learning, as sentences; values: as `harmful.harmful` has them."""
    much = [f"{bad:,} of {total:,} of {isolated(group)}" for group, (bad, total) in values["much"].items()]
    warning = f" That is {' and '.join(much)}: these classes suffer as a whole." if much else ""
    return wording.text(code, {"count": count, "task": values["task"]}) + warning


def lines(
    tasks: Mapping[str, Mapping[str, Any]],
    refused: Mapping[str, Mapping[str, Any]],
    suspects: Sequence[Mapping[str, Any]],
    harmful: Sequence[Mapping[str, Any]],
    traps: Mapping[str, Mapping[str, Any]],
    suggestions: Sequence[Mapping[str, Any]],
    **more: Any,
) -> list[str]:
    """Return the lines of a forecast as the command line prints them; see `train.forecast`."""
    told: list[str] = []
    for name, figures in tasks.items():
        told += [f"{isolated(figures['title'])}: {promise(figures)} {growth(figures)}".strip()]
        told += [f"  {sentence}" for sentence in (*confused(figures), wording.reliability(figures)) if sentence]
        told += [f"warning: {trap(**traps[name])}"] if name in traps else []
    told += [str(reason["message"]) for reason in refused.values()]
    told += [f"warning: {harm(**finding)} For example {', '.join(finding['files'][:3])}." for finding in harmful]
    for title, some, keys in (
        ("Labels that look wrong, the worst first", suspects, ("label", "likelier")),
        ("Worth labelling next", suggestions, ("guess",)),
    ):
        told += [f"{title}:"] if some else []
        told += [f"  {row['file']}  {' -> '.join(str(row[key]) for key in keys)}" for row in some]
    return told
