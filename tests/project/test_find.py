"""A project found whole: real folders, real virtual environments, nothing of it run."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import pytest

from mig_kit.errors import AmbiguousProject, ProjectNotFound, SettingsError, UsageError
from mig_kit.project.find import find_project
from tests.project.folders import as_nobody, make_project, make_venv, open_folder

pytestmark = pytest.mark.usefixtures("clean_environ")


def portfolio(root: Path) -> Path:
    """Lay a project out as the runbook does and return its root."""
    make_project(root / "backend")
    for folder in ("execution", ".tmp/backups", "backend/apps/portfolio"):
        (root / folder).mkdir(parents=True)
    (root / ".env").write_text("DB_USER=anna\nDB_PASSWORD=s3cret\n", "utf-8")
    (root / ".env").chmod(0o600)
    make_venv(root / ".venv")
    return root


def check(root: Path, path: Path | str) -> None:
    project = find_project(path)
    assert project.root == root
    assert project.work_dir == root / "backend"
    assert project.manage_py == root / "backend" / "manage.py"
    assert project.settings == "config.settings"
    assert project.python == root / ".venv" / "bin" / "python"
    assert project.env_file == root / ".env"
    assert dict(project.environ) == {"DB_USER": "anna", "DB_PASSWORD": "s3cret"}


@pytest.mark.parametrize("path", [".", "backend", "backend/manage.py", "backend/apps/portfolio", "execution"])
def test_finds_the_whole_from_any_part_of_it(tmp_path: Path, path: str) -> None:
    root = portfolio(tmp_path / "portfolio")
    (root / ".git").mkdir()
    check(root, root / path)


def test_finds_it_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = portfolio(tmp_path / "portfolio")
    monkeypatch.chdir(root)
    check(root, ".")
    monkeypatch.chdir(root / "backend" / "apps")
    check(root, ".")
    check(root, "../manage.py")


def test_works_in_folders_with_spaces_quotes_and_other_letters(tmp_path: Path) -> None:
    root = portfolio(tmp_path / 'Anna\'s "größtes" Projekt\n日本')
    check(root, root)


def test_works_through_a_symlink(tmp_path: Path) -> None:
    root = portfolio(tmp_path / "releases" / "12")
    (tmp_path / "current").symlink_to(root)
    (tmp_path / "manage.py").symlink_to(root / "backend" / "manage.py")
    check(root, tmp_path / "current")
    check(root, tmp_path / "manage.py")


def test_works_in_a_folder_it_may_only_read() -> None:
    with open_folder() as folder:
        root = portfolio(folder / "portfolio")
        (root / ".env").chmod(0o644)
        # The interpreter it leads to may itself lie where only root can go.
        (root / ".venv" / "bin" / "python").unlink()
        (root / ".venv" / "bin" / "python").touch(0o755)
        places = [place for place in (root, *root.rglob("*")) if place.is_dir()]
        for place in places:
            place.chmod(0o555)
        try:
            with as_nobody():
                check(root, root)
        finally:
            for place in places:
                place.chmod(0o755)


def test_says_what_was_found_and_how(tmp_path: Path) -> None:
    root = portfolio(tmp_path / "portfolio")
    (root / "mig_kit.toml").write_text('stage = "staging"\n', "utf-8")
    notes = find_project(root).notes
    python = root / ".venv" / "bin" / "python"
    assert notes[0] == f"Project: {root / 'backend' / 'manage.py'}, found below {root}."
    assert notes[1] == f"Repository: {root}."
    assert notes[2] == f"Configuration: {root / 'mig_kit.toml'}."
    assert notes[3] == f"Settings module: config.settings, from {root / 'backend' / 'manage.py'}."
    assert notes[4].startswith(f"Interpreter: {python} (Python ")
    assert notes[5] == f".env: {root / '.env'} (2 variables, used where the environment does not set them)."
    assert len(notes) == 6


def test_shows_no_value_of_a_variable(tmp_path: Path) -> None:
    root = portfolio(tmp_path / "portfolio")
    (root / "mig_kit.toml").write_text('[environ]\nTOKEN = "hidden-1"\n', "utf-8")
    project = find_project(root, environ={"OTHER": "hidden-2"})
    shown = repr(project) + "".join(project.notes)
    assert "DB_PASSWORD" in shown
    assert "TOKEN" in shown
    assert not any(secret in shown for secret in ("s3cret", "hidden-1", "hidden-2"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        project.settings = "x"  # type: ignore[misc]


def test_lets_the_environment_win_over_env_and_what_is_named_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = portfolio(tmp_path / "portfolio")
    (root / ".env").write_text("A=env\nB=env\nC=env\nD=env\n", "utf-8")
    (root / "mig_kit.toml").write_text('[environ]\nC = "config"\nD = "config"\n', "utf-8")
    for name in "BCD":
        monkeypatch.setenv(name, "real")
    project = find_project(root, environ={"D": "named"})
    worker = project.worker_environ()
    assert [worker[name] for name in "ABCD"] == ["env", "real", "config", "named"]
    assert worker["DJANGO_SETTINGS_MODULE"] == "config.settings"
    assert worker["PATH"] == os.environ["PATH"]
    assert project.worker_environ({})["B"] == "env"


@pytest.mark.parametrize("mark", [".git", ".env", "mig_kit.toml", "pyproject.toml", "execution", ".tmp"])
def test_takes_the_parent_for_the_root_by_any_mark(tmp_path: Path, mark: str) -> None:
    make_project(tmp_path / "r" / "backend")
    assert find_project(tmp_path / "r").root == tmp_path / "r" / "backend"
    (tmp_path / "r" / mark).touch()
    assert find_project(tmp_path / "r" / "backend").root == tmp_path / "r"


def test_keeps_the_folder_of_manage_py_for_the_root_when_it_is_the_repository(tmp_path: Path) -> None:
    make_project(tmp_path / "many" / "site")
    (tmp_path / "many" / "pyproject.toml").touch()
    (tmp_path / "many" / "site" / ".git").mkdir()
    assert find_project(tmp_path / "many" / "site").root == tmp_path / "many" / "site"


def test_takes_the_repository_two_levels_up_for_the_root(tmp_path: Path) -> None:
    make_project(tmp_path / "r" / "src" / "backend")
    (tmp_path / "r" / ".git").mkdir()
    assert find_project(tmp_path / "r" / "src" / "backend").root == tmp_path / "r"


def test_does_not_take_the_home_folder_for_the_root_because_of_its_own_files(clean_environ: Path) -> None:
    make_project(clean_environ / "site")
    (clean_environ / ".git").mkdir()
    (clean_environ / ".env").touch()
    assert find_project(clean_environ / "site").root == clean_environ / "site"
    (clean_environ / "execution").mkdir()
    assert find_project(clean_environ / "site").root == clean_environ


class TestSettings:
    def test_named_wins_over_configuration_environment_env_and_manage_py(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = portfolio(tmp_path / "p")
        manage_py = root / "backend" / "manage.py"
        assert find_project(root).settings == "config.settings"

        (root / ".env").write_text("DJANGO_SETTINGS_MODULE=by.env\n", "utf-8")
        project = find_project(root)
        assert project.settings == "by.env"
        assert f"Settings module: by.env, from {root / '.env'} (DJANGO_SETTINGS_MODULE)." in project.notes
        instead = f"{manage_py} names config.settings instead; to use that, name settings='config.settings'"
        assert any(note.startswith(instead) for note in project.notes)

        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "by.environment")
        assert find_project(root).settings == "by.environment"
        assert find_project(root, environ={"DJANGO_SETTINGS_MODULE": "by.argument"}).settings == "by.argument"

        (root / "mig_kit.toml").write_text('settings = "by.config"\n', "utf-8")
        assert find_project(root).settings == "by.config"
        project = find_project(root, settings="by.name")
        assert project.settings == "by.name"
        assert "Settings module: by.name, as named." in project.notes
        assert project.worker_environ()["DJANGO_SETTINGS_MODULE"] == "by.name"

    def test_that_are_named_make_a_broken_manage_py_no_matter(self, tmp_path: Path) -> None:
        root = portfolio(tmp_path / "p")
        (root / "backend" / "manage.py").write_text("def (:", "utf-8")
        with pytest.raises(SettingsError, match=r"manage\.py has a syntax error in line 1"):
            find_project(root)
        assert find_project(root, settings="config.settings").settings == "config.settings"

    @pytest.mark.parametrize("name", ["config/settings.py", "config.settings.py", ".settings", "a..b", "a b", ""])
    def test_must_be_a_module_name(self, tmp_path: Path, name: str) -> None:
        root = portfolio(tmp_path / "p")
        with pytest.raises(UsageError) as caught:
            find_project(root, settings=name)
        assert caught.value.message == f"The settings module {name!r}, as named, is no module name."
        assert caught.value.hint.endswith("'config.settings'")


class TestWithoutManagePy:
    def test_needs_the_interpreter_and_the_settings_named(self, tmp_path: Path) -> None:
        work = tmp_path / "work"
        work.mkdir()
        venv = make_venv(tmp_path / "venvs" / "site")
        project = find_project(work, python=venv, settings="shop.settings", environ={"DSN": "x"})
        assert (project.manage_py, project.work_dir, project.root) == (None, work, work)
        assert (project.python, project.settings) == (venv / "bin" / "python", "shop.settings")
        assert dict(project.named_environ) == {"DSN": "x"}
        assert project.notes[0] == f"Project: without manage.py, run in {work}."

    def test_may_be_named_in_the_configuration(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "deploy").mkdir()
        (tmp_path / "deploy" / "mig_kit.toml").write_text(
            'python = "../venvs/site"\nsettings = "shop.settings"\n', "utf-8"
        )
        venv = make_venv(tmp_path / "venvs" / "site")
        monkeypatch.chdir("/")
        project = find_project(tmp_path / "deploy")
        assert project.python == venv / "bin" / "python"
        assert project.settings == "shop.settings"

    @pytest.mark.parametrize(("python", "settings"), [(None, None), (None, "a.b"), ("python3", None)])
    def test_says_what_to_name_otherwise(self, tmp_path: Path, python: str | None, settings: str | None) -> None:
        folder = tmp_path / "empty"
        folder.mkdir()
        with pytest.raises(ProjectNotFound) as caught:
            find_project(folder, python=python, settings=settings)
        assert str(caught.value) == (
            f"There is no Django project at {folder}: no manage.py in it, above it, or in the 3 levels "
            "below it (at most 5000 folders).\n"
            "Next: name the folder that holds manage.py; for a project without one, name its interpreter and "
            "its settings module, python=… and settings=… (--python, --settings), and the variables it needs "
            "with environ=…"
        )
        assert isinstance(caught.value, FileNotFoundError)


def test_says_when_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFound) as caught:
        find_project(tmp_path / "nö pe")
    assert caught.value.message == f"There is nothing at {tmp_path / 'nö pe'}."
    with pytest.raises(ProjectNotFound):
        find_project("nul\0here")


def test_says_when_the_folder_is_closed() -> None:
    with open_folder() as folder:
        make_project(folder / "closed")
        (folder / "closed").chmod(0o700)
        with as_nobody(), pytest.raises(ProjectNotFound) as caught:
            find_project(folder / "closed")
    assert caught.value.message == f"{folder / 'closed'} may not be read by this user."


def test_names_both_of_two_projects(tmp_path: Path) -> None:
    one, two = make_project(tmp_path / "one"), make_project(tmp_path / "two")
    with pytest.raises(AmbiguousProject) as caught:
        find_project(tmp_path)
    assert caught.value.candidates == (str(one), str(two))
    assert find_project(two).manage_py == two


def test_leaves_the_project_as_it_was(tmp_path: Path) -> None:
    root = portfolio(tmp_path / "portfolio")

    def state() -> dict[Path, tuple[int, int]]:
        found = {path: path.lstat() for path in root.rglob("*")}
        return {path: (stat.S_IMODE(info.st_mode), info.st_mtime_ns) for path, info in found.items()}

    before = state()
    find_project(root)
    assert state() == before
