"""The notebooks that come with mig_kit."""

from __future__ import annotations

import difflib
from pathlib import Path

from mig_kit.errors import UsageError

__all__ = ["SESSION", "find_notebook", "templates"]

SESSION = "01_migration_session"
_PACKAGE = Path(__file__).resolve().parents[1]
# In a wheel they lie inside the package, in a checkout beside it.
_FOLDERS = (_PACKAGE / "notebooks", _PACKAGE.parent / "notebooks")


def templates() -> tuple[Path, ...]:
    """Return the notebooks that come with mig_kit, in their order."""
    for folder in _FOLDERS:
        if found := sorted(folder.glob("*.ipynb")):
            return tuple(found)
    return ()


def find_notebook(named: str) -> Path:
    """Return a notebook by its path, or one of mig_kit's own by its name or its number ("01").

    Raises UsageError with the names there are.
    """
    path = Path(named).expanduser()
    if path.is_file():
        return path.resolve()
    own = {each.stem: each for each in templates()}
    stem = named.removesuffix(".ipynb")
    found = [each for name, each in own.items() if stem in (name, name.partition("_")[0])]
    if found:
        return found[0]
    near = difflib.get_close_matches(stem, own, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"name a path, or one of: {', '.join(own) or 'none came with it'}"
    raise UsageError(f"There is no notebook {named!r}.", hint=hint)
