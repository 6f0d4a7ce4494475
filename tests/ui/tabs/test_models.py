from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from safetensors.torch import load_file, save
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model import checkpoint_zip, runtimes
from mtl_model.card import CARD, PENDING, WEIGHTS, read_card, write_card
from mtl_model.runs import OUTCOME
from mtl_model.ui import shell
from mtl_model.ui.checkpoints.gallery import Shelf
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server.environment import TEMPORARY_VARIABLE
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import teaching
from mtl_model.ui.teach.teaching import Record
from tests.ui.conftest import (
    PATIENCE_MS,
    SHIPPED,
    FakePredictor,
    Served,
    choose,
    offered,
    open_picker,
    pick,
    serving,
    wait_until_offered,
    wait_until_picked,
)


@pytest.fixture
def runs(root: Path, tmp_path: Path) -> Path:
    shutil.copytree(root / "weights" / "bknet", tmp_path / "runs" / "mine")
    return tmp_path / "runs"


@pytest.fixture
def shared(root: Path, runs: Path) -> Shared:
    options = UiOptions(weights=root / "weights", runs=runs)
    load: Any = FakePredictor
    return shell.build(options, Models(options, load))[1]


@pytest.fixture
def client(shared: Shared) -> TestClient:
    return TestClient(Starlette(routes=shared.routes), raise_server_exceptions=False)


@pytest.fixture
def parcel(root: Path) -> bytes:
    stream = io.BytesIO()
    checkpoint_zip.pack(root / "weights" / "bknet", stream)
    return stream.getvalue()


def post(client: TestClient, what: str, content: bytes = b"", **query: str) -> Any:
    return client.post(f"/mtl/models/{what}", params=query, content=content)


def names(shared: Shared) -> list[str]:
    """Return what the pickers offer."""
    checkpoint = shared.events.known["offer"][0]("", "", "")[0]
    return [name for name, _ in checkpoint.choices]


def test_a_checkpoint_is_looked_at_then_kept(client: TestClient, shared: Shared, runs: Path, parcel: bytes) -> None:
    found = post(client, "look", parcel, name="my friends (1).zip").json()
    assert "3.8 million parameters" in found["html"] and found["name"] == "my-friends--1"
    assert names(shared) == [*SHIPPED, "mine"] and os.listdir(runs) == ["mine"]
    assert post(client, "keep", parcel, name="friends").json() == {"name": "friends"}
    assert "friends" in names(shared)


@pytest.mark.parametrize(
    ("file", "name"), [("mine.zip", "mine-2"), ("../../x.zip", "x"), ("ä.zip", "uploaded"), ("", "uploaded")]
)
def test_a_free_name_is_proposed(client: TestClient, parcel: bytes, file: str, name: str) -> None:
    assert post(client, "look", parcel, name=file).json()["name"] == name


@pytest.mark.parametrize("name", ["mine", "default", "../x", ""])
def test_a_name_that_cannot_be_is_said_and_leaves_nothing(
    client: TestClient, runs: Path, parcel: bytes, name: str
) -> None:
    reply = post(client, "keep", parcel, name=name)
    assert reply.status_code == 400 and "hoose another name" in reply.json()["error"] and os.listdir(runs) == ["mine"]


@pytest.mark.parametrize("what", ["look", "keep"])
def test_what_is_no_checkpoint_is_said_and_leaves_nothing(client: TestClient, runs: Path, what: str) -> None:
    reply = post(client, what, b"no zip", name="x")
    assert reply.status_code == 400 and "Expected a zip" in reply.json()["error"] and os.listdir(runs) == ["mine"]


@pytest.mark.parametrize("what", ["look", "keep"])
def test_a_card_that_cannot_be_shown_is_not_kept(client: TestClient, root: Path, runs: Path, what: str) -> None:
    changes: list[dict[str, Any]] = [
        {"parent": []},
        {"created": "\ud800"},
        {"metrics": [{"tasks": [1]}]},
        {"metrics": [{"tasks": {"age": {"mae": {"value": "a"}}}}]},
        {"metrics": [{"groups": {"race": {"Asian": {"age": {"mae": 5}}}}}]},
        {"training": {"data": {"utkface": {"pictures": "many"}}}},
        {"training": {"outcome": 5}},
        {"parameters": 10**400},
    ]
    for changed in changes:
        reply = post(client, what, parcel_with(root, changed), name="bad")
        assert reply.status_code == 400 and "Expected" in reply.json()["error"] and os.listdir(runs) == ["mine"]


