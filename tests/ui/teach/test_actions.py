from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mtl_model import card, cli, commands, jobs
from mtl_model import runs as folders
from mtl_model.card import CARD, PENDING, WEIGHTS, shipped_weights
from mtl_model.errors import MtlError, UsageError
from mtl_model.events import Finished, Noted, to_line
from mtl_model.runs import CHANGES, EVENTS, OUTCOME, REPORT, STATE
from mtl_model.ui.teach import changes, dataset, teaching
from mtl_model.ui.teach.actions import Steps
from mtl_model.ui.teach.teaching import LEARN, Run
from tests.codes import refused


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[str]]]:
    """Jobs are written down here instead of being run."""
    found: list[tuple[str, str, list[str]]] = []
    monkeypatch.setattr(jobs, "submit", lambda runs, name, kind, words: found.append((name, kind, list(words))))
    return found


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path / "runs", shipped_weights(), "cpu")


@pytest.fixture
def run(steps: Steps, tmp_path: Path) -> Run:
    """A run with four pictures, understood."""
    steps.create("mine", "ann", "bknet")
    for name in ("smile/yes/1.png", "smile/yes/2.png", "smile/no/3.png", "hat/on/4.png", "hat/off/5.png"):
        path = tmp_path / "runs/mine/data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24)).save(path)
    steps.look(teaching.read_run(tmp_path / "runs", "mine"))
    return teaching.read_run(tmp_path / "runs", "mine")


JOB_THAT_ENDED = {
    "kind": LEARN,
    "words": [],
    "submitted": 1.0,
    "token": "x",
    "pid": 1,
    "born": "then",
    "began": 1.0,
    "exit_code": 0,
}


def write_state(run: Run) -> None:
    """A state as torch writes it."""
    with zipfile.ZipFile(run.folder / STATE, "w"):
        pass


def again(run: Run) -> Run:
    return teaching.read_run(run.folder.parent, run.name)


def test_a_name_is_suggested_checked_and_taken_once(steps: Steps, tmp_path: Path) -> None:
    assert steps.suggest("Grün, Ann!") == "gr-n-ann" and steps.suggest("😀") == "my-faces"
    assert steps.suggest("bknet") == "bknet-2"
    record = steps.create("mine", "ann", "bknet")
    assert record.user == "ann" and (tmp_path / "runs/mine" / PENDING).is_file()
    for name in ("mine", "bknet", "../x", "", "a b"):
        with pytest.raises(UsageError):
            steps.create(name, "ann", "bknet")


