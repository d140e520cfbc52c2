"""Whatever a migration tries while it is rehearsed, the real database hears nothing of it; on PostgreSQL 18."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit.hazards.assessment import VerdictKind
from mig_kit.postgres import ConnectionInfo, Server
from mig_kit.steps.rehearse import Observed, Outcome
from mig_kit.steps.target import open_target
from tests.servers import fresh_database
from tests.steps.projects import Template
from tests.steps.rehearsing import Stage, ids, make_stage, statement

# Each tries to write a row into the table "sentinel" of the real database, by its name in .env.
HOSTILE = """
import asyncio, importlib, json, os, pathlib, socket, subprocess, sys, threading
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, migrations
from django.db.utils import ConnectionHandler

ENV = dict(line.split("=", 1) for line in pathlib.Path(ENV_FILE).read_text().splitlines() if "=" in line)
REAL = {
    "ENGINE": "django.db.backends.postgresql", "NAME": ENV["DATABASE_NAME"], "USER": ENV["DATABASE_USER"],
    "PASSWORD": ENV["DATABASE_PASSWORD"], "HOST": ENV["DATABASE_HOST"], "PORT": ENV["DATABASE_PORT"],
}
ARGUMENTS = {"host": REAL["HOST"], "port": REAL["PORT"], "dbname": REAL["NAME"], "user": REAL["USER"],
             "password": REAL["PASSWORD"]}
INFO = " ".join(f"{key}={value}" for key, value in ARGUMENTS.items())
WRITE = "INSERT INTO sentinel VALUES (1)"


def wrapper():
    made = type(connection.copy())(dict(connection.settings_dict, **REAL), "made")
    return made


def by_handler():
    with ConnectionHandler({"default": dict(REAL)})["default"].cursor() as cursor:
        cursor.execute(WRITE)


def by_wrapper():
    with wrapper().cursor() as cursor:
        cursor.execute(WRITE)


def by_the_wrappers_own_method():
    made = wrapper()
    made.get_new_connection(made.get_connection_params()).execute(WRITE)


def by_a_new_alias():
    connections.databases["extra"] = dict(connections.databases["default"], **REAL)
    with connections["extra"].cursor() as cursor:
        cursor.execute(WRITE)


def by_changing_an_alias():
    made = connection.copy()
    made.settings_dict = dict(made.settings_dict, **REAL)
    with made.cursor() as cursor:
        cursor.execute(WRITE)


def by_the_settings_read_again():
    module = importlib.reload(importlib.import_module("config.settings"))
    with ConnectionHandler(dict(module.DATABASES))["default"].cursor() as cursor:
        cursor.execute(WRITE)


def by_dbshell():
    connections.databases["shell"] = dict(connections.databases["default"], **REAL)
    call_command("dbshell", "--", "-c", WRITE, database="shell")


def by_a_shell_of_the_copy_that_is_led_elsewhere():
    call_command("dbshell", "--", "-h", REAL["HOST"], "-p", REAL["PORT"], "-c", WRITE)


def by_a_shell_that_connects_again():
    call_command("dbshell", "--", "-c", "\\\\connect postgresql://x", database="default")


def by_djangos_driver():
    connection.Database.connect(**ARGUMENTS, autocommit=True).execute(WRITE)


def by_the_driver():
    import psycopg
    psycopg.connect(INFO, autocommit=True).execute(WRITE)


def by_the_drivers_class():
    import psycopg
    class Mine(psycopg.Connection):
        pass
    Mine.connect(INFO, autocommit=True).execute(WRITE)


def by_another_case_of_the_same_name():
    import psycopg
    psycopg.connect(INFO.replace("127.0.0.1", "localhost"), autocommit=True).execute(WRITE)


def by_several_hosts():
    import psycopg
    psycopg.connect(INFO.replace("127.0.0.1", "127.0.0.9,127.0.0.1").replace("port=", f"port={REAL['PORT']},"),
                    autocommit=True).execute(WRITE)