def parcel_with(root: Path, changed: dict[str, Any], weights: bytes = b"") -> bytes:
    """bknet as a zip, with other fields in its card, and other weights if any are given."""
    folder, stream = root / "weights" / "bknet", io.BytesIO()
    plain = json.loads((folder / CARD).read_text(encoding="utf-8")) | changed
    content = weights or (folder / WEIGHTS).read_bytes()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(CARD, json.dumps(plain | {"weights_sha256": hashlib.sha256(content).hexdigest()}))
        archive.writestr(WEIGHTS, content)
    return stream.getvalue()


def broken_weights(root: Path, value: float) -> bytes:
    tensors = load_file(root / "weights" / "bknet" / WEIGHTS)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and name.endswith("weight"):
            tensor.view(-1)[:] = value
    return save(tensors)


CANNOT_WORK = {
    "weights that are no numbers": ({}, float("nan")),
    "weights that are infinite": ({}, float("inf")),
    "weights that overflow": ({}, 60_000.0),
    "detection in pixels of a": ({"detection": {"detector": "mtcnn", "size_px": "a", "smallest_face_px": 20}}, None),
    "detection in no pixels": ({"detection": {"detector": "mtcnn", "size_px": 0, "smallest_face_px": 20}}, None),
    "a face of no pixels": ({"detection": {"detector": "mtcnn", "size_px": 640, "smallest_face_px": 0}}, None),
    "a detector that finds no face": (
        {"detection": {"detector": "mtcnn", "size_px": 640, "smallest_face_px": 600}},
        None,
    ),
    "an unknown detector": ({"detection": {"detector": "eyes", "size_px": 640, "smallest_face_px": 20}}, None),
    "temperature -1": ({"calibration": {"age": {"temperature": -1, "threshold": 20, "margin": 0}}}, None),
    "temperature 0": ({"calibration": {"smile": {"temperature": 0, "threshold": 20, "margin": 0}}}, None),
}


@pytest.mark.parametrize("what", ["look", "keep"])
@pytest.mark.parametrize("name", CANNOT_WORK)
def test_a_checkpoint_that_cannot_work_is_not_kept(
    client: TestClient, root: Path, runs: Path, what: str, name: str
) -> None:
    changed, value = CANNOT_WORK[name]
    weights = b"" if value is None else broken_weights(root, value)
    reply = post(client, what, parcel_with(root, changed, weights), name="bad")
    assert reply.status_code == 400 and "Expected" in reply.json()["error"] and os.listdir(runs) == ["mine"]


@pytest.mark.parametrize("declared", [True, False])
def test_too_large_a_file_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch, declared: bool) -> None:
    monkeypatch.setattr(checkpoint_zip, "LARGEST_ZIP", 10)
    content: Any = b"0" * 11 if declared else iter([b"0" * 6, b"0" * 6])
    reply = client.post("/mtl/models/look?name=x", content=content)
    assert reply.status_code == 400 and "larger than" in reply.json()["error"]


def test_the_download_is_what_can_be_brought_in(client: TestClient, runs: Path) -> None:
    reply = client.get("/mtl/models/download?name=mine")
    assert "mine.zip" in reply.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.read(f"mine/{WEIGHTS}") == (runs / "mine" / WEIGHTS).read_bytes()
    assert post(client, "keep", reply.content, name="again").status_code == 200
    assert client.get("/mtl/models/download?name=../mine").status_code == 400


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-9"}, {"range": "bytes=999999999999-"}, {"range": "lines"}])
def test_a_download_leaves_nothing_behind(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    (tmp_path / "kept").mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "kept"))
    reply = client.get("/mtl/models/download?name=mine", headers=headers)
    assert zipfile.is_zipfile(io.BytesIO(reply.content)) and len(reply.content) == int(reply.headers["content-length"])
    assert os.listdir(tmp_path / "kept") == []


def test_what_waits_to_be_accepted_can_be_downloaded(client: TestClient, runs: Path) -> None:
    teaching.write_record(runs / "mine", Record("mine"))
    (runs / "mine" / PENDING).touch()
    assert client.get("/mtl/models/download?name=mine").status_code == 400, "it has not come to its end"
    (runs / "mine" / OUTCOME).write_text("{}")
    assert client.get("/mtl/models/download?name=mine").content[:2] == b"PK"


