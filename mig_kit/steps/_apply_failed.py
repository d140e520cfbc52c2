"""What is said when a migration stopped: where things stand, by asking the database, not by memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mig_kit import errors
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.unfinished import GO_BACK

__all__ = ["failed", "interrupted"]


def interrupted() -> errors.MigKitError:
    """Return the reason for a stop that somebody asked for."""
    return errors.MigKitError(
        "it was interrupted.", hint="look at rb.status(), then run rb.apply() again: it goes on where this stopped"
    )


def failed(run: Migrating, plan: Sequence[Any], exc: errors.MigKitError) -> errors.ApplyFailed:
    """Return the error that says what of a plan is done, what failed, and what was not begun.

    A migration that goes backwards is done when it is not recorded any more.
    """
    recorder = run.recorder
    try:
        recorded = {(each["app"], each["name"]) for each in run.target.ask("history")}
        done = [str(each) for each in plan if ((each.app, each.name) in recorded) != each.backwards]
        if run.step == GO_BACK:  # what is taken back there was never recorded
            done = [str(each) for each in recorder.done]
        known = True
    except errors.MigKitError:
        seen = {(each.app, each.name) for each in recorder.done}
        done = [str(each) for each in plan if (each.app, each.name) in seen]
        known = False
    backwards = any(each.backwards for each in plan)
    rest = [str(each) for each in plan if str(each) not in done and str(each) != recorder.current]
    lines = [f"{recorder.current or 'migrate'} failed: {exc.message}"]
    lines.append(
        f"{'Taken back' if backwards else 'Applied'}: {', '.join(done) or 'none'}. "
        f"Not begun: {', '.join(rest) or 'none'}."
    )
    if isinstance(exc, errors.OperationFailed) and exc.kind in _WAITED and recorder.in_the_way:
        lines.append(f"In its way: {'; '.join(recorder.in_the_way)}.")
    stopped = bool(recorder.current) and recorder.current not in done
    half_done = stopped and not (recorder.atomic and recorder.guarded)
    if recorder.current in done:
        state = "is not recorded any more" if backwards else "itself is recorded as applied"
        lines.append(f"{recorder.current} {state}: what failed came after its commit.")
    elif half_done:
        if recorder.part:
            lines.append(f"It stopped in {recorder.part}.")
        if recorder.atomic:
            lines.append(
                f"{recorder.current} was run by the project's own executor: it may be done without its record."
            )
        else:
            lines.append(f"{recorder.current} is not atomic: what it did before it failed stays done.")
    if not known:
        lines.append("The database could not be asked: this is what was seen before.")
    again = "rb.resume(): it goes on where this stopped" if half_done else _AGAIN[backwards]
    return errors.ApplyFailed(
        "\n".join(lines),
        applied=done,
        failed=recorder.current,
        not_applied=rest,
        unfinished=half_done or not known,
        hint=exc.hint or f"mend the cause, look at rb.status(), then {again}",
        traceback=getattr(exc, "traceback", ""),
    )


_WAITED = ("GaveUp", "LockNotAvailable")
_AGAIN = {
    False: "run rb.apply() again: it goes on where this stopped",
    True: "run rb.rollback() again: it goes on where this stopped",
}
