from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model import crops, layouts
from mtl_model.by_hand import FOUND, ByHand
from mtl_model.card import Card
from mtl_model.data import corrections
from mtl_model.decoding import Decoders
from mtl_model.errors import CheckpointError
from mtl_model.predictor import Predictor
from mtl_model.records import PICTURE, Estimate, Photo, to_json
from mtl_model.tasks import class_task
from mtl_model.ui import listeners
from mtl_model.ui.faces import correcting, requests
from mtl_model.ui.listeners import Events
from mtl_model.ui.server.bodies import LARGEST_UPLOAD
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.tabs import photo
from tests.test_jpeg import with_scans
from tests.ui.conftest import FakePredictor, Served, choose, reading

DECODERS = Decoders()


class FakeShared:
    """What the routes of the tab ask of the shell."""

    def __init__(self, predictor: FakePredictor, options: UiOptions) -> None:
        self.options, self.access, self.routes = options, Access(options), []
        self.models, self.predictor = self, predictor
        self.default = "fake"
        self.decoders = DECODERS
        self.events = Events(self.access)

    route: Any = Shared.route

    def get(self, name: str = "") -> FakePredictor:
        if name not in ("", "fake", "second"):
            raise CheckpointError(f"Unknown checkpoint '{name}'. Known: fake.")
        return FakePredictor("second") if name == "second" else self.predictor

    def card(self, name: str = "") -> Card:
        return self.get(name).card

    def user_of(self, connection: Any) -> str:
        return "anonymous"


Serve = Callable[[UiOptions], TestClient]


