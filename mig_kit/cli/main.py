"""The group of commands, and what becomes of their results, errors and interruptions."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from mig_kit import errors
from mig_kit._version import __version__
from mig_kit.cli import backups, looks, notebooks, steps
from mig_kit.cli.check import check
from mig_kit.cli.demo import demo
from mig_kit.cli.doctor import doctor
from mig_kit.cli.exits import Exit, Stopped, Terminated, exit_code
from mig_kit.cli.gates import gates
from mig_kit.cli.rehearse import rehearse
from mig_kit.cli.resume import resume
from mig_kit.cli.rollback import rollback
from mig_kit.cli.safer import safer

__all__ = ["cli", "main"]

COMMANDS = (
    demo,
    doctor,
    looks.status,
    looks.review,
    backups.backup,
    backups.verify_backup,
    backups.restore,
    steps.generate,
    looks.preview,
    check,
    safer,
    rehearse,
    gates,
    steps.apply,
    resume,
    rollback,
    steps.verify,
    looks.query,
    notebooks.run,
    notebooks.lab,
)


class _NobodyReads(Exception):
    """The reader of a pipe went away."""


class InOrder(click.Group):
    """A group that lists its commands in the order of the runbook and suggests the nearest for a mistyped one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self.commands, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "mig-kit --help lists the commands"
            raise errors.UsageError(f"There is no command {name!r}.", hint=hint)
        return super().resolve_command(ctx, args)

    # click would end the process with 1 where nobody reads on, and 1 means something here.

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError:
            raise _NobodyReads from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _NobodyReads from None


@click.group(
    cls=InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine; 1 it found what it looks for; 2 wrong usage or a refused gate; 3 it failed.",
)
@click.version_option(__version__, prog_name="mig-kit")
def cli() -> None:
    """The Django migration runbook for PostgreSQL: each step a command, a notebook cell, a line of the record."""


for command in COMMANDS:
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code."""
    arguments = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a letter still shows the rest
            stream.reconfigure(errors="backslashreplace")
    with _taking_sigterm():
        code = _run(arguments)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, with_traceback = "--json" in options, "--traceback" in options

    def told(exc: BaseException, code: int) -> int:
        from mig_kit.cli.output import show_error

        show_error(exc, as_json=as_json, with_traceback=with_traceback)
        return code

    try:
        try:
            result = cli.main(args=arguments, prog_name="mig-kit", standalone_mode=False)
            sys.stdout.flush()
            return int(result or Exit.FINE)
        except click.exceptions.NoArgsIsHelpError as exc:
            exc.show(sys.stderr)
            return Exit.REFUSED
        except click.UsageError as exc:
            return told(_usage_error(exc), Exit.REFUSED)
        except errors.MigKitError as exc:
            return told(exc, exit_code(exc))
        except Stopped as exc:
            return _interrupted(exc.standing, exc.code, as_json)
        except (click.Abort, KeyboardInterrupt) as exc:
            cause = exc.__cause__ or exc
            code = Exit.TERMINATED if isinstance(cause, Terminated) else Exit.INTERRUPTED
            return _interrupted("Interrupted; nothing was changed.", code, as_json)
        except (_NobodyReads, BrokenPipeError):
            raise
        except Exception as exc:
            return told(exc, Exit.FAILED)
    except (_NobodyReads, BrokenPipeError):
        # Nobody reads on. What Python would flush at its end goes nowhere, instead of raising again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE


def _usage_error(exc: click.UsageError) -> errors.UsageError:
    path = exc.ctx.command_path if exc.ctx else "mig-kit"
    message = exc.format_message()
    return errors.UsageError(message[:1].upper() + message[1:], hint=f"{path} --help")


def _interrupted(standing: str, code: Exit, as_json: bool) -> int:
    from mig_kit.cli.output import show_json, show_note

    if as_json:
        document = {"kind": "Interrupted", "message": standing, "hint": "", "exit_code": int(code)}
        show_json({"error": document})
    else:
        show_note(standing)
    return code


@contextmanager
def _taking_sigterm() -> Iterator[None]:
    """Let SIGTERM end a step as Ctrl-C does: what runs is rolled back, what is half-written is removed."""

    def raise_it(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
