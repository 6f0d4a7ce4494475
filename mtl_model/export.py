"""A checkpoint to run without this program: an ONNX file, its card, and an example of Python that reads a crop with them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mtl_model import kinds, runtimes
from mtl_model.card import CARD, Card, to_text, write_text
from mtl_model.errors import RunError, disk_text

EXAMPLE = "example.py"
FILES = ("ONNX file", CARD, EXAMPLE)


def export(name: str, network: nn.Module, card: Card, folder: Path) -> list[Path]:
    """Write NAME.onnx, card.json and example.py into a folder, and return where. Raises UsageError, RunError."""
    content = runtimes.to_onnx(network, card)
    paths = [folder / f"{name}.onnx", folder / CARD, folder / EXAMPLE]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = paths[0].with_suffix(".part")
        part.write_bytes(content)
        part.replace(paths[0])
        for path, text in zip(paths[1:], (to_text(card), example(name, card)), strict=True):
            write_text(path, text)
    except OSError as error:
        raise RunError(disk_text("The export could not be written", error)) from None
    return paths


def example(name: str, card: Card) -> str:
    """Return a program of Python that answers for one crop. It needs numpy, pillow and onnxruntime alone."""
    crop, subject = card.crop, "a whole picture" if card.reads_whole else "the crop of a face"
    shape = (crop.size_px, crop.size_px, 1 if crop.grey else 3)
    rest = " This program also asks for the mirror image and takes the mean." if card.flip_averaging else ""
    answers = "".join(
        f"output = outputs[{task.name!r}][0].astype(float)\n"
        f"print({task.title!r}, {kinds.of(task).snippet(task, card.calibration_of(task.name))})\n"
        for task in card.tasks
    )
    return (
        f'"""Read {subject} by {name}.onnx: python {EXAMPLE} CROP.jpg\n\n'
        f'How crops are cut stands in {CARD}.{rest}"""\n'
        "import sys\n\nimport numpy as np\nimport onnxruntime\nfrom PIL import Image\n\n"
        f'picture = Image.open(sys.argv[1]).convert("{"L" if crop.grey else "RGB"}").resize({shape[:2]})\n'
        f"image = (np.asarray(picture, np.float32).reshape({shape}) / 255 - {[*crop.mean]}) / {[*crop.std]}\n"
        f'session = onnxruntime.InferenceSession("{name}.onnx")\n'
        "names = [output.name for output in session.get_outputs()]\n"
        f'values = session.run(None, {{"{runtimes.INPUT}": image.transpose(2, 0, 1)[None].astype(np.float32)}})\n'
        "outputs = dict(zip(names, values))\n"
        "softmax = lambda scores: np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()\n"
        f"{answers}"
    )
