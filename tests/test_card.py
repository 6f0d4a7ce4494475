from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl_model import card as cards
from mtl_model import kinds, registry
from mtl_model.card import Card, CropSettings, DetectionSettings
from mtl_model.errors import CheckpointError, UsageError
from mtl_model.tasks import TASKS, Task, class_task
from tests.codes import refused

CARD = Card(
    network="bknet",
    network_options={"channels": 1, "dropout": 0.5},
    tasks=(TASKS["age"], TASKS["smile"], class_task("hair", ("ginger", "grün"))),
    detection=DetectionSettings(size_px=640),
    crop=CropSettings(size_px=64, grey=False, margin=0.1, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)),
    calibration={"age": kinds.calibration_from(TASKS["age"], {"temperature": 1.3, "threshold": 21.5, "margin": 0.4})},
    flip_averaging=True,
    weights_sha256="0" * 64,
    parameters=12,
    training={"sources": {"utkface": 19319}},
    metrics=({"source": "utkface", "tasks": {"age": {"mae": {"value": 6.1, "low": 5.9, "high": 6.3}}}},),
    limits=("It is worse on faces older than 60.",),
    taught=("0123456789abcdef",),
)


def write(parent: Path, name: str, card: Card = CARD, *, pending: bool = False) -> Path:
    folder = parent / name
    cards.write_card(folder, card)
    if pending:
        (folder / cards.PENDING).touch()
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write(tmp_path / "weights", "bknet")
    write(tmp_path / "weights", "both")
    (tmp_path / "weights" / "LICENSE.md").write_text("terms")
    return tmp_path / "weights"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write(tmp_path / "runs", "mine")
    write(tmp_path / "runs", "both")
    write(tmp_path / "runs", "soon", pending=True)
    (tmp_path / "runs" / "training").mkdir()
    return tmp_path / "runs"


def test_a_card_survives_its_file(tmp_path: Path):
    folder = write(tmp_path, "made")
    assert cards.read_card(folder) == CARD


def test_crops_of_a_card_that_knows_nothing_of_upright_are_cut_as_before(tmp_path: Path):
    folder = write(tmp_path, "made")
    plain = json.loads((folder / cards.CARD).read_text())
    del plain["crop"]["upright"]
    (folder / cards.CARD).write_text(json.dumps(plain))
    assert not cards.read_card(folder).crop.upright
    plain = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert plain["format"] == cards.FORMAT
    assert list(plain["tasks"]) == ["age", "smile", "hair"]
    assert [path.name for path in folder.iterdir()] == ["card.json"]  # no temporary file is left


def test_an_old_card_does_not_change_with_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write(tmp_path, "old")
    monkeypatch.delitem(TASKS, "smile")
    assert cards.read_card(folder).task("smile").classes == ("not smiling", "smiling")


def test_unknown_fields_of_a_later_program_are_left_alone(tmp_path: Path):
    folder = write(tmp_path, "later")
    path = folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "colour": "green"}), encoding="utf-8")
    assert cards.read_card(folder) == CARD


def test_a_task_without_calibration_has_the_plain_one():
    assert CARD.calibration_of("age").threshold == 21.5
    assert CARD.calibration_of("smile") == kinds.Calibration()


