"""What is installed is what is here, and the README, the continuous test and the package say the same."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import mtl_model
from benchmarks.model_card import FIRST, comparison, tables
from mtl_model.card import read_card

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.pyi", "*.egg-info", "runs", "build", "dist", "tests", "docs")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def front_matter() -> dict[str, str]:
    _, block, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    pairs = (line.split(": ", 1) for line in block.splitlines())
    return {name: value.strip('"') for name, value in pairs}


def commands() -> list[str]:
    """The lines of the README's blocks of shell commands."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package as pip would build it from a clone."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "clone", ignore=LEFT_OUT)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    ran = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=folder / "clone", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def carried(folder: str) -> list[str]:
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in files
        if "__pycache__" not in path.parts and path.suffix != ".pyi" and not path.name.startswith(".")
    )


@pytest.mark.parametrize("folder", ["mtl_model", "weights", "samples"])
def test_the_wheel_carries_every_file(wheel: zipfile.ZipFile, folder: str):
    inside = set(wheel.namelist())
    prefix = "" if folder == "mtl_model" else "mtl_model/"
    wanted = [f"{prefix}{name}" for name in carried(folder)]
    assert wanted
    assert [name for name in wanted if name not in inside] == []


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile):
    assert {name.split("/")[0].split("-")[0] for name in wheel.namelist()} == {"mtl_model"}


def test_the_wheel_needs_what_the_requirements_name(wheel: zipfile.ZipFile):
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    needs = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(re.sub(r"[<>=].*", "", one) for one in needs) == sorted(
        re.sub(r"[<>=].*", "", one) for one in requirements()
    )
    assert metadata["Version"] == mtl_model.__version__
    assert metadata["License-Expression"] == "MIT"
    script = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "mtl_model = mtl_model.cli:main" in wheel.read(script).decode()


def test_every_folder_of_the_package_is_listed():
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "mtl_model").rglob("__init__.py")}
    assert found | {"mtl_model.weights", "mtl_model.samples"} == set(project()["tool"]["setuptools"]["packages"])


def test_requirements_have_a_bound_and_a_reason():
    assert all(re.fullmatch(r"[a-z0-9-]+(>=|==)[0-9.]+(,<[0-9]+)?", line) for line in requirements())
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for name in (line for line in requirements() if not line.startswith("torchvision")):
        assert lines[lines.index(name) - 1].startswith("# "), name


def test_the_front_matter_describes_a_space():
    said = front_matter()
    assert said["sdk"] == "gradio"
    assert (ROOT / said["app_file"]).is_file()
    assert said["title"] and (ROOT / said["license_link"]).is_file()
    assert f"gradio>={'.'.join(said['sdk_version'].split('.')[:2])},<7" in requirements()


def test_the_two_commands_are_one_line_each():
    start = next(line for line in commands() if line.endswith("app.py"))
    test = next(line for line in commands() if line.endswith("pytest"))
    assert "-r requirements.txt" in start
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for part in test.split(" && ")[1:]:  # after the making of the environment
        assert part.replace("pip install", "pip install --quiet") in script or part in script


def test_the_program_starts_from_its_name():
    ran = subprocess.run(
        [sys.executable, "-m", "mtl_model", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    for command in ("predict", "train", "evaluate", "models", "ui"):
        assert command in ran.stdout
        assert any(line.startswith(f"python -m mtl_model {command}") for line in commands())


def test_the_figures_of_the_docs_are_those_of_the_cards() -> None:
    cards = {name: read_card(ROOT / "weights" / name) for name in ("default", "bknet")}
    assert "\n".join(comparison(cards)) in (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    first = comparison({"default": cards["default"]}, FIRST)
    assert "\n".join(first) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(tables(cards["default"])) in (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
