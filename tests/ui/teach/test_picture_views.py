"""What the check says of an upload, and the question what the pictures show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mtl_model.data.dataset_edits import Changes
from mtl_model.layouts import Source
from mtl_model.records import FACE, PICTURE, Sample
from mtl_model.runs import REPORT
from mtl_model.tasks import class_task
from mtl_model.ui.teach import picture_views
from mtl_model.ui.teach.dataset import Labelled
from mtl_model.ui.teach.teaching import Record, Run

QUESTION, FACES, PICTURES, GO_ON = "What do they show?", 'data-do="as-faces"', 'data-do="as-pictures"', 'data-do="goon"'


@pytest.fixture
def shown(tmp_path: Path) -> Labelled:
    """A hundred pictures of two kinds."""
    folder = tmp_path / "data"
    names = [f"{'a' if number % 2 else 'b'}/{number}.png" for number in range(100)]
    samples = tuple(Sample(str(folder / name), {"kind": name[0]}, file=name) for name in names)
    return Labelled(Source("folders", folder, samples, {"kind": class_task("kind", ("a", "b"))}), Changes())


@pytest.mark.parametrize(
    ("no_face", "subject", "there", "absent"),
    [
        (60, "", (QUESTION, FACES, PICTURES, "40 of 100 pictures"), (GO_ON,)),
        (100, "", (QUESTION, "No face was found in 100 pictures"), (GO_ON,)),
        (50, "", (GO_ON,), (QUESTION, PICTURES, FACES)),
        (0, "", (GO_ON,), (QUESTION, PICTURES, FACES)),
        (60, FACE, (GO_ON, PICTURES), (QUESTION, FACES)),
        (100, FACE, (PICTURES,), (GO_ON, QUESTION)),
        (None, PICTURE, (GO_ON, FACES), (QUESTION, PICTURES)),
    ],
)
def test_few_faces_raise_the_question_what_the_pictures_show(
    shown: Labelled, tmp_path: Path, no_face: int | None, subject: str, there: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    (tmp_path / REPORT).write_text(json.dumps({"pictures": 100, "no_face": no_face}))
    html = picture_views.go_on(Run(tmp_path, Record("mine", subject=subject), None, "checked"), shown)
    assert [part for part in there if part not in html] == []
    assert [part for part in absent if part in html] == []


def test_pictures_without_a_label_stand_as_their_guesses_part_them(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = [f"{number}.png" for number in range(6)]
    shown = Labelled(
        Source("folders", folder, (), {"kind": class_task("kind", ("a", "b"))}),
        Changes(("5.png",), {"4.png": {"kind": "a"}}),
        files,
    )
    guesses = {"0.png": ["b", 0.9], "1.png": ["a", 0.6], "3.png": ["a", 0.95]}
    html = picture_views.browse(shown, "kind", "not labelled", 1, guesses)
    assert re.findall(r'data-file="([^"]+)" data-guess="([^"]*)"', html) == [
        ("3.png", "a"), ("1.png", "a"), ("0.png", "b"), ("2.png", "")
    ]  # fmt: skip
    assert html.count("unsure") == 2 and "Take the guesses" in html
    assert "Take the guesses" not in picture_views.browse(shown, "kind", "not labelled", 1)
