"""The HTML of what is in an upload: bars by class, what is wrong with thumbnails, and all pictures by class, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mtl_model import jobs, kinds, wording
from mtl_model import runs as folders
from mtl_model.card import Card
from mtl_model.data.check import UNLABELLED
from mtl_model.kinds import RARE
from mtl_model.names import caption, isolated
from mtl_model.records import PICTURE
from mtl_model.run_records import Report
from mtl_model.tasks import Task
from mtl_model.train.splits import LEAST_GUESSED, LEAST_TAUGHT
from mtl_model.ui.render import escape, named, render
from mtl_model.ui.teach import changes, dataset, forecast_views, teaching
from mtl_model.ui.teach.dataset import CHANGED, LEFT_OUT, Labelled, Picture
from mtl_model.ui.teach.progress_views import job_line
from mtl_model.ui.teach.teaching import CHECK, Run
from mtl_model.ui.teach.views import button, plural, problem

PAGE, KEYS, THUMBS = 48, 9, 8  # pictures of a class at once; classes that have a key; thumbnails on a strip
AT_ONCE = 20  # things to look at, and pictures of one; the others are folded away
COPIES = "copies"  # what is left out by one click, beside what harms
SURE = 0.75  # probability of a guess, below which it is called unsure
MOST_GROUPS = 200  # of copies, of either kind
HERE: Mapping[str, wording.Words] = {
    "no_face": "No face was found in {count:n file}; nothing is learned from what shows none.",
    "unreadable": "{count:n file} cannot be read as a picture; nothing is learned from it.",
}
"""What a fine-tuning does about findings; of any data set `check` says something else."""
TOLD = ("exact_copies", "near_copies", "copies_across_splits", "small_faces")
"""Findings that are told otherwise, or elsewhere."""


def check(run: Run, queue: Sequence[jobs.Job]) -> str:
    """The check itself: waiting, running, or how it ended."""
    if run.kind == CHECK and run.busy:
        stop = button("stop", "Leave the queue" if run.state == "waiting" else "Stop the check")
        return f'{job_line(run, queue)}<p class="actions">{stop}</p>'
    if not run.check_failed:
        return ""
    what = (
        problem(
            f"The check ended before it was done. {teaching.no_room(run.folder)}".strip(),
            "Nothing is lost; check again.",
        )
        if run.job and run.job.state == "killed"
        else problem(f"The pictures could not be checked. {teaching.last_words(run)}", "Mend that, then check again.")
    )
    if run.checked:
        return f"{what}<p>What stands below was found by the check before.</p>"
    return f'{what}<p class="actions">{button("check", "Check again", primary=True)}</p>'


def unlearnable(shown: Labelled) -> dict[str, str]:
    """Task -> what it lacks to be learned, as a sentence."""
    lacking: dict[str, str] = {}
    for name, classes in shown.counts().items():
        task, known = shown.tasks[name], {word: count for word, count in classes.items() if word != UNLABELLED}
        if missing := kinds.of(task).missing(task, known, LEAST_TAUGHT):
            lacking[name] = f"{isolated(task.title)} cannot be learned yet: {missing}."
    return lacking


def guessable(shown: Labelled) -> set[str]:
    """The tasks of which pictures without a label can be guessed: their classes have enough that have one."""
    known = {
        name: {word: count for word, count in classes.items() if word != UNLABELLED}
        for name, classes in shown.counts().items()
        if kinds.of(shown.tasks[name]).choices(shown.tasks[name]) and shown.waiting(name)
    }
    return {
        name
        for name, counts in known.items()
        if not kinds.of(shown.tasks[name]).missing(shown.tasks[name], counts, LEAST_GUESSED)
    }


def can_learn(run: Run, shown: Labelled, parent: Card | None = None) -> bool:
    """Whether there is a task with enough pictures, a face to learn it from, and classes that the checkpoint to start from knows
    by these names."""
    held_up = {*unlearnable(shown), *(str(question["task"]) for question in forecast_views.naming(run, shown, parent))}
    return len(held_up) < len(shown.tasks) and not _is_faceless(_report(run))


def _report(run: Run) -> Any:
    """Raises: RunError with a sentence if it is damaged."""
    return folders.read(run.folder / folders.REPORT, Report) or {}


def _is_faceless(report: Mapping[str, Any]) -> bool:
    return bool(report.get("pictures")) and report.get("no_face") == report["pictures"]


def go_on(run: Run, shown: Labelled | None, parent: Card | None = None) -> str:
    """The way to the next step, or the question what the pictures show.

    It stands above what is wrong: that may be long, and little of it has to be mended."""
    if not run.checked or run.busy or run.state == "accepted" or shown is None:
        return ""
    if run.state == "checked" and not run.record.subject and _finds_few(report := _report(run)):
        return _ask_subject(report)
    again = button("check", "Check again") + _other_subject(run)
    if run.state != "checked" or not can_learn(run, shown, parent):
        return again
    count = len(_listed(_report(run), shown))
    things = f"{plural(count, 'thing')} to look at below; you may go on without." if count else ""
    return f'{button("goon", "Go on: learn", primary=True)}{again}<span class="small">{things}</span>'


def _finds_few(report: Mapping[str, Any]) -> bool:
    """Whether a face was found in fewer than half of the pictures."""
    return 2 * (report.get("no_face") or 0) > report.get("pictures", 0)


def _ask_subject(report: Mapping[str, Any]) -> str:
    with_face = report["pictures"] - report["no_face"]
    seen = f"A face was found in {with_face:,} of" if with_face else "No face was found in"
    return (
        f"<span><b>{seen} {plural(report['pictures'], 'picture')}.</b> What do they show?</span>"
        f"{button('as-pictures', 'Other things: look at the whole picture', primary=True)}{button('as-faces', 'Faces')}"
    )


def _other_subject(run: Run) -> str:
    """The way to say something else of what the pictures show than was said before."""
    if run.state != "checked":
        return ""
    if run.record.reads == PICTURE:
        return button("as-faces", "Look for faces instead")
    return button("as-pictures", "Look at whole pictures instead") if _finds_few(_report(run)) else ""


def line(shown: Labelled) -> str:
    """The step in a line, once it is done."""
    kept = [one for one in shown.pictures if one.labels and not one.out and one.file not in shown.unusable]
    out, moved = len(shown.chosen("", LEFT_OUT)), sum(bool(one.first) for one in shown.chosen("", CHANGED))
    told = [f"{plural(len(kept), 'picture')} to learn from", *([f"{out:,} left out"] if out else [])]
    return ", ".join(told + ([f"{moved:,} relabelled"] if moved else []))


def tallies(run: Run, shown: Labelled) -> str:
    """Bars by class, and what was changed."""
    lead = '<p class="small">Choose a class to see its pictures. What is left out or relabelled can be undone.</p>'
    return f'<div class="tallies">{counts(shown)}</div>{lead}{changed(run, shown)}'


def counts(shown: Labelled) -> str:
    """A strip per class: a bar that is a button which shows its pictures, and the first of them. Too few are said, with the
    number that would do."""
    parts = []
    for name, classes in shown.counts().items():
        most, task = max(classes.values(), default=1) or 1, shown.tasks[name]
        named_classes = kinds.of(task).choices(task)
        rows = [_strip(shown, task, word, count, most) for word, count in classes.items()]
        parts.append(
            render("teach/strips.html", task=task, rows=rows, can_add=bool(named_classes) and len(shown.tasks) == 1)
        )
    return "".join(map(str, parts))


def _strip(shown: Labelled, task: Task, word: str, count: int, most: int) -> dict[str, Any]:
    choices = kinds.of(task).choices(task)
    short = word != UNLABELLED and count < RARE and (count or choices)
    first = [one.file for one in shown.chosen(task.name, word) if not one.out and one.file not in shown.unusable]
    return {
        "word": word,
        "count": count,
        "width": round(100 * count / most, 1),
        "few": f"few: {RARE} would do" if short else "",
        "quiet": word == UNLABELLED,
        "named": word in choices,
        "files": first[:THUMBS] if choices else [],
    }


def changed(run: Run, shown: Labelled) -> str:
    out = len(shown.chosen("", LEFT_OUT))
    moved = len(shown.chosen("", CHANGED))
    new = sum(not one.first for one in shown.chosen("", CHANGED))
    told = " and ".join([f"{new:,} labelled"] * bool(new) + [f"{moved - new:,} relabelled"] * bool(moved - new))
    if not (out or moved or changes.can_undo(run.folder)):
        return ""
    show = "".join(
        f'<button type="button" class="link" id="teach-show-{what.replace(" ", "-")}" data-do="browse" data-task="" '
        f'data-class="{what}">{text}</button>'
        for what, count, text in (
            (LEFT_OUT, out, f"{out:,} left out"),
            (CHANGED, moved, told),
        )
        if count
    )
    undo = button("undo", "Undo the last change") if changes.can_undo(run.folder) else ""
    return f'<p class="actions changed">{show or "No changes."} {undo}</p>'


# -- what is wrong -------------------------------------------------------------------------------------------------


def found(run: Run, shown: Labelled) -> str:
    """What is wrong or worth doing, by the last check."""
    harm = "".join(
        _block(text, files, shown, mark="A whole class suffers." if much else "", all_out=key)
        for text, files, key, much in forecast_views.harmful(run, shown)
    )
    first = forecast_views.suspects(run, shown) + harm + _slips(run, shown)
    worth = "" if unlearnable(shown) else forecast_views.suggestions(run, shown)
    return first + worth + problems(_report(run), shown, bool(first))


def _slips(run: Run, shown: Labelled) -> str:
    """Classes whose names look misspelt, each with the way to merge it into the other, and classes that are too small."""
    told = ""
    for finding in _report(run).get("warnings", ()):
        values = finding.get("values", {})
        task = shown.tasks.get(str(values.get("task")))
        if finding.get("code") != "misspelt_class" or task is None:
            continue
        known = kinds.of(task).choices(task)
        if values["word"] in known and values["meant"] in known:
            merge = _merge(
                f"Merge it into {isolated(values['meant'])}", task.name, values["word"], values["meant"], True
            )
            told += f'<div class="finding"><p>{escape(_words(finding))}</p><p class="actions">{merge}</p></div>'
    for name, classes in shown.counts().items():
        small = {word: count for word, count in classes.items() if word != UNLABELLED and 0 < count < LEAST_TAUGHT}
        if len(classes.keys() - {UNLABELLED}) > 2 and kinds.of(shown.tasks[name]).choices(shown.tasks[name]):
            for word in small:
                drop = _merge(f"Leave {isolated(word)} out", name, word, "")
                text = f"{isolated(word)} has too few pictures to be told: without it the other classes can be learned."
                told += f'<div class="finding"><p>{escape(text)}</p><p class="actions">{drop}</p></div>'
    return told


def _merge(text: str, task: str, word: str, into: str, primary: bool = False) -> str:
    more: dict[str, Any] = {"task": task, "from": word, "to": into}
    return button("merge", text, primary, **more)


def problems(report: Mapping[str, Any], shown: Labelled, more: bool = False) -> str:
    """What the check found, each with the pictures it is about. more: whether something else is told above."""
    if not report:
        return ""
    lacking, listed = unlearnable(shown), _listed(report, shown)
    advice = {True: "Label more of those without a label, or add pictures in step 1.", False: "Add pictures in step 1."}
    faults = [problem(text, advice[bool(shown.waiting(name))]) for name, text in lacking.items()]
    if not report.get("pictures", True):  # then it says that none could be read
        faults = [problem(_words(finding)) for finding in report.get("faults", ())]
    elif _is_faceless(report):
        faults = [
            problem(
                "No face was found in any of these pictures, so there is nothing to learn from.",
                "Say above if they show other things; faces have to be large enough and upright. Or add others in step 1.",
            )
        ]
    if not listed and not faults:
        return "" if more else "<p>Nothing is wrong with these pictures.</p>"
    spare = surplus(report, shown)
    several = button("out-all", f"Leave {len(spare):,} copies out, one of each stays", key=COPIES)
    several = f'<p class="actions">{several}</p>' if len(spare) > 1 else ""
    return f"{''.join(faults)}{several}{''.join(listed[:AT_ONCE])}{_fold(listed[AT_ONCE:])}"


def surplus(report: Mapping[str, Any], shown: Labelled) -> list[str]:
    """The pictures that go if one stays of each group of copies whose labels agree."""
    _, rest = _copies(report, shown)
    kept = [[file for file in group if not shown.by_file[file].out] for group in rest]
    return [file for group in kept for file in sorted(group, key=lambda one: not shown.by_file[one].labels)[1:]]


def _copies(report: Mapping[str, Any], shown: Labelled) -> tuple[list[list[str]], list[list[str]]]:
    """Groups of copies with different labels, and others of which more than one picture is in use."""
    groups = (report.get("near") or {}).get("groups") or (report.get("exact") or {}).get("groups") or ()
    named = [[shown.file_of.get(file, file) for file in group] for group in groups]
    named = [[file for file in group if file in shown.by_file] for group in named]
    torn = [group for group in named if _disagree(group, shown)]
    rest = [group for group in named if group not in torn and sum(not shown.by_file[one].out for one in group) > 1]
    return torn, rest


def _fold(some: Sequence[str], around: str = "{}") -> str:
    """What is shown when asked for; "" if there is nothing."""
    inside = around.format("".join(some))
    return f'<details class="fold"><summary>{len(some):,} more</summary>{inside}</details>' if some else ""


def _listed(report: Mapping[str, Any], shown: Labelled) -> list[str]:
    """What is worth a look, the worst first. Of copies the first MOST_GROUPS; the check names them anew once those are mended."""
    torn, rest = _copies(report, shown)
    text = "These show the same and carry different labels."
    return [
        *(_block(text, group, shown, mark="Same picture in two classes.") for group in torn[:MOST_GROUPS]),
        *_findings(report, shown),
        *(
            _block("These show the same; one of them is enough.", one, shown, mark="Copies.")
            for one in rest[:MOST_GROUPS]
        ),
    ]


def _block(title: str, files: Iterable[str], shown: Labelled, more: int = 0, mark: str = "", all_out: str = "") -> str:
    """all_out: the finding whose pictures one click leaves out."""
    pictures = [shown.by_file[file] for file in files if file in shown.by_file]
    cards = [card(one, shown) for one in pictures]
    rest = _fold(cards[AT_ONCE:], '<ul class="pictures">{}</ul>')
    rest += f'<p class="small">and {more:,} more</p>' if more > 0 else ""
    gone = button("out-all", f"Leave all {len(pictures):,} out", key=all_out) if all_out and len(pictures) > 1 else ""
    gone = f'<p class="actions">{gone}</p>' if gone else ""
    marked = f'<b class="mark">{escape(mark)}</b> ' if mark else ""
    return (
        f'<div class="finding"><p>{marked}{escape(title)}</p>{gone}<ul class="pictures">'
        f"{''.join(cards[:AT_ONCE])}</ul>{rest}</div>"
    )


def _disagree(group: Sequence[str], shown: Labelled) -> bool:
    kept = [shown.by_file[file] for file in group if not shown.by_file[file].out]
    return any(
        len({dataset.word_of(task, one.labels[name]) for one in kept if name in one.labels}) > 1
        for name, task in shown.tasks.items()
    )


def _findings(report: Mapping[str, Any], shown: Labelled) -> Iterable[str]:
    """What the check names by file. How it would split the pictures is no matter here, and copies are told above."""
    for finding in report.get("warnings", ()):
        files, text = finding.get("files", ()), _words(finding)
        if not files or finding.get("code") in TOLD:
            continue
        known = [shown.file_of[file] for file in files if file in shown.file_of]
        if known:
            yield _block(text, known, shown, more=int(finding.get("count", 0)) - len(known))
        else:
            names = ", ".join(isolated(file[:120]) for file in files[:5])
            yield f'<div class="finding"><p>{escape(text)} <span class="small">{escape(names)}</span></p></div>'


def _words(finding: Mapping[str, Any]) -> str:
    """A report of an older version holds sentences."""
    values = {**finding.get("values", {}), "count": finding.get("count", 0)}
    return finding.get("text") or wording.text(finding.get("code", ""), values, HERE)


# -- pictures ------------------------------------------------------------------------------------------------------


def card(one: Picture, shown: Labelled, pick: bool = False) -> str:
    """A picture with its labels: one click leaves it out or gives it another label. pick: it can be chosen beside others."""
    name = one.file.rsplit("/", 1)[-1]
    labels = "".join(_label(one, task, shown) for task in shown.tasks.values())
    out = "back" if one.out else "out"
    action = "Put back" if one.out else "Leave out"
    mark = "left out" if one.out else "relabelled" if one.relabelled and one.first else ""
    return (
        f'<li class="picture{" gone" if one.out else ""}" data-file="{escape(one.file)}"><div class="thumb">'
        f"{render('teach/tick.html', name=name) if pick else ''}"
        f'<img data-src="{escape(one.file)}" data-face="1" alt="{escape(isolated(one.file))}" width="128" height="128">'
        f"{f'<span class=tag>{mark}</span>' if mark else ''}</div>"
        f'<p class="file" title="{escape(one.file)}">{named(name)}</p>{labels}'
        f'<button type="button" class="button small-button" data-do="{out}" '
        f'aria-label="{action} {escape(isolated(name))}">{action}</button></li>'
    )


def _label(one: Picture, task: Task, shown: Labelled) -> str:
    label = one.labels.get(task.name)
    if label is None and len(shown.tasks) > 1 and task.name not in one.first:
        return ""
    name, text = one.file.rsplit("/", 1)[-1], dataset.label_text(task, label)
    told, title = f"{isolated(task.title)} of {isolated(name)}", f"<span>{named(task.title)}</span>"
    if not (choices := kinds.of(task).choices(task)):
        field = f'<input data-relabel="{escape(task.name)}" inputmode="decimal" maxlength="24" value="{escape(text)}"'
        return f'<label class="relabel">{title}{field} aria-label="{escape(told)}"></label>'
    if len(choices) == 2 and text in choices:
        other = choices[1 - choices.index(text)]
        return (
            f'<p class="relabel"><span>{named(task.title)}: {named(text)}</span><button type="button" '
            f'class="button small-button" data-do="relabel" data-task="{escape(task.name)}" data-word="{escape(other)}" '
            f'aria-label="{escape(f"It is {isolated(other)}: {told}")}">It is&nbsp;{named(other)}</button></p>'
        )
    options = "".join(f"<option{' selected' if word == text else ''}>{escape(word)}</option>" for word in task.classes)
    return (
        f'<label class="relabel">{title}<select data-relabel="{escape(task.name)}" aria-label="{escape(told)}">'
        f'<option value=""{"" if text else " selected"}>not labelled</option>{options}</select></label>'
    )


def browse(shown: Labelled, task: str, word: str, page: int, guesses: Mapping[str, Any] | None = None) -> str:
    """One page of the pictures of a class, of which several can be chosen and changed together. Those without a label come as
    their guesses part them, the surest first. guesses: of the task, as a forecast has them."""
    chosen, known = shown.chosen(task, word), guesses or {}
    choices = kinds.of(shown.tasks[task]).choices(shown.tasks[task]) if task in shown.tasks else ()
    bare = word == UNLABELLED and bool(choices)
    if bare:
        chosen = sorted(shown.waiting(task), key=lambda one: _by_guess(known.get(one.file), choices))
    pages = max(1, -(-len(chosen) // PAGE))
    page = min(max(page, 1), pages)
    mine = chosen[(page - 1) * PAGE : page * PAGE]
    title = (
        word
        if word in (LEFT_OUT, CHANGED)
        else caption(shown.tasks[task].title, word)
        if task in shown.tasks
        else "All"
    )
    return str(
        render(
            "teach/browse.html",
            title=title,
            said=plural(len(chosen), "picture"),
            task=task,
            choices=choices[:KEYS],
            back=word == LEFT_OUT,
            bare=bare,
            cards=[_picked(one, known.get(one.file)) if bare else Markup(card(one, shown, pick=True)) for one in mine],
            guessed=sum(one.file in known for one in mine) if bare else 0,
            page=page,
            pages=pages,
        )
    )


def _by_guess(guess: Any, choices: Sequence[str]) -> tuple[int, float]:
    """Where a picture stands in the grid."""
    return (choices.index(guess[0]), -float(guess[1])) if guess and guess[0] in choices else (len(choices), 0.0)


def _picked(one: Picture, guess: Any) -> Markup:
    """A picture without a label: its face, and what it would be labelled as."""
    word, chance = guess or ("", 0.0)
    return render("teach/pick.html", file=one.file, name=one.file.rsplit("/", 1)[-1], guess=word, sure=chance >= SURE)
