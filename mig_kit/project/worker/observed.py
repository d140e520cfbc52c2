"""Observe what migrations run on one connection: each statement, its time, and a look at the database after it.

A look is a query that the client gave (``queries``): what it answers is handed on as it is. Nothing that is looked at
counts as time, and no value that is bound to a statement is ever sent.
"""

from contextlib import contextmanager
from time import perf_counter

from .clock import Clock
from .failure import IN_TRANSACTION, sqlstate
from .faults import one_line
from .raw_cursor import see_cursors
from .repeats import Repeats
from .script import split_script
from .statement_kind import ALONE, CHANGE, CONCURRENT, CONTROL, READ, STRONG, bare, kind_of

IDLE, OPEN, FAILED = 0, 2, 3  # libpq's transaction status
_TERMINATION = "2D000"  # a procedure that commits, in a transaction
_PREPARED = "mig_kit_touched"


class Observer:
    """Tell the client of each statement of ``connection``.

    Events: ``look`` (a whole one, to start from), ``statement``, ``repeated`` (what statements did that ran again and
    again, looked at once), ``ended`` (a transaction), and ``alone`` before what refuses to be in one, which the client
    confirms once it watches the locks from outside.
    """

    def __init__(self, emit, connection, queries):
        self.emit = emit
        self.connection = connection
        self.queries = queries
        self.clock = Clock()
        self.migration = None
        self.operation = None
        self.owner_of = lambda text: None
        self.repeats = Repeats()
        self.transaction = None
        self._transactions = 0
        self._statements = 0
        self._busy = False
        self._begun = False
        self._stale = True
        self._raw = None
        self._pid = None

    @contextmanager
    def watching(self):
        """Observe within."""
        self.connection.ensure_connection()
        self._fit()
        try:
            with self.connection.execute_wrapper(self._execute), self._endings():
                yield
                self.settle()
        finally:
            self.connection.close()  # and with it what was prepared on it, and its cursors that are seen

    def start(self, migration):
        """Begin with a migration: what is to come belongs to it."""
        self.settle()
        if not self._begun:
            self._begun = True
            self.clock.restart()
        self.migration = migration

    def forget(self):
        """Take what was looked at as out of date: somebody else was at work meanwhile."""
        self._stale = True

    @contextmanager
    def during(self, operation):
        """Count what runs within to an operation: {"operation", "python", "deferred"}."""
        self.settle()
        self.repeats.clear()
        before, self.operation = self.operation, operation
        try:
            yield
            self.settle()
        finally:
            self.operation = before
            self.repeats.clear()

    # What was run

    def _execute(self, execute, sql, params, many, context):
        """Django's ``execute_wrapper``."""
        if self._busy:
            return execute(sql, params, many, context)
        text = str(sql)
        known = self.repeats.same(text) if self.operation is not None and not many else None
        if known is not None:  # the quick way: in a loop, most of the time is ours else
            self._busy = True
            try:
                return self._again(lambda: execute(sql, params, many, context), known, 1)
            finally:
                self._busy = False
        named = getattr(getattr(context["cursor"], "cursor", None), "name", None) is not None
        if not params and not many and not named and not self._python():
            parts = split_script(text)
            if len(parts) > 1 and not {kind_of(each) for each in parts} & {ALONE, CONCURRENT}:
                return self._script([(each, lambda one=each: execute(one, params, many, context)) for each in parts])
        times = len(params) if many and hasattr(params, "__len__") else 1
        return self.run(lambda: execute(sql, params, many, context), text, times, named)

    def _python(self):
        return self.operation is not None and self.operation["python"]

    def _script(self, parts):
        """Run the statements of one text each by itself, and in one transaction all the same, as the server does."""
        own = not self._inside() and not any(bare(text).upper().startswith(("BEGIN", "START")) for text, _ in parts)
        if own:
            self._open()
            self._command("BEGIN")
        try:
            for text, work in parts:
                result = self.run(work, text)
        except BaseException:
            if own:
                self._command("ROLLBACK")
                self._end(0.0, False)
            raise
        if own:
            self._commit()
        return result

    def beside(self, alias):
        """Return an ``execute_wrapper`` for another connection to the same database: told of, and not looked at."""

        def execute(execute, sql, params, many, context):
            text = str(sql)
            if kind_of_all(text) in (READ, CONTROL) or self.migration is None:
                return execute(sql, params, many, context)
            fact = {"n": self._next(), "sql": text, "times": 1, "operation": self.operation or self.owner_of(text)}
            self._timed(lambda: execute(sql, params, many, context), fact, "not")
            result = fact.pop("result")
            self.emit("statement", look=None, **dict(fact, error="", alias=alias))
            return result

        return execute

    def _seen(self, work, text):
        """What the driver's own cursors execute."""
        return work() if self._busy else self.run(work, text)

    def run(self, work, text, times=1, named=False):
        """Run one statement, and tell of it."""
        self._busy = True
        try:
            return self._run(work, text, times, named)
        finally:
            self._busy = False

    def _run(self, work, text, times, named):
        kind = kind_of_all(text)
        if (self.migration is None and kind == READ) or is_look_up(text):
            return work()
        if kind == CONTROL:
            return self._control(work, text)
        known = self.repeats.known(text) if kind in (READ, CHANGE) and self.operation else None
        if known is not None:
            return self._again(work, known, times)
        self.settle()
        inside = self._inside()
        number = self._next()
        operation = self.operation or self.owner_of(text)
        fact = {"n": number, "sql": text, "times": times, "operation": operation, "error": ""}
        if inside or named:
            result = self._within(work, fact, inside, kind)
        elif kind in (ALONE, CONCURRENT):
            result = self._alone(work, fact)
        else:
            result = self._owned(work, fact)
        if kind in (READ, CHANGE) and self.operation and not named:
            self.repeats.note(text, number)
        return result

    def _within(self, work, fact, inside, kind):
        """Run a statement in the transaction it is in, or a cursor's on the server, which is not looked at."""
        if inside:
            fact["transaction"] = self._open()
        self._timed(work, fact, "transaction" if inside else "not")
        text, result = None, fact.pop("result")
        if inside and self._status() == OPEN:
            if kind not in (READ, CHANGE) or self.repeats.worth_a_look(self.clock):
                text = self.look()
            else:
                self.repeats.left_out(fact["n"])
        self.emit("statement", look=text, **fact)
        return result

    def _owned(self, work, fact):
        """Run a statement that has no transaction in one of its own, so that its locks are seen for certain."""
        fact["transaction"] = self._open()
        self._command("BEGIN")
        try:
            self._timed(work, fact, "own", tell=False)
        except Exception as exc:
            self._command("ROLLBACK")
            if sqlstate(exc) in (IN_TRANSACTION, _TERMINATION):
                self.transaction = None
                return self._alone(work, dict(fact, transaction=None, error=""))
            self.emit("statement", look=None, **fact)
            self._end(0.0, False)
            raise
        result = fact.pop("result")
        self.emit("statement", look=self.look() if self._status() == OPEN else None, **fact)
        self._commit()
        return result

    def _commit(self):
        began = perf_counter()
        self._command("COMMIT")
        self._end((perf_counter() - began) * 1000)

    def _alone(self, work, fact):
        """Run a statement that refuses to be in a transaction, its locks watched by the client."""
        with self.clock.still():
            self.look(whole=True)
            self.emit.confirmed("alone", n=fact["n"], pid=self._pid, sql=fact["sql"])
        try:
            self._timed(work, fact, "alone")
        finally:
            text = self.look(whole=True, tell=False) if self._status() in (IDLE, OPEN) else None
            result = fact.pop("result", None)
            self.emit("statement", look=text, **fact)
        return result

    def _again(self, work, known, times):
        """Run a statement once more that was looked at before, with other values."""
        inside = self._inside()
        transaction = self._open() if inside else None
        at, began = self.clock.now(), perf_counter()
        try:
            return work()
        except Exception as exc:
            fact = {"n": self._next(), "sql": known.text, "times": times, "operation": self.operation}
            ms = (perf_counter() - began) * 1000
            how = "transaction" if inside else "not"
            self.emit(
                "statement", look=None, at=at, ms=ms, how=how, transaction=transaction, error=one_line(exc), **fact
            )
            raise
        finally:
            known.ran(times, (perf_counter() - began) * 1000, at, transaction)
            self.repeats.dirty(known)

    def _control(self, work, text):
        """Run what does no work of its own, and notice what it does to the transaction."""
        if bare(text)[:8].upper() == "ROLLBACK" and self._status() != IDLE:
            self._stale = True  # back to a savepoint, its locks are gone and nobody says which
        result = work()
        if self.transaction is not None and not self._inside():
            self._end(0.0)
        return result

    def _timed(self, work, fact, how, tell=True):
        fact.update(at=self.clock.now(), how=how)
        fact.setdefault("transaction", None)
        began = perf_counter()
        try:
            fact["result"] = work()
        except BaseException as exc:
            fact.update(ms=(perf_counter() - began) * 1000, error=one_line(exc))
            if tell and how != "alone":
                self.emit("statement", look=None, **fact)
            raise
        fact["ms"] = (perf_counter() - began) * 1000

    # Looking

    def settle(self):
        """Look at what repeated statements did since the last look, if there are any."""
        facts = self.repeats.take()
        if self._stale and self._status() in (IDLE, OPEN):
            self.look(whole=True)
            if facts:
                self.emit("repeated", statements=facts, look=None)
        elif facts:
            status = self._status()
            text = self.look(whole=status == IDLE, tell=False) if status in (IDLE, OPEN) else None
            self.emit("repeated", statements=facts, look=text)

    def look(self, whole=False, tell=True):
        """Return what the query answers; a ``whole`` look the client is told of, as what is compared with from now."""
        with self.clock.still():
            began = perf_counter()
            self._fit()
            text = self._ask(self.queries["whole"] if whole else f"EXECUTE {_PREPARED}")
            self.repeats.looked((perf_counter() - began) * 1000)
            if whole:
                self._stale = False
                if tell:
                    self.emit("look", look=text)
            return text

    def _fit(self):
        """Prepare a connection that was just opened: by us, or by a migration that closed the one before."""
        raw = self.connection.connection
        if raw is self._raw:
            return
        self._raw = raw
        with self.clock.still():
            if self.queries["settle"] and self.connection.pg_version >= 150000:
                self._command(self.queries["settle"])
            self._command(f"PREPARE {_PREPARED} AS {self.queries['touched']}")
            self._pid = self._ask("SELECT pg_backend_pid()")
        see_cursors(raw, self._seen)
        self.emit("backend", pid=self._pid)

    def _ask(self, query):
        busy, self._busy = self._busy, True
        try:
            cursor = self.connection.connection.cursor()
            cursor.execute(query)
            return cursor.fetchone()[0]
        finally:
            self._busy = busy

    def _command(self, statement):
        busy, self._busy = self._busy, True
        try:
            self.connection.connection.cursor().execute(statement)
        finally:
            self._busy = busy

    # Transactions

    def _status(self):
        """Return libpq's transaction status; FAILED for a connection that is lost."""
        raw = self.connection.connection
        if raw is None or raw.closed:
            return FAILED
        if hasattr(raw, "get_transaction_status"):
            return int(raw.get_transaction_status())
        return int(raw.info.transaction_status)

    def _inside(self):
        """Say whether a statement that runs now is in a transaction, or begins one."""
        return self._status() in (OPEN, FAILED) or not self.connection.get_autocommit()

    def _open(self):
        """Return the number of the transaction, a new one where the last has ended."""
        if self.transaction is not None and self._status() == IDLE:
            self._end(0.0)  # ended by other means than Django's
        if self.transaction is None:
            self._transactions += 1
            self.transaction = self._transactions
        return self.transaction

    def _next(self):
        self._statements += 1
        return self._statements

    def _end(self, ms, ok=True):
        self.emit("ended", transaction=self.transaction, at=self.clock.now(), ms=ms, ok=ok)
        self.transaction = None
        if not ok:
            self._stale = True

    @contextmanager
    def _endings(self):
        """See when Django commits or rolls back."""
        connection = self.connection
        commit, rollback = connection._commit, connection._rollback

        def ending(real, ok):
            def end():
                if self._busy:
                    return real()
                if ok and self.repeats.urgent(self.clock):
                    self.settle()
                began = perf_counter()
                done = False
                try:
                    result = real()
                    done = True
                    return result
                finally:
                    if self.transaction is not None:
                        self._end((perf_counter() - began) * 1000, ok and done)

            return end

        connection._commit, connection._rollback = ending(commit, True), ending(rollback, False)
        try:
            yield
        finally:
            del connection._commit, connection._rollback


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
