"""The page in a real browser."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_model.predictor import Predictor
from mtl_model.records import to_json
from mtl_model.ui.shell import NOTICE
from tests.ui.conftest import SIZES, Served, choose, wait_until_picked

pytestmark = pytest.mark.browser
PlaywrightError = pytest.importorskip("playwright.sync_api").Error


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


def wait_until_read(page: Any) -> None:
    page.locator('.photo .stage[aria-busy="false"]').wait_for()
    page.locator(":is(.problem, .frame)").first.wait_for()


def group(page: Any, number: int) -> Any:
    return page.get_by_role("group", name=f"Face {number}", exact=True)


def card_words(face: dict[str, Any]) -> list[str]:
    """What a card has to say of one face of the contract's JSON."""
    words = []
    for one in face["estimates"].values():
        words.append(one["text"])
        if "low" in one:
            words += [f"{int(one['low'] + 0.5)} to {int(one['high'] + 0.5)}", one["group"]]
        else:
            words.append(f"{round(100 * one['confidence'])} %")
    return words


def test_each_face_gets_a_card_that_says_what_predict_says(page: Any, tiled: Path, predictor: Predictor) -> None:
    choose(page, tiled)
    wait_until_read(page)
    (expected,) = to_json([predictor.photo(tiled, tiled.name)])
    assert len(expected["faces"]) == len(SIZES) == page.locator("section.face").count()
    for number, face in enumerate(expected["faces"], start=1):
        text = group(page, number).inner_text()
        for words in card_words(face):
            assert words in text
        unsure = sum(not one["sure"] for one in face["estimates"].values())
        assert group(page, number).get_by_role("button", name="unsure").count() == unsure
    assert f"{len(SIZES)} faces, " in page.locator(".status").inner_text()
    assert page.locator("#announcer").inner_text() == f"{len(SIZES)} faces found"


def test_a_face_and_its_card_know_each_other(page: Any, tiled: Path) -> None:
    choose(page, tiled)
    wait_until_read(page)
    page.locator(".frame").get_by_role("button", name="Show face 2").click()
    assert group(page, 2).get_attribute("aria-current") == "true"
    group(page, 3).get_by_role("button", name="Show face 3").click()
    assert page.locator('.frame button[aria-pressed="true"]').get_attribute("aria-label") == "Show face 3"
    assert page.locator('section[aria-current="true"]').get_attribute("aria-label") == "Face 3"
    page.keyboard.press("ArrowLeft")
    assert page.locator('section[aria-current="true"]').get_attribute("aria-label") == "Face 2"
    page.locator(".frame").get_by_role("button", name="Show face 1").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator('section[aria-current="true"]').get_attribute("aria-label") == "Face 1"
    page.keyboard.press("Escape")
    assert page.locator('[aria-current="true"], [aria-pressed="true"]').count() == 0
    group(page, 2).hover()
    assert "hinted" in (page.locator('.box[data-face="2"]').get_attribute("class") or "")


def test_the_sample_is_one_click(page: Any) -> None:
    page.get_by_role("button", name=re.compile("^Sample picture")).first.click()
    group(page, 1).wait_for()
    assert page.locator("section.face").count() == 1


def test_a_picture_can_be_pasted_on_any_tab(page: Any, served: Served) -> None:
    page.get_by_role("tab", name="About").locator("visible=true").click()
    page.locator(".about h2").wait_for()
    page.evaluate(
        """async (address) => {
          const file = new File([await (await fetch(address)).blob()], "copied.jpg", { type: "image/jpeg" });
          const transfer = new DataTransfer();
          transfer.items.add(file);
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        }""",
        served.address + "/mtl/sample",
    )
    group(page, 1).wait_for()


def test_pictures_can_be_dropped(page: Any, served: Served) -> None:
    page.evaluate(
        """async (address) => {
          const blob = await (await fetch(address)).blob();
          const transfer = new DataTransfer();
          transfer.items.add(new File([blob], "one.jpg"));
          transfer.items.add(new File([blob], "two.jpg"));
          for (const kind of ["dragover", "drop"]) {
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
          }
        }""",
        served.address + "/mtl/sample",
    )
    group(page, 1).wait_for()
    assert page.locator(".strip button").count() == 2


def test_pasting_words_says_what_is_wanted(page: Any) -> None:
    page.evaluate(
        """() => document.body.dispatchEvent(
          new ClipboardEvent("paste", { clipboardData: new DataTransfer(), bubbles: true }))"""
    )
    assert "holds no picture" in page.get_by_role("alert").inner_text()


