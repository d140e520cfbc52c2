"""A real pgbouncer before a test's server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.postgres import ConnectionInfo
from mig_kit.postgres.account import server_account
from mig_kit.postgres.postmaster import free_port

__all__ = ["pgbouncer"]


@contextmanager
def pgbouncer(info: ConnectionInfo, mode: str, *, size: int = 5) -> Iterator[ConnectionInfo]:
    """Run a pgbouncer in that mode ("transaction", "session" or "statement") and give the way through it.

    Without pgbouncer the test is skipped, or fails in CI.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("pgbouncer is not installed on this machine")
    port, account = free_port(), server_account()
    with tempfile.TemporaryDirectory(prefix="mig_kit-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{info.user}" "{info.password.reveal()}"\n')
        config.write_text(
            f"[databases]\n* = host={info.host} port={info.port} user={info.user} password={info.password.reveal()}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\ndefault_pool_size = {size}\n"
        )
        process = subprocess.Popen(
            [program, str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **account.popen_arguments()
        )
        try:
            _wait_for(port, process)
            yield replace(info, host="127.0.0.1", port=port)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                assert process.stdout is not None
                raise AssertionError(f"pgbouncer did not start: {process.stdout.read().decode()}") from None
            time.sleep(0.05)
