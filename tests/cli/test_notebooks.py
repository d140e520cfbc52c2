"""Headless runs, JupyterLab and the demo, with real kernels and servers (embedded PostgreSQL 18)."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

from mig_kit.demo import Demo, create_demo, stop_demo
from mig_kit.lab.demo_server import server_runs
from mig_kit.record import RunFolder
from tests.cli.commands import RENAME, Cli, interrupt, running, secrets_of

PARAMETERS = 'project = "."  # which\ndatabase = None\nnumber = 1\nanswers = {}'
ANSWERS = f"{{'{RENAME}': True}}"


def notebook(path: Path, *cells: str, parameters: str | None = PARAMETERS, kernelspec: bool = True) -> Path:
    v4 = nbformat.v4
    node = v4.new_notebook(cells=[v4.new_markdown_cell("# A try")])
    if parameters is not None:
        node.cells.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    node.cells += [v4.new_code_cell(cell) for cell in cells]
    if kernelspec:
        node.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(node, path)
    return path


def texts(path: Path) -> str:
    """Return all that an executed notebook's cells put out."""
    node = nbformat.read(path, as_version=4)
    return json.dumps([cell.get("outputs") for cell in node.cells], ensure_ascii=False)


def test_runs_a_notebook_in_this_interpreter_and_keeps_its_record(copy: Path, tmp_path: Path, cli: Cli) -> None:
    secret = secrets_of(copy)[0]
    source = notebook(
        tmp_path / "try.ipynb",
        "import os, sys\nprint(sys.executable, os.getcwd(), number)",
        "from mig_kit import open_runbook\nrb = open_runbook(project)\nrb.preflight()\nrb.finish()",
        f"print({secret!r})",
        kernelspec=False,
    )
    ran = cli("run", source, "--project", copy, "-p", "number", "[1, two]", "--json", root=copy)
    assert ran.code == 0
    document = ran.document
    assert document["result"] == "finished without verification"
    folder = Path(document["folder"])
    assert folder.parent == copy / ".mig" / "runs"
    executed = nbformat.read(document["notebook"], as_version=4)
    shown = texts(folder / "notebook.ipynb")
    assert f"{sys.executable} {copy} [1, 'two']" in shown
    assert "***" in shown
    assert secret not in (folder / "notebook.ipynb").read_text() + (folder / "report.html").read_text()
    assert "widgets" not in executed.metadata
    assert executed.metadata.kernelspec.name == "python3"
    assert next(each.kind for each in RunFolder.open(folder).journal.entries()) == "session opened"
    assert {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()} == {
        "journal.jsonl": 0,
        "notebook.ipynb": 0,
        "report.html": 0,
    }


def test_keeps_the_executed_copy_when_a_cell_fails(copy: Path, tmp_path: Path, cli: Cli) -> None:
    source = notebook(tmp_path / "fails.ipynb", "print('before')", "# a comment\n1 / 0", "print('after')")
    told = cli("run", source, "--project", copy, "--out", tmp_path / "out {x}")
    out = tmp_path / "out {x}"
    assert (told.code, told.out) == (3, "")
    assert told.err.endswith(
        f"Executed notebook  {out}/notebook.ipynb\nHTML report        {out}/report.html\n"
        "Error: The notebook stopped at In [4], `1 / 0`: ZeroDivisionError: division by zero\n"
    )
    shown = texts(out / "notebook.ipynb")
    assert "before" in shown
    assert "after" not in shown
    assert "ZeroDivisionError" in (out / "report.html").read_text()
    again = cli("run", source, "--project", copy, "--out", out)
    assert (again.code, again.err.splitlines()[-2:]) == (
        2,
        [f"Error: There is a run in {out} already.", "Next: name another folder: a record is not written over"],
    )


