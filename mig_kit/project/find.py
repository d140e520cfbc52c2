"""The user's Django project: found, described, not yet started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mig_kit.errors import ProjectError, ProjectNotFound, UsageError
from mig_kit.project._files import absolute, exists, home, is_closed, is_dir, is_file, real
from mig_kit.project.config import Config, find_config
from mig_kit.project.env_file import Variables, find_env_file, read_env_file
from mig_kit.project.interpreter import find_interpreter
from mig_kit.project.manage_file import DEPTH, MOST_FOLDERS, find_manage_py
from mig_kit.project.settings_name import read_settings_name

__all__ = ["Project", "find_project"]

_VARIABLE = "DJANGO_SETTINGS_MODULE"
_MARKS = (".git", ".env", "mig_kit.toml", "pyproject.toml", "execution", ".tmp")
_WITHOUT_MANAGE_PY = (
    "name the folder that holds manage.py; for a project without one, name its interpreter and its settings "
    "module, python=… and settings=… (--python, --settings), and the variables it needs with environ=…"
)


@dataclass(frozen=True, slots=True)
class Project:
    """State where the project lies and what runs it; its repr shows variables by name only.

    ``root``: the repository's folder (``.env``, ``execution/``, ``.tmp/backups``); ``work_dir``: manage.py's,
    where the worker runs; ``manage_py`` is None for a project installed as a package. ``environ``: what
    ``.env`` sets, defaults that do not override the environment; ``named_environ``: what the user named (by
    argument or configuration), which does. ``notes``: what was found and how, a plain sentence each.
    """

    root: Path
    manage_py: Path | None
    work_dir: Path
    settings: str
    python: Path
    env_file: Path | None = None
    environ: Variables = field(default_factory=Variables)
    config: Config = field(default_factory=Config)
    notes: tuple[str, ...] = ()
    named_environ: Variables = field(default_factory=Variables)

    def worker_environ(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return a whole environment: ``.env``, over it ``base`` (this process's), over it what was named."""
        around = os.environ if base is None else base
        return {**self.environ, **around, **self.named_environ, _VARIABLE: self.settings}


