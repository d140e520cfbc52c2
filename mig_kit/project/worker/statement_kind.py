"""What a statement's text says of how it may be run: in a transaction or not, and which locks it may wait for."""

import re

READ = "read"  # SELECT and the like; may still call a function that writes
CHANGE = "change"  # rows: its table lock conflicts with no reader's or writer's
STRONG = "strong"  # everything else: may wait for a lock that readers or writers then queue behind
ALONE = "alone"  # refuses to run inside a transaction
CONCURRENT = "concurrent"  # as that, and waits for other transactions while blocking no one
CONTROL = "control"  # BEGIN, COMMIT, SET: no work of its own

_SKIP = re.compile(r"(\s+|--[^\n]*(\n|$)|/\*.*?\*/|\()+", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_READS = {"SELECT", "SHOW", "VALUES", "TABLE", "EXPLAIN", "FETCH", "DECLARE", "CLOSE", "MOVE"}
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"}
_CONTROLS = {
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
    "SET",
    "RESET",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "DISCARD",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
}
_DATA = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_CONCURRENT = re.compile(
    r"(CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY"
    r"|REINDEX\s+(\([^)]*\bCONCURRENTLY\b[^)]*\)\s*)?(INDEX|TABLE|SCHEMA|DATABASE)\b\s*(CONCURRENTLY\b)?"
    r"|ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY\b)",
    re.IGNORECASE | re.DOTALL,
)
_ALONE = re.compile(
    r"(VACUUM\b|(CREATE|DROP)\s+(DATABASE|TABLESPACE|SUBSCRIPTION)\b|ALTER\s+SYSTEM\b"
    r"|ALTER\s+DATABASE\b.*\bSET\s+TABLESPACE\b|CLUSTER\s*(;|$)"
    r"|REINDEX\s+(\([^)]*\)\s*)?(DATABASE|SCHEMA|SYSTEM)\b)",
    re.IGNORECASE | re.DOTALL,
)

_NAME = r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))?)'
_CREATE_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"
    + _NAME
    + r"\s+)?ON\s+(?:ONLY\s+)?"
    # An index without a name begins with ON, which a name could be, were it not a reserved word.
    + _NAME,
    re.IGNORECASE,
)
_DROP_INDEX = re.compile(r"DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?" + _NAME, re.IGNORECASE)


def kind_of(sql):
    """Return the kind of a statement's text; of several in one text, the first one's."""
    text = bare(sql)
    word = _WORD.match(text)
    first = word.group().upper() if word else ""
    if first in _READS:
        return READ
    if first == "WITH":
        return CHANGE if _DATA.search(text) else READ
    if first in _CHANGES:
        return CHANGE
    if first in _CONTROLS:
        return CONTROL
    found = _CONCURRENT.match(text)
    if found and (first != "REINDEX" or "CONCURRENTLY" in found.group().upper()):
        return CONCURRENT
    return ALONE if _ALONE.match(text) else STRONG


def bare(sql):
    """Return a statement without the comments, white space and parentheses that it begins with."""
    text = str(sql)
    skipped = _SKIP.match(text)
    return text[skipped.end() :] if skipped else text


def index_made(sql):
    """Return (index or None, table) of a CREATE INDEX CONCURRENTLY, as written there; None for another statement."""
    found = _CREATE_INDEX.match(bare(sql))
    return (found.group(1), found.group(2)) if found else None


def index_dropped(sql):
    """Return the index of a DROP INDEX CONCURRENTLY as written there, or None."""
    found = _DROP_INDEX.match(bare(sql))
    return found.group(1) if found else None
