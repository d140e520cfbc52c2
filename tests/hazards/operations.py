"""Operations as the worker states them, for checks that need no project."""

from __future__ import annotations

from typing import Any

__all__ = ["alter", "column", "migration", "operation"]


def column(db_type: str | None = "integer", kind: str = "IntegerField", **facts: Any) -> dict[str, Any]:
    """A field's plain data."""
    values = {
        "class": kind,
        "code": f"models.{kind}()",
        "null": False,
        "unique": False,
        "has_default": False,
        "has_db_default": False,
        "max_length": None,
        "max_digits": None,
        "decimal_places": None,
        "many_to_many": False,
        "primary_key": False,
        "to": None,
        "db_type": db_type,
    }
    return {**values, **facts}


def operation(kind: str, *, field: str | None = "size", **facts: Any) -> dict[str, Any]:
    """An operation's plain data."""
    values = {
        "class": kind,
        "describe": f"{kind} {field}",
        "app": "shop",
        "model": "Shoe",
        "field": field,
        "before": None,
        "after": None,
    }
    return {**values, **facts}


def alter(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """An AlterField from one to the other."""
    return operation("AlterField", before=before, after=after)


def migration(*operations: dict[str, Any], dependencies: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """A migration of the app shop with these operations."""
    return {
        "app": "shop",
        "name": "0002_change",
        "dependencies": [list(each) for each in dependencies],
        "operations": list(operations),
    }
