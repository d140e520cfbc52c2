"""Draw which table is locked how, and for how long, as a static picture: no script, no font, no colour alone.

It brings its own light ground, so that it reads the same in a dark theme, in print, and on a code host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from mig_kit.hazards.locks import Blocks, LockMode, blocks
from mig_kit.lab.blocks import visible

__all__ = ["LockSpan", "lock_timeline"]

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 250, 20, 44
_ROW, _GROUP = 22, 30
_LETTER = 6.6  # the width of a letter of 11 px, on average
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
_COLOURS = {Blocks.READS_AND_WRITES: "#b3261e", Blocks.WRITES: "#a85f00", Blocks.NOTHING: "#7d8896"}
_TICKS = 5


@dataclass(frozen=True, slots=True)
class LockSpan:
    """State that a table was locked in a mode from ``began_ms`` for ``held_ms``, by a migration (``group``)."""

    group: str
    relation: str
    mode: LockMode
    began_ms: float
    held_ms: float

    @property
    def blocks(self) -> Blocks:
        """Who waits meanwhile."""
        return blocks(self.mode)


def lock_timeline(spans: Sequence[LockSpan], *, most: int = 60) -> str:
    """Return the picture as SVG: a line a table within each migration, a bar a lock, to one scale in milliseconds.

    The first ``most`` lines are drawn, and a last one says how many more there are.
    """
    lines = [
        (group, relation, [span for span in spans if (span.group, span.relation) == (group, relation)])
        for group, relation in dict.fromkeys((span.group, span.relation) for span in spans)
    ]
    shown, rest = lines[:most], len(lines) - most
    end = max((span.began_ms + span.held_ms for _, _, of in shown for span in of), default=0.0) or 1.0
    parts, y = [], float(_TOP)
    for group, members in groupby(shown, key=lambda line: line[0]):
        y += _GROUP
        parts.append(_text(12, y - 9, group, weight=600))
        for _, relation, of in members:
            parts.append(
                f"<line x1='{_LEFT}' y1='{y + _ROW - 4}' x2='{_WIDTH - _RIGHT}' y2='{y + _ROW - 4}' stroke='#e6e8eb'/>"
            )
            parts.append(_text(_LEFT - 10, y + 12, _shortened(relation), anchor="end"))
            parts += _bars(of, y, end)
            y += _ROW
    if rest > 0:
        y += _ROW
        parts.append(_text(12, y, f"… and {rest} more: the table has every one"))
    height = y + 34
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height:g}' width='{_WIDTH}' "
        f"height='{height:g}' {_FONT} font-size='11'>"
        f"<rect width='{_WIDTH}' height='{height:g}' rx='6' fill='#ffffff' stroke='#d5d9de'/>"
        f"{_legend()}{_axis(end, y)}{''.join(parts)}</svg>"
    )


def _bars(spans: Sequence[LockSpan], y: float, end: float) -> list[str]:
    """Draw the locks of one table; a word stands beside the one that keeps most waiting."""
    drawn = []
    # The strongest last, so that it lies on top.
    for span in sorted(spans, key=lambda each: each.mode.level):
        x, width = _x(span.began_ms, end), max(3.0, _x(span.held_ms, end) - _LEFT)
        drawn.append(
            f"<rect x='{min(x, _WIDTH - _RIGHT - 3):.1f}' y='{y + 2}' width='{width:.1f}' height='13' rx='2' "
            f"fill='{_COLOURS[span.blocks]}'/>"
        )
    worst = max(spans, key=lambda each: (each.mode.level, each.held_ms))
    began = min(_x(worst.began_ms, end), _WIDTH - _RIGHT - 3)
    width = max(3.0, _x(worst.held_ms, end) - _LEFT)
    word = f"{worst.mode}, {_duration(worst.held_ms)}"
    room = len(word) * _LETTER
    if width > room + 10:
        drawn.append(_text(began + 6, y + 12, word, fill="#ffffff"))
    elif began + width + room + 8 < _WIDTH - _RIGHT:
        drawn.append(_text(began + width + 5, y + 12, word))
    else:
        drawn.append(_text(began - 5, y + 12, word, anchor="end"))
    return drawn


def _axis(end: float, bottom: float) -> str:
    drawn = []
    for number in range(_TICKS + 1):
        at = end * number / _TICKS
        x = _x(at, end)
        drawn.append(f"<line x1='{x:.1f}' y1='{_TOP}' x2='{x:.1f}' y2='{bottom + 6:g}' stroke='#eef0f2'/>")
        anchor = "end" if number == _TICKS else "middle" if number else "start"
        drawn.append(_text(x, bottom + 22, _duration(at), anchor=anchor, fill="#5f6875"))
    return "".join(drawn)


def _legend() -> str:
    words = {
        Blocks.READS_AND_WRITES: "keeps reads and writes waiting",
        Blocks.WRITES: "keeps writes waiting",
        Blocks.NOTHING: "keeps neither waiting",
    }
    drawn, x = [_text(12, 26, "Locks held, by migration and table", weight=600)], 330.0
    for kind, said in words.items():
        drawn.append(f"<rect x='{x:.0f}' y='17' width='12' height='11' rx='2' fill='{_COLOURS[kind]}'/>")
        drawn.append(_text(x + 18, 26, said))
        x += 40 + len(said) * _LETTER
    return "".join(drawn)


def _x(ms: float, end: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ms / end


def _duration(ms: float) -> str:
    if ms >= 1000:
        return f"{ms / 1000:,.2f} s"
    return f"{ms:.1f} ms" if 0 < ms < 10 else f"{ms:.0f} ms"


def _shortened(name: str) -> str:
    most = int((_LEFT - 20) / _LETTER)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400, fill: str = "#24292f") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-weight='{weight}' fill='{fill}'>"
        f"{escape(visible(text))}</text>"
    )
