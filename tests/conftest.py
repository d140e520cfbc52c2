"""Fixtures that every room's tests may use."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import pytest

from mig_kit.postgres import ConnectionInfo, Server
from tests.servers import fresh_database, pg_server

_numbers = itertools.count(1)

# Whoever starts the tests in the background of a shell script ignores SIGINT for them, and their children inherit
# that: no Ctrl-C would reach what they start. A handler, unlike SIG_IGN, is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server18() -> Iterator[Server]:
    """The embedded PostgreSQL 18, running."""
    with pg_server(18) as server:
        yield server


@pytest.fixture(scope="session")
def server15() -> Iterator[Server]:
    """A PostgreSQL 15 of the machine's own, running; skipped, or failed in CI, where there is none."""
    with pg_server(15) as server:
        yield server


@pytest.fixture(scope="session")
def server(server18: Server) -> Server:
    """The server that most tests use."""
    return server18


@pytest.fixture
def database(server: Server) -> Iterator[ConnectionInfo]:
    """An empty database of the test's own."""
    name = f"test_{next(_numbers)}"
    yield fresh_database(server, name)
    server.drop_database(name)
