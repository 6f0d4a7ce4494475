from __future__ import annotations

import pytest

from mtl_model import errors
from mtl_model.errors import CheckpointError, DataError, MtlError, PictureError, RunError, UsageError, unknown


@pytest.mark.parametrize("kind", [UsageError, PictureError, DataError, CheckpointError, RunError])
def test_one_except_clause_catches_all(kind: type[MtlError]):
    assert issubclass(kind, MtlError)
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("seen", "known", "sentence"),
    [
        ("bknt", ["resnet18", "bknet"], "Unknown network 'bknt'. Did you mean 'bknet'? Known: bknet, resnet18."),
        ("zzz", ["resnet18", "bknet"], "Unknown network 'zzz'. Known: bknet, resnet18."),
        ("bknet", [], "Unknown network 'bknet'. Known: none."),
        ("", ["bknet"], "Unknown network ''. Known: bknet."),
    ],
)
def test_unknown_names_the_nearest(seen: str, known: list[str], sentence: str):
    assert unknown("network", seen, known) == sentence
