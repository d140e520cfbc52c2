"""The transactions of one connection, by number: when each begins, and when it ends."""

from contextlib import contextmanager
from time import perf_counter

from .looks import IDLE


class Transactions:
    """Count transactions and tell when each has ended; ``current`` is the number of the one that is open, or None.

    ``before_commit`` is called before Django commits, ``rolled_back`` after anything was.
    """

    def __init__(self, emit, looks, clock, before_commit, rolled_back):
        self.emit = emit
        self.looks = looks
        self.clock = clock
        self.current = None
        self._number = 0
        self._before_commit = before_commit
        self._rolled_back = rolled_back

    def open(self):
        """Return the number of the transaction, a new one where the last has ended."""
        if self.current is not None and self.looks.status() == IDLE:
            self.end(0.0)  # ended by other means than Django's
        if self.current is None:
            self._number += 1
            self.current = self._number
        return self.current

    def begin(self):
        """Begin one of our own, and return its number."""
        number = self.open()
        self.looks.command("BEGIN")
        return number

    def commit(self):
        """Commit one of our own."""
        began = perf_counter()
        self.looks.command("COMMIT")
        self.end((perf_counter() - began) * 1000)

    def forget(self):
        """Take back one of our own, as if it had never been."""
        self.looks.command("ROLLBACK")
        self.current = None

    def roll_back(self):
        """Roll back one of our own."""
        self.looks.command("ROLLBACK")
        self.end(0.0, False)

    def end(self, ms, ok=True):
        """Tell that it has ended, and how long that took."""
        self.emit("ended", transaction=self.current, at=self.clock.now(), ms=ms, ok=ok)
        self.current = None
        if not ok:
            self._rolled_back()

    @contextmanager
    def endings(self, connection):
        """See when Django commits or rolls back, within."""
        commit, rollback = connection._commit, connection._rollback

        def ending(real, ok):
            def end():
                if self.looks.busy:
                    return real()
                if ok:
                    self._before_commit()
                began = perf_counter()
                done = False
                try:
                    result = real()
                    done = True
                    return result
                finally:
                    if self.current is not None:
                        self.end((perf_counter() - began) * 1000, ok and done)

            return end

        connection._commit, connection._rollback = ending(commit, True), ending(rollback, False)
        try:
            yield
        finally:
            del connection._commit, connection._rollback
