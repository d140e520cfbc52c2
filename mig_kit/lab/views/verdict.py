"""How a verdict looks."""

from __future__ import annotations

from mig_kit.hazards.assessment import Verdict, VerdictKind
from mig_kit.lab.blocks import Phrase, Tone, Word, quiet, state

__all__ = ["verdict_words"]

_TONES: dict[VerdictKind, Tone] = {
    VerdictKind.SAFE: "good",
    VerdictKind.UNSAFE: "bad",
    VerdictKind.UNKNOWN: "warn",
}


def verdict_words(verdict: Verdict) -> Phrase:
    """Return a verdict as a state, its reason, and how it is known."""
    said: list[str | Word] = [state(str(verdict.kind), _TONES[verdict.kind])]
    if verdict.reason:
        said.append(f" {verdict.reason}")
    if verdict.evidence != str(verdict.kind):
        said.append(quiet(f" ({verdict.evidence})"))
    return tuple(said)
