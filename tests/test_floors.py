"""Imports never climb: the tree is held to the list of files in docs/design.md.

The list is parsed, not repeated, so the document and the rule are the same text. Every check is also fed a small
bad tree, to show that it can fail.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mtl_model
from mtl_model import kinds

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mtl_model"
TORCH = {"torch", "torchvision", "facenet_pytorch", "accelerate", "torchmetrics"}
ENTRY = re.compile(r"\s?(\d+) (\S+\.py)\s")
FROM_ROOT = {"__version__"}  # what a file below may take from the package itself


@dataclass(frozen=True)
class Line:
    """One line of the list: a file, or all entries of a registry folder (`folder/<name>.py`)."""

    floor: int
    file: str
    above_torch: bool

    @property
    def folder(self) -> str | None:
        return self.file.removesuffix("/<name>.py") if self.file.endswith("/<name>.py") else None


def read_list(text: str) -> list[Line]:
    """The lines of the first fenced block that names the torch line, in their order."""
    block = next(block for block in text.split("```")[1::2] if "the torch line" in block)
    lines, above = [], True
    for row in block.splitlines():
        if "the torch line" in row:
            above = False
        elif found := ENTRY.match(row):
            lines.append(Line(int(found[1]), found[2], above))
    return lines


def place(file: str, lines: list[Line]) -> int | None:
    """Where a file stands in the list, None if nowhere. A registry's own __init__ stands on its folder's line."""
    for index, line in enumerate(lines):
        if file == line.file or (line.folder and Path(file).parent.as_posix() == line.folder):
            return index
    return None


def imports(source: str) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of each import that can run, those inside functions too."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from walk(other)
            return
        yield node
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    for node in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)


def without_layers(source: str) -> str:
    """The source of a kind without its `layer` functions, in which it may import torch: they run below the torch line."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
            return ast.Pass() if node.name == "layer" else self.generic_visit(node)

    return ast.unparse(Strip().visit(ast.parse(source)))


def imported_files(source: str, files: set[str]) -> Iterator[tuple[str, str | None]]:
    """(file, name) of each import from the package; name is what is taken out of the file."""
    for module, name in imports(source):
        parts = module.split(".")
        if parts[0] != PACKAGE:
            continue
        steps = parts[1:]
        if name is not None and as_file([*steps, name], files):
            steps, name = [*steps, name], None
        yield as_file(steps, files) or "/".join(steps) + ".py", name


def as_file(steps: list[str], files: set[str]) -> str | None:
    path = "/".join(steps)
    candidates = (f"{path}.py", f"{path}/__init__.py") if steps else ("__init__.py",)
    return next((one for one in candidates if one in files), None)


def faults(tree: dict[str, str], lines: list[Line]) -> list[str]:
    """What is wrong with a tree of sources, `app.py` and the files of the package by their path inside it."""
    found = []
    files = set(tree)
    for file, source in sorted(tree.items()):
        here = place(file, lines)
        if here is None:
            found.append(f"{file} is not in the list")
            continue
        held = without_layers(source) if file.startswith("kinds/") else source
        tops = {module.split(".")[0] for module, _ in imports(held)} if lines[here].above_torch else set()
        found += [f"{file} stands above the torch line and imports {top}" for top in sorted(tops & TORCH)]
        for module, name in imports(source):
            top = module.split(".")[0]
            if module.startswith("."):
                found.append(f"{file} imports {module} by a relative path")
            if top == "gradio" and not (file.startswith("ui/") or file == "app.py"):
                found.append(f"{file} imports gradio")
            if name == "import_module" and file not in ("registry.py", "__init__.py"):
                found.append(f"{file} imports by a name made at run time")
        if "importlib.import_module" in source and file not in ("registry.py", "__init__.py"):
            found.append(f"{file} imports by a name made at run time")
        for other, name in imported_files(source, files):
            if fault := climb(file, other, name, lines):
                found.append(fault)
    return found


def climb(file: str, other: str, name: str | None, lines: list[Line]) -> str | None:
    here, there = place(file, lines), place(other, lines)
    if there is None or here is None:
        return f"{file} imports {other}, which is not in the list"
    if other == "__init__.py" and name in FROM_ROOT:
        return None
    if (folder := lines[there].folder) is not None:
        inside = Path(file).parent.as_posix() == folder
        allowed = rank(other) < rank(file) if inside else rank(other) == 1 and there < here
        return None if allowed else f"{file} imports {other}, an entry of a registry"
    if Path(other).name.startswith("_") and Path(other).parent != Path(file).parent and rank(other) != 1:
        return f"{file} imports {other}, an entry of a registry"
    if there >= here:
        return f"{file} imports {other}, which stands below it in the list or is itself"
    return None


def rank(file: str) -> int:
    """The order inside a registry folder: shared parts, then the Protocol in its __init__, then the entries."""
    return {"_parts.py": 0, "__init__.py": 1}.get(Path(file).name, 2)


