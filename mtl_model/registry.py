"""A folder is its own registry: each module in it is an entry, found by its file name.

Files are listed without importing them (so that listing costs nothing and one broken entry does not hide the
others); names that begin with an underscore are shared parts, not entries.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from mtl_model.errors import UsageError, unknown

PACKAGE = Path(__file__).parent


def names(folder: str) -> list[str]:
    """The entries of a registry folder such as "networks" or "ui/tabs", sorted by name."""
    found = pkgutil.iter_modules([str(PACKAGE / folder)])
    return sorted(module.name for module in found if not module.ispkg and not module.name.startswith("_"))


def load(folder: str, name: str) -> ModuleType:
    """Import one entry. Raises UsageError with the near match for a name that the folder does not list."""
    known = names(folder)
    if name not in known:
        raise UsageError(unknown(folder.rsplit("/", 1)[-1].rstrip("s"), name, known))
    return importlib.import_module(".".join([__package__ or "mtl_model", *folder.split("/"), name]))


def shipped_weights() -> Path:
    """The package's checkpoints: inside the installed package, or top-level weights/ in a checkout."""
    inside = PACKAGE / "weights"
    return inside if inside.is_dir() else PACKAGE.parent / "weights"
