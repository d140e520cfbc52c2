"""What was measured about migrations (facts 7 to 13) is found by the check, each under its id; on PostgreSQL 18."""

from __future__ import annotations

from mig_kit.hazards.assessment import MigrationAssessment
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.locks import Blocks, LockMode
from mig_kit.steps.check_plan import check_plan
from tests.hazards.plans.cases import CASES
from tests.hazards.plans.site import CaseSite

BY_NAME = {case.name: case for case in CASES}


def check(site: CaseSite, name: str, model: str = "Big") -> MigrationAssessment:
    (found,) = check_plan(site.target, "shop", BY_NAME[name].migration(model)).migrations
    return found


def the(found: MigrationAssessment, id: str, relation: str | None = None) -> Finding:
    fitting = [each for each in found.findings if each.id == id and relation in (None, each.relation)]
    assert len(fitting) == 1, found.findings
    return fitting[0]


def test_mk407_fact_7_a_callable_default_gives_every_old_row_the_same_value(site18: CaseSite) -> None:
    finding = the(check(site18, "add_uuid"), "MK407")
    assert finding.severity is Severity.WARNING
    assert finding.message.startswith("uuid.uuid4() is called once: every row that shop_big (12,000 rows, ")
    assert finding.message.endswith(") has gets the same value in new.")
    unique = the(check(site18, "add_uuid_unique"), "MK407")
    assert (unique.severity, "a second row makes it fail" in unique.message) == (Severity.ERROR, True)
    assert "MK407" not in {each.id for each in check(site18, "add_json").findings}


def test_mk306_fact_8_a_brief_lock_is_safe_and_the_dropped_default_is_not(site18: CaseSite) -> None:
    found = check(site18, "add_default")
    assert str(found.lock_safety.kind) == "safe"
    assert str(found.compatibility.kind) == "unsafe"
    assert the(found, "MK306").severity is Severity.ERROR
    kept = check(site18, "add_db_default")
    assert (str(kept.lock_safety.kind), str(kept.compatibility.kind)) == ("safe", "safe")


def test_mk204_fact_9_a_positive_integer_field_reads_the_whole_table_even_when_nullable(site18: CaseSite) -> None:
    finding = the(check(site18, "add_positive_null"), "MK204")
    assert (finding.relation, finding.lock, str(finding.work)) == (
        "shop_big",
        LockMode.ACCESS_EXCLUSIVE,
        "scan:shop_big",
    )
    assert (finding.blocks, finding.evidence) == (Blocks.READS_AND_WRITES, "catalog")
    assert "CHECK" in finding.message


def test_mk208_fact_10_removing_a_foreign_key_locks_the_parent_table_too(site18: CaseSite) -> None:
    for name in ("remove_key", "delete_model"):
        finding = the(check(site18, name), "MK208", "shop_bigowner")
        assert finding.lock is LockMode.ACCESS_EXCLUSIVE
        assert finding.blocks is Blocks.READS_AND_WRITES
        assert "shop_bigowner (12,000 rows, " in finding.message


def test_mk209_fact_11_a_free_change_of_type_rebuilds_an_expression_and_a_partial_index(site18: CaseSite) -> None:
    for name in ("widen_expression_index", "widen"):
        finding = the(check(site18, name), "MK209")
        assert (finding.severity, str(finding.work)) == (Severity.ERROR, "index build:shop_big")
    assert "MK209" not in {each.id for each in check(site18, "widen_plain_index").findings}


def test_mk210_fact_11_a_check_on_the_column_is_tried_on_every_row_again(site18: CaseSite) -> None:
    finding = the(check(site18, "comment_only"), "MK210")
    assert (finding.severity, str(finding.work)) == (Severity.ERROR, "scan:shop_big")


def test_mk211_fact_11_the_statistics_of_the_column_are_dropped(site18: CaseSite) -> None:
    finding = the(check(site18, "widen_plain_index"), "MK211")
    assert (finding.severity, finding.hint) == (Severity.INFO, "ANALYZE shop_big right after the migration")
    assert "shop_big.code" in finding.message


def test_mk212_fact_11_a_primary_key_to_bigint_rewrites_every_referring_table(site18: CaseSite) -> None:
    found = check(site18, "key_to_bigint")
    assert the(found, "MK202").relation == "shop_bigowner"
    referring = the(found, "MK212")
    assert (referring.relation, str(referring.work)) == ("shop_big", "rewrite:shop_big")


def test_fact_12_a_database_that_is_not_at_the_state_before_is_no_trouble(site18: CaseSite) -> None:
    """Django finds the wrong number of constraints then; here the names come from the project's state."""
    site18.site.migration(
        "shop",
        "0003_after_fresh",
        'dependencies = [("shop", "0002_add_null_fresh")]\n'
        'operations = [migrations.AlterUniqueTogether("Fresh", set()), migrations.RemoveField("Fresh", "owner")]',
    )
    (found,) = check_plan(site18.target, "shop", "0003_after_fresh").migrations
    assert [each.sql for each in found.statements] == [
        'ALTER TABLE "shop_fresh" DROP CONSTRAINT "shop_fresh_owner_id_code_60a935e4_uniq"',
        'SET CONSTRAINTS "shop_fresh_owner_id_346ce34e_fk_shop_freshowner_id" IMMEDIATE',
        'ALTER TABLE "shop_fresh" DROP CONSTRAINT "shop_fresh_owner_id_346ce34e_fk_shop_freshowner_id"',
        'ALTER TABLE "shop_fresh" DROP COLUMN "owner_id" CASCADE',
    ]
    assert str(found.lock_safety.kind) == "safe"
    assert [each for each in found.findings if each.id.startswith("MK2")] == []


def test_mk310_fact_13_prepared_statements_fail_after_a_change_of_type(site18: CaseSite) -> None:
    finding = the(check(site18, "to_bigint"), "MK310")
    assert "cached plan must not change result type" in finding.message
