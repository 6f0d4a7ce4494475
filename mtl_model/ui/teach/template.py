"""What a visitor downloads to see how pictures are laid out: empty folders of classes, a table, a page that explains."""

from __future__ import annotations

import functools
import io
import zipfile

from starlette.requests import Request
from starlette.responses import Response

from mtl_model.ui.render import asset

NAME = "faces-template"
TABLE = """\
file,age,gender,smile,glasses
first.jpg,34,female,yes,with
second.jpg,,male,no,
third.jpg,20-29,,,without
"""


async def answer(request: Request) -> Response:
    disposition = {"content-disposition": f'attachment; filename="{NAME}.zip"'}
    return Response(pack(), media_type="application/zip", headers=disposition)


@functools.cache
def pack() -> bytes:
    """The zip. There is no face in it."""
    ages = [f"age/{first}-{first + 9}" for first in range(0, 90, 10)]
    classes = ["smile/yes", "smile/no", "gender/female", "gender/male", *ages, "glasses/with", "glasses/without"]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}/Read me first.html", asset("teach/teach_template.html"))
        for name in classes:
            archive.writestr(f"{NAME}/1 Folders/{name}/", "")
        archive.writestr(f"{NAME}/2 Table/labels.csv", TABLE)
    return stream.getvalue()
