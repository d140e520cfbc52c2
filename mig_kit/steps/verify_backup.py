"""Step 2, the proof: a backup counts when it was restored and what came out is what went in."""

from __future__ import annotations

from pathlib import Path

from mig_kit.postgres import ConnectionInfo
from mig_kit.progress import ProgressCallback
from mig_kit.steps._backup_proof import Present, Proof
from mig_kit.steps._backup_verdict import keep, verdict
from mig_kit.steps._backup_verification import BackupVerification
from mig_kit.steps._restored import named_scratch
from mig_kit.steps.target import Target

__all__ = ["BackupVerification", "verify_backup"]


def verify_backup(
    target: Target | None,
    path: Path,
    *,
    scratch: str | ConnectionInfo | None = None,
    without_extensions: bool = False,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
) -> BackupVerification:
    """Prove a backup: hash its files, read all of it, restore it into a scratch database, compare what came out.

    Every table's rows and digest are compared with those of the snapshot that was dumped; then whether it is of the
    target's database, and whether that was migrated since. Without a target the last two are skipped. What does not
    hold is a check that failed, in the result, and is kept beside the backup, as is that all held. The database of the
    target is only asked what it is.

    ``scratch``: the address of a server of the user's to restore on; else that of the project's configuration, else one
    of mig_kit's own. ``without_extensions``: go on where it lacks extensions; the backup is then restored in part, and
    never verified. Whatever happens, the scratch database is gone afterwards, or kept as the template of rehearsals.
    Raises UsageError for an address that is none, NotPostgreSQL.
    """
    proof = Proof(path, progress)
    if target is not None:
        target.need_postgres("verify backup")
    named = named_scratch(target, scratch)
    with proof.timed("the database"):
        now = Present.of(target)
    backup = proof.manifest()
    if backup is not None and proof.files(backup):
        proof.dump(backup, now, named, without_extensions, jobs)
    proof.of(backup, target, now)
    result = verdict(proof, backup, with_database=target is not None)
    return keep(result, backup)
