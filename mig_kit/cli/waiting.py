"""The options that say how long to wait for locks, and what to do with those who hold them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypedDict

import click

__all__ = ["Wait", "waiting_options"]


class Wait(TypedDict):
    """What the steps take that wait for locks."""

    lock_timeout_s: float
    give_up_after_s: float
    end_blockers: bool


_OPTIONS = (
    click.option(
        "--lock-timeout",
        "lock_timeout_s",
        type=click.FloatRange(0, min_open=True),
        default=0.5,
        show_default=True,
        metavar="SECONDS",
        help="The longest to stand in a queue for a lock; then it is tried again, later and later.",
    ),
    click.option(
        "--give-up-after",
        "give_up_after_s",
        type=click.FloatRange(0, min_open=True),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="For how long to try.",
    ),
    click.option("--end-blockers", is_flag=True, help="End sessions that hold the locks; else they are only shown."),
)


def waiting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; the function gets them as one ``wait``."""

    @functools.wraps(function)
    def call(*args: Any, lock_timeout_s: float, give_up_after_s: float, end_blockers: bool, **values: Any) -> Any:
        wait = Wait(lock_timeout_s=lock_timeout_s, give_up_after_s=give_up_after_s, end_blockers=end_blockers)
        return function(*args, wait=wait, **values)

    for option in reversed(_OPTIONS):
        call = option(call)
    return call
