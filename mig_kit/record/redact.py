"""Keep passwords and keys out of everything that is written down.

Two nets, one behind the other. Values that somebody registered are masked wherever they stand, in the forms
in which text usually carries them (URL-quoted, JSON-escaped, HTML-escaped …). Places where secrets usually
stand (``password=…``, ``scheme://user:…@host``, ``SECRET_KEY = …``) are masked whatever the value is.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import html
import json
import math
import re
import threading
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from urllib.parse import quote, quote_plus

from ..secret import Secret

__all__ = [
    "MASK",
    "MIN_LENGTH",
    "Plain",
    "clear_secrets",
    "redact",
    "redact_data",
    "redact_fields",
    "register_secret",
]

MASK = "***"
MIN_LENGTH = 4
"""A registered value shorter than this is not searched for: it would shred ordinary words."""

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
"""What JSON can hold."""

_registered: set[str] = set()
_lock = threading.Lock()

_KEY = (
    r"(?:passw(?:or)?d|passphrase|pwd|token|secret(?:[_-]?(?:access[_-]?)?key)?"
    r"|(?:api|access|auth|private|signing)[_-]?key)_?\d*"
)
_ESCAPED_QUOTE = r"&(?:quot|apos|\#x?\d+);"
_QUOTED = (
    r"(?:[rbf]{0,2}(?P<q>['\"])(?:(?!(?P=q))[^\\\n]|\\.|(?P=q){2})*(?P=q)"
    rf"|(?P<e>{_ESCAPED_QUOTE}).*?(?P=e))"
)
# Source that reads a password from elsewhere (`models.CharField(…)`, `os.environ[…]`) shows no secret: it
# stays.
_CODE = r"(?![A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[(\[])"
_CALL = r"(?![A-Za-z_][\w.]*[(\[])"

_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
# The colon of a port is followed by digits and a slash; anything else before an @ is taken for a password. It
# begins at the "://", not at the scheme, and lengths are limited: to search on from every letter of a long run takes
# time with its square.
_URL = re.compile(r"(://[^\s:/?#@'\"<>]{0,256}:)(?!\d+/)[^\s'\"<>`]{1,1024}(@)")
_ASSIGNED = re.compile(
    rf"{_KEY}(?:['\"]|{_ESCAPED_QUOTE})?\]?(?:(?P<wide>[ \t]+={{1,2}}[ \t]*|={{1,2}}[ \t]+)|={{1,2}})"
    rf"(?P<value>{_QUOTED}|(?(wide){_CALL}|{_CODE})[^\s'\"<>`]+)",
    re.IGNORECASE,
)
_MAPPED = re.compile(rf"{_KEY}(?:['\"]|{_ESCAPED_QUOTE})\s*:\s*(?P<value>{_QUOTED})", re.IGNORECASE)
_SQL_PASSWORD = re.compile(rf"\bpassword\s+(?P<value>{_QUOTED})", re.IGNORECASE)
_SENSITIVE_NAME = re.compile(rf"(?:.*[^a-z])?{_KEY}|.*(?:password|secret)", re.IGNORECASE | re.DOTALL)


def register_secret(value: str | Secret) -> None:
    """Mask ``value`` in all that this process writes from now on, unless it is under ``MIN_LENGTH``."""
    text = _reveal(value)
    if len(text) >= MIN_LENGTH:
        with _lock:
            _registered.add(text)


def clear_secrets() -> None:
    """Forget every registered value: for a process that turns to another project, and for tests."""
    with _lock:
        _registered.clear()


def redact(text: str, secrets: Iterable[str | Secret] = ()) -> str:
    """Return ``text`` with every known or likely secret replaced by ``***``.

    ``secrets`` are masked beside the registered ones. No value of at least ``MIN_LENGTH`` characters is
    left in the result, in none of the usual escapes. Redacting twice changes nothing more.
    """
    known = _values(secrets)
    return _mask_values(_mask_places(_mask_values(text, known)), known)


def redact_data(value: object, secrets: Iterable[str | Secret] = ()) -> Plain:
    """Return ``value`` as redacted JSON-plain data: the original is not changed.

    Paths, decimals, UUIDs and exceptions become text, times ISO text, timedeltas seconds, enums their value,
    dataclasses and mappings objects, other iterable collections lists. What stands under a name such as
    ``password`` or ``SECRET_KEY`` is masked whatever it is.
    """
    return _plain(value, _values(secrets))


def redact_fields(fields: Mapping[str, object]) -> dict[str, Plain]:
    """Return ``fields`` as ``redact_data`` does, its own names kept: code chose them, they hold no secret.

    Else a password that happens to be "step" would make a record that nobody can read.
    """
    known = _values(())
    return {name: _plain_under(name, value, known) for name, value in fields.items()}


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _values(secrets: Iterable[str | Secret]) -> frozenset[str]:
    extra = {text for text in map(_reveal, secrets) if len(text) >= MIN_LENGTH}
    with _lock:
        return frozenset(_registered | extra)


def _mask_values(text: str, values: frozenset[str]) -> str:
    if not values:
        return text
    pattern = _pattern(values)
    # A mask beside its neighbours can spell another secret. Each turn shortens the text, so this ends.
    while (masked := pattern.sub(MASK, text)) != text:
        text = masked
    return text


def _mask_places(text: str) -> str:
    text = _PEM.sub(rf"\1{MASK}\2", text)
    text = _URL.sub(rf"\1{MASK}\2", text)
    for pattern in (_ASSIGNED, _MAPPED, _SQL_PASSWORD):
        text = pattern.sub(_mask_match, text)
    return text


def _mask_match(match: re.Match[str]) -> str:
    found = match.group("value")
    mark = match.group("q") or match.group("e") or ""
    head = match.group(0)[: len(match.group(0)) - len(found)]
    return f"{head}{mark}{MASK}{mark}" if found.strip(mark) else match.group(0)


@lru_cache(maxsize=8)
def _pattern(values: frozenset[str]) -> re.Pattern[str]:
    forms = {form for value in values for form in _forms(value) if len(form) >= MIN_LENGTH}
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def _forms(value: str) -> set[str]:
    printable = value.encode("utf-8", "backslashreplace").decode()
    quoted = {quote(printable, safe=""), quote(printable), quote_plus(printable)}
    quoted |= {re.sub(r"%[0-9A-F]{2}", lambda m: m.group().lower(), form) for form in quoted}
    escaped_quotes = value.replace("\\", "\\\\").replace("'", "\\'")
    return {
        value,
        printable,
        *quoted,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        escaped_quotes,
        value.replace("'", "''"),
        html.escape(value, quote=False),
        html.escape(value),
        html.escape(value).replace("&#x27;", "&#39;"),
    }


def _plain(value: object, known: frozenset[str]) -> Plain:
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return _plain(value.value, known)
        case int():
            # A secret can be a number: a number is masked when its digits are one.
            return MASK if str(int(value)) in known else int(value)
        case float():
            return float(value) if math.isfinite(value) else str(float(value))
        case str():
            return redact(_encodable(value), known)
        case Secret():
            return str(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case BaseException():
            return redact(_encodable(f"{type(value).__name__}: {value}"), known)
        case Mapping():
            return _plain_mapping(value, known)
        case AbstractSet():
            return [_plain(item, known) for item in sorted(value, key=str)]
        case list() | tuple():
            return [_plain(item, known) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain_mapping({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, known)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return _plain(item(), known)  # a numpy scalar
    return redact(_encodable(str(value)), known)


def _plain_mapping(value: Mapping[object, object], known: frozenset[str]) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    for key, item in value.items():
        name = _mask_values(_encodable(str(key)), known)
        while name in plain:  # two names may become one when masked: neither entry is lost
            name += "*"
        plain[name] = _plain_under(str(key), item, known)
    return plain


def _plain_under(name: str, value: object, known: frozenset[str]) -> Plain:
    sensitive = _SENSITIVE_NAME.fullmatch(name) is not None
    return (
        MASK
        if sensitive and value is not None and value != "" and not isinstance(value, bool)
        else _plain(value, known)
    )


def _encodable(text: str) -> str:
    """Show what UTF-8 cannot hold (a file name of undecodable bytes) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
