"""How a verification looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mig_kit.lab.blocks import Block, Fold, Phrase, Table, Title, View, code, limited, quiet, state, strong
from mig_kit.lab.views.session import check_table, plural
from mig_kit.steps.verify import Verification

if TYPE_CHECKING:
    import pandas

__all__ = ["verification_view"]

_MOST = 500
_MOST_OF_A_QUERY = 50


def verification_view(result: Verification) -> View:
    """Return the checks in plain sight and what stands behind them in folds; one that did not hold starts open."""
    failed = sum(each.state == "failed" for each in result.checks)
    skipped = sum(each.state == "skipped" for each in result.checks)
    title = f"Verification: {plural(failed, 'check')} failed" if failed else "Verification: all checks hold"
    if skipped:
        title += f", {skipped} skipped"
    blocks: list[Block] = [
        Title(title, "bad" if failed else "good"),
        check_table("What was verified", result.checks),
    ]
    blocks += [fold for fold in (_models(result), _rows(result), _pages(result)) if fold is not None]
    blocks += [_query(name, frame) for name, frame in result.queries.items()]
    return View(tuple(blocks))


def _models(result: Verification) -> Fold | None:
    if not result.models:
        return None
    rows: list[tuple[Phrase, ...]] = []
    for each in result.models:
        how: Phrase = (state("failed"), " ", each.error) if each.error else state("ok")
        count = f"{each.count:,}" if each.count is not None else "?"
        rows.append((f"{each.app}.{each.model}", code(each.table), count, each.first or "", how))
    columns = ("model", "table", "rows", "first primary key", "state")
    bad = any(each.error for each in result.models)
    return Fold(
        f"{plural(len(rows), 'model')}, each counted and its first row read",
        (Table("Models", columns, limited(rows, _MOST, "to_frame()"), frozenset({2})),),
        open=bad,
    )


def _rows(result: Verification) -> Fold | None:
    if not result.rows:
        return None
    rows: list[tuple[Phrase, ...]] = []
    bad = False
    for each in result.rows:
        before = f"{each.backup:,}" if each.backup is not None else "not in it"
        now = f"{each.now:,}" if each.now is not None else "gone"
        difference: Phrase = ""
        if each.backup is not None and each.now is not None:
            less = each.now < each.backup
            difference = strong(f"{each.now - each.backup:+,}") if less else f"{each.now - each.backup:+,}"
            difference = "0" if each.now == each.backup else difference
            bad = bad or less
        bad = bad or each.now is None
        rows.append((code(each.table), before, now, difference))
    return Fold(
        f"Row counts of {plural(len(rows), 'table')}, in the backup and now",
        (
            Table(
                "Row counts",
                ("table", "in the backup", "now", "difference"),
                limited(rows, _MOST, "rows_frame()"),
                frozenset({1, 2, 3}),
            ),
        ),
        open=bad,
    )


def _pages(result: Verification) -> Fold | None:
    if not result.pages:
        return None
    rows: list[tuple[Phrase, ...]] = []
    for each in result.pages:
        answer: Phrase = (state("ok"), f" {each.status}")
        if each.status != 200:
            answer = (state("failed"), f" {each.error or each.status}")
        rows.append((each.what, code(each.url), answer))
    return Fold(
        (f"{plural(len(rows), 'admin page')}", quiet(", asked for as a temporary superuser")),
        (Table("Admin pages", ("page", "url", "answer"), limited(rows, _MOST, "pages_frame()")),),
        open=any(each.status != 200 for each in result.pages),
    )


def _query(name: str, frame: pandas.DataFrame | Any) -> Fold:
    columns = tuple(map(str, frame.columns)) or ("(no column)",)
    rows = [tuple("" if value is None else str(value) for value in row) for row in frame.itertuples(index=False)]
    numeric = frozenset(index for index, kind in enumerate(frame.dtypes) if kind.kind in "iuf")
    table = Table(name, columns, limited(rows, _MOST_OF_A_QUERY, f"queries[{name!r}]"), numeric)
    return Fold(("Query: ", name, quiet(f", {plural(len(rows), 'row')}")), (table,))
