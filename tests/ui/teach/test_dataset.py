from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mtl_model.errors import DataError, UsageError
from mtl_model.ui.teach import dataset, picture_views, teaching, views
from mtl_model.ui.teach.teaching import Record, Run
from tests.codes import refused

Upload = Callable[..., Run]


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    """upload(*names, text=...) -> the run after its upload was looked at."""

    def write(*names: str, kind: str = "", task: str = "", name: str = "glasses-2", **texts: str) -> Run:
        folder = tmp_path / "runs" / name
        for one in names:
            path = folder / "data" / one
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 24), "teal").save(path, "PNG")
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for one, text in texts.items():
            (folder / "data" / one.replace("__", ".")).write_text(text)
        record = Record(name, kind=kind, task=task)
        teaching.write_record(folder, record)
        found = dataset.describe(folder, record, stamp=str(len(names)))
        return Run(folder, teaching.edit_record(folder, found=found), None, "uploaded")

    return write


@pytest.mark.parametrize(
    ("names", "kind", "tasks"),
    [
        (["smile/yes/1.png", "smile/no/2.png"], "folders", {"smile": 2}),
        (["up/smile/yes/1.png", "up/smile/no/2.png", "up/age/20-29/3.png"], "folders", {"smile": 2, "age": 1}),
        (["glasses/with/1.png", "glasses/without/2.png"], "folders", {"glasses": 2}),
        (["with/1.png", "without/2.png"], "folders", {"glasses_2": 2}),  # named after the checkpoint
        (["set/25_1_0_2017.png", "set/61_0_2_2017.png"], "utkface", {"age": 2, "gender": 2}),
    ],
)
def test_layouts_are_understood(upload: Upload, names: list[str], kind: str, tasks: dict[str, int]) -> None:
    run = upload(*names)
    assert run.record.found["kind"] == kind and not run.record.found["error"]
    counts = dataset.read_labelled(run).counts()
    assert {name: sum(one.values()) - one.get("not labelled", 0) for name, one in counts.items()} == tasks


def test_a_table_in_a_folder_of_its_own_is_found(upload: Upload, tmp_path: Path) -> None:
    (tmp_path / "runs/glasses-2/data/set").mkdir(parents=True)
    (tmp_path / "runs/glasses-2/data/set/labels.csv").write_text("file,age,smile\n1.png,34,\n2.png,,yes\n")
    run = upload("set/1.png", "set/2.png")
    assert run.record.found["kind"] == "csv" and run.record.found["pictures"] == 2
    assert (run.data / "labels.csv").is_file() and not (run.data / "set").exists()


def test_the_visitor_names_what_bare_folders_tell_apart(upload: Upload) -> None:
    run = upload("with/1.png", "without/2.png", task="hat")
    assert run.record.found["bare"] and list(run.record.found["tasks"]) == ["hat"]


def test_a_name_that_does_not_fit_the_folders_can_be_given_anew(upload: Upload) -> None:
    found = upload("happy/1.png", "sad/2.png", task="smile").record.found
    assert found["code"] == "label_unknown" and "'happy' is not a label of smile. Known: " in found["error"]
    assert found["bare"] and found["task"] == "smile", "the field stays"


@pytest.mark.parametrize("names", [["one/1.png", "one/2.png"], ["1.png"], []])
def test_what_cannot_be_learned_is_one_sentence(upload: Upload, names: list[str], tmp_path: Path) -> None:
    run = upload(*names)
    assert run.record.found["error"].endswith(".") and str(tmp_path) not in run.record.found["error"]
    with pytest.raises(DataError):
        dataset.read_labelled(run)


@pytest.mark.parametrize(
    ("names", "kind", "code", "begins"),
    [
        (["one/1.png", "one/2.png"], "", "only_class", "All pictures lie in one class"),
        (["1.png"], "csv", "folder", "There is none in what was uploaded. Expected a CSV file"),
        (["1.png"], "list", "folder", "There is no train.txt in what was uploaded. Expected train.txt"),
        ([], "", "nothing_known", dataset.NOTHING_KNOWN),
    ],
)
def test_what_was_not_understood_is_said_in_words_of_the_page(
    upload: Upload, names: list[str], kind: str, code: str, begins: str
) -> None:
    found = upload(*names, kind=kind, readme__txt="x").record.found
    assert found["code"] == code and not found["notes"]
    assert found["error"].startswith(begins) and "check the path" not in found["error"]


def test_what_was_left_out_is_named_with_the_spellings_that_are_known(upload: Upload) -> None:
    rows = "".join(f"{number}.png,{word}\n" for number, word in enumerate(("yes", "no", "may<be", "perhaps")))
    run = upload(*(f"{number}.png" for number in range(4)), labels__csv=f"file,smile\n{rows}")
    html = views.found(run, dataset.read_labelled(run).source.left_out)
    assert "<li>2: a label of smile that is not known<ul" in html
    assert "2.png: &#39;may&lt;be&#39; is not a label of smile. Known: " in html and "3.png: " in html


