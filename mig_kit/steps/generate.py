"""Step 3, generate: write the migration files and check them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.hazards import Finding, Severity, check_generated
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["Generated", "GeneratedFile", "generate", "merge", "undo"]


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """One migration file as it was written; ``created`` lists what had to be made beside it (a new package)."""

    app: str
    name: str
    path: Path
    source: str
    sha256: str
    created: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """The files that were written and what the checks found in them."""

    files: tuple[GeneratedFile, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()
    branches: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(f"{each.app}.{each.name}" for each in self.files)
        return f"<Generated: {names or 'nothing'}; {len(self.findings)} findings>"

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings to resolve before going on."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a finding: severity, id, migration, operation, message, next step."""
        import pandas

        rows = [
            (str(f.severity), f.id, f"{f.app}.{f.migration}", f.operation, f.message, f.hint) for f in self.findings
        ]
        return pandas.DataFrame(rows, columns=["severity", "id", "migration", "operation", "message", "next step"])


def generate(
    target: Target,
    *,
    answers: Mapping[str, Any] | None = None,
    apps: Sequence[str] | None = None,
    name: str | None = None,
) -> Generated:
    """Write the pending migrations and check them; nothing pending writes nothing.

    ``apps`` and ``name`` as for makemigrations. Raises ``UnansweredQuestions`` with every open question,
    ``WriteError`` when a file cannot be written; in both cases, and after Ctrl-C, nothing is left behind.
    """
    data = target.ask("generate", answers=dict(answers or {}), apps=list(apps) if apps else None, name=name)
    return _checked(target, data, warnings=data["warnings"])


def merge(target: Target, *, answers: Mapping[str, Any] | None = None, name: str | None = None) -> Generated:
    """Write a merge migration for each app with several leaf nodes, as ``makemigrations --merge`` does."""
    data = target.ask("merge", answers=dict(answers or {}), name=name)
    return _checked(target, data, branches=data["branches"])


def check_files(target: Target, files: Sequence[GeneratedFile]) -> tuple[Finding, ...]:
    """Run the runbook's three checks on files.

    A graph that does not load is a finding of its own (MK120); files that could not be checked, because the database
    does not say what it has applied for instance, are another (MK100): they are never called fine.
    """
    if not files:
        return ()
    first = files[0]
    try:
        operations = target.ask("operations", migrations=[[each.app, each.name] for each in files])
        graph = target.ask("graph")
    except errors.MigrationGraphError as exc:
        return (
            Finding("MK120", Severity.ERROR, first.app, first.name, "load the graph", exc.message, exc.hint, "catalog"),
        )
    except errors.MigKitError as exc:
        message = f"The files are written, and could not be checked: {exc.message}"
        return (Finding("MK100", Severity.WARNING, first.app, first.name, "check", message, exc.hint, "unknown"),)
    known, applied = set(), set()
    for node in graph["nodes"]:
        keys = {(node["app"], node["name"]), *((app, name) for app, name in node["replaces"])}
        known |= keys
        applied |= keys if node["applied"] else set()
    return check_generated(operations, applied=applied, known=known)


def undo(target: Target, generated: Generated) -> tuple[Path, ...]:
    """Remove the files that ``generated`` wrote, and return their paths.

    Only those it wrote, only while they are as it wrote them, this database has not applied them and no other
    migration depends on them: otherwise ``WriteError`` says which and why, and nothing is removed.
    """
    applied = {(each["app"], each["name"]) for each in target.ask("history")}
    present = [each for each in generated.files if each.path.exists()]
    needed = _depended_on(target, {(each.app, each.name) for each in present})
    for each in present:
        if (each.app, each.name) in applied:
            raise errors.WriteError(
                f"{each.app}.{each.name} is applied to the database {target.database!r}; its file stays.",
                hint=f"take it back first: rb.rollback({each.app!r}, the migration before it)",
            )
        if hashlib.sha256(each.path.read_bytes()).hexdigest() != each.sha256:
            raise errors.WriteError(
                f"{each.path} was edited after it was generated; no file was removed.",
                hint="remove it by hand if you no longer want it",
            )
        if (each.app, each.name) in needed:
            raise errors.WriteError(
                f"{needed[each.app, each.name]} depends on {each.app}.{each.name}; no file was removed.",
                hint="remove that one first, by hand",
            )
    try:
        return _remove(present)
    except OSError as exc:
        raise errors.WriteError(
            f"{exc.filename} could not be removed: {exc.strerror}.", hint="remove it by hand"
        ) from exc


def _checked(
    target: Target,
    data: Mapping[str, Any],
    *,
    warnings: Sequence[str] = (),
    branches: Sequence[Mapping[str, Any]] = (),
) -> Generated:
    """Check what the worker wrote and return it; when the check is interrupted, take the files away again."""
    files = tuple(_file(each) for each in data["files"])
    try:
        findings = check_files(target, files)
    except BaseException:
        _remove(files)
        raise
    unused = tuple(f"No question has the id {each!r}: that answer was not used." for each in data["unused_answers"])
    return Generated(files, findings, (*warnings, *unused), tuple(branches))


def _file(data: Mapping[str, Any]) -> GeneratedFile:
    return GeneratedFile(
        app=data["app"],
        name=data["name"],
        path=Path(data["path"]),
        source=data["source"],
        sha256=hashlib.sha256(data["source"].encode()).hexdigest(),
        created=tuple(Path(each) for each in data["created"]),
    )


def _depended_on(target: Target, own: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return which of these migrations another one depends on, and which that is."""
    try:
        nodes = target.ask("graph")["nodes"]
    except errors.MigrationGraphError:
        return {}  # what is being undone may be the very thing that broke it
    return {
        (app, name): f"{node['app']}.{node['name']}"
        for node in nodes
        if (node["app"], node["name"]) not in own
        for app, name in node["dependencies"]
        if (app, name) in own
    }


def _remove(files: Sequence[GeneratedFile]) -> tuple[Path, ...]:
    """Remove files, and each migrations package that was made for them while it holds nothing else."""
    for each in files:
        each.path.unlink(missing_ok=True)
    for made in (path for each in files for path in each.created):
        if made.is_dir() and not any(_holds_something(path) for path in made.iterdir()):
            shutil.rmtree(made)
        elif made.is_file() and not _holds_something(made) and set(made.parent.glob("*.py")) == {made}:
            made.unlink()
    return tuple(each.path for each in files)


def _holds_something(path: Path) -> bool:
    return path.name != "__pycache__" and not (path.name == "__init__.py" and not path.stat().st_size)