def by_an_asynchronous_connection():
    import psycopg
    async def write():
        async with await psycopg.AsyncConnection.connect(INFO, autocommit=True) as conn:
            await conn.execute(WRITE)
    asyncio.run(write())


def by_the_environment():
    import psycopg
    kept = {key: os.environ.get(key) for key in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD")}
    os.environ.update(PGHOST=REAL["HOST"], PGPORT=REAL["PORT"], PGDATABASE=REAL["NAME"], PGUSER=REAL["USER"],
                      PGPASSWORD=REAL["PASSWORD"])
    try:
        psycopg.connect("", autocommit=True).execute(WRITE)
    finally:
        os.environ.update(kept)


def by_a_thread():
    raised = []
    def run():
        try:
            by_wrapper()
        except Exception as exc:
            raised.append(exc)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    raise raised[0]


def by_a_socket():
    socket.create_connection((REAL["HOST"], int(REAL["PORT"]))).close()


def by_psql():
    subprocess.run([PSQL, INFO, "-c", WRITE], check=True)


def by_a_shell():
    os.system(f"{PSQL} '{INFO}' -c '{WRITE}'")


def by_manage_py():
    subprocess.run([sys.executable, "manage.py", "migrate"], check=True)


def tries():
    secret = REAL["PASSWORD"]
    found = {"secret": [
        secret in json.dumps(dict(os.environ)),
        secret in repr(settings.DATABASES),
        secret in repr(vars(importlib.import_module("config.settings"))),
    ]}
    for name, attempt in list(globals().items()):
        if name.startswith("by_"):
            try:
                attempt()
                found[name] = "got through"
            except Exception as exc:
                found[name] = str(exc)
    pathlib.Path(RESULT).write_text(json.dumps(found))
"""

LOGINS = """
    CREATE TABLE sentinel (n int);
    CREATE TABLE logins (application text);
    GRANT ALL ON sentinel TO portfolio;
    CREATE FUNCTION note_login() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO public.logins VALUES (current_setting('application_name')); END $$;
    CREATE EVENT TRIGGER note_login ON login EXECUTE FUNCTION note_login();
    ALTER EVENT TRIGGER note_login ENABLE ALWAYS;
"""


@pytest.fixture
def own(template: Template, tmp_path: Path) -> Iterator[Stage]:
    """A stage of the test's own."""
    with ExitStack() as stack:
        yield make_stage(template, tmp_path, stack)


def hostile(own: Stage, result: Path) -> None:
    psql = own.target.need_postgres("test")
    assert psql.host == "127.0.0.1"
    found = next(Path("/").glob("usr/bin/psql"), None) or Path("psql")
    head = HOSTILE.replace("ENV_FILE", repr(str(own.project.root / ".env"))).replace("RESULT", repr(str(result)))
    head = head.replace("PSQL", repr(str(found)))
    own.write("[migrations.RunPython(lambda apps, editor: tries())]", head=head)


def test_a_hostile_migration_reaches_nothing_by_djangos_means(own: Stage, tmp_path: Path) -> None:
    own.project.run(LOGINS)
    hostile(own, tmp_path / "result.json")
    own.target.ask("history")  # the runbook's own worker is connected from now on
    before = own.project.run("SELECT count(*) FROM logins WHERE application NOT LIKE 'mig_kit%'")
    (found,) = own.rehearse().migrations
    assert found.error == ""
    outcomes = json.loads((tmp_path / "result.json").read_text())
    assert outcomes.pop("secret") == [False, False, False]
    assert len(outcomes) == 21
    through = {name: said for name, said in outcomes.items() if not said.startswith("The rehearsal refused ")}
    assert through == {}
    assert own.project.run("SELECT count(*) FROM sentinel") == [(0,)]
    assert own.project.run("SELECT count(*) FROM logins WHERE application NOT LIKE 'mig_kit%'") == before
    refused = {each.message.partition(". ")[0] for each in found.findings if each.id == "MK531"}
    assert refused == {
        f"It tried to reach something else than its own database: {what}"
        for what in (
            "a connection by psycopg",
            "a connection to the database 'default'",
            "a connection to the database 'extra'",
            "a connection to the database 'made'",
            "a connection to the database 'shell'",
            f"a connection to 127.0.0.1:{own.project.database.port}",
            "a shell of the database 'default' that is led elsewhere",
            "to start psql",
            "to start python",
        )
    }


def test_an_attempt_that_is_not_caught_fails_the_migration(own: Stage) -> None:
    head = (
        "\n\ndef run(apps, editor):\n    import psycopg\n"
        "    psycopg.connect(host='db.example.org', dbname='production', user='admin', password='x')\n"
    )
    own.write("[migrations.RunPython(run)]", head=head)
    (found,) = own.rehearse().migrations
    assert found.outcome is Outcome.FAILED
    assert found.error == (
        "The rehearsal refused a connection by psycopg: a migration that is rehearsed reaches its copy of the "
        "database alone."
    )
    assert "MK531" in ids(found)


def settings(own: Stage, text: str) -> None:
    path = own.project.path("config", "settings.py")
    path.write_text(path.read_text() + "\n" + text)


def python(own: Stage, body: str, **attributes: str) -> None:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    head = f"\n\ndef run(apps, editor):\n    Category = apps.get_model('blog', 'Category')\n{lines}"
    own.write("[migrations.RunPython(run)]", head=head, **attributes)


def test_the_target_is_the_default_whatever_its_alias_was(template: Template, own: Stage) -> None:
    """In production code without .using() would write to another database; here that can do no harm."""
    template.copy_database("pristine", "elsewhere")
    try:
        settings(
            own,
            "DATABASES['main'] = dict(DATABASES['default'])\nDATABASES['default']['NAME'] = 'elsewhere'\n"
            "DATABASE_ROUTERS = ['config.router.Router']\n",
        )
        own.project.write(
            "config/router.py",
            "class Router:\n    def allow_migrate(self, db, app_label, **hints):\n        return db == 'main'\n",
        )
        python(own, "Category.objects.update(position=7)")
        own.write("[migrations.AddField('category', 'note', models.TextField(null=True))]")
        with closing(open_target(own.project.root, database="main")) as target:
            result = Stage(own.project, target, own.backup).rehearse()
        first, second = result.migrations
        assert first.statements[0].rows_changed == own.backup.rows["public.blog_category"]
        # The router allowed it for the alias as which the database is known, and for no other.
        assert [str(each) for each in second.schema_changes] == ["column note text was added to blog_category"]
        assert result.database == "main"
    finally:
        template.server.drop_database("elsewhere")


def test_each_alias_leads_to_its_own_kind_of_place(
    template: Template, own: Stage, server15: Server, tmp_path: Path
) -> None:
    template.copy_database("pristine", "beside")
    foreign = fresh_database(server15, "foreign")
    try:
        settings(
            own,
            "DATABASES['twin'] = dict(DATABASES['default'], HOST='localhost', USER='postgres')\n"
            "DATABASES['beside'] = dict(DATABASES['default'], NAME='beside')\n"
            f"DATABASES['foreign'] = dict(DATABASES['default'], HOST={foreign.host!r}, PORT={foreign.port!r},"
            f" NAME='foreign', USER={foreign.user!r}, PASSWORD={foreign.password.reveal()!r})\n"
            "DATABASES['lite'] = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'lite.sqlite3'}\n",
        )
        python(
            own,
            "import json\nfrom django.db import connections\nfound = {}\n"
            "for alias in ('default', 'twin', 'beside', 'foreign', 'lite'):\n"
            "    try:\n"
            "        with connections[alias].cursor() as cursor:\n"
            "            cursor.execute('SELECT current_database(), (SELECT count(*) FROM pg_tables"
            " WHERE schemaname = current_schema())')\n"
            "            found[alias] = cursor.fetchone()\n"
            "    except Exception as exc:\n"
            "        found[alias] = str(exc)\n"
            f"open({str(tmp_path / 'found.json')!r}, 'w').write(json.dumps(found))\n",
        )
        with closing(open_target(own.project.root)) as target:
            result = Stage(own.project, target, own.backup).rehearse()
        assert result.migrations[0].error == ""
        found = json.loads((tmp_path / "found.json").read_text())
        assert found["default"] == found["twin"]
        assert found["default"][0].startswith("mig_kit_scratch_")
        assert found["default"][1] > 10
        assert found["beside"][0].startswith("mig_kit_scratch_")
        assert found["beside"][0] != found["default"][0]
        assert found["beside"][1] == 0
        for alias in ("foreign", "lite"):
            assert found[alias] == (
                f"The rehearsal refused a connection to the database {alias!r}: a migration that is rehearsed reaches "
                "its copy of the database alone."
            )
        assert not own.project.path("lite.sqlite3").exists()
        assert result.notes[-2:] == (
            "Databases beside the one that is rehearsed are empty: beside.",
            "Databases elsewhere cannot be reached: foreign, lite.",
        )
    finally:
        template.server.drop_database("beside")
        server15.drop_database("foreign")


def test_a_second_alias_of_the_database_that_waits_for_the_first_is_told(own: Stage) -> None:
    """In production it waits for ever: no server sees a deadlock in which the client itself waits."""
    settings(own, "DATABASES['twin'] = dict(DATABASES['default'])\n")
    python(
        own,
        "editor.execute('ALTER TABLE blog_category ADD note text')\n"
        "from django.db import connections\n"
        "with connections['twin'].cursor() as cursor:\n"
        "    cursor.execute(\"SET lock_timeout = '200ms'\")\n"
        "    cursor.execute('SELECT count(*) FROM blog_category')\n",
    )
    with closing(open_target(own.project.root)) as target:
        (found,) = Stage(own.project, target, own.backup).rehearse().migrations
    assert found.outcome is Outcome.FAILED
    assert "canceling statement due to lock timeout" in found.error


def test_a_write_by_a_second_alias_is_told_and_its_locks_are_unknown(own: Stage) -> None:
    settings(own, "DATABASES['twin'] = dict(DATABASES['default'])\n")
    python(own, "Category.objects.using('twin').update(position=9)")
    with closing(open_target(own.project.root)) as target:
        (found,) = Stage(own.project, target, own.backup).rehearse().migrations
    updated = statement(found, "UPDATE")
    assert (updated.observed, updated.note) == (Observed.NOT, "it ran on the connection 'twin'")
    assert found.lock_safety.kind is VerdictKind.UNKNOWN
    assert ids(found)["MK532"].evidence == "unknown"


def test_a_write_to_another_database_is_refused_as_apply_refuses_it(template: Template, own: Stage) -> None:
    template.copy_database("pristine", "beside")
    try:
        settings(own, "DATABASES['beside'] = dict(DATABASES['default'], NAME='beside')\n")
        python(own, "Category.objects.using('beside').update(position=9)")
        with closing(open_target(own.project.root)) as target:
            (found,) = Stage(own.project, target, own.backup).rehearse().migrations
        assert found.error.startswith(
            "A migration of the database 'default' wrote to the database 'beside'; that write"
        )
    finally:
        template.server.drop_database("beside")


def test_the_same_server_by_another_address_is_known(own: Stage) -> None:
    info: ConnectionInfo = replace(own.project.database, host="localhost")
    settings(own, f"DATABASES['twin'] = dict(DATABASES['default'], HOST={info.host!r})\n")
    own.write("[migrations.RunSQL('SELECT 1', migrations.RunSQL.noop)]")
    with closing(open_target(own.project.root)) as target:
        result = Stage(own.project, target, own.backup).rehearse()
    assert not any("cannot be reached" in note for note in result.notes)
