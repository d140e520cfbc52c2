"""The first notebook in a real JupyterLab, with real clicks and keys; what counts is the saved file."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mig_kit.demo import create_demo
from mig_kit.postgres import Server
from tests.browser.jupyter import Notebook, chromium, jupyterlab

# Run All takes a rehearsal and a restore too, and longer where other tests share the machine.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_migration_session.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"

# Of every word in our views: how it stands out against what is behind it, as WCAG 2 counts.
CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => top.slice(0, 3).map((each, n) => each * (top[3] ?? 1) + below[n] * (1 - (top[3] ?? 1)));
  const ground = node => {
    for (; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if ((found[3] ?? 1) > 0.99) return found;
    }
    return [255, 255, 255];
  };
  const light = colour => {
    const [r, g, b] = colour.map(each => (each /= 255) <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const node of document.querySelectorAll('.mk p, .mk th, .mk td, .mk summary, .mk small, .mk code, .mk-state')) {
    const behind = ground(node), one = light(over(rgb(getComputedStyle(node).color), behind)), two = light(behind);
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const name = node.tagName.toLowerCase() + '.' + node.className;
    found[name] = Math.min(found[name] ?? 99, ratio);
  }
  return found;
}"""


@dataclass(frozen=True)
class Story:
    """What the file said after each chapter of one session at the keyboard, and what was seen."""

    stopped: Any
    answered: Any
    ticked: Any
    picked: Any
    done: Any
    seen: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("browser")
    with chromium() as browser:
        root = folder / "demo"
        made = create_demo(root, scale=0.02)
        path = Path(shutil.copy(NOTEBOOK, root / "session.ipynb"))
        (folder / "home").mkdir()
        pictures = Path(os.environ.get("MIG_KIT_PICTURES") or folder / "pictures")
        pictures.mkdir(parents=True, exist_ok=True)
        try:
            with jupyterlab(root, folder / "home") as lab:
                yield play(lab.open(browser, path), pictures)
        finally:
            Server.open(made.server_data).remove()


def play(notebook: Notebook, pictures: Path) -> Story:
    """Sit at the notebook: run all, answer what stops it, tick a line, pick an app by keyboard, go on to the end."""
    page, seen = notebook.page, {}
    notebook.run_all()
    seen["error"] = notebook.output("rb.generate(").inner_text()
    stopped = notebook.saved()

    notebook.output("rb.questions()").get_by_role("button", name="Yes").click()
    notebook.output("rb.questions()").get_by_text("all answered").wait_for(timeout=20_000)
    answered = notebook.saved()

    for cell in ("rb.generate(", "rb.checklist()", "rb.pick("):
        notebook.run_cell(cell)
    box = notebook.output("rb.checklist()").get_by_role("checkbox", name="No accidental deletions").first
    box.focus()
    page.keyboard.press("Space")
    notebook.output("rb.checklist()").get_by_text("1 of 9 lines ticked").wait_for(timeout=20_000)
    ticked = notebook.saved()

    picker = notebook.output("rb.pick(")
    picker.get_by_label("App or migration:").focus()
    page.keyboard.type("cont", delay=30)
    picker.get_by_text("The choice above stands.").wait_for(timeout=20_000)
    page.keyboard.type("act", delay=30)
    picker.get_by_text("Chosen: what is pending in contact, 1 migration").wait_for(timeout=20_000)
    picked = notebook.saved()

    picker.get_by_role("button", name="All pending").focus()
    page.keyboard.press("Space")
    picker.get_by_text("Chosen: all that is pending, 3 migrations").wait_for(timeout=20_000)
    notebook.run_from("rb.preview(")
    done = notebook.saved()
    for theme in ("light", "dark"):
        notebook.change_theme(f"JupyterLab {theme.title()}")
        seen[theme] = page.evaluate(CONTRASTS)
        notebook.screenshot(pictures / f"{theme}.png")
    return Story(stopped, answered, ticked, picked, done, seen)


def outputs(notebook: Any, source: str) -> list[Any]:
    return list(next(each for each in notebook.cells if each.source.startswith(source)).outputs)


def plain(notebook: Any, source: str) -> str:
    return "\n".join(each.data["text/plain"] for each in outputs(notebook, source))


def test_run_all_stops_at_the_question_that_nobody_answered(story: Story) -> None:
    assert "UnansweredQuestions: makemigrations asks a question that has no answer yet" in story.seen["error"]
    assert "Traceback" not in story.seen["error"]
    assert outputs(story.stopped, "rb.generate(")[0].ename == "UnansweredQuestions"
    assert not outputs(story.stopped, "rb.apply(")
    assert "1 of 1 to answer" in plain(story.stopped, "rb.questions()")


def test_a_clicked_answer_is_in_the_saved_file(story: Story) -> None:
    view = outputs(story.answered, "rb.questions()")[0]
    assert "1 question, all answered" in view.data["text/plain"]
    assert "all answered" in view.data["text/html"]


def test_a_ticked_line_is_in_the_saved_file(story: Story) -> None:
    assert "1 of 9 lines ticked" in outputs(story.ticked, "rb.checklist()")[0].data["text/plain"]
    assert "[x] No accidental deletions" in outputs(story.ticked, "rb.checklist()")[0].data["text/plain"]


def test_an_app_is_picked_by_keyboard(story: Story) -> None:
    assert "Chosen: what is pending in contact" in outputs(story.picked, "rb.pick(")[0].data["text/plain"]


def test_the_session_ends_verified(story: Story) -> None:
    assert not [each for cell in story.done.cells for each in cell.get("outputs", ()) if each.output_type == "error"]
    assert "Applied: 3 migrations" in plain(story.done, "rb.apply(")
    assert plain(story.done, "rb.success_criteria()").startswith("Success criteria: 5 of 5 hold")


def test_no_output_is_a_widget_and_nothing_else(story: Story) -> None:
    shown = [each.data for cell in story.done.cells for each in cell.get("outputs", ())]
    assert sum(WIDGET in each for each in shown) == 3  # questions, checklist, picker
    assert all({"text/html", "text/plain"} <= each.keys() for each in shown)
    assert not any(re.match(r"\w+\(", each["text/plain"]) for each in shown)  # no widget's repr


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_can_be_read_in_both_themes(story: Story, theme: str) -> None:
    assert len(story.seen[theme]) > 10
    assert {name: ratio for name, ratio in story.seen[theme].items() if ratio < 4.5} == {}
