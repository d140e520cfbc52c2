"""Where manage.py lies, in real folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.errors import AmbiguousProject
from mig_kit.project.manage_file import DEPTH, find_manage_py
from tests.project.folders import as_nobody, make_project, make_venv, open_folder

pytestmark = pytest.mark.usefixtures("clean_environ")


def found(folder: Path) -> Path | None:
    answer = find_manage_py(folder)
    return answer[0] if answer else None


def test_finds_it_in_the_folder_below_and_above(tmp_path: Path) -> None:
    manage_py = make_project(tmp_path / "repo" / "backend")
    (tmp_path / "repo" / "backend" / "apps" / "blog").mkdir(parents=True)
    assert find_manage_py(tmp_path / "repo" / "backend") == (manage_py, f"in {manage_py.parent}")
    assert find_manage_py(tmp_path / "repo") == (manage_py, f"below {tmp_path / 'repo'}")
    apps = tmp_path / "repo" / "backend" / "apps" / "blog"
    assert find_manage_py(apps) == (manage_py, f"from {apps}")


def test_finds_it_from_another_folder_of_the_repository(tmp_path: Path) -> None:
    manage_py = make_project(tmp_path / "repo" / "backend")
    (tmp_path / "repo" / ".git").mkdir()
    (tmp_path / "repo" / "notebooks").mkdir()
    assert found(tmp_path / "repo" / "notebooks") == manage_py


def test_does_not_leave_the_repository_or_the_home_folder(tmp_path: Path, clean_environ: Path) -> None:
    make_project(tmp_path)
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "src").mkdir()
    assert found(tmp_path / "repo" / "src") is None
    (clean_environ / "work").mkdir()
    assert found(clean_environ / "work") is None
    assert found(clean_environ) is None


@pytest.mark.parametrize("skipped", [".hidden", "node_modules", "lib/site-packages", "__pycache__"])
def test_does_not_look_into_what_is_not_the_project(tmp_path: Path, skipped: str) -> None:
    make_project(tmp_path / skipped)
    assert found(tmp_path) is None


def test_does_not_look_into_a_virtual_environment_of_any_name(tmp_path: Path) -> None:
    make_project(make_venv(tmp_path / "python stuff") / "share")
    assert found(tmp_path) is None


def test_looks_no_deeper_than_it_says(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*"abcdefgh"[:DEPTH])
    manage_py = make_project(folder)
    assert found(tmp_path) == manage_py
    manage_py.unlink()
    make_project(folder / "deeper")
    assert found(tmp_path) is None


def test_names_both_of_two_and_how_to_choose(tmp_path: Path) -> None:
    one, two = make_project(tmp_path / "one"), make_project(tmp_path / "sites" / "two")
    with pytest.raises(AmbiguousProject) as caught:
        find_manage_py(tmp_path)
    assert caught.value.candidates == (str(one), str(two))
    assert str(caught.value) == (
        f"Two Django projects were found: {one} and {two}.\n"
        f"Next: name the one that is meant: its folder or its manage.py, for example {one}"
    )


def test_leaves_a_test_project_inside_the_project_alone(tmp_path: Path) -> None:
    manage_py = make_project(tmp_path / "backend")
    make_project(tmp_path / "backend" / "tests" / "site")
    assert found(tmp_path) == manage_py
    with pytest.raises(AmbiguousProject):
        find_manage_py(tmp_path / "backend" / "tests")


def test_drops_a_manage_py_of_another_tool(tmp_path: Path) -> None:
    manage_py = make_project(tmp_path / "site")
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "manage.py").write_text("from flask_script import Manager\n", "utf-8")
    assert found(tmp_path) == manage_py


def test_counts_a_symlink_and_its_target_once(tmp_path: Path) -> None:
    manage_py = make_project(tmp_path / "backend")
    (tmp_path / "current").symlink_to(tmp_path / "backend")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert found(tmp_path) == manage_py
    (tmp_path / "manage.py").symlink_to(manage_py)
    assert found(tmp_path) == manage_py  # Python, too, imports from where the file really lies


def test_passes_by_a_folder_it_may_not_read() -> None:
    with open_folder() as folder:
        manage_py = make_project(folder / "backend")
        (folder / "closed").mkdir(mode=0o700)
        with as_nobody():
            assert found(folder) == manage_py
