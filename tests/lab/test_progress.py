"""The progress of a step: what is drawn, how often, and what stays."""

from __future__ import annotations

import threading
import time

import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from mig_kit.errors import ApplyFailed, BackupError
from mig_kit.lab.progress import Bundle, StepProgress, step_progress
from mig_kit.progress import Progress


def table(number: int) -> Progress:
    return Progress("backup", f"public.table_{number}", number, 10, "tables")


def test_words_go_with_the_bar() -> None:
    progress = StepProgress("backup")
    progress(table(3))
    drawn = progress.bundle()
    soup = BeautifulSoup(drawn["text/html"], "html.parser")
    assert soup.progress is not None
    assert (soup.progress["value"], soup.progress["max"]) == ("3", "10")
    assert soup.progress["aria-label"] == "backup: 3 of 10 tables"
    assert "public.table_3 (3 of 10 tables)" in soup.get_text()
    assert "public.table_3 (3 of 10 tables)" in drawn["text/plain"]
    assert drawn["text/plain"].startswith("backup runs since ")


def test_it_is_drawn_ten_times_a_second_at_most_and_the_last_word_always() -> None:
    seen: list[Bundle] = []
    progress = StepProgress("backup", seen.append)
    for number in range(1000):
        progress(table(number))
    at_once = len(seen)
    time.sleep(0.3)  # nothing follows: what was said last is drawn all the same
    assert at_once <= 3
    assert len(seen) == at_once + 1
    assert "public.table_999" in seen[-1]["text/plain"]


def test_any_thread_may_say_something() -> None:
    seen: list[Bundle] = []
    progress = StepProgress("apply", seen.append)

    def work(name: int) -> None:
        for number in range(50):
            progress(Progress("apply", f"{name}-{number}", lasting=True))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    progress.end()
    assert seen[-1]["text/plain"].count("\n  ") == 200


def test_lasting_lines_stay_and_what_was_dropped_is_counted() -> None:
    progress = StepProgress("apply")
    for number in range(250):
        progress(Progress("apply", f"line {number}", lasting=True))
    progress(Progress("apply", "passing"))
    progress.end()
    text = progress.bundle()["text/plain"]
    assert "… 50 lines before these are in the journal" in text
    assert "  line 50\n" in text
    assert "  line 49\n" not in text
    assert "passing" not in text


def test_the_end_is_told_as_it_was() -> None:
    done = StepProgress("verify")
    done.end()
    assert done.words.startswith("verify finished in 0.")
    failed = StepProgress("backup")
    failed(table(3))
    failed.end(BackupError("no"))
    assert "backup stopped with BackupError after 0.0 s, at: public.table_3 (3 of 10 tables)" in failed.words
    for error in (KeyboardInterrupt(), ApplyFailed("blog.0005 failed: it was interrupted.\nApplied: none.")):
        interrupted = StepProgress("apply")
        interrupted.end(error)
        assert "apply was interrupted after" in interrupted.words


def test_nothing_is_drawn_after_the_end() -> None:
    seen: list[Bundle] = []
    progress = StepProgress("backup", seen.append)
    progress.end()
    progress(table(1))
    assert len(seen) == 1


def test_a_broken_display_does_not_stop_the_step() -> None:
    def broken(_: Bundle) -> None:
        raise OSError("the connection to the browser is gone")

    progress = StepProgress("apply", broken)
    progress(table(1))
    progress.end()


def test_hostile_text_stays_text() -> None:
    progress = StepProgress("apply")
    progress(Progress("apply", "<script>alert(1)</script>\x1b[2J", 1, 2, '"><img>', lasting=True))
    drawn = progress.bundle()
    assert not BeautifulSoup(drawn["text/html"], "html.parser").find_all(["script", "img"])
    assert "\x1b" not in drawn["text/plain"]


def test_one_display_is_updated_in_place(shell: InteractiveShell) -> None:
    def step() -> None:
        with step_progress("backup") as progress:
            progress(table(1))
            raise BackupError("The disk is full.")

    with capture_output() as captured, pytest.raises(BackupError):
        step()
    shown = [each for each in captured.outputs if not each.update]
    assert len(shown) == 1
    assert "stopped with BackupError" in captured.outputs[-1].data["text/plain"]