def test_the_newest_photo_wins(page: Any, tiled: Path, root: Path) -> None:
    held: list[Any] = []

    def hold_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/mtl/photo?*", hold_first)
    choose(page, root / "samples" / "astronaut.jpg")
    page.locator(".working").wait_for()
    choose(page, tiled)
    group(page, len(SIZES)).wait_for()
    with contextlib.suppress(
        PlaywrightError
    ):  # the browser has given it up; an answer all the same must change nothing
        held[0].fulfill(json={"error": "late", "json": {"photo": "late", "error": "late", "faces": []}, "csv": ""})
    page.wait_for_timeout(300)
    assert page.locator("section.face").count() == len(SIZES) and page.locator(".problem").count() == 0


def test_several_photos_are_read_and_one_is_open(page: Any, tiled: Path, root: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((root / "samples" / "astronaut.jpg").read_bytes()[:9000])
    choose(page, cut, tiled, root / "samples" / "astronaut.jpg")
    page.locator('.strip [data-status="done"]').nth(1).wait_for()
    assert page.locator(".problem").inner_text().startswith("cut.jpg")
    page.get_by_role("button", name=re.compile("^Photo 2 of 3, tiled picture.png, 3 faces")).click()
    assert page.locator("section.face").count() == len(SIZES)
    page.get_by_role("button", name=re.compile("^Photo 1 of 3, cut.jpg, could not be read")).click()
    assert page.locator("section.face").count() == 0 and page.locator(".problem").is_visible()


def download(page: Any, name: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_downloads(page: Any, tiled: Path, root: Path, predictor: Predictor) -> None:
    sample = root / "samples" / "astronaut.jpg"
    choose(page, tiled, sample)
    page.locator('.strip [data-status="done"]').nth(1).wait_for()
    page.locator("summary", has_text="Download").click()
    name, body = download(page, "JSON")
    assert name == "photos-faces.json"
    assert json.loads(body) == to_json([predictor.photo(one, one.name) for one in (tiled, sample)])
    name, body = download(page, "CSV")
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [row["photo"] for row in rows] == [tiled.name] * len(SIZES) + [sample.name]
    name, body = download(page, "Picture with boxes")
    assert name == "tiled picture-faces.jpg"
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == (sum(SIZES), max(SIZES)) and not image.getexif()


def test_the_table_sorts(page: Any, tiled: Path) -> None:
    choose(page, tiled)
    wait_until_read(page)
    page.locator("summary", has_text="Table").click()
    numbers = page.locator(".readings tbody td:first-child")
    assert numbers.all_inner_texts() == ["1", "2", "3"]
    page.get_by_role("button", name="Face", exact=True).click()
    assert numbers.all_inner_texts() == ["3", "2", "1"]
    assert page.locator(".readings th").first.get_attribute("aria-sort") == "descending"


def test_the_smallest_face_can_be_chosen(page: Any, tiled: Path) -> None:
    choose(page, tiled)
    wait_until_read(page)
    assert "20 px, automatic" in page.locator(".smallest output").inner_text()
    page.get_by_label("Smallest face").fill("7")  # 80 px
    page.locator(".status", has_text="1 face,").wait_for()
    assert page.locator("section.face").count() == 1
    page.get_by_role("button", name="Automatic").click()
    page.locator(".status", has_text="3 faces,").wait_for()


def picture_files(folder: Path, sample: np.ndarray) -> dict[str, Path]:
    """Files of every kind that people have; most hold the sample picture."""
    image, files = Image.fromarray(sample), {}

    def save(name: str, one: Image.Image, **more: Any) -> None:
        files[name] = folder / name
        one.save(files[name], **more)

    exif = Image.Exif()
    exif[0x0112] = 8  # lies on its side
    save("turned.jpg", image.rotate(-90, expand=True), exif=exif)
    save("cmyk.jpg", image.convert("CMYK"))
    save("clear.png", image.convert("RGBA"))
    save("moving.gif", image, save_all=True, append_images=[image.rotate(90)])
    grey = np.asarray(image.convert("L"), np.uint16) * 257
    save("deep.png", Image.fromarray(grey))
    save("new.webp", image)
    save("tiny.png", image.resize((10, 10)))
    files["text.jpg"] = folder / "text.jpg"
    files["text.jpg"].write_text("I am no picture.")
    save("bomb.png", Image.new("1", (10_000, 10_000)))
    return files


KINDS = {
    "turned.jpg": 1, "cmyk.jpg": 1, "clear.png": 1, "moving.gif": 1, "deep.png": 1, "new.webp": 1, "tiny.png": 0,
    "text.jpg": None, "bomb.png": None,
}  # fmt: skip


def test_every_kind_of_file_works_or_gets_a_sentence(page: Any, tmp_path: Path, sample_picture: np.ndarray) -> None:
    files = picture_files(tmp_path, sample_picture)
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
        files["phone.heic"] = tmp_path / "phone.heic"
        Image.fromarray(sample_picture).save(files["phone.heic"])
    except ImportError:
        pass
    for name, path in files.items():
        choose(page, path)
        wait_until_read(page)
        count = KINDS.get(name, 1)
        if count is None:
            assert page.locator(".problem b").inner_text() == name
            assert len(page.locator(".problem p").inner_text()) > 20
        else:
            assert page.locator("section.face").count() == count, name
            assert count or "No face found." in page.locator(".message").inner_text()


def test_a_name_never_becomes_markup(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.new("RGB", (30, 30)).save(path)
    choose(page, path)
    wait_until_read(page)
    assert page.locator(".frame img").get_attribute("alt") == f"{path.name}: no face found"
    assert page.locator('img[src="x"]').count() == 0


def test_a_server_that_is_gone_is_said_and_can_be_tried_again(page: Any, root: Path) -> None:
    page.route("**/mtl/photo?*", lambda route: route.abort())
    choose(page, root / "samples" / "astronaut.jpg")
    page.locator(".problem", has_text="The server did not answer").wait_for()
    page.unroute("**/mtl/photo?*")
    page.get_by_role("button", name="Try again").click()
    group(page, 1).wait_for()


def test_a_server_that_is_silent_for_a_while_does_not_cost_the_page(page: Any) -> None:
    """Gradio would load the page anew once its server is back, and the photos on it would be lost."""
    answered = "performance.getEntriesByType('resource').some((entry) => entry.name.includes('/queue/data'))"
    page.wait_for_function(answered)  # the first event, which says what there is to pick
    page.evaluate("window.mark = true")
    page.route("**/gradio_api/**", lambda route: route.abort())
    page.wait_for_timeout(2500)  # some ticks
    assert page.locator(".toast-wrap > *").count() == 0
    page.evaluate("mtl.choose('bknet')")
    page.locator(".toast-wrap", has_text="The server did not answer").wait_for()
    page.unroute("**/gradio_api/**")
    page.evaluate("mtl.choose('bknet')")
    wait_until_picked(page, "bknet")
    assert page.evaluate("window.mark")


def test_a_picture_can_be_taken(page: Any) -> None:
    page.context.grant_permissions(["camera"])
    page.get_by_role("button", name="Take a picture").locator("visible=true").click()
    page.get_by_role("button", name="Take the picture").click()
    wait_until_read(page)
    assert page.evaluate("document.querySelector('.camera video').srcObject") is None
    assert "face" in page.locator(".status").inner_text()


@pytest.mark.parametrize(
    "leave",
    [
        "Object.defineProperty(document, 'hidden', { value: true }); document.dispatchEvent(new Event('visibilitychange'))",
        "document.querySelector('.photo video').scrollIntoView(); document.querySelectorAll('button[role=tab]')[2].click()",
    ],
)
def test_the_camera_stops_when_nobody_sees_it(page: Any, leave: str) -> None:
    page.context.grant_permissions(["camera"])
    page.get_by_role("button", name="Take a picture").locator("visible=true").click()
    page.wait_for_function(
        "document.querySelector('.camera video').srcObject && !document.querySelector('[data-do=take]').disabled"
    )
    page.evaluate("window.track = document.querySelector('.camera video').srcObject.getTracks()[0]")
    page.evaluate(leave)
    page.wait_for_function("window.track.readyState === 'ended'")


@pytest.mark.parametrize(
    ("name", "words"),
    [("NotAllowedError", "not allowed"), ("NotFoundError", "No camera"), ("NotReadableError", "another program")],
)
def test_a_camera_that_cannot_be_had_is_said(page: Any, name: str, words: str) -> None:
    page.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name); } }", name
    )
    page.get_by_role("button", name="Take a picture").locator("visible=true").click()
    page.get_by_role("alert").filter(has_text=words).wait_for()


def test_about_shows_the_card(page: Any) -> None:
    page.get_by_role("tab", name="About").locator("visible=true").click()
    page.locator(".about h2").wait_for()
    text = page.locator(".about").inner_text()
    for words in ("How good it is", "What it was trained on", "Terms of use", "What is kept, and where", "Versions"):
        assert words in text


def test_every_tab_shows_the_notice_and_no_trace_of_the_frame_it_is_built_with(page: Any) -> None:
    for tab in page.locator("button[role=tab]:visible").all():
        tab.click()
        assert page.get_by_text(NOTICE).is_visible()
        text = page.locator("body").inner_text()
        assert not re.search(r"\b(Gradio|Submit|Output 1|Use via API)\b", text)