def test_a_question_without_an_answer_stops_the_session_as_refused(copy: Path, cli: Cli) -> None:
    told = cli("run", "01", "--project", copy, root=copy)
    assert (told.code, told.out) == (2, "")
    assert told.err.endswith(
        "makemigrations asks a question that has no answer yet:\n"
        f"  {RENAME}\n"
        "    Was the field portfolio.project.link renamed to portfolio.project.live_url (a URLField)?\n"
        f'Next: answer by id: -p answers "{ANSWERS}"\n'
    )
    assert list(copy.glob("backend/apps/*/migrations/0005*")) == []


def test_keeps_the_executed_copy_when_the_kernel_dies(copy: Path, tmp_path: Path, cli: Cli) -> None:
    source = notebook(tmp_path / "dies.ipynb", "import os\nos.kill(os.getpid(), 9)", "print('after')")
    told = cli("run", source, "--project", copy, "--json")
    assert told.code == 3
    assert told.error["message"] == "The notebook stopped at the cell `import os`: its kernel died"
    assert "The kernel died while this cell ran." in texts(Path(told.error["executed"]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "numbr", "1"], "Error: The notebook has no parameter 'numbr'.\nNext: did you mean 'number'?\n"),
        (
            ["--stage", "staging"],
            "Error: The notebook has no parameter 'stage' to take --stage with.\n"
            "Next: give its parameters cell one: stage = None\n",
        ),
    ],
    ids=["unknown", "common"],
)
def test_refuses_a_parameter_that_the_notebook_does_not_have(
    copy: Path, tmp_path: Path, cli: Cli, arguments: list[str], said: str
) -> None:
    told = cli("run", notebook(tmp_path / "try.ipynb"), "--project", copy, *arguments)
    assert (told.code, told.out, told.err) == (2, "", said)
    assert not (copy / ".mig").exists()


def test_names_the_notebooks_there_are(cli: Cli) -> None:
    told = cli("run", "01_migration_sesion")
    assert told.code == 2
    assert told.err == (
        "Error: There is no notebook '01_migration_sesion'.\nNext: did you mean '01_migration_session'?\n"
    )


def test_refuses_a_file_that_is_no_notebook(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "no.ipynb").write_text("no")
    told = cli("run", tmp_path / "no.ipynb")
    assert told.code == 2
    assert told.err.startswith(f"Error: {tmp_path}/no.ipynb is not a notebook (NotJSONError).\n")


