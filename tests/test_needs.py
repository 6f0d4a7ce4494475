"""Marks `data` and `browser` skip where their need is missing, and fail where MTL_REQUIRE names it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.data
def test_data(data): assert (data / "photos").is_dir()

@pytest.mark.browser
def test_browser(chromium): assert chromium

@pytest.mark.long
def test_long(): raise AssertionError

def test_plain(sample_picture): assert sample_picture.shape[2] == 3
"""


@pytest.fixture
def trial(tmp_path: Path, root: Path) -> Path:
    shutil.copy(root / "tests" / "conftest.py", tmp_path)
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / "test_trial.py").write_text(TESTS)
    return tmp_path


@pytest.mark.parametrize(
    ("lacking", "required", "code", "closing"),
    [
        ("data browser", "", 0, "1 passed, 2 skipped, 1 deselected"),
        ("data browser", "data", 1, "1 passed, 1 skipped, 1 deselected, 1 error"),
        ("data browser", "data, browser", 1, "1 passed, 1 deselected, 2 errors"),
        ("browser", "data", 0, "2 passed, 1 skipped, 1 deselected"),
        ("", "", 0, "1 deselected"),
        ("", "dates", 4, "MTL_REQUIRE names dates. Known: browser, data."),
    ],
)
def test_a_need_skips_or_fails(trial: Path, lacking: str, required: str, code: int, closing: str):
    data = trial / "data"
    if "data" not in lacking:
        for name in ("utkface", "fairface", "celeba", "genki4k", "flowers", "housenumbers", "photos"):
            (data / name).mkdir(parents=True)
    browser = "no-such-browser" if "browser" in lacking else sys.executable
    environment = {**os.environ, "MTL_REQUIRE": required, "MTL_DATA": str(data), "CHROMIUM": browser}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_trial.py"]
    ran = subprocess.run(command, cwd=trial, env=environment, capture_output=True, text=True, check=False)
    lines = (ran.stdout + ran.stderr).replace("failed, ", "").splitlines()
    assert ran.returncode == code, lines
    assert any(closing in line for line in lines), lines
