"""The README: its commands are run in order on real demos (embedded PostgreSQL 18), its names are looked up."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mig_kit.cli import main
from mig_kit.cli.main import cli
from mig_kit.demo import create_demo, stop_demo
from mig_kit.project.config import find_config
from mig_kit.runbook import Runbook
from tests.cli.commands import interrupt, running

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMON = {"--project", "--database", "--python", "--settings", "--stage", "--json", "--traceback"}
# What sets the environment up, which the tests already run in.
SET_UP = {". .venv/bin/activate"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert not [line for line in lines if line.endswith("\\")]
    return lines


def code_spans() -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL))


def options_of(command: str) -> set[str]:
    return {option for parameter in cli.commands[command].params for option in parameter.opts if option[0] == "-"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with the two projects that the README speaks of, small."""
    folder = tmp_path_factory.mktemp("readme")
    projects = (folder / "path" / "to" / "project", folder / "portfolio-demo")
    for project in projects:
        project.parent.mkdir(parents=True, exist_ok=True)
        create_demo(project, scale=0.02)
    yield folder
    for project in projects:
        stop_demo(project)


# All of the runbook, one process a command: a busy machine takes its time.
@pytest.mark.timeout(900)
def test_every_command_does_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    ran = []
    for line in shell_lines():
        words = shlex.split(line)
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[:2] == ["mig-kit", "lab"]:
            with running(*words[1:], "--no-browser") as process:
                assert process.stderr is not None
                while "token=" not in (said := process.stderr.readline()):
                    assert said, f"{line}: ended before it said its address"
                assert interrupt(process, number=15).code == 0
        elif words[0] == "mig-kit":
            with pytest.raises(SystemExit) as ended:
                main(words[1:])
            shown = capsys.readouterr()
            assert not ended.value.code, f"{line}: {shown.err}"
            assert shown.out, line
        else:
            assert words[0] == "make" or line in SET_UP, f"nothing tests this: {line}"
            continue
        ran.append(line)
    assert len(ran) > 10


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)", "\n".join(blocks("sh"))))))
def test_every_make_target_exists(target: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False, env=environ)
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.strip()


def test_the_first_screen_has_the_two_commands() -> None:
    assert blocks("sh")[0] == "make demo\nmake test\n"
    assert README.index(blocks("sh")[0]) < README.index("\n## ")


def test_names_every_command_and_every_option_of_its_own() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `mig-kit ([\w-]+).*$", README, re.MULTILINE)}
    assert list(rows) == list(cli.commands)
    for name, row in rows.items():
        own = {max(parameter.opts, key=len) for parameter in cli.commands[name].params if parameter.opts[0][0] == "-"}
        own -= COMMON
        assert [each for each in sorted(own) if each not in row and not (each == "--param" and "-p " in row)] == [], (
            name
        )
    for option in COMMON:
        assert f"`{option}`" in README


def test_names_no_command_and_no_option_that_does_not_exist() -> None:
    every = {option for name in cli.commands for option in options_of(name)}
    for code in [*shell_lines(), *code_spans()]:
        words = code.split()
        if words[0] == "mig-kit" and len(words) > 1:
            assert words[1] in cli.commands, code
            used = {word for word in words[2:] if re.fullmatch(r"--?[a-z][\w-]*", word)}
            assert used <= options_of(words[1]), code
        elif words[0].startswith("-") and not words[0].startswith("-p"):
            assert words[0] in every, code
        elif words[0] in cli.commands and any(word.startswith("--") for word in words):
            assert {word for word in words if word.startswith("--")} <= options_of(words[0]), code


def test_every_cell_of_the_runbook_is_a_method() -> None:
    methods = set(re.findall(r"`rb\.(\w+)\(", README))
    assert len(methods) > 8
    assert [name for name in sorted(methods) if not callable(getattr(Runbook, name, None))] == []


def test_the_configuration_can_be_used_as_it_stands(tmp_path: Path) -> None:
    [text] = blocks("toml")
    (tmp_path / "mig_kit.toml").write_text(text, encoding="utf-8")
    config = find_config([tmp_path])
    assert config.stage == "staging"
    keys = {name for name in type(config).__dataclass_fields__ if name != "source"}
    assert set(tomllib.loads(text)) == keys


def test_every_link_and_folder_leads_somewhere() -> None:
    linked = [link for link in re.findall(r"\]\(([^)#][^)]*)\)", README) if "://" not in link]
    folders = [code for code in code_spans() if re.fullmatch(r"(?:notebooks|mig_kit)/[\w./]*", code)]
    assert len(folders) > 5
    assert [name for name in [*linked, *folders] if not (ROOT / name).exists()] == []


def test_speaks_of_the_python_that_is_asked_for() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert README.count(f"Python {wanted}") == 2
    assert sys.version_info >= tuple(map(int, wanted.split(".")))
