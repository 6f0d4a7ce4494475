from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mtl_model import layouts
from mtl_model.data.check import Finding, check, count_labels
from mtl_model.records import Face, Sample
from mtl_model.tasks import TASKS

FACE = Face((10.0, 10.0, 80.0, 90.0), 0.99)
SMALL = Face((10.0, 10.0, 40.0, 49.0), 0.99)


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8))
    small.resize((96, 96), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ninety pictures, half of them smiling, ten in val and ten in test of each."""
    rows = ["file,smile,age,split"]
    for number in range(90):
        draw(tmp_path / f"{number:02d}.png", number)
        split = "val" if number >= 80 else "test" if number >= 70 else "train"
        rows.append(f"{number:02d}.png,{('yes', 'no')[number % 2]},{1 + number % 7 * 10},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def one_face(paths: Sequence[str], *_: object) -> list[tuple[Face, ...] | None]:
    return [(FACE,) for _ in paths]


def change(folder: Path, number: int, **fields: str) -> None:
    """Write other fields into the row of a picture."""
    lines = (folder / "labels.csv").read_text().splitlines()
    names = lines[0].split(",")
    row = dict(zip(names, lines[number + 1].split(","), strict=True)) | fields
    lines[number + 1] = ",".join(row[name] for name in names)
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def checked(folder: Path, look=one_face):
    return check(layouts.read(str(folder)), look=look)


def found(findings, code: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.code == code)
    return finding


def codes(findings) -> list[str]:
    return [finding.code for finding in findings]


def test_a_sound_set_is_usable(folder):
    report = checked(folder)
    assert (report.verdict, report.exit_code) == ("usable", 0), report.warnings
    assert report.pictures == 90
    assert report.splits == {"train": 70, "val": 10, "test": 10}
    assert report.labels["smile"] == {
        "not smiling": {"train": 35, "val": 5, "test": 5},
        "smiling": {"train": 35, "val": 5, "test": 5},
    }
    assert sum(report.labels["age"]["1-13"].values()) == 26
    assert (report.no_face, report.several_faces, report.small_faces) == (0, 0, 0)


def test_the_report_is_plain_json_and_readable(folder):
    (folder / "05.png").write_bytes((folder / "04.png").read_bytes())
    report = checked(folder)
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["verdict"] == "usable with warnings"
    assert plain["exact"]["groups"] == [["04.png", "05.png"]]
    assert codes(report.warnings) == [finding["code"] for finding in plain["warnings"]] == ["exact_copies"]
    lines = report.lines()
    assert lines[0].startswith("csv,") and "90 labelled pictures" in lines[0]
    assert lines[-2].endswith(
        "surplus pictures: 1. Groups whose labels differ: 1 (smile in 1, age in 1). For example 04.png = 05.png."
    )
    assert lines[-1] == "The data set is usable with warnings."


def test_unreadable_and_skipped_are_counted_and_named(folder):
    (folder / "03.png").write_bytes(b"no picture")
    change(folder, 4, smile="perhaps")
    report = checked(folder)
    assert (report.unreadable, report.exit_code, report.pictures) == (1, 1, 88)
    unreadable, left_out = found(report.warnings, "unreadable"), found(report.warnings, "left_out")
    assert (unreadable.files, unreadable.words) == (("03.png",), "1 file cannot be read as a picture.")
    assert (left_out.count, left_out.values) == (1, {"reason": "label_unknown", "values": {"task": "smile"}})
    assert left_out.words == "Left out 1: a label of smile that is not known."
    assert "04.png: 'perhaps' is not a label of smile." in left_out.files[0]


@pytest.mark.parametrize(
    ("faces", "counts", "code"),
    [((), (1, 0, 0), "no_face"), ((FACE, SMALL), (0, 1, 0), "several_faces"), ((SMALL,), (0, 0, 1), "small_faces")],
)
def test_faces_are_counted(folder, faces, counts, code):
    def look(paths: Sequence[str], *_: object) -> list[tuple[Face, ...] | None]:
        return [faces if path.endswith("07.png") else (FACE,) for path in paths]

    report = checked(folder, look)
    assert (report.no_face, report.several_faces, report.small_faces) == counts
    assert report.exit_code == 1
    finding = found(report.warnings, code)
    assert (finding.count, finding.files) == (1, ("07.png",))


def test_faces_need_not_be_looked_for(folder):
    report = checked(folder, None)
    assert (report.no_face, report.several_faces, report.small_faces) == (None, None, None)


def test_copies_and_what_their_labels_say(folder):
    (folder / "02.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "09.png").write_bytes((folder / "01.png").read_bytes())
    with Image.open(folder / "20.png") as image:
        image.point(lambda level: 0.8 * level + 20).save(folder / "22.png")
    change(folder, 2, age="1", smile="yes")
    change(folder, 0, age="1", smile="yes")
    report = checked(folder)
    assert report.exact.groups == (("00.png", "02.png"), ("01.png", "09.png"))
    assert (report.exact.surplus, report.exact.disagreeing, dict(report.exact.by_task)) == (2, 1, {"age": 1})
    assert report.near.groups == (*report.exact.groups, ("20.png", "22.png"))
    assert report.across_splits.groups == ()
    copies = found(report.warnings, "exact_copies")
    assert (copies.count, copies.values) == (2, {"surplus": 2, "disagreeing": 1, "by_task": {"age": 1}})


@pytest.mark.parametrize(
    ("first", "second", "leaked"), [("00.png", "85.png", 1), ("75.png", "85.png", 0), ("10.png", "11.png", None)]
)
def test_copies_across_splits(folder, first, second, leaked):
    with Image.open(folder / first) as image:
        image.resize((70, 70)).save(folder / second)
    report = checked(folder)
    assert report.across_splits.groups == (() if leaked is None else ((first, second),))
    said = [finding.values for finding in report.warnings if finding.code == "copies_across_splits"]
    assert said == ([] if leaked is None else [{"leaked": leaked}])


def test_rare_classes_and_empty_splits(folder):
    for number in range(90):
        change(folder, number, split="train" if number < 80 else "val", smile="no" if number > 8 else "yes")
    report = checked(folder)
    assert found(report.warnings, "empty_split").values == {"split": "test"}
    rare = [finding.values for finding in report.warnings if finding.code == "rare_classes"]
    assert {"task": "smile", "least": 10, "classes": {"smiling": 9}} in rare
    unseen = [finding.values for finding in report.warnings if finding.code == "unseen_classes"]
    assert {"task": "smile", "split": "val", "classes": ["smiling"]} in unseen
    assert report.exit_code == 1


def test_ages_that_are_known_as_ranges_are_not_called_rare(folder):
    for number in range(90):
        change(folder, number, split="train", age="20-29" if number % 2 else "30-39")
    rare = [finding.values["task"] for finding in checked(folder).warnings if finding.code == "rare_classes"]
    assert "age" not in rare


def test_tasks_that_would_write_one_column_are_warned_of(folder):
    lines = (folder / "labels.csv").read_text().splitlines()
    rows = [f"{line},{('a', 'b')[number % 2]}" for number, line in enumerate(lines[1:])]
    (folder / "labels.csv").write_text("\n".join([f"{lines[0]},Age Low", *rows]))
    report = checked(folder)
    assert report.exit_code == 1 and found(report.warnings, "column_clash").values["column"] == "age_low"


def test_one_class_alone_cannot_be_learned(folder):
    for number in range(90):
        change(folder, number, smile="no", age="")
    report = checked(folder)
    assert (report.verdict, report.exit_code) == ("not usable", 2)
    assert codes(report.faults) == ["nothing_learnable"]


def test_nothing_at_all_is_not_usable(folder):
    (folder / "labels.csv").write_text("file,smile\ngone.png,yes\n")
    report = checked(folder)
    assert report.exit_code == 2 and report.pictures == 0
    assert codes(report.faults) == ["no_picture"]


def test_what_is_not_labelled_is_counted():
    samples = [Sample("a", {"smile": "smiling"}), Sample("b", {})]
    counted = count_labels({"smile": TASKS["smile"]}, samples)
    assert counted == {"smile": {"not smiling": {}, "smiling": {"train": 1}, "not labelled": {"train": 1}}}


def test_the_real_detector_is_asked(folder, tmp_path_factory, root):
    with Image.open(root / "samples" / "astronaut.jpg") as image:
        image.save(folder / "00.png")
    report = check(layouts.read(str(folder)), root=tmp_path_factory.mktemp("cache"))
    assert report.no_face is not None and 0 < report.no_face <= 89
    assert "00.png" not in found(report.warnings, "no_face").files


@pytest.mark.data
@pytest.mark.long
def test_utkface_as_unpacked(data):
    report = check(layouts.read(str(data / "utkface")), look=None)
    assert len(report.exact.groups) == 375 and report.exact.surplus == 390
    assert [(reason.code, reason.count) for reason in report.left_out] == [("utkface.lacks_field", 3)]
    names = found(report.warnings, "left_out").files
    assert len(names) == 3 and all(name.split("_")[2].startswith("2017") for name in names)
    assert report.exact.by_task["age"] == 205
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("counts", "slip"),
    [
        ({"with": 9, "wiht": 2, "without": 9}, ("wiht", "with")),
        ({"with": 9, "withh": 2, "without": 9}, ("withh", "with")),
        ({"smile": 9, "smlie": 4, "none": 9}, ("smlie", "smile")),
        ({"with": 9, "wiht": 9, "without": 9}, None),  # as many: two classes
        ({"type1": 9, "type2": 2, "none": 9}, None),  # digits count things
        ({"man": 9, "men": 2, "none": 9}, None),  # too short
        ({"with": 9, "without": 2}, None),
    ],
)
def test_a_class_whose_name_looks_misspelt_is_asked_about(
    tmp_path: Path, counts: dict[str, int], slip: tuple[str, str] | None
) -> None:
    for word, count in counts.items():
        for number in range(count):
            draw(tmp_path / "glasses" / word / f"{number}.png", hash((word, number)) % 10_000)
    report = check(layouts.read(str(tmp_path)), look=one_face)
    told = [finding.values for finding in report.warnings if finding.code == "misspelt_class"]
    assert [(values["word"], values["meant"]) for values in told] == ([slip] if slip else [])


def test_what_nothing_can_be_learned_from_is_named(folder: Path) -> None:
    (folder / "00.png").write_bytes(b"no picture")
    report = checked(folder, lambda paths, *_: [() if path.endswith("03.png") else (FACE,) for path in paths])
    assert report.unusable == ("00.png", "03.png")


def test_pictures_that_may_be_labelled_later_are_looked_at_too(folder: Path) -> None:
    for number in (200, 201):
        draw(folder / f"later {number}.png", number)
    (folder / "later 200.png").write_bytes((folder / "05.png").read_bytes())

    def look(paths: Sequence[str], *_: object) -> list[tuple[Face, ...] | None]:
        return [() if "201" in path else (FACE,) for path in paths]

    later = ["later 200.png", "later 201.png"]
    report = check(layouts.read(str(folder)), look=look, unlabelled=later)
    assert (report.pictures, report.unlabelled, report.no_face) == (92, 2, 1)
    assert report.unusable == ("later 201.png",) and report.exact.groups == (("05.png", "later 200.png"),)
    assert sum(report.splits.values()) == 90 and not report.exact.disagreeing
    assert "90 labelled pictures" in report.lines()[0] and "2 without a label" in report.lines()[0]
