from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl_model import checkpoint_zip
from mtl_model import runs as runs_module
from mtl_model.card import CARD, WEIGHTS
from mtl_model.card import from_json as card_from
from mtl_model.errors import CheckpointError, UsageError

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "weights" / "bknet", tmp_path / "mine"))


def zipped(entries: dict[str, bytes], **more: Any) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **more) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream


def parts(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (CARD, WEIGHTS)}


def look(stream: Any, runs: Path) -> Path:
    with checkpoint_zip.opened(stream, runs) as (found, _):
        return found


def test_there_and_back(folder: Path, tmp_path: Path) -> None:
    stream, runs = io.BytesIO(), tmp_path / "runs"
    checkpoint_zip.pack(folder, stream)
    with zipfile.ZipFile(stream) as archive:
        assert archive.namelist() == [f"mine/{CARD}", f"mine/{WEIGHTS}"]
    with checkpoint_zip.opened(stream, runs) as (found, card):
        assert card.network == "bknet"
        kept = checkpoint_zip.keep(found, "yours", tmp_path / "weights", runs)
    assert parts(kept) == parts(folder) and os.listdir(runs) == ["yours"]


def test_looking_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    assert not look(zipped(parts(folder)), tmp_path / "runs").exists()
    assert os.listdir(tmp_path / "runs") == []


def test_nothing_else_is_read_and_no_path_is_used(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    entries = {
        "../../up.txt": b"x",
        "/abs.txt": b"x",
        "model.pkl": pickle.dumps(Trap()),
        "../evil/state.pt": pickle.dumps(Trap()),
        "__MACOSX/a/card.json": b"x",
        "__MACOSX/a/model.safetensors": b"x",
        "a/.DS_Store": b"x",
        **{f"../../a/{name}": content for name, content in parts(folder).items()},
    }
    with checkpoint_zip.opened(zipped(entries), tmp_path / "runs") as (found, _):
        assert sorted(os.listdir(found)) == sorted((CARD, WEIGHTS))
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "up.txt").exists()
    assert sorted(os.listdir(tmp_path)) == ["mine", "runs"]


def bomb(folder: Path) -> io.BytesIO:
    content = parts(folder)
    content[CARD] += b" " * (checkpoint_zip.LARGEST[CARD] + 1)
    return zipped(content, compression=zipfile.ZIP_DEFLATED)


def cut(folder: Path) -> io.BytesIO:
    return io.BytesIO(zipped(parts(folder)).getvalue()[:100_000])