def changed(**fields: object) -> str:
    return json.dumps({**cards.to_json(CARD), **fields})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "card.json is missing"),
        ("", "cut off or not JSON"),
        (json.dumps(cards.to_json(CARD))[:200], "cut off or not JSON"),
        ("\xff\xfe", "cut off or not JSON"),
        ("[]", "format None"),
        ("{}", "format None"),
        (changed(format=3), "format 3; this program reads format 1 and 2"),
        (changed(tasks=[]), "not whole"),
        (changed(tasks={"age": {"kind": "years"}}), "not whole"),
        (changed(tasks=None), "not whole"),
        (changed(crop={"size_px": 48}), "not whole"),
        (changed(crop={**dataclasses.asdict(CARD.crop), "turn": 3}), "not whole"),
        (changed(detection=7), "not whole"),
        (changed(calibration={"age": {"heat": 1}}), "not whole"),
        (changed(errors={"age": [{"group": {}, "error": 10**400, "n": 1}]}), "not whole"),
        (changed(metrics=5), "not whole"),
        (changed(metrics="abc"), "not whole"),
        (changed(metrics=["abc"]), "not whole"),
        (changed(metrics=[{"n": float("inf")}]), "cut off or not JSON"),
        (changed(training={"n": float("nan")}), "cut off or not JSON"),
        (changed(parameters=7).replace(": 7,", ": 1e999,"), "cut off or not JSON"),
        (changed(parent=[]), "not whole"),
        (changed(network=5), "not whole"),
        (changed(summary=None), "not whole"),
        (changed(parameters="many"), "not whole"),
        (changed(training=5), "not whole"),
        (changed(limits="It is bad."), "not whole"),
        (changed(limits=[5]), "not whole"),
        ("[" * 100_000, "cut off or not JSON"),
        (changed(errors={"age": [{"group": {}, "error": "x", "n": 1}]}), "not whole"),
    ],
)
def test_a_card_that_is_not_whole_gets_a_sentence(tmp_path: Path, text: str | None, sentence: str):
    folder = tmp_path / "foreign"
    folder.mkdir()
    if text is not None:
        (folder / "card.json").write_bytes(text.encode("latin-1" if text.startswith("\xff") else "utf-8"))
    with pytest.raises(CheckpointError, match=sentence) as caught:
        cards.read_card(folder)
    assert "'foreign'" in str(caught.value)


@pytest.mark.parametrize("lacking", ["network", "network_options", "tasks", "detection", "crop"])
def test_a_card_without_a_field_that_matters_is_refused(tmp_path: Path, lacking: str):
    plain = cards.to_json(CARD)
    del plain[lacking]
    (tmp_path / "card.json").write_text(json.dumps(plain))
    with pytest.raises(CheckpointError, match="not whole"):
        cards.read_card(tmp_path)


def test_checkpoints_are_listed_shipped_ones_first(weights: Path, runs: Path):
    found = cards.list_checkpoints(weights, runs)
    assert list(found) == ["bknet", "both", "mine"]
    assert found["both"] == weights / "both"
    assert cards.list_checkpoints(weights / "nowhere", runs / "nowhere") == {}


def test_no_shipped_checkpoint_is_its_own_parent():
    found = {
        name: cards.read_card(folder)
        for name, folder in cards.list_checkpoints(cards.shipped_weights(), Path("nowhere")).items()
    }
    assert {"bknet", "default"} <= set(found)
    assert not [name for name, card in found.items() if card.parent == name]


@pytest.mark.parametrize(
    ("name", "taken"), [("bknet", True), ("mine", True), ("soon", True), ("training", True), ("new", False)]
)
def test_a_name_is_taken_wherever_it_stands(weights: Path, runs: Path, name: str, taken: bool):
    assert cards.is_taken(name, weights, runs) is taken


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "9", "x" * 64])
def test_names_that_can_be_folders(name: str):
    assert cards.check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "a b", "ä", "a\n", "x" * 65, "../a"])
def test_names_that_cannot(name: str):
    with pytest.raises(UsageError, match="cannot name a checkpoint"):
        cards.check_name(name)


def test_a_checkpoint_is_found_by_name(weights: Path, runs: Path):
    assert cards.find_checkpoint("mine", weights, runs) == runs / "mine"
    assert cards.find_checkpoint("both", weights, runs) == weights / "both"
    assert cards.find_checkpoint(None, weights, runs) == weights / "bknet"
    write(weights, "default")
    assert cards.find_checkpoint(None, weights, runs) == weights / "default"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bknt", "Unknown checkpoint 'bknt'. Did you mean 'bknet'[?] Known: bknet, both, mine"),
        ("soon", "Unknown checkpoint 'soon'"),
        ("training", "'training' is no checkpoint: card.json is missing"),
        ("../runs/mine", "Unknown checkpoint"),
        (".", "Unknown checkpoint"),
        ("", "Unknown checkpoint"),
    ],
)
def test_a_name_that_is_none_is_said(weights: Path, runs: Path, name: str, sentence: str):
    with pytest.raises(CheckpointError, match=sentence):
        cards.find_checkpoint(name, weights, runs)


