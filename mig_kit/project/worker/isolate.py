"""Keep this process from every database but the copy that a rehearsal may touch.

Three fences, each of which would do: the settings lead nowhere else and hold no password of anything else, Django's
own ways to connect are checked, and so is every connection that a driver makes.
"""

import os
import re
import sys
from contextlib import contextmanager
from importlib import import_module

from .faults import Fault

WITHHELD = "withheld by the rehearsal"

# What of a project's OPTIONS says how a session works, not where it goes or as whom.
_KEPT_OPTIONS = ("cursor_factory", "isolation_level", "options", "prepare_threshold", "server_side_binding")
_PLACES = ("host", "hostaddr", "port", "dbname", "service")
_ENVIRON = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "service": "PGSERVICE",
}
_VARIABLES = re.compile(
    r"PG(HOST|HOSTADDR|PORT|DATABASE|USER|PASSWORD|PASSFILE|SERVICE|SERVICEFILE|SYSCONFDIR|TARGETSESSIONATTRS"
    r"|CHANNELBINDING|SSL\w*|REQUIRE\w+|GSS\w+|KRB\w+)"
)
# A program that would read the project's own settings, or that takes an address on its command line.
_PROGRAM = re.compile(
    r"(python|pypy)[\d.]*|manage\.py|django-admin(\.py)?"
    r"|psql|pg_\w+|pgbench|(create|drop|cluster|reindex|vacuum)(db|user)"
)


class Isolation:
    """What may be reached: one server, and on it the databases that were made for this rehearsal.

    ``options``: server (host, port, user, password, and further libpq parameters), databases (their names), aliases
    (alias → one of these names, or None where it leads nowhere), session (alias → libpq options to add). ``tell`` is
    called with what was tried and not let through.
    """

    def __init__(self, options):
        self.server = dict(options["server"])
        self.databases = set(options["databases"])
        self.aliases = dict(options["aliases"])
        self.session = dict(options.get("session") or {})
        self.tell = lambda what: None
        self._elsewhere = set()
        self._shell = False

    def begin(self):
        """Check every connection from now on, before the project's settings are read."""
        guard_psycopg2(self)
        guard_psycopg(self)
        sys.addaudithook(self._audit)

    def replace(self):
        """Point every alias at its copy, or nowhere, and blot out the passwords; once the settings are read."""
        from django.conf import settings

        passwords = set()
        for alias, values in settings.DATABASES.items():
            own = {str(values.get(key) or "") for key in ("NAME", "USER", "HOST")}
            password = str(values.get("PASSWORD") or "")
            # One that equals a name is no secret, and blotted out it would take that name with it.
            if len(password) > 3 and password not in own:
                passwords.add(password)
            if values.get("HOST"):
                self._elsewhere.add((str(values["HOST"]), str(values.get("PORT") or "5432")))
            values.update(self._settings(alias, values))
        self._set_variables()
        guard_django(self)
        blot_out(passwords)

    def _set_variables(self):
        """Let libpq's own variables lead to the copy; for what the project starts, too."""
        for name in [each for each in os.environ if _VARIABLES.fullmatch(each)]:
            del os.environ[name]
        os.environ["PGPASSFILE"] = os.devnull
        for key in ("host", "port", "user", "password"):
            if self.server.get(key):
                os.environ["PG" + key.upper()] = str(self.server[key])
        os.environ["PGDATABASE"] = self.aliases["default"]
        if "PGOPTIONS" in os.environ:
            os.environ["PGOPTIONS"] = without_role(os.environ["PGOPTIONS"])

    def _settings(self, alias, values):
        """Return what replaces an alias's settings."""
        nowhere = {"NAME": WITHHELD, "USER": "", "PASSWORD": "", "HOST": "", "PORT": "", "OPTIONS": {}}
        name = self.aliases.get(alias)
        if name is None:
            return nowhere
        given = dict(values.get("OPTIONS") or {})
        options = {key: value for key, value in self.server.items() if key not in ("host", "port", "user", "password")}
        options.update((key, given[key]) for key in _KEPT_OPTIONS if key in given)
        said = [without_role(str(given.get("options") or "")), self.session.get(alias, "")]
        options["options"] = " ".join(each for each in said if each)
        if not options["options"]:
            del options["options"]
        place = {key.upper(): self.server.get(key) or "" for key in ("host", "port", "user", "password")}
        return dict(place, NAME=name, OPTIONS=options, CONN_MAX_AGE=None)

    def check(self, place, what):
        """Refuse what does not lead to one of the databases of this rehearsal; ``place``: libpq's parameters."""
        found = {key: str(place.get(key) or os.environ.get(_ENVIRON[key]) or "") for key in _PLACES}
        host, port = str(self.server.get("host") or ""), str(self.server.get("port") or "5432")
        # psycopg 3 looks a host up itself; where it is one by its number, it gives that as the address as well.
        if found["service"] or found["hostaddr"] not in ("", host, str(self.server.get("hostaddr") or host)):
            self.refuse(what)
        if (found["host"], found["port"] or "5432") != (host, port) or found["dbname"] not in self.databases:
            self.refuse(what)

    def refuse(self, what):
        """Tell of it and raise."""
        self.tell(what)
        raise Fault(
            "GateClosed",
            f"The rehearsal refused {what}: a migration that is rehearsed reaches its copy of the database alone.",
            "look at what the migration does there: in production it would reach that place",
            gate="rehearsal",
        )

    @contextmanager
    def shell(self):
        """Let the client program of a connection that was checked be started."""
        self._shell = True
        try:
            yield
        finally:
            self._shell = False

    def _audit(self, event, args):
        """Look at what other fences cannot see: drivers in pure Python, and programs that are started."""
        if event == "socket.connect":
            address = args[1]
            if isinstance(address, tuple) and len(address) > 1 and self._is_elsewhere(str(address[0]), str(address[1])):
                self.refuse("a connection to {}:{}".format(*address[:2]))
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn") and not self._shell:
            program = started(event, args)
            if program:
                self.refuse(f"to start {program}")

    def _is_elsewhere(self, host, port):
        if (host, port) == (str(self.server.get("host")), str(self.server.get("port"))):
            return False
        local = ("127.0.0.1", "::1", "localhost")
        return (host, port) in self._elsewhere or any(
            (each, port) in self._elsewhere for each in local if host in local
        )


