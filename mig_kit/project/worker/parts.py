"""A migration that is not atomic, part by part: each part is done or not, and each can be gone on from."""

import hashlib

from .alone import Alone
from .failure import IN_TRANSACTION, sqlstate
from .faults import Fault
from .statement_kind import ALONE, CHANGE, CONCURRENT, CONTROL, READ, kind_of
from .waits import in_transaction, run

TRANSACTION = "transaction"  # the operation runs in a transaction of its own
STATEMENTS = "statements"  # each of its statements does, where it may
PYTHON = "python"  # code that commits when it likes: nobody else can tell how far it came

# What Django brings and what only ever sends statements that may run in a transaction. An operation of somebody's own
# may do anything, and so may one that inherits from these.
_SCHEMA = ("django.db.migrations.operations.models", "django.db.migrations.operations.fields")
_SPECIAL = "django.db.migrations.operations.special"
_POSTGRES = "django.contrib.postgres.operations"
_ALONE = ("AddIndexConcurrently", "RemoveIndexConcurrently")


def way_of(operation):
    """Return how an operation of a migration that is not atomic is run."""
    module, name = type(operation).__module__, type(operation).__name__
    if operation.atomic:
        return TRANSACTION  # Django itself puts it in one
    if module in _SCHEMA or (module == _POSTGRES and name not in _ALONE):
        return TRANSACTION
    if module == _POSTGRES or (module == _SPECIAL and name == "RunSQL"):
        return STATEMENTS
    if module == _SPECIAL and name == "SeparateDatabaseAndState":
        ways = {way_of(each) for each in operation.database_operations}
        return PYTHON if PYTHON in ways else STATEMENTS if STATEMENTS in ways else TRANSACTION
    return PYTHON


class Place:
    """Where to go on in a migration that was left half done: the part, and what of it is done.

    ``operation`` counts in the order they run, backwards from the last. ``part``: "operation" (from its beginning),
    "statement" (the first ``index`` statements have run, ``done`` are their fingerprints; ``again``: the next one was
    begun), or "deferred" (it is done but for the statements that Django held back).
    """

    def __init__(self, given=None):
        given = given or {}
        self.operation = int(given.get("operation", 0))
        self.part = given.get("part", "operation")
        self.index = int(given.get("index", 0))
        self.again = bool(given.get("again"))
        self.done = list(given.get("done") or ())
        self.deferred = list(given.get("deferred") or ())