def test_a_list_is_written_part_by_part(tmp_path: Path):
    for items in ([], [{}], [1, {"a": ["b\nc", {"d": None}]}, []]):
        cards.write_plain(tmp_path / "whole.json", items)
        cards.write_list(tmp_path / "parts.json", iter(items))
        assert (tmp_path / "parts.json").read_text() == (tmp_path / "whole.json").read_text()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    def full() -> Iterator[str]:
        yield "sec"
        raise OSError("No space left on device")

    path = tmp_path / "deep" / "file.json"
    cards.write_text(path, "first")
    with pytest.raises(OSError, match="No space left"):
        cards.write_parts(path, full())
    assert path.read_text() == "first"
    cards.write_text(path, '"\udc80"')  # of a file's name that is no UTF-8
    assert json.loads(path.read_text(encoding="utf-8")) == "\udc80"
    assert [one.name for one in path.parent.iterdir()] == ["file.json"]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are other things there")
def test_a_link_is_followed_and_stays_one(tmp_path: Path):
    (tmp_path / "kept").mkdir()
    for name in ("there.json", "new.json"):
        (tmp_path / name).symlink_to(Path("kept") / name)
    (tmp_path / "kept" / "there.json").write_text("first")
    for name in ("there.json", "new.json"):
        cards.write_text(tmp_path / name, "second")
        assert (tmp_path / name).is_symlink() and (tmp_path / "kept" / name).read_text() == "second"
    assert sorted(one.name for one in tmp_path.rglob("*.json")) == sorted(["there.json", "new.json"] * 2)


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are other things there")
def test_a_pipe_takes_the_text_and_stays_one(tmp_path: Path):
    os.mkfifo(pipe := tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    cards.write_text(pipe, "all of it")
    reader.join(20)
    assert read == ["all of it"] and pipe.is_fifo() and os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are other things there")
def test_a_folder_is_named_as_it_was_given(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match=f"^'{tmp_path / 'link'}' is a folder"):
        cards.write_text(tmp_path / "link", "text")
    assert os.listdir(tmp_path) == ["link"]


def test_shipped_weights_are_the_checkout_s_or_the_package_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "PACKAGE", tmp_path / "mtl_model")
    assert cards.shipped_weights() == tmp_path / "weights"
    (tmp_path / "mtl_model" / "weights").mkdir(parents=True)
    assert cards.shipped_weights() == tmp_path / "mtl_model" / "weights"


def test_a_card_whose_tasks_would_write_one_column_is_refused(tmp_path: Path) -> None:
    tasks = (TASKS["age"], class_task("age_low", ("a", "b")))
    cards.write_card(tmp_path, dataclasses.replace(CARD, tasks=tasks))
    with refused("column_clash", CheckpointError):
        cards.read_card(tmp_path)


def test_a_command_with_a_name_that_is_no_text_is_kept_readable(tmp_path: Path) -> None:
    card = dataclasses.replace(CARD, training={"command": "train --source csv:DATA/caf\udce9"}, summary="\ud800")
    cards.to_text(card).encode()
    cards.write_card(tmp_path, card)
    read = cards.read_card(tmp_path)
    assert read.training["command"] == r"train --source csv:DATA/caf\udce9" and read.summary == r"\ud800"


@pytest.mark.parametrize("where", ["title", "classes"])
def test_half_a_letter_in_a_task_is_refused(tmp_path: Path, where: str) -> None:
    plain = cards.to_json(CARD)
    plain["tasks"]["hair"][where] = "\ud800" if where == "title" else ("a", "\udce9")
    (tmp_path / cards.CARD).write_text(json.dumps(plain))
    with pytest.raises(CheckpointError, match="'hair' of the card has a name, title or class that is not UTF-8"):
        cards.read_card(tmp_path)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [((), "has no task"), ((dataclasses.replace(TASKS["smile"], shown=False),), "is evaluated and never shown")],
)
def test_one_that_answers_nothing_is_refused_with_a_sentence(tasks: tuple[Task, ...], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        cards.expect_shown(Card("bknet", {}, tasks), "x")
