"""The HTML of what a Teach run brought: the sentence, before and after with intervals, and the pictures that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_model import runs as folders
from mtl_model import wording
from mtl_model.card import Card
from mtl_model.names import caption, isolated
from mtl_model.ui.figures import METRICS, quantity
from mtl_model.ui.render import escape, named
from mtl_model.ui.server.retention import megabytes
from mtl_model.ui.teach.progress_views import broken_off
from mtl_model.ui.teach.teaching import Run
from mtl_model.ui.teach.views import HOW_FAR, button, duration, plural

FEW_HELD = 30  # pictures: with fewer the figures can hardly tell anything


def summary(outcome: Mapping[str, Any], child: Card | None) -> str:
    """The difference in a sentence and in figures. child: its card, for the titles of tasks."""
    if not outcome:
        return ""
    tasks: Mapping[str, Any] = outcome.get("tasks", {})
    counts = outcome.get("counts", {})
    held = int(counts.get("held", 0))
    way = HOW_FAR.get(str(outcome.get("how")), ("", ""))[0].lower()
    folds = max((int(one.get("folds") or 0) for one in tasks.values()), default=0)
    measured = (
        f"The figures are of pictures held out: in {folds} rounds, each picture once, answered by what the others taught."
        if folds
        else f"{held:,} pictures that it never saw are what it is measured on."
    )
    stopped = f" {int(counts['val']):,} others told when to stop." if counts.get("val") else ""
    learned = (
        f"It learned from {plural(int(counts.get('train', 0)), 'picture')} in {duration(float(outcome.get('seconds', 0)))}, "
        f"starting from {outcome.get('parent', '')}: {way}.{stopped} {measured}"
    )
    fewest = min((int(one.get("n", 0)) for one in tasks.values()), default=0)
    few = (
        '<p class="small">With so few pictures to measure on, chance alone moves these figures a lot.</p>'
        if fewest < FEW_HELD
        else ""
    )
    sure = "".join(
        f'<p class="small">{named(one.get("title", ""))}: {escape(text)}</p>'
        for one in tasks.values()
        if (text := wording.reliability(one))
    )
    return (
        f'<p class="sentence">{escape(sentence(outcome))}</p><p class="small">{escape(learned)}</p>{few}'
        f"{table(tasks)}{sure}{untouched(outcome.get('changed', {}), child)}"
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


def range_text(interval: Sequence[float] | None, unit: str) -> str:
    """ "71 to 93 %" """
    if not interval:
        return ""
    low, high = ((f"{100 * one:.0f}" if unit == "share" else quantity(one)) for one in interval)
    return f"{low} to {high} {'%' if unit == 'share' else unit}".rstrip()


def table(tasks: Mapping[str, Any]) -> str:
    rows = ""
    for one in tasks.values():
        unit, verdict = str(one.get("unit", "share")), wording.verdict_of(one)
        interval = interval_text(one.get("difference"), unit)
        metric = str(one.get("metric", ""))
        measured = f"{METRICS.get(metric, metric).lower()}, {plural(int(one.get('n', 0)), 'picture')}"
        rows += (
            f'<tr><th scope="row">{named(one.get("title", ""))} <span class="small">{escape(measured)}</span></th>'
            f'<td data-head="Before">{figure(one.get("before"), unit)}</td>'
            f'<td data-head="After"><b>{figure(one.get("after"), unit)}</b> '
            f'<span class="small">{escape(range_text(one.get("interval"), unit))}</span></td>'
            f'<td data-head="Difference"><b class="verdict {verdict}">{wording.VERDICTS[verdict]}</b> '
            f'<span class="small">{escape(interval)}</span></td></tr>'
        )
    if not rows:
        return ""
    return (
        '<table class="plain outcome"><thead><tr><th scope="col">Task</th><th scope="col">Before</th><th scope="col">After'
        f'</th><th scope="col">Difference</th></tr></thead><tbody>{rows}</tbody></table>'
        '<p class="small">The ranges in small print are 95 % intervals: so far chance alone can move a figure of so many '
        "pictures.</p>"
    )


def untouched(changed: Mapping[str, float], card: Card | None) -> str:
    """Of the tasks that were not taught: how many answers are others than before. If none is, the sentence says so."""
    titles = {task.name: task.title for task in card.tasks} if card else {}
    told = [
        f"{isolated(titles.get(name, name))}: {'no answer changed' if not share else f'{100 * share:.1f} % of answers changed'}"
        for name, share in changed.items()
    ]
    return f"<p>Not taught, on the same pictures: {escape('; '.join(told))}.</p>" if any(changed.values()) else ""


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
    return (
        f'<li class="picture"><div class="thumb"><img data-src="{escape(file)}" alt="{escape(isolated(file))}" width="128" '
        'height="128"></div>'
        f'<p class="file" title="{escape(file)}">{named(file.rsplit("/", 1)[-1])}</p>'
        f'<p class="small">{named(title)}: {named(one.get("truth", ""))}</p>'
        f'<p class="small">{named(one.get("before", ""))} → <b>{named(one.get("after", ""))}</b></p></li>'
    )


def decide(run: Run) -> str:
    """Keep it or go back."""
    size = megabytes(folders.count_pictures(run.folder)["total_bytes"])
    if run.state == "accepted":
        kept = f"kept, {size}, until you delete them on the About tab or with it" if run.kept else "deleted"
        return (
            f'<p class="sentence">{escape(run.name)} is accepted: it can be chosen above the tabs. The pictures that it was '
            f'taught with are {kept}.</p><p class="actions">{button("use", f"Use {run.name}", primary=True, name=run.name)}'
            f"{button('another', 'Teach something else')}</p>"
        )
    if run.state != "done":
        return ""
    more = button("resume", "Go on learning") if run.can_go_on else ""
    early = '<p class="small">It ended before it was done; going on may make it better.</p>' if more else ""
    late = (
        '<p class="sentence">You changed pictures or labels after this was learned, so it does not know of that. To use them, '
        "start from the beginning in step 3; or accept it as it is.</p>"
        if run.outdated
        else ""
    )
    return (
        f"{broken_off(run)}{early}{late}"
        f'<p class="actions">{button("accept", "Accept", primary=True, size=size)}{more}{button("discard", "Discard")}'
        f"{button('download', 'Download')}</p>"
        '<p class="small">Accepting offers it beside the others, and asks whether the pictures you uploaded are to be kept; the '
        "checkpoint it was made from stays as it is. Discarding takes it away together with the pictures.</p>"
    )
