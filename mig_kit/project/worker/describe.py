"""What the project is: interpreter, Django, apps, databases."""

import os
import sys


def describe(emit):
    """Return the interpreter, Django, the installed apps, the databases with their credentials, and the routers.

    The passwords go over the channel and nowhere else.
    """
    import django
    from django.conf import settings
    from django.db import router

    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "executable": sys.executable,
        "pid": os.getpid(),
        "django": django.get_version(),
        "settings": os.environ["DJANGO_SETTINGS_MODULE"],
        "settings_file": getattr(sys.modules.get(os.environ["DJANGO_SETTINGS_MODULE"]), "__file__", None),
        "secret_key": str(getattr(settings, "SECRET_KEY", "") or ""),
        "debug": bool(settings.DEBUG),
        "apps": apps(),
        "databases": databases(),
        "routers": [type(each).__module__ + "." + type(each).__qualname__ for each in router.routers],
    }


def apps():
    """Return each installed app: label, name, path, number of models, migrations module, whether it is own code."""
    from importlib.util import find_spec

    from django.apps import apps as registry
    from django.db.migrations.loader import MigrationLoader

    found = []
    for config in registry.get_app_configs():
        module, explicit = MigrationLoader.migrations_module(config.label)
        try:
            has_migrations = module is not None and find_spec(module) is not None
        except (ImportError, ValueError):
            has_migrations = False
        found.append(
            {
                "label": config.label,
                "name": config.name,
                "path": str(config.path),
                "models": len(list(config.get_models())),
                "migrations_module": module,
                "has_migrations": has_migrations,
                "disabled": explicit and module is None,
                "own": "site-packages" not in str(config.path) and "dist-packages" not in str(config.path),
            }
        )
    return found


def databases():
    """Return alias → vendor and the settings that libpq understands.

    The connection parameters are asked of the backend, which knows more than the settings (a custom engine may
    fetch a token); what is not text or a number (classes, enums, pools) is left out.
    """
    from django.db import connections

    found = {}
    for alias in connections:
        values = connections.settings[alias]
        options = dict(values.get("OPTIONS") or {})
        engine = str(values.get("ENGINE") or "")
        try:
            connection = connections[alias]
            vendor = connection.vendor
            if vendor == "postgresql":
                options = connection.get_connection_params()
        except Exception as exc:
            # A driver may be missing, or a setting wrong. The database is described all the same; the first query to
            # it will say more.
            vendor = "postgresql" if "postg" in engine else engine.rsplit(".", 1)[-1]
            options["error"] = str(exc)
        name = options.pop("dbname", options.pop("database", None)) or values.get("NAME")
        found[alias] = {
            "vendor": vendor,
            "engine": engine,
            "NAME": str(name) if name else "",
            "USER": str(options.pop("user", None) or values.get("USER") or ""),
            "PASSWORD": str(options.pop("password", options.pop("passwd", None)) or values.get("PASSWORD") or ""),
            "HOST": str(options.pop("host", None) or values.get("HOST") or ""),
            "PORT": str(options.pop("port", None) or values.get("PORT") or ""),
            "OPTIONS": {key: value for key, value in options.items() if type(value) in (str, int)},
            "mirror_of": (values.get("TEST") or {}).get("MIRROR"),
        }
        role = (values.get("OPTIONS") or {}).get("assume_role")
        if role:
            found[alias]["OPTIONS"]["assume_role"] = role
    return found
