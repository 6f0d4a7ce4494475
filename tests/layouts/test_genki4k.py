from __future__ import annotations

from collections import Counter

import pytest

from mtl_model import layouts
from mtl_model.errors import UsageError
from tests.codes import reasons

REASON = "genki4k.line"


def read(draw, lines: list[str], pictures: int = 5):
    folder = draw([f"files/file{number:04d}.webp" for number in range(1, pictures + 1)])
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    source = layouts.read(str(folder))
    assert source.kind == "genki4k"
    return source


def smiles(source) -> dict[str, str]:
    return {sample.file[-9:-5]: sample.labels["smile"] for sample in source.samples}


YES, NO = "1 -0.02 0.05 -0.03", "0 0.1 0.1 0.1"


def test_line_n_is_for_file_n(draw):
    source = read(draw, [YES, NO, NO, YES, NO])
    assert smiles(source) == {
        "0001": "smiling",
        "0002": "not smiling",
        "0003": "not smiling",
        "0004": "smiling",
        "0005": "not smiling",
    }
    assert not source.left_out


@pytest.mark.parametrize("wrong", ["", "2 0 0 0", "yes", "1 0.1", "1 a b c", "-1 0 0 0"])
def test_a_wrong_line_is_counted_and_moves_no_other(draw, wrong):
    source = read(draw, [YES, wrong, NO, YES, NO])
    assert reasons(source) == {REASON: 1}
    assert source.left_out[0].examples[0].startswith("line 2:")
    assert smiles(source) == {"0001": "smiling", "0003": "not smiling", "0004": "smiling", "0005": "not smiling"}


def test_too_few_and_too_many_lines_are_counted(draw):
    assert reasons(read(draw, [YES, NO, YES, NO])) == {"genki4k.no_line": 1}
    source = read(draw, [YES, NO, YES, NO, YES, NO])
    assert [(one.code, one.examples) for one in source.left_out] == [("picture_missing", ("files/file0006.jpg",))]


@pytest.mark.data
def test_the_set_as_unpacked(data):
    source = layouts.read(str(data / "genki4k"))
    assert Counter(sample.split for sample in source.samples) == {"train": 2759, "val": 249, "test": 992}
    assert not source.left_out
    assert {int(number) for number, smile in smiles(source).items() if smile == "smiling"} == set(range(1, 2163))


@pytest.mark.parametrize(("asked", "names"), [("", ()), ("roll", ("roll",)), ("all", ("yaw", "pitch", "roll"))])
def test_angles_on_request_in_degrees(draw, asked: str, names: tuple[str, ...]):
    folder = draw(["files/file0001.webp", "files/file0002.webp"])
    (folder / "labels.txt").write_text("1 0.1 -0.2 0.3\n0\n")
    source = layouts.read(f"genki4k:{folder}", {"attributes": asked})
    wanted = {"yaw": 5.7296, "pitch": -11.4592, "roll": 17.1887}
    first, second = (sample.labels for sample in source.samples)
    assert {name: first[name] for name in names} == pytest.approx({name: wanted[name] for name in names}, abs=1e-3)
    assert set(first) == {"smile", *names} and set(second) == {"smile"}
    assert all(source.tasks[name].axis == name and source.tasks[name].unit == "°" for name in names)


def test_an_unknown_angle_is_refused(draw):
    folder = draw(["files/file0001.webp"])
    (folder / "labels.txt").write_text("1 0 0 0\n")
    with pytest.raises(UsageError, match="yaw"):
        layouts.read(f"genki4k:{folder}", {"attributes": "jaw"})
