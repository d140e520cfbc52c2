"""Backups from the command line, on a real demo with its own embedded PostgreSQL 18."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mig_kit.demo import Demo
from mig_kit.postgres import ConnectionInfo, Server, connect
from tests.cli.commands import Cli, interrupt, running

VERIFIED = "Verified: restored; rows and contents compared with those of its snapshot ("


@pytest.fixture
def admin(demo: Demo) -> ConnectionInfo:
    """A superuser of the demo's server."""
    return Server.open(demo.server_data).info


@pytest.fixture
def empty(admin: ConnectionInfo, demo: Demo) -> Iterator[str]:
    """An empty database beside the demo's, which its user may write to."""
    with connect(admin) as conn:
        conn.execute(f'CREATE DATABASE "rest ored" OWNER {demo.database.user}'.encode())
    yield "rest ored"
    with connect(admin) as conn:
        conn.execute('DROP DATABASE "rest ored"')


def test_backs_up_proves_it_and_lists_what_there_is(copy: Path, cli: Cli) -> None:
    assert cli("backup", "--list", "--project", copy).out.startswith("There is no backup in ")
    made = cli("backup", "--project", copy, root=copy)
    assert made.code == 0
    path = Path(re.findall(r"^Backup: (.*)$", made.out, re.MULTILINE)[0])
    assert path.parent == copy / ".tmp" / "backups"
    assert (path / "manifest.json").is_file()
    assert made.out.splitlines()[-1].startswith(VERIFIED)
    script = cli("backup", "--script", "--project", copy, "--json", root=copy)
    assert script.code == 0
    assert script.document["method"] == "the project's backup_database.py"
    assert script.document["verified"]
    assert script.document["verification"]["words"] == "restored; rows compared with counts taken just before"
    assert Path(script.document["record"], "journal.jsonl").is_file()
    listed = cli("backup", "--list", "--project", copy, "--json").document["backups"]
    assert [each["backup"] for each in listed] == [Path(script.document["path"]).name, path.name]
    assert [each["verified"].partition(":")[0] for each in listed] == ["yes", "yes"]
    assert path.name in cli("backup", "--list", "--project", copy).out


def test_the_proof_can_be_left_for_later(copy: Path, cli: Cli) -> None:
    made = cli("backup", "--no-verify", "--project", copy, root=copy)
    assert made.code == 0
    assert made.out.endswith("Not verified: nobody has restored it yet.\n")
    [path] = [each for each in (copy / ".tmp" / "backups").iterdir() if each.is_dir()]
    proved = cli("verify-backup", "--project", copy, root=copy)
    assert proved.code == 0
    assert proved.out.startswith(f"Backup: {path.name}\n")
    assert proved.out.splitlines()[-1].startswith(VERIFIED)
    document = cli("verify-backup", path.name, "--json", "--project", copy).document
    assert document["verified"]
    assert {each["state"] for each in document["checks"]} == {"ok"}


def test_a_damaged_one_exits_with_1_and_says_why(copy: Path, cli: Cli) -> None:
    cli("backup", "--no-verify", "--project", copy)
    [path] = [each for each in (copy / ".tmp" / "backups").iterdir() if each.is_dir()]
    (path / "extra").write_text("x")
    told = cli("verify-backup", path, "--project", copy)
    assert told.code == 1
    assert re.search(r"^Not verified: extra was not there when the backup was made \(", told.out, re.MULTILINE)
    assert "next: make another backup: mig-kit backup" in told.out
    document = cli("verify-backup", "--json", "--project", copy)
    assert (document.code, document.document["verified"]) == (1, False)
    refused = cli("restore", path.name, "--into", "anywhere", "--project", copy)
    assert refused.code == 3
    assert refused.err == (
        f"Error: {path.name} is not as it was written: extra was not there when the backup was made.\n"
        "Next: mig-kit backup --list lists the others\n"
    )


