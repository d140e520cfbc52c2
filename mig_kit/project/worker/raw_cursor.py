"""See what goes to the server by the driver's own cursors, behind Django's back."""

from contextlib import contextmanager
from importlib import import_module


def see_cursors(raw, seen):
    """Let ``seen(work, text)`` run what is executed by any cursor that the driver's connection makes from now on.

    Cursors on the server (those with a name) are left alone.
    """
    base = getattr(raw, "cursor_factory", None) or import_module("psycopg2.extensions").cursor
    if not hasattr(base, "mig_kit_seen"):
        raw.cursor_factory = seen_class(base, seen)


def seen_class(base, seen):
    """Return a cursor's class that does what ``base`` does, by way of ``seen``."""

    class Seen(base):  # type: ignore[misc, valid-type]
        mig_kit_seen = True

        def execute(self, query, *args, **kwargs):
            return seen(lambda: super(Seen, self).execute(query, *args, **kwargs), text_of(query, self))

        def executemany(self, query, *args, **kwargs):
            return seen(lambda: super(Seen, self).executemany(query, *args, **kwargs), text_of(query, self))

        def callproc(self, name, *args, **kwargs):
            return seen(lambda: super(Seen, self).callproc(name, *args, **kwargs), f"SELECT {name}(…)")

    if hasattr(base, "copy"):  # psycopg 3

        @contextmanager
        def copy(self, statement, *args, **kwargs):
            with super(Seen, self).copy(statement, *args, **kwargs) as copying:
                yield copying
            seen(lambda: None, text_of(statement, self))

        Seen.copy = copy
    if hasattr(base, "copy_expert"):  # psycopg2

        def copy_expert(self, sql, *args, **kwargs):
            return seen(lambda: super(Seen, self).copy_expert(sql, *args, **kwargs), text_of(sql, self))

        def copy_from(self, file, table, *args, **kwargs):
            return seen(lambda: super(Seen, self).copy_from(file, table, *args, **kwargs), f"COPY {table} FROM STDIN")

        Seen.copy_expert, Seen.copy_from = copy_expert, copy_from
    return Seen


def text_of(query, cursor):
    """Return a statement's text: it may be bytes, or an object of the driver's sql module."""
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if hasattr(query, "as_string"):
        try:
            return query.as_string(cursor)
        except Exception:
            return repr(query)
    return str(query)
