"""Functions that stand in the files of a remedy, as Python text: they run in the project, with Django only."""

from __future__ import annotations

import re

from mig_kit.hazards.remedies._code import literal

__all__ = ["IN_BATCHES", "IN_RANGES", "drop_invalid", "function_name"]

IN_BATCHES = '''\
def in_batches(schema_editor, table, key, statement, size=10_000):
    """Run the statement on so many rows at a time, each time committed by itself; stopped, it can be run again."""
    last = []
    with schema_editor.connection.cursor() as cursor:
        if not key:
            cursor.execute(
                "SELECT quote_ident(a.attname) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
                " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = %s::regclass AND i.indisprimary",
                [table],
            )
            ((key,),) = cursor.fetchall()
        while True:
            above = f"WHERE {key} > %s" if last else ""
            batch = f"SELECT {key} FROM {table} {above} ORDER BY {key} LIMIT {size}"
            cursor.execute(f"SELECT {key} FROM ({batch}) AS batch ORDER BY {key} DESC LIMIT 1", last)
            end = cursor.fetchone()
            if end is None:
                return
            rows = f"{key} <= %s" + (f" AND {key} > %s" if last else "")
            cursor.execute(statement.format(range=rows), [*end, *last])
            last = [*end]
'''


IN_RANGES = '''\
def in_ranges(model, alias, size=10_000):
    """Give all rows of a model as querysets of so many each, by ranges of the primary key."""
    rows = model.objects.using(alias)
    while True:
        ends = list(rows.order_by("pk").values_list("pk", flat=True)[size - 1 : size])
        if not ends:
            yield rows
            return
        yield rows.filter(pk__lte=ends[0])
        rows = model.objects.using(alias).filter(pk__gt=ends[0])
'''


def function_name(prefix: str, name: str) -> str:
    """Return a Python name for what has a name in the database."""
    return re.sub(r"\W+", "_", f"{prefix}_{name}").lower()


def drop_invalid(index: str) -> tuple[str, str]:
    """Return (name, text) of a function that drops an index only when it is what a failed build has left.

    ``index``: its name in quotes, with its schema where it needs one.
    """
    name = function_name("drop_invalid", index.replace('"', ""))
    text = f'''\
def {name}(apps, schema_editor):
    """A concurrent build that was stopped leaves an invalid index, on whose name the next one would fail."""
    with schema_editor.connection.cursor() as cursor:
        invalid = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"
        cursor.execute(invalid, [{literal(index)}])
        if cursor.fetchone():
            cursor.execute({literal(f"DROP INDEX CONCURRENTLY {index}")})
'''
    return name, text
