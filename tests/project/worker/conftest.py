"""What the worker's tests share: small projects on a real PostgreSQL, and workers that are ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mig_kit.postgres import ConnectionInfo
from mig_kit.project import Worker
from tests.project.projects import Site, make_site


@pytest.fixture
def site(tmp_path: Path, database: ConnectionInfo) -> Site:
    """A project with one app, ``shop``, that has no models yet, on a database of its own."""
    return make_site(tmp_path / "site", database)


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    """Return a function that gives a site's worker, ended after the test."""
    with ExitStack() as stack:

        def started(site: Site, **options: Any) -> Worker:
            return stack.enter_context(site.worker(**options))

        yield started
