"""Every code has words, and whatever a file holds is shown without an error."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from mtl_model import layouts, wording
from mtl_model.errors import CheckpointError
from mtl_model.events import Failed, Noted, Stage

PACKAGE = Path(wording.__file__).parent
SAYS = {"Noted": 0, "Failed": 0, "Stopped": 1, "Finding": 0, "skip": 0, "_finding": 0}
"""Calls that take a code -> the place of the code among their arguments."""


def codes_in(source: str) -> set[str]:
    """Return the codes that stand in such calls as literals, also as one of two."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            for code in node.args[SAYS[name] : SAYS[name] + 1] if name in SAYS else ():
                either = [code.body, code.orelse] if isinstance(code, ast.IfExp) else [code]
                found |= {part.value for part in either if isinstance(part, ast.Constant)}
    return found


def test_every_code_of_the_package_has_words():
    codes = set().union(*(codes_in(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")))
    assert {"copies_left_out", "picture_missing", "celeba.line", "unreadable", "asked_to_stop"} <= codes
    known = {*wording.WORDS, *(f"{name}.{code}" for name in layouts.kinds() for code in layouts.layout(name).WORDS)}
    assert codes - known == set()
    assert {*Stage} == {*wording.STAGES}


@pytest.mark.parametrize(
    ("code", "values", "words"),
    [
        ("unreadable", {"count": 1}, "1 file cannot be read as a picture."),
        ("unreadable", {"count": 1234}, "1,234 files cannot be read as a picture."),
        ("split_unknown", {"file": "splits.csv", "known": ["train", "val"]},
         "splits.csv gives a split that is not known (known: train, val)"),
        ("left_out", {"count": 3, "reason": "list.label_count", "values": {"labels": 2}},
         "Left out 3: the line has not 2 labels after its path."),
        ("exact_copies", {"count": 2, "surplus": 3, "disagreeing": 1, "by_task": {"age": 1}},
         "2 groups of pictures with equal pixels; surplus pictures: 3. Groups whose labels differ: 1 (age in 1)."),
        ("faces_found", {"kind": "csv", "counts": {"one": 3, "none": 0, "several": 1}},
         "csv: faces found, one 3, several 1."),
        ("rare_classes", {"task": "smile", "least": 10, "classes": {"smiling": 9}, "count": 9},
         "smile: fewer than 10 pictures to learn from for smiling 9."),
        ("unshown", {"title": "Age", "groups": ["1-13", "56+"]},
         "Age: no picture shows 1-13 or 56+. Faces like those may be read worse than before, which pictures held out of these "
         "cannot tell."),
        ("utkface.lacks_field", {}, "the name lacks a field"),
    ],
)  # fmt: skip
def test_words_are_made_of_a_code_and_its_values(code: str, values: dict[str, Any], words: str):
    assert wording.text(code, values) == words


@pytest.mark.parametrize(
    ("code", "values", "words"),
    [
        ("12 pictures were left out. See {count}.", {}, "12 pictures were left out. See {count}."),
        ("of_a_later_version", {"count": 3, "file": "a{0}.jpg"}, "of_a_later_version (count 3, file a{0}.jpg)"),
        ("unreadable", {}, "unreadable"),
        ("unreadable", {"count": "many"}, "unreadable (count many)"),
        ("rare_classes", {"task": "smile"}, "rare_classes (task smile)"),
        ("utkface.nothing", {}, "utkface.nothing"),
        ("nothing.lacks_field", {}, "nothing.lacks_field"),
        ("", {}, ""),
    ],
)
def test_what_is_not_known_is_shown_as_it_stands(code: str, values: dict[str, Any], words: str):
    assert wording.text(code, values) == words


def test_what_was_read_of_a_data_set_is_a_paragraph():
    values = {
        "kind": "csv",
        "pictures": 1200,
        "splits": {"train": 1000, "test": 200},
        "left_out": [{"code": "picture_missing", "values": {}, "count": 2, "examples": ["a.jpg"]}],
        "notes": [{"code": "csv.unnamed", "values": {"columns": 1}}],
    }
    assert wording.of(Noted("source_read", values)) == (
        "csv: 1,200 labelled pictures (1,000 train, 200 test). Left out 2: the picture is not there (for example a.jpg). "
        "Columns without a name are left out: 1."
    )


def test_an_error_has_a_code_and_its_words_and_an_event_its_message():
    error = wording.error(CheckpointError, "column_clash", {"first": "age", "second": "age_low", "column": "age_low"})
    assert isinstance(error, CheckpointError) and error.code == "column_clash"
    assert str(error).startswith("The tasks age and age_low both write the column age_low of the answers.")
    assert wording.of(Failed(error.code, {"message": "{no template}"})) == "{no template}"
    assert CheckpointError("It is gone.").code == "checkpoint"


FIGURES: dict[str, Any] = {
    "title": "Smile",
    "metric": "accuracy",
    "unit": "share",
    "n": 30,
    "before": 0.8,
    "after": 0.9,
}


@pytest.mark.parametrize(
    ("more", "verdict", "words"),
    [
        ({"difference": [0.02, 0.2]}, "better", "Smile: 80 → 90 % right of 30 held-out pictures (better)."),
        ({"difference": [-0.2, -0.1]}, "worse", "Smile: 80 → 90 % right of 30 held-out pictures (worse)."),
        ({"difference": [-0.1, 0.3]}, "chance", "Smile: 80 → 90 % right of 30 held-out pictures (could be chance)."),
        ({"difference": [0.0, 0.0]}, "same", "Smile: 90 % right of 30 held-out pictures, as before."),
        ({"difference": None}, "not_compared", "Smile: 80 → 90 % right of 30 held-out pictures (not compared)."),
        ({"new": True, "before": None, "n": 1}, "new", "Smile: 90 % right of 1 held-out picture, newly learned."),
        ({"metric": "mae", "unit": "years", "before": 5.0, "after": 4.0, "difference": [-2.0, -0.5]}, "better",
         "Smile: 5.0 → 4.0 years of error on 30 held-out pictures (better)."),
    ],
)  # fmt: skip
def test_a_verdict_is_a_code(more: dict[str, Any], verdict: str, words: str):
    figures = {**FIGURES, **more}
    assert wording.verdict_of(figures) == verdict
    assert wording.outcome({"smile": figures}, {}, {}) == words


def test_an_outcome_names_what_stayed_and_what_is_not_shown():
    titles = {"age": "Apparent age", "gender": "Gender"}
    risk = {"title": "Smile", "groups": ["smiling"]}
    assert wording.outcome({}, {"age": 0.0, "gender": 0.25}, titles, [risk], how="last") == (
        "Apparent age unchanged. Gender: 25 % of the answers changed. " + wording.text("unshown", risk)
    )
    shifts = {"age": {"mean": -0.42, "groups": 0.031, "unit": "years"}}
    moved = wording.outcome({}, {"age": 0.92}, titles, shifts=shifts)
    assert moved.endswith("Apparent age: answers moved by -0.4 years on average, 3 % into another group.")
    assert wording.outcome({}, {}, {}) == "No held-out picture could be measured."


# No sentence is an interface ----------------------------------------------------------------------------------------

SEARCHING = {"startswith", "endswith", "removeprefix", "removesuffix", "replace", "find", "index", "count", "split"}
SEARCHING |= {"partition", "rpartition", "rsplit", "rfind", "rindex"}
SENTENCE = re.compile(r"[^\W\d_]{2,} [^\W\d_]{2,}| = ")
"""Two words, or what joins the names of copies: no code, name or option looks so."""
FOREIGN = {
    "detectors/mtcnn.py": {"word in str(error).casefold()"},  # of torch, which has no other sign of a full memory
    "kinds/years.py": {
        "'more than' in text.casefold()",
        "text.casefold().replace('years', '').replace('more than', '')",
    },
}
"""Sentences that other programs and data sets write."""


def searched(source: str) -> set[str]:
    """Return the expressions that look for words of a sentence: a comparison with some, a method of text or `re` that is given
    some, and both of what `str` makes of a caught error."""
    tree = ast.parse(source)
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)}

    def is_error(node: ast.AST) -> bool:
        while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func.value
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr")):
            return False
        return any(isinstance(part, ast.Name) and part.id in caught for part in node.args)

    def has_words(node: ast.AST) -> bool:
        parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
        return any(isinstance(part, ast.Constant) and SENTENCE.search(str(part.value)) for part in parts)

    found = set()
    for node in ast.walk(tree):
        operands: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if node.func.attr in SEARCHING:
                operands = [*node.args[:1], *([of] if is_error(of) else [])]
            elif isinstance(of, ast.Name) and of.id == "re":
                operands = [*node.args]
        if any(is_error(operand) or has_words(operand) for operand in operands):
            found.add(ast.unparse(node))
    return found


def test_nothing_looks_for_words_of_a_sentence():
    found = {
        file: expressions
        for path in PACKAGE.rglob("*.py")
        if (file := path.relative_to(PACKAGE).as_posix())
        and (expressions := searched(path.read_text(encoding="utf-8")) - FOREIGN.get(file, set()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "any(' = ' in file for file in files)",
        "'that is not known' in reason",
        "text.replace('the centre square is used', here)",
        "verdict == 'the same'",
        "line.startswith('Left out')",
        "re.match(r'No better epoch in (.+)', reason)",
        "word in ('not compared', 'new')",
        "match word:\n    case 'could be chance': pass",
        "try: pass\nexcept MtlError as error:\n    gone = str(error).startswith(name)",
        "try: pass\nexcept MtlError as error:\n    return str(error).replace(str(folder), '').strip().replace(a, b)",
        "try: pass\nexcept OSError as error:\n    full = 'space' in str(error).casefold()",
    ],
)
def test_code_that_looks_for_words_is_found(source: str):
    assert searched(source)


@pytest.mark.parametrize(
    "source",
    [
        "finding.code == 'no_face'",
        "', '.join(names) == text",
        "path.replace('~', home)",
        "raise UsageError(f'{name} is taken. Choose another.')",
        "try: pass\nexcept MtlError as error:\n    say(str(error))",
        "try: pass\nexcept MtlError as error:\n    gone = error.code == 'gone'",
    ],
)
def test_other_code_is_not(source: str):
    assert searched(source) == set()


READ_BY_SCRIPTS = re.compile(
    r"(?:textContent|innerText|\.message|\.error)\b(?:\??\.(?:trim|toLowerCase)\(\))*"
    r"(?:\??\.(?:match|matchAll|includes|startsWith|endsWith|search|split|replace|indexOf)\(|\s*[!=]==?\s*[\"'`])"
)
"""A script that decides by the text of an element or of an error."""


def test_no_script_decides_by_text():
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (PACKAGE / "ui" / "static").rglob("*.js")}
    assert len(scripts) > 9
    assert {name: READ_BY_SCRIPTS.findall(text) for name, text in scripts.items() if READ_BY_SCRIPTS.search(text)} == {}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('if (tab?.textContent.trim() === "About") show();', True),
        ('if (answer.error.includes("is gone")) close();', True),
        ("if (error.message.startsWith(`Log`)) login();", True),
        ("if (message.textContent !== sentence) message.textContent = sentence;", False),
        ('if (error.name === "AbortError") return;', False),
        ('part.textContent = answer.error || "";', False),
    ],
)
def test_such_a_script_is_found(script: str, found: bool):
    assert bool(READ_BY_SCRIPTS.search(script)) is found