@pytest.fixture
def serve(fake_predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> Serve:
    monkeypatch.setattr(photo, "html", lambda *positional, **named: None)
    monkeypatch.setattr(listeners.gr, "api", lambda *positional, **named: None)

    def serving(options: UiOptions) -> TestClient:
        shared: Any = FakeShared(fake_predictor, options)
        photo.build(shared)
        return TestClient(Starlette(routes=shared.routes))

    return serving


@pytest.fixture
def client(serve: Serve, tmp_path: Path) -> TestClient:
    return serve(UiOptions(runs=tmp_path / "runs"))


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 40), **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "olive").save(stream, kind, **more)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("query", "by_hand"),
    [
        ("", FOUND),
        ("&turn=90", ByHand(90)),
        ("&turn=0&drawn=1,2,30,40;5,6,7.5,8", ByHand(0, ((1, 2, 30, 40), (5, 6, 7.5, 8)))),
        ("&turn=45&dismissed=1,2,30,40", ByHand(None, (), ((1, 2, 30, 40),))),
        ("&drawn=1,2,3", "the place of the face"),
        ("&drawn=5,2,3,9", "the place of the face"),
        ("&dismissed=nan,nan,nan,nan", "the place of the face"),
        ("&drawn=" + ";".join(["1,2,3,4"] * 101), "101 boxes"),
    ],
)
def test_what_a_person_says_of_the_faces_comes_with_the_question(
    query: str,
    by_hand: ByHand | str,
    client: TestClient,
    fake_predictor: FakePredictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[ByHand] = []
    answer = fake_predictor.photo
    monkeypatch.setattr(
        fake_predictor, "photo", lambda *words, by_hand, **more: asked.append(by_hand) or answer(*words, **more)
    )
    for path in ("/mtl/photo", "/mtl/photo/picture"):
        reply = client.post(f"{path}?name=a&checkpoint=fake{query}", content=picture())
        if isinstance(by_hand, str):
            assert reply.status_code == 400 and by_hand in reply.json()["error"].lower()
        else:
            assert reply.status_code == 200 and asked.pop() == by_hand
    assert asked == []


def test_a_picture_is_answered_in_parts(client: TestClient, fake_predictor: FakePredictor) -> None:
    reply = client.post("/mtl/photo?name=a%20b.png&checkpoint=fake", content=picture())
    answer = reply.json()
    assert reply.status_code == 200 and answer["error"] is None and answer["faces"] == 2
    expected = fake_predictor.photo(np.zeros((40, 60, 3), np.uint8), "a b.png")
    assert answer["json"] == json.loads(json.dumps(to_json([expected])[0]))
    assert answer["csv"].startswith("photo,face,left") and answer["csv"].count("\n") == 3
    assert 'aria-label="Face 2"' in answer["cards"] and answer["stage"].count("data:image/jpeg") == 1
    assert answer["smallest"] == 20 and answer["smaller"] is None


def test_of_a_large_photo_the_faces_not_looked_for_are_offered(client: TestClient) -> None:
    large = picture("JPEG", (2560, 640))
    offer = client.post("/mtl/photo", content=large).json()["smaller"]
    assert (offer["below"], offer["px"]) == (40, 20) and offer["seconds"] >= 1
    assert client.post("/mtl/photo?smallest=20", content=large).json()["smaller"] is None


def test_a_picture_the_wrong_way_up_is_answered_and_shown_turned(
    client: TestClient, fake_predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(source: np.ndarray, name: str, **_: Any) -> Photo:
        return Photo(name, None, (reading((5.0, 5.0, 25.0, 35.0)),), 40, 60, turned=90)

    monkeypatch.setattr(fake_predictor, "photo", turned)
    answer = client.post("/mtl/photo?name=a.png", content=picture()).json()
    assert answer["json"]["turned"] == 90 and "turned by 90°" in answer["note"]
    shown = re.search(r"data:image/jpeg;base64,([^\"]+)", answer["stage"])
    assert shown and Image.open(io.BytesIO(base64.b64decode(shown[1]))).size == (40, 60)
    saved = client.post("/mtl/photo/picture?name=a.png", content=picture())
    assert Image.open(io.BytesIO(saved.content)).size == (40, 60)


def test_a_whole_picture_is_answered_by_one_card_and_compared_with_its_like_alone(
    client: TestClient, fake_predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(source: np.ndarray, name: str, **_: Any) -> Photo:
        height, width = source.shape[:2]
        return Photo(name, None, (reading((0.0, 0.0, width, height)),), width, height, PICTURE)

    fake_predictor.card = dataclasses.replace(fake_predictor.card, subject=PICTURE)
    monkeypatch.setattr(fake_predictor, "photo", whole)
    answer = client.post("/mtl/photo?name=a.png&checkpoint=fake&compare=second", content=picture()).json()
    assert answer["subject"] == PICTURE and answer["smallest"] is None and answer["json"]["faces"]
    assert 'class="box"' not in answer["stage"] and 'aria-label="Picture 1"' in answer["cards"]
    assert "fake reads whole pictures, second faces" in answer["note"]
    words = re.sub(r"<[^>]*>|data:[^\"]*", " ", answer["cards"] + answer["table"])
    assert "This is wrong" in words and "face" not in words.lower() and "Detection" not in words
    reply = client.post("/mtl/photo/picture?name=me.png", content=picture())
    assert "me-pictures.jpg" in reply.headers["content-disposition"]


def test_the_smallest_face_reaches_the_predictor(client: TestClient, fake_predictor: FakePredictor) -> None:
    client.post("/mtl/photo?smallest=48", content=picture())
    client.post("/mtl/photo", content=picture())
    assert fake_predictor.asked == [48.0, None]


def test_a_picture_made_to_be_slow_is_a_sentence_and_the_next_one_works(client: TestClient) -> None:
    slow = with_scans(picture("JPEG", (640, 480), progressive=True), 1000)
    answer = client.post("/mtl/photo?name=a.jpg", content=slow).json()
    assert "damaged or made to be slow" in answer["error"] and answer["json"]["faces"] == []
    assert client.post("/mtl/photo/picture?name=a.jpg", content=slow).status_code == 400
    assert client.post("/mtl/photo?name=b.png", content=picture()).json()["error"] is None


def test_the_smallest_face_is_told_in_pixels_of_the_photo(client: TestClient) -> None:
    answer = client.post("/mtl/photo", content=picture("JPEG", (2560, 100))).json()
    assert answer["smallest"] == 40  # the photo is looked at at half its size


@pytest.mark.parametrize("smallest", ["0", "-3", "nan", "inf", "many"])
def test_a_senseless_smallest_face_is_said(client: TestClient, smallest: str) -> None:
    reply = client.post(f"/mtl/photo?smallest={smallest}", content=picture())
    assert reply.status_code == 400 and "smallest face" in reply.json()["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"just text", picture("JPEG")[:400], b"GIF89a", picture()[:60]],
    ids="nothing text cut gif png".split(),
)
def test_what_is_no_picture_is_one_sentence(client: TestClient, body: bytes) -> None:
    answer = client.post("/mtl/photo?name=odd.jpg", content=body).json()
    assert answer["error"] and "stage" not in answer
    assert answer["json"] == {
        "photo": "odd.jpg",
        "error": answer["error"],
        "turned": 0,
        "fault": None,
        "width": 0,
        "height": 0,
        "faces": [],
    }
    assert client.post("/mtl/photo", content=picture()).json()["faces"] == 2, "the next photo works"


def test_what_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    told = client.post("/mtl/photo", content=b"x", headers={"content-length": str(LARGEST_UPLOAD + 1)})
    assert told.status_code == 400 and "64 MB" in told.json()["error"]


def test_what_grows_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LARGEST_UPLOAD", 100)
    reply = client.post("/mtl/photo", content=(b"x" * 60 for _ in range(5)))
    assert reply.status_code == 400 and "larger than" in reply.json()["error"]


def test_an_unknown_checkpoint_is_said(client: TestClient) -> None:
    reply = client.post("/mtl/photo?checkpoint=other", content=picture())
    assert reply.status_code == 400 and "Unknown checkpoint 'other'" in reply.json()["error"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\fotos\\ich.png", "ich.png"), ("", "picture"), ("grüße.png", "grüße.png")],
)
def test_a_photo_keeps_only_its_own_name(client: TestClient, given: str, kept: str) -> None:
    reply = client.post("/mtl/photo", params={"name": given}, content=picture())
    assert reply.json()["json"]["photo"] == kept


def test_the_download_has_boxes_and_no_exif(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6  # maker, and turned by a quarter
    reply = client.post("/mtl/photo/picture?name=me.jpg", content=picture("JPEG", exif=exif))
    with Image.open(io.BytesIO(reply.content)) as image:
        assert image.size == (40, 60) and not image.getexif()
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 3, "boxes are drawn"
    assert "me-faces.jpg" in reply.headers["content-disposition"]


def test_the_download_of_no_picture_is_one_sentence(client: TestClient) -> None:
    reply = client.post("/mtl/photo/picture", content=b"text")
    assert reply.status_code == 400 and reply.json()["error"]


def test_the_sample_is_small_and_free(client: TestClient, root: Path) -> None:
    assert client.get("/mtl/sample").content == photo.sample_path().read_bytes()
    assert photo.sample_path().stat().st_size < 300_000
    assert "public domain" in (root / "samples" / "README.md").read_text()


class TestUploads:
    """The function behind the endpoint `predict`."""

    @pytest.fixture
    def shared(self, fake_predictor: FakePredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
        (tmp_path / "uploads").mkdir()
        return FakeShared(fake_predictor, UiOptions())

    def test_an_upload_is_answered_under_its_own_name(self, shared: Any, tmp_path: Path) -> None:
        path = tmp_path / "uploads" / ("0a" * 32) / "x.png"
        path.parent.mkdir()
        path.write_bytes(picture())
        (answer,) = photo._predict_upload(shared, {"path": str(path), "orig_name": "my photo.png"})
        assert answer["photo"] == "my photo.png" and answer["error"] is None and len(answer["faces"]) == 2

    def test_no_other_file_can_be_asked_for(self, shared: Any, tmp_path: Path) -> None:
        outside = tmp_path / "private.png"
        outside.write_bytes(picture())
        (tmp_path / "uploads" / "link.png").symlink_to(outside)
        (tmp_path / "uploads" / "loose.png").write_bytes(picture())
        for path in (
            str(outside),
            str(tmp_path / "uploads/../private.png"),
            str(tmp_path / "uploads/link.png"),
            str(tmp_path / "uploads/loose.png"),
            "",
            None,
        ):
            (answer,) = photo._predict_upload(shared, {"path": path})
            assert answer["error"] and answer["faces"] == []
        assert photo._predict_upload(shared, None)[0]["error"]


class TestComparing:
    def test_each_card_shows_both(self, client: TestClient, fake_predictor: FakePredictor) -> None:
        alone = client.post("/mtl/photo?checkpoint=fake", content=picture()).json()
        answer = client.post("/mtl/photo?checkpoint=fake&compare=second", content=picture()).json()
        assert answer["note"] == "fake and second differ in 2 of 6 answers."
        assert answer["cards"].count('<th scope="col">second</th>') == 2 and 'class="of">second' in answer["table"]
        assert (answer["json"], answer["csv"], answer["stage"]) == (alone["json"], alone["csv"], alone["stage"])
        assert fake_predictor.asked == [None, None], "faces are found once"

    @pytest.mark.parametrize(
        ("other", "said"),
        [("fake", "fake is compared with itself."), ("gone", "Nothing is compared. Unknown checkpoint 'gone'.")],
    )
    def test_what_cannot_be_compared_is_said_above_the_cards(self, client: TestClient, other: str, said: str) -> None:
        alone = client.post("/mtl/photo", content=picture()).json()
        answer = client.post(f"/mtl/photo?compare={other}", content=picture()).json()
        assert answer["note"].startswith(said)
        assert answer["cards"] == alone["cards"] and alone["note"] == ""

    def test_the_first_ones_faces_are_read_by_both(self, sample_picture: np.ndarray) -> None:
        first, second = Predictor.load("default"), Predictor.load("bknet")
        faces = [reading.face for reading in first.predict(sample_picture)]
        assert second.read(sample_picture, faces) == second.predict(sample_picture)
        moved = [dataclasses.replace(face, box=tuple(edge + 40 for edge in face.box)) for face in faces]
        assert second.read(sample_picture, moved)[0].face == moved[0]
        assert second.read(sample_picture, moved)[0].estimates != second.predict(sample_picture)[0].estimates


def test_a_new_task_appears_by_itself(client: TestClient, fake_predictor: FakePredictor) -> None:
    task = class_task("glasses", ("with", "without"))
    fake_predictor.card = dataclasses.replace(fake_predictor.card, tasks=(*fake_predictor.card.tasks, task))
    glasses = Estimate("with", "with", True, {"with": 0.9, "without": 0.1}, confidence=0.9, title="Glasses")
    plain = fake_predictor.photo

    def photo_with_glasses(*positional: Any, **named: Any) -> Photo:
        seen = plain(*positional, **named)
        each = [dataclasses.replace(one, estimates={**one.estimates, "glasses": glasses}) for one in seen.readings]
        return dataclasses.replace(seen, readings=tuple(each))

    fake_predictor.photo = photo_with_glasses
    answer = client.post("/mtl/photo?compare=second", content=picture()).json()
    for part in (answer["cards"], answer["table"], answer["form"]):
        assert "Glasses" in part
    assert "not taught" in answer["cards"] and "glasses,glasses_confidence" in answer["csv"]
    assert answer["json"]["faces"][0]["estimates"]["glasses"]["value"] == "with"


RIGHT = {"age": "35-39", "gender": "female", "smile": ""}


def add(client: TestClient, body: bytes, **query: Any) -> Any:
    asked_for = {"name": "me.jpg", "box": "10,10,30,30", "right": json.dumps(RIGHT), **query}
    return client.post("/mtl/corrections/add", params=asked_for, content=body)


class TestCorrections:
    def test_a_face_is_kept_with_its_answers_and_taken_back(self, client: TestClient, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        exif = Image.Exif()
        exif[0x010F] = "a camera"
        first = add(client, picture("JPEG", exif=exif)).json()
        second = add(client, picture()).json()
        assert (first["count"], second["count"]) == (1, 2)
        (sample, _) = layouts.read(f"csv:{corrections.folder(runs)}").samples
        assert sample.labels == {"age": (35.0, 39.0), "gender": "female"}
        with Image.open(sample.path) as image:
            assert image.size == (42, 40) and not image.getexif()  # cut at the upper, lower and left edge
        assert client.post(f"/mtl/corrections/remove?saved={second['saved']}").json() == {"count": 1}
        assert client.post(f"/mtl/corrections/remove?saved={first['saved']}").json() == {"count": 0}
        assert not corrections.folder(runs).exists()

    def test_the_place_of_a_face_is_that_in_the_turned_picture(self, client: TestClient, tmp_path: Path) -> None:
        assert add(client, picture(), box="10,30,30,55", turned="90").json()["count"] == 1
        (sample,) = layouts.read(f"csv:{corrections.folder(tmp_path / 'runs')}").samples
        with Image.open(sample.path) as image:
            assert image.size[1] > 40  # the picture itself is 40 px high

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ({"right": "{"}, "not readable"),
            ({"right": '{"age": 3}'}, "not readable"),
            ({"right": "{}"}, "No right answer"),
            ({"right": '{"age": "old"}'}, "'old' is not a label of age"),
            ({"right": '{"hat": "yes"}'}, "Unknown task 'hat'"),
            ({"box": "1,2,3"}, "place of the face"),
            ({"box": "nan,0,5,5"}, "place of the face"),
            ({"box": "0,0,1e9,5"}, "place of the face"),
            ({"box": "500,500,600,600"}, "not in the picture"),
            ({"checkpoint": "gone"}, "Unknown checkpoint"),
        ],
    )
    def test_what_cannot_be_kept_is_one_sentence(self, client: TestClient, query: dict, said: str) -> None:
        reply = add(client, picture(), **query)
        assert reply.status_code == 400 and said in reply.json()["error"]

    def test_what_is_no_picture_is_one_sentence(self, client: TestClient, tmp_path: Path) -> None:
        assert add(client, b"text").status_code == 400
        assert corrections.count(tmp_path / "runs") == 0

    def test_a_second_checkpoint_that_is_gone_keeps_nobody_from_it(self, client: TestClient) -> None:
        assert add(client, picture(), compare="gone").json()["count"] == 1

    def test_only_those_who_may(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FakeShared, "user_of", lambda *_: None)
        assert add(client, picture()).status_code == 401
        assert client.post("/mtl/corrections/remove?saved=x").status_code == 401
        assert client.get("/mtl/corrections/remove?saved=x").status_code == 405

    def test_strangers_find_neither_button_nor_route(self, serve: Serve, tmp_path: Path) -> None:
        client = serve(UiOptions(runs=tmp_path, read_only=True))
        answer = client.post("/mtl/photo", content=picture()).json()
        assert "This is wrong" not in answer["cards"] and answer["form"] == ""
        assert add(client, picture()).status_code == 404
        assert client.post("/mtl/corrections/remove?saved=x").status_code == 404

    @pytest.mark.parametrize("size", [512, 180, 120])
    def test_the_face_is_found_again(self, sample_picture: np.ndarray, size: int) -> None:
        predictor = Predictor.load("bknet")
        scaled = np.asarray(Image.fromarray(sample_picture).resize((size, size), Image.Resampling.LANCZOS))
        (face, *_) = predictor.find(scaled)
        around = correcting.generous(scaled, face.box)
        again = crops.main_face(predictor.find(around), around.shape[1], around.shape[0])
        assert again is not None and abs(again.area / face.area - 1) < 0.25

    def test_a_large_face_is_made_smaller(self) -> None:
        rgb = np.zeros((3000, 3000, 3), np.uint8)
        assert correcting.generous(rgb, (500, 500, 2500, 2500)).shape == (1024, 1024, 3)


@pytest.mark.browser
class TestInTheBrowser:
    def test_two_checkpoints_stand_side_by_side(self, page: Any, root: Path) -> None:
        page.set_viewport_size({"width": 390, "height": 844})
        choose(page, root / "samples" / "astronaut.jpg")
        page.evaluate("mtl.chooseComparison('bknet')")
        card = page.get_by_role("group", name="Face 1", exact=True)
        card.locator(".sides").wait_for()
        assert card.get_by_role("columnheader").all_inner_texts() == ["default", "bknet"]
        values = card.locator(".quantity .value b").all_inner_texts()
        ages = [Predictor.load(name).predict(root / "samples" / "astronaut.jpg")[0] for name in ("default", "bknet")]
        assert values == [one.estimates["age"].text for one in ages]
        assert page.locator(".photo .note").inner_text().startswith("default and bknet ")
        assert "default and bknet" in page.locator("#announcer").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        widths = [box["width"] for box in (one.bounding_box() for one in card.locator("tbody td").all())]
        assert min(widths) > 120
        for one in card.get_by_role("button", name="different").all():
            one.focus()
            assert card.locator("[role=tooltip]:visible").count() == 1
        page.evaluate("mtl.chooseComparison('')")
        card.locator(".sides").wait_for(state="detached")
        assert page.locator(".photo .note").is_hidden()

    def test_of_a_folder_the_pictures_are_read_by_name(self, page: Any, tmp_path: Path, root: Path) -> None:
        for name in ("b10.jpg", "b9.jpg", "in/a.jpg", ".hidden.jpg", "Thumbs.db", "notes.txt", "__MACOSX/x.jpg"):
            (tmp_path / "some" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), "teal").save(tmp_path / "some" / name, "JPEG")
        data = {"items": [], "files": [str(tmp_path / "some")], "dragOperationsMask": 1}
        session = page.context.new_cdp_session(page)
        for kind in ("dragEnter", "dragOver", "drop"):
            if kind == "drop":
                page.locator(".photo.dropping").wait_for(state="attached")
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 400, "data": data})
        page.locator(".photo .strip button").nth(2).wait_for()
        names = [one.get_attribute("title") for one in page.locator(".photo .strip button").all()]
        assert names == ["b9.jpg", "b10.jpg", "a.jpg"]

    def test_what_is_wrong_is_kept_and_taken_back(self, page: Any, served: Served, root: Path) -> None:
        runs = served.runs
        choose(page, root / "samples" / "astronaut.jpg")
        card = page.get_by_role("group", name="Face 1", exact=True)
        card.get_by_role("button", name="This is wrong").click()
        form = card.get_by_role("form", name="The right answers")
        form.get_by_label("Age").press("Escape")
        assert form.count() == 0
        card.get_by_role("button", name="This is wrong").press("Enter")
        form.get_by_role("button", name="Save").click()
        form.get_by_role("alert").filter(has_text="No right answer is given").wait_for()
        form.get_by_label("Age").fill("43")
        form.get_by_label("Smile").select_option("smiling")
        form.get_by_role("button", name="Save").click()
        card.get_by_text("Saved. 1 correction is kept for teaching; see Teach.").wait_for()
        (sample,) = layouts.read(f"csv:{corrections.folder(runs)}").samples
        assert sample.labels == {"age": 43.0, "smile": "smiling"}
        with page.expect_file_chooser() as chooser:
            page.locator("[data-do=choose]:visible").first.click()
        chooser.value.set_files([root / "samples" / "astronaut.jpg"] * 2)
        page.locator(".strip button[data-status=done]").nth(1).wait_for()
        card.get_by_role("button", name="This is wrong").click()
        form.get_by_label("Age").fill("44")
        form.get_by_role("button", name="Save").click()
        card.get_by_text("Saved. 2 corrections are kept").wait_for()
        for number, saved in ((1, 0), (0, 1)):  # another photo, and back: what was saved is remembered
            page.locator(".strip button").nth(number).click()
            page.locator(f'.strip button[aria-pressed="true"][data-photo="{number}"]').wait_for()
            assert card.get_by_text("Saved. 2 corrections are kept").count() == saved
            assert card.get_by_role("button", name="This is wrong").is_visible() is not bool(saved)
        card.get_by_role("button", name="Undo").click()
        card.get_by_text("Taken back. 1 correction is kept.").wait_for()
        corrections.remove(runs)
        card.get_by_role("button", name="This is wrong").click()
        form.get_by_label("Age").fill("43")
        form.get_by_role("button", name="Save").click()
        card.get_by_role("button", name="Undo").click()
        card.get_by_text("Taken back. No corrections are kept.").wait_for()
        assert corrections.count(runs) == 0
        assert card.get_by_role("button", name="This is wrong").is_visible()


@pytest.mark.browser
def test_a_photo_is_turned_and_boxes_are_drawn_and_left_out(page: Any, tiled: Path) -> None:
    """tiled: the sample picture at several sizes."""

    def faces(count: int) -> None:
        words = "1 face" if count == 1 else f"{count} faces" if count else "No face"
        page.wait_for_function(
            "words => document.querySelector('.photo .status').textContent.startsWith(words + ',')", arg=words
        )
        assert page.locator(".cards section.face").count() == count == page.locator(".table tbody tr").count()

    choose(page, tiled)
    page.locator(".cards section.face").first.wait_for()
    count = page.locator(".cards section.face").count()
    box = page.locator(".frame .box").first.bounding_box()
    page.locator(".cards section.face").first.get_by_role("button", name="Not a face").click()
    faces(count - 1)
    assert page.locator(".hand span").inner_text() == "By hand: 1 left out."
    with page.expect_download() as saved:
        page.locator(".fold", has_text="Download").locator("summary").click()
        page.get_by_role("button", name="JSON").click()
    assert len(json.loads(saved.value.path().read_text())[0]["faces"]) == count - 1
    page.get_by_role("button", name="Draw a face").click()
    page.mouse.move(box["x"], box["y"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], box["y"] + box["height"], steps=4)
    page.mouse.up()
    faces(count)
    page.get_by_role("button", name="As it was found").click()
    faces(count)
    assert page.locator(".hand").is_hidden()
    page.get_by_role("button", name="Draw a face").click()  # by keys
    for key in ("ArrowLeft", "ArrowDown", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    faces(count + 1)
    page.get_by_role("button", name="Draw a face").click()
    page.keyboard.press("Escape")
    assert page.locator(".drawn").count() == 0
    wide = page.locator(".frame > img").evaluate("image => image.naturalWidth > image.naturalHeight")
    page.get_by_role("button", name="Turn", exact=True).click()
    shape = "const image = document.querySelector('.frame > img'); return image.naturalWidth > image.naturalHeight"
    page.wait_for_function(f"wide => {{ {shape} !== wide; }}", arg=wide)
    assert page.locator(".hand span").inner_text() == "By hand: turned by 90°."
