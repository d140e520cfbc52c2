"""A demo's own server, running while a notebook needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mig_kit.demo import is_demo, open_demo, stop_demo
from mig_kit.errors import MigKitError
from mig_kit.postgres import Server
from mig_kit.progress import ProgressCallback

__all__ = ["demo_root", "demo_server", "server_runs"]


def demo_root(path: Path) -> Path | None:
    """Return the folder of the demo that ``path`` lies in; None where it lies in none."""
    folder = path.resolve()
    return next((each for each in (folder, *folder.parents) if is_demo(each)), None)


def server_runs(root: Path) -> bool:
    """Tell whether the demo's server runs; False where there is no demo yet."""
    try:
        return Server.open(root / ".mig" / "server").running
    except MigKitError:
        return False


@contextlib.contextmanager
def demo_server(path: Path, *, progress: ProgressCallback | None = None) -> Iterator[None]:
    """Where ``path`` lies in a demo, have its server run while the context lasts; one that ran before stays."""
    root = demo_root(path)
    if root is None or server_runs(root):
        yield
        return
    open_demo(root, progress=progress)
    try:
        yield
    finally:
        with contextlib.suppress(MigKitError):
            stop_demo(root)