def test_changes_are_counted_undone_and_survive(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/yes/2.png", "smile/no/3.png")
    dataset.change(run, "smile/yes/1.png", "", None, out=True)
    said = dataset.change(run, "smile/yes/2.png", "smile", "not smiling", out=None)
    assert said == "smile/yes/2.png is now labelled Smile: not smiling."
    shown = dataset.read_labelled(run)
    assert shown.counts()["smile"] == {"not smiling": 2, "smiling": 0}
    assert [one.file for one in shown.chosen("", dataset.LEFT_OUT)] == ["smile/yes/1.png"]
    assert [one.file for one in shown.chosen("", dataset.CHANGED)] == ["smile/yes/2.png"]
    assert "smile/yes/2.png is as before" in dataset.undo(run)
    dataset.undo(run)
    assert dataset.read_labelled(run).counts()["smile"] == {"not smiling": 1, "smiling": 2}
    with refused("nothing_changed"):
        dataset.undo(run)


def test_a_label_put_back_is_no_change(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/no/3.png")
    for word in ("not smiling", "smiling"):
        dataset.change(run, "smile/yes/1.png", "smile", word, out=None)
    assert teaching.read_edits(run.folder).get("labels") == {}


@pytest.mark.parametrize(
    ("file", "task", "word"),
    [("../x.png", "smile", "smiling"), ("smile/yes/1.png", "hair", "long"), ("smile/yes/1.png", "smile", "sad")],
)
def test_senseless_changes_are_refused(upload: Upload, file: str, task: str, word: str) -> None:
    run = upload("smile/yes/1.png", "smile/no/3.png")
    with pytest.raises((UsageError, DataError)):
        dataset.change(run, file, task, word, out=None)


def test_only_pictures_of_the_upload_are_found(upload: Upload, tmp_path: Path) -> None:
    run = upload("smile/yes/1.png", "smile/no/3.png")
    secret = tmp_path / "secret.png"
    Image.new("RGB", (9, 9)).save(secret)
    (run.data / "link.png").symlink_to(secret)
    (run.data / "out").symlink_to(tmp_path)
    assert dataset.picture_path(run, "smile/yes/1.png").is_file()
    for file in ("", "..", "../teach.json", "link.png", "out/secret.png", str(secret), "smile", "a\0", "x" * 5000):
        with pytest.raises(UsageError):
            dataset.picture_path(run, file)


def test_names_and_words_are_escaped(upload: Upload) -> None:
    run = upload("<b>/<i>x.png", "no/2.png", task="<u>")
    shown = dataset.read_labelled(run)
    task, word = next(iter(shown.tasks)), "<b>"
    report = {"warnings": [{"text": "<s> 1 file", "count": 1, "files": ["<b>/<i>x.png"]}], "faults": [{"text": "<p2>"}]}
    # as an older version wrote them
    html = (
        picture_views.browse(shown, task, word, 1) + picture_views.counts(shown) + picture_views.problems(report, shown)
    )
    for raw in ("<b>/", "<i>", "<u>", "<s>", "<p2>", "<b>:", "<b><span"):
        assert raw not in html, raw
    assert "&lt;i&gt;x.png" in html


def test_the_same_picture_in_two_classes_and_rare_classes_are_told(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/no/2.png", "smile/no/3.png")
    report = {"near": {"groups": [["smile/no/2.png", "smile/yes/1.png"], ["smile/no/3.png", "smile/no/2.png"]]}}
    html = picture_views.problems(report, dataset.read_labelled(run))
    assert "Same picture in two classes." in html and "Copies." in html
    assert (
        "Smile cannot be learned yet: it needs 8 more of not smiling (there are 2), 9 more of smiling (there are 1)."
        in html
    )
    dataset.change(run, "smile/yes/1.png", "smile", "not smiling", out=None)
    assert "Same picture in two classes." not in picture_views.problems(report, dataset.read_labelled(run))
    dataset.change(run, "smile/no/2.png", "", None, out=True)  # of either group one is left: nothing to do any more
    assert "Copies." not in picture_views.problems(report, dataset.read_labelled(run))


def test_every_picture_that_is_named_can_be_opened(upload: Upload) -> None:
    """Many are folded away, none is only counted."""
    files = [f"smile/{'yes' if number % 2 else 'no'}/{number}.png" for number in range(90)]
    shown = dataset.read_labelled(upload(*files))
    report = {
        "near": {"groups": [[files[number], files[number + 2]] for number in range(40, 84)]},
        "warnings": [{"code": "no_face", "count": 30, "values": {}, "files": files[:30]}],
    }
    html = picture_views.problems(report, shown)
    assert html.count("<li ") == 30 + 2 * 44
    assert html.count("10 more</summary>") == 1 and html.count("25 more</summary>") == 1
    said = "No face was found in 30 files; nothing is learned from what shows none."
    assert html.index(said) < html.index("Copies.")


def test_findings_are_told_by_their_codes(upload: Upload) -> None:
    """The groups of copies are shown with their pictures, and how the splits are is no matter here."""
    shown = dataset.read_labelled(upload("smile/yes/1.png", "smile/no/2.png"))
    pair = ["smile/yes/1.png", "smile/no/2.png"]
    warnings: list[dict[str, Any]] = [
        {
            "code": "exact_copies",
            "count": 1,
            "values": {"surplus": 1, "disagreeing": 1, "by_task": {"smile": 1}},
            "files": [],
        },
        {"code": "copies_across_splits", "count": 1, "values": {"leaked": 1}, "files": [" = ".join(pair)]},
        {"code": "empty_split", "count": 0, "values": {"split": "val"}, "files": []},
        {"code": "unreadable", "count": 1, "values": {}, "files": [pair[0]]},
        {"code": "of_a_later_version", "count": 1, "values": {"ratio": 3}, "files": [pair[1]]},
        {"text": "1 file cannot be read as a picture.", "count": 1, "files": [pair[0]]},
    ]
    html = picture_views.problems({"warnings": warnings}, shown)
    assert re.findall(r"<div class=\"finding\"><p>([^<]+)</p>", html) == [
        "1 file cannot be read as a picture; nothing is learned from it.",
        "of_a_later_version (ratio 3, count 1)",
        "1 file cannot be read as a picture.",
    ]


def test_what_an_older_version_understood_is_shown_as_it_stands(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/no/3.png")
    older = {name: value for name, value in run.record.found.items() if name not in ("left_out", "code")}
    older |= {"skipped": {"the picture is <not> there": 2}, "notes": ["Columns without a name are left out: 2."]}
    teaching.edit_record(run.folder, found=older)
    record = teaching.read_record(run.folder)
    assert record is not None
    html = views.found(dataclasses.replace(run, record=record))
    assert "Left out: 2" in html and "<li>2: the picture is &lt;not&gt; there</li>" in html
    assert '<p class="small">Columns without a name are left out: 2.</p>' in html


def test_no_face_at_all_is_said_calmly(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/no/2.png")
    html = picture_views.problems({"pictures": 2, "no_face": 2}, dataset.read_labelled(run))
    assert "No face was found in any of these pictures, so there is nothing to learn from." in html


def test_pages_of_pictures(upload: Upload) -> None:
    run = upload(*(f"smile/{'yes' if number % 2 else 'no'}/{number}.png" for number in range(60)))
    shown = dataset.read_labelled(run)
    first, last = (picture_views.browse(shown, "smile", "smiling", page) for page in (1, 99))
    assert first.count("<li ") == picture_views.PAGE and last.count("<li ") == 30 - picture_views.PAGE
    assert "Page 2 of 2" in last


def test_a_second_folder_beside_the_task_is_no_class_and_its_task_cannot_be_renamed(upload: Upload) -> None:
    run = upload("glasses/with/1.png", "glasses/without/2.png", "holiday/3.png", "4.png")
    found = run.record.found
    assert not found["error"] and not found["bare"] and found["tasks"]["glasses"]["classes"] == ["with", "without"]
    assert dataset.read_labelled(run).counts() == {"glasses": {"with": 1, "without": 1, "not labelled": 1}}
    html = views.found(run, dataset.read_labelled(run).source.left_out)
    assert "the folder holiday holds photos beside" in html


def test_classes_are_merged_and_that_is_undone(upload: Upload) -> None:
    run = upload("hat/on/1.png", "hat/onn/2.png", "hat/off/3.png")
    dataset.change(run, "hat/off/3.png", "hat", "onn", out=None)
    dataset.rename(run, "hat", {"onn": "on"})
    assert dataset.read_labelled(run).counts()["hat"] == {"off": 0, "on": 3}
    dataset.rename(run, "hat", {"on": "worn"})
    assert dataset.read_labelled(run).counts()["hat"] == {"off": 0, "worn": 3}
    for expected in ({"off": 0, "on": 3}, {"off": 0, "on": 1, "onn": 2}, {"off": 1, "on": 1, "onn": 1}):
        dataset.undo(run)
        assert dataset.read_labelled(run).counts()["hat"] == expected
    with pytest.raises(UsageError):
        dataset.rename(run, "hat", {"cap": "on"})


def test_pictures_left_out_together_come_back_together(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/yes/2.png", "smile/no/3.png")
    dataset.change(run, "smile/no/3.png", "", None, out=True)
    dataset.leave_out(run, ["smile/yes/1.png", "smile/yes/2.png"])
    assert len(dataset.read_labelled(run).chosen("", dataset.LEFT_OUT)) == 3
    dataset.undo(run)
    assert [one.file for one in dataset.read_labelled(run).chosen("", dataset.LEFT_OUT)] == ["smile/no/3.png"]
