"""Measure two ways to do the same work in turn, and show them side by side.

In turn (A B A B …), so that a machine whose speed drifts bends both alike; the ratio is that of the medians. Nothing is
asserted: the targets stand beside what was seen.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

__all__ = ["Options", "Row", "in_turn", "seconds", "show", "tell"]


@dataclass(frozen=True)
class Options:
    """What the command line chose: ``runs`` pairs of each comparison, ``megabytes`` of database where one is made."""

    runs: int = 5
    megabytes: int = 1500


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of ours and of theirs, run by run, and the target for the ratio.

    ``faster``: the target says how many times faster ours is, else how many times longer it takes. ``notes`` are
    printed below the table, one sentence each.
    """

    what: str
    ours: list[float]
    theirs: list[float]
    target: str
    faster: bool
    notes: tuple[str, ...] = field(default=())

    @property
    def ratio(self) -> float:
        """How many times faster ours is, or how many times longer it takes, as the target is worded."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return theirs / ours if self.faster else ours / theirs


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(runs: int, ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Measure two pieces of work in turn."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return [a for a, _b in pairs], [b for _a, b in pairs]


def tell(what: str) -> None:
    """Say on standard error what is being done."""
    print(f"{what} …", file=sys.stderr, flush=True)


def show(rows: Sequence[Row]) -> None:
    """Print the table: medians in seconds, the ratio, its spread over the pairs, the target."""
    table = Table(title="Measured side by side in one run: medians")
    for name in ("comparison", "ours (s)", "theirs (s)", "ratio", "ratio by pair", "target"):
        table.add_column(name, justify="left" if name == "comparison" else "right")
    for row in rows:
        pairs = [b / a if row.faster else a / b for a, b in zip(row.ours, row.theirs, strict=True)]
        table.add_row(
            row.what,
            f"{statistics.median(row.ours):.3f}",
            f"{statistics.median(row.theirs):.3f}",
            f"{row.ratio:.2f}",
            f"{min(pairs):.2f}–{max(pairs):.2f}",
            row.target,
        )
    console = Console(width=120)
    console.print(table)
    for row in rows:
        for note in row.notes:
            console.print(f"{row.what}: {note}", highlight=False)
