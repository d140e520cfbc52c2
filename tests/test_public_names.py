"""Every module says what it offers; no database is needed."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import mig_kit

# What runs in the project's interpreter is not for users; the entry point only runs.
OUTSIDE = ("mig_kit.project.worker", "mig_kit.__main__")


def modules() -> list[str]:
    found = [each.name for each in pkgutil.walk_packages(mig_kit.__path__, "mig_kit.")]
    return ["mig_kit", *(name for name in found if not name.startswith(OUTSIDE))]


def defined(module: ModuleType) -> set[str]:
    """The public functions and classes that the module itself defines."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, type) or callable(value))
        and getattr(value, "__module__", "") == module.__name__
        and getattr(value, "__qualname__", "") == name
    }


@pytest.mark.parametrize("name", modules())
def test_a_module_names_what_it_offers_sorted_and_nothing_else(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", None)
    if offered is None:
        assert not defined(module), f"{name} defines {defined(module)} and has no __all__"
        return
    assert len(set(offered)) == len(offered)
    order = [
        *sorted(each for each in offered if each.isupper()),
        *sorted(each for each in offered if not each.isupper() and each[0].isupper()),
        *sorted(each for each in offered if not each[0].isupper()),
    ]
    assert list(offered) in (order, sorted(offered))
    missing = [each for each in offered if not hasattr(module, each)]
    assert missing == []


def test_the_public_face_is_small() -> None:
    assert sorted(mig_kit.__all__) == ["MigKitError", "__version__", "open_runbook"]


def test_a_public_class_reports_a_public_module() -> None:
    from mig_kit.steps.backup import Backup, FileEntry

    assert {each.__module__ for each in (Backup, FileEntry)} == {"mig_kit.steps.backup"}
