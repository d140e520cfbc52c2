"""Observe what migrations run on one connection: each statement, its time, and a look at the database after it.

A look is a query that the client gave (``queries``): what it answers is handed on as it is. Nothing that is looked at
counts as time, and no value that is bound to a statement is ever sent.
"""

from contextlib import contextmanager
from time import perf_counter

from .clock import Clock
from .failure import IN_TRANSACTION, sqlstate
from .faults import one_line
from .looks import IDLE, OPEN, Looks
from .repeats import Repeats
from .script import is_look_up, kind_of_all, split_script
from .statement_kind import ALONE, CHANGE, CONCURRENT, CONTROL, READ, bare, kind_of
from .transactions import Transactions

_TERMINATION = "2D000"  # a procedure that commits, in a transaction


class Observer:
    """Tell the client of each statement of ``connection``.

    Events: ``look`` (a whole one, to start from), ``statement``, ``repeated`` (what statements did that ran again and
    again, looked at once), ``ended`` (a transaction), and ``alone`` before what refuses to be in one, which the client
    confirms once it watches the locks from outside, and ``over`` after it, once it watches no more.
    """

    def __init__(self, emit, connection, queries):
        self.emit = emit
        self.connection = connection
        self.clock = Clock()
        self.looks = Looks(emit, connection, queries, self.clock, self._seen)
        self.migration = None
        self.operation = None
        self.owner_of = lambda text: None
        self.repeats = Repeats()
        self.transactions = Transactions(emit, self.looks, self.clock, self._before_commit, self.forget)
        self._statements = 0
        self._begun = False
        self._stale = True

    @contextmanager
    def watching(self):
        """Observe within."""
        self.connection.ensure_connection()
        self.looks.fit()
        try:
            with self.connection.execute_wrapper(self._execute), self.transactions.endings(self.connection):
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
        """Take what was looked at as out of date: somebody else was at work, or something was rolled back."""
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
        if self.looks.busy:
            return execute(sql, params, many, context)
        text = str(sql)
        known = self.repeats.same(text) if self.operation is not None and not many else None
        if known is not None:  # the quick way: in a loop, most of the time is ours else
            self.looks.busy = True
            try:
                return self._again(lambda: execute(sql, params, many, context), known, 1)
            finally:
                self.looks.busy = False
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
        own = not self.looks.inside() and not any(
            bare(text).upper().startswith(("BEGIN", "START")) for text, _ in parts
        )
        if own:
            self.transactions.begin()
        try:
            for text, work in parts:
                result = self.run(work, text)
        except BaseException:
            if own:
                self.transactions.roll_back()
            raise
        if own:
            self.transactions.commit()
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
        return work() if self.looks.busy else self.run(work, text)

    def run(self, work, text, times=1, named=False):
        """Run one statement, and tell of it."""
        self.looks.busy = True
        try:
            return self._run(work, text, times, named)
        finally:
            self.looks.busy = False

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
        inside = self.looks.inside()
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
            fact["transaction"] = self.transactions.open()
        self._timed(work, fact, "transaction" if inside else "not")
        text, result = None, fact.pop("result")
        if inside and self.looks.status() == OPEN:
            if kind not in (READ, CHANGE) or self.repeats.worth_a_look(self.clock):
                text = self._touched()
            else:
                self.repeats.left_out(fact["n"])
        self.emit("statement", look=text, **fact)
        return result

    def _owned(self, work, fact):
        """Run a statement that has no transaction in one of its own, so that its locks are seen for certain."""
        fact["transaction"] = self.transactions.begin()
        try:
            self._timed(work, fact, "own", tell=False)
        except Exception as exc:
            if sqlstate(exc) in (IN_TRANSACTION, _TERMINATION):
                self.transactions.forget()
                return self._alone(work, dict(fact, transaction=None, error=""))
            self.emit("statement", look=None, **fact)
            self.transactions.roll_back()
            raise
        result = fact.pop("result")
        self.emit("statement", look=self._touched() if self.looks.status() == OPEN else None, **fact)
        self.transactions.commit()
        return result

    def _alone(self, work, fact):
        """Run a statement that refuses to be in a transaction, its locks watched by the client."""
        with self.clock.still():
            self.emit("look", look=self._whole())
            self.emit.confirmed("alone", n=fact["n"], pid=self.looks.pid, sql=fact["sql"])
        try:
            self._timed(work, fact, "alone")
        finally:
            with self.clock.still():  # the watch ends before anything else is run
                self.emit.confirmed("over", n=fact["n"])
            text = self._whole() if self.looks.status() in (IDLE, OPEN) else None
            result = fact.pop("result", None)
            self.emit("statement", look=text, **fact)
        return result

    def _again(self, work, known, times):
        """Run a statement once more that was looked at before, with other values."""
        inside = self.looks.inside()
        transaction = self.transactions.open() if inside else None
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
        if bare(text)[:8].upper() == "ROLLBACK" and self.looks.status() != IDLE:
            self._stale = True  # back to a savepoint, its locks are gone and nobody says which
        result = work()
        if self.transactions.current is not None and not self.looks.inside():
            self.transactions.end(0.0)
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

    def _before_commit(self):
        if self.repeats.urgent(self.clock):
            self.settle()

    def settle(self):
        """Look at what repeated statements did since the last look, if there are any."""
        facts = self.repeats.take()
        if self._stale and self.looks.status() in (IDLE, OPEN):
            self.emit("look", look=self._whole())
            if facts:
                self.emit("repeated", statements=facts, look=None)
        elif facts:
            status = self.looks.status()
            text = self._whole() if status == IDLE else self._touched() if status == OPEN else None
            self.emit("repeated", statements=facts, look=text)

    def _touched(self):
        began = perf_counter()
        text = self.looks.touched()
        self.repeats.looked((perf_counter() - began) * 1000)
        return text

    def _whole(self):
        self._stale = False
        return self.looks.whole()

    def _next(self):
        self._statements += 1
        return self._statements
