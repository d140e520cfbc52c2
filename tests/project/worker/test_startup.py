"""Settings, apps and manage.py of every kind, and paths of every kind; on SQLite unless a database has a say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mig_kit import errors
from mig_kit.project import Worker
from tests.project.projects import MANAGE, Site, make_site
from tests.venvs import venv

Start = Callable[..., Worker]


@pytest.fixture
def lite(tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", None)


@pytest.mark.parametrize(
    ("line", "raised", "hint"),
    [
        ('import os; os.environ["NO_SUCH_NAME"]', "KeyError: 'NO_SUCH_NAME'", "a value is missing: put it into"),
        (
            'from django.core.exceptions import ImproperlyConfigured; raise ImproperlyConfigured("Set the X variable")',
            "django.core.exceptions.ImproperlyConfigured: Set the X variable",
            "a value is missing: put it into",
        ),
        (
            "import nowhere_at_all",
            "ModuleNotFoundError: No module named 'nowhere_at_all'",
            "the module is not installed",
        ),
        ('import sys; sys.exit("not on this machine")', "SystemExit: not on this machine", "mend it there"),
        ("1 / 0", "ZeroDivisionError: division by zero", "mend it there"),
    ],
)
def test_names_file_and_line_of_settings_that_raise(
    lite: Site, start: Start, line: str, raised: str, hint: str
) -> None:
    lite.append_settings(line)
    path = lite.folder / "config" / "settings.py"
    number = len(path.read_text().splitlines())
    worker = start(lite)
    with pytest.raises(errors.SettingsError) as caught:
        worker.call("describe")
    assert caught.value.message == f"Importing the settings 'config.settings' raised {raised} ({path}, line {number})."
    assert caught.value.hint.startswith(hint)
    assert "Traceback (most recent call last)" in caught.value.traceback
    assert worker.pid is None


def test_names_file_and_line_of_a_syntax_error(lite: Site, start: Start) -> None:
    lite.append_settings("DEBUG = = 1")
    worker = start(lite)
    with pytest.raises(errors.SettingsError) as caught:
        worker.call("describe")
    assert f"SyntaxError: invalid syntax ({lite.folder}/config/settings.py, line" in caught.value.message
    path = lite.folder / "config" / "settings.py"
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[:-1]), "utf-8")
    assert worker.call("describe")["pid"] == worker.pid  # mended: the next call starts


def test_names_settings_that_are_not_there(lite: Site, start: Start) -> None:
    lite.settings = "config.produktion"
    with pytest.raises(errors.SettingsError, match=r"No module named 'config\.produktion'"):
        start(lite).call("describe")


def test_names_file_and_line_of_an_app_that_raises(lite: Site, start: Start) -> None:
    lite.write(
        "shop/apps.py",
        """
        from django.apps import AppConfig


        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                raise RuntimeError("no token")
        """,
    )
    with pytest.raises(errors.SettingsError) as caught:
        start(lite).call("describe")
    assert caught.value.message == (
        f"Loading the installed apps raised RuntimeError: no token ({lite.folder}/shop/apps.py, line 8)."
    )


def test_starts_with_settings_that_read_the_settings(lite: Site, start: Start) -> None:
    lite.append_settings("from django.conf import settings\nSEEN = settings.DEBUG\nprint('printed by the settings')")
    lite.write("config/__init__.py", "import os\nos.write(1, b'printed on import\\n')\n")
    worker = start(lite)
    assert worker.call("describe")["settings_file"] == f"{lite.folder}/config/settings.py"
    running = worker._running
    assert running is not None
    assert "printed on import" in running.last_output()
    assert "printed by the settings" in running.last_output()


def test_goes_by_what_manage_py_prepares(lite: Site, start: Start) -> None:
    lite.write("lib/extra.py", "VALUE = 1\n")
    lite.append_settings('import extra\nassert os.environ["PREPARED"] == "yes"')
    lite.write(
        "manage.py",
        MANAGE.replace(
            "    from django",
            '    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))\n'
            '    os.environ["PREPARED"] = "yes"\n    from django',
        ),
    )
    assert start(lite).call("describe")["settings"] == "config.settings"


def test_says_when_manage_py_insists_on_other_settings(lite: Site, start: Start) -> None:
    lite.write("manage.py", MANAGE.replace("environ.setdefault(", "environ.__setitem__(") + "# sys.path\n")
    lite.write("config/other.py", "from config.settings import *\n")
    lite.settings = "config.other"
    with pytest.raises(errors.SettingsError) as caught:
        start(lite).call("describe")
    assert caught.value.message == (
        f"{lite.folder}/manage.py loads the settings 'config.settings', whatever the environment says, "
        "and 'config.other' was named."
    )


def test_reports_a_manage_py_that_raises(lite: Site, start: Start) -> None:
    lite.write("manage.py", "import sys\nsys.path.append('x')\nraise SystemExit('use make instead')\n")
    with pytest.raises(errors.SettingsError, match=r"Running .*manage\.py raised SystemExit: use make instead"):
        start(lite).call("describe")


@pytest.mark.slow
def test_sets_up_django_configurations(tmp_path: Path, start: Start) -> None:
    python = venv("3.11", ("django==5.2.*", "psycopg[binary]>=3.1.18", "django-configurations", "python-dotenv"))
    site = make_site(tmp_path / "site", None, python=python)
    text = (site.folder / "config" / "settings.py").read_text("utf-8")
    body = "\n".join("    " + line for line in text.splitlines() if not line.startswith(("import", "from")))
    head = (
        "import os\nfrom pathlib import Path\nfrom configurations import Configuration\n\n\nclass Dev(Configuration):\n"
    )
    site.write("config/settings.py", head + body)
    site.write(
        "manage.py",
        """
        import os
        import sys

        import dotenv

        if __name__ == "__main__":
            dotenv.load_dotenv()
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
            os.environ.setdefault("DJANGO_CONFIGURATION", "Dev")
            from configurations.management import execute_from_command_line

            execute_from_command_line(sys.argv)
        """,
    )
    site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    worker = start(site)
    assert worker.call("describe")["settings"] == "config.settings"
    assert [each["app"] for each in worker.call("model_changes")["migrations"]] == ["shop"]


def test_is_not_led_astray_by_modules_of_the_projects(lite: Site, start: Start) -> None:
    """A queue.py beside manage.py must not take the library's place while the worker is set up, nor later in it."""
    for name in ("ast", "difflib", "queue", "runpy", "struct", "traceback"):
        lite.write(f"{name}.py", "raise RuntimeError('the wrong one')\n")
    worker = start(lite)
    assert worker.call("describe")["pid"] == worker.pid
    assert worker.call("model_changes")["text"] == "No changes detected\n"
    assert worker.call("explain_no_changes") == []


