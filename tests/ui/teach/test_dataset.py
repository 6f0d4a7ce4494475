from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mtl_model.errors import DataError, UsageError
from mtl_model.ui.teach import changes, dataset, picture_views, teaching, views
from tests.codes import refused
from tests.ui.teach.conftest import Upload


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


def test_what_cannot_be_learned_is_one_sentence(upload: Upload, tmp_path: Path) -> None:
    run = upload()
    assert run.record.found["error"].endswith(".") and str(tmp_path) not in run.record.found["error"]
    with pytest.raises(DataError):
        dataset.read_labelled(run)


@pytest.mark.parametrize(
    ("names", "kind", "code", "begins"),
    [
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
    changes.relabel(run, "smile", {"smile/yes/1.png": "not smiling"})
    assert "Same picture in two classes." not in picture_views.problems(report, dataset.read_labelled(run))
    changes.leave_out(run, ["smile/no/2.png"])  # of either group one is left: nothing to do any more
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
    run = upload(*(f"smile/{'yes' if number % 2 else 'no'}/{number}.png" for number in range(120)))
    shown = dataset.read_labelled(run)
    first, last = (picture_views.browse(shown, "smile", "smiling", page) for page in (1, 99))
    assert first.count("<li ") == picture_views.PAGE and last.count("<li ") == 60 - picture_views.PAGE
    assert "Page 2 of 2" in last


def test_a_second_folder_beside_the_task_is_no_class_and_its_task_cannot_be_renamed(upload: Upload) -> None:
    run = upload("glasses/with/1.png", "glasses/without/2.png", "holiday/3.png", "4.png")
    found = run.record.found
    assert not found["error"] and not found["bare"] and found["tasks"]["glasses"]["classes"] == ["with", "without"]
    assert dataset.read_labelled(run).counts() == {"glasses": {"with": 1, "without": 1, "not labelled": 1}}
    html = views.found(run, dataset.read_labelled(run).source.left_out)
    assert "the folder holiday holds photos beside" in html


@pytest.mark.parametrize(
    "names", [["1.png", "2.png"], ["holiday/1.png", "holiday/2.png"], ["hat/on/1.png", "hat/on/2.png"]]
)
def test_photos_without_a_class_are_to_be_labelled(upload: Upload, names: list[str]) -> None:
    run = upload(*names)
    assert not run.record.found["error"] and not run.record.found["tasks"] and run.record.found["unlabelled"] == 2
    assert "2 photos, and no class yet." in views.found(run) and "Check these" not in views.found(run)
    with refused("no_class"):
        dataset.read_labelled(run)


def test_pictures_beside_declared_classes_wait_for_a_label(upload: Upload) -> None:
    run = upload("1.png", "holiday/2.png", "on/3.png", task="hat", classes=("on", "off"))
    shown = dataset.read_labelled(run)
    assert shown.counts() == {"hat": {"on": 1, "off": 0, "not labelled": 2}}
    assert [one.file for one in shown.waiting("hat")] == ["1.png", "holiday/2.png"]
    assert run.record.found["unlabelled"] == 2 and run.record.found["tasks"]["hat"]["classes"] == ["on", "off"]


@pytest.mark.parametrize(
    ("task", "classes", "expected"),
    [
        ("", ["hat", " no  hat "], ("hat_or_no_hat", ("hat", "no hat"))),
        ("Head gear", ["cap", "hat", "none"], ("head_gear", ("cap", "hat", "none"))),
        ("", ["a" * 64, "b"], ("a" * 64, ("a" * 64, "b"))),
        ("smile", ["yes", "no"], ("smile", ("yes", "no"))),
    ],
)
def test_classes_are_named(task: str, classes: list[str], expected: tuple[str, tuple[str, ...]]) -> None:
    assert dataset.check_classes(task, classes) == expected


@pytest.mark.parametrize(
    ("task", "classes"),
    [
        ("", ["hat"]),
        ("", ["hat", "Hat"]),
        ("", ["hat", "  "]),
        ("", ["hat", "a|b"]),
        ("", ["hat", "../x"]),
        ("", ["hat", "train"]),
        ("", ["hat", "unlabelled"]),
        ("", ["hat", "12"]),
        ("", ["hat", "x" * 65]),
        ("", [f"class {number}" for number in range(21)]),
        ("a=b", ["hat", "none"]),
        ("age", ["young", "old"]),
        ("smile", ["happy", "sad"]),
    ],
)
def test_names_that_cannot_be_are_refused(task: str, classes: list[str]) -> None:
    with pytest.raises(UsageError, match="choose another|name each once"):
        dataset.check_classes(task, classes)