def started(event, args):
    """Return the name of the program where this process cannot tell what it would connect to, '' else."""
    first, arguments = args[0], args[1] if len(args) > 1 else ()
    if event == "os.system":
        words = [*os.fsdecode(first).split()]  # type: list[object]
    elif event == "os.spawn":
        words = [args[1], *args[2]]
    else:
        words = [first, *(arguments if isinstance(arguments, (list, tuple)) else [arguments])]
    for word in words:
        if not isinstance(word, (str, bytes, os.PathLike)):
            continue
        # A shell gets its whole command as one word.
        for part in os.fsdecode(word).replace(";", " ").replace("|", " ").replace("&", " ").split():
            name = os.path.basename(part.strip("'\"()"))
            if _PROGRAM.fullmatch(name):
                return name
    return ""


def guard_psycopg2(isolation):
    """Check what psycopg2 connects to, where it is installed."""
    try:
        psycopg2 = import_module("psycopg2")  # the project's own driver, if it has this one
    except ImportError:
        return
    real, extensions = psycopg2._connect, import_module("psycopg2.extensions")

    def connect(dsn="", *args, **kwargs):
        isolation.check(extensions.parse_dsn(dsn or ""), "a connection by psycopg2")
        return real(dsn, *args, **kwargs)

    for module in (psycopg2, psycopg2._psycopg):
        vars(module)["_connect"] = connect


def guard_psycopg(isolation):
    """Check what psycopg 3 connects to, where it is installed: connections, asynchronous ones, pools alike."""
    try:
        psycopg = import_module("psycopg")
    except ImportError:
        return
    conninfo_to_dict = import_module("psycopg.conninfo").conninfo_to_dict
    for kind in (psycopg.Connection, psycopg.AsyncConnection):
        kind.connect = classmethod(before_look_up(vars(kind)["connect"].__func__, conninfo_to_dict, isolation))
    vars(psycopg)["connect"] = psycopg.Connection.connect
    owner = next(each for each in psycopg.Connection.__mro__ if "_connect_gen" in vars(each))
    real = vars(owner)["_connect_gen"].__func__

    def connect_gen(cls, /, conninfo="", **kwargs):
        isolation.check(conninfo_to_dict(conninfo), "a connection by psycopg")
        return real(cls, conninfo, **kwargs)

    owner._connect_gen = classmethod(connect_gen)
    generators = sys.modules.get("psycopg.generators")
    if generators is not None and hasattr(generators, "connect"):
        real_connect = generators.connect

        def connect(conninfo, *args, **kwargs):
            isolation.check(conninfo_to_dict(conninfo), "a connection by psycopg")
            return real_connect(conninfo, *args, **kwargs)

        vars(generators)["connect"] = connect


