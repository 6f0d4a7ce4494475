from __future__ import annotations

from collections import Counter

import pytest

from mtl_model import layouts

REASON = "the line is not a smile of 0 or 1 with three angles"


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
    assert not source.skipped


@pytest.mark.parametrize("wrong", ["", "2 0 0 0", "yes", "1 0.1", "1 a b c", "-1 0 0 0"])
def test_a_wrong_line_is_counted_and_moves_no_other(draw, wrong):
    source = read(draw, [YES, wrong, NO, YES, NO])
    assert dict(source.skipped) == {REASON: 1}
    assert source.examples[REASON][0].startswith("line 2:")
    assert smiles(source) == {"0001": "smiling", "0003": "not smiling", "0004": "smiling", "0005": "not smiling"}


def test_too_few_and_too_many_lines_are_counted(draw):
    assert dict(read(draw, [YES, NO, YES, NO]).skipped) == {"the picture has no line in labels.txt": 1}
    source = read(draw, [YES, NO, YES, NO, YES, NO])
    assert source.examples == {"the picture is not there": ("files/file0006.jpg",)}


@pytest.mark.data
def test_the_set_as_unpacked(data):
    source = layouts.read(str(data / "genki4k"))
    assert Counter(sample.split for sample in source.samples) == {"train": 2759, "val": 249, "test": 992}
    assert not source.skipped
    assert {int(number) for number, smile in smiles(source).items() if smile == "smiling"} == set(range(1, 2163))
