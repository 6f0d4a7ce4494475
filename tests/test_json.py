"""No number that JSON lacks leaves the program: every place that writes JSON refuses it."""

from __future__ import annotations

import ast
from pathlib import Path

import mtl_model

PACKAGE = Path(mtl_model.__file__).parent


def test_every_place_that_writes_json_refuses_what_json_lacks() -> None:
    lenient, seen = [], 0
    for path in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            if ast.unparse(call.func) in ("json.dumps", "json.dump"):
                seen += 1
                if not any(one.arg == "allow_nan" and ast.unparse(one.value) == "False" for one in call.keywords):
                    lenient.append(f"{path.name}:{call.lineno}")
    assert lenient == [] and seen > 8
