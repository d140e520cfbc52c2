"""The steps of a remedy, and the files that they make."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from mig_kit.hazards.plan import PlanMigration
from mig_kit.hazards.remedies._code import literal
from mig_kit.hazards.remedies._remedy import Remedy
from mig_kit.hazards.remedies._source import Source, names_used, reindented

__all__ = ["Step", "compose", "kept"]


@dataclass(frozen=True, slots=True)
class Step:
    """State what belongs into one transaction, or into none.

    ``operations``: Python text, each an expression. ``slug``: for the file's name; ``says``: what it does, as a verb
    phrase. ``alone``: it shares its file with nothing. ``imports``: lines; ``helpers``: functions as text. ``table``:
    the one that it locks, where files are to be divided by that. ``later``: it belongs to the next release.
    """

    operations: tuple[str, ...]
    slug: str
    says: str
    atomic: bool = True
    alone: bool = True
    imports: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    table: str | None = None
    later: bool = False


_MIGRATIONS = "from django.db import migrations"


def kept(source: Source, number: int, migration: PlanMigration, says: str = "does the rest") -> Step:
    """Return the step that runs one operation of the original as it is."""
    return Step((source.operations[number],), "rest", says, atomic=migration.atomic, alone=not migration.atomic)


@dataclass
class _File:
    steps: list[Step] = field(default_factory=list)

    def takes(self, step: Step) -> bool:
        if not self.steps:
            return True
        last = self.steps[-1]
        return not (last.alone or step.alone) and last.atomic == step.atomic and last.table == step.table


def compose(
    migration: PlanMigration, source: Source, steps: Sequence[Step], title: str, notes: Sequence[str] = ()
) -> Remedy:
    """Put steps into files, in their order; those of the next release into files of their own."""
    now, later = _files([each for each in steps if not each.later]), _files([each for each in steps if each.later])
    if not now:
        # The state has to be complete with the original's name, whatever is left for later.
        now = [_File([Step((), "rest", "changes nothing yet")])]
    names = [*_names(migration.name, now[:-1]), migration.name]
    later_names = _names(migration.name, later, "next_release_")
    files: dict[str, str] = {}
    earlier: str | None = None
    for name, file in zip([*names, *later_names], [*now, *later], strict=True):
        files[name] = _written(migration, source, file, earlier, last=name == migration.name, title=title)
        earlier = name
    shown = [_operations_text(file) for file in [*now, *later]]
    return Remedy(
        title=title,
        files={name: files[name] for name in names},
        code="\n\n".join(f"# {name}.py\n{text}" for name, text in zip(files, shown, strict=True)),
        replaces=(migration.app, migration.name),
        notes=tuple(dict.fromkeys(notes)),
        later={name: files[name] for name in later_names},
    )


def _files(steps: Sequence[Step]) -> list[_File]:
    files: list[_File] = []
    for step in steps:
        if not files or not files[-1].takes(step):
            files.append(_File())
        files[-1].steps.append(step)
    return files


def _names(name: str, files: Sequence[_File], before: str = "") -> list[str]:
    """Name files by number, step and what they do: they sort as they run.

    None begins with the name that they replace: ``migrate`` takes a name for a prefix, and would find several.
    """
    number_part = re.match(r"\d+_", name)
    start = number_part[0] if number_part else ""
    rest = name.removeprefix(start)
    found = []
    for number, file in enumerate(files, start=1):
        slug = "_".join(dict.fromkeys(step.slug for step in file.steps))
        found.append(f"{start or 'step_'}{before}{number}_{slug}_for_{rest}"[:100].rstrip("_"))
    return found


def _operations_text(file: _File) -> str:
    lines = ["atomic = False"] if not file.steps[0].atomic else []
    lines += ["operations = ["]
    lines += [f"    {reindented(each, 4)}," for step in file.steps for each in step.operations]
    return "\n".join([*lines, "]"])


def _written(
    migration: PlanMigration, source: Source, file: _File, earlier: str | None, *, last: bool, title: str
) -> str:
    operations = [each for step in file.steps for each in step.operations]
    helpers = list(dict.fromkeys(each for step in file.steps for each in step.helpers))
    attributes = []
    if not file.steps[0].atomic:
        attributes.append(("atomic", "False"))
    if "initial" in source.attributes and earlier is None:
        attributes.append(("initial", source.attributes["initial"]))
    first = source.attributes.get("dependencies", "[]")
    attributes.append(
        ("dependencies", first if earlier is None else f"[({literal(migration.app)}, {literal(earlier)})]")
    )
    if "run_before" in source.attributes and last:
        attributes.append(("run_before", source.attributes["run_before"]))
    head = _head(source, file, [*operations, *(text for _name, text in attributes), *helpers])
    says = "; ".join(dict.fromkeys(step.says for step in file.steps))
    said = f"{title}: this file {says}.".replace("\\", "/").replace('"', "'")
    docstring = "\n".join(textwrap.wrap(said, 96))
    body = "".join(f"    {name} = {text}\n\n" for name, text in attributes)
    listed = "".join(f"        {reindented(each, 8)},\n" for each in operations)
    functions = "".join(f"\n\n{each.strip()}\n" for each in helpers)
    return (
        f'"""{docstring}{_end(docstring)}\n\n{head}{functions}\n\nclass Migration(migrations.Migration):\n{body}'
        f"    operations = [\n{listed}    ]\n"
    )


def _end(docstring: str) -> str:
    return '"""' if "\n" not in docstring else '\n"""'


def _head(source: Source, file: _File, texts: Sequence[str]) -> str:
    """Return the imports and what else of the original's module is used."""
    needed = source.needed_by(texts)
    rest = [text for text in needed if not _is_import(text)]
    used = frozenset().union(*(names_used(text) for text in [*texts, *rest])) | {"migrations"}
    lines = [_trimmed(text, used) for text in needed if _is_import(text)]
    bound = {name for line in lines for name in _names_of(line)}
    more = [_MIGRATIONS, *(line for step in file.steps for line in step.imports)]
    lines += [line for line in dict.fromkeys(more) if not _names_of(line) <= bound]
    head = "\n".join(sorted(set(lines), key=_import_order))
    return head + "\n" + "".join(f"\n\n{text}\n" for text in rest)


def _is_import(text: str) -> bool:
    return re.match(r"(from|import)\s", text) is not None


def _trimmed(text: str, used: frozenset[str]) -> str:
    """Return an import of no more than is used."""
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    node.names = [each for each in node.names if (each.asname or each.name).partition(".")[0] in used]
    return ast.unparse(node)


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _names_of(line: str) -> set[str]:
    return {each.rpartition(" as ")[2].strip() for each in line.partition("import ")[2].split(",")}
