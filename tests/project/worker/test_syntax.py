"""The worker's files hold to what they may use: Python 3.8, the standard library and Django."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import mig_kit.project.worker as worker

FILES = sorted(Path(worker.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_compiles_as_python_3_8(path: Path) -> None:
    ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 8))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_only_the_standard_library_and_django(path: Path) -> None:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots.add((node.module or "").partition(".")[0])
    assert roots <= set(sys.stdlib_module_names) | {"django"}
