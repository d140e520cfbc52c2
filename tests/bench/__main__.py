"""Run the topics of the bench, all or those named, and print ratios. Run it with ``make bench``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from tests.bench.measure import Options, Row, show, tell


def topics() -> dict[str, Any]:
    """Return the modules of this package that measure something, by name."""
    found = {}
    for each in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if each.name not in ("__main__", "measure"):
            module = importlib.import_module(f"tests.bench.{each.name}")
            if hasattr(module, "rows"):
                found[each.name] = module
    return found


def main() -> None:
    """Measure and print."""
    known = topics()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of: {', '.join(known)} (default: all)")
    parser.add_argument("--runs", type=int, default=Options.runs, help="pairs of each (default: %(default)s)")
    parser.add_argument(
        "--megabytes", type=int, default=Options.megabytes, help="of the databases that are made (default: %(default)s)"
    )
    given = parser.parse_args()
    if unknown := [each for each in given.topics if each not in known]:
        parser.error(f"no such topic: {', '.join(unknown)}; there are {', '.join(known)}")
    rows: list[Row] = []
    for name in given.topics or known:
        tell(f"topic {name}")
        rows += known[name].rows(Options(given.runs, given.megabytes))
    show(rows)


if __name__ == "__main__":
    main()
