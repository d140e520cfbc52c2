"""The way back from one migration as it was tried: whether there is one, and what does not come back by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mig_kit.steps._rehearsed_statement import RehearsedStatement

if TYPE_CHECKING:
    from mig_kit.postgres.schema import SchemaChange

__all__ = ["BackOutcome", "Loss", "ValuesChanged", "WayBack"]


class BackOutcome(Enum):
    """What became of a migration going backwards."""

    DONE = "done"
    IRREVERSIBLE = "irreversible"  # it says itself that it cannot be taken back
    RAISED = "raised"  # it says it can, and failed
    NOT_TRIED = "not tried"  # one after it could not be taken back, or it never ran

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class ValuesChanged:
    """State that values of a column are others than before; ``changed`` of ``rows``, None where nobody counted."""

    table: str
    column: str
    changed: int | None
    rows: int

    def __str__(self) -> str:
        many = "some" if self.changed is None else f"{self.changed:,} of {self.rows:,}"
        return f"{self.table}.{self.column}: {many} values changed"


@dataclass(frozen=True, slots=True)
class Loss:
    """State what did not come back: rows of a table (``column`` None), or values of a column.

    ``lost`` of ``before``; ``lost`` is None where it is known that some are lost and not how many.
    """

    table: str
    column: str | None
    lost: int | None
    before: int

    def __str__(self) -> str:
        name = f"{self.table}.{self.column}" if self.column else self.table
        what = "values" if self.column else "rows"
        return f"{name}: {'some' if self.lost is None else f'{self.lost:,}'} of {self.before:,} {what} lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """State how taking one migration back went, and running it again; times in milliseconds.

    ``error``: why not, '' else. ``statements``: what ran backwards. ``schema_changes``: what of the schema is not as it
    was before the migration; ``again_changes``: what is not as it was after it, once it ran again. ``again_error``: why
    it did not run again. ``lost``: rows and values that did not come back. ``compared``: whether values were compared.
    """

    outcome: BackOutcome
    error: str = ""
    ms: float = 0.0
    statements: tuple[RehearsedStatement, ...] = ()
    schema_changes: tuple[SchemaChange, ...] = ()
    lost: tuple[Loss, ...] = ()
    compared: bool = False
    again_ms: float | None = None
    again_error: str = ""
    again_changes: tuple[SchemaChange, ...] = ()

    @property
    def identical(self) -> bool | None:
        """Tell whether the schema came back identical, both ways; None where that was not tried."""
        if self.outcome is not BackOutcome.DONE:
            return None
        return not self.schema_changes and not self.again_changes

    @property
    def ok(self) -> bool:
        """Tell whether nothing went wrong: a way back that is said not to exist is no failure."""
        if self.outcome is BackOutcome.DONE:
            return bool(self.identical) and not self.again_error
        return self.outcome is not BackOutcome.RAISED

    @property
    def words(self) -> str:
        """Say on one line how it went and what is lost."""
        if self.outcome is not BackOutcome.DONE:
            return f"{self.outcome}: {self.error}" if self.error else str(self.outcome)
        said = ["goes back" if not self.schema_changes else "goes back to another schema than before"]
        said += [str(each) for each in self.lost]
        if not self.compared:
            said.append("values were not compared")
        if self.again_error:
            said.append(f"does not run again: {self.again_error}")
        elif self.again_changes:
            said.append("ends in another schema when it runs again")
        return "; ".join(said)


for _each in (BackOutcome, Loss, ValuesChanged, WayBack):
    _each.__module__ = "mig_kit.steps.rehearse"
