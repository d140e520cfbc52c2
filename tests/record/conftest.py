"""Shared by the tests of the record: they need files only, no database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mig_kit.record import clear_secrets


@pytest.fixture(autouse=True)
def _no_registered_secrets() -> Iterator[None]:
    clear_secrets()
    yield
    clear_secrets()
