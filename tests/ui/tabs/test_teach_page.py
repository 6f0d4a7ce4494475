"""The Teach tab in a real browser."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_model import runs
from mtl_model.card import CARD, PENDING, WEIGHTS
from mtl_model.predictor import Predictor
from mtl_model.ui.teach import dataset, teaching
from mtl_model.ui.teach.teaching import Record
from tests.ui.conftest import PATIENCE_MS, Served, wait_until_picked

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(page: Any, served: Served) -> Iterator[Any]:
    """The page with the Teach tab open; what is still open in the end is discarded."""
    open_teach(page)
    yield page
    for run in teaching.open_runs(served.runs):
        page.request.post(f"{served.address}/mtl/teach/discard", data=json.dumps({"run": run.name}))


def open_teach(page: Any) -> None:
    page.locator("button[role=tab]:visible", has_text="Teach").click()
    page.locator(".teach .drop").wait_for(state="attached")


def fill(folder: Path, pictures: dict[str, Any]) -> Path:
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return folder


def faces(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """The sample picture at different brightness and cut, so that each is a picture of its own."""
    random = np.random.default_rng(0)
    shifted = [picture[int(y) :, int(x) :] for y, x in random.integers(0, 40, (count, 2))]
    return [
        np.clip(one * random.uniform(0.6, 1.2) + random.normal(0, 14, one.shape), 0, 255).astype(np.uint8)
        for one in shifted
    ]


def check(page: Any, folder: Path) -> None:
    """Bring a folder; it is checked by itself."""
    page.set_input_files("[data-pick=folder]", str(folder))
    page.get_by_role("button", name="Go on: learn").wait_for(timeout=4 * PATIENCE_MS)


def test_from_a_folder_to_what_is_in_it(
    opened: Any, tmp_path: Path, sample_picture: np.ndarray, served: Served
) -> None:
    some = faces(sample_picture, 24)
    folder = fill(
        tmp_path / "hüte",
        {f"on/{number}.png": one for number, one in enumerate(some[:12])}
        | {f"off/ü {number}.png": one for number, one in enumerate([some[0], *some[12:]])},
    )
    (folder / "on" / "broken.png").write_bytes(b"no picture")
    (folder / ".hidden.png").write_bytes(b"")
    check(opened, folder)
    text = opened.locator('[data-part="problems"]').inner_text()
    assert "Same picture in two classes." in text and "1 file cannot be read" in text
    assert opened.locator('[data-part="counts"] .number').first.inner_text().startswith("13")
    assert opened.locator('.step[data-step="1"] .line').inner_text().startswith("26 pictures")

    opened.get_by_role("button", name="Leave out broken.png").click()
    opened.get_by_role("button", name="1 left out").click()
    opened.locator(".browse").get_by_role("button", name="Put back broken.png").click()
    opened.get_by_role("button", name="1 left out").wait_for(state="detached")
    opened.locator(".count", has_text="off").click()
    opened.locator(".browse img[src]").first.wait_for()
    before = opened.locator(".browse li").count()
    opened.locator(".browse [data-do=relabel]").first.focus()
    opened.keyboard.press("Enter")  # it goes from this class, and the next one is at hand
    opened.wait_for_function(f"document.querySelectorAll('.browse li').length === {before - 1}")
    opened.wait_for_function("document.activeElement.matches('.browse li [data-do=relabel]')")
    opened.get_by_role("button", name="Undo the last change").click()
    opened.wait_for_function(f"document.querySelectorAll('.browse li').length === {before}")

    run = opened.locator(".teach").get_attribute("data-run")
    opened.reload()
    opened.locator(f'.teach[data-run="{run}"] .step[data-step="2"][open]').wait_for()
    opened.locator('.step[data-step="2"]').get_by_role("button", name="Go on: learn").click()
    start = opened.get_by_role("button", name="Start learning")
    start.wait_for()
    opened.locator("#teach-advanced > summary").click()
    opened.locator("#teach-epochs").fill("0")
    opened.locator("#teach-epochs").press("Tab")
    opened.locator('.step[data-step="3"] .alert', has_text="cannot be the epochs").wait_for()

    opened.locator('.step[data-step="3"]').get_by_role("button", name="Discard it all").click()
    opened.get_by_role("dialog").get_by_role("button", name="Discard").click()
    opened.locator('.teach[data-run=""]').wait_for()
    assert not (served.runs / str(run)).exists()


def learned(served: Served, root: Path, name: str) -> Path:
    """A run that waits for a decision, with two pictures."""
    record = Record(name, created="2026", parent="bknet")
    folder = runs.begin(served.runs, name, {PENDING: None, runs.TEACH: record.to_json()})
    fill(folder / "data", {f"hat/{word}/1.png": np.full((40, 40, 3), 90, np.uint8) for word in ("on", "off")})
    teaching.edit_record(folder, found=dataset.describe(folder, record, stamp="1"))
    for file in (CARD, WEIGHTS):
        shutil.copy(root / "weights" / "bknet" / file, folder)
    (folder / runs.OUTCOME).write_text(json.dumps({"parent": "bknet", "how": "branch", "sentence": "Hat: 85 % right."}))
    return folder


def test_accepting_asks_whether_the_pictures_stay(opened: Any, served: Served, root: Path) -> None:
    folder = learned(served, root, "hats")
    opened.locator('[data-run="hats"].run').click()
    accept = opened.get_by_role("button", name="Keep", exact=True)
    accept.click()
    dialog = opened.get_by_role("dialog")
    box = dialog.get_by_role(
        "checkbox", name="Keep the pictures, so that I can add to them later (1 MB, until I delete them)"
    )
    assert not box.is_checked()
    opened.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert (folder / PENDING).exists(), "nothing happens without an answer"
    accept.click()
    box.check()
    dialog.get_by_role("button", name="Keep").click()
    opened.locator(".sentence", has_text="are kept, 1 MB").wait_for()
    assert (folder / "data" / "hat" / "on" / "1.png").exists() and not (folder / PENDING).exists()
    opened.locator("button[role=tab]:visible", has_text="About").click()
    opened.get_by_role("button", name="Delete the pictures of hats").click()
    dialog.get_by_role("button", name="Delete them").click()
    opened.locator(".about").get_by_text("The pictures are deleted.").wait_for()
    assert not (folder / "data").exists() and (folder / CARD).exists()
    shutil.rmtree(folder)


def test_discarding_can_be_undone(opened: Any, served: Served, root: Path) -> None:
    folder = learned(served, root, "caps")
    opened.locator('[data-run="caps"].run').click()
    opened.locator('.step[data-step="4"]').get_by_role("button", name="Discard").click()
    opened.get_by_role("dialog").get_by_role("button", name="Discard").click()
    line = opened.locator(".undo", has_text="caps is discarded.")
    line.wait_for()
    assert not folder.exists()
    opened.reload()
    open_teach(opened)
    line.get_by_role("button", name="Undo").click()
    opened.locator('.teach[data-run="caps"] .step[data-step="4"][open]').wait_for()
    line.wait_for(state="detached")
    assert (folder / "data" / "hat" / "on" / "1.png").exists()


def test_a_damaged_run_is_one_sentence_and_can_be_discarded(opened: Any, served: Served, root: Path) -> None:
    folder = learned(served, root, "torn")
    (folder / runs.TEACH).write_text('{"created": null}')
    opened.locator('[data-run="torn"].run').click()
    opened.locator(".problem-line", has_text="The file teach.json of 'torn' is damaged").wait_for()
    assert not opened.locator(".upload").is_visible()
    opened.locator('.step[data-step="1"]').get_by_role("button", name="Discard it all").click()
    opened.get_by_role("dialog").get_by_role("button", name="Discard").click()
    opened.locator('[data-run="torn"].run').wait_for(state="detached")
    assert not folder.exists()


def test_typed_text_and_focus_survive_the_questions(opened: Any) -> None:
    name = opened.locator("#teach-name")
    name.fill("half a na")
    opened.wait_for_timeout(2500)
    assert name.input_value() == "half a na" and opened.evaluate("document.activeElement.id") == "teach-name"


def test_a_folder_without_pictures_and_a_taken_name_are_said(
    opened: Any, tmp_path: Path, sample_picture: np.ndarray
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.md").write_text("nothing")
    opened.set_input_files("[data-pick=folder]", str(empty))
    opened.locator(".alert", has_text="There are no pictures in it.").wait_for()
    opened.locator("#teach-name").fill("default")
    opened.set_input_files("[data-pick=folder]", str(fill(tmp_path / "hat", {"on/1.png": sample_picture})))
    opened.locator(".alert", has_text="is taken").wait_for()
    assert opened.evaluate("document.activeElement.id") == "teach-name"


def test_what_is_too_little_is_said_and_leads_nowhere(
    opened: Any, tmp_path: Path, sample_picture: np.ndarray, served: Served
) -> None:
    some = faces(sample_picture, 2)
    opened.set_input_files(
        "[data-pick=folder]", str(fill(tmp_path / "few", {"on/1.png": some[0], "off/2.png": some[1]}))
    )
    opened.locator(".problem-line", has_text="cannot be learned yet").wait_for(timeout=4 * PATIENCE_MS)
    assert opened.get_by_role("button", name="Go on: learn").count() == 0
    assert opened.locator('.step[data-step="3"] > summary').get_attribute("aria-disabled") == "true"
    opened.locator('.step[data-step="2"]').get_by_role("button", name="Discard it all").click()
    opened.get_by_role("dialog").get_by_role("button", name="Discard").click()
    opened.locator('.teach[data-run=""]').wait_for()
    assert not (served.runs / "few").exists()


def drop(page: Any, path: Path) -> None:
    """Drag a file or folder from outside the browser to the drop area, and let it go there."""
    dropped(page, path, page.locator(".teach .drop"))


def dropped(page: Any, path: Path, place: Any) -> None:
    place.scroll_into_view_if_needed()
    area = place.bounding_box()
    where = {"x": area["x"] + area["width"] / 2, "y": area["y"] + min(20, area["height"] / 2)}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        if kind == "drop":  # what the page has not yet agreed to take, the browser does not give
            page.locator(".teach .drop.over").wait_for(state="attached")
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})


def test_a_folder_is_dropped_then_a_zip_and_a_broken_zip_leaves_nothing(
    opened: Any, tmp_path: Path, sample_picture: np.ndarray, served: Served
) -> None:
    some = faces(sample_picture, 4)
    drop(opened, fill(tmp_path / "ears", {"hidden/1.png": some[0], "shown/2.png": some[1]}))
    opened.locator(".understood", has_text="2 pictures with labels").wait_for(state="attached")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name in ("hidden", "shown"):
            Image.fromarray(some[2]).save(tmp_path / "3.png")
            archive.write(tmp_path / "3.png", f"ears/{name}/3.png")
    opened.locator('.step[data-step="2"][open]').wait_for()  # it is being checked by itself
    dropped(opened, tmp_path / "more.zip", opened.locator('.step[data-step="1"] > summary'))
    understood = opened.locator(".understood", has_text="4 pictures with labels")
    understood.wait_for(state="attached")
    assert "Ears (hidden, shown)" in understood.text_content()

    opened.locator("#teach-new").click()
    opened.locator('.teach[data-run=""]').wait_for()
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    drop(opened, tmp_path / "broken.zip")
    opened.locator(".alert", has_text="zip").wait_for()
    opened.locator('.teach[data-run=""]').wait_for()
    assert not (served.runs / "broken").exists()


def test_an_upload_ends_in_its_own_run_whatever_is_shown_by_then(
    opened: Any, tmp_path: Path, sample_picture: np.ndarray, served: Served
) -> None:
    some = faces(sample_picture, 2)
    opened.set_input_files("[data-pick=folder]", str(fill(tmp_path / "ears", {"a/1.png": some[0], "b/2.png": some[1]})))
    opened.locator(".understood", has_text="2 pictures with labels").wait_for(state="attached")
    opened.locator("#teach-new").click()
    opened.locator('.teach[data-run=""]').wait_for()
    waiting: list[Any] = []
    opened.route("**/mtl/teach/files*", lambda route: waiting.append(route))
    folder = fill(tmp_path / "hats", {"a/1.png": some[0], "b/2.png": some[1]})
    Path(folder / "old.zip").write_bytes(b"a zip that lies beside the pictures")
    opened.set_input_files("[data-pick=folder]", str(folder))
    opened.locator('.teach[data-run="hats"] .sending').wait_for()
    opened.locator(".runs [data-run=ears]").click()
    opened.locator('.teach[data-run="ears"]').wait_for()
    with opened.expect_request("**/mtl/teach/look") as looked:
        waiting[0].continue_()
    assert json.loads(looked.value.post_data)["run"] == "hats"
    opened.locator(".runs [data-run=hats]").click()
    opened.locator('.teach[data-run="hats"] .understood', has_text="2 pictures with labels").wait_for(state="attached")

    opened.locator(".step[open]").get_by_role(
        "button", name="Discard"
    ).click()  # asked of hats; meanwhile hats goes in another window
    asked = opened.get_by_role("dialog")
    asked.get_by_text("Discard hats?").wait_for()
    opened.request.post(f"{served.address}/mtl/teach/discard", data=json.dumps({"run": "hats"}))
    opened.locator('.teach[data-run=""]').wait_for()
    asked.get_by_role("button", name="Discard").click()
    asked.wait_for(state="detached")
    opened.wait_for_timeout(1500)
    assert (served.runs / "ears").is_dir() and not (served.runs / "hats").exists()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The learning of a run stands still from its first checkpoint on; so few pictures are learned in a second."""
    until = time.monotonic() + 5 * PATIENCE_MS / 1000
    while not ((events := folder / runs.EVENTS).is_file() and '"checkpoint"' in events.read_text()):
        assert time.monotonic() < until, "nothing was learned"
        time.sleep(0.01)
    number = json.loads((folder / "job.json").read_text())["pid"]
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)


