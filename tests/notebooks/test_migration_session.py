"""The first notebook, headless, on a real demo: stopped by a question, then from review to verify, then once more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import nh3
import papermill
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter, MarkdownExporter
from papermill.exceptions import PapermillExecutionError

from mig_kit.demo import create_demo
from mig_kit.postgres import Server, connect

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_migration_session.ipynb"
RENAME = "rename-field:portfolio.project.link:live_url"
PARAMETERS = {
    "answers",
    "app",
    "apps",
    "confirm",
    "database",
    "name",
    "project",
    "python",
    "queries",
    "settings",
    "stage",
    "use_project_script",
}


@dataclass(frozen=True)
class Runs:
    """Three runs on one demo, each as the file that papermill left; and the error that ended the first."""

    root: Path
    stopped: Any
    error: PapermillExecutionError
    done: Any
    again: Any
    live_url_exists: bool


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("notebooks")
    root = folder / "demo"
    made = create_demo(root, scale=0.02)
    try:
        with pytest.raises(PapermillExecutionError) as stopped:
            run(folder / "stopped.ipynb", project=str(root))
        run(folder / "done.ipynb", project=str(root), answers={RENAME: True}, queries={"comments": "SELECT true"})
        with connect(made.database) as connection:
            found = connection.execute(
                "SELECT count(*) FROM information_schema.columns WHERE table_name = %s AND column_name = %s",
                ["portfolio_project", "live_url"],
            ).fetchone()
        # As the command line passes them: text.
        run(folder / "again.ipynb", project=str(root), answers="{}", queries='{"comments": "SELECT true"}')
        yield Runs(
            root,
            read(folder / "stopped.ipynb"),
            stopped.value,
            read(folder / "done.ipynb"),
            read(folder / "again.ipynb"),
            found == (1,),
        )
    finally:
        Server.open(made.server_data).remove()


def run(out: Path, **parameters: object) -> None:
    papermill.execute_notebook(NOTEBOOK, out, parameters, kernel_name="python3", progress_bar=False, log_output=False)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def cells(notebook: Any) -> list[Any]:
    return [each for each in notebook.cells if each.cell_type == "code"]


def outputs(notebook: Any, source: str) -> list[Any]:
    return list(next(each for each in cells(notebook) if each.source.startswith(source)).outputs)


def plain(notebook: Any, source: str) -> str:
    return "\n".join(each.data["text/plain"] for each in outputs(notebook, source))


def test_the_template_is_clean_and_opens_without_a_question() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert not any(each.outputs or each.execution_count for each in cells(notebook))
    assert len({each.id for each in notebook.cells}) == len(notebook.cells)


def test_every_code_cell_has_one_call_and_prose_before_it() -> None:
    notebook = read(NOTEBOOK)
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown"
            calls = [each for each in ast.walk(ast.parse(cell.source)) if isinstance(each, ast.Call)]
            assert len(calls) <= 2  # rb.history().tail(15)
    assert all(len(line) <= 130 for cell in cells(notebook) for line in cell.source.splitlines())


def test_the_parameters_are_those_that_papermill_sees() -> None:
    assert set(papermill.inspect_notebook(NOTEBOOK)) == PARAMETERS


def test_an_unanswered_question_stops_the_run_with_its_id_and_how_to_answer(runs: Runs) -> None:
    assert runs.error.ename == "UnansweredQuestions"
    assert RENAME in runs.error.evalue
    assert f"answers={{{RENAME!r}: True}}" in runs.error.evalue
    (error,) = [each for each in outputs(runs.stopped, "rb.generate(") if each.output_type == "error"]
    assert len("\n".join(error.traceback).splitlines()) < 10
    after = [each for each in cells(runs.stopped) if each.source.startswith("rb.apply(")]
    assert not after[0].outputs
    assert f"{RENAME!r}: True" in plain(runs.stopped, "rb.questions()")


def test_a_session_goes_from_review_to_verify(runs: Runs) -> None:
    assert runs.live_url_exists
    assert "Applied: 3 migrations" in plain(runs.done, "rb.apply(")
    assert "Verification: all checks hold" in plain(runs.done, "rb.verify(")
    assert plain(runs.done, "rb.success_criteria()").startswith("Success criteria: 5 of 5 hold")
    assert "[ ]" not in plain(runs.done, "rb.status()")


def test_every_output_has_html_and_plain_text_and_none_needs_a_kernel(runs: Runs) -> None:
    for notebook in (runs.done, runs.again):
        assert "widgets" not in notebook.metadata
        for cell in cells(notebook):
            for output in cell.outputs:
                assert output.output_type in ("execute_result", "display_data"), cell.source
                assert {"text/html", "text/plain"} <= output.data.keys()
                assert not any("widget" in mime for mime in output.data)


def test_source_text_comes_fenced_too(runs: Runs) -> None:
    for source, fence in (("rb.review(", "```diff"), ("rb.generate(", "```python"), ("rb.preview(", "```sql")):
        assert f"\n{fence}\n" in outputs(runs.done, source)[-1].data["text/markdown"]


def test_a_session_with_nothing_pending_reads_well(runs: Runs) -> None:
    assert plain(runs.again, "rb.review(").startswith("No changes detected")
    assert plain(runs.again, "rb.questions()").startswith("Questions: none")
    assert plain(runs.again, "rb.generate(").startswith("Nothing to generate")
    assert "no file was generated" in plain(runs.again, "rb.checklist()")
    assert plain(runs.again, "rb.pick(").startswith("Chosen: all that is pending, 0 migrations")
    assert plain(runs.again, "rb.preview(").startswith("No SQL to show")
    assert "Nothing to apply" in plain(runs.again, "rb.apply(")
    assert "Verification: all checks hold" in plain(runs.again, "rb.verify(")


def test_progress_tells_in_the_file_how_it_ended(runs: Runs) -> None:
    for step in ("backup", "apply", "verify"):
        first = outputs(runs.done, f"rb.{step}(")[0].data["text/plain"].splitlines()
        assert first[0].startswith(f"{step} finished in ")
    lines = outputs(runs.done, "rb.apply(")[0].data["text/plain"].splitlines()
    assert sum(": OK (" in each for each in lines) == 3


def test_no_password_is_in_the_file(runs: Runs) -> None:
    env = (runs.root / ".env").read_text()
    secrets = [
        line.partition("=")[2].strip("'\"") for line in env.splitlines() if "PASSWORD" in line or "SECRET" in line
    ]
    assert secrets
    text = nbformat.writes(runs.done)  # type: ignore[no-untyped-call]
    assert not any(each in text for each in secrets if len(each) > 5)


@pytest.mark.parametrize("exporter", [HTMLExporter, MarkdownExporter])
def test_it_survives_nbconvert(runs: Runs, exporter: type) -> None:
    text, _resources = exporter().from_notebook_node(runs.done)
    for said in ("Preflight: ready", "Model changes: 5 operations", "Backup complete", "Success criteria: 5 of 5 hold"):
        assert said in text
    assert "RENAME" in text


def test_untrusted_it_says_the_same(runs: Runs) -> None:
    """JupyterLab takes styles out of a notebook that it does not trust; nothing that is said may go with them."""
    drawn = [each.data["text/html"] for cell in cells(runs.done) for each in cell.outputs]
    ours = [each for each in drawn if 'class="mk' in each]
    assert len(ours) > 10
    for html in ours:
        said = BeautifulSoup(html, "html.parser")
        for style in said.find_all("style"):
            style.decompose()
        untrusted = BeautifulSoup(nh3.clean(html, attributes={"*": {"class", "scope", "colspan"}}), "html.parser")
        assert untrusted.get_text() == said.get_text()


def test_the_backup_was_restored_before_it_counts(runs: Runs) -> None:
    assert "restored" in plain(runs.done, "rb.backup(")
    assert "not verified" not in plain(runs.done, "rb.backups()")


def test_the_preview_has_the_hazards_beside_each_statement(runs: Runs) -> None:
    said = plain(runs.done, "rb.preview(")
    assert "locks: ACCESS EXCLUSIVE on portfolio_project; work: none (catalog)" in said
    assert "MK302" in said


def test_the_rehearsal_shows_verdicts_and_the_locks_as_a_picture(runs: Runs) -> None:
    result = outputs(runs.done, "rb.rehearse(")[-1].data  # before it stands what progress said
    said = " ".join(result["text/plain"].split())
    assert said.startswith("Rehearsal: 3 migrations ran")
    assert "lossless" in said
    assert "contact_message: ACCESS EXCLUSIVE for" in said  # the words of the picture
    assert 'src="data:image/svg+xml;base64,' in result["text/html"]
    again = outputs(runs.again, "rb.rehearse(")[-1].data["text/plain"]
    assert again.startswith("Nothing to rehearse")