class Parts:
    """Run the operations of one migration one after the other, each announced, done, and told."""

    def __init__(self, emit, connection, waits, app, name, backwards, place=None):
        self.emit = emit
        self.connection = connection
        self.waits = waits
        self.alone = Alone(emit, connection, waits)
        self.facts = {"app": app, "name": name, "backwards": backwards}
        self.place = place or Place()
        self.way = None
        self._number = self._index = 0

    def run(self, editor, steps):
        """Run ``steps``: (operation, what does it) each, in order, from the place on where it was left."""
        for number, (operation, work) in enumerate(steps):
            if number < self.place.operation:
                continue
            self._number, self._index = number, 0
            here = number == self.place.operation
            if here and self.place.part == "deferred":
                self._deferred(editor, self.place.deferred)
                continue
            self.way = way_of(operation)
            about = {"operation": number, "of": len(steps), "describe": operation.describe(), "way": self.way}
            if self.way == TRANSACTION:
                deferred = self.waits.until_it_gets_through(
                    lambda: self._in_transaction(editor, work, about),  # noqa: B023
                    "operation",
                    **dict(self.facts, operation=number),
                )
            else:
                if not (here and self.place.part == "statement"):
                    self.emit.confirmed("operation", **dict(self.facts, **about))
                work()
                deferred = taken(editor)
                if deferred:
                    self.emit.confirmed("deferred", **dict(self.facts, operation=number, sql=deferred))
            self.way = None
            self.emit("operation done", **dict(self.facts, operation=number))
            self._deferred(editor, deferred)
        self._number = len(steps)

    def _in_transaction(self, editor, work, about):
        """Do an operation in a transaction of its own and return the statements that Django held back."""
        from django.db.transaction import atomic

        del editor.deferred_sql[:]
        with atomic(self.connection.alias):
            self.waits.begin()
            # The number of the transaction tells later whether it was committed.
            self.emit.confirmed("operation", **dict(self.facts, xid=transaction_number(self.connection), **about))
            work()
            deferred = taken(editor)
            if deferred:
                guard(self.connection)
                self.emit.confirmed("deferred", **dict(self.facts, operation=self._number, sql=deferred))
        return deferred

    def _deferred(self, editor, statements):
        """Run what Django would hold back until the migration's end, each statement in a transaction of its own.

        Here each follows its own operation, as if that were a migration of its own: so it is known what is left.
        """
        for position, sql in enumerate(statements):
            self._alone_or_not(lambda: editor.execute(sql, None), sql, "deferred", position, True)  # noqa: B023
            left = [str(each) for each in statements[position + 1 :]]
            self.emit("deferred done", **dict(self.facts, operation=self._number, index=position, left=left))

    # Statements of an operation that commits each by itself; called by the runner's wrapper.

    def statement(self, work, sql):
        """Run one statement that an operation sends outside of any transaction."""
        kind = kind_of(sql)
        if self.way is None or kind == CONTROL or in_transaction(self.connection):
            return work()
        if self.way == PYTHON:
            if kind in (READ, CHANGE):
                return work()
            return self._quietly(work, sql, kind)
        if kind == READ and not self._reads_count(sql):
            return work()
        index = self._index
        self._index += 1
        here = self._number == self.place.operation and self.place.part == "statement"
        if here and index < self.place.index:
            if fingerprint(sql) != self.place.done[index]:
                raise self._another(sql)
            return None  # it was done by the session that died
        again = here and index == self.place.index and self.place.again
        result = self._alone_or_not(work, sql, "statement", index, False, again)
        self.emit("statement done", **dict(self.facts, operation=self._number, index=index))
        return result

    def _another(self, sql):
        return Fault(
            "GateClosed",
            f"The migration runs another statement now than the one that was done: {sql}.",
            "put the migration file back as it was when it was begun, then go on",
            gate="same plan",
        )

    def _reads_count(self, sql):
        """Say whether a SELECT is the migration's own: Django itself asks the catalog in between."""
        return "pg_catalog" not in str(sql) and "pg_class" not in str(sql) and "information_schema" not in str(sql)

    def _alone_or_not(self, work, sql, part, index, own, again=False):
        """Run one statement in a transaction of its own, or without one where it refuses to be in one."""
        where = dict(self.facts, operation=self._number, index=index)

        def announced(xid=None, concurrent=False):
            self.emit.confirmed(part + " begins", **dict(where, sql=str(sql), xid=xid, concurrent=concurrent, own=own))

        kind = kind_of(sql)
        if kind in (ALONE, CONCURRENT):
            return self._without(work, sql, announced, again, where)
        try:
            return self.waits.until_it_gets_through(lambda: self._with(work, sql, announced), part, **where)
        except Exception as exc:
            if sqlstate(exc) != IN_TRANSACTION:
                raise
        return self._without(work, sql, announced, again, where)

    def _with(self, work, sql, announced):
        from django.db.transaction import atomic

        with atomic(self.connection.alias):
            self.waits.begin()
            announced(xid=transaction_number(self.connection))
            self.waits.before(sql)
            return work()

    def _without(self, work, sql, announced, again, where):
        concurrent = kind_of(sql) == CONCURRENT
        return self.alone.run(work, sql, lambda: announced(concurrent=concurrent), again, **where)

    def _quietly(self, work, sql, kind):
        """Run a statement of Python code with its timeout and its retries; only the code knows what it is part of."""

        def announced(**_):
            return None

        if kind in (ALONE, CONCURRENT):
            if kind == CONCURRENT:
                where = dict(self.facts, operation=self._number, index=None, xid=None)
                self.emit.confirmed("statement begins", **dict(where, sql=str(sql), concurrent=True, own=False))
            result = self.alone.run(work, sql, announced, False, **self.facts)
            if kind == CONCURRENT:
                self.emit("statement done", **dict(self.facts, operation=self._number, index=None))
            return result
        return self.waits.until_it_gets_through(lambda: self._with(work, sql, announced), "statement", **self.facts)


def fingerprint(sql):
    """Return the SHA-256 of a statement, by which a later session knows it again."""
    return hashlib.sha256(str(sql).encode("utf-8", "surrogatepass")).hexdigest()


def taken(editor):
    """Return the text of the statements that the editor holds back, and take them from it."""
    held = [str(each) for each in editor.deferred_sql]
    del editor.deferred_sql[:]
    return held


def transaction_number(connection):
    """Return the number of the transaction that is open; the server can tell later what became of it."""
    return run(connection, "SELECT txid_current()::text")[0]


def guard(connection):
    """Let the server end this transaction when nothing is heard of it for some seconds: it holds locks and waits."""
    run(connection, "SELECT set_config('idle_in_transaction_session_timeout', '5000', true)")
