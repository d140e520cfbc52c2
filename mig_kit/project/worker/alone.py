"""Statements that refuse to run inside a transaction: what a failed one leaves is removed, and a done one is known."""

from contextlib import contextmanager

from .failure import CANCELLED, is_again, sqlstate
from .faults import Fault, one_line
from .statement_kind import CONCURRENT, index_dropped, index_made, kind_of
from .waits import run

# For how long a try is made to drop what a failed build left, in seconds.
CLEAN_UP = 10.0

# An index by its name as the catalog has it, or any of the table's that is not valid where none is given.
_INDEXES = """
    SELECT i.indexrelid::bigint, c.relname, i.indisvalid, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.oid = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s))
      AND CASE WHEN %s::text IS NULL THEN i.indrelid = to_regclass(%s)::oid AND NOT i.indisvalid ELSE c.relname = %s END
"""


class Index:
    """An index as the catalog has it at this moment."""

    def __init__(self, oid, name, valid, quoted):
        self.oid, self.name, self.valid, self.quoted = oid, name, valid, quoted


class Alone:
    """Run statements outside of transactions. CONCURRENTLY ones get no timeout: the client watches over them."""

    def __init__(self, emit, connection, waits):
        self.emit = emit
        self.connection = connection
        self.waits = waits

    def run(self, work, sql, announced, again, **where):
        """Run one statement by calling ``work`` and return its result.

        ``announced`` is called before each try. With ``again`` the statement was begun before, in a session that
        died: what it was to do may be done. Raises what the server said; what a failed build left is removed.
        """
        if kind_of(sql) != CONCURRENT:
            with self._settings(lock_timeout=round(self.waits.lock_timeout * 1000)):
                return self.waits.until_it_gets_through(lambda: self._once(work, announced), "statement", **where)
        made = index_made(sql)
        if again and self._is_done(sql, made):
            return None
        before = {each.oid for each in self._of(made)} if made and made[0] is None else set()
        with self._settings(lock_timeout=0, statement_timeout=0):
            self._remove_leftovers(made, before, sql)
            return self.waits.until_it_gets_through(
                lambda: self._concurrently(work, announced, made, before, sql), "statement", **where
            )

    def _once(self, work, announced):
        announced()
        return work()

    def _concurrently(self, work, announced, made, before, sql):
        announced()
        try:
            result = work()
        except Exception as exc:
            if not self._alive():
                raise
            told = (self.emit.confirmed("cancelled") or {}) if sqlstate(exc) == CANCELLED else None
            dropped = self._clean_up(made, before, sql)
            if told is not None:
                raise self._cancelled(exc, told, dropped) from exc
            if dropped and not is_again(exc):
                raise Fault(
                    "OperationFailed", one_line(exc) + dropped, exception=type(exc).__name__, sqlstate=sqlstate(exc)
                ) from exc
            raise
        if made and made[0] is not None:
            invalid = [each for each in self._of(made) if not each.valid]
            if invalid:
                raise Fault(
                    "OperationFailed",
                    f"The index {invalid[0].name!r} is there and not valid: no query uses it.",
                    f"drop it: DROP INDEX CONCURRENTLY {invalid[0].quoted}; then go on",
                )
        return result

    def _cancelled(self, exc, told, dropped):
        """Say who cancelled: ``told`` is what the client's watchdog says, if it was that."""
        if told.get("reason"):
            return Fault("OperationFailed", told["reason"] + dropped, told.get("hint", ""), exception="GaveUp")
        return Fault(
            "OperationFailed",
            f"{one_line(exc)} Somebody on the server cancelled it.{dropped}",
            exception=type(exc).__name__,
            sqlstate=CANCELLED,
        )

    def _clean_up(self, made, before, sql):
        """Drop what a failed try left, if it can be had soon; say in a sentence what became of it."""
        try:
            left = self._remove_leftovers(made, before, sql, CLEAN_UP)
        except Exception as exc:
            return f" What it left could not be dropped yet ({one_line(exc)}); the next run does that first."
        return f" The index {left[0]!r}, left invalid by that, was dropped again." if left else ""

    def _is_done(self, sql, made):
        """Say whether a statement that was begun before has done all it was to do."""
        if made:
            return made[0] is not None and any(each.valid for each in self._of(made))
        dropped = index_dropped(sql)
        return bool(dropped) and run(self.connection, "SELECT to_regclass(%s) IS NULL", [dropped])[0]

    def _remove_leftovers(self, made, before, sql, limit=None):
        """Drop the invalid index that a failed try left under this name; return the names that were dropped.

        One that somebody builds at this moment is invalid too, and is nobody's leftover. Not CONCURRENTLY: that would
        wait for the same transactions as the build did, and without a limit.
        """
        if not made:
            return []
        left = [each for each in self._of(made) if not each.valid and each.oid not in before]
        for each in left:
            self._not_somebody_elses(each)
            self.emit("leftover", index=each.name, sql=str(sql))
            with self._settings(lock_timeout=round(self.waits.lock_timeout * 1000)):
                self.waits.until_it_gets_through(
                    lambda: run(self.connection, f"DROP INDEX IF EXISTS {each.quoted}"),  # noqa: B023
                    "leftover",
                    limit,
                )
        return [each.name for each in left]

    def _not_somebody_elses(self, index):
        if self.connection.pg_version < 120000:
            return
        builder = run(
            self.connection,
            "SELECT pid FROM pg_stat_progress_create_index WHERE index_relid::bigint = %s AND pid <> pg_backend_pid()",
            [index.oid],
        )
        if builder:
            raise Fault(
                "OperationFailed",
                f"The index {index.name!r} is being built by another session, server process {builder[0]}.",
                "wait until that has ended, then go on",
            )

    def _of(self, made):
        """Return the indexes that a CREATE INDEX CONCURRENTLY is about; without a name, the table's invalid ones."""
        name, table = made
        if name is not None:
            name = name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
        with self.connection.connection.cursor() as cursor:
            cursor.execute(_INDEXES, [table, name, table, name])
            return [Index(*row) for row in cursor.fetchall()]

    def _alive(self):
        return not getattr(self.connection.connection, "closed", False)

    @contextmanager
    def _settings(self, **values):
        """Set session settings, in milliseconds, and put back what was there."""
        before = {}
        for name, value in values.items():
            before[name] = run(self.connection, "SELECT current_setting(%s)", [name])[0]
            run(self.connection, "SELECT set_config(%s, %s, false)", [name, str(value)])
        try:
            yield
        finally:
            if self._alive():
                for name, value in before.items():
                    run(self.connection, "SELECT set_config(%s, %s, false)", [name, value])
