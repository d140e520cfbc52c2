"""One check and its outcome, as preflight and verify give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psycopg

from mig_kit import errors

if TYPE_CHECKING:
    import pandas

__all__ = ["Check", "check_frame", "failed_checks", "guarded"]


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


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Make a check; one that cannot be made has failed, in the error's words; without PostgreSQL it is skipped."""
    try:
        return check()
    except errors.NotPostgreSQL as exc:
        return Check(name, "skipped", exc.message, exc.hint)
    except errors.MigKitError as exc:
        return Check(name, "failed", exc.message, exc.hint)
    except psycopg.Error as exc:
        said = (exc.diag.message_primary or str(exc)).strip().partition("\n")[0]
        return Check(name, "failed", f"the server answered: {said}", "see the server's log")


def failed_checks(checks: Iterable[Check]) -> list[str]:
    """Return the names of the checks that failed."""
    return [each.name for each in checks if each.state == "failed"]


def check_frame(checks: Iterable[Check]) -> pandas.DataFrame:
    """Return checks as a DataFrame: check, state, detail, next step."""
    import pandas

    frame = pandas.DataFrame([asdict(each) for each in checks], columns=["name", "state", "detail", "hint"])
    return frame.rename(columns={"name": "check", "hint": "next step"})
