"""The report: rendered by nbconvert from notebooks made here; no database needed."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mig_kit import record
from mig_kit.errors import RecordError
from mig_kit.record import Journal, register_secret, write_report

ROOT = Path(__file__).parents[2]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Page(HTMLParser):
    """The report as a browser sees it: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " " * (tag in ("p", "div", "td", "th", "span"))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.text += data

    def __contains__(self, text: str) -> bool:
        return " ".join(text.split()) in " ".join(self.text.split())


class Bench:
    """A folder with a journal, from which reports are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal.jsonl")
        self.notebook = folder / "notebook.ipynb"
        self.html = ""

    def render(self, *cells: Any, css: str = "", metadata: dict[str, Any] | None = None) -> Page:
        nbformat.write(new_notebook(cells=list(cells), metadata=metadata or {}), self.notebook)
        return self.write(css=css)

    def write(self, css: str = "") -> Page:
        out = write_report(self.notebook, self.journal, self.folder / "report.html", css=css)
        self.html = out.read_text(encoding="utf-8")
        return Page(self.html)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def shown(**data: str) -> Any:
    bundle = {mime.replace("__", "/"): value for mime, value in data.items()}
    return new_code_cell("rb.review()", execution_count=1, outputs=[new_output("display_data", bundle)])


def open_session(journal: Journal, **more: object) -> None:
    journal.append(
        "session opened",
        project="portfolio",
        database="default",
        server="PostgreSQL 18.6",
        stage="production",
        user="maria",
        host="ops-1",
        commit="3f2a91c",
        mig_kit="0.1.0",
        python="3.12.4",
        django="5.2.19",
        **more,
    )


def test_the_summary_says_what_happened(bench: Bench) -> None:
    journal = bench.journal
    open_session(journal)
    journal.append("step started", step="backup")
    journal.append("step finished", step="backup", summary="Kept", duration_s=8.7, size_bytes=529_123_456)
    journal.append("step started", step="apply")
    journal.append("statement", app="blog", name="0002_x", sql="SELECT 'x'", ms=3.2)
    journal.append("migration applied", app="blog", name="0002_x", duration_ms=431.5)
    journal.append("statement", app="blog", name="0003_y", sql="SELECT 2", ms=3.2)
    journal.append("step failed", step="apply", summary="canceled", hint="run rb.diagnose()", duration_s=65)
    page = bench.render(new_markdown_cell("# A session"))
    for text in (
        "portfolio",
        "Stopped at apply",
        "maria on ops-1",
        "mig_kit 0.1.0, Python 3.12.4, Django 5.2.19",
        "backup Done Kept size 529.1 MB",
        "8.7 s",
        "apply Failed canceled Next run rb.diagnose()",
        "1 min 5 s",
        "blog.0002_x Applied 1 statement, 432 ms",
        "blog.0003_y Not recorded as applied 1 statement",
        "The journal holds: each of its 8 entries",
    ):
        assert text in page
    head = journal.head()
    assert head is not None
    assert head.hash in page
    assert "<title>Migration record: portfolio · Stopped at apply</title>" in bench.html


@pytest.mark.parametrize(
    ("result", "tone", "text"),
    [
        ("finished", "good", "Finished"),
        ("failed at apply", "bad", "Failed at apply"),
        (None, "good", "Finished"),
        (False, "bad", "Failed"),
    ],
)
def test_the_result_is_said_in_words(bench: Bench, result: object, tone: str, text: str) -> None:
    open_session(bench.journal)
    bench.journal.append("session finished", result=result)
    bench.render()
    assert f'<p class="result {tone}">{text}</p>' in bench.html


def test_a_session_without_an_end_is_not_called_finished(bench: Bench) -> None:
    open_session(bench.journal)
    bench.journal.append("step started", step="review")
    page = bench.render()
    assert '<p class="result open">Not finished</p>' in bench.html
    assert "review Not finished" in page


def test_a_changed_journal_is_said_first(bench: Bench) -> None:
    open_session(bench.journal)
    bench.journal.append("session finished", result="finished")
    bench.journal.path.write_bytes(bench.journal.path.read_bytes().replace(b"maria", b"marta"))
    page = bench.render()
    assert "The journal of this run does not hold." in page
    assert "Line 1 of the journal was changed after it was written." in page
    assert "The journal holds" not in page
    assert '<p class="result bad">' in bench.html


def test_bears_any_journal(bench: Bench) -> None:
    journal = bench.journal
    assert "Not finished" in bench.render()
    for kind in (
        "session opened",
        "step started",
        "step finished",
        "step failed",
        "statement",
        "migration applied",
    ):
        journal.append(kind)
        journal.append(kind, step=None, summary=["a"], duration_s="x", ms="y", app=1, name={}, sql=3, hint=0, extra={})
        journal.append(kind, step={"a": [1]}, duration_ms=None, project=["x"], user=1, rows={"a": 1}, size_bytes=1)
    journal.append("something new", data={"a": [1, None]})
    journal.append("session finished", result={"state": "done"})
    assert "something new" in bench.render()


NASTY = "<script>alert(1)</script><b>\"'&amp;"


def test_what_the_journal_holds_is_escaped(bench: Bench) -> None:
    bench.journal.append("session opened", project=NASTY, database=NASTY, user=NASTY, more=NASTY, deep={NASTY: NASTY})
    bench.journal.append("step failed", step=NASTY, summary=NASTY, hint=NASTY, fact=NASTY, deep=[{NASTY: 1}])
    bench.journal.append("statement", app=NASTY, name=NASTY, sql=NASTY)
    bench.journal.append(NASTY, x=NASTY)
    bench.journal.append("session finished", result=NASTY)
    page = bench.render()
    assert not [tag for tag, _ in page.elements if tag in ("script", "b")]
    assert page.text.count(NASTY) >= 10


HOSTILE = (
    "<p>kept</p><script>alert(1)</script><style>@import 'https://x.example/a.css'; body {display: none}</style>"
    '<img src="https://x.example/a.png" alt="a chart"><img src=x onerror="alert(1)">'
    '<link rel="stylesheet" href="https://x.example/b.css"><iframe src="https://x.example"></iframe>'
    '<object data="https://x.example/o"></object><form action="https://x.example"><input name="a"></form>'
    '<a href="javascript:alert(1)">a</a><a href="data:text/html,x">b</a><div onclick="alert(1)">c</div>'
    '<div style="background: url(https://x.example/d.png); color: red">d</div><base href="https://x.example">'
    '<svg><script>alert(1)</script></svg><meta http-equiv="refresh" content="0; url=https://x.example">'
    '<video src="https://x.example/v"></video></div></body></html><!-- <script> -->'
)


HOSTILE_CSS = (
    "</style><script>alert(1)</script>@import 'https://x.example/f.css'; p {background: url(https://x.example)}"
)


def test_nothing_runs_and_nothing_is_loaded(bench: Bench) -> None:
    widget = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "abc"},
        "text/plain": "Dropdown(options=())",
    }
    page = bench.render(
        new_markdown_cell(f"{HOSTILE}\n\n![a plan](https://x.example/e.png)\n\n```mermaid\n<script>\n```\n\n$x^2$"),
        shown(text__html=HOSTILE),
        shown(text__markdown=HOSTILE),
        shown(**{"application/javascript": "alert(1)", "text/plain": "the words of a script"}),
        new_code_cell("pick", outputs=[new_output("display_data", widget)]),
        new_code_cell(HOSTILE, outputs=[new_output("stream", text=HOSTILE)]),
        new_code_cell("x", outputs=[new_output("error", ename=HOSTILE, evalue=HOSTILE, traceback=[HOSTILE])]),
        shown(text__plain=HOSTILE),
        shown(text__latex=HOSTILE),
        css=HOSTILE_CSS,
        metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"abc": {}}}}},
    )
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base", "svg", "video"}
    assert len([tag for tag, _ in page.elements if tag in ("body", "style", "html")]) == 3
    metas = [attrs for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs]
    assert [meta["http-equiv"] for meta in metas] == ["Content-Security-Policy"]
    assert str(metas[0]["content"]).startswith("default-src 'none'; img-src data:;")
    for _, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on")]
        assert str(attrs.get("src", "data:")).startswith("data:")
        assert "url" not in str(attrs.get("style", ""))
        assert not str(attrs.get("href", "")).startswith(("javascript:", "data:"))
    styles = "".join(re.findall(r"<style>(.*?)</style>", bench.html, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    assert "kept" in page
    assert "a chart" in page
    assert "a plan" in page


def test_a_widget_shows_its_words_and_not_its_constructor(bench: Bench) -> None:
    def widget(text: str) -> Any:
        return shown(**{"application/vnd.jupyter.widget-view+json": "", "text__plain": text})

    page = bench.render(
        widget("VBox(children=(Dropdown(options=('portfolio',)), Button()))"),
        widget("Chosen: portfolio 0004"),
    )
    assert "VBox(" not in page
    assert "Chosen: portfolio 0004" in page


def test_the_best_form_of_an_output_is_shown(bench: Bench) -> None:
    table = pd.DataFrame({"n": [12]}, index=["a"]).to_html()
    page = bench.render(
        shown(text__html=table, text__plain="a form for terminals"),
        shown(text__markdown="**bold**\n```sql\nSELECT 1;\n```", text__plain="another"),
        shown(image__png=PIXEL, text__plain="a chart of sizes"),
        shown(**{"image__svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"}),
        new_code_cell("1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"}, execution_count=1)]),
    )
    assert "a form for terminals" not in page
    assert '<div class="scroll" tabindex="0"><table class="dataframe">' in bench.html
    assert '<td class="number">12</td>' in bench.html
    assert '<span class="k">SELECT</span>' in bench.html
    images = [attrs for tag, attrs in page.elements if tag == "img"]
    assert [image["alt"] for image in images] == ["a chart of sizes", "A figure"]
    assert base64.b64decode(str(images[0]["src"]).split(",")[1]) == base64.b64decode(PIXEL)


def test_only_the_last_state_of_a_progress_line_is_shown(bench: Bench) -> None:
    text = "".join(f"\r{n}% of the backup" for n in range(0, 101, 10)) + "\ndone\r\n"
    page = bench.render(new_code_cell("x", outputs=[new_output("stream", text=text)]))
    assert "100% of the backup" in page
    assert "10% of the backup" not in page.text.replace("100%", "")
    assert "done" in page


def test_an_error_says_its_words_first_and_folds_its_traceback(bench: Bench) -> None:
    error = new_output(
        "error",
        ename="ApplyFailed",
        evalue="blog.0002 failed.\nNext: run rb.diagnose()",
        traceback=["\x1b[31mApplyFailed\x1b[39m", "  at <line> 3"],
    )
    page = bench.render(new_code_cell("rb.apply()", outputs=[error]))
    assert "ApplyFailed blog.0002 failed. Next: run rb.diagnose()" in page
    assert '<span class="ansi-red-fg">ApplyFailed</span>' in bench.html
    assert "at <line> 3" in page


def test_no_secret_is_in_the_report(bench: Bench) -> None:
    """IPython colours each token of a traceback, so the codes stand in the middle of ``password='…'``."""
    register_secret("tr0ub&dor")
    coloured = "connect(password\x1b[38;5;241m=\x1b[39m\x1b[33m'hunter2'\x1b[39m, tr0ub&\x1b[1mdor)"
    page = bench.render(
        new_markdown_cell("the password is tr0ub&dor"),
        new_code_cell(
            "url = 'postgresql://app:hunter2@db/x'",
            outputs=[
                new_output("stream", text="PGPASSWORD=hunter2 tr0ub&dor"),
                new_output("display_data", {"text/html": "<td>tr0ub&amp;dor</td>"}),
                new_output("error", ename="E", evalue="password=hunter2", traceback=[coloured]),
            ],
        ),
    )
    assert "hunter2" not in bench.html
    assert "tr0ub" not in bench.html
    assert "***" in page


def test_a_missing_or_broken_notebook_is_said_in_its_place(bench: Bench) -> None:
    open_session(bench.journal)
    page = bench.write()
    assert "There is no executed notebook at" in page
    assert "portfolio" in page
    bench.notebook.write_text("{")
    assert "could not be read" in bench.write()


def test_is_private_and_replaces_an_older_one_only_when_whole(bench: Bench) -> None:
    bench.render()
    out = bench.folder / "report.html"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(RecordError) as caught:
        write_report(bench.notebook, bench.journal, bench.folder / "gone" / "report.html")
    assert "could not be written: No such file or directory" in caught.value.message
    assert sorted(p.name for p in bench.folder.iterdir()) == ["notebook.ipynb", "report.html"]


def test_looks_right_in_light_and_dark_and_on_paper(bench: Bench) -> None:
    bench.render()
    assert "@media screen and (prefers-color-scheme: dark)" in bench.html
    assert "@media print" in bench.html
    assert '<meta content="light dark" name="color-scheme"/>' in bench.html


def test_the_contents_lead_to_the_headings(bench: Bench) -> None:
    page = bench.render(*(new_markdown_cell(f"## {n}. A <b>step</b> & `more`") for n in range(4)))
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = [str(attrs["href"]) for tag, attrs in page.elements if tag == "a" and "class" not in attrs]
    assert len(links) == 4
    assert {link.removeprefix("#") for link in links} <= ids


def test_the_users_own_nbconvert_settings_do_not_change_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name in the current directory would be taken for the template."""
    (bench.folder / "mig_kit").mkdir()
    (bench.folder / "mig_kit" / "index.html.j2").write_text("another template")
    monkeypatch.chdir(bench.folder)
    assert "Migration record" in bench.render()


def test_the_public_names_are_those_and_sorted() -> None:
    assert record.__all__ == sorted(record.__all__)
    assert all(hasattr(record, name) for name in record.__all__)


def test_importing_the_record_does_not_import_nbconvert() -> None:
    code = "import sys, mig_kit.record; sys.exit('nbconvert' in sys.modules or 'nbformat' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
