"""The statements of a script, one by one, and statements that differ in their values only."""

import re

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
