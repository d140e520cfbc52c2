"""How long a statement may wait for a lock, and what is done when that was too short."""

import random
import time

from .failure import LOCK_NOT_AVAILABLE, is_again, sqlstate
from .faults import Fault, one_line
from .statement_kind import CONTROL, STRONG, bare, kind_of

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
# Of the lock timeout, what a transaction that holds locks already may still wait for the next one at the least.
LEAST = 0.2


class Waits:
    """Give each transaction its lock timeout, and run it again when a lock was not to be had.

    ``lock_timeout``: in seconds, the longest that a transaction waits for a lock behind which others queue. What it
    waits for while it holds locks already counts from the first of them on. Statements that only read or change rows
    before any other are left as the role has them: behind them nobody queues.
    """

    def __init__(self, emit, connection, lock_timeout, give_up_after):
        self.emit = emit
        self.connection = connection
        self.lock_timeout = lock_timeout
        self.give_up_after = give_up_after
        # Who waits shortly may come back soon.
        self.first_delay = min(FIRST_DELAY, lock_timeout)
        self._armed = 0.0
        self._current = None

    # Within a transaction

    def begin(self):
        """Begin to count for a new transaction."""
        self._armed, self._current = 0.0, None

    def before(self, sql):
        """Set the timeout that a statement needs, in the transaction that is open."""
        kind = kind_of(sql)
        if kind == CONTROL:
            if bare(sql)[:8].upper() in ("ROLLBACK", "RELEASE "):
                self._current = None  # a savepoint takes settings back with it
            return
        if kind != STRONG and not self._armed:
            return
        now = time.monotonic()
        self._armed = self._armed or now
        left = max(self.lock_timeout - (now - self._armed), self.lock_timeout * LEAST)
        if self._current is None or left < self._current * 0.8:
            run(self.connection, f"SELECT set_config('lock_timeout', '{max(1, round(left * 1000))}', true)")
            self._current = left

    def failed(self):
        """Note that a statement failed: what was set inside a savepoint is gone with it."""
        self._current = None

    # Around a transaction

    def until_it_gets_through(self, attempt, what, limit=None, **where):
        """Return what ``attempt`` returns, running it again, later and later, while locks were not to be had.

        ``attempt`` must leave nothing behind when it raises. ``limit``: another one than ``give_up_after``. ``what``
        and ``where`` are for the event.
        """
        limit = self.give_up_after if limit is None else limit
        began = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                return attempt()
            except Exception as exc:
                if not is_again(exc):
                    raise
                waited = time.monotonic() - began
                delay = min(LONGEST_DELAY, self.first_delay * 2 ** (tries - 1)) * random.uniform(0.5, 1.5)
                if waited + delay > limit:
                    raise self._gave_up(exc, tries, waited) from exc
                self.emit("retry", what=what, tries=tries, waited=waited, delay=delay, sqlstate=sqlstate(exc), **where)
                time.sleep(delay)

    def _gave_up(self, exc, tries, waited):
        lock = sqlstate(exc) == LOCK_NOT_AVAILABLE
        return Fault(
            "OperationFailed",
            "the lock was not to be had: {} tries of at most {:g} s each in {:.1f} s ({}).".format(
                tries, self.lock_timeout, waited, one_line(exc).rstrip(".")
            )
            if lock
            else f"the server refused it {tries} times in {waited:.1f} s ({one_line(exc)}).",
            "run it when whoever holds the lock has ended, or give it longer with give_up_after_s",
            exception="LockNotAvailable" if lock else type(exc).__name__,
            sqlstate=sqlstate(exc),
        )


def run(connection, statement, params=None):
    """Run a statement of the runner's own and return its first row: no wrapper and no log of Django's sees it."""
    with connection.connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone() if cursor.description else None


def in_transaction(connection):
    """Say whether what is sent next is part of a transaction, also of one that Django did not begin."""
    return connection.in_atomic_block or not connection.autocommit or has_begun(connection)


def has_begun(connection):
    """Say whether the server has a transaction open: the drivers begin one with its first statement only."""
    return bool(connection.connection.info.transaction_status)
