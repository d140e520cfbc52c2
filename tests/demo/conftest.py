"""Demos for the tests: each runs its own embedded PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mig_kit.demo import Demo, create_demo
from mig_kit.postgres import Server

# A hundredth of the rows: what most tests look at is not their number.
SMALL = 0.01


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A small demo, as it was made; tests only read it."""
    root = tmp_path_factory.mktemp("shared") / "demo"
    made = create_demo(root, scale=SMALL)
    yield made
    Server.open(made.server_data).remove()


@pytest.fixture
def make_demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Make a small demo in the test's own folder; its server is removed after the test, however it ended."""
    roots = {tmp_path / "demo"}

    def make(root: Path = tmp_path / "demo", **choices: object) -> Demo:
        roots.add(root)
        return create_demo(root, **{"scale": SMALL, **choices})  # type: ignore[arg-type]

    yield make
    for root in roots:
        if (root / ".mig" / "server").exists():
            # Not left to pytest: run by root, the data lie where the server's account can reach them.
            Server.open(root / ".mig" / "server").remove()
