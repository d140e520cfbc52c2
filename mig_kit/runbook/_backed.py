"""The backups of a runbook: made, proved by restoring them, listed, restored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit.postgres import ConnectionInfo
from mig_kit.progress import ProgressCallback
from mig_kit.runbook._gated import Gated
from mig_kit.steps import backup as backup_step
from mig_kit.steps import backups as backups_step
from mig_kit.steps import restore as restore_step
from mig_kit.steps import verify_backup as verify_step

if TYPE_CHECKING:
    import pandas

    from mig_kit.runbook._interaction import Interaction

__all__ = ["Backed"]


class Backed(Gated):
    """The steps of a runbook that make backups and prove them."""

    interaction: Interaction

    def backup(
        self,
        *,
        script: bool | str | Path = False,
        verify: bool = True,
        scratch: str | ConnectionInfo | None = None,
        without_extensions: bool = False,
        jobs: int = 2,
    ) -> backup_step.Backup:
        """Step 2: back the database up below ``.tmp/backups``, then restore the backup and compare what came out.

        ``script``: by the project's own script. ``verify=False`` leaves the proof to ``verify_backup``; ``scratch`` and
        ``without_extensions`` are as there. A backup that does not verify is returned too, and says why.
        """
        with (
            self._step("backup") as outcome,
            self.interaction.progress("backup") as progress,
        ):
            with self._backing_up() as made:
                result = backup_step.backup(self.target, script=script, jobs=jobs, progress=progress)
                made(result)
            self._session.backup = result
            rows = sum(result.rows.values())
            outcome["summary"] = f"{result.path.name}: {result.size_bytes:,} bytes, {rows:,} rows, not verified"
            outcome["backup"] = str(result.path)
            outcome["files"] = {each.path: each.sha256 for each in result.files}
            if verify:
                verification = self._verify(result.path, scratch, without_extensions, jobs, progress, outcome)
                result = self._session.backup = replace(result, verification=verification)
                outcome["summary"] = (
                    f"{result.path.name}: {result.size_bytes:,} bytes, {rows:,} rows; {verification.words}"
                )
            return result

    def verify_backup(
        self,
        name: str | Path | None = None,
        *,
        scratch: str | ConnectionInfo | None = None,
        without_extensions: bool = False,
        jobs: int = 2,
    ) -> verify_step.BackupVerification:
        """Prove a backup, by its name or path (default: the newest): its files, all that is in them, a restore.

        ``scratch``: the address of a server to restore on, instead of one of mig_kit's own. ``without_extensions``: go
        on where that server lacks extensions; the backup is then restored in part, and never verified.
        """
        with self._step("verify backup") as outcome, self.interaction.progress("verify backup") as progress:
            path = backups_step.backup_path(self.target, name)
            outcome["backup"] = str(path)
            result = self._verify(path, scratch, without_extensions, jobs, progress, outcome)
            outcome["summary"] = f"{path.name}: {result.words}"
            known = self._session.backup
            if known is not None and known.path == path:
                self._session.backup = replace(known, verification=result)
            return result

    def restore(
        self,
        backup: str | Path | backup_step.Backup,
        into: str | ConnectionInfo,
        *,
        without_extensions: bool = False,
        jobs: int = 2,
    ) -> restore_step.RestoredBackup:
        """Restore a backup, by its name or path, into an empty database, and compare what came out.

        ``into``: the database's name on the project's own server, or an address. It has to be there and empty, and must
        not be the one that the backup is of.
        """
        named = backup.path if isinstance(backup, backup_step.Backup) else backup
        with self._step("restore") as outcome, self.interaction.progress("restore") as progress:
            path = backups_step.backup_path(self.target, named)
            outcome["backup"] = str(path)
            result = restore_step.restore_backup(
                self.target, path, into, without_extensions=without_extensions, jobs=jobs, progress=progress
            )
            outcome["into"] = result.into
            outcome["summary"] = f"{path.name} into {result.into}"
            outcome["checks"] = {each.name: f"{each.state}: {each.detail}" for each in result.checks}
            outcome["left out"] = list(result.left_out)
            return result

    def backups(self) -> pandas.DataFrame:
        """Return the backups that exist as a DataFrame, newest first, each with whether it is verified or why not."""
        return backups_step.backups(self.target)

    @property
    def backed_up(self) -> backup_step.Backup | None:
        """The backup that this session made, or None; it is there before it is verified."""
        return self._session.backup

    def _verify(
        self,
        path: Path,
        scratch: str | ConnectionInfo | None,
        without_extensions: bool,
        jobs: int,
        progress: ProgressCallback,
        outcome: dict[str, Any],
    ) -> verify_step.BackupVerification:
        result = verify_step.verify_backup(
            self.target,
            path,
            scratch=scratch,
            without_extensions=without_extensions,
            jobs=jobs,
            progress=progress,
        )
        outcome["verified"] = result.verified
        outcome["restored"] = result.scratch
        outcome["checks"] = {each.name: f"{each.state}: {each.detail}" for each in result.checks}
        outcome["sampled"] = list(result.sampled)
        outcome["left out"] = list(result.left_out)
        outcome["durations"] = dict(result.durations)
        return result
