"""Every id that is given is registered; those of the check are given, too, and tested. No database."""

from __future__ import annotations

import re
from pathlib import Path

import mig_kit
from mig_kit.hazards.registry import FINDINGS

PACKAGE = Path(mig_kit.__file__).parent
TESTS = Path(__file__).parents[1]


def given_in(folder: Path) -> set[str]:
    """The ids that code gives: as texts, the registry's own left out."""
    texts = [path.read_text("utf-8") for path in folder.rglob("*.py") if path.name != "registry.py"]
    return {found for text in texts for found in re.findall(r"\"(MK\d{3})\"", text)}


def named_in(folder: Path) -> set[str]:
    texts = [path.read_text("utf-8") for path in folder.rglob("*.py") if path != Path(__file__)]
    return {found.upper() for text in texts for found in re.findall(r"\bmk\d{3}", text, re.IGNORECASE)}


def test_what_is_given_is_registered() -> None:
    assert given_in(PACKAGE) - set(FINDINGS) == set()


def test_what_is_registered_is_given_and_a_test_shows_it() -> None:
    own = {id for id in FINDINGS if id < "MK502"}
    assert own - given_in(PACKAGE) == set()
    assert own - named_in(TESTS) == set()


def test_each_says_in_one_sentence_what_it_is() -> None:
    assert list(FINDINGS) == sorted(FINDINGS)
    for id, sentence in FINDINGS.items():
        assert re.fullmatch(r"[A-Z][^.]*\.", sentence), id
