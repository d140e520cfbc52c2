"""Safer: the safe migrations to write instead of a pending one, rehearsed before they are offered."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mig_kit import errors
from mig_kit.hazards.assessment import MigrationAssessment, Verdict, VerdictKind
from mig_kit.hazards.plan import PlanMigration, plan_of
from mig_kit.hazards.remedies import Combined, Remedy, combined_remedy
from mig_kit.postgres.schema import SchemaChange, schema_changes
from mig_kit.progress import ProgressCallback
from mig_kit.project import Worker
from mig_kit.steps._safer_files import Replacement, digest, private_folder
from mig_kit.steps.backup import Backup
from mig_kit.steps.check_plan import check_plan
from mig_kit.steps.rehearse import Outcome, Rehearsal, RehearsedMigration, rehearse
from mig_kit.steps.target import Target

__all__ = ["Safer", "digest", "safer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Safer:
    """State which migrations to write in place of a pending one, and how both did on a restored copy.

    ``files``: name → source, in the order they run, the last one with the name of the one they replace; none where
    nothing could be done. ``later``: those for the next release. ``notes``: what a person has to know; ``left``: what
    rewriting alone does not make safe, a sentence each. ``before``, ``after``: the rehearsals of the original and of
    the files, None where there was nothing to rehearse. ``differences``: between the schemas that both end in, the
    order of columns left out; ``state_kept``: makemigrations would find the same as before. ``folder``: where the
    files lie meanwhile. ``path``, ``sha256``: the file that they replace, as it was.
    """

    app: str
    name: str
    title: str
    files: Mapping[str, str]
    later: Mapping[str, str]
    notes: tuple[str, ...]
    left: tuple[str, ...]
    before: Rehearsal | None
    after: Rehearsal | None
    differences: tuple[SchemaChange, ...]
    state_kept: bool
    folder: Path | None
    path: Path
    sha256: str
    target: Target = field(repr=False, compare=False)

    def __repr__(self) -> str:
        if not self.files:
            return f"<Safer: nothing to write instead of {self.app}.{self.name}>"
        return f"<Safer: {len(self.files)} files instead of {self.app}.{self.name}, {'ok' if self.ok else 'not ok'}>"

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def words(self) -> str:
        """Say on one line what came of it."""
        if not self.files:
            return f"nothing to write instead of {self}"
        what = f"{len(self.files)} {'file' if len(self.files) == 1 else 'files'} instead of {self}"
        if not self.ok:
            return f"{what}, which did not come to the same"
        was = self.original.lock_safety.kind if self.original else "unknown"
        now = self.lock_safety.kind if self.lock_safety else "unknown"
        return f"{what}: lock safety {was} before, {now} with them"

    @property
    def rehearsed(self) -> tuple[RehearsedMigration, ...]:
        """What the rehearsal found of each file of this release."""
        if self.after is None:
            return ()
        return tuple(each for each in self.after.migrations if each.app == self.app and each.name in self.files)

    @property
    def original(self) -> RehearsedMigration | None:
        """What the rehearsal found of the migration as it stands."""
        return self.before.of(self.app, self.name) if self.before is not None else None

    @property
    def lock_safety(self) -> Verdict | None:
        """The verdict on the files together: the worst of theirs."""
        return _worst([each.lock_safety for each in self.rehearsed])

    @property
    def compatibility(self) -> Verdict | None:
        """The verdict for the running release on the files together."""
        return _worst([each.compatibility for each in self.rehearsed])

    @property
    def ok(self) -> bool:
        """Every file ran, also those for later, and all of it comes to the same as the original."""
        if self.after is None or self.differences or not self.state_kept:
            return False
        names = {*self.files, *self.later}
        ran = [each for each in self.after.migrations if each.app == self.app and each.name in names]
        return len(ran) == len(names) and all(each.outcome is Outcome.DONE for each in ran)

    @property
    def safe(self) -> bool:
        """The files are safe, for locks and for the running release."""
        verdicts = (self.lock_safety, self.compatibility)
        return self.ok and all(each is not None and each.kind is VerdictKind.SAFE for each in verdicts)

    def write(self) -> tuple[Path, ...]:
        """Put the files in the place of the pending one and return their paths; all of them or none.

        Those for the next release stay in ``folder``. Raises GateClosed when they do not come to the same as the
        original, when it was applied or changed meanwhile, and WriteError when the disk refuses.
        """
        if not self.files:
            raise errors.UsageError(f"There is nothing to write instead of {self}.", hint="see .left for the reasons")
        if not self.ok:
            raise errors.GateClosed(
                f"The files for {self} did not come to the same as the original when they were rehearsed.",
                gate="rehearsed",
                hint="see .differences and .after; take the files in .folder as a draft",
            )
        applied = {(each["app"], each["name"]) for each in self.target.ask("history")}
        if (self.app, self.name) in applied:
            raise errors.GateClosed(
                f"{self.app}.{self.name} was applied meanwhile; an applied migration is never replaced.",
                gate="pending",
                hint="leave it as it is",
            )
        return Replacement(self.path, self.sha256, self.files).put()

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


def safer(
    target: Target,
    app: str,
    name: str,
    *,
    backup: Backup | None = None,
    progress: ProgressCallback | None = None,
) -> Safer:
    """Write the safe migrations for one pending migration into a private folder, rehearse them, and return both.

    The project's own files are left alone until ``write()``. Both the original and the files run on copies of the
    latest verified backup, or of ``backup``. Raises UsageError for a migration that is applied, and what checking and
    rehearsing raise.
    """
    (migration,) = plan_of(target.ask("replay", app=app, name=name)).wanted
    if migration.applied:
        raise errors.UsageError(
            f"{migration} is applied already; an applied migration is never replaced.",
            hint="name a migration that is pending: rb.status()",
        )
    assessment = check_plan(target, app, migration.name).of(app, migration.name)
    found = combined_remedy(migration, assessment.findings if assessment else ())
    path = Path(migration.file or "")
    if found.remedy is None:
        left = found.left or (_nothing(migration, assessment),)
        return _result(target, migration, path, found, left=left)
    before = rehearse(target, app, migration.name, backup=backup, progress=progress)
    folder = private_folder(target.project.root, str(migration))
    place = _laid_out(folder, path, found.remedy)
    state = _state(target)
    last = [*found.remedy.files, *found.remedy.later][-1]
    with contextlib.closing(_with_migrations(target, app, place)) as replaced:
        state_kept = _state(replaced) == state
        after = rehearse(replaced, app, last, backup=backup, progress=progress)
    original = before.of(app, migration.name)
    differences: tuple[SchemaChange, ...] = ()
    notes = found.remedy.notes
    if original is None or original.outcome is not Outcome.DONE:
        why = original.error if original is not None else "it did not run"
        notes = (*notes, f"As it stands {migration} fails on the copy, so there is no schema to compare with: {why}")
    elif before.schema is not None and after.schema is not None:
        differences = tuple(each for each in schema_changes(before.schema, after.schema) if each.matters)
    return _result(
        target,
        migration,
        path,
        found,
        before=before,
        after=after,
        differences=differences,
        state_kept=state_kept,
        notes=notes,
        folder=folder,
    )


def _result(
    target: Target,
    migration: PlanMigration,
    path: Path,
    found: Combined,
    *,
    left: tuple[str, ...] | None = None,
    before: Rehearsal | None = None,
    after: Rehearsal | None = None,
    differences: tuple[SchemaChange, ...] = (),
    state_kept: bool = True,
    notes: tuple[str, ...] = (),
    folder: Path | None = None,
) -> Safer:
    remedy = found.remedy
    return Safer(
        app=migration.app,
        name=migration.name,
        title=remedy.title if remedy else "",
        files=remedy.files if remedy else {},
        later=remedy.later if remedy else {},
        notes=notes,
        left=found.left if left is None else left,
        before=before,
        after=after,
        differences=differences,
        state_kept=state_kept,
        folder=folder,
        path=path,
        sha256=digest(path),
        target=target,
    )


def _nothing(migration: PlanMigration, assessment: MigrationAssessment | None) -> str:
    if assessment is not None and assessment.lock_safety.kind is VerdictKind.SAFE:
        return f"{migration} is safe as it stands, as far as the check can tell: rehearse it."
    return f"The check has found nothing in {migration} that could be rewritten."


def _laid_out(folder: Path, path: Path, remedy: Remedy) -> Path:
    """Copy the app's migrations into the folder, the files in place of the original; return where they lie."""
    place = folder / "migrations"
    shutil.copytree(path.parent, place, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "__init__.py").touch()
    (folder / "original.py").write_bytes(path.read_bytes())
    for name, source in {**remedy.files, **remedy.later}.items():
        (place / f"{name}.py").write_text(source, encoding="utf-8")
    if remedy.later:
        (folder / "next_release").mkdir()
    for name, source in remedy.later.items():
        (folder / "next_release" / f"{name}.py").write_text(source, encoding="utf-8")
    return place


def _with_migrations(target: Target, app: str, place: Path) -> Target:
    return replace(target, worker=Worker(target.project, migrations={app: str(place)}))


def _state(target: Target) -> list[str]:
    """Return what makemigrations would find, in a fixed order."""
    found: Any = target.ask("model_changes", answers={})
    return sorted(f"{each['app']}: {operation}" for each in found["migrations"] for operation in each["operations"])


def _worst(verdicts: list[Verdict]) -> Verdict | None:
    order = (VerdictKind.UNSAFE, VerdictKind.UNKNOWN, VerdictKind.SAFE)
    return min(verdicts, key=lambda each: order.index(each.kind), default=None)
