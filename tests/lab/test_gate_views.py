"""How gates, rollbacks and fakes look: on the real results of a real session (embedded PostgreSQL 18)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup

from mig_kit.lab import connect
from mig_kit.runbook import open_runbook
from tests.lab.test_formatters import bundle, poisoned
from tests.steps.gated import LAST, pending
from tests.steps.projects import Copy, Template, empty_migration, template

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["template"]  # a fixture

NAMES = (
    "closed",
    "overridden",
    "nothing asked",
    "shown",
    "rehearsed",
    "irreversible",
    "taken back",
    "nothing to take back",
    "refused fake",
    "fake",
    "faked",
    "nothing to record",
)


@pytest.fixture(scope="module")
def results(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A session in production that looks, goes on for reasons, and goes back."""
    project: Copy = template.copy(tmp_path_factory.mktemp("gates") / "project", "gate_views")
    name = project.database.dbname
    with ExitStack() as stack:
        stack.callback(template.server.drop_database, "gate_views")
        found: dict[str, Any] = {}
        rb = stack.enter_context(open_runbook(project.root, stage="production"))
        pending(project)
        found["closed"] = rb.gates()
        rb.preview()
        for each in ("backed up", "rehearsed"):
            rb.override(each, "a copy of a copy")
        for each in rb.gates().points:
            found["overridden"] = rb.acknowledge(each.id, "fifty rows", migration=each.migration)
        rb.apply(confirm=name)
        found["nothing asked"] = rb.gates()
        found["irreversible"] = rb.rollback("blog", "0003")
        found["shown"] = rb.rollback("contact", "0003")
        rb.backup()
        found["rehearsed"] = rb.rehearse_rollback("contact", "0003")
        found["shown"] = rb.rollback("contact", "0003")
        for gate in ("hazards", "old code"):
            rb.override(gate, "a copy of a copy")
        found["taken back"] = rb.rollback("contact", "0003", confirm=name)
        found["nothing to take back"] = rb.rollback("contact", "0003")
        found["refused fake"] = rb.fake("contact", "0004")
        rb.override("backed up", "a copy of a copy")
        found["faked"] = rb.fake("contact", "0004", confirm=name, reason="made elsewhere")
        empty_migration(project, "portfolio", "0005_empty", "0004_project_status_started_idx")
        found["fake"] = rb.fake("portfolio", "0005")
        found["nothing to record"] = rb.fake("blog", "0006")
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_every_result_has_html_and_plain_text_that_say_the_same(
    results: dict[str, Any], shell: InteractiveShell, name: str
) -> None:
    connect()
    data = bundle(shell, results[name])
    soup = BeautifulSoup(data["text/html"], "html.parser")
    for table in soup.find_all("table"):
        assert table.caption is not None
        assert all(each.get("scope") for each in table.find_all("th"))
    title = soup.find(class_="mk-title")
    assert title is not None
    assert data["text/plain"].splitlines()[0] == title.get_text()
    hostile = bundle(shell, poisoned(results[name]))
    assert not BeautifulSoup(hostile["text/html"], "html.parser").find_all(["script", "iframe", "img"])
    assert "\x1b" not in "".join(hostile.values())


def text(results: dict[str, Any], shell: InteractiveShell, name: str) -> str:
    connect()
    return " ".join(bundle(shell, results[name])["text/plain"].split())


def test_a_closed_gate_says_what_to_run_and_an_override_its_reason(
    results: dict[str, Any], shell: InteractiveShell
) -> None:
    closed = text(results, shell, "closed")
    assert closed.startswith("Gates before apply in production: 6 gates closed ")
    assert "reviewed closed Nobody was shown what" in closed
    assert "rb.preview()" in closed
    assert "to be answered" in closed
    assert text(results, shell, "nothing asked").startswith("Gates before apply in production: 1 gate closed ")
    overridden = text(results, shell, "overridden")
    assert overridden.startswith("Gates before apply in production: 1 gate closed, 2 overridden ")
    assert "Overridden: a copy of a copy" in overridden
    assert "fifty rows" in overridden


def test_a_rollback_shows_what_is_lost_before_how_to_do_it(results: dict[str, Any], shell: InteractiveShell) -> None:
    shown = text(results, shell, "shown")
    assert shown.startswith("Back for contact to 0003: 1 migration, and data is lost. Nothing was run yet ")
    assert shown.index("the table is dropped") < shown.index("DROP TABLE") < shown.index("To do it: rb.rollback(")
    refused = text(results, shell, "irreversible")
    assert refused.startswith("No way back for blog to 0003: something on the way is irreversible ")
    assert "mig-kit restore" in refused
    assert "To do it" not in refused
    rehearsed = text(results, shell, "rehearsed")
    assert rehearsed.startswith("The way back of contact to 0003 passed on a copy: 1 migration ")
    assert text(results, shell, "taken back").startswith("Taken back: 1 migration in ")


def test_a_fake_shows_where_the_schema_differs(results: dict[str, Any], shell: InteractiveShell) -> None:
    refused = text(results, shell, "refused fake")
    assert refused.startswith("1 record would be written, and no migration run. Nothing was recorded yet ")
    assert "1 difference" in refused
    assert "the table contact_subscriber is missing" in refused
    assert "reason='…'" in refused
    assert "recorded because: made elsewhere" in text(results, shell, "faked")
    assert "the schema agrees" in text(results, shell, "fake")
    assert LAST in results["irreversible"].sql.text
