"""Real PostgreSQL servers for the tests: the embedded 18, and a 15 where the machine has one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from mig_kit.errors import BinariesNotFound
from mig_kit.postgres import Binaries, ConnectionInfo, Server, embedded_binaries, find_binaries

__all__ = ["fresh_database", "pg_server", "server_binaries"]

Major = Literal[15, 18]


def server_binaries(major: Major) -> Binaries:
    """Return programs of exactly that major version; without them the test is skipped, or fails in CI."""
    if major == 18:
        found = embedded_binaries()
    else:
        try:
            found = find_binaries(major, needs=("initdb", "postgres", "pg_dump", "pg_restore"))
        except BinariesNotFound:
            found = None
    if found is None or found.version[0] != major:
        _missing(f"PostgreSQL {major} is not installed on this machine")
    return found


@contextmanager
def pg_server(major: Major) -> Iterator[Server]:
    """Run a server with its data in a temporary directory, without fsync; stopped and removed at the end.

    In a session fixture, this is one server for each pytest-xdist worker.
    """
    binaries = server_binaries(major)
    with tempfile.TemporaryDirectory(prefix=f"mig_kit-test-{major}-") as folder:
        Path(folder).chmod(0o711)  # run by root, the server belongs to another account
        with Server.create(Path(folder, "server"), binaries=binaries, durable=False) as server:
            try:
                yield server
            finally:
                server.remove()


def fresh_database(server: Server, name: str) -> ConnectionInfo:
    """Return an empty database of that name; one that was there is dropped first."""
    server.drop_database(name)
    return server.create_database(name)


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
