"""Many pictures at once: the answers of one after another, whatever fails."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import pipeline
from mtl_model.predictor import Predictor
from mtl_model.records import Photo, to_json
from tests.cli import write_weights


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(weights=write_weights(tmp_path_factory.mktemp("weights")), device="cpu")


@pytest.fixture
def files(tmp_path: Path, sample_picture: np.ndarray) -> list[Path]:
    """Pictures of two sizes in turn, one that cannot be read, one turned."""
    image = Image.fromarray(sample_picture)
    paths = []
    for number in range(6):
        side = (200, 260)[number % 2]
        paths.append(tmp_path / f"{number}.png")
        image.resize((side, side)).rotate(90 if number == 4 else 0).save(paths[-1])
    paths.append(tmp_path / "broken.png")
    paths[-1].write_text("text")
    return paths


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def shown(photo: Photo) -> list:
    """What stays alike whether a picture stands alone or in a batch, whose sums are added in another order."""
    (plain,) = to_json([photo])
    faces = [(np.round(face["box"]).tolist(), face["estimates"]["smile"]["value"]) for face in plain["faces"]]
    return [plain["photo"], plain["error"], plain["turned"], plain["width"], faces]


def test_the_answers_are_those_of_one_after_another(predictor: Predictor, files: list[Path], threads: int) -> None:
    finished: dict[str, tuple[int, ...]] = {}

    def finish(file: Path, rgb: np.ndarray, photo: Photo) -> None:
        finished[file.name] = rgb.shape
        assert photo.photo == str(file) and rgb.shape[:2] == (photo.height, photo.width)

    found = dict(pipeline.photos(predictor, files, finish=finish))
    assert torch.get_num_threads() == threads
    assert [shown(found[file]) for file in files] == [shown(predictor.photo(file, str(file))) for file in files]
    assert found[files[4]].turned == 90 and len(found[files[0]].readings) == 1
    assert sorted(finished) == [file.name for file in files[:6]]


def test_pictures_of_one_size_are_a_batch(
    predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    before = Predictor.photos

    def watched(self: Predictor, pictures, names, **more) -> list[Photo]:
        sizes.append({picture.shape for picture in pictures})
        return before(self, pictures, names, **more)

    monkeypatch.setattr(Predictor, "photos", watched)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert len(list(pipeline.photos(predictor, files))) == 7
    assert all(len(shapes) == 1 for shapes in sizes) and len(sizes) < 6


@pytest.mark.usefixtures("threads")
def test_an_error_of_a_thread_is_raised_after_what_is_answered(predictor: Predictor, files: list[Path]) -> None:
    def finish(file: Path, rgb: np.ndarray, photo: Photo) -> None:
        if file.name == "3.png":
            raise OSError(28, "No space left on device")

    found = []
    with pytest.raises(OSError, match="No space"):
        found.extend(pipeline.photos(predictor, files, finish=finish))
    assert files[3] not in dict(found) and not [
        thread for thread in threading.enumerate() if thread.name.startswith("pictures-")
    ]


@pytest.mark.usefixtures("threads")
def test_no_thread_outlives_who_wants_no_more(predictor: Predictor, files: list[Path]) -> None:
    """A thread that is inside torch when the program ends takes it down."""
    answers = pipeline.photos(predictor, files)
    next(answers)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures-")]


@pytest.mark.usefixtures("threads")
def test_answers_in_order_before_the_error() -> None:
    def items():
        yield from range(7)
        raise ValueError("the eighth")

    def slow(number: int) -> int:
        time.sleep(0.02 * (number % 3))
        return number * number

    found = []
    with pytest.raises(ValueError, match="the eighth"):
        found.extend(pipeline.in_order(items(), slow))
    assert found == [(number, number * number) for number in range(7)]
    assert list(pipeline.in_order(iter([3]), slow)) == [(3, 9)]


@pytest.mark.usefixtures("threads")
def test_it_ends_where_it_is_told_to(predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "BATCH", 1)
    stop = threading.Event()
    found = []
    for file, _ in pipeline.photos(predictor, files, stop=stop):
        found.append(file)
        stop.set()
    assert 1 <= len(found) < len(files)
    assert list(pipeline.photos(predictor, [])) == []