@pytest.mark.data
def test_stopped_it_keeps_the_best_and_goes_on(
    opened: Any, tmp_path: Path, data: Path, root: Path, served: Served
) -> None:
    taught, _ = glasses(data, 16, 0)
    for word, files in taught.items():
        (tmp_path / "glasses" / word).mkdir(parents=True)
        for file in files:
            shutil.copy(file, tmp_path / "glasses" / word)
    check(opened, tmp_path / "glasses")
    opened.get_by_role("button", name="Go on: learn").click()
    opened.locator("#teach-from").select_option("bknet")
    opened.locator("#teach-how-all").check()
    opened.locator("#teach-advanced > summary").click()
    opened.locator("#teach-epochs").fill("8")
    opened.locator("#teach-epochs").press("Tab")
    learn = opened.locator('.step[data-step="3"]')
    opened.get_by_role("button", name="Start learning").click()
    learn.get_by_role("button", name="Stop", exact=True).click()  # nothing to keep yet: it ends at once
    learn.get_by_text("Stopped before anything was learned.").wait_for()

    opened.get_by_role("button", name="Start learning").click()
    with held(served.runs / "glasses"):
        learn.get_by_text("best so far after round").wait_for()
        learn.get_by_role("button", name="Stop, keep the best so far").click()
        learn.get_by_text("Stopping. The best so far is being kept").wait_for()
    brought = opened.locator('.step[data-step="4"]')
    more = brought.get_by_role("button", name="Go on learning")
    more.wait_for(timeout=2 * PATIENCE_MS)
    assert "right for" in brought.locator(".sentence").inner_text() and "that it never saw" in brought.inner_text()
    dropped(opened, root / "samples" / "astronaut.jpg", brought.locator(".sentence"))  # beside the area for it
    brought.locator(".told-try", has_text="1 face").wait_for()
    learn.locator("summary").first.click()
    with opened.expect_response("**/mtl/teach/settings"):
        opened.locator("#teach-how-branch").check()
    assert "everything, from bknet" in learn.locator(".line").inner_text(), "what it was learned by"
    more.click()  # with the settings that it began with
    opened.locator(".teach[data-state=running]").wait_for()
    assert "Round" not in learn.locator("[data-part=progress] > p").first.inner_text(), "an earlier learning's place"
    opened.locator(".teach[data-state=done]").wait_for(timeout=5 * PATIENCE_MS)
    assert more.count() == 0
    learn.locator("summary").first.click()
    assert "Done after" in learn.inner_text()
    learn.get_by_role("button", name="Start from the beginning").click()
    opened.get_by_role("dialog").get_by_text("What it has learned so far and its figures are lost.").wait_for()
    opened.keyboard.press("Escape")

    opened.locator('.step[data-step="1"] > summary').click()
    opened.locator("#teach-task").fill("spectacles")
    opened.locator("#teach-task").press("Tab")  # to call it something else would cost what was learned
    opened.get_by_role("dialog").get_by_text("What it has learned and its figures are lost.").wait_for()
    opened.keyboard.press("Escape")
    opened.wait_for_function("document.querySelector('#teach-task')?.value === 'glasses'")
    opened.locator(".teach[data-state=done]").wait_for()