def test_the_check_and_the_learning_are_the_command_line(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    steps.check(run)
    steps.choose(run, {"tasks": ["hat"], "how": "last", "advanced": {"epochs": " 7 ", "learning_rate": "0.002"}})
    steps.start(again(run))
    (_, check, look), (name, kind, words) = submitted
    assert (check, name, kind) == ("check", "mine", LEARN) and look[1].startswith("folders:")
    assert dict(zip(words[2::2], words[3::2], strict=False))["--name"] == "mine" and "--pending" in words
    for option in (
        "--from bknet",
        "--how last",
        "--tasks hat",
        "--epochs 7",
        "--learning-rate 0.002",
        "--layout folders",
    ):
        assert option in " ".join(words)


def test_the_command_line_takes_these_words(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    for name in ("check", "finetune"):
        monkeypatch.setattr(commands.named(name), "run", lambda arguments: seen.append(arguments) or 0)
    steps.choose(run, {"advanced": {"epochs": "3", "seed": "1", "learning_rate": "0.01"}})
    (run.folder / CHANGES).write_text("{}")
    steps.check(again(run))
    steps.start(again(run))
    for _, _, words in submitted:
        assert cli.main(words) == 0
    assert seen[0].cache and seen[1].pending and seen[1].start == "bknet" and seen[1].epochs == 3


@pytest.mark.parametrize(
    "given",
    [
        {"how": "far"},
        {"from": "nobody"},
        {"tasks": []},
        {"tasks": ["hair"]},
        {"kind": "nothing"},
        {"advanced": {"epochs": "0"}},
        {"advanced": {"epochs": "2.5"}},
        {"advanced": {"learning_rate": "nan"}},
        {"advanced": {"other": "1"}},
    ],
)
def test_senseless_settings_are_refused_and_change_nothing(steps: Steps, run: Run, given: dict[str, Any]) -> None:
    with pytest.raises(MtlError):
        steps.choose(run, given)
    assert again(run).record == run.record


def test_another_layout_is_looked_at_anew(steps: Steps, run: Run) -> None:
    assert list(steps.choose(run, {"kind": "utkface"}).found["tasks"]) == []
    assert set(steps.choose(again(run), {"kind": ""}).found["tasks"]) == {"smile", "hat"}


def test_while_a_job_works_nothing_else_begins(steps: Steps, run: Run) -> None:
    jobs._write(run.folder, jobs._Record(LEARN, (), 1.0, "token"))  # what the page has seen is older
    for action in (steps.check, steps.start, steps.look, steps.resume, steps.accept):
        with refused("busy"):
            action(run)


def learned(run: Run) -> Run:
    for name in (CARD, WEIGHTS):
        (run.folder / name).write_bytes((shipped_weights() / "bknet" / name).read_bytes())
    (run.folder / OUTCOME).write_text("{}")
    return again(run)


def test_of_two_that_decide_at_once_the_second_sees_what_the_first_did(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    seen = learned(run)
    steps.accept(seen, keep=True)
    for action in (steps.start, steps.check, steps.look, steps.resume, steps.discard, steps.accept):
        with refused("accepted"):
            action(seen)
    assert submitted == [] and (run.folder / CARD).is_file() and (run.folder / WEIGHTS).is_file()
    assert len(list(run.data.rglob("*.png"))) == 5


def test_an_action_waits_for_the_one_that_is_at_the_run(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    """Accept, of a page that saw the result, while another person's Start is half-way."""
    seen = learned(run)
    with ThreadPoolExecutor(1) as pool:
        with teaching.alone(run.folder.parent, run.name):
            accepting = pool.submit(steps.accept, seen)
            (run.folder / CARD).unlink()
        with refused("nothing_learned"):
            accepting.result()
    assert run.data.is_dir() and (run.folder / PENDING).is_file()


def test_the_pictures_stay_where_the_checkpoint_is_not_whole(steps: Steps, run: Run) -> None:
    seen = learned(run)
    (run.folder / CARD).write_text("{")
    with pytest.raises(MtlError, match="cut off"):
        steps.accept(seen)
    assert len(list(run.data.rglob("*.png"))) == 5


def test_what_is_discarded_can_be_undone(steps: Steps, run: Run) -> None:
    steps.discard(run)
    assert not run.folder.exists()
    (aside,) = folders.asides(run.folder.parent)
    steps.create("mine", "bob", "bknet")  # the name is free
    with refused("taken"):
        folders.bring_back(run.folder.parent, aside.token, shipped_weights())
    steps.discard(again(run))
    folders.bring_back(run.folder.parent, aside.token, shipped_weights())
    assert again(run).record == run.record and len(dataset.read_labelled(again(run)).pictures) == 5


def test_with_the_pictures_goes_what_was_known_of_them(steps: Steps, run: Run) -> None:
    dataset.read_labelled(run)
    steps.accept(learned(run))
    assert not [key for key in dataset._sources if key[0] == str(run.folder)]
    for ask in (
        dataset.read_labelled,
        changes.undo,
        lambda run: changes.leave_out(run, ["smile/yes/1.png"]),
    ):
        with refused("pictures_deleted"):
            ask(run)  # by a page that has not heard of it
    assert not (run.folder / CHANGES).exists()


def test_accept_leaves_the_checkpoint_and_takes_the_pictures(steps: Steps, run: Run) -> None:
    for name in (CARD, WEIGHTS):
        (run.folder / name).write_bytes((shipped_weights() / "bknet" / name).read_bytes())
    (run.folder / STATE).touch()
    (run.folder / OUTCOME).write_text('{"pictures": {"better": [{"file": "anna.jpg"}]}, "left_out": ["anna.jpg"]}')
    (run.folder / REPORT).write_text('{"warnings": [{"files": ["anna.jpg"]}]}')
    (run.folder / CHANGES).write_text('{"left_out": ["anna.jpg"]}')
    (run.folder / "log.txt").write_text("anna.jpg")
    events = [Noted("left_out", {"reason": "no_label", "values": {}, "examples": ["anna.jpg"]}), Finished(3, 1.0, 0)]
    (run.folder / EVENTS).write_text("".join(f"{to_line(one)}\n" for one in events))
    steps.accept(again(run))
    assert not [path for path in run.folder.rglob("*") if path.is_file() and b"anna" in path.read_bytes()], (
        "no name stays"
    )
    assert teaching.read_events(run.folder) == events[1:]
    assert not run.data.exists() and not (run.folder / STATE).exists() and not (run.folder / PENDING).exists()
    assert again(run).state == "accepted"
    for action in (
        steps.look,
        steps.check,
        steps.start,
        steps.corrections,
        lambda run: steps.choose(run, {"task": "x"}),
    ):
        with refused("accepted"):
            action(again(run))
    assert (run.folder / CARD).is_file() and (run.folder / WEIGHTS).is_file()  # nothing takes it away any more
    with refused("accepted"):
        steps.discard(again(run))


def test_what_is_not_learned_is_not_accepted_and_what_is_discarded_is_gone(steps: Steps, run: Run) -> None:
    with refused("nothing_learned"):
        steps.accept(run)
    steps.discard(run)
    assert not run.folder.exists()


def test_starting_anew_forgets_what_was_learned(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    for name in (OUTCOME, CARD, STATE, EVENTS):
        (run.folder / name).write_text("{}")
    steps.start(again(run))
    assert not any((run.folder / name).exists() for name in (OUTCOME, CARD, STATE, EVENTS))
    with refused("nothing_saved"):
        steps.resume(again(run))


def test_going_on_takes_the_settings_of_that_learning(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    steps.choose(run, {"how": "all", "tasks": ["hat"], "advanced": {"epochs": "7"}})
    steps.start(again(run))
    write_state(run)
    (run.folder / "job.json").write_text(json.dumps(JOB_THAT_ENDED))
    steps.choose(again(run), {"how": "branch", "tasks": ["smile"], "from": "default", "advanced": {"epochs": "9"}})
    steps.resume(again(run))
    begun, resumed = (words for _, _, words in submitted)
    assert resumed == [*begun, "--resume"]
    steps.start(again(run))
    assert "default" in submitted[-1][2] and "9" in submitted[-1][2]


def test_what_is_read_anew_is_to_be_checked_anew(steps: Steps, run: Run) -> None:
    for name in (OUTCOME, CARD, STATE, REPORT):
        (run.folder / name).write_text("{}")
    (run.folder / "job.json").write_text(json.dumps(JOB_THAT_ENDED))
    assert again(run).state == "done"
    steps.choose(again(run), {"kind": "folders"})
    assert (again(run).state, again(run).step) == ("uploaded", 1)


def test_corrections_become_the_pictures_of_a_run(steps: Steps, tmp_path: Path) -> None:
    steps.create("mine", "ann", "bknet")
    run = teaching.read_run(tmp_path / "runs", "mine")
    with pytest.raises(UsageError, match="No correction is kept"):
        steps.corrections(run)
    folder = tmp_path / "runs/corrections"
    (folder / "files").mkdir(parents=True)
    names = [f"files/{letter * 32}.jpg" for letter in "ab"]  # as they are given out
    for name, colour in zip(names, ("red", "blue"), strict=True):
        Image.new("RGB", (24, 24), colour).save(folder / name)
    (folder / "labels.csv").write_text(f"file,smile\n{names[0]},smiling\n{names[1]},not smiling\n")
    steps.corrections(again(run))
    assert again(run).record.found["pictures"] == 2
    with pytest.raises(UsageError, match="has pictures with labels of their own"):
        steps.corrections(again(run))  # nor over what somebody uploaded


def no_space(*arguments: Any, **more: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


ACTIONS: list[Callable[[Steps, Run], Any]] = [
    lambda steps, run: steps.look(run),
    lambda steps, run: steps.choose(run, {"how": "all"}),
    lambda steps, run: steps.choose(run, {"kind": "utkface"}),
    lambda steps, run: steps.change(run, {"files": ["hat/on/4.png"], "out": True}),
    lambda steps, run: steps.check(run),
    lambda steps, run: steps.start(run),
    lambda steps, run: steps.resume(run),
    lambda steps, run: steps.accept(run),
]


@pytest.mark.parametrize("number", range(len(ACTIONS)))
def test_a_full_disk_loses_nothing(steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Each step fails with what the page makes a sentence of, and the run is as it was before."""
    write_state(run)
    (run.folder / REPORT).write_text("{}")
    (run.folder / CHANGES).write_text('{"left_out": ["hat/on/4.png"], "labels": {}}')
    (run.folder / "job.json").write_text(json.dumps(JOB_THAT_ENDED))
    seen = learned(run) if number in (5, 7) else again(run)
    before = {path.name: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(card, "write_parts", no_space)
        with pytest.raises((OSError, MtlError), match="No space left|waits for"):
            ACTIONS[number](steps, seen)
    after = {path.name: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert after == before and again(run).record == run.record


def test_a_create_that_failed_leaves_its_name_free(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(card, "write_parts", no_space)
        with pytest.raises(OSError, match="No space"):
            steps.create("hats", "ann", "bknet")
    assert list((tmp_path / "runs").iterdir()) == []
    assert steps.create("hats", "ann", "bknet").name == "hats"


def test_a_check_leaves_the_old_report_until_the_new_one_is_whole(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    (run.folder / REPORT).write_text('{"pictures": 5}')
    steps.check(run)
    assert submitted and (run.folder / REPORT).read_text() == '{"pictures": 5}'


@pytest.mark.parametrize("file", [folders.TEACH, OUTCOME, CHANGES, REPORT, "job.json"])
def test_a_damaged_run_can_be_discarded_and_nothing_else(steps: Steps, run: Run, file: str) -> None:
    (run.folder / file).write_text('{"created": null, "tasks": 5, "left_out": 5, "pictures": "5"}')
    for action in (*ACTIONS, lambda steps, run: steps.corrections(run)):
        with refused("damaged"):
            action(steps, run)
    steps.discard(again(run))
    assert not run.folder.exists()


def test_what_the_pictures_show_decides_the_start_and_the_check(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    assert again(run).record.reads == "face"
    steps.choose(run, {"subject": "face"})
    assert again(run).record.subject == "face" and not submitted  # as it was read already: nothing to do anew
    steps.choose(run, {"subject": "picture"})
    record = again(run).record
    assert record.reads == "picture" and record.parent == "pictures"
    assert [kind for _, kind, _ in submitted] == ["check"] and "--no-faces" in submitted[0][2]
    with pytest.raises(UsageError, match="reads faces"):
        steps.choose(run, {"from": "bknet"})
    steps.start(again(run))
    assert "--from pictures" in " ".join(submitted[1][2])
    steps.choose(run, {"subject": "face"})
    assert again(run).record.parent == "default" and "--no-faces" not in submitted[2][2]
    with pytest.raises(UsageError, match="subject"):
        steps.choose(run, {"subject": "dogs"})


def test_a_run_begun_from_whole_pictures_asks_nothing(steps: Steps) -> None:
    assert steps.create("flowers", "ann", "pictures").subject == "picture"
    assert steps.create("faces", "ann", "bknet").subject == steps.create("gone", "ann", "nothing").subject == ""


FORECAST_OF = {
    "parent": "bknet",
    "seconds": 1.0,
    "tasks": {},
    "refused": {},
    "traps": {},
    "suspects": [],
    "suggestions": [],
    "harmful": [
        {"code": "too_small", "count": 1, "files": ["smile/yes/1.png"], "values": {"task": "Smile", "much": {}}}
    ],
    "edits": {"left_out": [], "labels": {}, "renamed": {}, "kept": {}},
}


@pytest.fixture
def told(run: Run) -> Run:
    """A run that was checked, with a forecast."""
    (run.folder / REPORT).write_text("{}")
    (run.folder / folders.FORECAST).write_text(json.dumps(FORECAST_OF))
    return again(run)


def test_the_check_says_what_learning_from_the_chosen_checkpoint_would_bring(
    steps: Steps, run: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    steps.check(run)
    ((_, kind, words),) = submitted
    options = dict(zip(words[2::2], words[3::2], strict=False))
    assert kind == "check" and options["--from"] == "bknet"
    assert options["--forecast"] == str(run.folder / folders.FORECAST) and options["--cache"] == str(
        run.folder / "cache"
    )


def test_the_figure_moves_after_ten_changes_or_with_another_start(
    steps: Steps, told: Run, submitted: list[tuple[str, str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "RENEWED", 3)
    steps.change(told, {"files": ["smile/yes/1.png"], "out": True})
    steps.change(told, {"task": "smile", "labels": {"smile/yes/2.png": "not smiling"}})
    steps.change(told, {"files": ["hat/on/4.png"], "task": "hat", "keep": True})
    assert not submitted, "a label that is kept changes nothing"
    steps.change(told, {"files": ["smile/no/3.png"], "out": True})
    ((name, kind, words),) = submitted
    assert (name, kind, words[0]) == ("mine", "suggest", "suggest") and "--changes" in words
    steps.choose(told, {"from": "default"})
    assert submitted[1][1] == "suggest" and "default" in submitted[1][2]


def test_a_figure_that_is_worked_out_anew_holds_nothing_up(told: Run) -> None:
    (told.folder / folders.JOB).write_text(
        json.dumps({**JOB_THAT_ENDED, "kind": "suggest", "exit_code": None, "pid": None})
    )
    now = again(told)
    assert now.state == "checked" and now.forecasting and not now.busy


def test_pictures_that_harm_are_left_out_by_what_they_were_found_for(steps: Steps, told: Run) -> None:
    steps.change(told, {"harm": "too_small/Smile"})
    assert teaching.read_edits(told.folder).get("left_out") == ["smile/yes/1.png"]


@pytest.fixture
def loose(steps: Steps, tmp_path: Path) -> Run:
    """A run with thirty photos and no class."""
    steps.create("loose", "ann", "bknet")
    for number in range(30):
        path = tmp_path / f"runs/loose/data/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), (number, 0, 0)).save(path)
    steps.look(teaching.read_run(tmp_path / "runs", "loose"))
    return teaching.read_run(tmp_path / "runs", "loose")


def test_photos_without_a_class_are_checked_once_their_classes_are_named(
    steps: Steps, loose: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    with refused("no_class"):
        steps.check(loose)
    steps.name_classes(loose, "", ["hat", "no hat"])
    steps.check(loose)
    words = submitted[0][2]
    assert words[words.index("--columns") + 1] == "hat_or_no_hat=hat|no hat" and "--task" not in words
    settings = steps.words(again(loose))
    assert settings[settings.index("--columns") + 1] == "hat_or_no_hat=hat|no hat"


def test_a_class_more_keeps_the_labels(steps: Steps, loose: Run) -> None:
    steps.name_classes(loose, "hat", ["on", "off"])
    steps.change(loose, {"task": "hat", "labels": {"1.png": "on"}})
    steps.name_classes(loose, "", ["cap"])
    assert again(loose).record.classes == ("on", "off", "cap") and again(loose).record.task == "hat"
    assert dataset.read_labelled(again(loose)).counts()["hat"] == {"on": 1, "off": 0, "cap": 0, "not labelled": 29}


def test_folders_of_one_task_take_another_class_and_those_of_several_do_not(
    steps: Steps, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no class can be named here"):
        steps.name_classes(run, "", ["cap"])
    steps.create("one", "ann", "bknet")
    for name in ("hat/on/1.png", "hat/off/2.png"):
        path = tmp_path / "runs/one/data" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (24, 24)).save(path)
    steps.look(teaching.read_run(tmp_path / "runs", "one"))
    steps.name_classes(teaching.read_run(tmp_path / "runs", "one"), "", ["cap"])
    shown = dataset.read_labelled(teaching.read_run(tmp_path / "runs", "one"))
    assert shown.counts() == {"hat": {"off": 1, "on": 1, "cap": 0}}


def test_the_others_are_guessed_as_soon_as_each_class_has_five(
    steps: Steps, loose: Run, submitted: list[tuple[str, str, list[str]]]
) -> None:
    steps.name_classes(loose, "hat", ["on", "off"])
    (loose.folder / REPORT).write_text("{}")
    for number in range(8):
        steps.change(loose, {"task": "hat", "labels": {f"{number}.png": "on" if number < 4 else "off"}})
    assert not submitted
    steps.change(loose, {"task": "hat", "labels": {"8.png": "off", "9.png": "on"}})
    assert [kind for _, kind, _ in submitted] == ["suggest"]
    edits = {name: value for name, value in teaching.read_edits(loose.folder).items() if name != "undo"}
    told = {**FORECAST_OF, "harmful": [], "edits": edits}
    (loose.folder / folders.FORECAST).write_text(json.dumps(told))
    steps.change(loose, {"task": "hat", "labels": {"10.png": "off"}})
    assert len(submitted) == 1, "only every ten changes from then on"


def test_labelling_need_not_wait_for_the_check(steps: Steps, loose: Run) -> None:
    steps.name_classes(loose, "hat", ["on", "off"])
    (loose.folder / folders.JOB).write_text(
        json.dumps({**JOB_THAT_ENDED, "kind": "check", "exit_code": None, "pid": None})
    )
    assert again(loose).busy
    steps.change(loose, {"task": "hat", "labels": {"1.png": "on"}})
    assert dataset.read_labelled(again(loose)).counts()["hat"]["on"] == 1
    with refused("busy"):
        steps.choose(loose, {"kind": "csv"})


def test_pictures_can_be_added_to_a_result_that_waits(steps: Steps, run: Run) -> None:
    with pytest.raises(UsageError, match="as it is"):
        steps.reopen(run)
    changes.leave_out(run, ["hat/on/4.png"])
    steps.reopen(learned(run))
    now = again(run)
    assert now.state == "uploaded" and not (now.folder / CARD).exists()
    assert teaching.read_edits(now.folder).get("left_out") == ["hat/on/4.png"]


def test_pictures_that_were_kept_begin_a_new_version(steps: Steps, run: Run) -> None:
    changes.relabel(run, "smile", {"smile/yes/1.png": "not smiling"})
    steps.accept(learned(run), keep=True)
    record = steps.extend(again(run), "bob")
    assert record.name == "mine-2" and record.user == "bob" and record.parent == "bknet"
    steps.look(teaching.read_run(run.folder.parent, "mine-2"))
    new = teaching.read_run(run.folder.parent, "mine-2")
    counts = dataset.read_labelled(new).counts()["smile"]
    assert new.state == "uploaded" and (counts["not smiling"], counts["smiling"]) == (2, 1)
    steps.discard(new)
    assert (run.data / "smile/yes/1.png").is_file() and again(run).state == "accepted", "the first one stays as it is"


def test_where_the_pictures_were_not_kept_nothing_begins(steps: Steps, run: Run) -> None:
    with refused("pictures_deleted"):
        steps.extend(run, "ann")
    steps.accept(learned(run))
    with refused("pictures_deleted"):
        steps.extend(again(run), "ann")
    assert [path.name for path in run.folder.parent.iterdir() if path.is_dir()] == ["mine"]


def test_copies_are_left_out_by_one_click_and_one_of_each_stays(steps: Steps, run: Run) -> None:
    groups = [["smile/yes/1.png", "smile/yes/2.png"], ["smile/no/3.png", "hat/on/4.png", "hat/off/5.png"]]
    (run.folder / REPORT).write_text(json.dumps({"near": {"groups": groups}}))
    said = steps.change(run, {"harm": "copies"})
    assert said == "smile/yes/2.png is left out.", "the others carry different labels"
