"""pyproject.toml, the lock, environment.yml, the Makefile and the tree say the same. Needs no service."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.namelist()


def tracked_files() -> list[Path]:
    """Return what git tracks, or would track: everything that is not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not a git checkout: {listed.stderr.strip()}")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# --- the lock


def test_locks_each_dependency_in_its_range_for_each_python(pyproject: dict[str, Any], lock: list[Requirement]) -> None:
    wanted = [*pyproject["project"]["dependencies"], *pyproject["dependency-groups"]["dev"]]
    wanted += pyproject["build-system"]["requires"]
    for python in PYTHONS:
        here = {"python_version": python, "python_full_version": f"{python}.9"}
        pinned = {
            canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("=="))
            for pin in lock
            if pin.marker is None or pin.marker.evaluate(here)
        }
        for requirement in map(Requirement, wanted):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in requirements.lock for Python {python}: make lock"
            assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, but {version} locked"


def test_locks_one_exact_version_a_line(lock: list[Requirement]) -> None:
    loose = [str(pin) for pin in lock if not re.fullmatch(r"==[^,*]+", str(pin.specifier)) or pin.url]
    assert loose == []


def test_locks_django_by_the_python_that_it_supports(lock: list[Requirement]) -> None:
    """Django 6 needs Python 3.12: a lock that was made for one Python alone would fail on the others."""
    pins = [pin for pin in lock if pin.name == "django"]
    for python in PYTHONS:
        here = {"python_version": python, "python_full_version": f"{python}.9"}
        assert len([pin for pin in pins if pin.marker is None or pin.marker.evaluate(here)]) == 1


# --- environment.yml


def test_environment_installs_this_project_and_nothing_else_by_pip(environment: dict[str, Any]) -> None:
    pip = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == [["-e ."]]


def test_environment_has_the_name_of_the_project(environment: dict[str, Any], pyproject: dict[str, Any]) -> None:
    assert environment["name"] == pyproject["project"]["name"]


def test_environment_asks_for_the_same_python(environment: dict[str, Any], pyproject: dict[str, Any]) -> None:
    conda = {Requirement(entry).name: entry for entry in environment["dependencies"] if isinstance(entry, str)}
    assert conda["python"] == f"python{pyproject['project']['requires-python']}"
    assert environment["channels"] == ["conda-forge"]
    assert {"pip", "postgresql", "python"} == set(conda)


# --- one Python floor in all places


def test_names_the_same_oldest_python_everywhere(pyproject: dict[str, Any]) -> None:
    floor = pyproject["project"]["requires-python"].removeprefix(">=")
    assert pyproject["tool"]["mypy"]["python_version"] == floor
    assert pyproject["tool"]["ruff"]["target-version"] == "py" + floor.replace(".", "")
    major, minor = floor.split(".")
    makefile = (ROOT / "Makefile").read_text()
    assert f"sys.version_info < ({major}, {minor})" in makefile
    assert f"mig_kit needs Python {floor} or later" in makefile
    classified = [c for c in pyproject["project"]["classifiers"] if re.search(r"Python :: 3\.\d", c)]
    assert tuple(c.rpartition(" ")[2] for c in classified) == PYTHONS


# --- the wheel


def test_ships_the_notebooks_and_the_package_data_in_the_wheel(wheel: list[str]) -> None:
    for folder, inside in (
        ("mig_kit/demo/project", "mig_kit/demo/project"),
        ("mig_kit/record/templates", "mig_kit/record/templates"),
        ("notebooks", "mig_kit/notebooks"),
    ):
        missing = [
            path
            for path in tracked_files()
            if path.is_relative_to(ROOT / folder)
            and f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" not in wheel
        ]
        assert missing == []


def test_ships_nothing_else_in_the_wheel(wheel: list[str]) -> None:
    strangers = [
        name
        for name in wheel
        if not name.startswith(("mig_kit/", "mig_kit-")) or "__pycache__" in name or name.endswith(".pyc")
    ]
    assert strangers == []


# --- the tree


def test_has_only_the_known_names_at_the_top() -> None:
    allowed = {
        ".ci",
        ".gitignore",
        "LICENSE",
        "Makefile",
        "README.md",
        "environment.yml",
        "mig_kit",
        "notebooks",
        "pyproject.toml",
        "requirements.lock",
        "tests",
    }
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files()} - allowed == set()


def test_has_the_license_that_it_declares(pyproject: dict[str, Any]) -> None:
    text = (ROOT / "LICENSE").read_text()
    assert pyproject["project"]["license"] == "BSD-3-Clause"
    assert text.startswith("BSD 3-Clause License")
    assert text.count("\n\n") >= 5
    assert "Neither the name of the copyright holder" in text


def test_names_no_package_host_and_no_folder_of_one_machine() -> None:
    """A lock or a setting that was written on one machine must install on any other."""
    telling = re.compile(
        "|".join(
            [
                "files" + r"\.pythonhosted\.org",
                r"pypi\.org/" + "simple",
                "(?:extra-)?" + r"index-url\s*[= ]\s*\S*(?:https?|file):",
                r"(?<!emit-)find-links\s*[= ]\s*\S",
                r"(?<![\w.$~/-])/" + "work/",
                r"/root/\." + r"(?:pyenv|cargo|cache)",
                "/opt/" + "(?:pypi|wheels)",
            ]
        )
    )
    told = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        told += [f"{path.relative_to(ROOT)}: {match.group()}" for match in telling.finditer(text)]
    assert told == []


# --- the worker


def worker_modules() -> Iterator[tuple[Path, ast.Module]]:
    """Yield each module of the worker, parsed as Python 3.8 would."""
    for path in sorted((ROOT / "mig_kit" / "project" / "worker").rglob("*.py")):
        yield path, ast.parse(path.read_text(), str(path), feature_version=(3, 8))


def test_worker_is_python_3_8_and_imports_only_the_standard_library_and_django() -> None:
    """The forbidden contract of import-linter can only name modules; this one holds for all that exist."""
    allowed = sys.stdlib_module_names | {"django"}
    foreign = []
    for path, module in worker_modules():
        inside = len(path.relative_to(ROOT / "mig_kit" / "project" / "worker").parts)
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                if node.level:  # relative: within the worker's own folder
                    names = [] if node.level <= inside else ["." * node.level + (node.module or "")]
                else:
                    names = [node.module or ""]
            else:
                continue
            foreign += [f"{path.name}: {name}" for name in names if name.partition(".")[0] not in allowed]
    assert foreign == []


# --- the Makefile


def test_makefile_has_the_targets_that_people_are_told_of() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"bench", "check", "clean", "demo", "lab", "lock", "test"} <= targets


def test_makefile_says_what_to_do_when_python_is_too_old(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "old python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo Python 3.9.2; exit; }\nexit 1\n')
    old.chmod(0o755)
    made = subprocess.run(["make", "demo", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert made.stderr.startswith(
        f"mig_kit needs Python 3.11 or later, and {old} is: Python 3.9.2\n"
        "Install one, or name it: make demo PYTHON=/path/to/python3.12\n"
    )
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_what_people_run() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert script.index("make check") < script.rindex("make test")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
