"""The fences of an isolated process: each way to a database that Django, a driver or a program has is checked first.

``isolation`` is asked by ``check(place, what)``, which raises where that is not one of its own databases.
"""

import os
import re
import sys
from importlib import import_module

from .withhold import WITHHELD

PLACES = ("host", "hostaddr", "port", "dbname", "service")

# A program that would read the project's own settings, or that takes an address on its command line.
_PROGRAM = re.compile(
    r"(python|pypy)[\d.]*|manage\.py|django-admin(\.py)?"
    r"|psql|pg_\w+|pgbench|(create|drop|cluster|reindex|vacuum)(db|user)"
)
# What leads a client program elsewhere than its first arguments do.
_ELSEWHERE = re.compile(r"^-[hpdU]|^--(host|port|dbname|username)|://|\b(host|hostaddr|service)\s*=|\\c", re.IGNORECASE)


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
            to_dict(kwargs.get("conninfo") or conninfo), **{key: kwargs[key] for key in PLACES if key in kwargs}
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

    def runshell(self, parameters=(), **kwargs):
        check(self.connection)
        if any(_ELSEWHERE.search(str(each)) for each in parameters or ()):
            isolation.refuse(f"a shell of the database {self.connection.alias!r} that is led elsewhere")
        with isolation.shell():
            return real_shell(self, parameters, **kwargs)

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
