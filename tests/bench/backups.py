"""A dump against ``pg_dump -Fc``, and the proof of a backup against a bare ``pg_restore -j2``, on one database."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from pathlib import Path

from mig_kit.postgres import ConnectionInfo, Server
from mig_kit.postgres.credentials import tool_connection
from mig_kit.postgres.scratch import scratch_server
from mig_kit.steps.backup import Backup, dump_backup
from mig_kit.steps.verify_backup import BackupVerification, verify_backup
from tests.bench.measure import Options, Row, in_turn, seconds, tell
from tests.bench.shop import make_shop
from tests.servers import pg_server

__all__ = ["rows"]


def rows(options: Options) -> list[Row]:
    """Make a database on a server of its own, dump it both ways, restore it both ways."""
    # On disk: /tmp is in memory on many machines.
    with pg_server(18) as server, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        info = server.create_database("shop")
        size = make_shop(info, options.megabytes)
        tell("dumping")
        dumped, backup = dump_against_pg_dump(server, info, Path(folder), size, options.runs)
        tell("restoring")
        return [dumped, proof_against_pg_restore(server, backup, options.runs)]


def dump_against_pg_dump(
    server: Server, info: ConnectionInfo, folder: Path, size: int, runs: int
) -> tuple[Row, Backup]:
    """The whole step (dump, digests of every table, hashes, manifest) against ``pg_dump -Fc`` as it comes."""
    made: list[Backup] = []
    numbers = itertools.count()
    custom = folder / "custom"

    def ours() -> None:
        made.append(dump_backup(info, folder))

    def theirs() -> None:
        run_tool(server, "pg_dump", info, "--format=custom", f"--file={custom}-{next(numbers)}")

    found = in_turn(runs, ours, theirs)
    zstd = server.binaries.supports_zstd
    notes = (
        f"database {size / 1e6:,.0f} MB; ours {made[-1].size_bytes / 1e6:,.0f} MB by {made[-1].compression}, "
        f"theirs {custom.with_name('custom-0').stat().st_size / 1e6:,.0f} MB",
        "ours counts and digests every table in the dump's own snapshot, and hashes the files",
    )
    return Row("backup / pg_dump -Fc", *found, "≤ 0.25" if zstd else "≤ 0.35", False, notes), made[-1]


def proof_against_pg_restore(server: Server, backup: Backup, runs: int) -> Row:
    """The whole proof (hashes, a full read, the restore, digests) against the restore alone, on one scratch server."""
    ours: list[float] = []
    theirs: list[float] = []
    results: list[BackupVerification] = []
    start = seconds(lambda: scratch_server(18))
    scratch = scratch_server(18)
    for _ in range(runs):
        ours.append(seconds(lambda: results.append(verify_backup(None, backup.path))))
        if not results[-1]:
            raise SystemExit(f"the backup is not verified: {results[-1].reason}")
        with scratch.database() as empty:
            theirs.append(seconds(lambda: run_tool(server, "pg_restore", empty, "--jobs=2", str(backup.path))))
    parts = ", ".join(f"{what} {took:.2f} s" for what, took in results[-1].durations.items() if took >= 0.01)
    notes = (
        f"the last: {parts}; the full read runs beside the restore, and what is named is the wait for its end",
        f"the scratch server's start, once a session, took {start:.2f} s and is not in it",
        f"compared by a sample: {', '.join(each.partition(':')[0] for each in results[-1].sampled) or 'none'}",
    )
    return Row("verify_backup / pg_restore -j2", ours, theirs, "≤ 1.3", False, notes)


def run_tool(server: Server, name: str, info: ConnectionInfo, *arguments: str) -> None:
    with tool_connection(info) as (conninfo, environment):
        command = [str(server.binaries.tool(name)), f"--dbname={conninfo}", *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True)
