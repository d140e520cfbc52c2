"""Take passwords out of the settings and the environment, once they were read."""

import os
import re
import sys

WITHHELD = "withheld by the rehearsal"

_VARIABLES = re.compile(
    r"PG(HOST|HOSTADDR|PORT|DATABASE|USER|PASSWORD|PASSFILE|SERVICE|SERVICEFILE|SYSCONFDIR|TARGETSESSIONATTRS"
    r"|CHANNELBINDING|SSL\w*|REQUIRE\w+|GSS\w+|KRB\w+)"
)


def lead_to(server, database):
    """Let libpq's own variables lead to a database; for what the project starts, too."""
    for name in [each for each in os.environ if _VARIABLES.fullmatch(each)]:
        del os.environ[name]
    os.environ["PGPASSFILE"] = os.devnull
    for key in ("host", "port", "user", "password"):
        if server.get(key):
            os.environ["PG" + key.upper()] = str(server[key])
    os.environ["PGDATABASE"] = database
    if "PGOPTIONS" in os.environ:
        os.environ["PGOPTIONS"] = without_role(os.environ["PGOPTIONS"])


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
