"""Which interpreter is chosen, among real virtual environments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mig_kit.errors import AmbiguousProject, InterpreterError
from mig_kit.project import interpreter
from mig_kit.project.interpreter import Interpreter, find_interpreter
from tests.project.folders import make_venv

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(autouse=True)
def _clean(clean_environ: Path) -> None:
    """Use an environment that names no interpreter."""


@pytest.fixture
def no_django_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the running interpreter be one without Django."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])


def choose(*folders: Path, named: str | Path | None = None, **environ: str) -> Interpreter:
    return find_interpreter(folders, named=named, bases=folders, environ={**os.environ, **environ})


@pytest.mark.parametrize("name", [".venv", "venv", "env", "my environment"])
def test_takes_the_environment_beside_the_project(tmp_path: Path, name: str) -> None:
    venv = make_venv(tmp_path / name)
    found = choose(tmp_path)
    assert found.python == venv / "bin" / "python"
    assert found.python.is_symlink()  # not followed: that would leave the environment
    assert (found.version, found.django) == (sys.version_info[:2], "5.2.1")
    assert found.notes == (
        f"Interpreter: {found.python} (Python {HERE}, Django 5.2.1), a virtual environment beside the project.",
    )


def test_names_both_of_two_with_django_and_how_to_choose(tmp_path: Path) -> None:
    near, far = make_venv(tmp_path / "backend" / "venv"), make_venv(tmp_path / ".venv")
    with pytest.raises(AmbiguousProject) as caught:
        choose(tmp_path / "backend", tmp_path)
    assert caught.value.candidates == (str(near), str(far))
    assert str(caught.value) == (
        f"Two virtual environments with Django lie beside the project: {near} and {far}.\n"
        'Next: activate the one that is meant, or name it: python="…" (--python), or python = "…" in '
        f"mig_kit.toml, for example {near}"
    )


def test_takes_the_active_one_of_two_and_says_so(tmp_path: Path) -> None:
    make_venv(tmp_path / ".venv")
    active = make_venv(tmp_path / "venv")
    found = choose(tmp_path, VIRTUAL_ENV=str(active))
    assert found.python == active / "bin" / "python"
    assert "the active one of those beside the project" in found.notes[0]
    assert f"{tmp_path / '.venv'}, also beside the project" in found.notes[1]


def test_passes_over_one_without_django_and_says_so(tmp_path: Path) -> None:
    make_venv(tmp_path / ".venv", django=None)
    good = make_venv(tmp_path / "venv")
    found = choose(tmp_path)
    assert found.python == good / "bin" / "python"
    assert found.notes[1:] == (f"Passed over: {tmp_path / '.venv'} has no Django.",)


def test_counts_a_symlinked_environment_once(tmp_path: Path) -> None:
    make_venv(tmp_path / "elsewhere" / "real")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".venv").symlink_to(tmp_path / "elsewhere" / "real")
    (tmp_path / "project" / "venv").symlink_to(tmp_path / "elsewhere" / "real")
    assert choose(tmp_path / "project").python == tmp_path / "project" / ".venv" / "bin" / "python"


def test_prefers_the_one_beside_the_project_to_the_active_one_and_names_that(tmp_path: Path) -> None:
    beside, active = make_venv(tmp_path / "p" / ".venv"), make_venv(tmp_path / "active")
    found = choose(tmp_path / "p", VIRTUAL_ENV=str(active))
    assert found.python == beside / "bin" / "python"
    assert found.notes[1].startswith(f"Not used: VIRTUAL_ENV, {active}; to use it, name python=")


def test_takes_the_active_environment_before_conda(tmp_path: Path) -> None:
    active, conda = make_venv(tmp_path / "active"), tmp_path / "conda"
    make_venv(conda)
    (conda / "pyvenv.cfg").unlink()
    (conda / "conda-meta").mkdir()
    (conda / "conda-meta" / f"python-{HERE}.1-h1.json").touch()
    both = choose(tmp_path / "p", VIRTUAL_ENV=str(active), CONDA_PREFIX=str(conda))
    assert both.python == active / "bin" / "python"
    assert any(f"CONDA_PREFIX, {conda}" in note for note in both.notes)
    alone = choose(tmp_path / "p", VIRTUAL_ENV=str(tmp_path / "gone"), CONDA_PREFIX=str(conda))
    assert alone.python == conda / "bin" / "python"
    assert alone.version == sys.version_info[:2]
    assert alone.notes[1] == f"Passed over: VIRTUAL_ENV, {tmp_path / 'gone'}, is not there."


def test_falls_back_on_the_interpreter_that_runs_this(tmp_path: Path) -> None:
    found = choose(tmp_path)
    assert found.python == Path(sys.executable)
    assert "the one that runs mig_kit" in found.notes[0]


@pytest.mark.usefixtures("no_django_here")
def test_says_all_it_looked_at_when_none_has_django(tmp_path: Path) -> None:
    make_venv(tmp_path / ".venv", django=None)
    with pytest.raises(InterpreterError) as caught:
        choose(tmp_path)
    assert str(caught.value) == (
        f"No interpreter with Django was found for {tmp_path}: {tmp_path / '.venv'} has no Django; "
        f"VIRTUAL_ENV is not set; CONDA_PREFIX is not set; {sys.executable}, which runs mig_kit, "
        "has no Django.\n"
        'Next: name the project\'s own: python="…" (--python), or python = "…" in mig_kit.toml'
    )


def test_does_not_replace_a_broken_environment_by_another_django(tmp_path: Path) -> None:
    """A .venv from a container has a python that leads nowhere; mig_kit's own Django is not the project's."""
    venv = make_venv(tmp_path / ".venv")
    for name in ("python", "python3", f"python{HERE}"):
        (venv / "bin" / name).unlink(missing_ok=True)
    (venv / "bin" / "python").symlink_to("/nowhere/python3")
    with pytest.raises(InterpreterError) as caught:
        choose(tmp_path)
    assert f"{venv} has lost its interpreter ({venv}/bin/python leads nowhere)" in caught.value.message
    assert "has a Django, but not this project's" in caught.value.message


def test_refuses_a_python_older_than_the_worker_needs(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / ".venv")
    cfg = venv / "pyvenv.cfg"
    lines = [line for line in cfg.read_text("utf-8").splitlines() if not line.startswith("version")]
    cfg.write_text("\n".join([*lines, "version = 3.7.16"]), "utf-8")
    (venv / "lib" / f"python{HERE}").rename(venv / "lib" / "python3.7")
    with pytest.raises(InterpreterError, match=r"\.venv is Python 3\.7, older than 3\.8"):
        choose(tmp_path)


def test_follows_an_environment_that_shares_its_base(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "bin").mkdir(parents=True)
    site = base / "lib" / f"python{HERE}" / "dist-packages" / "django"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text('VERSION = (4, 2, 7, "final", 0)\n', "utf-8")
    for name, system in (("shared", True), ("alone", False)):
        venv = make_venv(tmp_path / name / ".venv", django=None, system=system)
        cfg = venv / "pyvenv.cfg"
        lines = [line for line in cfg.read_text("utf-8").splitlines() if not line.startswith("home")]
        cfg.write_text("\n".join([*lines, f"home = {base / 'bin'}"]), "utf-8")
    assert choose(tmp_path / "shared").django == "4.2.7"
    assert choose(tmp_path / "alone").python == Path(sys.executable)


def test_follows_a_path_file_to_a_checkout_of_django(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / ".venv", django=None)
    (tmp_path / "src" / "django").mkdir(parents=True)
    (tmp_path / "src" / "django" / "__init__.py").write_text('VERSION = (6, 1, 0, "alpha", 0)\n', "utf-8")
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "django.pth").write_text(f"# a checkout\nimport os\n{tmp_path / 'src'}\n", "utf-8")
    assert choose(tmp_path).django == "6.1.0"


class TestNamed:
    def test_may_be_a_folder_a_path_or_a_command(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "some where" / "it's ünïcode")
        python = venv / "bin" / "python"
        assert choose(tmp_path, named=venv).python == python
        assert choose(tmp_path, named=str(python)).python == python
        assert choose(tmp_path, named="some where/it's ünïcode").python == python
        (tmp_path / "bin").mkdir()
        command = tmp_path / "bin" / "python-of-the-site"
        command.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n', "utf-8")
        command.chmod(0o755)
        found = choose(tmp_path, named="python-of-the-site", PATH=str(tmp_path / "bin"))
        assert found.python == command  # the wrapper itself: it may set what the project needs
        assert (found.version, found.django) == (sys.version_info[:2], "5.2.1")

    def test_comes_before_everything_else(self, tmp_path: Path) -> None:
        make_venv(tmp_path / ".venv")
        make_venv(tmp_path / "venv")
        named = make_venv(tmp_path / "other" / "x", django="3.2.25")
        assert choose(tmp_path, named=named).django == "3.2.25"

    def test_starts_nothing_when_the_folder_says_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        venv = make_venv(tmp_path / "x")
        monkeypatch.setattr(subprocess, "Popen", None)
        assert choose(tmp_path, named=venv).django == "5.2.1"

    def test_is_refused_without_django(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "x", django=None)
        with pytest.raises(InterpreterError) as caught:
            choose(tmp_path, named=venv)
        assert caught.value.message == f"The interpreter named, {venv / 'bin' / 'python'}, has no Django."

    def test_is_refused_when_too_old(self, tmp_path: Path) -> None:
        script = tmp_path / "python"
        script.write_text("#!/bin/sh\necho\necho mig_kit:2:7:1.11.29\n", "utf-8")
        script.chmod(0o755)
        with pytest.raises(InterpreterError, match=r"is Python 2\.7, older than 3\.8\."):
            choose(tmp_path, named=script)

    def test_is_refused_when_it_is_no_python(self, tmp_path: Path) -> None:
        script = tmp_path / "python"
        script.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n", "utf-8")
        script.chmod(0o755)
        with pytest.raises(InterpreterError, match="does not answer as a Python: no such luck"):
            choose(tmp_path, named=script)
        script.chmod(0o644)
        with pytest.raises(InterpreterError, match="does not start: Permission denied"):
            choose(tmp_path, named=script)

    def test_is_ended_with_all_it_started_when_it_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The shell was killed and its sleep held the pipe: the call waited for that instead."""
        monkeypatch.setattr(interpreter, "_PROBE_TIMEOUT_S", 0.2)
        script = tmp_path / "python"
        script.write_text("#!/bin/sh\nsleep 60\necho\n", "utf-8")
        script.chmod(0o755)
        with pytest.raises(InterpreterError, match=r"did not answer within 0\.2 s"):
            choose(tmp_path, named=script)

    def test_is_refused_when_nothing_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(InterpreterError) as caught:
            choose(tmp_path, named="nope/python")
        assert caught.value.message == (
            "There is no interpreter 'nope/python': no such path, and no such command on PATH."
        )
        (tmp_path / "empty").mkdir()
        with pytest.raises(InterpreterError, match="empty has no interpreter: no "):
            choose(tmp_path, named=tmp_path / "empty")
        with pytest.raises(InterpreterError, match="is an empty string"):
            choose(tmp_path, named=" ")
