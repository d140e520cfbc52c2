"""The environments that the tests run other Pythons in. Needs the package index or a warm cache."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import venvs

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
CODE = "import sys, sqlparse; print(sys.prefix)"


def test_builds_an_environment_once_for_all_who_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIG_KIT_TEST_CACHE", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: venvs.venv(HERE, ["sqlparse"]), range(2))
    assert first == second
    prefix = subprocess.run([first, "-c", CODE], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(prefix).parent == tmp_path.resolve()
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_builds_a_half_built_environment_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIG_KIT_TEST_CACHE", str(tmp_path))
    python = venvs.venv(HERE, ["sqlparse"])
    (python.parent.parent / ".complete.json").unlink()
    (python.parent.parent / "left over").touch()
    subprocess.run([venvs.venv(HERE, ["sqlparse"]), "-c", CODE], check=True, capture_output=True)
    assert not (python.parent.parent / "left over").exists()


def test_fails_in_ci_when_an_interpreter_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"no Python 3\.99 on PATH"):
        venvs.find_python("3.99")


def test_skips_elsewhere_when_an_interpreter_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no Python 3\.99 on PATH"):
        venvs.find_python("3.99")


def test_pairs_each_django_with_a_python_that_it_supports() -> None:
    assert {pair.django for pair in venvs.MATRIX} == {"3.2", "4.2", "5.2", "6.0", "6.1"}
    assert {pair.python for pair in venvs.MATRIX} == {"3.8", "3.9", "3.11", "3.12", "3.13"}
    assert len(venvs.MATRIX) == len(set(venvs.MATRIX)) == 13
