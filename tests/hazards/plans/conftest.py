"""The project of cases, once for each server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mig_kit.postgres import Server
from tests.hazards.plans.site import CaseSite, case_site


@pytest.fixture(scope="package")
def site18(server18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseSite]:
    """The cases on PostgreSQL 18."""
    with case_site(tmp_path_factory.mktemp("cases") / "site", server18) as made:
        yield made


@pytest.fixture(scope="package")
def site15(server15: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseSite]:
    """The cases on PostgreSQL 15."""
    with case_site(tmp_path_factory.mktemp("cases") / "site", server15) as made:
        yield made


@pytest.fixture(params=["site15", "site18"], ids=["pg15", "pg18"])
def site(request: pytest.FixtureRequest) -> CaseSite:
    """The cases on either."""
    found: CaseSite = request.getfixturevalue(request.param)
    return found
