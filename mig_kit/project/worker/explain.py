"""Why makemigrations says "No changes detected"."""

import ast
import os
import time


def explain_no_changes(emit, database="default", apps=None, root=None):
    """Return findings, each {id, app, message, hint}, by looking which of the known causes it is.

    Looked at: editor files that say "not saved", folders with models that are not in INSTALLED_APPS, apps with
    models and no migrations package or with migrations switched off, model classes that are written in an app but
    never imported, unmanaged models, and routers.
    """
    from django.apps import apps as registry
    from django.conf import settings
    from django.db import router
    from django.db.migrations.loader import MigrationLoader

    findings = []

    def say(finding, app, message, hint):
        findings.append({"id": finding, "app": app, "message": message, "hint": hint})

    unmigrated = MigrationLoader(None, ignore_no_migrations=True).unmigrated_apps
    installed = {os.path.realpath(str(config.path)): config for config in registry.get_app_configs()}
    for folder, config in sorted(installed.items()):
        if "site-packages" in folder or "dist-packages" in folder or (apps and config.label not in apps):
            continue
        models = [model for model in config.get_models() if not model._meta.swapped]
        for name in unsaved(folder):
            say(
                "unsaved-file",
                config.label,
                f"{name} says that a file beside it is open in an editor and not saved.",
                "save the file, then run the review again",
            )
        module, explicit = MigrationLoader.migrations_module(config.label)
        if models and module is None and explicit:
            say(
                "migrations-off",
                config.label,
                f"MIGRATION_MODULES switches the migrations of {config.label!r} off.",
                "take the entry out of MIGRATION_MODULES, or change the tables by hand",
            )
        elif models and config.label in unmigrated:
            say(
                "no-migrations-package",
                config.label,
                f"The app {config.label!r} has models and no migrations package ({module}), "
                "so makemigrations passes over it.",
                f"name it: rb.review(apps=[{config.label!r}]), or make that package with its __init__.py",
            )
        registered = {model.__name__ for model in registry.get_models(include_swapped=True)}
        for path, names in sorted(model_classes(folder).items()):
            for name in sorted(names - registered):
                say(
                    "not-imported",
                    config.label,
                    f"The model class {name} in {path} is never imported by the app, so Django does not know it.",
                    "import it in {}".format(os.path.join(folder, "models", "__init__.py"))
                    if os.path.isdir(os.path.join(folder, "models"))
                    else "import it in {}".format(os.path.join(folder, "models.py")),
                )
        for model in models:
            if not model._meta.managed and not model._meta.proxy:
                say(
                    "unmanaged",
                    config.label,
                    f"{model._meta.label} is unmanaged (managed = False): Django never changes its table.",
                    "change the table by hand, or make the model managed",
                )
        routed = [model for model in models if router.allow_migrate_model(database, model)]
        if models and not routed:
            say(
                "router",
                config.label,
                "A router ({}) keeps {!r} out of the database {!r}.".format(
                    ", ".join(settings.DATABASE_ROUTERS or ["?"]) if settings.DATABASE_ROUTERS else "?",
                    config.label,
                    database,
                ),
                "open the runbook on the database that it belongs to",
            )
    if not apps:
        for folder in models_outside(root or os.getcwd(), set(installed)):
            say(
                "not-installed",
                os.path.basename(folder),
                f"{folder} has models and is not in INSTALLED_APPS.",
                "add it to INSTALLED_APPS",
            )
    newest = newest_models_file(installed, apps)
    if newest:
        path, when = newest
        say(
            "last-saved",
            None,
            f"The models file that was saved last is {path}, {age(time.time() - when)} ago.",
            "if your change is newer than that, save the file",
        )
    return findings


def unsaved(folder):
    """Return swap and lock files that editors keep while a Python file has unsaved changes."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each not in ("migrations", "__pycache__", "node_modules")]
        for name in files:
            whole = os.path.join(path, name)
            emacs = name.startswith(".#") and name.endswith(".py")  # a link, there while the file is not saved
            if emacs or (name.startswith(".") and ".py.sw" in name and vim_says_modified(whole)):
                found.append(whole)
    return sorted(set(found))


def vim_says_modified(path):
    """Say whether Vim's swap file stands for unsaved changes; it is there as long as the file is open."""
    try:
        with open(path, "rb") as swap:
            head = swap.read(1008)
    except OSError:
        return False
    # The last byte of the file name's 900 in block 0 is 0x55 while the buffer is modified (Vim's memline.c).
    return len(head) < 1008 or not head.startswith(b"b0VIM") or head[1007] == 0x55


def model_classes(folder):
    """Return path → names of the concrete model classes that are written in an app's models files."""
    found = {}
    candidates = [os.path.join(folder, "models.py")]
    package = os.path.join(folder, "models")
    if os.path.isdir(package):
        candidates += [os.path.join(package, name) for name in sorted(os.listdir(package)) if name.endswith(".py")]
    for path in candidates:
        try:
            with open(path, encoding="utf-8") as source:
                tree = ast.parse(source.read())
        except (OSError, SyntaxError, ValueError):
            continue
        names = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and is_model(node)}
        if names:
            found[path] = names
    return found


def is_model(node):
    """Say whether a class statement declares a concrete model, as far as its text shows."""
    bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    if "Model" not in bases:
        return False
    for child in node.body:
        if isinstance(child, ast.ClassDef) and child.name == "Meta":
            for line in child.body:
                if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "abstract":
                    return not getattr(line.value, "value", False)
    return True


def models_outside(root, installed):
    """Return the folders below ``root`` that hold models and are not installed apps."""
    found = []
    left = 5000  # folders; a project in a home folder may have a whole disk below it
    skipped = ("node_modules", "site-packages", "__pycache__", "migrations", "tests", "env", "venv")
    for path, folders, files in os.walk(root):
        left -= 1
        if left < 0:
            break
        if "pyvenv.cfg" in files:
            folders[:] = []
            continue
        folders[:] = [each for each in folders if each not in skipped and not each.startswith(".")]
        real = os.path.realpath(path)
        if real in installed or os.path.dirname(real) in installed:
            continue
        if ("models.py" in files or "models" in folders) and any(model_classes(path).values()):
            found.append(path)
    return sorted(found)


def newest_models_file(installed, apps):
    """Return (path, time) of the project's models file that was saved last."""
    newest = None
    for folder, config in installed.items():
        if "site-packages" in folder or "dist-packages" in folder or (apps and config.label not in apps):
            continue
        for path in model_classes(folder):
            when = os.path.getmtime(path)
            if newest is None or when > newest[1]:
                newest = (path, when)
    return newest


def age(seconds):
    """Return a length of time in one round unit."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{max(0, int(seconds))} seconds"
