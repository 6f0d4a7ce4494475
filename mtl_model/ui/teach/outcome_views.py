"""The HTML of what a Teach run brought: the sentence, before and after with intervals, and the pictures that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_model import kinds, promises, wording
from mtl_model import runs as folders
from mtl_model.names import caption, isolated
from mtl_model.ui.figures import quantity
from mtl_model.ui.render import escape, named, render
from mtl_model.ui.server.retention import megabytes
from mtl_model.ui.teach.forecast_views import RECORDED, meter
from mtl_model.ui.teach.progress_views import broken_off
from mtl_model.ui.teach.teaching import Run
from mtl_model.ui.teach.views import HOW_FAR, button, duration, plural

FIRST = 12  # wrong answers that are shown at once
FEW_HELD = 30  # pictures: with fewer the figures can hardly tell anything


def summary(outcome: Mapping[str, Any], recorded: bool = False) -> str:
    """What it brought: one figure per task, what it is worth, how it was measured; then the answers that are wrong.

    recorded: the pictures are frames of a recording, which are more alike than new ones will be."""
    if not outcome:
        return ""
    tasks: Mapping[str, Any] = outcome.get("tasks", {})
    counts = outcome.get("counts", {})
    learned = (
        f"It learned from {plural(int(counts.get('train', 0)), 'picture')} in {duration(float(outcome.get('seconds', 0)))}: "
        f"{HOW_FAR.get(str(outcome.get('how')), ('', ''))[0].lower()}, starting from {outcome.get('parent', '')}."
    )
    if counts.get("val"):
        learned += f" {plural(int(counts['val']), 'other picture')} told when to stop."
    lead = "".join(_lead(one) for one in tasks.values())
    rest = wording.outcome(**{**outcome, "tasks": {}}) if "titles" in outcome else outcome.get("sentence", "")
    first = lead or f'<p class="sentence">{escape(sentence(outcome))}</p>'
    rest = f"<p>{escape(rest)}</p>" if lead and (outcome.get("changed") or outcome.get("unshown")) else ""
    rest += f"<p>{RECORDED}</p>" if recorded else ""
    return f'{first}{rest}<p class="small">{escape(learned)}</p>{_wrong(outcome)}'


def _lead(one: Mapping[str, Any]) -> str:
    """The figure of a task on a bar, its verdict in words, and on what it was measured."""
    verdict = wording.verdict_of(one)
    folds, n = int(one.get("folds") or 0), int(one.get("n", 0))
    metric = kinds.all_metrics().get(str(one.get("metric")))
    measured = f"{metric.title}, measured" if metric else "Measured"
    measured = (
        f"{measured} on {plural(n, 'picture')}, in {folds} rounds: each answered by what the others taught."
        if folds
        else f"{measured} on {plural(n, 'picture')} that it never saw."
    )
    few = " With so few, chance alone moves this figure a lot." if n < FEW_HELD else ""
    before = ""
    if one.get("before") is not None and verdict != "not_compared":
        change = interval_text(one.get("difference"), str(one.get("unit", "share")))
        change = f"; the difference is {change}" if change else ""
        before = f" Before it was {figure(one['before'], str(one['unit']))}{change}."
    return render(
        "teach/lead.html",
        title=one.get("title", ""),
        headline=promises.reached(one),
        verdict=verdict,
        worth=promises.worth(one),
        blind=verdict == "guess",
        meter=meter(one),
        measured=f"{measured}{few}{before}",
        sure=wording.reliability(one),
        confused=promises.confused(one),
    )


def _wrong(outcome: Mapping[str, Any]) -> str:
    """The pictures that are answered wrongly by what the others taught, the surest first."""
    some = outcome.get("pictures", {}).get("wrong", ())
    if not some:
        return ""
    cards = [_picture(one, outcome.get("tasks", {})) for one in some]
    rest = "".join(cards[FIRST:])
    more = (
        f'<details class="fold"><summary>{len(cards) - FIRST} more</summary><ul class="pictures">{rest}</ul></details>'
    )
    return (
        '<div class="finding" id="teach-wrong"><p><b>Answered wrongly</b>, the surest first. Is a label wrong, or do pictures '
        f'like these lack? Then mend or add them in steps 1 and 2, and learn again.</p><ul class="pictures">'
        f"{''.join(cards[:FIRST])}</ul>{more if rest else ''}</div>"
    )


def sentence(outcome: Mapping[str, Any]) -> str:
    """What it brought in words; an outcome of an older version holds them."""
    return outcome.get("sentence") or (wording.outcome(**outcome) if "titles" in outcome else "")


def details(outcome: Mapping[str, Any]) -> str:
    """What is behind the figures: which class was taken for which, and the pictures that changed."""
    tasks: Mapping[str, Any] = outcome.get("tasks", {})
    return "".join(map(confusion, tasks.values())) + pictures(outcome.get("pictures", {}), tasks)


def figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{round(100 * value)} %" if unit == "share" else f"{quantity(value)} {unit}".rstrip()


def interval_text(interval: Sequence[float] | None, unit: str) -> str:
    if not interval or not any(interval):
        return ""
    low, high = ((100 * one if unit == "share" else one) for one in interval)
    name = "points" if unit == "share" else unit
    return f"{quantity(low, '+')} to {quantity(high, '+')} {name}".rstrip()


def confusion(one: Mapping[str, Any]) -> str:
    """What was answered for what is true, before and after."""
    classes = [str(name) for name in one.get("classes") or ()]
    tables = "".join(
        _matrix(str(one.get("title", "")), when, classes, one[key])
        for when, key in (("Before", "confusion_before"), ("After", "confusion_after"))
        if one.get(key) and classes
    )
    if not tables:
        return ""
    title = named(one.get("title", ""))
    return (
        f'<details class="fold"><summary><span>{title}: which class was taken for which</span></summary>'
        f'<div class="matrices">{tables}</div></details>'
    )


def _matrix(task: str, when: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    head = "".join(f'<th scope="col">{named(name)}</th>' for name in classes)
    rows = ""
    for truth, (name, row) in enumerate(zip(classes, counts, strict=False)):
        cells = "".join(
            f'<td class="{"hit" if answer == truth else "miss"}{"" if count else " none"}">{count:,}</td>'
            for answer, count in enumerate(row)
        )
        rows += f'<tr><th scope="row">{named(name)}</th>{cells}</tr>'
    told = escape(caption(task, f"answers by label, {when.lower()}"))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{told}">'
        f'<table class="matrix"><caption>{when}: rows are the labels, columns the answers</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def pictures(groups: Mapping[str, Sequence[Mapping[str, Any]]], tasks: Mapping[str, Any]) -> str:
    """Those whose answer came nearer to the label, and those where it went away from it."""
    parts = []
    for key, title in (("better", "Changed for the better"), ("worse", "Changed for the worse")):
        some = groups.get(key, ())
        if some:
            cards = "".join(_picture(one, tasks) for one in some)
            parts.append(
                f'<div class="finding"><p><b>{title}</b> ({len(some)} shown)</p><ul class="pictures">{cards}</ul></div>'
            )
    return "".join(parts)


def _picture(one: Mapping[str, Any], tasks: Mapping[str, Any]) -> str:
    file = str(one.get("file", ""))
    title = tasks.get(str(one.get("task")), {}).get("title", one.get("task", ""))
    before = f"{named(one['before'])} → " if one.get("before") else "it says "
    return (
        f'<li class="picture"><div class="thumb"><img data-src="{escape(file)}" alt="{escape(isolated(file))}" width="128" '
        'height="128"></div>'
        f'<p class="file" title="{escape(file)}">{named(file.rsplit("/", 1)[-1])}</p>'
        f'<p class="small">{named(title)}: {named(one.get("truth", ""))}</p>'
        f'<p class="small">{before}<b>{named(one.get("after", ""))}</b></p></li>'
    )


def decide(run: Run, outcome: Mapping[str, Any]) -> str:
    """Keep it or go back, and once more what it is not worth."""
    size = megabytes(folders.count_pictures(run.folder)["total_bytes"])
    if run.state == "accepted":
        kept = f"kept, {size}, until you delete them on the About tab or with it" if run.kept else "deleted"
        return (
            f'<p class="sentence">{escape(run.name)} is kept: it can be chosen above the tabs. The pictures that it was '
            f'taught with are {kept}.</p><p class="actions">{button("use", f"Use {run.name}", primary=True, name=run.name)}'
            f"{button('extend', 'Add pictures or mend labels') if run.kept else ''}"
            f"{button('another', 'Teach something else')}</p>"
        )
    if run.state != "done":
        return ""
    blind = [isolated(one["title"]) for one in outcome.get("tasks", {}).values() if wording.verdict_of(one) == "guess"]
    warning = f"{', '.join(blind)}: no better than guessing." if blind else ""
    more = button("resume", "Go on learning") if run.can_go_on else ""
    early = '<p class="small">It ended before it was done; going on may make it better.</p>' if more else ""
    late = (
        '<p class="sentence">You changed pictures or labels after this was learned, so it does not know of that. To use them, '
        "start from the beginning in step 3; or keep it as it is.</p>"
        if run.outdated
        else ""
    )
    return (
        f"{broken_off(run)}{early}{late}"
        f'<p class="actions">'
        f"{button('try-live', 'Try live on the webcam', name=run.name)}{button('pick-photo', 'Try a photo')}"
        f"{button('reopen', 'Add pictures')}"
        f"{button('accept', 'Keep', primary=not warning, size=size, warning=warning)}{more}{button('discard', 'Discard')}"
        f"{button('download', 'Download')}</p>"
        '<p class="small">Keeping offers it beside the others, and asks whether the pictures you uploaded stay too; the '
        "checkpoint it was made from stays as it is. Discarding takes it away together with the pictures.</p>"
    )
