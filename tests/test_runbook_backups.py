"""Backups by a runbook: what is proved, what the journal gets of it; on a real demo (embedded PostgreSQL 18)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mig_kit.demo import create_demo, stop_demo
from mig_kit.runbook import Quiet, Runbook, open_runbook


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("backups") / "demo"
    create_demo(folder, scale=0.02)
    yield folder
    stop_demo(folder)


@pytest.fixture(scope="module")
def rb(root: Path) -> Iterator[Runbook]:
    with open_runbook(root) as opened:
        yield opened


def entries(rb: Runbook, step: str) -> list[dict[str, Any]]:
    assert rb.run is not None
    finished = (each.data for each in rb.run.journal.entries() if each.kind == "step finished")
    return [dict(each) for each in finished if each["step"] == step]


def test_a_backup_is_verified_and_the_journal_says_by_what(rb: Runbook) -> None:
    result = rb.backup()
    assert result.verified
    assert result.verification is not None
    assert rb.backed_up == result
    entry = entries(rb, "backup")[-1]
    assert entry["verified"] is True
    assert entry["restored"] == result.verification.scratch
    assert entry["checks"] == {each.name: f"{each.state}: {each.detail}" for each in result.verification.checks}
    assert entry["summary"].endswith("; restored; rows and contents compared with those of its snapshot")
    assert next(iter(rb.backups()["verified"])).startswith("yes: ")


def test_the_proof_may_come_later_and_is_the_sessions_then(rb: Runbook) -> None:
    made = rb.backup(verify=False)
    assert not made.verified
    assert entries(rb, "backup")[-1]["summary"].endswith(", not verified")
    assert rb.verify_backup()
    assert rb.backed_up is not None
    assert rb.backed_up.path == made.path
    assert rb.backed_up.verified
    assert entries(rb, "verify backup")[-1]["verified"] is True


def test_one_that_does_not_verify_is_returned_and_says_why(rb: Runbook) -> None:
    made = rb.backup(scratch="postgresql://nobody@127.0.0.1:1/postgres")
    assert not made.verified
    assert made.verification is not None
    assert made.verification.reason == "No PostgreSQL server answers at 127.0.0.1:1: Connection refused"
    assert entries(rb, "backup")[-1]["verified"] is False


def test_progress_goes_on_through_the_proof(root: Path) -> None:
    told: list[str] = []

    class Told(Quiet):
        def progress(self, step: str) -> Any:
            return contextlib.nullcontext(lambda progress: told.append(progress.message))

    with open_runbook(root, record=False, interaction=Told()) as other:
        other.backup()
    words = " ".join(told)
    for part in ("dumping public.blog_post", "hashing the files", "restoring public.blog_post", "digesting public."):
        assert part in words
