"""A remedy: the migrations to write instead of one that is not safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["NoRemedy", "Remedy"]


class NoRemedy(Exception):
    """It cannot be made safe by rewriting alone; the argument says why, without a full stop."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """State which files to write in place of one migration.

    ``title``: what they do, in one line. ``files``: name → source, in the order they run; the last one has the name of
    the migration that they replace, and the project's state after it is the same. ``later``: files of the same kind
    for the next release, to be written when the code that runs now is gone. ``code``: the operations of all of them,
    short enough for a hint. ``replaces``: (app, name). ``notes``: what a person has to know, a sentence each.
    """

    title: str
    files: Mapping[str, str]
    code: str
    replaces: tuple[str, str]
    notes: tuple[str, ...] = ()
    later: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        app, name = self.replaces
        more = f" and {len(self.later)} later" if self.later else ""
        return f"<Remedy for {app}.{name}: {len(self.files)} files{more}>"
