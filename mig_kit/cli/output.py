"""What people and programs read: tables and sentences, or one JSON document; nothing with a secret in it."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import traceback as traceback_module
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import error_document, hint_for
from mig_kit.cli.plain import to_json
from mig_kit.cli.words import for_terminal
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.record import redact
from mig_kit.runbook import Quiet

if TYPE_CHECKING:
    import pandas

    from mig_kit.runbook import Runbook
    from mig_kit.steps.check import Check

__all__ = [
    "Terminal",
    "record_of",
    "show_checks",
    "show_error",
    "show_frame",
    "show_json",
    "show_line",
    "show_note",
    "show_record",
    "show_source",
    "show_table",
    "shown",
]

_STATE_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
# Without a terminal nothing is folded, so that grep and a log get whole lines.
_UNFOLDED = 100_000


def show_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout."""
    click.echo(to_json(document))


def show_line(text: str = "") -> None:
    """Print a line of the result."""
    click.echo(redact(text))


def show_note(text: str) -> None:
    """Print a line beside the result, on stderr."""
    click.echo(redact(text), err=True)


def show_record(rb: Runbook) -> None:
    """Say where the record of a session lies, where it keeps one."""
    if rb.run is not None:
        show_note(f"Record: {shown(rb.run.path)}")


def record_of(rb: Runbook) -> str | None:
    """Return where the record of a session lies, for a document; None where it keeps none."""
    return str(rb.run.path) if rb.run is not None else None


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, styles: Mapping[str, str] = {}) -> None:
    """Print rows as a table; ``styles`` maps a cell's text to its colour, which only adds to the word."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    box = SIMPLE_HEAD if sys.stdout.isatty() else None  # no rule across a log
    table = Table(box=box, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], (int, float)) or row[number] is None for row in rows)
        table.add_column(Text(redact(column)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        texts = [redact(_cell(each)) for each in row]
        table.add_row(*(Text(text, style=styles.get(text, "")) for text in texts))
    _print(table)


def show_frame(frame: pandas.DataFrame) -> None:
    """Print a DataFrame as a table."""
    from mig_kit.cli.plain import to_plain

    rows = [[to_plain(each) for each in row] for row in frame.itertuples(index=False, name=None)]
    show_table([str(each) for each in frame.columns], rows)


def show_checks(checks: Sequence[Check]) -> None:
    """Print checks, each with its state in a word, and under those that do not hold the next step."""
    rows: list[tuple[object, ...]] = []
    for each in checks:
        rows.append((each.state, each.name, for_terminal(each.detail)))
        if each.hint and each.state != "ok":
            rows.append(("", "", f"next: {for_terminal(each.hint)}"))
    show_table(("state", "check", "detail"), rows, styles=_STATE_STYLES)


def show_source(text: str, language: str) -> None:
    """Print source text: highlighted in a terminal, exactly as it is anywhere else."""
    text = redact(text).rstrip("\n")
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.syntax import Syntax

    _print(Syntax(text, language, theme="ansi_dark", background_color="default", word_wrap=True))


def show_error(exc: BaseException, *, as_json: bool, with_traceback: bool) -> None:
    """Print one clear error: on stderr for people, as a JSON document on stdout for programs.

    ``with_traceback`` adds the traceback of this process and, where the project's worker raised, all of its own.
    """
    traceback = _tracebacks(exc) if with_traceback else ""
    if isinstance(exc, errors.MigKitError):
        document = error_document(exc)
        message, hint = for_terminal(exc.message), hint_for(exc)
    else:
        message = f"Something unforeseen: {type(exc).__name__}: {exc}".rstrip(": ")
        hint = "" if with_traceback else "run it again with --traceback and report what it shows"
        document = {"kind": type(exc).__name__, "message": message, "hint": hint, "exit_code": 3}
    if as_json:
        show_json({"error": {**document, **({"traceback": traceback} if traceback else {})}})
        return
    if traceback:
        click.echo(redact(traceback), err=True)
    click.echo(click.style("Error: ", fg="red", bold=True) + redact(message), err=True)
    if hint:
        click.echo(click.style("Next: ", bold=True) + redact(hint), err=True)


def _tracebacks(exc: BaseException) -> str:
    parts = ["".join(traceback_module.format_exception(exc))]
    if worker := getattr(exc, "traceback", ""):
        parts.append(f"In the project's interpreter:\n{worker}")
    if output := getattr(exc, "last_output", ""):
        parts.append(f"The worker's last output:\n{output}")
    return "\n".join(part.rstrip("\n") for part in parts)


class Terminal(Quiet):
    """The interaction of a terminal: progress on stderr, live where people look on, plain lines in a log."""

    @contextlib.contextmanager
    def progress(self, step: str) -> Iterator[ProgressCallback]:
        """Show progress while the context lasts."""
        if not sys.stderr.isatty():
            yield _lines()
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        console = Console(stderr=True, highlight=False, emoji=False)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30, pulse_style="dim"))
        with Bars(*columns, console=console, transient=True) as bars:
            task = bars.add_task(step, total=None)

            def live(progress: Progress) -> None:
                text = escape(redact(str(progress) if progress.unit != "bytes" else progress.message))
                if progress.lasting:
                    bars.console.print(escape(redact(progress.message)), highlight=False)
                counted = progress.unit != "bytes" and progress.total
                bars.update(
                    task,
                    description=text,
                    completed=progress.done or 0 if counted else 0,
                    total=progress.total if counted else None,
                )

            yield live


def _lines(every_s: float = 2.0) -> Callable[[Progress], None]:
    """Write a line for each lasting message, and for the passing ones no more than one in ``every_s``."""
    last = time.monotonic()

    def write(progress: Progress) -> None:
        nonlocal last
        if not progress.lasting and time.monotonic() - last < every_s:
            return
        last = time.monotonic()
        click.echo(redact(progress.message if progress.lasting else str(progress)), err=True)

    return write


def _print(renderable: Any) -> None:
    """Print what rich renders: in the terminal's width, or in full and without trailing blanks where there is none."""
    from rich.console import Console

    live = sys.stdout.isatty()
    width = Console(file=sys.stdout).width if live else _UNFOLDED
    console = Console(file=io.StringIO(), force_terminal=live, width=width, highlight=False, emoji=False, markup=False)
    with console.capture() as captured:
        console.print(renderable)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value == round(value, 6) else f"{value}"
    if isinstance(value, (dict, list)):
        import json

        return json.dumps(value, ensure_ascii=False)
    return str(value)


def shown(path: Path) -> str:
    """Return a path as people would type it: relative where it lies below the working directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
