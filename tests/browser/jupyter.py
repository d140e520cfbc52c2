"""A real JupyterLab and a real browser, and how a person's hands and eyes are said in code."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["Lab", "Notebook", "chromium", "jupyterlab"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token, the folder it serves."""

    url: str
    token: str
    root: Path

    def open(self, browser: Browser, notebook: Path, *, height: int = 1000) -> Notebook:
        """Open a notebook in a new page and wait until its kernel is idle."""
        page = browser.new_page(viewport={"width": 1280, "height": height})
        page.goto(f"{self.url}/lab/tree/{notebook.relative_to(self.root).as_posix()}?token={self.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        opened = Notebook(page, notebook)
        opened.wait_until_idle()
        page.keyboard.press("Control+b")  # the file browser, which only takes room
        return opened


@dataclass(frozen=True)
class Notebook:
    """A notebook open in a page, and its file."""

    page: Page
    path: Path

    def wait_until_idle(self) -> None:
        """Wait until the status bar says so; what is sent before the kernel is there would be lost."""
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=240_000)
        self.page.wait_for_timeout(1500)

    def menu(self, *labels: str) -> None:
        """Choose an entry of a menu by its words."""
        self.page.get_by_role("menuitem", name=labels[0], exact=True).first.click()
        for label in labels[1:]:
            self.page.get_by_role("menuitem", name=label).first.click()

    def change_theme(self, theme: str) -> None:
        """Change JupyterLab's theme, as the entry of its Settings menu does."""
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        light = "true" if "Light" in theme else "false"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
        self.page.wait_for_timeout(1000)

    def run_all(self) -> None:
        """Run every cell and wait until the last one has run, or one has failed."""
        self._run("Run All Cells")

    def run_cell(self, cell: str) -> None:
        """Run one cell."""
        self._select(cell)
        self._run("Run Selected Cell")

    def run_from(self, cell: str) -> None:
        """Run a cell and all below it."""
        self._select(cell)
        self._run("Run Selected Cell and All Below")

    def _select(self, cell: str) -> None:
        self.cell(cell).locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Escape")

    def _run(self, entry: str) -> None:
        before = self._prompts()
        for _attempt in range(3):
            self.menu("Run", entry)
            # A kernel that says it is idle may still be making its connection: what is sent then is lost.
            for _ in range(50):
                if self._prompts() != before:
                    self.wait_until_done()
                    return
                self.page.wait_for_timeout(100)
        raise AssertionError("No cell was run.")

    def _prompts(self) -> list[str]:
        return self.page.locator(".jp-CodeCell .jp-InputArea-prompt").all_inner_texts()

    def wait_until_done(self, timeout_s: float = 240) -> None:
        """Wait until no cell runs or waits any more."""
        self.page.wait_for_timeout(500)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            idle = self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count()
            if idle and not self.page.locator(".jp-InputArea-prompt", has_text="[*]").count():
                self.page.wait_for_timeout(300)
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("The notebook did not come to an end.")

    def cell(self, source: str) -> Locator:
        """Return the code cell whose text contains ``source``."""
        return (
            self.page.locator(".jp-CodeCell")
            .filter(has=self.page.locator(".jp-InputArea-editor", has_text=source))
            .first
        )

    def output(self, source: str) -> Locator:
        """Return what stands below a cell."""
        return self.cell(source).locator(".jp-Cell-outputArea")

    def saved(self) -> Any:
        """Save, and return the notebook as the file has it."""
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.path, as_version=4)  # type: ignore[no-untyped-call]

    def screenshot(self, path: Path) -> None:
        """Take a picture of the whole notebook, however long it is."""
        self.page.set_viewport_size({"width": 1280, "height": 800})
        area = self.page.locator(".jp-WindowedPanel-outer").first
        height = int(area.evaluate("each => each.scrollHeight")) + 160
        self.page.set_viewport_size({"width": 1280, "height": max(800, height)})
        self.page.wait_for_timeout(600)
        area.evaluate("each => each.scrollTo(0, 0)")
        self.page.locator(".jp-NotebookPanel").first.screenshot(path=str(path))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium; without one the test is skipped, or fails in CI."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("There is no Chromium on this machine", pytrace=False)
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def jupyterlab(root: Path, home: Path, *, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """Serve ``root`` with JupyterLab on the loopback interface, with settings of its own in ``home``."""
    _settings(home, "@jupyterlab/apputils-extension/themes", {"theme": theme})
    _settings(home, "@jupyterlab/apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False})
    # Every cell in the page, also those out of sight.
    _settings(home, "@jupyterlab/notebook-extension/tracker", {"windowingMode": "none"})
    token, port = secrets.token_hex(16), _free_port()
    options = [
        f"--ServerApp.root_dir={root}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        f"--LabApp.user_settings_dir={home / 'settings'}",
        f"--LabApp.workspaces_dir={home / 'workspaces'}",
        "--LabApp.expose_app_in_browser=True",
        "--no-browser",
        "--allow-root",
    ]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environ = os.environ | {name: str(home / name.lower()) for name in folders}
    with (home / "jupyterlab.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], cwd=root, env=environ, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/api?token={token}", process, home / "jupyterlab.log")
            yield Lab(url, token, root)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _settings(home: Path, plugin: str, values: dict[str, object]) -> None:
    path = home / "settings" / f"{plugin}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not come up:\n{log.read_text()[-3000:]}")
