from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model import jobs
from mtl_model.card import CARD, PENDING, WEIGHTS, shipped_weights
from mtl_model.predictor import Predictor
from mtl_model.ui import teaching
from mtl_model.ui.access import Access
from mtl_model.ui.models import Models
from mtl_model.ui.options import UiOptions
from mtl_model.ui.shell import Shared
from mtl_model.ui.tabs import teach
from mtl_model.ui.teaching import OUTCOME
from tests.ui.conftest import PATIENCE_MS, Served

OUTCOME_TEXT = {
    "checkpoint": "hats",
    "parent": "bknet",
    "how": "branch",
    "seconds": 8.31,
    "counts": {"train": 3, "val": 1, "held": 40},
    "tasks": {
        "smile": {"title": "Smile", "metric": "accuracy", "unit": "share", "new": False, "before": 0.91, "after": 0.96,
                  "difference": [0.01, 0.09], "n": 40, "classes": ["no", "<i>"], "confusion_before": [[1, 2], [3, 4]],
                  "confusion_after": [[2, 1], [1, 6]]},
        "age": {"title": "Age", "metric": "mae", "unit": "years", "new": False, "before": 5.1, "after": 4.4,
                "difference": [-1.2, 0.1], "n": 40},
        "gender": {"title": "Gender", "metric": "accuracy", "unit": "share", "new": False, "before": 0.9, "after": 0.8,
                   "difference": [-0.2, -0.1], "n": 40},
    },
    "changed": {"hat": 0.025},
    "pictures": {"better": [{"file": "hat/<u>.png", "task": "smile", "truth": "a", "before": "b", "after": "a"}], "worse": []},
    "sentence": "Smile: 91 -> 96 %.",
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def client(runs: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(teach.gr, "HTML", lambda *positional, **named: None)
    monkeypatch.setattr(teach, "_tend", lambda runs: None)
    options = UiOptions(weights=shipped_weights(), runs=runs, checkpoint="bknet")
    shared = Shared(options, Models(options), Access(options))
    teach.build(shared)
    return TestClient(Starlette(routes=shared.routes))


def picture(colour: int = 0) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(colour).integers(0, 255, (40, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.fromarray(noise).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def uploaded(client: TestClient, *names: str) -> str:
    run = client.post("/mtl/teach/create", json={"base": "hats"}).json()["run"]
    files: Any = [(quote(name, safe=""), ("f", picture(number))) for number, name in enumerate(names)]
    assert client.post(f"/mtl/teach/files?run={run}", files=files).json()["files"] == len(names)
    assert client.post("/mtl/teach/look", json={"run": run}).json() == {}
    return run


def learned(runs: Path, run: str) -> Path:
    folder = runs / run
    for name in (CARD, WEIGHTS):
        shutil.copy(shipped_weights() / "bknet" / name, folder)
    (folder / OUTCOME).write_text(json.dumps(OUTCOME_TEXT))
    return folder


def test_nothing_is_there_at_first_and_a_rest_costs_nothing(client: TestClient) -> None:
    first = client.get("/mtl/teach/state").json()
    assert (first["run"], first["step"], first["reached"]) == ("", 1, 1)
    assert client.get(f"/mtl/teach/state?version={first['version']}").json() == {"version": first["version"]}


def test_an_upload_is_understood_and_shown_everywhere(client: TestClient) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png", "hat/off/<b>.png")
    seen = client.get("/mtl/teach/state").json()  # another browser knows no name
    assert seen["run"] == run == "hats" and seen["state"] == "uploaded" and seen["step"] == 1
    assert "3 pictures with labels" in seen["parts"]["found"] and "Check these pictures" in seen["parts"]["found"]
    assert client.get("/mtl/teach/state?new=1").json()["run"] == ""
    html = client.get(f"/mtl/teach/pictures?run={run}&task=hat&class=off").json()["html"]
    assert "&lt;b&gt;.png" in html and "<b>.png" not in html


def test_a_thumbnail_is_made_here_and_of_nothing_else(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    reply = client.get(f"/mtl/teach/picture?run={run}&file=hat/on/1.png")
    with Image.open(io.BytesIO(reply.content)) as image:
        assert image.format == "JPEG" and not image.getexif()
    for file in ("../teach.json", "..%2f..%2fx", "/etc/passwd", "", "hat", "%00"):
        assert client.get(f"/mtl/teach/picture?run={run}&file={file}").status_code == 400
    for name in ("..", "../x", "nobody"):
        assert client.get(f"/mtl/teach/picture?run={name}&file=hat/on/1.png").status_code == 400


def test_changes_and_mistakes_have_their_sentences(client: TestClient) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")

    def post(action: str, **body: Any) -> dict[str, Any]:
        return client.post(f"/mtl/teach/{action}", json={"run": run, **body}).json()

    assert post("change", file="hat/on/1.png", out=True)["said"] == "hat/on/1.png is left out."
    assert post("change", undo=True)["said"].startswith("The last change is undone")
    assert "no picture" in post("change", file="../x", out=True)["error"]
    assert "way to learn" in post("settings", how="far")["error"]
    assert "taken" in client.post("/mtl/teach/create", json={"name": run}).json()["error"]
    assert "nothing to teach called" in client.post("/mtl/teach/start", json={"run": "nobody"}).json()["error"]
    assert client.post("/mtl/teach/start", content=b"[1]").status_code == 400
    assert client.get("/mtl/teach/discard").status_code == 405, "what changes something is a POST"


def test_nobody_unknown_may_do_anything(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shared, "user_of", lambda self, connection: None)
    for path in ("state", "pictures", "picture", "download", "template"):
        assert client.get(f"/mtl/teach/{path}").status_code == 401
    for path in ("create", "look", "settings", "change", "try", "files", "zip", *teach.ACTIONS):
        assert client.post(f"/mtl/teach/{path}").status_code == 401


def test_what_it_brought_is_told_in_words(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    learned(runs, run)
    seen = client.get(f"/mtl/teach/state?run={run}").json()
    text = re.sub(r"<[^>]+>", " ", seen["parts"]["outcome"])
    assert seen["step"] == 4 and "8.3 seconds" in text and "2.5 % of answers changed" in text
    assert re.findall(r"(better|worse|could be chance) +[-+]", text) == ["better", "could be chance", "worse"]
    assert "&lt;u&gt;.png" in seen["parts"]["details"] and "<i>" not in seen["parts"]["details"]


def test_accepting_lists_it_and_tells_every_page(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    folder = learned(runs, run)
    assert client.get(f"/mtl/teach/download?run={run}").content[:2] == b"PK"
    assert client.post("/mtl/teach/accept", json={"run": run}).json() == {}
    assert not (folder / PENDING).exists() and not (folder / "data").exists()
    seen = client.get(f"/mtl/teach/state?run={run}").json()
    assert seen["state"] == "accepted" and "is accepted" in seen["parts"]["decide"] and seen["parts"]["runs"] == ""


def test_a_photo_is_tried_on_both(client: TestClient, runs: Path, root: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    learned(runs, run)
    body = (root / "samples" / "astronaut.jpg").read_bytes()
    answer = client.post(f"/mtl/teach/try?run={run}", content=body).json()
    assert "agree in all" in answer["said"] and answer["html"].count('aria-label="Face 1"') == 1
    assert "picture" in client.post(f"/mtl/teach/try?run={run}", content=b"text").json()["error"]


def test_a_queue_that_cannot_go_on_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runs: Path) -> None:
        raise jobs.RunError("The disk is full.")

    monkeypatch.setattr(jobs, "advance", fail)
    assert "The disk is full." in client.get("/mtl/teach/state").json()["parts"]["trouble"]


# -- in a real browser ---------------------------------------------------------------------------------------------


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
    page.set_input_files("[data-pick=folder]", str(folder))
    page.get_by_role("button", name="Check these pictures").click()
    page.get_by_role("button", name="Go on: learn").wait_for(timeout=4 * PATIENCE_MS)


@pytest.mark.browser
def test_from_a_folder_to_what_is_in_it(
    opened: Any, tmp_path: Path, sample_picture: np.ndarray, served: Served
) -> None:
    some = faces(sample_picture, 3)
    folder = fill(
        tmp_path / "hüte", {"on/1.png": some[0], "on/2.png": some[1], "off/ü 3.png": some[2], "off/1.png": some[0]}
    )
    (folder / "on" / "broken.png").write_bytes(b"no picture")
    (folder / ".hidden.png").write_bytes(b"")
    check(opened, folder)
    text = opened.locator('[data-part="problems"]').inner_text()
    assert "Same picture in two classes." in text and "1 file cannot be read" in text and "10 would do" in text
    assert opened.locator('.step[data-step="1"] .line').inner_text().startswith("5 pictures")

    opened.get_by_role("button", name="Leave out broken.png").click()
    opened.get_by_role("button", name="1 left out").click()
    opened.locator(".browse").get_by_role("button", name="Put back broken.png").click()
    opened.get_by_role("button", name="1 left out").wait_for(state="detached")
    opened.locator(".count", has_text="off").click()
    opened.locator(".browse img[src]").first.wait_for()

    run = opened.locator(".teach").get_attribute("data-run")
    opened.reload()
    open_teach(opened)
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


@pytest.mark.browser
def test_typed_text_and_focus_survive_the_questions(opened: Any) -> None:
    name = opened.locator("#teach-name")
    name.fill("half a na")
    opened.wait_for_timeout(2500)
    assert name.input_value() == "half a na" and opened.evaluate("document.activeElement.id") == "teach-name"


@pytest.mark.browser
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


@pytest.mark.browser
@pytest.mark.data
def test_the_whole_way_with_glasses(opened: Any, tmp_path: Path, data: Path, root: Path, served: Served) -> None:
    """Upload, check, relabel one, learn, see the curve move, reload in the middle, accept, and use it on a photo."""
    taught, unseen = glasses(data, 100, 100)
    folder = tmp_path / "glasses"
    for word, files in taught.items():
        (folder / word).mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder / word)
    shutil.move(folder / "with" / taught["with"][0].name, folder / "without")  # a wrong label to put right
    check(opened, folder)
    opened.locator(".count", has_text="without").click()
    opened.get_by_role("button", name=f"Glasses of {taught['with'][0].name} is with").click()
    opened.get_by_role("button", name="1 relabelled").wait_for()
    opened.get_by_role("button", name="Go on: learn").click()
    opened.get_by_role("button", name="Start learning").click()
    line = opened.locator(".plot polyline").last
    line.wait_for(timeout=5 * PATIENCE_MS)
    before = line.get_attribute("points")
    opened.reload()
    open_teach(opened)
    line.wait_for()
    accept = opened.get_by_role("button", name="Accept")
    accept.wait_for(timeout=5 * PATIENCE_MS)
    opened.locator('.step[data-step="3"] > summary').click()
    assert line.get_attribute("points") != before, "the curve moves"
    accept.click()
    opened.get_by_role("button", name="Use glasses").click()
    predictor = Predictor.load("glasses", runs=served.runs)
    right = [
        bool(readings := predictor.predict(file)) and readings[0].estimates["glasses"].value == word
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
