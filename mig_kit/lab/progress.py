"""The progress of a step in a cell's output: one text that is updated in place and stays in the saved file."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any

from mig_kit.errors import ApplyFailed
from mig_kit.lab.blocks import visible
from mig_kit.lab.html import escaped
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["StepProgress", "step_progress"]

_EVERY_S = 0.1
_KEPT = 200

Bundle = dict[str, str]


@contextlib.contextmanager
def step_progress(step: str) -> Iterator[ProgressCallback]:
    """Show a step's progress in the running cell's output until the context ends, and then how it ended."""
    from IPython.display import display

    progress = StepProgress(step)
    handle: Any = display(progress.bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
    progress.show = lambda bundle: handle.update(bundle, raw=True)
    try:
        yield progress
    except BaseException as exc:
        progress.end(exc)
        raise
    progress.end()


class StepProgress:
    """How far a step has come, as words and a bar; called from any thread, drawn ten times a second at most.

    What was said last is always drawn, also when nothing follows it. A display that fails never stops the step.
    """

    def __init__(self, step: str, show: Callable[[Bundle], object] | None = None) -> None:
        self.step = step
        self.show = show
        self.began = datetime.now(UTC)
        self._clock = time.monotonic()
        self._lock = threading.RLock()
        self._last: Progress | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._dropped = 0
        self._drawn = 0.0
        self._timer: threading.Timer | None = None
        self._ended = ""
        self._failed = False

    def __call__(self, progress: Progress) -> None:
        with self._lock:
            if self._ended:
                return
            self._last = progress
            if progress.lasting:
                self._dropped += len(self._lines) == _KEPT
                self._lines.append(progress.message)
            wait = self._drawn + _EVERY_S - time.monotonic()
            if wait <= 0:
                self._draw()
            elif self._timer is None:
                # Nothing may follow for minutes: a statement that runs long.
                self._timer = threading.Timer(wait, self._draw)
                self._timer.daemon = True
                self._timer.start()

    def end(self, error: BaseException | None = None) -> None:
        """Draw how the step ended; nothing is drawn after that."""
        with self._lock:
            took = f"{time.monotonic() - self._clock:.1f} s"
            if error is None:
                self._ended = f"{self.step} finished in {took}"
            else:
                interrupted = isinstance(error, KeyboardInterrupt) or (
                    isinstance(error, ApplyFailed) and "interrupted" in error.message.partition("\n")[0]
                )
                how = "was interrupted" if interrupted else f"stopped with {type(error).__name__}"
                at = f", at: {self._last}" if self._last is not None else ""
                self._ended, self._failed = f"{self.step} {how} after {took}{at}", True
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._drawn = time.monotonic()
            if self.show is not None:
                with contextlib.suppress(Exception):
                    self.show(self.bundle())

    @property
    def words(self) -> str:
        """Where the step stands, in words."""
        if self._ended:
            return visible(self._ended)
        said = f": {self._last}" if self._last is not None else ""
        # A kernel that dies leaves this line as the last one: it says since when, and claims no end.
        return visible(f"{self.step} runs since {self.began:%H:%M:%S} UTC{said}")

    def bundle(self) -> Bundle:
        """Return what is drawn, as HTML and as plain text."""
        lines = [visible(each) for each in self._lines]
        if self._dropped:
            lines.insert(0, f"… {self._dropped:,} lines before these are in the journal")
        words = escaped(self.words)
        if self._ended and not self._failed:
            html = [f"<p><small>{words}</small></p>"]
        else:
            tone = "bad" if self._failed else "open"
            html = [f'<p class="mk-title mk-{tone}"><strong>{words}</strong>{self._bar()}</p>']
        if lines:
            # A finished step's result says it all again, and better.
            opened = "" if self._ended and not self._failed else " open"
            count = f"{len(lines) + self._dropped:,} line{'s' if len(lines) != 1 else ''}, as they came"
            html.append(
                f"<details{opened}><summary>{count}</summary><pre>{escape(chr(10).join(lines))}</pre></details>"
            )
        return {
            "text/html": f'<div class="mk mk-progress">{"".join(html)}</div>',
            "text/plain": "\n".join([self.words, *(f"  {each}" for each in lines)]),
        }

    def _bar(self) -> str:
        last = self._last
        if self._ended or last is None or last.done is None or not last.total:
            return ""
        label = escape(f"{self.step}: {last.done} of {last.total} {last.unit}".strip(), quote=True)
        return f' <progress value="{last.done}" max="{last.total}" aria-label="{label}"></progress>'
