from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mtl_model.card import Card, write_card
from mtl_model.errors import CheckpointError
from mtl_model.records import PICTURE
from mtl_model.tasks import TASKS
from mtl_model.ui.checkpoints.loaded import KEPT, Models
from mtl_model.ui.server.options import UiOptions


@pytest.fixture
def options(tmp_path: Path) -> UiOptions:
    for name in ("bknet", *(f"mine-{number}" for number in range(KEPT + 1))):
        write_card(tmp_path / "weights" / name, Card("bknet", {}, tuple(TASKS.values())))
    return UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs")


class Loads:
    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> Any:
        time.sleep(0.05)
        self.names.append(name)
        return object()


def test_the_default_comes_first(options: UiOptions) -> None:
    models = Models(options, Loads())
    assert models.default == "bknet" == models.names()[0]
    assert models.card().network == "bknet"


def test_several_threads_load_once(options: UiOptions) -> None:
    loads = Loads()
    models, found = Models(options, loads), []
    threads = [threading.Thread(target=lambda: found.append(models.get())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads.names == ["bknet"] and len(set(map(id, found))) == 1


def test_only_a_few_stay_loaded(options: UiOptions) -> None:
    loads = Loads()
    models = Models(options, loads)
    for name in models.names():
        models.get(name)
    models.get(models.names()[-1])
    assert len(loads.names) == len(models.names())
    models.get("bknet")
    assert loads.names[-1] == "bknet"


@pytest.mark.parametrize("name", ["nothing", "../bknet", "/etc", "weights/bknet"])
def test_what_is_not_listed_is_refused(options: UiOptions, name: str) -> None:
    with pytest.raises(CheckpointError):
        Models(options, Loads()).get(name)


def test_a_missing_checkpoint_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        Models(UiOptions(weights=tmp_path, runs=tmp_path), Loads())


def test_a_checkpoint_that_was_removed_is_refused_also_from_memory(options: UiOptions) -> None:
    models = Models(options, Loads())
    models.get("mine-0")
    (options.weights / "mine-0" / "card.json").unlink()
    with pytest.raises(CheckpointError):
        models.get("mine-0")


def test_what_is_gone_is_forgotten_and_another_takes_the_place_of_the_first(options: UiOptions) -> None:
    models = Models(dataclasses.replace(options, checkpoint="mine-0"), Loads())
    models.get()
    shutil.rmtree(options.weights / "mine-0")
    with pytest.raises(CheckpointError, match="mine-0"):
        models.get()
    models.refresh()
    assert models.default == "bknet" == models.names()[0] and models.get()


def test_one_made_anew_under_the_same_name_is_loaded_anew(options: UiOptions) -> None:
    loads = Loads()
    models = Models(options, loads)
    before = models.get("mine-0")
    shutil.rmtree(options.weights / "mine-0")
    write_card(options.weights / "mine-0", Card("bknet", {}, tuple(TASKS.values())))
    assert models.get("mine-0") is not before and loads.names == ["mine-0", "mine-0"]


def test_new_ones_are_offered_and_pending_ones_are_not(options: UiOptions) -> None:
    models = Models(options, Loads())
    write_card(options.runs / "new", Card("bknet", {}, tuple(TASKS.values())))
    assert "new" in models.names()
    (options.runs / "new" / "pending").touch()
    assert "new" not in models.names()


def test_a_start_is_in_no_picker_and_offered_for_teaching(options: UiOptions) -> None:
    write_card(options.weights / "pictures", Card("lite0", {}, (), subject=PICTURE))
    write_card(options.weights / "flowers", Card("lite0", {}, tuple(TASKS.values())[1:2], subject=PICTURE))
    (options.weights / "damaged").mkdir()
    (options.weights / "damaged" / "card.json").write_text("{")
    models = Models(options, Loads())
    assert "pictures" not in models.names() and {"flowers", "damaged", "bknet"} <= set(models.names())
    starts = models.subjects(starts=True)
    assert starts["pictures"] == starts["flowers"] == PICTURE and starts["bknet"] == starts["damaged"] == "face"
    write_card(options.weights / "flowers", Card("lite0", {}, tuple(TASKS.values())[1:2]))
    assert models.subjects()["flowers"] == "face"  # a card written anew is read anew


def test_one_that_answers_nothing_is_not_offered(options: UiOptions) -> None:
    hidden = dataclasses.replace(TASKS["smile"], shown=False)
    write_card(options.weights / "hidden", Card("bknet", {}, (hidden,)))
    write_card(options.weights / "start", Card("bknet", {}, ()))
    models = Models(options, Loads())
    assert not {"hidden", "start"} & set(models.names())
    assert {"hidden", "start"} & set(models.subjects(starts=True)) == {"start"}
