"""A checkpoint that somebody brought, tried before it is kept: on the sample picture, and on every view of the page."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

from mtl_model import answers, checkpoint, crops, drawing, records
from mtl_model.card import CropSettings
from mtl_model.errors import CheckpointError, MtlError
from mtl_model.pictures import read_picture
from mtl_model.predictor import Predictor
from mtl_model.registry import PACKAGE
from mtl_model.ui.checkpoints import card_page, gallery
from mtl_model.ui.faces import comparison, correcting, face_cards
from mtl_model.ui.server.options import UiOptions

SAMPLE = "astronaut.jpg"
ADVICE = "Expected a checkpoint as Download makes it; choose another."

log = logging.getLogger("mtl_model.ui")


def sample_path() -> Path:
    """The sample picture: inside the installed package, or top-level samples/ in a checkout."""
    inside = PACKAGE / "samples" / SAMPLE
    return inside if inside.is_file() else PACKAGE.parent / "samples" / SAMPLE


def tried(folder: Path, options: UiOptions) -> str:
    """Return the checkpoint's card as HTML, once it has answered the sample picture and everything could be shown.

    Raises: CheckpointError with a sentence for one that cannot work.
    """
    try:
        predictor = Predictor(folder.name, *checkpoint.load(folder))
        _answer(predictor)
        card_page.page(folder.name, predictor.card, options, folder).encode()
        return gallery.body(predictor.card, folder)
    except CheckpointError:
        raise
    except MtlError as error:
        raise CheckpointError(f"It does not read the sample picture: {error} {ADVICE}") from None
    except Exception as error:  # a card written by hand can hold anything
        log.info("a checkpoint that came in cannot be shown", exc_info=error)
        raise CheckpointError(f"{gallery.UNSHOWN} {ADVICE}") from None


def _answer(predictor: Predictor) -> None:
    """Go the whole way from the sample picture to what the page, the webcam and the downloads say of it."""
    card, name = predictor.card, predictor.name
    rgb = read_picture(sample_path())
    photo = predictor.photo(rgb, name)
    if photo.error:
        raise CheckpointError(f"It does not read the sample picture: {photo.error} {ADVICE}")
    if not photo.readings:
        raise CheckpointError(f"It finds no face in the sample picture, which shows one. {ADVICE}")
    sizes = CropSettings(size_px=64, grey=False, margin=card.crop.margin)
    cut = crops.cut(rgb, [reading.face for reading in photo.readings], sizes)
    side = comparison.Side(name, card, photo.readings)
    drawing.annotate(rgb, photo).save(io.BytesIO(), "JPEG")
    texts = (
        json.dumps(records.to_json([photo]), allow_nan=False),
        answers.to_csv([photo], card.tasks),
        face_cards.stage(rgb, photo),
        face_cards.cards(photo, cut, card, correctable=True),
        face_cards.table(photo, card),
        comparison.note((side, side)),
        comparison.cards(photo, cut, (side, side)),
        comparison.table(photo, (side, side)),
        correcting.form(card.tasks),
    )
    for text in texts:
        text.encode()
