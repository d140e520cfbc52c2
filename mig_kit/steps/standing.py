"""Where an apply stands that did not end: each migration by the journal, by ``django_migrations`` and by the schema."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg

from mig_kit.postgres import Connection
from mig_kit.record import Entry
from mig_kit.record.redact import MASK
from mig_kit.steps import apply_journal as kinds
from mig_kit.steps._place import Found, find_place, reached
from mig_kit.steps._where import database_facts, schema_digest
from mig_kit.steps.last_apply import LastApply, last_apply
from mig_kit.steps.target import Target
from mig_kit.steps.unfinished import GO_BACK, MigrationStanding, Standing, Unfinished

__all__ = ["find_unfinished"]


def find_unfinished(target: Target, conn: Connection, also: Path | None = None) -> Unfinished | None:
    """Return where the last apply of this database stands when it did not end; None when it did. Read-only.

    ``also``: a journal that does not lie below the project's ``.mig``. That nobody migrates at this moment is for the
    caller to know. An apply all of whose migrations are done left nothing to finish.
    """
    facts = database_facts(conn)
    last = last_apply(target.project.root, facts, () if also is None else (also,))
    if last is None or last.ended:
        return None
    look = _Look(target, conn, last, facts)
    found = tuple(look.at(*each) for each in last.plan)
    if all(each.standing is Standing.DONE for each in found):
        return None
    return Unfinished(
        step=last.step,
        journal=last.journal,
        began=last.at.astimezone(UTC),
        by=look.by,
        scope=last.scope,
        migrations=found,
        fake=bool(last.announced.data.get("fake")),
        other_databases=bool(last.announced.data.get("other_databases")),
    )


class _Look:
    """Look at the migrations of one apply, in one database."""

    def __init__(self, target: Target, conn: Connection, last: LastApply, facts: Mapping[str, Any]) -> None:
        self._conn = conn
        self._last = last
        self._restarted = last.announced.data.get("server_started") != facts["server_started"]
        self._recorded = {(each["app"], each["name"]) for each in target.ask("history")}
        squashed = [each for each in target.ask("graph")["nodes"] if each["replaces"] and each["applied"]]
        self._recorded |= {(each["app"], each["name"]) for each in squashed}
        data = last.announced.data
        self.by = str(data.get("by", ""))

    def at(self, app: str, name: str, backwards: bool) -> MigrationStanding:
        recorded = (app, name) in self._recorded
        entries = self._last.of(app, name)
        begun = next((each for each in reversed(entries) if each.kind == kinds.MIGRATION), None)
        said = any(each.kind in (kinds.MIGRATION_DONE, kinds.MIGRATION_UNDONE) for each in entries)
        here = self._resumed(app, name)
        words = "is recorded in django_migrations" if recorded else "is not recorded in django_migrations"

        def standing(what: Standing, evidence: str, **more: Any) -> MigrationStanding:
            return MigrationStanding(app, name, backwards, what, evidence, **more)

        if self._last.step == GO_BACK:
            # What is taken back of a half-done migration was never recorded.
            if said:
                return standing(Standing.DONE, "the journal says that it was taken back")
            return self._in_parts(app, name, backwards, entries, here, begun)
        if recorded != backwards:
            return standing(Standing.DONE, f"it {words}")
        if said:
            return standing(
                Standing.UNCLEAR,
                f"the journal says that it was done, and it {words}",
                choices={
                    "again": (
                        {"app": app, "name": name},
                        "the database was put back to an earlier state, so that all of it has to run again",
                    ),
                },
            )
        if begun is None and not here:
            return standing(Standing.NOT_STARTED, f"it was not announced, and it {words}")
        if begun is not None and begun.data["atomic"] and not begun.data.get("guarded"):
            return self._of_another_executor(standing, app, name, words)
        if begun is not None and begun.data["atomic"]:
            whole = "its transaction, of which the record is a part, was not committed"
            return standing(Standing.NOT_STARTED, f"it was announced, and it {words}: {whole}")
        return self._in_parts(app, name, backwards, entries, here, begun)

    def _of_another_executor(
        self, standing: Callable[..., MigrationStanding], app: str, name: str, words: str
    ) -> MigrationStanding:
        """An executor of the project's own writes its record when it likes: after the commit, as Django's does."""
        return standing(
            Standing.UNCLEAR,
            f"it was announced, and it {words}, which the project's own executor may do after the commit",
            choices={
                "again": ({"app": app, "name": name}, "the schema is as it was before it"),
                "done": ({"app": app, "name": name, "record": True}, "the schema is as it leaves it"),
            },
        )

    def _in_parts(
        self,
        app: str,
        name: str,
        backwards: bool,
        entries: tuple[Entry, ...],
        resumed: Mapping[str, Any],
        begun: Entry | None,
    ) -> MigrationStanding:
        at = reached(entries, resumed)
        found = find_place(at, self._became)
        # The file that what is done was done by: the one of the session before, where this one did nothing.
        then = _file_of(begun)
        if resumed.get("sha256") and at == reached((), resumed):
            then = {**then, "sha256": resumed["sha256"]}
        changed = _is_another(then)
        place = dict(found.place) if found.place is not None else None
        choices = dict(found.choices or {})
        standing, evidence = Standing.PART_DONE, found.evidence
        if place is None:
            standing = Standing.UNCLEAR
        elif _is_start(place):
            return MigrationStanding(app, name, backwards, Standing.NOT_STARTED, evidence)
        elif any(MASK in each for each in place.get("deferred") or ()):
            standing, choices = Standing.UNCLEAR, _by_hand(found, place)
            evidence += ", and a statement that is left to run was masked in the journal"
        elif changed:
            standing = Standing.UNCLEAR
            evidence += ", and its file is another one than it was when it was begun"
            choices = {"again": (place, "the file as it is now does from there on what is left to do")}
        counts: list[Any] = [each.data["of"] for each in entries if each.kind == kinds.OPERATION]
        if place is not None and counts and place["operation"] >= max(counts):
            place["whole"] = True
        keys = {"app": app, "name": name, "sha256": then.get("sha256", "")}
        return MigrationStanding(
            app,
            name,
            backwards,
            standing,
            evidence,
            {**place, **keys} if place is not None and standing is Standing.PART_DONE else None,
            {choice: ({**where, **keys}, words) for choice, (where, words) in choices.items()} or None,
            found.reached.words,
        )

    def _resumed(self, app: str, name: str) -> Mapping[str, Any]:
        resumed = self._last.resumed
        return resumed if (resumed.get("app"), resumed.get("name")) == (app, name) else {}

    def _became(self, entry: Entry) -> tuple[bool | None, str]:
        """Say what became of the transaction of an entry, and how that is known."""
        status = self._status(str(entry.data["xid"]))
        number = f"its transaction {entry.data['xid']}"
        if status == "aborted":
            return False, f"{number} was rolled back"
        if status == "committed" and (entry.data.get("anchored") or not self._restarted):
            return True, f"{number} was committed"
        if status == "in progress":
            return None, f"{number} is still under way"
        before, now = str(entry.data.get("schema", "")), schema_digest(self._conn)
        if before and now and before != now:
            return True, f"{number} was committed: the schema is another one than before it"
        why = "the server was started again since" if self._restarted else "the server does not know it any more"
        return None, f"what became of {number} cannot be told: {why}, and the schema is as it was before it"

    def _status(self, xid: str) -> str | None:
        with contextlib.suppress(psycopg.Error):
            row = self._conn.execute("SELECT txid_status(%s::bigint)", (xid,)).fetchone()
            return str(row[0]) if row is not None and row[0] is not None else None
        return None


def _is_start(place: Mapping[str, Any]) -> bool:
    return (place["operation"], place["part"]) == (0, "operation")


def _file_of(begun: Entry | None) -> Mapping[str, Any]:
    return {name: begun.data.get(name) for name in ("file", "sha256")} if begun is not None else {}


def _is_another(known: Mapping[str, Any]) -> bool:
    """Tell whether a migration's file is another one than it was when it was begun."""
    path, then = known.get("file"), known.get("sha256")
    if not path or not then:
        return False
    try:
        return hashlib.sha256(Path(str(path)).read_bytes()).hexdigest() != str(then)
    except OSError:
        return True


def _by_hand(found: Found, place: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], str]]:
    after = {**place, "operation": place["operation"] + 1, "part": "operation", "deferred": []}
    return {"done": (after, "somebody has run by hand what Django holds back of the operation before it")}
