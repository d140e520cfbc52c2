"""The backup that a rehearsal is held on: a verified one, of the database as it is now."""

from __future__ import annotations

from mig_kit import errors
from mig_kit.steps.backup import Backup
from mig_kit.steps.backups import latest_backup, latest_verified_backup
from mig_kit.steps.target import Target

__all__ = ["rehearsal_backup"]


def rehearsal_backup(target: Target, named: Backup | None = None) -> Backup:
    """Return the backup to rehearse on: the named one, or the latest that is verified.

    It fits when it holds exactly the migrations that are applied now. Raises BackupError, with the next step, where
    there is none, or none that fits.
    """
    found = named or latest_verified_backup(target)
    if found is None:
        unproved = latest_backup(target)
        if unproved is not None:
            raise errors.BackupError(
                f"The backup {unproved.path.name} is not verified, and there is no other to rehearse on.",
                hint=f"rb.verify_backup({unproved.path.name!r}), or rb.backup()",
            )
        raise errors.BackupError("There is no backup of this database to rehearse on.", hint="rb.backup()")
    held = {(each.app, each.name) for each in found.applied}
    applied = {(each["app"], each["name"]) for each in target.ask("history")}
    if found.applied or not found.migrations:
        newer = sorted(f"{app}.{name}" for app, name in applied - held)
        older = sorted(f"{app}.{name}" for app, name in held - applied)
    else:  # made by the project's own script, or by an older mig_kit: only their number is known
        newer = ["some migration"] if found.migrations != len(applied) else []
        older = []
    if newer or older:
        what = f"was applied after the backup {found.path.name} was made" if newer else "was taken back since then"
        raise errors.BackupError(
            f"{(newer or older)[0]} {what}: it is not of the database as it is now.", hint="rb.backup()"
        )
    return found