@pytest.mark.data
def test_the_whole_way_with_glasses(opened: Any, tmp_path: Path, data: Path, root: Path, served: Served) -> None:
    """Upload, check, relabel one, learn, reload in the middle, accept, and use it on a photo."""
    taught, unseen = glasses(data, 100, 100)
    folder = tmp_path / "glasses"
    for word, files in taught.items():
        (folder / word).mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder / word)
    shutil.move(folder / "with" / taught["with"][0].name, folder / "without")  # a wrong label to put right
    shutil.copy(folder / "with" / taught["with"][1].name, folder / "without" / "twice.jpg")
    check(opened, folder)
    promised = opened.locator(".promise .sentence").inner_text()
    assert "right for about" in promised and "of 100 new pictures" in promised
    wrong = opened.locator("#teach-suspects li", has_text=taught["with"][0].name)
    wrong.focus()
    opened.keyboard.press("c")  # changes the label that looks wrong
    opened.get_by_role("button", name="1 relabelled").wait_for()
    wrong.wait_for(state="detached")
    assert opened.evaluate("Boolean(document.activeElement.closest('#teach-suspects li'))"), "the next one is at hand"
    opened.get_by_role("button", name="Go on: learn").click()
    opened.get_by_role("button", name="Start learning").click()
    opened.locator(".teach[data-state=running], .teach[data-state=done]").first.wait_for()
    assert opened.url.endswith("/#teach/glasses")
    opened.reload()  # which opens the same again
    accept = opened.get_by_role("button", name="Keep", exact=True)
    accept.wait_for(timeout=5 * PATIENCE_MS)
    assert not opened.locator('.step[data-step="3"] .plot polyline').count(), "a fit has no curve of rounds"
    assert opened.locator("#teach-wrong li").count(), "what is answered wrongly is shown"
    opened.locator('.step[data-step="2"] > summary').click()
    opened.locator(".finding", has_text="two classes").get_by_role("button", name="Leave out").first.click()
    opened.locator(".finding", has_text="two classes").wait_for(state="detached")  # with the list that was clicked in
    accept.click()
    opened.get_by_role("dialog").get_by_role("button", name="Keep").click()
    opened.get_by_role("button", name="Use glasses").wait_for()
    assert opened.evaluate("document.activeElement !== document.body"), "whoever works with keys goes on from there"
    opened.get_by_role("button", name="Use glasses").click()
    wait_until_picked(opened, "glasses")
    predictor = Predictor.load("glasses", runs=served.runs)
    right = [
        bool(readings := predictor.predict(file))
        and max(readings, key=lambda reading: reading.face.area).estimates["glasses"].value == word
        for word, files in unseen.items()
        for file in files
    ]
    assert np.mean(right) > 0.8
    opened.locator("button[role=tab]:visible", has_text="Photo").click()
    opened.set_input_files(".photo input[type=file]", str(root / "samples" / "astronaut.jpg"))
    opened.locator(".face", has_text="Glasses").wait_for()
    shutil.rmtree(served.runs / "glasses")


def glasses(data: Path, count: int, unseen: int) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Faces with and without eyeglasses of the part kept for this; the second ones show other pictures than the first."""
    folder = data / "celeba"
    with (folder / "splits.csv").open(encoding="utf-8") as stream:
        names = {Path(row["file"]).stem: row["file"] for row in csv.DictReader(stream) if row["split"] == "fewshot"}
    lines = (folder / "list_attr_celeba.txt").read_text().splitlines()
    head = next(index for index, line in enumerate(lines) if "Eyeglasses" in line)
    column = lines[head].split().index("Eyeglasses") + 1
    found: dict[str, list[Path]] = {"with": [], "without": []}
    for line in lines[head + 1 :]:
        fields = line.split()
        if name := names.get(Path(fields[0]).stem):
            found["with" if fields[column] == "1" else "without"].append(folder / "img_celeba" / name)
    return (
        {word: files[:count] for word, files in found.items()},
        {word: files[count : count + unseen // 2] for word, files in found.items()},
    )
