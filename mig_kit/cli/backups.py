"""The commands that make backups, prove them by restoring them, and restore them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.words import count

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook
    from mig_kit.steps.verify_backup import BackupVerification

__all__ = ["backup", "restore", "verify_backup"]

_jobs = click.option(
    "--jobs", type=click.IntRange(1), default=2, show_default=True, help="How many tables are read or written at once."
)
_without_extensions = click.option(
    "--without-extensions", is_flag=True, help="Go on where the server lacks extensions, without what needs them."
)


def _scratch(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--scratch", metavar="URL", help="Restore on this server (postgresql://…) instead of one of mig-kit's own."
    )(function)


@click.command(short_help="Step 2: a backup, proved by restoring it")
@click.option("--script", is_flag=True, help="Run the project's own backup script instead of pg_dump.")
@click.option("--list", "listing", is_flag=True, help="List the backups there are, newest first, and make none.")
@click.option("--no-verify", is_flag=True, help="Leave the proof to verify-backup.")
@_scratch
@_without_extensions
@_jobs
@project_options
def backup(
    session: Session,
    script: bool,
    listing: bool,
    no_verify: bool,
    scratch: str | None,
    without_extensions: bool,
    jobs: int,
) -> int:
    """Step 2: back the database up to .tmp/backups, and restore the backup to prove it.

    What was restored, into a scratch database, is compared table by table with the snapshot that was dumped. Exits with
    1 when the backup is not verified. One that is listed is complete; whatever goes wrong leaves nothing half-written.
    """
    from mig_kit.cli.output import record_of, show_json, show_line, show_record, shown
    from mig_kit.cli.plain import to_plain

    if listing and script:
        raise errors.UsageError("--list makes no backup, so --script has no meaning with it.", hint="leave one out")
    with session.runbook(record=not listing) as rb:
        if listing:
            _list(session, rb)
            return Exit.FINE
        try:
            result = rb.backup(
                script=script, verify=not no_verify, scratch=scratch, without_extensions=without_extensions, jobs=jobs
            )
        except KeyboardInterrupt as exc:
            made = rb.backed_up
            standing = "Interrupted: no backup was made, and nothing of it was left."
            if made is not None:
                standing = f"Interrupted: {made.path.name} is complete, and not verified: mig-kit verify-backup."
            raise Stopped(standing, by=exc) from None
        if session.as_json:
            document = {**session.facts(rb), **to_plain(result), "verified": result.verified, "record": record_of(rb)}
            show_json(document)
        else:
            show_line(f"Backup: {shown(result.path)}")
            show_line(
                f"{result.size_bytes:,} bytes in {count(len(result.files), 'file')}, "
                f"{sum(result.rows.values()):,} rows of {count(len(result.rows), 'table')}, "
                f"{result.duration_s:.1f} s, by {result.method}."
            )
            if result.verification is not None:
                _show_verification(result.verification)
            else:
                show_line("Not verified: nobody has restored it yet.")
            show_record(rb)
    return Exit.FINE if result.verified or no_verify else Exit.FOUND


def _list(session: Session, rb: Runbook) -> None:
    from mig_kit.cli.output import show_frame, show_json, show_line, shown

    frame = rb.backups()
    if session.as_json:
        show_json({**session.facts(rb), "folder": rb.target.backups_folder, "backups": frame})
    elif frame.empty:
        show_line(f"There is no backup in {shown(rb.target.backups_folder)}.")
    else:
        frame["when (UTC)"] = frame["when (UTC)"].dt.strftime("%Y-%m-%d %H:%M:%S")
        show_frame(frame)


@click.command("verify-backup", short_help="Prove a backup by restoring it")
@click.argument("name", required=False, metavar="[BACKUP]")
@_scratch
@_without_extensions
@_jobs
@project_options
def verify_backup(session: Session, name: str | None, scratch: str | None, without_extensions: bool, jobs: int) -> int:
    """Prove a backup, the newest or the one named: its files, all that is in them, and a restore.

    BACKUP is a name that backup --list shows, or a path. Exits with 1 when it is not verified, and says why.
    """
    from mig_kit.cli.output import record_of, show_json, show_line, show_record
    from mig_kit.cli.plain import to_plain

    with session.runbook(record=True) as rb:
        try:
            result = rb.verify_backup(name, scratch=scratch, without_extensions=without_extensions, jobs=jobs)
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: the backup was not changed, and nothing was verified.", by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **to_plain(result), "record": record_of(rb)})
        else:
            show_line(f"Backup: {result.backup}")
            _show_verification(result)
            show_record(rb)
    return Exit.FINE if result else Exit.FOUND


def _show_verification(result: BackupVerification) -> None:
    from mig_kit.cli.output import show_checks, show_line

    show_checks(result.checks)
    for note in result.notes:
        show_line(f"Note: {note}")
    for each in result.sampled:
        show_line(f"Sampled: {each}")
    word = "Verified" if result else "Not verified"
    told = result.words if result else result.reason
    show_line(f"{word}: {told} ({result.duration_s:.1f} s).")


@click.command(short_help="Restore a backup into an empty database")
@click.argument("name", metavar="BACKUP")
@click.option(
    "--into",
    required=True,
    metavar="URL_OR_DBNAME",
    help="A database's name on the project's server, or an address (postgresql://…).",
)
@_without_extensions
@_jobs
@project_options
def restore(session: Session, name: str, into: str, without_extensions: bool, jobs: int) -> int:
    """Restore a backup into a database that is there and empty, and compare what came out.

    Refuses a database that is not empty, and the one that the backup is of, by whatever address. Whatever goes wrong
    leaves the database empty. Owners and privileges are not restored. Exits with 1 when what came out is not what was
    dumped.
    """
    from mig_kit.cli.output import record_of, show_checks, show_json, show_line, show_record
    from mig_kit.cli.plain import to_plain

    with session.runbook(record=True) as rb:
        try:
            result = rb.restore(name, into, without_extensions=without_extensions, jobs=jobs)
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: the database is empty again.", by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **to_plain(result), "record": record_of(rb)})
        else:
            show_line(f"Restored {result.backup} into {result.into}: {count(result.tables, 'table')}.")
            show_checks(result.checks)
            for note in result.notes:
                show_line(f"Note: {note}")
            for each in result.left_out:
                show_line(f"Left out: {each}")
            show_record(rb)
    return Exit.FINE if result else Exit.FOUND
