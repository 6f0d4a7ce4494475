"""The words of every code: notes, findings, reasons why something is left out, stages of work. Made where they are shown.

The page and the command line show the same words; where the page says something else, it passes its own. A layout keeps the
words of its own codes in its file: "utkface.lacks_field" is `WORDS["lacks_field"]` of layouts/utkface.py.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mtl_model import registry
from mtl_model.errors import MtlError
from mtl_model.events import Failed, Noted, Stage, Stopped
from mtl_model.names import isolated

Words = str | Callable[..., str]
"""A template as `format` takes it, with two formats more (see `_Templates`), or a function of the values."""

Raised = TypeVar("Raised", bound=MtlError)

LAYOUTS = "layouts"
SHARE = "share"  # the unit of a metric that is one
STAGES: Mapping[str, str] = {
    Stage.READING: "reading pictures",
    Stage.COMPARING: "comparing pictures",
    Stage.DETECTING: "looking for faces",
    Stage.CUTTING: "cutting crops",
    Stage.FEATURES: "working out features",
    Stage.FITTING: "choosing stages and penalty",
    Stage.PREDICTING: "pictures",
    Stage.MEASURING: "measuring",
    Stage.WATCHING: "seconds of video",
    Stage.DRAWING: "seconds of video drawn",
}


class _Templates(string.Formatter):
    """{names:list} joins names by commas, {count:n file} counts: "1 file", "12 files"."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "list":
            return ", ".join(map(str, value))
        if format_spec.startswith("n "):
            return f"{value:,} {format_spec[2:]}{'' if value == 1 else 's'}"
        return super().format_field(value, format_spec)


def text(code: str, values: Mapping[str, Any] | None = None, own: Mapping[str, Words] | None = None) -> str:
    """Return the words for a code. own: words that the caller has instead of the shared ones.

    A code that is not known, or whose values are not those it needs, is shown as it stands: it is of another version of the
    program, or the sentence that an older one wrote."""
    values = values or {}
    try:
        words = (own or {}).get(code) or WORDS.get(code) or _layout_words(code)
        return _TEMPLATES.vformat(words, (), values) if isinstance(words, str) else words(**values)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        listed = ", ".join(f"{name} {value}" for name, value in values.items())
        return f"{code} ({listed})" if listed else code


def of(event: Noted | Stopped | Failed, own: Mapping[str, Words] | None = None) -> str:
    """Return the words of an event that has a code; of an error that was raised, its message."""
    return text(event.code, event.values, {event.code: "{message}"} if "message" in event.values else own)


def error(kind: type[Raised], code: str, values: Mapping[str, Any]) -> Raised:
    """Return an error of that kind with a code and its words."""
    return kind(text(code, values), code)


_TEMPLATES = _Templates()


def stage(code: str) -> str:
    return STAGES.get(code, code)


def _layout_words(code: str) -> Words:
    """Raises KeyError for a code of no layout."""
    layout, _, own = code.partition(".")
    if layout not in registry.names(LAYOUTS):
        raise KeyError(code)
    return registry.load(LAYOUTS, layout).WORDS[own]


# -- a data set ----------------------------------------------------------------------------------------------------


def source_read(
    kind: str,
    pictures: int,
    splits: Mapping[str, int],
    left_out: Sequence[Mapping[str, Any]],
    notes: Sequence[Mapping[str, Any]],
) -> str:
    counts = ", ".join(f"{count:,} {split}" for split, count in splits.items())
    """kind: of the layout; "" leaves it out."""
    named = f"{kind}: " if kind else ""
    parts = [f"{named}{pictures:,} labelled pictures" + (f" ({counts})." if counts else ".")]
    parts += [
        f"Left out {reason['count']:,}: {text(reason['code'], reason['values'])} (for example {reason['examples'][0]})."
        for reason in left_out
    ]
    return " ".join([*parts, *(text(note["code"], note["values"]) for note in notes)])


def _copies(what: str) -> Callable[..., str]:
    def words(count: int, surplus: int, disagreeing: int, by_task: Mapping[str, int]) -> str:
        sentence = f"{_TEMPLATES.format('{:n group}', count)} {what}; surplus pictures: {surplus:,}."
        if disagreeing:
            tasks = ", ".join(f"{task} in {number:,}" for task, number in by_task.items())
            sentence += f" Groups whose labels differ: {disagreeing:,} ({tasks})."
        return sentence

    return words


