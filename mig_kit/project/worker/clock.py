"""The time that migrations take, without the time that observing them takes."""

from contextlib import contextmanager
from time import perf_counter


class Clock:
    """Tell milliseconds since the beginning; it stands still while something is looked at."""

    def __init__(self):
        self._began = perf_counter()
        self._stood = 0.0
        self._depth = 0

    def restart(self):
        """Count from now."""
        self._began = perf_counter() - self._stood

    def now(self):
        """Return the milliseconds that have passed."""
        return (perf_counter() - self._began - self._stood) * 1000

    @property
    def stood(self):
        """How long it has stood still so far, in milliseconds."""
        return self._stood * 1000

    @contextmanager
    def still(self):
        """Stand still within."""
        began = perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._stood += perf_counter() - began
