"""Backups: made by pg_dump or by the project's script, of a real PostgreSQL 18."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit import errors
from mig_kit.postgres import applied_migrations_rows, connect, find_binaries, tables
from mig_kit.postgres.digest import digest_tables
from mig_kit.postgres.identity import identify
from mig_kit.progress import Progress
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.backups import backups, latest_backup
from tests.steps.projects import Copy, Opened


@pytest.fixture(autouse=True)
def clean(opened: Opened) -> Iterator[None]:
    """Every test begins without backups."""
    yield
    subprocess.run(["rm", "-rf", str(opened.project.root / ".tmp")], check=True)


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def modes(folder: Path) -> set[str]:
    return {oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")}


def script(project: Copy, body: str, name: str = "backup.py") -> str:
    (project.root / "execution" / name).write_text(body)
    return f"execution/{name}"


def test_the_manifest_says_exactly_what_lies_there(opened: Opened) -> None:
    made = backup(opened.target)
    manifest = json.loads((made.path / "manifest.json").read_text())
    listed = {each["path"]: each for each in manifest["files"]}
    on_disk = {path.name: path for path in made.path.iterdir() if path.name != "manifest.json"}
    assert set(listed) == set(on_disk) == {each.path for each in made.files}
    for name, path in on_disk.items():
        assert listed[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert listed[name]["size"] == path.stat().st_size
    assert manifest["size_bytes"] == sum(path.stat().st_size for path in on_disk.values()) == made.size_bytes
    counted = {name: opened.project.run(f'SELECT count(*) FROM "{name.partition(".")[2]}"')[0][0] for name in made.rows}
    assert manifest["rows"] == counted == made.rows
    assert made.migrations == len(opened.project.applied())
    assert manifest["server_version"].startswith("18.")
    assert manifest["tool_version"].startswith("18.")
    assert manifest["method"] == "pg_dump, directory format"
    assert manifest["snapshot"]
    assert made.same_snapshot
    assert opened.project.database.password.reveal() not in str(manifest)
    assert list(made.to_frame().columns) == ["table", "rows"]


def test_the_manifest_says_what_a_restored_copy_is_compared_with(opened: Opened) -> None:
    made = backup(opened.target)
    manifest = json.loads((made.path / "manifest.json").read_text())
    with closing(connect(opened.project.database)) as conn:
        me = identify(conn)
        assert made.identity == me
        assert manifest["identity"] == {"system": me.system, "oid": me.oid, "name": me.name}
        assert made.digests == digest_tables(conn)
        assert made.applied == applied_migrations_rows(conn)
        assert made.sizes == {each.label: each.size_bytes for each in tables(conn)}
    assert manifest["schema"] == 2
    assert manifest["encoding"] == "UTF8"
    assert manifest["extensions"] == ["plpgsql"]
    assert {"table", "rows", "digest", "sampled", "rule", "how"} == set(manifest["digests"][0])
    checksum = manifest.pop("checksum")
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert checksum == made.checksum == hashlib.sha256(canonical.encode()).hexdigest()
    assert Backup.read(made.path) == made


def test_the_dump_can_be_restored_with_the_rows_that_were_counted(opened: Opened, copies: Callable[..., Copy]) -> None:
    made = backup(opened.target)
    name = "restored"
    opened.project.run(f"CREATE DATABASE {name}")
    tool = find_binaries(18).tool("pg_restore")
    info = opened.project.admin
    try:
        where = [f"--host={info.host}", f"--port={info.port}", f"--username={info.user}", f"--dbname={name}"]
        subprocess.run(
            [str(tool), "--exit-on-error", "--no-owner", *where, str(made.path)],
            env={**os.environ, "PGPASSWORD": info.password.reveal()},
            check=True,
            timeout=60,
        )
        restored = replace(opened.project, admin=info.with_dbname(name))
        for table, rows in made.rows.items():
            assert restored.run(f'SELECT count(*) FROM "{table.partition(".")[2]}"') == [(rows,)]
    finally:
        opened.project.run(f"DROP DATABASE {name}")


def test_rows_are_those_of_the_snapshot_though_rows_come_in_meanwhile(opened: Opened) -> None:
    before = opened.project.run("SELECT count(*) FROM contact_subscriber")[0][0]
    stop = threading.Event()

    def insert() -> None:
        while not stop.is_set():
            opened.project.run(
                "INSERT INTO contact_subscriber (email, confirmed, created_at) "
                "SELECT gen_random_uuid() || '@example.org', false, now() FROM generate_series(1, 50)"
            )

    def began(progress: Progress) -> None:
        if not writer.is_alive() and not stop.is_set():
            writer.start()

    writer = threading.Thread(target=insert)
    try:
        made = backup(opened.target, progress=began)
    finally:
        stop.set()
        if writer.ident:
            writer.join()
    after = opened.project.run("SELECT count(*) FROM contact_subscriber")[0][0]
    assert after > before
    tool = find_binaries(18).tool("pg_restore")
    command = [str(tool), "--data-only", "--table=contact_subscriber", "--file=-", str(made.path)]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    copied = data[data.index(b"FROM stdin;\n") + 12 : data.index(b"\n\\.\n")].count(b"\n") + 1
    assert made.rows["public.contact_subscriber"] == copied
    assert made.rows["public.contact_subscriber"] < after


def test_it_is_private_to_the_user(opened: Opened) -> None:
    before = os.umask(0)
    try:
        made = backup(opened.target)
    finally:
        os.umask(before)
    assert oct(made.path.stat().st_mode & 0o777) == "0o700"
    assert modes(made.path) == {"0o600"}
    assert oct(opened.project.backups.stat().st_mode & 0o777) == "0o700"


def test_it_is_listed_only_when_it_is_complete(opened: Opened) -> None:
    seen = []

    def look(progress: Progress) -> None:
        seen.append((len(backups(opened.target)), everything(opened.project.backups)))

    made = backup(opened.target, progress=look)
    assert {count for count, _names in seen} == {0}
    assert {tuple(names) for _count, names in seen} == {(f".{made.path.name}.partial",)}
    assert list(backups(opened.target)["backup"]) == [made.path.name]
    assert everything(opened.project.backups) == [made.path.name]


def test_progress_tells_tables_and_bytes(opened: Opened) -> None:
    told: list[Progress] = []
    backup(opened.target, progress=told.append)
    assert {each.unit for each in told} >= {"tables", "bytes"}
    assert any(each.message == "dumping public.blog_post" for each in told)
    assert {each.step for each in told} == {"backup"}


def test_two_in_one_second_get_names_of_their_own(opened: Opened) -> None:
    """Both took the same name for what was not complete, and wrote into one another's folder."""
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(backup(opened.target).path)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(made)) == 3
    assert everything(opened.project.backups) == sorted(path.name for path in made)
    assert set(backups(opened.target)["verified"]) == {"no: not restored yet"}


