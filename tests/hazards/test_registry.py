"""Every id that is given is registered, and every one that is registered is given and tested. No database."""

from __future__ import annotations

import re
from pathlib import Path

import mig_kit
from mig_kit.hazards.registry import FINDINGS

PACKAGE = Path(mig_kit.__file__).parent
TESTS = Path(__file__).parents[1]


def ids_in(folder: Path, *, but: str = "") -> set[str]:
    texts = [path.read_text("utf-8") for path in folder.rglob("*.py") if path.name != but]
    return {found for text in texts for found in re.findall(r"\bMK\d{3}\b", text, re.IGNORECASE)}


def test_what_is_given_is_registered_and_the_other_way_round() -> None:
    given = ids_in(PACKAGE / "hazards", but="registry.py")
    assert given == set(FINDINGS)


def test_each_has_a_test() -> None:
    assert set(FINDINGS) - {each.upper() for each in ids_in(TESTS, but="test_registry.py")} == set()


def test_each_says_in_one_sentence_what_it_is() -> None:
    assert list(FINDINGS) == sorted(FINDINGS)
    for id, sentence in FINDINGS.items():
        assert re.fullmatch(r"[A-Z][^.]*\.", sentence), id