def _rare(task: str, least: int, classes: Mapping[str, int], count: int) -> str:
    listed = ", ".join(f"{name} {number}" for name, number in classes.items())
    return f"{task}: fewer than {least} pictures to learn from for {listed}."


def _empty_split(split: str, count: int) -> str:
    use = {"val": "chosen or calibrated", "test": "measured"}[split]
    return f"{split} holds no picture, so nothing can be {use} there."


def _faces_found(kind: str, counts: Mapping[str, int]) -> str:
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    return f"{kind}: faces found, {listed or 'no picture of train or val'}."


def _teacher(teacher: str, tasks: Sequence[str], from_px: int, to_px: int) -> str:
    scaled = "" if from_px == to_px else f", from crops scaled from {from_px} to {to_px} px"
    return f"The teacher '{teacher}' answers {', '.join(tasks)}{scaled}."


# -- a training ----------------------------------------------------------------------------------------------------


def _unshown(title: str, groups: Sequence[str], subject: str = "face") -> str:
    listed = f"{', '.join(groups[:-1])} or {groups[-1]}" if len(groups) > 1 else groups[0]
    return (
        f"{title}: no picture shows {listed}. {subject.capitalize()}s like those may be read worse than before, which pictures "
        "held out of these cannot tell."
    )


def _parts(**counts: int) -> str:
    uses = {"train": "to learn from", "val": "to stop by", "test": "held out"}
    return f"Pictures: {', '.join(f'{count:,} {uses[split]}' for split, count in counts.items())}."


