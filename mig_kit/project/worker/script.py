"""The statements of a script, one by one: their kinds, and those that differ in their values only."""

import re

from .statement_kind import ALONE, CHANGE, CONCURRENT, CONTROL, READ, STRONG, bare, kind_of

_PARTS = re.compile(
    r"""
      '(?:[^']|'')*'            # a text, doubled quotes within
    | "(?:[^"]|"")*"            # a name
    | \$(\w*)\$.*?\$\1\$        # a text in dollars
    | --[^\n]*                  # comments
    | /\*.*?\*/
    | [();]
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPES = re.compile(r"(?<![\w$])[eE]'")
_VALUES = re.compile(r"'(?:[^']|'')*'|(?<![\w$.])[-+]?\d+(?:\.\d+)?(?![\w$])|%s|%\(\w+\)s")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)(?:\s*,\s*\(\s*\?(?:\s*,\s*\?)*\s*\))*")


def split_script(text):
    """Return the statements of a text, each as it is written there; the text itself where that is not certain."""
    if ";" not in text.rstrip().rstrip(";") or _ESCAPES.search(text) or re.search(r"\bBEGIN\s+ATOMIC\b", text, re.I):
        return [text]
    found, start, depth = [], 0, 0
    for part in _PARTS.finditer(text):
        sign = part.group()
        if sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        elif sign == ";" and depth == 0:
            found.append(text[start : part.start()])
            start = part.end()
    if depth:
        return [text]
    found.append(text[start:])
    return [each.strip() for each in found if has_words(each)] or [text]


def has_words(text):
    """Say whether there is more than comments and white space."""
    return bool(re.sub(r"--[^\n]*|/\*.*?\*/|\s+", "", text, flags=re.DOTALL))


def without_values(text):
    """Return a statement as it is for any values: two that differ in nothing else are the same statement."""
    return _LISTS.sub("(?)", _VALUES.sub("?", text))


def is_look_up(text):
    """Say whether it is Django's look into the catalog, which is no part of a migration."""
    return bare(text)[:6].upper() == "SELECT" and (
        "pg_catalog" in text or "pg_class" in text or "information_schema" in text
    )


def kind_of_all(text):
    """Return the kind of a text's statements; of several, the one that asks for most."""
    order = (CONTROL, READ, CHANGE, STRONG, CONCURRENT, ALONE)
    kinds = [_kind(each) for each in split_script(text)]
    return max(kinds, key=order.index)


def _kind(text):
    kind = kind_of(text)
    first = bare(text).split(None, 2)[:2]
    if kind == CONTROL and (first[:1] == ["EXECUTE"] or [each.upper() for each in first] == ["SET", "CONSTRAINTS"]):
        return STRONG  # it does the work of something else
    return kind