def drawn(shared: Shared) -> dict[str, list[gr.Button]]:
    """Draw the cards, and return their buttons by the name of the checkpoint."""
    with gr.Blocks() as page:
        shared.events.known["cards"][0](("", "default", "mine"))
    buttons: dict[str, list[gr.Button]] = {}
    for block in page.blocks.values():
        if isinstance(block, gr.Button):
            buttons.setdefault(str(block.elem_id).rpartition("-")[2], []).append(block)
    return buttons


def test_what_the_cards_offer(shared: Shared, root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_card(runs / "mine", dataclasses.replace(read_card(runs / "mine"), parent="bknet"))
    for able in (False, True):
        monkeypatch.setattr(runtimes, "installed", lambda *packages, able=able: able)
        buttons, kept = drawn(shared), ["Download", *(["Export as ONNX"] if able else [])]
        assert [button.value for button in buttons["default"]] == ["In use", *kept]
        assert [button.value for button in buttons["bknet"]] == ["Use", "Compare", *kept]
        assert [button.value for button in buttons["mine"]][:2] == ["Use", "Compared"]
        assert [button.value for button in buttons["mine"]][3:] == [*kept, "Rename", "Delete"]


def test_an_export_is_a_zip_that_leaves_nothing_behind(
    client: TestClient, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TEMPORARY_VARIABLE, str(tmp_path))
    monkeypatch.setattr(runtimes, "to_onnx", lambda network, card: b"network")
    before = sorted(tmp_path.rglob("*"))
    reply = client.get("/mtl/models/download?name=mine&as=onnx")
    assert reply.headers["content-disposition"] == 'attachment; filename="mine-onnx.zip"'
    with zipfile.ZipFile(io.BytesIO(reply.content)) as packed:
        assert packed.namelist() == [f"mine-onnx/{name}" for name in ("mine.onnx", "card.json", "example.py")]
        assert packed.read("mine-onnx/mine.onnx") == b"network"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_download_is_a_link_below_the_root_path(root: Path, runs: Path) -> None:
    options = UiOptions(weights=root / "weights", runs=runs, root_path="/faces")
    load: Any = FakePredictor
    shared = shell.build(options, Models(options, load))[1]
    assert drawn(shared)["mine"][2].link == "/faces/mtl/models/download?name=mine"


def test_renaming_and_deleting(shared: Shared) -> None:
    shelf = Shelf(shared.options, "default")
    shelf.rename("mine", "yours")
    assert names(shared) == [*SHIPPED, "yours"]
    shelf.delete("yours")
    assert names(shared) == [*SHIPPED]
    drawn(shared)
    bring_back = shared.events.known["bring-back"][0]
    assert bring_back() == "" and names(shared) == [*SHIPPED, "yours"]
    assert 'role="alert"' in bring_back(), "a deletion is undone once"


def test_a_mistake_is_said_on_the_card(shared: Shared, runs: Path) -> None:
    drawn(shared)
    rename, delete = shared.events.known["rename"][0], shared.events.known["delete"][0]  # of mine, the last card
    for name in ("default", "../x", "", None, 5 * ["x"]):
        assert 'role="alert"' in rename(name)[-1] and os.listdir(runs) == ["mine"], name
    assert rename("yours") == ["yours", ""] and "no checkpoint" in delete()


def test_only_a_post_changes_anything(client: TestClient) -> None:
    assert client.get("/mtl/undo?token=x").status_code == 405
    for what in ("keep", "look"):
        assert client.get(f"/mtl/models/{what}?name=mine").status_code == 405


def test_a_deleted_one_is_refused_and_the_others_answer(client: TestClient, runs: Path, root: Path) -> None:
    picture = (root / "samples" / "astronaut.jpg").read_bytes()
    assert client.post("/mtl/photo?checkpoint=mine", content=picture).json()["faces"] == 2
    shutil.rmtree(runs / "mine")
    reply = client.post("/mtl/photo?checkpoint=mine", content=picture)
    assert reply.status_code == 400 and "mine" in reply.json()["error"]
    assert client.post("/mtl/photo?checkpoint=", content=picture).json()["faces"] == 2


def test_everything_is_deleted_at_once(shared: Shared, root: Path) -> None:
    assert shared.events.known["delete-everything"][0]() == ["Everything is deleted.", ""]
    assert names(shared) == [*SHIPPED] and (root / "weights" / "default" / CARD).exists()


# -- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(root, tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture
def visitor(chrome: Any, own: Served, root: Path) -> Iterator[Any]:
    """The Models tab, with two checkpoints made here: `mine`, and `child` which came from it."""
    shutil.rmtree(own.runs, ignore_errors=True)
    for name in ("mine", "child"):
        shutil.copytree(root / "weights" / "bknet", own.runs / name)
    write_card(own.runs / "child", dataclasses.replace(read_card(own.runs / "child"), parent="mine"))
    context = chrome.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    yield open_page(context, own.address)
    context.close()


def open_page(context: Any, address: str) -> Any:
    page = context.new_page()
    page.goto(address)
    page.locator(".photo .invite").wait_for()
    open_tab(page, "Models")
    card(page, "default").wait_for()
    return page


def open_tab(page: Any, title: str) -> None:
    page.get_by_role("tab", name=title).locator("visible=true").click()


def card(page: Any, name: str) -> Any:
    return page.locator(f'.model[data-name="{name}"]')


def press(page: Any, name: str, button: str) -> None:
    card(page, name).get_by_label(f"{button}: {name}", exact=True).click()
    if button == "Use":  # then the cards are drawn anew
        card(page, name).get_by_label(f"In use: {name}", exact=True).wait_for()
        page.wait_for_timeout(1500)  # what listens to the choice is drawn one after the other


@pytest.mark.browser
def test_an_answer_that_comes_late_takes_no_newer_choice_away(visitor: Any) -> None:
    visitor.evaluate(
        """() => {
            const late = mtl.wanted(); // asked with the choice of before, and answered last
            mtl.use("bknet");
            setTimeout(() => mtl.settled(late[0], late[1], "", "stamp", {}), 3000);
        }"""
    )
    wait_until_picked(visitor, "bknet")
    visitor.wait_for_timeout(4000)
    wait_until_picked(visitor, "bknet")


@pytest.mark.browser
def test_use_parent_and_compare_set_the_pickers(visitor: Any) -> None:
    press(visitor, "child", "Use")
    wait_until_picked(visitor, "child")
    press(visitor, "child", "Go back to parent")
    wait_until_picked(visitor, "mine")
    assert offered(visitor, "compare") == ["none", "default", "attributes", "bknet", "child"]
    press(visitor, "child", "Compare")
    wait_until_picked(visitor, "child", "compare")
    assert visitor.locator(".photo").is_visible()
    pick(visitor, "checkpoint", "child")  # the two change places
    wait_until_picked(visitor, "child")
    wait_until_picked(visitor, "mine", "compare")


@pytest.mark.browser
def test_a_window_remembers_its_choice(visitor: Any, own: Served) -> None:
    press(visitor, "mine", "Use")
    wait_until_picked(visitor, "mine")
    pick(visitor, "compare", "bknet")
    wait_until_picked(visitor, "bknet", "compare")
    visitor.reload()
    wait_until_offered(visitor, "child", "mine")
    wait_until_picked(visitor, "mine")
    wait_until_picked(visitor, "bknet", "compare")
    other = visitor.context.new_page()
    other.goto(own.address)
    other.locator(".photo .invite").wait_for()
    assert other.evaluate("[mtl.checkpoint, mtl.compare]") == ["default", ""]


@pytest.mark.browser
def test_a_picker_that_has_the_focus_says_what_was_chosen_elsewhere(visitor: Any) -> None:
    open_picker(visitor, "checkpoint")
    visitor.keyboard.press("Escape")
    visitor.evaluate("mtl.choose('bknet')")
    wait_until_picked(visitor, "bknet")
    assert visitor.evaluate("document.activeElement.closest('#checkpoint') !== null"), "it keeps the focus"


@pytest.mark.browser
def test_bringing_one_in_is_offered_in_every_open_window(
    visitor: Any, own: Served, parcel: bytes, tmp_path: Path
) -> None:
    other = open_page(visitor.context, own.address)
    (tmp_path / "friends.zip").write_bytes(parcel)
    visitor.bring_to_front()
    visitor.set_input_files(".bring input[type=file]", str(tmp_path / "friends.zip"))
    visitor.locator(".brought", has_text="3.8 million parameters").wait_for()
    assert "friends" not in offered(visitor)
    visitor.get_by_label("Name", exact=True).fill("mine")
    visitor.get_by_role("button", name="Keep it").click()
    visitor.locator(".bring").get_by_role("alert").filter(has_text="Choose another name").wait_for()
    visitor.get_by_label("Name", exact=True).fill("friends")
    visitor.get_by_role("button", name="Keep it").click()
    for page in (visitor, other):
        page.bring_to_front()  # a window that nobody sees does not ask
        card(page, "friends").wait_for()
        wait_until_offered(page, "child", "friends", "mine")
    pick(visitor, "checkpoint", "friends")
    open_tab(visitor, "About")
    visitor.locator(".about h2", has_text="Checkpoint friends").wait_for()


@pytest.mark.browser
def test_a_zip_can_be_dropped_and_what_is_none_is_said(visitor: Any) -> None:
    visitor.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["no zip"], "notes.zip"));
          for (const kind of ["dragover", "drop"]) {
            const event = new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
            document.querySelector(".bring h3").dispatchEvent(event);
          }
        }"""
    )
    visitor.locator(".bring").get_by_role("alert").filter(has_text="Expected a zip").wait_for()
    assert visitor.locator(".models").is_visible()  # the Photo tab did not take it


@pytest.mark.browser
def test_renaming_the_one_in_use(visitor: Any) -> None:
    press(visitor, "mine", "Use")
    press(visitor, "mine", "Rename")
    visitor.get_by_label("New name").fill("yours")
    visitor.keyboard.press("Enter")
    wait_until_picked(visitor, "yours")
    visitor.wait_for_function("document.activeElement.closest('.model')?.dataset.name === 'yours'")
    wait_until_offered(visitor, "child", "yours")
    assert visitor.locator(".told").inner_text() == ""
    open_tab(visitor, "About")
    visitor.locator(".about h2", has_text="Checkpoint yours").wait_for()
    open_tab(visitor, "Models")
    press(visitor, "yours", "Rename")
    visitor.get_by_label("New name").fill("child")
    visitor.keyboard.press("Enter")
    card(visitor, "yours").get_by_role("alert").filter(has_text="already").wait_for()


@pytest.mark.browser
def test_deleting_asks_and_falls_back(visitor: Any, own: Served) -> None:
    press(visitor, "mine", "Use")
    press(visitor, "mine", "Delete")
    assert "child came from it" in visitor.get_by_role("dialog").inner_text()
    visitor.keyboard.press("Escape")
    assert (own.runs / "mine").exists()
    press(visitor, "mine", "Delete")
    visitor.get_by_role("dialog").get_by_role("button", name="Delete").click()
    wait_until_picked(visitor, "default")
    wait_until_offered(visitor, "child")
    visitor.locator(".told", has_text="mine is no longer there").wait_for()
    assert not (own.runs / "mine").exists()
    assert card(visitor, "default").get_by_role("button", name="Delete").count() == 0
    visitor.locator(".undo", has_text="mine is deleted.").get_by_role("button", name="Undo").click()
    wait_until_offered(visitor, "child", "mine")
    visitor.locator(".undo").wait_for(state="detached")
    assert (own.runs / "mine" / CARD).exists()


@pytest.mark.browser
def test_one_deleted_by_hand_is_said_and_the_default_answers(visitor: Any, own: Served, root: Path) -> None:
    open_tab(visitor, "Photo")
    pick(visitor, "checkpoint", "mine")
    shutil.rmtree(own.runs / "mine")
    choose(visitor, root / "samples" / "astronaut.jpg")
    visitor.locator("section.face").wait_for()
    visitor.locator(".told", has_text="mine is no longer there; default answers now.").wait_for()
    wait_until_picked(visitor, "default")


@pytest.mark.browser
def test_a_download_is_a_zip(visitor: Any) -> None:
    with visitor.expect_download() as waiting:
        press(visitor, "mine", "Download")
    assert waiting.value.suggested_filename == "mine.zip" and zipfile.is_zipfile(waiting.value.path())


@pytest.mark.browser
def test_everything_can_be_deleted(visitor: Any, own: Served) -> None:
    (own.runs / "holiday").mkdir()
    open_tab(visitor, "About")
    visitor.get_by_role("button", name="Delete everything").click()
    visitor.get_by_role("dialog").get_by_role("button", name="Delete everything").click()
    wait_until_offered(visitor)
    assert [name for name in os.listdir(own.runs) if not name.endswith(".lock")] == ["holiday"]
    visitor.locator(".about .block.done", has_text="1 folder of another program was left").wait_for()
