"""The success criteria, judged by what steps left behind; no project is needed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mig_kit.errors import ApplyFailed
from mig_kit.steps.apply import Applied, AppliedMigration
from mig_kit.steps.check import Check
from mig_kit.steps.criteria import SuccessCriteria, success_criteria
from mig_kit.steps.generate import Generated, GeneratedFile
from mig_kit.steps.review import ModelChanges, PendingOperation
from mig_kit.steps.verify import Verification

GENERATED = Generated((GeneratedFile("blog", "0005_x", Path("0005_x.py"), "", ""),), ())
APPLIED = Applied((AppliedMigration("blog", "0005_x", 1.0, ()),), datetime.now(UTC), 0.1, "")
FAILED = ApplyFailed("blog.0005_x failed: division by zero\nApplied: none. Not begun: none.")
CHANGES = ModelChanges(
    (PendingOperation("blog", "0005_x", "+", "AddField", "Add field", "Post", "x", None, None),), (), "", (), (), (), ()
)
NO_CHANGES = ModelChanges((), (), "", (), (), (), ())


def verification(**states: str) -> Verification:
    names = {
        "applied": "showmigrations: all applied",
        "models": "models import and can be queried",
        "admin": "admin works",
    }
    checks = tuple(Check(name, states.get(key, "ok"), f"evidence of {key}") for key, name in names.items())
    return Verification(checks, (), (), (), {})


def holds(criteria: SuccessCriteria) -> list[bool | None]:
    return [each.holds for each in criteria.criteria]


def test_nothing_holds_before_anything_was_done() -> None:
    criteria = success_criteria(None, [], [], None)
    assert holds(criteria) == [None] * 5
    assert not criteria
    assert [each.evidence for each in criteria.criteria] == [
        "no file was generated in this session",
        "not verified since the last change: rb.verify()",
        "nothing was applied in this session",
        "not verified since the last change: rb.verify()",
        "not verified since the last change: rb.verify()",
    ]
    assert list(criteria.to_frame()[""]) == ["[ ]"] * 5


def test_all_hold_after_a_whole_session() -> None:
    criteria = success_criteria(CHANGES, [GENERATED], [APPLIED], verification())
    assert criteria
    assert [each.evidence for each in criteria.criteria] == [
        "blog.0005_x; no findings",
        "evidence of applied",
        "1 migration applied in this session",
        "evidence of models",
        "evidence of admin",
    ]
    frame = criteria.to_frame()
    assert list(frame.columns) == ["", "success criterion", "evidence"]
    assert list(frame[""]) == ["[x]"] * 5


def test_changes_that_nobody_generated_do_not_hold() -> None:
    assert holds(success_criteria(CHANGES, [], [], None))[0] is False
    assert holds(success_criteria(NO_CHANGES, [], [], None))[0] is None


def test_a_failed_apply_does_not_hold_until_one_succeeds_and_is_not_forgotten() -> None:
    failed = success_criteria(CHANGES, [GENERATED], [APPLIED, FAILED], None).criteria[2]
    assert (failed.holds, failed.evidence) == (False, "blog.0005_x failed: division by zero")
    mended = success_criteria(CHANGES, [GENERATED], [FAILED, APPLIED], None).criteria[2]
    assert (mended.holds, mended.evidence) == (True, "1 migration applied in this session, after 1 failed attempt")


def test_a_check_that_was_skipped_does_not_hold_and_a_warning_does() -> None:
    criteria = success_criteria(None, [], [], verification(admin="skipped", applied="warning", models="failed"))
    assert holds(criteria)[1] is True
    assert holds(criteria)[3] is False
    assert holds(criteria)[4] is None