def test_a_failure_leaves_nothing(opened: Opened) -> None:
    opened.project.run("CREATE TABLE closed (id int); INSERT INTO closed VALUES (1)")
    try:
        with pytest.raises(errors.BackupError) as caught:
            backup(opened.target)
    finally:
        opened.project.run("DROP TABLE closed")
    assert "closed" in caught.value.message
    assert caught.value.hint
    assert everything(opened.project.backups) == []


INTERRUPTED = """
import sys, time
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.target import open_target
target = open_target(sys.argv[1])
def tell(progress):
    print("working", flush=True)
    time.sleep(0.2)
backup(target, script=sys.argv[2] or False, progress=tell)
"""


def interrupt(project: Copy, named: str = "", wait: float = 0.0) -> subprocess.CompletedProcess[str]:
    """Back up in a process of its own and send it a real SIGINT once the work is under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(project.root), named],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_ctrl_c_leaves_nothing(opened: Opened) -> None:
    done = interrupt(opened.project)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.strip().endswith("KeyboardInterrupt")
    assert everything(opened.project.backups) == []


@pytest.fixture
def tiny(opened: Opened) -> Iterator[Path]:
    """A disk of 128 kB in the place of the backups."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    folder = opened.project.backups
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_and_is_named(opened: Opened, tiny: Path) -> None:
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target)
    assert "No space left on device" in caught.value.message
    assert "free" in caught.value.hint
    assert everything(tiny) == []


def test_a_folder_that_cannot_be_made_is_named(opened: Opened) -> None:
    (opened.project.root / ".tmp").write_text("a file in its place")
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target)
    folder = opened.project.backups
    assert str(caught.value) == (
        f"The folder for backups, {folder}, cannot be made: {folder.parent}: File exists.\n"
        "Next: make it writable for you"
    )


@pytest.mark.parametrize("name", ["two words", 'say "hi"', "Größe ü", "it's; $(rm)", "a/b"])
def test_a_database_with_an_awkward_name_is_backed_up(name: str, opened: Opened, copies: Callable[..., Copy]) -> None:
    made_copy = copies(name=name)
    target = replace(opened.target, info=made_copy.database)
    made = backup(target)
    assert made.database == name
    assert made.rows["public.blog_category"] == 8
    assert made.path.parent == opened.project.backups
    found = latest_backup(target)
    assert found is not None
    assert found == made
    assert latest_backup(opened.target) is None


def test_the_script_runs_in_the_projects_interpreter_and_gets_a_manifest(opened: Opened) -> None:
    made = backup(opened.target, script=True)
    assert made.path.name.endswith(".dump")
    assert made.method == "the project's backup_database.py"
    assert not made.same_snapshot
    manifest = opened.project.backups / f"{made.path.name}.manifest.json"
    assert oct(manifest.stat().st_mode & 0o777) == "0o600"
    (entry,) = made.files
    assert entry.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert made.rows["public.portfolio_project"] == opened.project.run("SELECT count(*) FROM portfolio_project")[0][0]
    assert latest_backup(opened.target) == made
    assert everything(opened.project.backups) == [made.path.name, manifest.name]