def test_one_that_is_not_there_is_named(copy: Path, cli: Cli) -> None:
    folder = copy / ".tmp" / "backups"
    told = cli("verify-backup", "nothing", "--project", copy)
    assert told.code == 3
    assert told.err == (f"Error: There is no backup 'nothing' in {folder}.\nNext: mig-kit backup --list lists them\n")
    assert cli("verify-backup", "--project", copy).err == (
        f"Error: There is no backup of 'portfolio' in {folder}.\nNext: mig-kit backup makes one\n"
    )


def test_a_scratch_server_can_be_named_and_is_never_the_source(
    copy: Path, cli: Cli, admin: ConnectionInfo, server: Server
) -> None:
    def url(info: ConnectionInfo) -> str:
        return f"postgresql://{info.user}:{info.password.reveal()}@{info.host}:{info.port}"

    told = cli("backup", "--scratch", url(server.info), "--json", "--project", copy)
    assert told.code == 0
    assert told.document["verification"]["scratch"] == f"PostgreSQL 18.6 at {server.info.address}"
    assert server.info.password.reveal() not in told.out + told.err
    config = copy / "mig_kit.toml"
    config.write_text(f'scratch = "{url(admin)}"\n' + config.read_text())
    refused = cli("verify-backup", "--project", copy)
    assert refused.code == 1
    assert f"The server at {admin.address} is the one that the database 'portfolio' is on" in refused.out
    assert admin.password.reveal() not in refused.out + refused.err


def test_restores_into_an_empty_database_and_into_no_other(copy: Path, cli: Cli, demo: Demo, empty: str) -> None:
    cli("backup", "--no-verify", "--project", copy)
    [path] = [each for each in (copy / ".tmp" / "backups").iterdir() if each.is_dir()]
    done = cli("restore", path.name, "--into", empty, "--project", copy, root=copy)
    assert done.code == 0, done.err
    assert done.out.startswith(f"Restored {path.name} into {demo.database.with_dbname(empty).safe}: ")
    assert "each table's digest as in the snapshot" in done.out
    with connect(demo.database) as one, connect(demo.database.with_dbname(empty)) as two:
        count = "SELECT count(*) FROM blog_post"
        assert one.execute(count).fetchone() == two.execute(count).fetchone()
    again = cli("restore", path.name, "--into", empty, "--project", copy)
    assert again.code == 3
    assert again.err.startswith(f"Error: The database {empty!r} at {demo.database.address} is not empty: it has the ")
    own = demo.database
    address = f"postgresql://{own.user}:{own.password.reveal()}@localhost:{own.port}/{own.dbname}"
    itself = cli("restore", path.name, "--into", address, "--project", copy)
    assert itself.code == 3
    assert itself.err == (
        f"Error: The database 'portfolio' at localhost:{own.port} is the project's own.\n"
        "Next: name another database, which is empty\n"
    )


def test_listing_makes_no_backup_so_script_makes_no_sense_with_it(demo: Demo, cli: Cli) -> None:
    told = cli("backup", "--list", "--script", "--project", demo.root)
    assert told.code == 2
    assert told.err == "Error: --list makes no backup, so --script has no meaning with it.\nNext: leave one out\n"


def test_interrupted_while_it_is_proved_it_is_kept_and_not_verified(copy: Path, cli: Cli, tmp_path: Path) -> None:
    """The words said that no backup was made, though it was complete."""
    home = tmp_path / "scratch"
    os.environ["MIG_KIT_SCRATCH"] = str(home)
    try:
        with running("backup", "--project", copy) as process:
            while not list(home.glob("*.owner")):
                assert process.poll() is None
            ended = interrupt(process)
    finally:
        del os.environ["MIG_KIT_SCRATCH"]
    [path] = [each for each in (copy / ".tmp" / "backups").iterdir() if each.is_dir()]
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == (
        f"Interrupted: {path.name} is complete, and not verified: mig-kit verify-backup."
    )
    assert [each.name for each in home.iterdir()] == [".lock"]
    assert [each["verified"] for each in cli("backup", "--list", "--json", "--project", copy).document["backups"]] == [
        "no: not restored yet"
    ]