@pytest.mark.parametrize("name", ["with space", 'it\'s "quoted"', "ünï-日本", "semi;colon $HOME `x`", "100%"])
def test_works_in_a_folder_of_any_name(tmp_path: Path, start: Start, name: str) -> None:
    site = make_site(tmp_path / name, None)
    site.models("shop", 'class Item(models.Model):\n    title = models.CharField("Größe 日本", max_length=40)\n')
    worker = start(site)
    made = worker.call("generate")
    assert made["files"][0]["path"] == str(site.folder / "shop" / "migrations" / "0001_initial.py")
    assert "Größe 日本" in made["files"][0]["source"]
    assert [each["name"] for each in worker.call("plan")] == ["0001_initial"]


def test_works_with_an_interpreter_in_a_folder_of_any_name(lite: Site, start: Start, tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "venv" $HOME'
    folder.mkdir()
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    lite.python = wrapper
    assert start(lite).call("describe")["executable"] == sys.executable


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("/nowhere/bin/python", "not found"),
        ("/bin/false", "could not be started"),
        ("/etc/passwd", "ermission denied"),
    ],
)
def test_names_an_interpreter_that_cannot_be_started(lite: Site, start: Start, python: str, says: str) -> None:
    lite.python = Path(python)
    with pytest.raises(errors.InterpreterError) as caught:
        start(lite).call("describe")
    assert caught.value.message.startswith(f"The project's interpreter {python} could not be started")
    assert says in caught.value.message


def test_says_when_the_interpreter_has_no_django(lite: Site, start: Start, tmp_path: Path) -> None:
    import venv as standard

    standard.create(tmp_path / "bare", symlinks=True)
    lite.python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(errors.InterpreterError) as caught:
        start(lite).call("describe")
    assert caught.value.message == f"{lite.python} has no Django."


def test_says_when_the_folder_is_gone(lite: Site, start: Start, tmp_path: Path) -> None:
    worker = start(lite)
    lite.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(errors.ProjectNotFound, match="is not there any more"):
        worker.call("describe")


def test_works_on_sqlite(lite: Site, start: Start) -> None:
    lite.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    worker = start(lite)
    assert worker.call("describe")["databases"]["default"]["vendor"] == "sqlite"
    worker.call("generate")
    assert [each["name"] for each in worker.call("plan")] == ["0001_initial"]
    events: list[str] = []
    worker.call("migrate", on_event=lambda event, data: events.append(event))
    assert (events[0], events[-1]) == ("begin", "done")
    assert worker.call("graph")["nodes"][0]["applied"]
    assert len(worker.call("history")) == 1
    assert worker.call("model_counts")[0]["count"] == 0
    assert worker.call("system_checks") == []
    assert worker.call("operations", migrations=[["shop", "0001"]])[0]["operations"][0]["class"] == "CreateModel"


def test_names_a_missing_database_driver(lite: Site, start: Start) -> None:
    lite.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    lite.append_settings('DATABASES = {"default": {"ENGINE": "django.db.backends.mysql", "NAME": "x"}}')
    with pytest.raises(errors.SettingsError) as caught:
        start(lite).call("describe")
    assert "ImproperlyConfigured: Error loading MySQLdb module. Did you install mysqlclient?" in caught.value.message
    assert caught.value.hint.startswith("install that database driver in the project's environment")


def test_describes_a_second_database_whose_driver_is_missing(lite: Site, start: Start) -> None:
    lite.append_settings('DATABASES["old"] = {"ENGINE": "django.db.backends.mysql", "NAME": "x"}')
    worker = start(lite)
    assert worker.call("describe")["databases"]["old"]["vendor"] == "mysql"
    worker.call("migrate")
    assert worker.call("history") == []
    with pytest.raises(errors.OperationFailed, match="Error loading MySQLdb"):
        worker.call("history", database="old")


def test_leaves_out_the_notebooks_plotting_backend(lite: Site, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    lite.append_settings('assert "MPLBACKEND" not in os.environ')
    assert start(lite).call("describe")["pid"] != os.getpid()
