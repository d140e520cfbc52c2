"""One whole session on a real demo, whose results the views are tested with; and a real IPython."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from mig_kit.demo import create_demo
from mig_kit.postgres import Server
from mig_kit.runbook import Runbook, open_runbook

RENAME = "rename-field:portfolio.project.link:live_url"


@dataclass(frozen=True)
class Session:
    """A runbook that went through every step, and what each step gave."""

    runbook: Runbook
    results: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.results[name]


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small demo on a server of its own."""
    root = tmp_path_factory.mktemp("lab") / "demo"
    made = create_demo(root, scale=0.02)
    yield root
    Server.open(made.server_data).remove()


@pytest.fixture(scope="session")
def session(demo_root: Path) -> Iterator[Session]:
    """A session from review to finish; one question was open at first."""
    with open_runbook(demo_root) as rb:
        results: dict[str, Any] = {"runbook": rb, "preflight": rb.preflight(), "asked": rb.review()}
        results["changes"] = rb.review(answers={RENAME: True})
        results["backup"] = rb.backup()
        results["generated"] = rb.generate()
        results["plan"] = rb.preview()
        results["one"] = rb.preview("blog", "0003")
        results["applied"] = rb.apply()
        results["verification"] = rb.verify(queries={"no orphan": "SELECT true AS holds"})
        results["criteria"] = rb.success_criteria()
        results["no changes"] = rb.review()
        results["nothing generated"] = rb.generate()
        results["nothing planned"] = rb.preview()
        results["nothing applied"] = rb.apply()
        results["finished"] = rb.finish()
        results["traceback"] = rb.traceback()
        yield Session(rb, results)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A real IPython, without a kernel."""
    config = Config()
    config.HistoryManager.enabled = False
    running = InteractiveShell.instance(config=config)
    yield running
    InteractiveShell.clear_instance()
