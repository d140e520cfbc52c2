"""Open a session: the target, its record, the runbook that strings the steps together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mig_kit.record import RunFolder
from mig_kit.runbook._interaction import Interaction
from mig_kit.runbook._runbook import Runbook
from mig_kit.steps.target import open_target

__all__ = ["RUN_FOLDER", "open_runbook"]

# `mig-kit run` and `mig-kit lab` name the folder that the notebook's runbook keeps its record in.
RUN_FOLDER = "MIG_KIT_RUN_FOLDER"


def open_runbook(
    path: str | Path = ".",
    *,
    database: str | None = None,
    stage: str | None = None,
    python: str | Path | None = None,
    settings: str | None = None,
    environ: Mapping[str, str] | None = None,
    record: bool = True,
    remember: bool = False,
    interaction: Interaction | None = None,
) -> Runbook:
    """Open a session on a Django project: find it, start its worker, begin the record.

    ``path``: the folder of manage.py or one around it. ``database``: an alias of DATABASES. ``stage``: development,
    staging or production; inferred when not given, erring to production. ``python``, ``settings`` and ``environ``
    name what is not found by itself. With ``record`` a run folder is made below ``.mig/runs`` in the project;
    ``remember``: without one, too, keep for other sessions what opens gates (that a plan was shown).
    Nothing in the project or the database is changed. Raises the ``MigKitError`` that fits.
    """
    target = open_target(path, database=database, stage=stage, python=python, settings=settings, environ=environ)
    try:
        run = None
        if record:
            named = os.environ.get(RUN_FOLDER)
            run = RunFolder.open(named) if named else RunFolder.create(target.project.root, "session")
        return Runbook(target, run=run, interaction=interaction, remember=remember)
    except BaseException:
        target.close()
        raise


open_runbook.__module__ = "mig_kit.runbook"
