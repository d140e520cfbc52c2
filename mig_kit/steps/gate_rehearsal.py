"""Whether a plan was rehearsed: this very one, on a backup that counts; of a way back also each migration's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mig_kit.steps._gate_seen import Seen, some
from mig_kit.steps.gate_facts import Fact
from mig_kit.steps.plan_hash import HashedPlan

__all__ = ["look_at_rehearsals"]


def look_at_rehearsals(
    plan: HashedPlan, facts: Sequence[Fact], *, begun: Sequence[Fact], counting: Collection[str], opens: str
) -> Seen:
    """Look at what was rehearsed, the newest first.

    ``begun``: the plans that were let run and of which this one is the rest. ``counting``: the checksums of the backups
    that count. ``opens``: the call that rehearses this plan.
    """
    alike = [each for each in facts if each.data["backwards"] == plan.backwards]
    wanted = [plan.lines, *(_lines(each) for each in begun)]
    own = [each for each in alike if _lines(each) in wanted]
    for fact in own:
        if not fact.data["passed"]:
            words = f"This plan was rehearsed on {fact.data['backup_name']} and did not pass."
            return Seen(False, words, fact.at, opens)
        if fact.data["backup"] in counting:
            rest = " It is the rest of that plan, whose beginning is done." if _lines(fact) != plan.lines else ""
            words = f"Passed on {fact.data['backup_name']} ({fact.data['mode']}), by {fact.by}.{rest}"
            return Seen(True, words, fact.at)
    if plan.backwards and (found := _with_their_migrations(plan, facts)) is not None:
        return found
    if own:
        words = f"This plan passed on {own[0].data['backup_name']}, which does not count any more."
        return Seen(False, words, own[0].at, f"rb.backup(), then {opens}")
    labels = [str(each) for each in plan.migrations]
    like = next((each for each in alike if [label for label, _sha in each.data["plan"]] == labels), None)
    if like is not None:
        now = {sha for _label, sha in plan.lines}
        changed = [label for label, sha in like.data["plan"] if sha not in now]
        words = f"{some(changed)} was changed after the rehearsal: the file, or the SQL from it, is another one."
        return Seen(False, words, like.at, opens)
    return Seen(False, "This plan was never rehearsed.", next=opens)


def _with_their_migrations(plan: HashedPlan, facts: Sequence[Fact]) -> Seen | None:
    """Look whether each migration was taken back when it was rehearsed itself, with the file as it is now.

    That was on a backup from before it, so none of today's can be asked for. None where one was not.
    """
    used: list[Fact] = []
    for each in plan.migrations:
        fact = next((fact for fact in facts if str(each) in fact.data["migrations"]), None)
        if fact is None or not each.file_sha256 or fact.data["migrations"][str(each)] != [each.file_sha256, "done"]:
            return None
        used.append(fact)
    oldest = min(used, key=lambda fact: fact.at)
    words = f"Each way back passed when its migration was rehearsed, on {oldest.data['backup_name']}."
    return Seen(True, words, oldest.at)


def _lines(fact: Fact) -> list[list[str]]:
    return [list(each) for each in fact.data["plan"]]