def secret(folder: Path) -> io.BytesIO:
    whole = bytearray(zipped(parts(folder)).getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" of each entry
        at = whole.find(mark)
        while at >= 0:
            whole[at + place] |= 1
            at = whole.find(mark, at + 4)
    return io.BytesIO(bytes(whole))


def crowded(folder: Path) -> io.BytesIO:
    return zipped({**parts(folder), **{f"{number}/": b"" for number in range(checkpoint_zip.MOST_ENTRIES)}})


def overcrowded(folder: Path) -> io.BytesIO:
    table = b"PK\x01\x02" + bytes(checkpoint_zip.LARGEST_TABLE)
    return io.BytesIO(table + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, len(table), 0, 0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: io.BytesIO(b"no zip"), "no zip"),
        (cut, "no zip"),
        (bomb, "larger than"),
        (secret, "no zip that can be read"),
        (crowded, "lists 102 files"),
        (overcrowded, "lists far too many files"),
        (lambda folder: zipped(parts(folder), compression=zipfile.ZIP_BZIP2), "packed in a way that is not known"),
        (lambda folder: zipped(parts(folder), compression=zipfile.ZIP_LZMA), "packed in a way that is not known"),
        (lambda folder: zipped({**parts(folder), WEIGHTS: b"\xff" * 100}), "list of tensors is too long"),
        (lambda folder: zipped({}), "holds no checkpoint"),
        (lambda folder: zipped({CARD: parts(folder)[CARD]}), "holds no checkpoint"),
        (lambda folder: zipped({f"a/{CARD}": b"{}", f"b/{WEIGHTS}": b""}), "holds no checkpoint"),
        (
            lambda folder: zipped({f"{place}/{name}": one for place in "ab" for name, one in parts(folder).items()}),
            "holds 2 checkpoints",
        ),
        (lambda folder: zipped({**parts(folder), WEIGHTS: b"cut"}), "cut off"),
        (lambda folder: zipped({**parts(folder), CARD: b"{}"}), "format"),
        (lambda folder: zipped({**parts(folder), CARD: b"\xff"}), "cut off or not JSON"),
    ],
)
def test_what_is_no_checkpoint_is_said_and_leaves_nothing(
    folder: Path, tmp_path: Path, make: Callable[[Path], io.BytesIO], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        look(make(folder), tmp_path / "runs")
    assert os.listdir(tmp_path / "runs") == []


def set_crop(plain: dict[str, Any]) -> None:
    plain["crop"]["size_px"] = 100_000


def set_classes(plain: dict[str, Any]) -> None:
    plain["tasks"]["smile"]["classes"] = [str(number) for number in range(20_000)]


def set_network(plain: dict[str, Any]) -> None:
    plain["network"] = "os"


def set_detector(plain: dict[str, Any]) -> None:
    plain["detection"]["detector"] = "../evil"


def set_text(plain: dict[str, Any]) -> None:
    plain["calibration"]["smile"]["temperature"] = "hot"


def set_task(plain: dict[str, Any]) -> None:
    plain["tasks"]["mood"] = plain["tasks"]["smile"]


@pytest.mark.parametrize("change", [set_crop, set_classes, set_network, set_detector, set_text, set_task])
def test_a_card_written_by_hand_is_tried_before_it_is_kept(folder: Path, tmp_path: Path, change: Change) -> None:
    content = parts(folder)
    plain = json.loads(content[CARD])
    change(plain)
    with pytest.raises(CheckpointError):
        look(zipped({**content, CARD: json.dumps(plain).encode()}), tmp_path / "runs")
    assert os.listdir(tmp_path / "runs") == []


def set_a_network_of_40_petabytes(plain: dict[str, Any]) -> None:
    plain["network_options"]["hidden"] = 100_000_000


def set_a_crop_of_any_size(plain: dict[str, Any]) -> None:
    plain["network_options"]["size_px"] = 1_600_000


def set_many_tasks(plain: dict[str, Any]) -> None:
    plain["tasks"] = {f"smile_{number}": plain["tasks"]["smile"] for number in range(checkpoint_zip.MOST_TASKS + 1)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_a_network_of_40_petabytes, "do not fit its card .*, the card asks for .100000000, "),
        (set_a_crop_of_any_size, "Expected crops of 8 to 1024 px"),
        (set_many_tasks, "asks for 101 tasks"),
    ],
)
def test_a_network_of_any_size_is_refused_before_it_is_built(
    folder: Path, tmp_path: Path, change: Change, said: str
) -> None:
    content = parts(folder)
    plain = json.loads(content[CARD])
    change(plain)
    with pytest.raises(CheckpointError, match=said):
        look(zipped({**content, CARD: json.dumps(plain).encode()}), tmp_path / "runs")


@pytest.mark.parametrize("name", ["taken", "shipped", "pending", "../x", "", ".hidden", "a/b"])
def test_a_name_that_cannot_be_leaves_nothing(folder: Path, tmp_path: Path, name: str) -> None:
    weights, runs = tmp_path / "weights", tmp_path / "runs"
    for place in (weights / "shipped", runs / "taken", runs / "pending"):
        place.mkdir(parents=True)
    with (
        pytest.raises(UsageError, match="Choose another|choose another"),
        checkpoint_zip.opened(zipped(parts(folder)), runs) as (found, _),
    ):
        checkpoint_zip.keep(found, name, weights, runs)
    assert sorted(os.listdir(runs)) == ["pending", "taken"] and not os.listdir(runs / "taken")


def test_what_a_killed_server_left_is_swept(folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, age in (("old", 2 * runs_module.FORGOTTEN_SECONDS), ("new", 0)):
        (left := runs / f"{runs_module.INCOMING}{name}_aaaa").mkdir(parents=True)
        os.utime(left, (time.time() - age, time.time() - age))
    look(zipped(parts(folder)), runs)
    assert os.listdir(runs) == [f"{runs_module.INCOMING}new_aaaa"]


def test_an_older_card_is_brought_to_the_newest_format_when_it_arrives(folder: Path, tmp_path: Path) -> None:
    plain = json.loads((folder / CARD).read_text(encoding="utf-8"))
    older = {
        **plain,
        "format": 1,
        "calibration": {name: {**one, "margin": 0.5} for name, one in plain["calibration"].items()},
    }
    entries = {**parts(folder), CARD: json.dumps(older).encode()}
    with checkpoint_zip.opened(zipped(entries), tmp_path / "runs") as (found, card):
        arrived = json.loads((found / CARD).read_text(encoding="utf-8"))
    assert arrived["format"] == 2
    assert arrived["calibration"]["age"]["margin"] == 0.5 and "margin" not in arrived["calibration"]["smile"]
    assert card.calibration_of("age") == card_from(arrived).calibration_of("age")