def _gradient(task: str, step: int, norms: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {norm}" for name, norm in norms.items())
    return (
        f"The gradient of {task} drowns the others at step {step} ({shown} at the last shared layer). "
        f"Give {task} a smaller weight, such as --task-weights {task}=0.1, or use --weighting learned."
    )


def _numbers(numbers: Mapping[str, str]) -> str:
    """Numbers by task as Python shows them; JSON has none that are not finite, so they come as text."""
    return "{" + ", ".join(f"'{task}': {number}" for task, number in numbers.items()) + "}"


def _loss_overflowed(task: str, step: int, losses: Mapping[str, str]) -> str:
    return (
        f"The loss of {task} overflowed at step {step} (losses: {_numbers(losses)}). The best checkpoint so far "
        "is kept; try a smaller --learning-rate, or a smaller weight of that task."
    )


def _score_not_finite(score: str, epoch: int, errors: Mapping[str, str]) -> str:
    return (
        f"The score on val is {score} after epoch {epoch} (errors: {_numbers(errors)}). Expected a number; the best checkpoint "
        "so far is kept, try a smaller --learning-rate."
    )


# -- what a fine-tuning brought ------------------------------------------------------------------------------------

VERDICTS: Mapping[str, str] = {
    "new": "new",
    "guess": "no better than guessing",
    "not_compared": "not compared",
    "same": "the same",
    "chance": "could be chance",
    "better": "better",
    "worse": "worse",
}


def verdict_of(figures: Mapping[str, Any]) -> str:
    """Return what a task's difference is worth, one of VERDICTS: chance, where the interval contains 0 and more."""
    if figures.get("new"):
        return "new" if figures.get("beats_guess", True) else "guess"
    interval = figures.get("difference")
    if not interval:
        return "not_compared"
    low, high = interval
    if low == high == 0:
        return "same"
    if low <= 0 <= high:
        return "chance"
    from mtl_model import kinds  # numpy comes with it, which --help does not wait for

    metric = kinds.all_metrics().get(str(figures.get("metric")))
    return "better" if (high < 0) == (metric is not None and metric.lower_is_better) else "worse"


def outcome(
    tasks: Mapping[str, Mapping[str, Any]],
    changed: Mapping[str, float],
    titles: Mapping[str, str],
    unshown: Sequence[Mapping[str, Any]] = (),
    shifts: Mapping[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> str:
    """Return in sentences what a fine-tuning brought, from the fields of outcome.json; more: its others."""
    parts = [_task_outcome(figures) for figures in tasks.values()]
    same = [isolated(titles[name].lower()) for name, share in changed.items() if share == 0]
    if same:
        joined = same[0] if len(same) == 1 else f"{', '.join(same[:-1])} and {same[-1]}"
        parts.append(f"{joined[0].upper()}{joined[1:]} unchanged.")
    parts += [
        f"{isolated(titles[name])}: {_changed(share, (shifts or {}).get(name))}."
        for name, share in changed.items()
        if share
    ]
    return " ".join([*(parts or ["No held-out picture could be measured."]), *(_unshown(**risk) for risk in unshown)])


def _changed(share: float, shift: Mapping[str, Any] | None) -> str:
    if not shift:
        return f"{100 * share:.0f} % of the answers changed"
    moved = f"{shift['mean']:+.1f} {shift['unit']}".strip()
    return f"answers moved by {moved} on average, {100 * shift['groups']:.0f} % into another group"


def reliability(figures: Mapping[str, Any]) -> str:
    """Return what came true of the answers that a task calls sure, as a sentence; "" if it is not known."""
    known = figures.get("reliability")
    if not known:
        return ""
    if not known["sure"]:
        return "It is unsure of every answer."
    unsure = 1 - known["sure"] / known["n"]
    rest = f"; it is unsure of {100 * unsure:.0f} % of them" if unsure >= 0.005 else ""
    return (
        f"Of the answers that it is sure of (on average to {100 * known['said']:.0f} %), {100 * known['right']:.0f} % were "
        f"right{rest}."
    )


def _task_outcome(figures: Mapping[str, Any]) -> str:
    share = figures["unit"] == SHARE

    def shown(value: float) -> str:
        return f"{100 * value:.0f}" if share else f"{value:.1f}" if abs(value) >= 0.1 else f"{value:.2g}"

    title, after = isolated(figures["title"]), shown(figures["after"])
    what = "% right of" if share else f"{figures['unit']} of error on".strip()
    pictures = "{:n new picture}" if figures.get("folds") else "{:n held-out picture}"
    measured = f"{what} {_TEMPLATES.format(pictures, figures['n'])}"
    verdict = verdict_of(figures)
    if verdict == "guess":
        blind = f"{shown(figures['guess'])} {'%' if share else figures['unit']}".strip()
        return f"{title}: {after} {measured}, no better than guessing, which gives {blind}."
    if figures["before"] is None:
        return f"{title}: {after} {measured}, newly learned."
    if verdict == "same":
        return f"{title}: {after} {measured}, as before."
    return f"{title}: {shown(figures['before'])} → {after} {measured} ({VERDICTS[verdict]})."


WORDS: Mapping[str, Words] = {
    # What keeps a face from being told, on its card; and why a picture may hide one
    "face_small": "too small to tell much",
    "face_blurred": "out of focus",
    "face_aside": "turned away",
    "picture_blurred": "The picture is out of focus: a face in it may not be found.",
    "picture_bright": "The picture is very bright: a face in it may not be found.",
    "picture_dark": "The picture is very dark: a face in it may not be found.",
    "picture_turned": "The picture was turned by {degrees}° so that the faces stand upright.",
    # Entries that a layout leaves out; after "Left out 3: "
    "folder_closed": "the folder cannot be read, nor what is in it",
    "row_fields": "the row has another number of fields than the header",
    "label_unknown": "a label of {task} that is not known",
    "path_absolute": "the path is absolute; names are relative to the file",
    "picture_missing": "the picture is not there",
    "picture_repeated": "the picture is named a second time",
    "no_label": "no label at all",
    "split_missing": "{file} does not name the picture",
    "split_unknown": "{file} gives a split that is not known (known: {known:list})",
    "split_conflict": "{file} names the picture a second time, in another split",
    # Files that are not taken from an upload; after "Not taken: 3 "
    "frame_blurred": "not sharp",
    "frame_dark": "too dark",
    "frame_bright": "too bright",
    "frame_faceless": "without a face",
    "frame_same": "like the one before",
    "frame_broken": "not readable",
    "unsafe": "names that lead elsewhere or cannot be kept",
    "hidden": "hidden files and what other programs leave behind",
    "other": "neither pictures nor lists of labels",
    "nested": "archives inside the archive, which are not opened",
    "link": "links",
    "encrypted": "locked with a password",
    "twice": "names that stand there a second time",
    "large": "files that are too large",
    "damaged": "damaged files",
    "packed": "packed in a way that is not known here",
    # Findings of `check`
    "left_out": lambda count, reason, values: f"Left out {count:,}: {text(reason, values)}.",
    "unreadable": "{count:n file} cannot be read as a picture.",
    "exact_copies": _copies("of pictures with equal pixels"),
    "near_copies": _copies("of near copies, those with equal pixels included"),
    "copies_across_splits": (
        "{count:n group} of near copies across splits; pictures of train among them, which training leaves out: {leaked:,}."
    ),
    "no_face": "No face was found in {count:n file}; the centre square is used.",
    "several_faces": "Several faces were found in {count:n file}; the large central one is used.",
    "small_faces": "The largest face is under {below_px} px in {count:n file}.",
    "column_clash": (
        "The tasks {first} and {second} both write the column {column} of the answers. Expected columns of their own; give "
        "{second} another name, or leave one of them out."
    ),
    "empty_split": _empty_split,
    "rare_classes": _rare,
    "unseen_classes": "{task}: {split} holds no picture of {classes:list}.",
    "no_picture": "No labelled picture could be read. Expected pictures with labels; see what was left out.",
    "nothing_learnable": (
        "No task can be learned. Expected in train at least {least} pictures each of two classes, or {rare} with an age; add "
        "pictures, or look at what was left out."
    ),
    # Notes on the data of a training
    "source_read": source_read,
    "branch_anew": "The branch of {task} starts anew: '{start}' knows other classes of it.",
    "teacher": _teacher,
    "pictures_joined": "{count:,} further training pictures are put together from two training pictures each.",
    "pseudo_labels": "The labels of {tasks:list} are the detector's own answers where the set has none.",
    "copies_left_out": "{count} training pictures are near copies of val or test pictures and are left out.",
    "faces_found": _faces_found,
    "task_not_learned": "{task} is not learned: no training picture that is drawn is labelled for it.",
    "task_without_val": (
        "No picture of val is labelled for {task}: it has no part in choosing the best epoch, and its answers are not "
        "calibrated."
    ),
    "faceless_left_out": "{count:,} of {total:,} pictures show no face that could be found, and are left out.",
    "unreadable_left_out": "{count:,} of {total:,} pictures cannot be read, and are left out.",
    "splits_kept": "What these pictures themselves say of train, val and test is kept.",
    "leaks_left_out": (
        "{count:,} pictures to learn from are near copies of some that are held out or to stop by, or show the same people, "
        "and are left out."
    ),
    "parts": _parts,
    "unshown": _unshown,
    "taught_left_out": (
        "{count:,} of {total:,} pictures of split '{split}' of {source} were learned from or stopped by, and are left out."
    ),
    "unseen_sets": "{title}: left-out sets with enough labels: {sets:,}.",
    "too_few_taught": "There are too few pictures of {title}: {missing}. Expected pictures in which a face is found, ten of each "
    "class at least; add some, or leave a class out.",
    "not_forecast": "What {title} would reach can be told only after learning: there is no quick fit for answers of its kind.",
    # What harms a learning
    "too_small": "{count:n face} of {task}: smaller than 40 px, so most of what there is to see is missing.",
    "too_blurred": "{count:n face} of {task}: blurred, or drawn up from a smaller picture.",
    "cut_off": "{count:n face} of {task}: cut off by the edge of the picture.",
    "misspelt_class": "{task}: {count:n picture} of '{word}'. Did you mean '{meant}'?",
    # A training itself
    "precision_replaced": "This processor has no arithmetic in {asked}; {used} is used, which is quicker here.",
    "gradient_dominates": _gradient,
    "no_better_epoch": "No better epoch in {epochs}; the best, epoch {best}, is kept.",
    "fitted_at_once": "The branch alone is fitted at once: the passes and the learning rate given have no part in it.",
    "kept_on_the_way": "The weights kept lie {percent} % of the way from the start to the end of the learning: there the "
    "error on the pictures to stop by is least.",
    "stopped_before": "It was asked to stop before anything was learned.",
    "asked_to_stop": "It was asked to stop; the best so far is kept, and it can be resumed.",
    "loss_overflowed": _loss_overflowed,
    "score_not_finite": _score_not_finite,
    "unexpected": "Something unexpected went wrong. Its log.txt says what; try again.",
    "answers_not_finite": "{fault} The best checkpoint before epoch {epoch} is kept; try a smaller --learning-rate.",
    "outcome": outcome,
}
"""The words of every code but those of layouts. An error that was raised comes with its message: see `Failed`."""
