"""Ctrl-C, and a client that is gone: both stop the request under way, also where the driver waits for the server."""

import os
import signal
import threading
import time
import weakref
from contextlib import contextmanager

# How long the driver gets to see a signal by itself, in seconds: psycopg 3 looks ten times a second and then cancels
# its statement, psycopg2 not before the statement has ended.
GRACE = 0.4
# How long an interrupted request has to roll back when nobody waits for it any more, in seconds.
LAST = 2.5


class Interrupts:
    """Let SIGINT interrupt a request and nothing else, and end the process soon after its client."""

    def __init__(self, channel):
        self.busy = False
        self._holding = False
        self._pending = False
        self._seen = threading.Event()
        self._wrappers = weakref.WeakSet()  # type: weakref.WeakSet[object]
        signal.signal(signal.SIGINT, self._handle)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Written to by the signal itself, also while the main thread waits inside the driver.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch_signals, args=(reader,), daemon=True).start()
        threading.Thread(target=self._watch_client, args=(channel,), daemon=True).start()

    def _handle(self, signum, frame):
        self._seen.set()
        if self._holding:
            self._pending = True
        elif self.busy:
            raise KeyboardInterrupt

    @contextmanager
    def request(self):
        """Be interruptible within."""
        self._seen.clear()
        self._pending = False
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    @contextmanager
    def held(self):
        """Put an interruption off until the end: half a message would spoil the channel."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending and self.busy:
            self._pending = False
            raise KeyboardInterrupt

    def watch_connections(self):
        """Note every connection that Django opens from now on; once Django can be imported."""
        from django.db.backends.signals import connection_created

        connection_created.connect(self._opened, weak=False)

    def _opened(self, connection, **kwargs):
        self._wrappers.add(connection)

    def _watch_signals(self, reader):
        while True:
            got = os.read(reader, 64)
            if not got:
                return
            if signal.SIGINT in got and self.busy and not self._seen.wait(GRACE):
                self._cancel()

    def _watch_client(self, channel):
        try:
            channel.waitclose()
        except Exception:
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(LAST)
        os._exit(1)

    def _cancel(self):
        """Cancel what the open connections are doing on their servers."""
        for wrapper in list(self._wrappers):
            raw = getattr(wrapper, "connection", None)
            for name in ("cancel_safe", "cancel", "interrupt"):  # psycopg 3.2, psycopg and psycopg2, sqlite3
                if hasattr(raw, name):
                    try:
                        getattr(raw, name)()
                    except Exception:
                        pass  # closed meanwhile
                    break
