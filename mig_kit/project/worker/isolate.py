"""Keep this process from every database but the copy that a rehearsal may touch.

Three fences, each of which would do: the settings lead nowhere else and hold no password of anything else, Django's
own ways to connect are checked, and so is every connection that a driver makes.
"""

import os
import sys
from contextlib import contextmanager

from .faults import Fault
from .fences import PLACES, guard_django, guard_psycopg, guard_psycopg2, started
from .withhold import WITHHELD, blot_out, lead_to, without_role

# What of a project's OPTIONS says how a session works, not where it goes or as whom.
_KEPT_OPTIONS = ("cursor_factory", "isolation_level", "options", "prepare_threshold", "server_side_binding")
_ENVIRON = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "service": "PGSERVICE",
}


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
        lead_to(self.server, self.aliases["default"])
        guard_django(self)
        blot_out(passwords)

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
        found = {key: str(place.get(key) or os.environ.get(_ENVIRON[key]) or "") for key in PLACES}
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


_current = []  # type: list[Isolation]


def begin(options):
    """Isolate this process; nothing undoes that."""
    _current.append(Isolation(options))
    _current[0].begin()


def current():
    """Return the isolation of this process, None where there is none."""
    return _current[0] if _current else None
