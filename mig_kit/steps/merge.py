"""Merge: write the migrations that join several leaf nodes of an app, while nobody migrates the database."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from mig_kit.postgres.migration_lock import MigrationLock
from mig_kit.postgres.pooling import refuse_pooling
from mig_kit.steps import generate
from mig_kit.steps.generate import Generated
from mig_kit.steps.target import Target

__all__ = ["merge"]


def merge(target: Target, *, answers: Mapping[str, Any] | None = None, name: str | None = None) -> Generated:
    """Write a merge migration for each app with several leaf nodes and check it; nothing is run.

    The lock on migrating the database is held meanwhile: a session that is applying reads the same files. Raises
    ``GateClosed`` that says who holds it, ``UnansweredQuestions`` and ``WriteError``; then nothing is left behind.
    """
    with contextlib.ExitStack() as stack:
        if target.info is not None:
            refuse_pooling(target.info)
            stack.enter_context(MigrationLock.acquire(target.info, "merge"))
        return generate.merge(target, answers=answers, name=name)
