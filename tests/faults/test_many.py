"""Twenty sessions at once, and two hundred lock timeouts; on PostgreSQL 18."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.apply import Waiting, apply, migrate, plan
from tests.faults.plans import Plan, Stand, every_kind
from tests.project.projects import make_site
from tests.steps.sites import ask, open_site, shop

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SESSIONS = 20
TIMEOUTS = 200

# Runs until all others were refused, and doubles every price once: run twice it would double them twice.
DOUBLE = """

import time


def double(apps, editor):
    with editor.connection.cursor() as cursor:
        cursor.execute("UPDATE shop_item SET price = price * 2")
    for _ in range(600):
        with editor.connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM refused")
            if cursor.fetchone()[0] >= 19:
                return
        time.sleep(0.1)
"""


def test_of_twenty_sessions_one_applies_and_the_others_are_refused(tmp_path: Path, database: ConnectionInfo) -> None:
    site = shop(make_site(tmp_path / "site", database), database)
    ask(database, "ALTER TABLE shop_item ADD COLUMN price int DEFAULT 3")
    ask(database, "CREATE TABLE refused (pid int, why text)")
    site.migration(
        "shop",
        "0002_double",
        'dependencies = [("shop", "0001_initial")]\n'
        "operations = [migrations.RunPython(double, migrations.RunPython.noop)]",
        imports=DOUBLE,
    )
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    ready = context.Barrier(SESSIONS)

    def session() -> None:
        try:
            with closing(open_site(site)) as target:
                ready.wait(120)
                try:
                    results.put(("applied", str(len(apply(target).migrations))))
                except errors.GateClosed as exc:
                    results.put((exc.gate, exc.message))
                    ask(database, f"INSERT INTO refused VALUES ({os.getpid()}, '{exc.gate}')")
        except BaseException as exc:
            results.put((type(exc).__name__, str(exc)))
        results.close()
        results.join_thread()
        os._exit(0)

    processes = [context.Process(target=session) for _ in range(SESSIONS)]
    for process in processes:
        process.start()
    came = [results.get(timeout=240) for _ in processes]
    for process in processes:
        process.join(30)
    assert sorted(kind for kind, _ in came) == ["applied"] + ["nobody else migrating"] * (SESSIONS - 1), came
    assert [words for kind, words in came if kind == "applied"] == ["1"]
    refusals = [words for kind, words in came if kind != "applied"]
    assert all(words.startswith("Another session migrates this database: ") for words in refusals)
    assert ask(database, "SELECT DISTINCT price FROM shop_item") == [(6,)]
    assert ask(database, "SELECT count(*) FROM django_migrations WHERE name = '0002_double'") == [(1,)]


@pytest.fixture(scope="module")
def kinds(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    with every_kind(tmp_path_factory.mktemp("many") / "site", server, "many") as made:
        yield made


MODES = ("ACCESS SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE")


def get_in_the_way(info: ConnectionInfo, stop: threading.Event, dice: random.Random) -> None:
    """Lock one of the tables in one mode or another, for a while or a moment, again and again."""
    while not stop.is_set():
        try:
            with closing(connect(info, application_name="in the way")) as conn:
                while not stop.is_set():
                    table = dice.choice(("shop_item", "shop_item", "log"))
                    conn.execute("BEGIN")
                    conn.execute("SET LOCAL lock_timeout = '50ms'")
                    conn.execute(f"LOCK TABLE {table} IN {dice.choice(MODES)} MODE".encode())
                    time.sleep(0.12 * dice.random())
                    conn.execute("ROLLBACK")
                    time.sleep(0.05 * dice.random())
        except psycopg.Error:
            pass  # it did not get its lock, was in a deadlock, or the table is not there; it comes back


def test_two_hundred_lock_timeouts_leave_nothing_half_done_and_nothing_invalid(kinds: Plan) -> None:
    """Of migrations that are not atomic, to and fro until so many locks were not to be had."""
    retries: dict[str, int] = {}

    def count(event: str, data: dict[str, Any]) -> None:
        if event == "retry":
            retries[data["what"]] = retries.get(data["what"], 0) + 1

    stop = threading.Event()
    seed = random.randrange(1_000_000)
    kinds.reset(applied=False)
    with closing(open_site(kinds.site)) as target:
        apply(target, "shop", "0003_deferred")
        before = Stand.of(kinds.database)
        thread = threading.Thread(target=get_in_the_way, args=(kinds.database, stop, random.Random(seed)))
        thread.start()
        waiting = Waiting(lock_timeout_s=0.02, give_up_after_s=60)
        try:
            while sum(retries.values()) < TIMEOUTS:
                apply(target, waiting=waiting, on_event=count)
                assert kinds.after.differences(Stand.of(kinds.database)) == [], f"seed {seed}"
                run = Migrating(target, "rollback", None, count, waiting)
                with run.alone():
                    migrate(run, plan(target, "shop", "0003_deferred"), app="shop", name="0003_deferred")
                assert before.differences(Stand.of(kinds.database)) == [], f"seed {seed}"
        finally:
            stop.set()
            thread.join()
    assert ask(kinds.database, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert set(retries) >= {"operation", "statement", "deferred"}, retries
