"""A virtual environment's folder (or a conda prefix): what it says of itself, with nothing started."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mig_kit.project._files import absolute, exists, is_dir, is_file, is_link, matching

__all__ = [
    "OLDEST_PYTHON",
    "Candidate",
    "django_in",
    "inspect_environment",
    "is_environment",
    "python_in",
    "too_old",
]

OLDEST_PYTHON = (3, 8)
"""The oldest Python that the worker runs in."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An interpreter that may be meant; ``django`` is None without one and "" for one of unknown version.

    ``flaw`` is why it cannot be used, worded as the end of a sentence, and "" when it can.
    """

    python: Path
    prefix: Path
    version: tuple[int, int] | None
    django: str | None
    flaw: str

    @property
    def facts(self) -> str:
        """What is known of it, for a sentence: " (Python 3.11, Django 5.2.1)"."""
        known = [f"Python {self.version[0]}.{self.version[1]}"] if self.version else []
        known += [f"Django {self.django}"] if self.django else []
        return f" ({', '.join(known)})" if known else ""


def is_environment(prefix: Path) -> bool:
    """Tell whether a folder is a virtual environment or a conda prefix."""
    return is_file(prefix / "pyvenv.cfg") or is_dir(prefix / "conda-meta")


def inspect_environment(prefix: Path, environ: Mapping[str, str]) -> Candidate:
    """Read what an environment's folder says about it, without starting its interpreter."""
    cfg = _pyvenv_cfg(prefix)
    version = _version(cfg, prefix)
    python = python_in(prefix)
    django = None
    for folder in _site_folders(prefix, cfg, version, environ):
        if (django := django_in(folder)) is not None:
            break
    if not is_dir(prefix):
        flaw = "is not there"
    elif not exists(python):
        flaw = f"has lost its interpreter ({python} leads nowhere)" if is_link(python) else "has no interpreter"
    elif django is None:
        flaw = "has no Django"
    else:
        flaw = too_old(version)
    return Candidate(python, prefix, version, django, flaw)


def too_old(version: tuple[int, int] | None) -> str:
    """Return the flaw of a Python that the worker cannot run in, else ""."""
    if version is None or version >= OLDEST_PYTHON:
        return ""
    return f"is Python {version[0]}.{version[1]}, older than {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}"


def python_in(prefix: Path) -> Path:
    """Return the environment's interpreter, its symlink kept; where it would be when there is none."""
    places = [prefix / "bin" / "python", prefix / "bin" / "python3"]
    places += [prefix / "Scripts" / "python.exe", prefix / "python.exe"]
    return next((place for place in places if exists(place) or is_link(place)), places[0])


def _pyvenv_cfg(prefix: Path) -> dict[str, str]:
    try:
        text = (prefix / "pyvenv.cfg").read_text("utf-8", errors="surrogateescape")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, mark, value in pairs if mark}


def _version(cfg: Mapping[str, str], prefix: Path) -> tuple[int, int] | None:
    named = [cfg.get("version_info", ""), cfg.get("version", "")]
    named += [path.name.removeprefix("python-") for path in matching(prefix, "conda-meta/python-[23].*.json")]
    # A conda prefix may hold a symlink lib/python3.1 beside the real folder.
    named += [path.name.removeprefix("python") for path in matching(prefix, "lib/python[23].*") if not is_link(path)]
    for text in named:
        if found := re.match(r"(\d+)\.(\d+)", text):
            return int(found[1]), int(found[2])
    return None


def _site_folders(
    prefix: Path, cfg: Mapping[str, str], version: tuple[int, int] | None, environ: Mapping[str, str]
) -> Iterator[Path]:
    dotted = f"{version[0]}.{version[1]}" if version else "*"
    for pattern in (f"lib/python{dotted}", f"lib64/python{dotted}", f"lib/pypy{dotted}", "Lib"):
        yield from (path / "site-packages" for path in matching(prefix, pattern))
    if cfg.get("include-system-site-packages", "").lower() != "true" or "home" not in cfg:
        return
    base = Path(cfg.get("base-prefix") or Path(cfg["home"]).parent)
    user = absolute(environ.get("PYTHONUSERBASE") or "~/.local")
    for pattern in (
        f"lib/python{dotted}",
        f"local/lib/python{dotted}",
        f"lib64/python{dotted}",
        "lib/python3",
    ):
        for path in matching(base, pattern):
            yield path / "site-packages"
            yield path / "dist-packages"  # Debian's
    yield from (path / "site-packages" for path in matching(user, f"lib/python{dotted}"))


def django_in(folder: Path) -> str | None:
    """Return the version of the Django in a site-packages folder; "" when unknown, None without one."""
    places = [folder]
    for pth in matching(folder, "*.pth"):
        try:
            lines = pth.read_text("utf-8", errors="surrogateescape").splitlines()
        except OSError:
            continue
        places += [folder / line.strip() for line in lines if line.strip() and not line.startswith(("import", "#"))]
    for place in places:
        init = place / "django" / "__init__.py"
        if is_file(init):
            try:
                text = init.read_text("utf-8", errors="replace")
            except OSError:
                return ""
            found = re.search(r"^VERSION\s*=\s*\((\d+),\s*(\d+),\s*(\d+)", text, re.MULTILINE)
            return ".".join(found.groups()) if found else ""
    return "" if matching(folder, "__editable___[Dd]jango_[0-9]*_finder.py") else None
