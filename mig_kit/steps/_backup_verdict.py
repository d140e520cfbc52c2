"""What the evidence for a backup comes to: verified or not, in words, and kept beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mig_kit._version import __version__
from mig_kit.steps import _backup_checks as look
from mig_kit.steps._backup_proof import Proof
from mig_kit.steps._backup_verification import BackupVerification
from mig_kit.steps._manifest import Backup, made_by
from mig_kit.steps.check import Check

__all__ = ["keep", "verdict"]

_OF_ITSELF = (look.MANIFEST, look.FILES, look.READ, look.RESTORED, look.CONTENTS)
_OF_THE_DATABASE = (look.SOURCE, look.CURRENT)


def verdict(proof: Proof, backup: Backup | None, *, with_database: bool) -> BackupVerification:
    """Say how far a backup was verified; ``with_database``: what it is compared with has to be looked at too."""
    order = (*_OF_ITSELF, *_OF_THE_DATABASE)
    skipped = {name: Check(name, "skipped", "not looked at, for an earlier check failed") for name in order}
    checks = {**skipped, **proof.checks}
    restored = proof.restored
    left_out = restored.left_out if restored is not None else ()
    reason = _reason(checks, bool(left_out), order if with_database else _OF_ITSELF)
    return BackupVerification(
        backup=proof.path.name,
        manifest=backup.checksum if backup is not None else "",
        verified=not reason,
        words=_words(proof, backup, reason),
        reason=reason,
        checks=tuple(checks[name] for name in order),
        scratch=restored.scratch.words if restored is not None else "",
        tables=len(proof.digests) or len(proof.rows),
        rows=sum(each.rows for each in proof.digests) or sum(proof.rows.values()),
        sampled=tuple(f"{each.table}: {each.rule}" for each in proof.digests if each.sampled),
        left_out=left_out,
        notes=tuple(proof.notes),
        durations=dict(proof.durations),
        when=datetime.now(UTC),
        by=f"{made_by()}, mig_kit {__version__}",
    )


def keep(result: BackupVerification, backup: Backup | None) -> BackupVerification:
    """Keep a verdict beside the backup, unless it only says that nothing could be looked at, and return it.

    A server that is down does not unsay what was proved before. Where it cannot be written, a note says so.
    """
    if backup is None or (not result.verified and not result.failed and backup.verification is not None):
        return result
    try:
        result.write(backup.path)
    except OSError as exc:
        note = f"This could not be kept beside the backup: {exc.strerror}; it is listed as it was before."
        return replace(result, notes=(*result.notes, note))
    return result


def _reason(checks: dict[str, Check], partial: bool, needed: tuple[str, ...]) -> str:
    """Return why it is not verified, '' when it is: what failed, else what could not be looked at."""
    failed = [each.detail for each in checks.values() if each.state == "failed"]
    if failed:
        return failed[0]
    if partial:
        return checks[look.RESTORED].detail
    if checks[look.MANIFEST].state == "warning":
        return checks[look.MANIFEST].detail
    return next((checks[name].detail for name in needed if checks[name].state == "skipped"), "")


def _words(proof: Proof, backup: Backup | None, reason: str) -> str:
    if proof.restored is None or backup is None:
        return f"not verified: {reason}"
    if proof.restored.left_out:
        return f"partial: {reason}"
    if reason:
        return f"restored, and not verified: {reason}"
    if not backup.same_snapshot:
        return "restored; rows compared with counts taken just before"
    return "restored; rows and contents compared with those of its snapshot"
