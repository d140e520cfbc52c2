"""The demo project on the oldest, the usual and the newest Django, each in an environment of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mig_kit.demo import Demo
from mig_kit.demo.files import write_released_project
from tests.demo.project import PENDING, manage, operations
from tests.venvs import venv

ENVIRONMENTS = {
    "4.2": ("3.9", ("django==4.2.*", "psycopg[binary]>=3.1.18")),
    "4.2 with psycopg2": ("3.8", ("django==4.2.*", "psycopg2-binary>=2.9")),
    "5.2": ("3.11", ("django==5.2.*", "psycopg[binary]>=3.1.18")),
    "6.1": ("3.13", ("django==6.1.*", "psycopg[binary]>=3.1.18")),
}

# The list and the form of each model, the admin's own two included.
ADMIN = (
    "from django.contrib import admin; from django.contrib.auth.models import User; "
    "from django.test import Client; from django.urls import reverse; "
    "c = Client(); c.force_login(User.objects.create_superuser('t')); "
    "print([c.get(reverse(f'admin:{m._meta.app_label}_{m._meta.model_name}_{v}')).status_code "
    "for m in admin.site._registry for v in ('changelist', 'add')])"
)


@pytest.mark.matrix
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_goes_through_the_runbook_by_hand(name: str, make_demo: Callable[..., Demo], tmp_path: Path) -> None:
    python = venv(*ENVIRONMENTS[name])
    demo = make_demo(python=python)

    released = tmp_path / "released"
    write_released_project(released, python)
    shutil.copy(demo.env_file, released)
    drift = manage(demo, "makemigrations", "--check", "--dry-run", root=released)
    assert drift.stdout == "No changes detected\n", drift.stderr
    check = manage(demo, "check", "--fail-level", "WARNING")
    assert check.returncode == 0, check.stderr

    shown = manage(demo, "shell", "-c", ADMIN, root=released)
    assert shown.stdout.splitlines()[-1] == str([200] * 22), shown.stderr

    made = manage(demo, "makemigrations", answers="y\n")
    assert operations(made.stdout) == PENDING, made.stderr
    assert manage(demo, "migrate").returncode == 0
    assert manage(demo, "makemigrations", "--check").returncode == 0
    assert "[ ]" not in manage(demo, "showmigrations").stdout
    count = "from apps.portfolio.models import Project; print(Project.objects.exclude(live_url='').count())"
    assert manage(demo, "shell", "-c", count).stdout.split()[-1] == str(demo.rows["portfolio_project"] * 4 // 5)

    for app in ("blog", "portfolio"):
        back = manage(demo, "migrate", app, "0001")
        assert back.returncode == 0, back.stderr
    shown = manage(demo, "showmigrations", "portfolio", "blog", "contact")
    assert shown.stdout.count("[ ] 0005_") == 3
    assert shown.stdout.count("[X]") == 6, shown.stdout
    assert manage(demo, "migrate").returncode == 0
