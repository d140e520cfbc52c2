"""The stylesheet that results have in JupyterLab."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["stylesheet"]


@cache
def stylesheet() -> str:
    """Return the stylesheet; every selector in it begins with ``.mk``, every colour comes from JupyterLab's theme."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")