def test_an_interrupted_run_lets_the_cell_roll_back_and_keeps_the_copy(copy: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    slow = (
        f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\n"
        "try:\n    time.sleep(120)\nexcept KeyboardInterrupt:\n    print('rolled back')\n    raise"
    )
    source = notebook(tmp_path / "slow.ipynb", slow, "print('after')")
    with running("run", source, "--project", copy, "--out", tmp_path / "out") as process:
        for _ in range(300):
            if started.exists():
                break
            time.sleep(0.1)
        ended = interrupt(process)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.splitlines()[-1].startswith("Interrupted: the cell that ran was interrupted")
    shown = texts(tmp_path / "out" / "notebook.ipynb")
    assert "rolled back" in shown
    assert "after" not in shown
    assert (tmp_path / "out" / "report.html").exists()
    assert (
        "ipykernel"
        not in subprocess.run(
            ["ps", "-o", "args", "--ppid", str(process.pid)], text=True, capture_output=True, check=False
        ).stdout
    )


def test_demo_runs_from_review_to_verify_and_leaves_no_server(tmp_path: Path, cli: Cli) -> None:
    root = tmp_path / "demo"
    try:
        ran = cli("demo", root, "--scale", "0.02", "--run")
        assert ran.code == 0, ran.err
        assert re.match(r"From review to verify in \d+ s, \d+ cells: finished, verified\.\n\n", ran.out)
        for name, pattern in (
            ("Executed notebook", r"\.mig/runs/[^/]+/notebook\.ipynb"),
            ("HTML report", r"\.mig/runs/[^/]+/report\.html"),
            ("Backup", r"\.tmp/backups/portfolio-\w+"),
        ):
            [path] = re.findall(rf"^{name} +({re.escape(str(root))}/{pattern})$", ran.out, re.MULTILINE)
            assert Path(path).exists()
        assert not server_runs(root)
        down = cli("status", "--project", root)
        assert down.code == 3
        assert down.err.endswith(f"Next: start the demo's server: mig-kit demo {root}\n")
    finally:
        stop_demo(root)


def test_demo_says_how_to_go_on_and_stops_when_told(tmp_path: Path, cli: Cli) -> None:
    root = tmp_path / "demo"
    assert cli("demo", root, "--stop").err.startswith(f"Error: There is no demo in {root}.\nNext: ")
    try:
        made = cli("demo", root, "--scale", "0.02")
        assert made.code == 0
        assert made.out.startswith(f"A demo was made in {root}: ")
        assert f"mig-kit demo {root} --stop\n" in made.out
        again = cli("demo", root, "--json").document
        assert (again["created"], again["running"]) == (False, True)
        both = cli("demo", root, "--stop", "--run")
        assert (both.code, server_runs(root)) == (2, True)
    finally:
        stopped = cli("demo", root, "--stop")
    assert (stopped.code, server_runs(root)) == (0, False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    refused = cli("demo", tmp_path / "mine")
    assert refused.code == 2
    assert refused.err.startswith(f"Error: {tmp_path}/mine holds no demo and is not empty (file is in it)")


def test_lab_serves_the_new_session_with_the_right_kernel_and_stops_the_demo_afterwards(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    create_demo(root, scale=0.02)
    stop_demo(root)
    with running("lab", "--project", root, "--no-browser") as process:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"(http://127\.0\.0\.1:\d+)/lab/tree/(\S+)\?token=(\w+)", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        base, path, token = found.groups()

        # The address is printed a moment before the server listens.
        host, port = base.removeprefix("http://").split(":")
        deadline = time.monotonic() + 60
        with socket.socket() as probe:
            while probe.connect_ex((host, int(port))) and time.monotonic() < deadline:
                time.sleep(0.2)

        def get(where: str, *, authorised: bool = True) -> bytes:
            headers = {"Authorization": f"token {token}"} if authorised else {}
            with urllib.request.urlopen(urllib.request.Request(base + where, headers=headers), timeout=30) as answer:
                return bytes(answer.read())

        with pytest.raises(urllib.error.HTTPError, match="403"):
            get("/api/contents", authorised=False)
        specs = json.loads(get("/api/kernelspecs"))["kernelspecs"]
        assert specs["python3"]["spec"]["argv"][0] == sys.executable
        cells = json.loads(get(f"/api/contents/{path}"))["content"]["cells"]
        assert any(f"project = {str(root)!r}\n" in cell["source"] for cell in cells)
        assert re.fullmatch(r"\.mig/runs/\w+-01_migration_session/notebook\.ipynb", path)
        assert server_runs(root)
        ended = interrupt(process, number=15)
    assert ended.code == 0
    assert not server_runs(root)


def test_lab_has_nothing_to_say_as_json(cli: Cli) -> None:
    told = cli("lab", "--json")
    assert (told.code, told.error["message"]) == (2, "mig-kit lab is for people: it has no JSON to print.")


def test_doctor_finds_this_installation_well(demo: Demo, cli: Cli) -> None:
    found = cli("doctor", "--json")
    assert found.code == 0
    states = {each["name"]: each["state"] for each in found.document["checks"]}
    assert states["widgets"] == states["widgets in JupyterLab"] == states["PostgreSQL server programs"] == "ok"
    whole = cli("doctor", "--project", demo.root, root=demo.root)
    assert whole.code == 0
    assert "\nok" in whole.out
    assert "pg_dump fits the server" in whole.out
    assert whole.out.endswith("\nNothing failed.\n")
