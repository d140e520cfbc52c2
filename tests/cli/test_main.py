"""The command line's frame: help, usage errors, exit codes, pipes. Needs no service."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from mig_kit import __version__
from mig_kit.cli.main import cli as group
from tests.cli.commands import COMMAND, Cli

COMMANDS = ["demo", "doctor", "status", "review", "backup", "verify-backup", "restore", "generate", "preview", "check"]
COMMANDS += ["safer", "rehearse", "gates", "apply", "resume", "rollback", "verify", "query", "run", "lab"]
COMMON = {"--project", "--database", "--python", "--settings", "--stage", "--json", "--traceback"}


def test_lists_the_commands_in_the_order_of_the_runbook(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.code == 0
    listed = shown.out.partition("Commands:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == COMMANDS
    assert "..." not in listed


def test_gives_every_command_the_common_options() -> None:
    for name, command in group.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        # The demo is made before there is a project to speak of.
        assert options >= (COMMON if name != "demo" else {"--python", "--json", "--traceback"}), name


def test_says_its_version(cli: Cli) -> None:
    assert cli("--version").out == f"mig-kit, version {__version__}\n"


def test_shows_the_help_and_exits_with_2_when_no_command_is_given(cli: Cli) -> None:
    shown = cli()
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("Usage: mig-kit [OPTIONS] COMMAND [ARGS]...")


def test_suggests_the_nearest_command(cli: Cli) -> None:
    told = cli("statsu")
    assert (told.code, told.out) == (2, "")
    assert told.err == "Error: There is no command 'statsu'.\nNext: did you mean 'status'?\n"


def test_names_the_help_of_the_command_that_was_misused(cli: Cli) -> None:
    told = cli("backup", "--jobs", "none")
    assert told.code == 2
    assert told.err == (
        "Error: Invalid value for '--jobs': 'none' is not a valid integer range.\nNext: mig-kit backup --help\n"
    )


def test_gives_wrong_usage_as_json_where_json_was_asked_for(cli: Cli) -> None:
    told = cli("generate", "--answer", "nonsense", "--json")
    assert (told.code, told.err) == (2, "")
    assert told.document == {
        "error": {
            "kind": "UsageError",
            "message": "The answer 'nonsense' is not ID=VALUE.",
            "hint": "mig-kit review shows each question with its id",
            "exit_code": 2,
        }
    }
    assert cli("status", "--nope", "--json").error["kind"] == "UsageError"


def test_shows_the_traceback_only_when_asked_for(cli: Cli) -> None:
    told = cli("generate", "--answer", "nonsense", "--traceback", traceback=True)
    assert told.err.endswith(
        "Error: The answer 'nonsense' is not ID=VALUE.\nNext: mig-kit review shows each question with its id\n"
    )


def test_is_quiet_when_nobody_reads_its_output() -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([*COMMAND, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_prints_in_a_locale_without_unicode(tmp_path: object) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "koi8-r"}
    command = [*COMMAND, "status", "--project", f"{tmp_path}/größe"]
    ended = subprocess.run(command, capture_output=True, env=environ, check=False)
    assert ended.returncode == 3
    assert b"gr\\xf6\\xdfe" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_starts_without_loading_what_a_command_may_need() -> None:
    """--help and a mistyped option answer at once: pandas, IPython and papermill take seconds to import."""
    script = "import json, sys, mig_kit.cli; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"pandas", "IPython", "papermill", "nbconvert", "psycopg", "rich", "execnet", "django"}
    assert heavy & set(json.loads(loaded.stdout)) == set()
