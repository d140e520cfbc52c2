"""The project's own backup script: found, run, and what it leaves described."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from mig_kit import errors
from mig_kit.postgres import count_rows, server_version
from mig_kit.postgres.dump_snapshot import begin_snapshot
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.record import redact
from mig_kit.steps._backup_files import file_entries, manifest_of
from mig_kit.steps._manifest import Backup, made_by
from mig_kit.steps.backups import backup_paths
from mig_kit.steps.target import Target

__all__ = ["backup_script", "run_backup_script"]

DEFAULT = Path("execution", "backup_database.py")
_GRACE_S = 10.0  # how long an interrupted script has to take its own half-written file away
_OTHERWISE = "back up without it: rb.backup()"


def backup_script(target: Target, named: bool | str | Path = True) -> Path:
    """Return the project's own backup script; ``BackupError`` when there is none."""
    config = target.project.config
    if isinstance(named, (str, Path)):
        path = target.project.root / named
    elif config.backup_script:
        path = (config.folder or target.project.root) / config.backup_script
    else:
        path = target.project.root / DEFAULT
    if not path.is_file():
        raise errors.BackupError(f"There is no backup script {path}.", hint=f"{_OTHERWISE}, or name it: script='…'")
    return path


def run_backup_script(target: Target, script: Path, progress: ProgressCallback | None) -> Backup:
    """Run the script and give what it left a manifest, beside the file; its files keep the modes it gave them.

    What a script that failed or was interrupted leaves is put out of sight under a name that begins with a dot, so
    that it never passes for a backup. Raises ``BackupError``.
    """
    info = target.need_postgres("backup")
    with contextlib.closing(target.connect("backup")) as connection:
        moment = begin_snapshot(connection, None)
        rows = count_rows(connection, moment.tables)
        version = ".".join(map(str, server_version(connection)))
    folder = target.backups_folder
    before = _states(folder)
    started, clock = datetime.now(UTC), time.perf_counter()
    try:
        _run(target, script, progress)
        new = _new(folder, before)
        if not new:
            raise errors.BackupError(
                f"{script.name} ended well and left no new file in {folder}.",
                hint=f"make it write there, or {_OTHERWISE}",
            )
        # A script may leave a log beside its dump: the backup is the larger.
        sizes = {path: sum(each.size for each in file_entries(path)) for path in new}
        final = max(new, key=lambda path: sizes[path])
        if not sizes[final]:
            raise errors.BackupError(
                f"{script.name} ended well, and {final.name} is empty.",
                hint=f"look at what it runs: a pipe hides a pg_dump that failed; or {_OTHERWISE}",
            )
    except BaseException as exc:
        aside = [path.rename(_hidden(path)).name for path in _new(folder, before)]
        if aside and isinstance(exc, errors.BackupError):
            kept = f"What it left was put aside, not listed: {', '.join(aside)}."
            raise errors.BackupError(f"{exc.message} {kept}", hint=exc.hint) from None
        raise
    made = Backup(
        path=final,
        database=info.dbname,
        server=info.safe,
        method=f"the project's {script.name}",
        started=started,
        duration_s=round(time.perf_counter() - clock, 3),
        size_bytes=sizes[final],
        files=file_entries(final),
        rows=rows,
        snapshot=None,
        server_version=version,
        tool_version=script.name,
        compression="",
        made_by=made_by(),
        identity=moment.identity,
        encoding=moment.encoding,
        extensions=moment.extensions,
        sizes={each.label: each.size_bytes for each in moment.tables},
        applied=moment.migrations,
    )
    return made.written(manifest_of(final))


def _run(target: Target, script: Path, progress: ProgressCallback | None) -> None:
    """Run the script to its end, in a process group of its own; Ctrl-C ends all of it."""
    runs_itself = script.suffix != ".py" and os.access(script, os.X_OK)
    clock = time.monotonic()
    try:
        process = subprocess.Popen(
            [str(script)] if runs_itself else [str(target.project.python), str(script)],
            cwd=target.project.root,
            env=target.project.worker_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as exc:
        raise errors.BackupError(
            f"{script} cannot be run: {exc.strerror}.", hint=f"mend that, or {_OTHERWISE}"
        ) from exc
    try:
        while True:
            if progress is not None:
                progress(Progress("backup", f"{script.name} runs", round(time.monotonic() - clock), None, "s"))
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, err = process.communicate(timeout=1)
                break
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        said = redact(err.strip() or out.strip()).splitlines()
        raise errors.BackupError(
            f"{script.name} ended with {process.returncode}: {said[-1] if said else 'it printed nothing'}".rstrip(".")
            + ".",
            hint=f"mend that, or {_OTHERWISE}",
        )


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and its children: asked first, so that they can clear up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def _states(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in backup_paths(folder)}


def _new(folder: Path, before: dict[Path, tuple[int, int]]) -> list[Path]:
    """Return what is new or changed since, but for the backups that mig_kit itself made meanwhile."""
    return [
        path for path, state in _states(folder).items() if before.get(path) != state and not _has_current_manifest(path)
    ]


def _has_current_manifest(path: Path) -> bool:
    # A script may write over its last file, beside which the manifest of that one still lies.
    manifest = manifest_of(path)
    return manifest.exists() and (path.is_dir() or manifest.stat().st_mtime_ns >= path.stat().st_mtime_ns)


def _hidden(path: Path) -> Path:
    number, hidden = 1, path.with_name(f".{path.name}.failed")
    while hidden.exists():
        number += 1
        hidden = path.with_name(f".{path.name}.failed-{number}")
    return hidden