def before_look_up(real, to_dict, isolation):
    """Return a ``connect`` that is checked before the host's name is looked up; below it, what it made of that is."""

    def connect(cls, conninfo="", /, *args, **kwargs):
        given = dict(
            to_dict(kwargs.get("conninfo") or conninfo), **{key: kwargs[key] for key in _PLACES if key in kwargs}
        )
        isolation.check(given, "a connection by psycopg")
        return real(cls, *([conninfo] if conninfo else []), *args, **kwargs)

    return connect


def guard_django(isolation):
    """Check what Django's connections and shells lead to, whatever they were made of."""
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.client import BaseDatabaseClient

    real_connect, real_shell = BaseDatabaseWrapper.connect, BaseDatabaseClient.runshell

    def check(wrapper):
        values = wrapper.settings_dict
        what = f"a connection to the database {wrapper.alias!r}"
        if wrapper.vendor != "postgresql" or values.get("NAME") == WITHHELD:
            isolation.refuse(what)
        options = values.get("OPTIONS") or {}
        isolation.check(
            {
                "host": values.get("HOST"),
                "port": values.get("PORT"),
                "dbname": values.get("NAME"),
                "hostaddr": options.get("hostaddr"),
                "service": options.get("service"),
            },
            what,
        )

    def connect(self):
        check(self)
        in_place(self, isolation)
        return real_connect(self)

    def runshell(self, *args, **kwargs):
        check(self.connection)
        with isolation.shell():
            return real_shell(self, *args, **kwargs)

    BaseDatabaseWrapper.connect = connect
    BaseDatabaseClient.runshell = runshell
    guard_other_vendors(isolation)


def in_place(wrapper, isolation):
    """Let a backend that works out its own parameters (a token instead of a password, say) connect to the copy."""
    if "get_connection_params" in vars(wrapper):
        return
    real = wrapper.get_connection_params

    def params():
        given = real()
        given.update((key, value) for key, value in isolation.server.items() if value)
        # Up to Django 4.0 it goes by psycopg2's other name for it.
        given["database" if "database" in given else "dbname"] = wrapper.settings_dict["NAME"]
        return given

    wrapper.get_connection_params = params


def guard_other_vendors(isolation):
    """Let no alias of another kind of database connect, by whichever method."""
    from django.db import connections

    for alias in connections:
        try:
            kind = type(connections[alias])
        except Exception:
            continue  # its driver is missing: nobody connects by it
        if kind.vendor != "postgresql":

            def refuse(self, *args, **kwargs):
                isolation.refuse(f"a connection to the database {self.alias!r}")

            kind.get_new_connection = refuse


def blot_out(passwords):
    """Take the passwords out of the environment and out of what the settings modules hold."""
    from django.conf import settings

    from .watch import is_local

    def clean(value, depth=0):
        if isinstance(value, str):
            return WITHHELD if any(each in value for each in passwords) else value
        if depth < 5 and type(value) in (list, tuple):
            return type(value)(clean(each, depth + 1) for each in value)
        if depth < 5 and isinstance(value, dict):
            for key, each in list(value.items()):
                cleaned = clean(each, depth + 1)
                if cleaned is not each:
                    value[key] = cleaned
        return value

    # The copies' own settings hold the scratch server's password alone.
    ours = {id(values) for values in settings.DATABASES.values()} | {id(settings.DATABASES)}
    for name, value in list(os.environ.items()):
        if clean(value) is not value:
            os.environ[name] = WITHHELD
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        named = getattr(module, "__name__", "") == getattr(settings, "SETTINGS_MODULE", None)
        if not named and not (isinstance(path, str) and is_local(path)):
            continue
        for name, value in list(vars(module).items()):
            if name.startswith("__") or id(value) in ours:
                continue
            cleaned = clean(value)
            if cleaned is not value and cleaned != value:
                setattr(module, name, cleaned)
                if name.isupper() and named:
                    setattr(settings, name, cleaned)


def without_role(options):
    """Return libpq's ``options`` without a role: the copy has other ones."""
    words = options.replace("-c ", "-c").split()
    kept = (each for each in words if not each.lstrip("-c").startswith(("role=", "session_authorization=")))
    return " ".join(each.replace("-c", "-c ", 1) if each.startswith("-c") else each for each in kept)


_current = []  # type: list[Isolation]


def begin(options):
    """Isolate this process; nothing undoes that."""
    _current.append(Isolation(options))
    _current[0].begin()


def current():
    """Return the isolation of this process, None where there is none."""
    return _current[0] if _current else None
