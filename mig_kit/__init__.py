"""mig_kit: the Django migration runbook for PostgreSQL, as notebooks, a library and a command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mig_kit._version import __version__
from mig_kit.errors import MigKitError

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["MigKitError", "__version__", "open_runbook"]


def open_runbook(
    path: str | Path = ".",
    *,
    database: str | None = None,
    stage: str | None = None,
    python: str | Path | None = None,
    settings: str | None = None,
    environ: Mapping[str, str] | None = None,
    record: bool = True,
) -> Runbook:
    """Open a session on a Django project: find it, start its worker, begin the record.

    ``path``: the folder of manage.py or one around it. ``database``: an alias of DATABASES. ``stage``: development,
    staging or production; inferred when not given, erring to production. ``python``, ``settings`` and ``environ``
    name what is not found by itself. With ``record`` a run folder is made below ``.mig/runs`` in the project.
    In a notebook this also teaches IPython how results look and connects the widgets.
    Nothing in the project or the database is changed. Raises the ``MigKitError`` that fits.
    """
    # Imported here, so that `import mig_kit` and the command line's --help stay quick.
    from mig_kit.runbook import open_runbook as open_it

    interaction = None
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from mig_kit.lab import connect

        interaction = connect()
    return open_it(
        path,
        database=database,
        stage=stage,
        python=python,
        settings=settings,
        environ=environ,
        record=record,
        interaction=interaction,
    )
