"""What happened, kept: a hash-chained journal, redaction, and a report that stands alone."""

from __future__ import annotations

from ._chain import Entry, Problem
from .folder import RunFolder, hidden_folder
from .journal import Journal, verify
from .redact import clear_secrets, redact, redact_data, register_secret
from .report import redact_notebook, write_report
from .sql import export_sql

__all__ = [
    "Entry",
    "Journal",
    "Problem",
    "RunFolder",
    "clear_secrets",
    "export_sql",
    "hidden_folder",
    "redact",
    "redact_data",
    "redact_notebook",
    "register_secret",
    "verify",
    "write_report",
]