def find_project(
    path: str | os.PathLike[str] = ".",
    *,
    python: str | os.PathLike[str] | None = None,
    settings: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Project:
    """Find the Django project at ``path`` without running any of it; read-only.

    ``path``: manage.py, its folder, a folder above it (the repository) or any folder inside the project. What
    is not named is looked for: ``settings`` in the configuration, the environment, ``.env``, manage.py;
    ``python`` as ``find_interpreter`` says. ``environ`` names variables that count before this process's own.

    Raises ProjectNotFound, AmbiguousProject (two candidates, both named), ConfigError, InterpreterError,
    SettingsError (manage.py names no settings module), UsageError (``settings`` is no module name).
    """
    named_path = Path(path).expanduser()
    manage_py, folder, how = _manage_py(named_path)
    work_dir = manage_py.parent if manage_py else folder
    root = _root(work_dir, folder)
    folders = tuple(dict.fromkeys((work_dir, root)))

    config = find_config(folders)
    named = Variables({**config.environ, **(environ or {})})
    around = {**os.environ, **named}
    env_path, env_notes = find_env_file(work_dir, root)
    env_file = read_env_file(env_path, around) if env_path else None
    defaults = env_file.variables if env_file else Variables()

    if manage_py is None:
        known = settings or config.settings or around.get(_VARIABLE) or defaults.get(_VARIABLE)
        if not (known and (python or config.python)):
            raise ProjectNotFound(
                f"There is no Django project at {folder}: no manage.py in it, above it, or in the {DEPTH} "
                f"levels below it (at most {MOST_FOLDERS} folders).",
                hint=_WITHOUT_MANAGE_PY,
            )
    module, settings_notes = _settings(settings, config, around, env_path, defaults, manage_py)
    from_config = python is None and config.python is not None
    interpreter = find_interpreter(
        folders,
        named=config.python if from_config else python,
        named_where=f"from {config.source}" if from_config else "as named",
        bases=(config.folder,) if from_config and config.folder else (Path.cwd(), *folders[::-1]),
        environ={**defaults, **around},
    )
    return Project(
        root=root,
        manage_py=manage_py,
        work_dir=work_dir,
        settings=module,
        python=interpreter.python,
        env_file=env_path,
        environ=defaults,
        config=config,
        named_environ=named,
        notes=(
            f"Project: {manage_py}, {how}." if manage_py else f"Project: without manage.py, run in {work_dir}.",
            *((f"Repository: {root}.",) if root != work_dir else ()),
            *((f"Configuration: {config.source}.",) if config.source else ()),
            *settings_notes,
            *interpreter.notes,
            *env_notes,
            *(env_file.notes if env_file else ()),
        ),
    )


def _manage_py(path: Path) -> tuple[Path | None, Path, str]:
    """Return manage.py (or None), the folder that was named, and how the one follows from the other."""
    if not exists(path):
        raise ProjectNotFound(f"There is nothing at {_shown(path)}.", hint="check the path; " + _WITHOUT_MANAGE_PY)
    if is_file(path) and path.name == "manage.py":
        manage_py = real(path)
        return manage_py, manage_py.parent, "as named"
    folder = real(path if is_dir(path) else path.parent)
    found = find_manage_py(folder)
    if found is None and is_closed(folder):
        raise ProjectNotFound(f"{folder} may not be read by this user.", hint=f"check its mode: ls -ld {folder}")
    return (found[0], folder, f"found {found[1]}") if found else (None, folder, "")


def _shown(path: Path) -> str:
    try:
        return str(absolute(path))
    except ValueError:
        return repr(os.fspath(path))


def _root(work_dir: Path, named: Path) -> Path:
    home_folder = home()

    def marked(folder: Path) -> bool:
        # A home folder often has a .git or .env of its own that says nothing about the project below it.
        marks: Sequence[str] = ("mig_kit.toml", "execution") if folder == home_folder else _MARKS
        return folder != folder.parent and any(exists(folder / mark) for mark in marks)

    if any(exists(work_dir / mark) for mark in (".git", "mig_kit.toml")):
        return work_dir
    if marked(work_dir.parent):
        return work_dir.parent
    if named in work_dir.parents and marked(named):
        return named
    for ancestor in list(work_dir.parents)[:DEPTH]:
        if ancestor != home_folder and exists(ancestor / ".git"):
            return ancestor
    return work_dir


def _settings(
    named: str | None,
    config: Config,
    around: Mapping[str, str],
    env_path: Path | None,
    defaults: Mapping[str, str],
    manage_py: Path | None,
) -> tuple[str, tuple[str, ...]]:
    """Return the settings module and, in plain sentences, where it was named."""
    by_variable = True
    if named is not None:
        module, where, by_variable = named, "as named", False
    elif config.settings is not None:
        module, where, by_variable = config.settings, f"from {config.source}", False
    elif around.get(_VARIABLE):
        module, where = around[_VARIABLE], f"from the environment ({_VARIABLE})"
    elif defaults.get(_VARIABLE):
        module, where = defaults[_VARIABLE], f"from {env_path} ({_VARIABLE})"
    else:
        assert manage_py is not None  # without one, some other source is required before this is asked
        module, where = read_settings_name(manage_py, {**defaults, **around}), f"from {manage_py}"
        by_variable = False
    _check_module(module, where)
    notes = [f"Settings module: {module}, {where}."]
    if manage_py is not None and by_variable:
        # A notebook server may carry the variable over from another project's shell.
        try:
            other = read_settings_name(manage_py, {k: v for k, v in around.items() if k != _VARIABLE})
        except ProjectError:
            other = module  # what manage.py says does not matter here
        if other != module:
            notes.append(f"{manage_py} names {other} instead; to use that, name settings={other!r} (--settings).")
    return module, tuple(notes)


def _check_module(module: str, where: str) -> None:
    path_like = module.endswith(".py") or "/" in module or "\\" in module
    if path_like or not all(module.split(".")) or any(letter.isspace() for letter in module):
        dotted = module.removesuffix(".py").strip("./\\").replace("/", ".").replace("\\", ".").strip()
        raise UsageError(
            f"The settings module {module!r}, {where}, is no module name.",
            hint=f"write it with dots, as it is imported: {dotted!r}"
            if dotted and path_like
            else "write it with dots, as it is imported: 'config.settings'",
        )
