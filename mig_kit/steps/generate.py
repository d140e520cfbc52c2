"""Step 3, generate: write the migration files and check them."""

from __future__ import annotations

import hashlib
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
    ``WriteError`` when a file cannot be written; in both cases nothing is left behind.
    """
    data = target.ask("generate", answers=dict(answers or {}), apps=list(apps) if apps else None, name=name)
    files = tuple(_file(each) for each in data["files"])
    unused = tuple(f"No question has the id {each!r}: that answer was not used." for each in data["unused_answers"])
    return Generated(files, check_files(target, files), tuple(data["warnings"]) + unused)


def merge(target: Target, *, answers: Mapping[str, Any] | None = None, name: str | None = None) -> Generated:
    """Write a merge migration for each app with several leaf nodes, as ``makemigrations --merge`` does."""
    data = target.ask("merge", answers=dict(answers or {}), name=name)
    files = tuple(_file(each) for each in data["files"])
    return Generated(files, check_files(target, files), (), tuple(data["branches"]))


def _file(data: Mapping[str, Any]) -> GeneratedFile:
    return GeneratedFile(
        app=data["app"],
        name=data["name"],
        path=Path(data["path"]),
        source=data["source"],
        sha256=hashlib.sha256(data["source"].encode()).hexdigest(),
        created=tuple(Path(each) for each in data["created"]),
    )


def check_files(target: Target, files: Sequence[GeneratedFile]) -> tuple[Finding, ...]:
    """Run the runbook's three checks on files; a graph that does not load is a finding of its own.

    Without a reachable database the checks are made all the same, and nothing counts as applied.
    """
    if not files:
        return ()
    try:
        operations = target.ask("operations", migrations=[[each.app, each.name] for each in files])
    except errors.MigrationGraphError as exc:
        first = files[0]
        return (
            Finding(
                "MK120",
                Severity.ERROR,
                first.app,
                first.name,
                "load the graph",
                exc.message,
                exc.hint,
                "catalog",
            ),
        )
    except errors.DatabaseError as exc:
        first = files[0]
        return (Finding("MK100", Severity.WARNING, first.app, first.name, "check", exc.message, exc.hint, "unknown"),)
    graph = target.ask("graph")
    nodes = {(each["app"], each["name"]): each for each in graph["nodes"]}
    applied = {key for key, node in nodes.items() if node["applied"]}
    known = set(nodes) | {tuple(each) for node in nodes.values() for each in node["replaces"]}
    return check_generated(operations, applied=applied, known=known)


def undo(target: Target, generated: Generated) -> tuple[Path, ...]:
    """Remove the files that ``generated`` wrote, and return their paths.

    Only those it wrote, only while they are as it wrote them, only while this database has not applied them:
    otherwise ``WriteError`` says which and why, and nothing is removed.
    """
    applied = {(each["app"], each["name"]) for each in target.ask("history")}
    present = [each for each in generated.files if each.path.exists()]
    for each in present:
        if (each.app, each.name) in applied:
            raise errors.WriteError(
                f"{each.app}.{each.name} is applied to the database {target.database!r}; its file stays.",
                hint=f"take it back first: manage.py migrate {each.app} to the migration before it",
            )
        if hashlib.sha256(each.path.read_bytes()).hexdigest() != each.sha256:
            raise errors.WriteError(
                f"{each.path} was edited after it was generated; no file was removed.",
                hint="remove it by hand if you no longer want it",
            )
    removed = []
    for each in present:
        each.path.unlink()
        removed.append(each.path)
        for made in reversed(each.created):
            if made.is_dir():
                if not [child for child in made.iterdir() if child.name != "__pycache__"]:
                    for cached in made.glob("__pycache__/*"):
                        cached.unlink()
                    (made / "__pycache__").rmdir() if (made / "__pycache__").exists() else None
                    made.rmdir()
            elif not [child for child in made.parent.glob("*.py") if child != made]:
                made.unlink(missing_ok=True)
    return tuple(removed)
