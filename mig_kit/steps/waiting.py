"""How long a step waits for locks, and whom it may end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mig_kit import errors

__all__ = ["Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a migration waits for locks, in seconds, and whether it ends those who hold them.

    ``lock_timeout_s``: the longest that it stands in a queue in which others stand behind it. ``give_up_after_s``: how
    long it tries again and again. ``end_blockers``: all of them, or these sessions (``Session.key``).
    """

    lock_timeout_s: float = 0.5
    give_up_after_s: float = 300.0
    end_blockers: bool | frozenset[tuple[int, datetime | None]] = False

    def __post_init__(self) -> None:
        for name in ("lock_timeout_s", "give_up_after_s"):
            if getattr(self, name) <= 0:
                raise errors.UsageError(
                    f"{name} is {getattr(self, name):g}: nothing can be had in that time.", hint="give seconds above 0"
                )
