"""A server that takes encrypted connections only; the embedded PostgreSQL is built without SSL."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from mig_kit.postgres import Server
from tests.servers import pg_server


@pytest.fixture(scope="session")
def ssl_server(server15: Server) -> Iterator[Server]:
    """A PostgreSQL 15 of the machine's own that demands SSL, with a certificate nobody knows."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    with pg_server(15) as server:
        server.stop()
        key, certificate = server.cluster / "server.key", server.cluster / "server.crt"
        request = [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=here",
        ]
        subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        owner = server.cluster.stat()
        for path in (key, certificate):
            os.chown(path, owner.st_uid, owner.st_gid)
            path.chmod(0o600)
        (server.cluster / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        with (server.cluster / "postgresql.auto.conf").open("a") as file:
            file.write("ssl = on\n")
        yield server.start()
