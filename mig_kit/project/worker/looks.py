"""One connection as it is looked at: what is asked beside the migrations' own statements, and what they do not see."""

from .raw_cursor import see_cursors

IDLE, OPEN, FAILED = 0, 2, 3  # libpq's transaction status
_PREPARED = "mig_kit_touched"


class Looks:
    """Look at the database on the connection that migrations run on, and in their transaction.

    ``queries``: whole, touched and settle. ``seen(work, text)`` runs what the driver's own cursors execute. ``busy``:
    what runs now is seen to already, or is a look.
    """

    def __init__(self, emit, connection, queries, clock, seen):
        self.emit = emit
        self.connection = connection
        self.queries = queries
        self.clock = clock
        self.busy = False
        self.pid = None
        self._seen = seen
        self._raw = None

    def whole(self):
        """Return what is known of every relation."""
        with self.clock.still():
            self.fit()
            return self._ask(self.queries["whole"])

    def touched(self):
        """Return what is known of the relations that the transaction has locked."""
        with self.clock.still():
            self.fit()
            return self._ask(f"EXECUTE {_PREPARED}")

    def fit(self):
        """Prepare a connection that was just opened: by us, or by a migration that closed the one before."""
        raw = self.connection.connection
        if raw is self._raw:
            return
        self._raw = raw
        with self.clock.still():
            if self.queries["settle"] and self.connection.pg_version >= 150000:
                self.command(self.queries["settle"])
            self.command(f"PREPARE {_PREPARED} AS {self.queries['touched']}")
            self.pid = self._ask("SELECT pg_backend_pid()")
        see_cursors(raw, self._seen)
        self.emit("backend", pid=self.pid)

    def command(self, statement):
        """Run a statement of our own."""
        self._run(statement)

    def status(self):
        """Return libpq's transaction status; FAILED for a connection that is lost."""
        raw = self.connection.connection
        if raw is None or raw.closed:
            return FAILED
        if hasattr(raw, "get_transaction_status"):
            return int(raw.get_transaction_status())
        return int(raw.info.transaction_status)

    def inside(self):
        """Say whether a statement that runs now is in a transaction, or begins one."""
        return self.status() in (OPEN, FAILED) or not self.connection.get_autocommit()

    def _ask(self, query):
        return self._run(query).fetchone()[0]

    def _run(self, statement):
        busy, self.busy = self.busy, True
        try:
            cursor = self.connection.connection.cursor()
            cursor.execute(statement)
            return cursor
        finally:
            self.busy = busy
