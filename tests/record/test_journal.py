"""The journal: real files, real locks, real processes; no database needed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mig_kit.errors import RecordError
from mig_kit.record import Journal, Problem, register_secret, verify
from mig_kit.record import journal as journal_module

ROOT = Path(__file__).parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def filled(path: Path, count: int = 4) -> Journal:
    journal = Journal(path)
    for number in range(count):
        journal.append("statement", app="blog", sql=f'ALTER TABLE "größe" ADD c{number}\n', ms=number + 0.5)
    return journal


def test_an_entry_reads_back_as_it_was_written(journal: Journal) -> None:
    written = journal.append("step finished", step="backup", duration_s=1.5, tables=[1, None, True])
    assert journal.entries() == (written,)
    assert (written.seq, written.kind, written.prev) == (1, "step finished", "0" * 64)
    assert dict(written.data) == {"step": "backup", "duration_s": 1.5, "tables": [1, None, True]}
    assert written.at.utcoffset() is not None
    assert journal.head() == written
    assert verify(journal.path) == []


def test_the_hash_can_be_recomputed_without_this_package(journal: Journal) -> None:
    filled(journal.path)
    prev = "0" * 64
    for line in journal.path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        assert list(entry) == ["seq", "time", "kind", "data", "prev", "hash"]
        given_hash = entry.pop("hash")
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(canonical.encode()).hexdigest() == given_hash
        assert entry["prev"] == prev
        prev = given_hash


def test_only_its_owner_may_read_it(journal: Journal) -> None:
    before = os.umask(0)
    try:
        journal.append("session opened")
    finally:
        os.umask(before)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_holds_no_secret_and_keeps_its_own_names(journal: Journal) -> None:
    register_secret("step")
    register_secret("tr0ub4dor&3")
    journal.append("step started", step="tr0ub4dor&3", SECRET_KEY="abc", nested={"url": "pg://a:tr0ub4dor&3@b"})
    (entry,) = journal.entries()
    assert dict(entry.data) == {"SECRET_KEY": "***", "nested": {"url": "pg://a:***@b"}, "step": "***"}
    assert b"tr0ub" not in journal.path.read_bytes()


@pytest.fixture(scope="module")
def intact() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return filled(Path(folder) / "j").path.read_bytes()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_and_located(intact: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(intact) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != intact[position]) | st.just(0x0A))
    if byte == intact[position]:
        return
    line = intact[:position].count(b"\n") + 1
    assert _verify(intact[:position] + bytes([byte]) + intact[position + 1 :])[0].line == line


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_removed_or_added_byte_is_found_and_located(intact: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(intact) - 1))
    line = intact[:position].count(b"\n") + 1
    assert _verify(intact[:position] + intact[position + 1 :])[0].line == line
    byte = bytes([data.draw(st.sampled_from(b' \n\t0a"}'))])
    if byte == intact[position : position + 1] == b"\n":
        line += 1  # an empty line after this one
    assert _verify(intact[:position] + byte + intact[position:])[0].line == line


@settings(deadline=None)
@given(order=st.permutations(range(4)), kept=st.integers(1, 4))
@example(order=[1, 2, 3, 0], kept=3)
def test_moved_and_removed_lines_are_found(intact: bytes, order: list[int], kept: int) -> None:
    lines = intact.splitlines(keepends=True)
    chosen = order[:kept]
    problems = _verify(b"".join(lines[i] for i in chosen))
    wrong = [position for position, index in enumerate(chosen) if position != index]
    assert [p.line for p in problems][:1] == ([wrong[0] + 1] if wrong else [])


def test_a_line_rewritten_with_its_hash_is_found_at_the_next(tmp_path: Path, intact: bytes) -> None:
    other = filled(tmp_path / "other").path.read_bytes()
    lines, others = intact.splitlines(keepends=True), other.splitlines(keepends=True)
    (problem,) = _verify(lines[0] + others[1] + lines[2] + lines[3])[:1]
    assert (problem.id, problem.line) == ("chain", 2)


def test_a_cut_end_is_found_with_the_noted_hash(journal: Journal) -> None:
    filled(journal.path)
    head = journal.head()
    assert head is not None
    assert verify(journal.path, head=head.hash) == []
    journal.path.write_bytes(b"".join(journal.path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(journal.path) == []  # the chain alone cannot know
    (problem,) = verify(journal.path, head=head.hash)
    assert problem.id == "cut"


def test_says_what_is_wrong_in_words(journal: Journal) -> None:
    assert [p.id for p in verify(journal.path)] == ["missing"]
    journal.path.touch()
    assert [p.id for p in verify(journal.path)] == ["empty"]
    filled(journal.path)
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"ms":1.5', b'"ms":1.6'))
    assert [str(p) for p in verify(journal.path)] == ["Line 2 of the journal was changed after it was written."]


@pytest.mark.parametrize("length", [1, 40, -1])
def test_a_torn_line_is_reported_set_aside_and_written_past(journal: Journal, length: int) -> None:
    """A crash leaves the beginning of a line, or a whole line without its newline."""
    filled(journal.path, 2)
    torn = journal.path.read_bytes().splitlines()[-1][:length]
    with journal.path.open("ab") as file:
        file.write(torn)
    (problem,) = verify(journal.path)
    assert (problem.id, problem.line) == ("torn", 3)
    assert len(journal.entries()) == 2

    journal.append("session finished", result="finished")
    aside = journal.path.with_name("journal.jsonl.torn-1")
    assert aside.read_bytes() == torn
    assert [e.kind for e in journal.entries()][2:] == ["torn line set aside", "session finished"]
    assert dict(journal.entries()[2].data) == {"bytes": len(torn), "kept_as": aside.name}
    assert verify(journal.path) == []


def test_a_journal_that_is_only_a_torn_line_goes_on(journal: Journal) -> None:
    journal.path.write_bytes(b'{"seq":1,"ti')
    journal.append("session opened")
    assert [e.seq for e in journal.entries()] == [1, 2]
    assert verify(journal.path) == []


def test_does_not_write_after_a_line_that_does_not_hold(journal: Journal) -> None:
    filled(journal.path, 2)
    changed = journal.path.read_bytes().replace(b'"ms":1.5', b'"ms":1.6')
    journal.path.write_bytes(changed)
    with pytest.raises(RecordError) as caught:
        journal.append("statement")
    assert str(caught.value) == (
        f"The last line of the journal {str(journal.path)!r} does not hold: "
        "it was changed after it was written.\n"
        "Next: keep this file as it is, and open a new run"
    )
    assert journal.path.read_bytes() == changed


def test_a_last_line_longer_than_a_block_is_followed(journal: Journal) -> None:
    journal.append("statement", sql="SELECT 1; " * 50_000)
    journal.append("statement", sql="SELECT 2")
    assert verify(journal.path) == []


WRITER = """
import sys
from pathlib import Path
from mig_kit.record import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    journal.append("statement", writer=sys.argv[3], number=number)
"""


def test_several_processes_and_threads_take_turns(journal: Journal) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(journal.path), "25", str(n)], cwd=ROOT) for n in range(2)
    ]
    threads = [
        threading.Thread(target=lambda: [journal.append("statement", writer="t") for _ in range(25)]) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert verify(journal.path) == []
    assert len(journal.entries()) == 100


def test_a_writer_killed_at_any_moment_leaves_a_journal_that_goes_on(journal: Journal) -> None:
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(journal.path), "100000", "k"], cwd=ROOT)
        size = _size(journal.path)
        deadline = time.monotonic() + 30
        while _size(journal.path) < size + 2000 and time.monotonic() < deadline:
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert [p.id for p in verify(journal.path)] in ([], ["torn"])
        journal.append("session opened")
        assert verify(journal.path) == []


def test_a_held_lock_is_an_error_not_a_hang(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append("session opened")
    monkeypatch.setattr(journal_module, "LOCK_WAIT_S", 0.1)
    with journal.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RecordError, match="Another process has held the journal"):
            journal.append("session finished")
    journal.append("session finished")
    assert len(journal.entries()) == 2


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "gone" / "journal.jsonl")
    with pytest.raises(RecordError) as caught:
        journal.append("session opened")
    assert caught.value.message == (f"The journal {str(journal.path)!r} cannot be written: its folder does not exist.")
    assert journal.entries() == ()


def test_a_full_disk_leaves_no_half_line(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes a part of the line and then no more, as a real one does."""
    journal.append("session opened")
    before = journal.path.read_bytes()
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if offset == len(before):
            return real(fd, data[:20], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RecordError, match="could not be written: No space left on device"):
        journal.append("statement", sql="SELECT 1")
    monkeypatch.undo()
    assert journal.path.read_bytes() == before
    journal.append("statement", sql="SELECT 1")
    assert verify(journal.path) == []


def test_a_folder_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(RecordError, match="could not be opened: Is a directory"):
        Journal(tmp_path / "journal.jsonl").append("session opened")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _verify(content: bytes) -> list[Problem]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return verify(file.name)