def read_tree() -> dict[str, str]:
    package = ROOT / PACKAGE
    tree = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    app = ROOT / "app.py"
    return {**tree, **({"app.py": app.read_text(encoding="utf-8")} if app.is_file() else {})}


LINES = read_list((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))


def test_the_list_is_read():
    assert [(line.floor, line.file) for line in LINES[:2]] == [(0, "errors.py"), (0, "registry.py")]
    assert [line.floor for line in LINES] == sorted(line.floor for line in LINES)
    assert len({line.file for line in LINES}) == len(LINES) > 30
    files = {line.file: line.above_torch for line in LINES}
    assert files["layouts/<name>.py"] and not files["crops.py"]


def test_no_file_climbs():
    assert faults(read_tree(), LINES) == []


BAD_TREES = [
    ("a lower floor asks a higher one", {"tasks.py": "from mtl_model.card import Card"}, "stands below it"),
    ("inside a function", {"tasks.py": "def f():\n    import mtl_model.card"}, "stands below it"),
    ("from the package", {"tasks.py": "from mtl_model import card"}, "stands below it"),
    ("later on its own floor", {"pictures.py": "import mtl_model.card"}, "stands below it"),
    ("a file nobody placed", {"utils.py": ""}, "utils.py is not in the list"),
    ("a module that is not there", {"card.py": "import mtl_model.nothing"}, "nothing.py, which is not in the list"),
    ("public names of the package", {"card.py": "from mtl_model import Predictor"}, "__init__.py, which stands below"),
    ("an entry from outside", {"crops.py": "from mtl_model.networks import bknet"}, "an entry of a registry"),
    ("an entry's name", {"crops.py": "from mtl_model.networks.bknet import build"}, "an entry of a registry"),
    ("an entry from a sister", {"networks/two.py": "import mtl_model.networks.bknet"}, "an entry of a registry"),
    ("an entry from its folder", {"networks/__init__.py": "import mtl_model.networks.bknet"}, "an entry of a registry"),
    ("parts from outside", {"crops.py": "from mtl_model.networks import _parts"}, "an entry of a registry"),
    ("listed parts from outside", {"card.py": "from mtl_model.kinds import _named"}, "an entry of a registry"),
    ("parts of a later line", {"kinds/_parts.py": "import mtl_model.kinds._named"}, "stands below it"),
    ("the Protocol in the parts", {"networks/_parts.py": "import mtl_model.networks"}, "an entry of a registry"),
    ("a Protocol further down", {"card.py": "import mtl_model.networks"}, "an entry of a registry"),
    ("a relative import", {"card.py": "from . import tasks"}, "by a relative path"),
    ("torch above its line", {"card.py": "def f():\n    from torch import nn"}, "stands above the torch line"),
    ("torch by another name", {"layouts/x.py": "import torchvision.io"}, "stands above the torch line"),
    ("torch in a kind", {"kinds/x.py": "from torch import nn"}, "stands above the torch line"),
    ("torch in another method", {"kinds/x.py": "def f():\n    from torch import nn"}, "stands above the torch line"),
    ("torch in another's layer", {"layouts/x.py": "def layer():\n    import torch"}, "stands above the torch line"),
    ("gradio in the engine", {"cli.py": "import gradio as gr"}, "cli.py imports gradio"),
    ("a name made at run time", {"card.py": "import importlib\nimportlib.import_module('mtl_model.cli')"}, "run time"),
]


@pytest.mark.parametrize(("tree", "fault"), [case[1:] for case in BAD_TREES], ids=[case[0] for case in BAD_TREES])
def test_a_bad_tree_is_found(tree: dict[str, str], fault: str):
    names = ("__init__.py", "card.py", "tasks.py", "networks/__init__.py", "networks/_parts.py", "networks/bknet.py")
    names += ("kinds/_parts.py", "kinds/_named.py")
    found = faults({**dict.fromkeys(names, ""), **tree}, LINES)
    assert len(found) == 1
    assert fault in found[0]


GOOD_TREES = [
    ("down the floors", {"card.py": "from mtl_model import tasks\nfrom mtl_model.errors import MtlError"}),
    ("earlier on its own floor", {"drawing.py": "from mtl_model.card import Card"}),
    ("for the type checker alone", {"tasks.py": "if TYPE_CHECKING:\n    from mtl_model.card import Card"}),
    ("the version", {"cli.py": "from mtl_model import __version__"}),
    ("parts of its own folder", {"networks/bknet.py": "from mtl_model.networks._parts import block"}),
    ("listed parts of its own folder", {"kinds/x.py": "from mtl_model.kinds._named import Named"}),
    ("parts in the folder's Protocol", {"networks/__init__.py": "import mtl_model.networks._parts"}),
    ("its folder's Protocol", {"networks/bknet.py": "from mtl_model.networks import NetworkModule"}),
    ("a lower registry's Protocol", {"crops.py": "from mtl_model.detectors import Detector"}),
    ("torch below its line", {"crops.py": "import torch"}),
    ("torch for a kind's layer", {"kinds/x.py": "class X:\n    def layer(self):\n        from torch import nn"}),
    ("gradio in the page", {"ui/tabs/photo.py": "import gradio as gr", "app.py": "import mtl_model.ui"}),
]


