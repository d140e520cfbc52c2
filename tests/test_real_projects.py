"""Two real projects from PyPI, each on a real server: what they are taken for, and the whole session on them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.record import Journal, verify
from tests.real_projects import RealProject, oscar_shop, wagtail_site

pytestmark = [pytest.mark.real_projects, pytest.mark.slow]

BUILDERS = {"wagtail": wagtail_site, "oscar": oscar_shop}
STEPS = ["preflight", "review", "backup", "generate", "preview", "apply", "verify"]


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def site(
    request: pytest.FixtureRequest, server18: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealProject, ConnectionInfo]]:
    info = server18.create_database(f"real_{request.param}")
    database = {"host": info.host, "port": info.port, "name": info.dbname, "user": info.user}
    project = BUILDERS[request.param](
        tmp_path_factory.mktemp(request.param), {**database, "password": info.password.reveal()}
    )
    yield project, info
    server18.drop_database(info.dbname)


def test_has_just_its_change_pending(site: tuple[RealProject, ConnectionInfo]) -> None:
    """A released package may have model drift of its own, which would end up in the user's next migration."""
    project, _info = site
    assert project.pending() == {}
    project.change()
    assert project.pending() == {project.app: project.operations}


@pytest.mark.timeout(600)
def test_the_session_notebook_runs_from_review_to_verify(site: tuple[RealProject, ConnectionInfo]) -> None:
    project, info = site
    project.change()
    command = [sys.executable, "-m", "mig_kit", "run", "01_migration_session", "--project", str(project.root)]
    done = subprocess.run([*command, "--python", str(project.python)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    (run,) = (project.root / ".mig" / "runs").iterdir()
    executed = nbformat.read(run / "notebook.ipynb", as_version=4)
    outputs = [each for cell in executed.cells for each in cell.get("outputs", ())]
    assert outputs
    assert not [each for each in outputs if each.output_type == "error"]

    journal = Journal(run / "journal.jsonl")
    assert verify(journal.path) == []
    finished = {each.data["step"]: each.data for each in journal.entries() if each.kind == "step finished"}
    assert set(STEPS) <= set(finished)
    assert finished["verify"]["summary"] == "all checks hold"
    assert [each.split(": ", 1)[1] for each in finished["review"]["operations"]] == list(project.operations)

    # The database says so too, and so does the project's own manage.py.
    with connect(info) as connection:
        applied = connection.execute(
            "SELECT name FROM django_migrations WHERE app = %s ORDER BY id DESC", [project.app]
        ).fetchone()
    assert applied is not None
    assert f"{project.app}.{applied[0]}" in finished["apply"]["migrations"]
    assert project.pending() == {}
    assert "[ ]" not in project.manage("showmigrations", "--no-color")

    (backup,) = (project.root / ".tmp" / "backups").iterdir()
    manifest = json.loads((backup / "manifest.json").read_text())
    assert manifest["rows"]["public.django_migrations"] > 100
    saved = (run / "notebook.ipynb").read_text() + (run / "report.html").read_text() + journal.path.read_text()
    assert info.password.reveal() not in saved
    assert Path(run / "report.html").stat().st_size > 20_000
