"""What the tests of Teach share: an upload that was looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mtl_model.ui.teach import dataset, teaching
from mtl_model.ui.teach.teaching import Record, Run

Upload = Callable[..., Run]


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    """upload(*names, text=...) -> the run after its upload was looked at."""

    def write(
        *names: str,
        kind: str = "",
        task: str = "",
        name: str = "glasses-2",
        classes: tuple[str, ...] = (),
        **texts: str,
    ) -> Run:
        folder = tmp_path / "runs" / name
        for one in names:
            path = folder / "data" / one
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 24), "teal").save(path, "PNG")
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for one, text in texts.items():
            (folder / "data" / one.replace("__", ".")).write_text(text)
        record = Record(name, kind=kind, task=task, classes=classes)
        teaching.write_record(folder, record)
        found = dataset.describe(folder, record, stamp=str(len(names)))
        return Run(folder, teaching.edit_record(folder, found=found), None, "uploaded")

    return write