@pytest.mark.parametrize("tree", [case[1] for case in GOOD_TREES], ids=[case[0] for case in GOOD_TREES])
def test_a_good_tree_passes(tree: dict[str, str]):
    names = ("__init__.py", "card.py", "errors.py", "tasks.py", "networks/__init__.py", "networks/_parts.py")
    more = ("detectors/__init__.py", "ui/__init__.py", "kinds/_named.py")
    assert faults({**dict.fromkeys((*names, *more), ""), **tree}, LINES) == []


# Kinds of tasks ---------------------------------------------------------------------------------------------------

OWN = {"low", "high", "group", "confidence"}
"""Fields of an Estimate that only one kind or another has."""


def kind_words() -> set[str]:
    """What only a file in kinds/ may compare with: names of kinds, their metrics, the words of their units."""
    words = {*kinds.names()}
    for name in kinds.names():
        words |= {*kinds.named(name).metrics, *kinds.named(name).losses}
        words |= {metric.unit for metric in kinds.named(name).metrics.values()} - {
            kinds.SHARE,
            kinds.POINTS,
            kinds.PLAIN,
        }
    return words


def asked_kinds(source: str, words: set[str]) -> Iterator[str]:
    """Each comparison that asks for a kind by its name, a metric, a unit, or by what only one has; found in the syntax tree, so
    that another quote does not hide it."""
    for node in ast.walk(ast.parse(source)):
        operands: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        constants = [part for operand in operands for part in ast.walk(operand) if isinstance(part, ast.Constant)]
        by_name = [part.value for part in constants if part.value in words and isinstance(part.value, str)]
        by_field = [
            operand.attr
            for operand in operands
            if isinstance(operand, ast.Attribute)
            and operand.attr in OWN
            and any(part.value is None for part in constants)
        ]
        if by_name or by_field:
            yield ast.unparse(node)


def test_nothing_outside_its_folder_asks_for_a_kind():
    words, asked = kind_words(), {}
    for file, source in read_tree().items():
        if not file.startswith("kinds/") and (found := list(asked_kinds(source, words))):
            asked[file] = found
    assert asked == {}
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / PACKAGE / "ui/static").rglob("*.js")}
    pattern = re.compile(
        r"isYears|\.(?:low|high|confidence)\s*[!=]==?\s*(?:undefined|null)|[!=]==?\s*[\"'](?:years|classes)[\"']"
    )
    assert {name: pattern.findall(text) for name, text in scripts.items() if pattern.search(text)} == {}


@pytest.mark.parametrize(
    "source",
    [
        "task.kind == 'years'", "kind != \"classes\"", "'mae' in figures", "unit == 'years'", "estimate.low is not None",
        "if one.group is None: pass", "kind in ('binary', 'x')", "match kind:\n    case 'years': pass",
    ],
)  # fmt: skip
def test_the_question_for_a_kind_is_found(source: str):
    assert list(asked_kinds(source, kind_words()))


@pytest.mark.parametrize("source", ["job.kind == 'check'", "estimate.low < 3", "low is None", "unit == 'share'"])
def test_other_questions_are_not(source: str):
    assert list(asked_kinds(source, kind_words())) == []


WATCH = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    loaded = [name for name in ("torch", "torchvision", "facenet_pytorch", "gradio") if name in sys.modules]
    if loaded:
        sys.exit(f"{module} loads {', '.join(loaded)}")
"""


def watch(*modules: str) -> str:
    """What a fresh Python says that imports the modules one after another; nothing, if no torch comes with them."""
    ran = subprocess.run([sys.executable, "-c", WATCH, *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stderr.strip()


def test_nothing_above_the_line_loads_torch():
    above = []
    for file in sorted(read_tree()):
        index = place(file, LINES)
        if index is not None and LINES[index].above_torch:
            steps = Path(file).with_suffix("").parts
            above.append(".".join([PACKAGE, *(step for step in steps if step != "__init__")]))
    assert len(above) > 6
    assert watch(PACKAGE, *above) == ""


def test_the_watch_can_fail():
    assert watch(PACKAGE, "mtl_model.crops").startswith("mtl_model.crops loads torch")


def test_the_docstring_names_the_same_floors():
    """The short map in the package's docstring puts each file on the floor of the list."""
    floors = {line.file.removesuffix(".py").replace("/<name>", "/"): line.floor for line in LINES}
    rows = re.findall(r"^ +(\d+) (.+)$", mtl_model.__doc__ or "", re.MULTILINE)
    said = {name: int(floor) for floor, names in rows for name in names.split(", ")}
    assert said
    wrong = {name for name, floor in said.items() if floors.get(name, floors.get(f"{name}__init__")) != floor}
    assert wrong == set()
