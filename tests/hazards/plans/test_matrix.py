"""The replay in each Django that is supported, on PostgreSQL 18: it writes what that Django writes when it may ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.postgres import Server
from mig_kit.steps.check_plan import check_plan
from tests.hazards.plans.cases import CASES
from tests.hazards.plans.site import case_site
from tests.hazards.plans.test_measured import OTHERWISE, texts
from tests.venvs import MATRIX, Pair, venv

# One Python for each Django: its oldest, which has the most to miss.
PAIRS = list({pair.django: pair for pair in reversed(MATRIX)}.values())


@pytest.mark.matrix
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_writes_what_this_django_writes(pair: Pair, server18: Server, tmp_path: Path) -> None:
    major, minor = map(int, pair.django.split("."))
    cases = [case for case in CASES if "Big" in case.models and case.since <= (major, minor)]
    python = venv(pair.python, pair.packages)
    with case_site(tmp_path / "site", server18, "matrix_cases", python=python, django=(major, minor)) as site:
        assert site.target.django.startswith(pair.django)
        names = [case.migration("Big") for case in cases]
        differ = []
        for case, name in zip(cases, names, strict=True):
            replayed = site.target.ask("replay", app="shop", name=name)["migrations"][0]
            found = site.target.ask("sql", migrations=[["shop", name]])[0]
            if case.name not in OTHERWISE and texts(replayed) != texts(found):
                differ.append((case.name, texts(replayed), texts(found)))
        assert differ == []
        verdicts = {
            case.name: str(check_plan(site.target, "shop", case.migration("Big")).migrations[0].lock_safety.kind)
            for case in cases
        }
        assert verdicts == {case.name: case.verdict for case in cases}
