"""What IPython is told: every result has HTML and plain text, on the real results of a real session."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas
import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from mig_kit.lab import connect
from mig_kit.runbook import Quiet

if TYPE_CHECKING:
    from tests.lab.conftest import Session

NAMES = (
    "runbook",
    "preflight",
    "asked",
    "changes",
    "backup",
    "generated",
    "plan",
    "one",
    "applied",
    "verification",
    "criteria",
    "finished",
    "traceback",
    "no changes",
    "nothing generated",
    "nothing planned",
    "nothing applied",
)
FENCED = {
    "asked": "```diff",
    "changes": "```diff",
    "generated": "```python",
    "plan": "```sql",
    "one": "```sql",
}
HOSTILE = "<script>alert(1)</script>"


def bundle(shell: InteractiveShell, result: Any) -> dict[str, str]:
    assert shell.display_formatter is not None
    data, _metadata = shell.display_formatter.format(result)
    return data


@pytest.mark.parametrize("name", NAMES)
def test_every_result_has_html_and_plain_text(session: Session, shell: InteractiveShell, name: str) -> None:
    connect()
    data = bundle(shell, session[name])
    soup = BeautifulSoup(data["text/html"], "html.parser")
    assert [each.name for each in soup.find_all(recursive=False)][-1] == "div"
    assert not soup.find_all("script")
    for table in soup.find_all("table"):
        assert table.caption is not None
        assert table.caption.get_text().strip()
        assert all(each.get("scope") for each in table.find_all("th"))
    title = soup.find(class_="mk-title")
    assert title is not None
    assert data["text/plain"].splitlines()[0] == title.get_text()
    assert not any(line != line.rstrip() for line in data["text/plain"].splitlines() if not line.startswith("    "))


@pytest.mark.parametrize("name", FENCED)
def test_source_text_comes_in_fences_too(session: Session, shell: InteractiveShell, name: str) -> None:
    connect()
    data = bundle(shell, session[name])
    assert f"\n{FENCED[name]}\n" in data["text/markdown"]
    drawn = BeautifulSoup(markdown2html_mistune(data["text/markdown"]), "html.parser")
    assert drawn.find(class_="highlight") is not None


@pytest.mark.parametrize("name", [each for each in NAMES if each not in ("runbook", "preflight")])
def test_nothing_in_a_result_becomes_markup(session: Session, shell: InteractiveShell, name: str) -> None:
    """Every text and path in a real result is made hostile: a list of fields to escape would miss the next one."""
    connect()
    data = bundle(shell, poisoned(session[name]))
    for html in (data["text/html"], markdown2html_mistune(data.get("text/markdown", ""))):
        assert not BeautifulSoup(html, "html.parser").find_all(["script", "iframe", "img"])
    assert "\x1b" not in "".join(data.values())


def poisoned(value: Any) -> Any:
    if isinstance(value, str):
        return f"{HOSTILE}\x1b[31m{value}"
    if isinstance(value, Path):
        return Path(f"/{HOSTILE.replace('/', '')}") / value.name
    if isinstance(value, pandas.DataFrame):
        return value.map(poisoned)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: poisoned(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, tuple):
        return tuple(map(poisoned, value))
    if isinstance(value, dict):
        return {poisoned(key): poisoned(each) for key, each in value.items()}
    return value


def test_the_stylesheet_comes_once_with_the_target(session: Session, shell: InteractiveShell) -> None:
    connect()
    styled = [name for name in NAMES if "<style>" in bundle(shell, session[name])["text/html"]]
    assert styled == ["runbook"]
    css = BeautifulSoup(bundle(shell, session["runbook"])["text/html"], "html.parser").style
    assert css is not None
    assert "@import" not in css.get_text()
    assert "url(" not in css.get_text()
    assert "#" not in css.get_text()  # no colour but the theme's


def test_within_a_list_a_result_is_its_short_repr(session: Session, shell: InteractiveShell) -> None:
    connect()
    assert bundle(shell, [session["plan"]])["text/plain"] == f"[{session['plan']!r}]"


def test_connecting_twice_is_connecting_once(shell: InteractiveShell) -> None:
    connect()
    assert shell.display_formatter is not None
    before = dict(shell.display_formatter.formatters["text/html"].type_printers)
    assert isinstance(connect(), Quiet)  # a terminal's IPython: nobody is shown forms
    assert shell.display_formatter.formatters["text/html"].type_printers.keys() == before.keys()


def test_frames_show_long_names_in_full_unless_the_user_says_otherwise(shell: InteractiveShell) -> None:
    with pandas.option_context("display.max_colwidth", 50, "display.max_rows", 20, "display.width", 80):
        connect()
        assert pandas.get_option("display.max_colwidth") == 200
        assert pandas.get_option("display.max_rows") == 20


def test_no_result_imports_this_room() -> None:
    found = "import mig_kit.runbook, sys; print([each for each in sys.modules if each.startswith('mig_kit.lab')])"
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
