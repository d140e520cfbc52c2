"""The admin as a temporary superuser sees it, leaving nothing behind; on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Worker
from tests.project.projects import Site, make_site

Start = Callable[..., Worker]

ADMIN = """
from django.contrib import admin

from .models import Item


@admin.register(Item)
class ItemAdmin(admin.ModelAdmin):
    list_display = ["title", "shouted"]

    def shouted(self, item):
        return item.title.upper()

    def get_queryset(self, request):
        return super().get_queryset(request).all(){more}
"""

PERSON = """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Office(models.Model):
    city = models.CharField(max_length=20)


class Manager(BaseUserManager):
    def create_superuser(self, email, password, **fields):
        user = self.model(email=email, is_staff=True, is_superuser=True, **fields)
        user.set_password(password)
        user.save()
        return user


class Person(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    badge = models.CharField(max_length=6, unique=True)
    born = models.DateField()
    rank = models.IntegerField(choices=[(3, "low"), (4, "high")])
    office = models.ForeignKey(Office, models.CASCADE{null})
    is_staff = models.BooleanField(default=False)
    objects = Manager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["badge", "born", "rank", "office"]
"""


@pytest.fixture
def office(tmp_path: Path, database: ConnectionInfo) -> Site:
    """A project with the admin and one registered model, its tables made."""
    site = make_site(tmp_path / "site", database, admin=True)
    site.models("shop", "class Item(models.Model):\n    title = models.CharField(max_length=40)\n")
    site.write("shop/admin.py", ADMIN.replace("{more}", ""))
    return site


def rows(database: ConnectionInfo) -> dict[str, int]:
    names = ("auth_user", "django_session", "django_admin_log")
    with connect(database) as connection:
        found = {}
        for name in names:
            row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            assert row is not None
            found[name] = row[0]
    return found


def statuses(answer: Any) -> dict[str, int]:
    return {each["what"]: each["status"] for each in answer["pages"]}


def test_asks_for_the_index_and_each_changelist_and_leaves_nothing(
    office: Site, start: Start, database: ConnectionInfo
) -> None:
    office.append_settings("SECURE_SSL_REDIRECT = True\nALLOWED_HOSTS = ['.example.com']\nADMINS = [('a', 'a@b.c')]")
    office.write(
        "shop/apps.py",
        """
        from django.apps import AppConfig


        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                from django.contrib.auth.signals import user_logged_in
                from django.db.models.signals import post_save

                post_save.connect(heard, weak=False)
                user_logged_in.connect(heard, weak=False)


        def heard(sender, **kwargs):
            if sender.__name__ == "User":
                raise RuntimeError("nobody is to hear of it")
        """,
    )
    worker = start(office)
    worker.call("generate")
    worker.call("migrate")
    events: list[str] = []
    answer = worker.call("admin_pages", on_event=lambda event, data: events.append(data["url"]))
    assert (answer["available"], answer["reason"]) == (True, "")
    assert statuses(answer) == {"index": 200, "auth.Group": 200, "auth.User": 200, "shop.Item": 200}
    assert events[:2] == ["/admin/", "/admin/auth/group/"]
    assert rows(database) == {"auth_user": 0, "django_session": 0, "django_admin_log": 0}
    only = worker.call("admin_pages", apps=["shop"])
    assert statuses(only) == {"index": 200, "shop.Item": 200}
    with pytest.raises(errors.AppNotFound):
        worker.call("admin_pages", apps=["shpo"])


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("[[][0] :]", "IndexError: list index out of range"),
        (".extra(where=['no_such_column = 1'])", 'column "no_such_column" does not exist'),
    ],
)
def test_says_what_a_page_raised_and_goes_on(office: Site, start: Start, more: str, error: str) -> None:
    """A statement that fails spoils PostgreSQL's transaction: the pages after it must not fail for that."""
    office.write("shop/admin.py", ADMIN.replace("{more}", more))
    worker = start(office)
    worker.call("generate")
    worker.call("migrate")
    answer = worker.call("admin_pages")
    pages = {each["what"]: each for each in answer["pages"]}
    assert pages["shop.Item"]["status"] == 500
    assert error in pages["shop.Item"]["error"]
    assert worker.call("admin_pages", apps=["auth"])["pages"][1]["status"] == 200


def test_makes_a_superuser_of_the_projects_own_model(tmp_path: Path, database: ConnectionInfo, start: Start) -> None:
    site = make_site(tmp_path / "site", database, admin=True, apps=("people",))
    site.append_settings('AUTH_USER_MODEL = "people.Person"')
    site.write("people/models.py", PERSON.replace("{null}", ""))
    worker = start(site)
    worker.call("generate")
    worker.call("migrate")
    without = worker.call("admin_pages")
    assert without["available"] is False
    assert "no temporary superuser could be made: " in without["reason"]
    assert "office" in without["reason"]
    with connect(database) as connection:
        connection.execute("INSERT INTO people_office (city) VALUES ('Ulm')")
    assert statuses(worker.call("admin_pages")) == {"index": 200, "auth.Group": 200}
    with connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM people_person").fetchone() == (0,)


def test_says_why_there_is_no_admin(office: Site, start: Start, tmp_path: Path) -> None:
    answer = start(make_site(tmp_path / "other", None)).call("admin_pages")
    assert answer == {"available": False, "reason": "django.contrib.admin is not installed", "pages": []}
    office.write("config/urls.py", "urlpatterns = []\n")
    assert start(office).call("admin_pages")["reason"] == "the URLconf has no admin"


def test_does_not_fail_without_tables(office: Site, start: Start) -> None:
    answer = start(office).call("admin_pages")
    assert answer["available"] is False
    assert 'relation "auth_user" does not exist' in answer["reason"]
