"""Results as plain data, for the one JSON document that --json prints."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from mig_kit.record import redact_data

__all__ = ["records", "to_json", "to_plain"]


def to_json(document: Mapping[str, Any]) -> str:
    """Return one JSON document with its secrets masked."""
    return json.dumps(redact_data(to_plain(document)), ensure_ascii=False, indent=2, allow_nan=False)


def to_plain(value: Any) -> Any:
    """Return what JSON can hold, losing nothing that matters.

    Frozen dataclasses become objects, DataFrames lists of records, times ISO 8601 text, decimals, UUIDs and paths
    text, bytes PostgreSQL's hexadecimal text; NULL, NaT, NaN and the infinities null.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return to_plain(value.value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dt.date, dt.time)):  # a datetime is a date, and so is pandas' NaT, whose text is "NaT"
        text = value.isoformat()
        return None if text == "NaT" else text
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, (Decimal, Path)):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if type(value).__module__.split(".")[0] == "pandas" and hasattr(value, "itertuples"):
        return records(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item") and type(value).__module__ == "numpy":
        return to_plain(value.item())
    if isinstance(value, Iterable):
        return [to_plain(each) for each in value]
    return str(value)


def records(frame: Any) -> list[dict[str, Any]]:
    """Return a DataFrame's rows as records; of columns with one name, the later are numbered."""
    names: list[str] = []
    for column in map(str, frame.columns):
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return [
        {name: to_plain(each) for name, each in zip(names, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]
