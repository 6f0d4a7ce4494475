from __future__ import annotations

import pytest

from mtl_model import layouts
from mtl_model.errors import DataError, UsageError


@pytest.mark.parametrize("kind", layouts.kinds())
def test_every_layout_offers_what_the_protocol_says(kind, tmp_path):
    one = layouts.layout(kind)
    assert isinstance(one.ORDER, int)
    assert one.EXPECTS and all(one.OPTIONS.values())
    with pytest.raises(UsageError, match=f"option of the layout {kind}"):
        layouts.read(f"{kind}:{tmp_path}", {"nonsense": "1"})
    with pytest.raises(DataError, match="is not a folder"):
        layouts.read(f"{kind}:{tmp_path / 'gone'}")


def test_a_spec_is_a_kind_and_a_folder(tmp_path):
    assert layouts.parse_spec(f"utkface:{tmp_path}") == ("utkface", tmp_path)
    assert layouts.parse_spec("csv:C:\\faces")[0] == "csv"


def test_an_unknown_kind_gets_the_near_match(tmp_path):
    with pytest.raises(UsageError, match=r"Unknown data layout 'utkfase'. Did you mean 'utkface'"):
        layouts.parse_spec(f"utkfase:{tmp_path}")


@pytest.mark.parametrize("spec", ["nowhere", "C:\\nowhere"])
def test_a_folder_that_is_not_there(spec):
    with pytest.raises(DataError, match="is not a folder"):
        layouts.parse_spec(spec)


def test_a_folder_that_nobody_recognises_says_what_is_known(tmp_path):
    with pytest.raises(DataError, match=r"laid out in no way known here.*utkface: .*folders: "):
        layouts.read(str(tmp_path))


def test_the_first_that_matches_wins(draw):
    folder = draw(["25_0_0_2017.jpg", "smile/yes/a.jpg"])
    (folder / "labels.csv").write_text("file,smile\n25_0_0_2017.jpg,yes\n")
    assert layouts.recognise(folder) == "utkface"
    (folder / "25_0_0_2017.jpg").rename(folder / "portrait.jpg")
    assert layouts.recognise(folder) == "csv"
    (folder / "labels.csv").unlink()
    assert layouts.recognise(folder) == "folders"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("utkface", "utkface"),
        ("genki4k", "genki4k"),
        ("fairface", "fairface"),
        ("celeba", "celeba"),
        ("flowers", "list"),
        ("housenumbers", "csv"),
    ],
)
def test_the_sets_as_unpacked_are_recognised(data, name, kind):
    assert layouts.recognise(data / name) == kind