def test_a_script_that_fails_is_quoted_and_what_it_left_is_not_listed(opened: Opened) -> None:
    body = (
        "import sys\nopen('.tmp/backups/half.sql', 'w').write('x')\nprint('no space', file=sys.stderr)\nsys.exit(3)\n"
    )
    named = script(opened.project, body)
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target, script=named)
    assert str(caught.value) == (
        "backup.py ended with 3: no space. What it left was put aside, not listed: .half.sql.failed.\n"
        "Next: mend that, or back up without it: rb.backup()"
    )
    assert backups(opened.target).empty


def test_a_failing_script_does_not_tell_the_password(opened: Opened) -> None:
    named = script(opened.project, "import os, sys\nsys.exit('cannot log in: ' + os.environ['DATABASE_PASSWORD'])\n")
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target, script=named)
    assert caught.value.message == "backup.py ended with 1: cannot log in: ***."


def test_a_script_that_leaves_no_file_is_no_backup(opened: Opened) -> None:
    named = script(opened.project, "")
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target, script=named)
    assert str(caught.value) == (
        f"backup.py ended well and left no new file in {opened.project.backups}.\n"
        "Next: make it write there, or back up without it: rb.backup()"
    )


def test_a_script_that_leaves_an_empty_file_is_no_backup(opened: Opened) -> None:
    named = script(opened.project, "open('.tmp/backups/empty.sql.gz', 'w').close()\n")
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target, script=named)
    assert caught.value.message.startswith("backup.py ended well, and empty.sql.gz is empty.")
    assert backups(opened.target).empty


def test_a_script_that_asks_gets_no_answer_instead_of_hanging(opened: Opened) -> None:
    named = script(opened.project, "input('Password: ')\n")
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target, script=named)
    assert "EOFError" in caught.value.message


def test_a_log_beside_the_dump_is_not_taken_for_it(opened: Opened) -> None:
    body = "open('.tmp/backups/a.sql', 'w').write('x' * 100)\nopen('.tmp/backups/b.log', 'w').write('done')\n"
    made = backup(opened.target, script=script(opened.project, body))
    assert made.path.name == "a.sql"


def test_a_script_may_write_over_its_last_file(opened: Opened) -> None:
    body = "import time\nopen('.tmp/backups/a.sql', 'w').write(str(time.time_ns()))\n"
    first = backup(opened.target, script=script(opened.project, body))
    second = backup(opened.target, script=script(opened.project, body))
    assert first.path == second.path
    assert first.files != second.files


def test_a_script_that_is_no_python_runs_by_itself(opened: Opened) -> None:
    named = script(opened.project, "#!/bin/sh\necho data > .tmp/backups/shell.sql\n", "backup.sh")
    (opened.project.root / named).chmod(0o755)
    assert backup(opened.target, script=named).path.name == "shell.sql"


def test_ctrl_c_ends_the_script_and_what_it_started(opened: Opened) -> None:
    """The script alone was killed: its pg_dump went on, and its half-written file stayed."""
    body = (
        "import subprocess, sys\nopen('.tmp/backups/half.sql', 'w').write('x')\n"
        "open('pid', 'w').write(str(subprocess.Popen(['sleep', '60']).pid))\nimport time\ntime.sleep(60)\n"
    )
    done = interrupt(opened.project, script(opened.project, body), wait=1)
    assert done.returncode == -signal.SIGINT
    pid = int((opened.project.root / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the script's child still runs"
        time.sleep(0.05)
    assert backups(opened.target).empty


def test_a_script_that_is_not_there_is_named(opened: Opened) -> None:
    with pytest.raises(errors.BackupError) as caught:
        backup(opened.target, script="execution/missing.py")
    assert str(caught.value) == (
        f"There is no backup script {opened.project.root}/execution/missing.py.\n"
        "Next: back up without it: rb.backup(), or name it: script='…'"
    )


def test_sqlite_is_told_which_steps_work(opened: Opened) -> None:
    with pytest.raises(errors.NotPostgreSQL) as caught:
        backup(replace(opened.target, info=None, vendor="sqlite"))
    assert caught.value.message == "The step 'backup' needs PostgreSQL, and the database 'default' is sqlite."
    assert caught.value.hint


def test_a_server_that_is_down_leaves_nothing(opened: Opened) -> None:
    assert opened.target.info is not None
    with pytest.raises(errors.ServerUnreachable):
        backup(replace(opened.target, info=replace(opened.target.info, port=1)))
    assert everything(opened.project.backups) == []


def test_it_needs_no_worker(opened: Opened) -> None:
    """A syntax error in the models file must not stand between a user and a backup."""
    models = opened.project.path("apps", "blog", "models.py")
    text = models.read_text()
    models.write_text("class :\n")
    try:
        assert backup(opened.target).rows
    finally:
        models.write_text(text)
