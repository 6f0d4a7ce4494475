"""What tests ask of codes: by which an action is refused, and for which entries of a data set are left out."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from mtl_model.errors import MtlError
from mtl_model.layouts import Source


@contextlib.contextmanager
def refused(code: str, kind: type[MtlError] = MtlError) -> Iterator[None]:
    """Expect an error of that kind with that code."""
    with pytest.raises(kind) as error:
        yield
    assert error.value.code == code, error.value


def reasons(source: Source) -> dict[str, int]:
    """Return {code: entries that were left out}."""
    counts: Counter[str] = Counter()
    for reason in source.left_out:
        counts[reason.code] += reason.count
    return dict(counts)
