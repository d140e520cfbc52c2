"""One check and its outcome, as preflight and verify give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__all__ = ["Check", "check_frame"]


@dataclass(frozen=True, slots=True)
class Check:
    """State what was checked, how it came out, the evidence, and the next step where it did not hold.

    ``state``: "ok"; "warning" (it holds, with something to know); "failed"; "skipped" (it does not apply, or could
    not be looked at: never the same as ok).
    """

    name: str
    state: str
    detail: str
    hint: str = ""


def check_frame(checks: Sequence[Check]) -> pandas.DataFrame:
    """Return checks as a DataFrame: check, state, detail, next step."""
    import pandas

    frame = pandas.DataFrame([asdict(each) for each in checks], columns=["name", "state", "detail", "hint"])
    return frame.rename(columns={"name": "check", "hint": "next step"})
