"""Whatever is killed, wherever: after resume the database is as an undisturbed run leaves it. On PostgreSQL 18."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import Server, connect
from mig_kit.record import Entry, Journal
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.apply import apply, migrate, plan
from mig_kit.steps.resume import look, resume
from mig_kit.steps.target import Target
from mig_kit.steps.unfinished import Way
from tests.faults.fuse import Fuse
from tests.faults.plans import Plan, Stand, every_kind
from tests.steps.sites import open_site

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def kinds(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    with every_kind(tmp_path_factory.mktemp("killed") / "site", server, "killed") as made:
        yield made


def go(target: Target, journal: Journal, backwards: bool) -> None:
    """Apply all, or take all back to the first."""
    if not backwards:
        apply(target, journal=journal)
        return
    run = Migrating(target, "rollback", journal=journal)
    with run.alone():
        migrate(run, plan(target, "shop", "0001_initial"), app="shop", name="0001_initial")


def finish(target: Target, journal: Journal, backwards: bool) -> str:
    """Go on the way that is offered, and return which one it was."""
    found = look(target)
    if found is None:
        go(target, journal, backwards)
        return "nothing"
    if found.way is Way.CHOOSE:
        # Of code that commits when it likes nobody can tell; the author can: this one may run twice.
        assert found.current is not None
        assert "Raw Python operation" in found.current.operation
        resume(target, choice="again", journal=journal)
    else:
        resume(target, journal=journal)
    assert look(target) is None
    return str(found.way)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_of_the_worker_at_every_boundary(kinds: Plan, backwards: bool) -> None:
    with closing(open_site(kinds.site)) as target:

        def kill() -> None:
            assert target.worker.pid is not None
            os.kill(target.worker.pid, signal.SIGKILL)

        ways = _at_every_boundary(
            kinds, target, backwards, lambda at: _killed_worker(kinds, target, at, kill, backwards)
        )
    # Whether the record was written a moment before the kill is a race here: see the test of that moment alone.
    assert {"go on", "finish the rest", "choose"} <= ways


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_of_the_worker_between_the_last_part_and_the_record(kinds: Plan, backwards: bool) -> None:
    """The record has to wait for somebody else's lock, so that the kill cannot come too late."""
    kinds.reset(applied=backwards)
    with closing(open_site(kinds.site)) as target, closing(connect(kinds.database)) as other:

        def lock(data: Mapping[str, Any]) -> None:
            other.execute("BEGIN")
            other.execute("LOCK TABLE django_migrations IN SHARE MODE")  # it may be read, and not written

        def kill(data: Mapping[str, Any]) -> None:
            assert target.worker.pid is not None
            os.kill(target.worker.pid, signal.SIGKILL)

        journal = _LastPart(kinds.journal("one").path, "0004_parts", behind_its_announcement=lock, before_done=kill)
        with pytest.raises(errors.MigKitError):
            go(target, journal, backwards)
        other.execute("ROLLBACK")
        assert finish(target, kinds.journal("two"), backwards) == "finish the record"
    wanted = kinds.before if backwards else kinds.after
    assert wanted.differences(Stand.of(kinds.database)) == []


class _LastPart(Journal):
    """A journal that does something around the last operation of one migration."""

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        behind_its_announcement: Callable[[Mapping[str, Any]], None],
        before_done: Callable[[Mapping[str, Any]], None],
    ) -> None:
        super().__init__(path)
        self._name, self._behind, self._before = name, behind_its_announcement, before_done
        self._reached = False

    def append(self, kind: str, /, **data: Any) -> Entry:
        if kind == "operation done" and self._reached:
            self._before(data)
        entry = super().append(kind, **data)
        if kind == "operation announced" and data["name"] == self._name and data["operation"] + 1 == data["of"]:
            self._reached = True
            self._behind(data)
        return entry


def _killed_worker(kinds: Plan, target: Target, at: int | None, kill: Callable[[], None], backwards: bool) -> str:
    fuse = Fuse(kinds.journal("one").path, at, kill)
    fuse.burns(lambda: go(target, fuse, backwards))
    return fuse.where


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_of_the_kernel_at_every_boundary(kinds: Plan, backwards: bool) -> None:
    with closing(open_site(kinds.site)) as target:
        ways = _at_every_boundary(kinds, target, backwards, lambda at: _killed_kernel(kinds, at, backwards))
    assert {"go on", "finish the rest", "choose"} <= ways


def _killed_kernel(kinds: Plan, at: int | None, backwards: bool) -> str:
    """Run it in a process of its own, which kills itself; return where."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def run() -> None:
        def blow() -> None:
            writer.send(fuse.where)
            os.kill(os.getpid(), signal.SIGKILL)

        fuse = Fuse(kinds.journal("one").path, at, blow, statements=False)
        with closing(open_site(kinds.site)) as own:
            go(own, fuse, backwards)
        os._exit(0)

    process = context.Process(target=run)
    process.start()
    writer.close()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    try:
        return str(reader.recv())
    except EOFError:
        return ""


def _at_every_boundary(kinds: Plan, target: Target, backwards: bool, attempt: Callable[[int | None], str]) -> set[str]:
    """Kill at the first boundary, the second, and so on, until none is left; return the ways that were offered."""
    ways: set[str] = set()
    wanted = kinds.before if backwards else kinds.after
    at = 0
    while True:
        at += 1
        kinds.reset(applied=backwards)
        where = attempt(at)
        way = finish(target, kinds.journal("two"), backwards)
        ways.add(way)
        assert wanted.differences(Stand.of(kinds.database)) == [], f"killed {where}, then: {way}"
        if not where:
            assert at > 20
            return ways
