"""Statements shown without the values in them: these may be anybody's data."""

from __future__ import annotations

import re

__all__ = ["without_literals"]

# One token at a time, so that a quote inside a comment, or a digit inside a name, begins nothing. pg_stat_activity cuts
# long statements, so each token may as well end with the text.
_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* )
  | (?P<open> /\* )
  | (?P<name> "(?:[^"]|"")*(?:"|\Z) | [^\W\d][\w$]*(?!['\w&]) | \$\d+ )
  | (?P<value>
        [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
      | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|\Z)
      | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
      | (?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?\w*
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def without_literals(sql: str, limit: int = 200) -> str:
    """Return a statement on one line of at most ``limit`` characters, each literal a ``?``, comments left out.

    What stands in double quotes is a name and stays. A statement that was cut within a literal shows nothing of it.
    """
    found: list[str] = []
    at = 0
    while at < len(sql):
        token = _TOKEN.match(sql, at)
        if token is None:
            found.append(sql[at])
            at += 1
        elif token["open"]:
            at = _end_of_comment(sql, at)
            found.append(" ")
        else:
            found.append("?" if token["value"] else " " if token["comment"] else token[0])
            at = token.end()
    line = " ".join("".join(found).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _end_of_comment(sql: str, at: int) -> int:
    """Return where a comment ends; they nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
