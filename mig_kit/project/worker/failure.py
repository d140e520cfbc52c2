"""Why the server refused a statement, and whether trying again may help."""

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK = "40P01"
SERIALIZATION = "40001"
CANCELLED = "57014"
IN_TRANSACTION = "25001"

# Nothing of the transaction has stayed, and the next try may get through.
AGAIN = (LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION)


def sqlstate(exc):
    """Return the SQLSTATE that an exception came from, or None; the driver's exception is the cause of Django's."""
    seen = 0
    while exc is not None and seen < 10:
        found = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
        if found:
            return found
        exc, seen = exc.__cause__, seen + 1
    return None


def is_again(exc):
    """Say whether the same transaction may get through when it is run again."""
    return sqlstate(exc) in AGAIN
