"""The real projects are what other tests take them for: packages from PyPI on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mig_kit.postgres import Server
from tests.real_projects import RealProject, oscar_shop, wagtail_site

pytestmark = [pytest.mark.real_projects, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.create(tmp_path_factory.mktemp("server") / "data", durable=False) as server:
        yield server


@pytest.mark.parametrize("build", [wagtail_site, oscar_shop])
def test_migrates_fully_and_then_has_just_the_change_pending(
    build: Callable[[Path, Mapping[str, object]], RealProject], server: Server, tmp_path: Path
) -> None:
    """A released package may have model drift of its own, which would end up in the user's next migration."""
    info = server.create_database(build.__name__)
    keys = {"host": info.host, "port": info.port, "name": info.dbname, "user": info.user}
    project = build(tmp_path, {**keys, "password": info.password.reveal()})
    assert project.pending() == {}
    project.change()
    assert project.pending() == {project.app: project.operations}
