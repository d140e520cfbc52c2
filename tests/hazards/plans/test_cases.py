"""Every case checked: verdict, work and findings, on PostgreSQL 15 and 18 for a large table, on 18 for the others."""

from __future__ import annotations

import pytest

from mig_kit.hazards.assessment import MigrationAssessment
from mig_kit.steps.check_plan import check_plan
from tests.hazards.plans.cases import CASES, OLD_RELEASE, Case
from tests.hazards.plans.site import CaseSite

ORDER = ("info", "warning", "error")
# These say that the migration fails or cannot be looked into, whatever the size of a table.
FOR_ANY_SIZE = ("MK215", "MK411")


def checked(site: CaseSite, case: Case, model: str) -> MigrationAssessment:
    (found,) = check_plan(site.target, "shop", case.migration(model)).migrations
    return found


def gravest(found: MigrationAssessment) -> dict[str, str]:
    """The findings about locks, work and code; those about the running release do not go by a table's size."""
    severities: dict[str, str] = {}
    for each in found.findings:
        if not each.id.startswith("MK3"):
            severities[each.id] = max(severities.get(each.id, "info"), str(each.severity), key=ORDER.index)
    return severities


def of(model: str) -> list[Case]:
    return [case for case in CASES if model in case.models]


def test_there_are_many_cases() -> None:
    assert len(CASES) > 100
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", of("Big"), ids=str)
def test_a_large_table(site: CaseSite, case: Case) -> None:
    found = checked(site, case, "Big")
    assert gravest(found) == case.findings
    assert str(found.lock_safety.kind) == case.verdict, found.lock_safety
    unsure = any(each.evidence == "unknown" for each in found.statements)
    verdict, ids = OLD_RELEASE.get(case.name, ("unknown" if unsure else "safe", set()))
    assert (str(found.compatibility.kind), {each.id for each in found.findings if each.id[2] == "3"}) == (verdict, ids)
    names = site.names(case, "Big")
    assert {str(work) for each in found.statements for work in each.work} == {
        work.format(**names) for work in case.work
    }


# What was made by hand, no project's state tells of.
MADE_BY_HAND = {
    "collation": "an index with the column in its condition",
    "comment": "the same",
    "comment_only": "a CHECK of the column",
    "viewed_type": "a view of the column",
}


@pytest.mark.parametrize("case", [case for case in of("Big") if case.name not in MADE_BY_HAND], ids=str)
def test_without_a_database_nothing_is_called_safer(site18: CaseSite, case: Case) -> None:
    (found,) = check_plan(site18.target, "shop", case.migration("Big"), ask_database=False).migrations
    proven = case.name == "set_not_null_proven"  # by a CHECK that only the database has
    assert str(found.lock_safety.kind) == ("unsafe" if proven else case.verdict), found.lock_safety
    assert found.lock_safety.evidence in ("rule", "unknown")
    assert {each.evidence for each in found.statements} <= {"rule", "unknown"}
    told = {id: each for id, each in gravest(found).items() if each != "info"}
    assert set(told.values()) <= {"warning"} | ({"error"} if {"MK215"} & set(told) else set())
    assert {id for id, each in case.findings.items() if each != "info"} <= {*gravest(found), "MK217", "MK219"}


@pytest.mark.parametrize("case", of("Big"), ids=str)
def test_each_finding_names_table_and_lock_and_says_what_to_do(site18: CaseSite, case: Case) -> None:
    for each in checked(site18, case, "Big").findings:
        assert each.relation is None or each.relation in each.message or each.id == "MK413"
        assert each.lock is None or str(each.lock) in each.message
        assert each.hint
        assert each.file is not None
        assert each.file.endswith(f"{case.migration('Big')}.py")
        assert (each.line or 0) > 1


@pytest.mark.parametrize("case", of("Small"), ids=str)
def test_a_small_table_is_no_alarm(site18: CaseSite, case: Case) -> None:
    found = checked(site18, case, "Small")
    assert str(found.lock_safety.kind) == ("unknown" if case.verdict == "unknown" else "safe"), found.lock_safety
    assert {id: each for id, each in gravest(found).items() if each != "info" and id not in FOR_ANY_SIZE} == {}


@pytest.mark.parametrize("model", ["Empty", "Fresh"])
@pytest.mark.parametrize("case", of("Empty"), ids=str)
def test_an_empty_table_and_one_of_the_same_plan_are_not_spoken_of(site18: CaseSite, case: Case, model: str) -> None:
    found = checked(site18, case, model)
    assert str(found.lock_safety.kind) == ("unknown" if case.verdict == "unknown" else "safe"), found.lock_safety
    assert set(gravest(found)) <= {*FOR_ANY_SIZE, "MK412"}
    assert gravest(found).get("MK412", "info") == "info"
    if model == "Fresh":  # the running release knows nothing of it
        assert [each for each in found.findings if each.id.startswith("MK3")] == []
