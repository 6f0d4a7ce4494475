from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model.errors import CheckpointError
from mtl_model.records import to_json
from mtl_model.ui.access import Access
from mtl_model.ui.options import UiOptions
from mtl_model.ui.shell import LARGEST_UPLOAD
from mtl_model.ui.tabs import photo
from tests.ui.conftest import FakePredictor


class FakeShared:
    """What the routes of the tab ask of the shell."""

    def __init__(self, predictor: FakePredictor) -> None:
        self.options, self.access, self.routes = UiOptions(), Access(UiOptions()), []
        self.models, self.predictor = self, predictor
        self.default = "fake"

    def get(self, name: str = "") -> FakePredictor:
        if name not in ("", "fake"):
            raise CheckpointError(f"Unknown checkpoint '{name}'. Known: fake.")
        return self.predictor

    def user_of(self, connection: Any) -> str:
        return "anonymous"


@pytest.fixture
def client(fake_predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(photo.gr, "HTML", lambda *positional, **named: None)
    monkeypatch.setattr(photo.gr, "api", lambda *positional, **named: None)
    shared: Any = FakeShared(fake_predictor)
    photo.build(shared)
    return TestClient(Starlette(routes=shared.routes))


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 40), **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "olive").save(stream, kind, **more)
    return stream.getvalue()


def test_a_picture_is_answered_in_parts(client: TestClient, fake_predictor: FakePredictor) -> None:
    reply = client.post("/mtl/photo?name=a%20b.png&checkpoint=fake", content=picture())
    answer = reply.json()
    assert reply.status_code == 200 and answer["error"] is None and answer["faces"] == 2
    expected = fake_predictor.photo(np.zeros((40, 60, 3), np.uint8), "a b.png")
    assert answer["json"] == json.loads(json.dumps(to_json([expected])[0]))
    assert answer["csv"].startswith("photo,face,left") and answer["csv"].count("\n") == 3
    assert 'aria-label="Face 2"' in answer["cards"] and answer["stage"].count("data:image/jpeg") == 1
    assert answer["smallest"] == 20


def test_the_smallest_face_reaches_the_predictor(client: TestClient, fake_predictor: FakePredictor) -> None:
    client.post("/mtl/photo?smallest=48", content=picture())
    client.post("/mtl/photo", content=picture())
    assert fake_predictor.asked == [48.0, None]


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
    assert answer["json"] == {"photo": "odd.jpg", "error": answer["error"], "faces": []}
    assert client.post("/mtl/photo", content=picture()).json()["faces"] == 2, "the next photo works"


def test_what_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    told = client.post("/mtl/photo", content=b"x", headers={"content-length": str(LARGEST_UPLOAD + 1)})
    assert told.status_code == 400 and "64 MB" in told.json()["error"]


def test_what_grows_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "LARGEST_UPLOAD", 100)
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
        return FakeShared(fake_predictor)

    def test_an_upload_is_answered_under_its_own_name(self, shared: Any, tmp_path: Path) -> None:
        path = tmp_path / "uploads" / "x.png"
        path.write_bytes(picture())
        (answer,) = photo._predict_upload(shared, {"path": str(path), "orig_name": "my photo.png"})
        assert answer["photo"] == "my photo.png" and answer["error"] is None and len(answer["faces"]) == 2

    def test_no_other_file_can_be_asked_for(self, shared: Any, tmp_path: Path) -> None:
        outside = tmp_path / "private.png"
        outside.write_bytes(picture())
        (tmp_path / "uploads" / "link.png").symlink_to(outside)
        for path in (
            str(outside),
            str(tmp_path / "uploads/../private.png"),
            str(tmp_path / "uploads/link.png"),
            "",
            None,
        ):
            (answer,) = photo._predict_upload(shared, {"path": path})
            assert answer["error"] and answer["faces"] == []
        assert photo._predict_upload(shared, None)[0]["error"]
