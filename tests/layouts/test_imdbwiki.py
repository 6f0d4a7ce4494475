from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from mtl_model import layouts, systems
from mtl_model.errors import DataError
from tests.codes import reasons

savemat = pytest.importorskip("scipy.io").savemat


def matlab_day(year: int, month: int, day: int) -> float:
    return date(year, month, day).toordinal() + 366


def write(folder, rows: list[dict], name: str = "wiki.mat") -> None:
    """rows: what differs from a whole entry."""
    whole = {
        "dob": matlab_day(1980, 3, 1),
        "photo_taken": 2010,
        "gender": 1.0,
        "name": "A",
        "face_score": 3.2,
        "second_face_score": np.nan,
    }
    entries = [{**whole, **row} for row in rows]
    record = {field: np.array([one[field] for one in entries]) for field in whole if field != "name"}
    for field in ("full_path", "name"):
        cells = np.empty(len(entries), object)
        cells[:] = [str(one[field]) for one in entries]
        record[field] = cells
    savemat(folder / name, {name.removesuffix(".mat"): record})


@pytest.mark.parametrize(
    ("change", "age", "gender"),
    [
        ({}, 30, "male"),
        ({"gender": 0.0}, 30, "female"),
        ({"dob": matlab_day(1980, 6, 30)}, 30, "male"),
        ({"dob": matlab_day(1980, 7, 1)}, 29, "male"),
        ({"dob": matlab_day(1910, 1, 1)}, 100, "male"),
        ({"dob": matlab_day(2010, 1, 1)}, 0, "male"),
    ],
)
def test_ages_and_genders(draw, change, age, gender):
    folder = draw(["00/1.jpg"])
    write(folder, [{"full_path": "00/1.jpg", "name": "Ann", **change}])
    source = layouts.read(str(folder))
    assert source.kind == "imdbwiki"
    (sample,) = source.samples
    assert dict(sample.labels) == {"age": age, "gender": gender}
    assert sample.person == "Ann"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"face_score": -np.inf}, "imdbwiki.no_face"),
        ({"second_face_score": 1.5}, "imdbwiki.second_face"),
        ({"gender": np.nan}, "imdbwiki.gender"),
        ({"dob": matlab_day(1909, 1, 1)}, "imdbwiki.age"),
        ({"dob": matlab_day(2011, 1, 1)}, "imdbwiki.age"),
        ({"dob": 0.0}, "imdbwiki.age"),
        ({"dob": np.nan}, "imdbwiki.age"),
        ({"full_path": "00/9.jpg"}, "picture_missing"),
    ],
)
def test_what_is_dropped_is_counted_and_moves_no_other(draw, change, reason):
    folder = draw(["00/1.jpg", "00/2.jpg", "00/3.jpg"])
    first, last = {"full_path": "00/1.jpg", "gender": 0.0}, {"full_path": "00/3.jpg", "photo_taken": 2020}
    write(folder, [first, {"full_path": "00/2.jpg", **change}, last])
    source = layouts.read(str(folder))
    assert reasons(source) == {reason: 1}
    assert {one.file: dict(one.labels) for one in source.samples} == {
        "00/1.jpg": {"age": 30, "gender": "female"},
        "00/3.jpg": {"age": 40, "gender": "male"},
    }


def test_both_sets_side_by_side(draw):
    folder = draw(["imdb_crop/00/1.jpg", "wiki_crop/00/1.jpg"])
    write(folder / "imdb_crop", [{"full_path": "00/1.jpg"}], "imdb.mat")
    write(folder / "wiki_crop", [{"full_path": "00/1.jpg", "gender": 0.0}])
    assert [one.labels["gender"] for one in layouts.read(str(folder)).samples] == ["male", "female"]


def test_a_damaged_file_is_a_sentence(draw):
    folder = draw(["00/1.jpg"])
    (folder / "wiki.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\0" * 200)
    with pytest.raises(DataError, match=r"'wiki\.mat' is not a whole \.mat file"):
        layouts.read(str(folder))


def test_ages_are_read_as_the_groups_that_a_system_asks_for(draw):
    folder = draw(["00/1.jpg", "00/2.jpg"])
    young = {"full_path": "00/1.jpg", "dob": matlab_day(2010, 1, 1)}
    write(folder, [young, {"full_path": "00/2.jpg", "dob": matlab_day(1910, 1, 1)}])
    source = layouts.read(f"imdbwiki:{folder}", {"columns": systems.named("combined").config.columns})
    assert [sample.labels["age"] for sample in source.samples] == ["1-13", "56-80"]
    assert {name: task.kind for name, task in source.tasks.items()} == {"age": "classes", "gender": "classes"}
