"""The target: secrets kept, the stage decided, changes noticed; real projects, PostgreSQL 18 where it is asked."""

from __future__ import annotations

import traceback
from contextlib import closing
from pathlib import Path

import pytest
from dotenv import dotenv_values

from mig_kit import errors
from mig_kit.record import redact
from mig_kit.steps.target import open_target
from tests.steps.projects import Copy, Opened


@pytest.mark.parametrize(
    ("env", "named", "stage", "reason"),
    [
        ({}, None, "development", "inferred: the server is on this machine"),
        ({}, "staging", "staging", "named"),
        ({"DEBUG": "0"}, None, "development", "inferred: the server is on this machine"),
        (
            {"DATABASE_HOST": "db.example.org"},
            None,
            "production",
            "inferred: the server is not on this machine; name another stage with stage=… / --stage",
        ),
    ],
)
def test_the_stage_is_what_is_named_else_it_errs_to_production(
    project: Copy, env: dict[str, str], named: str | None, stage: str, reason: str
) -> None:
    project.set_env(**env)
    with closing(open_target(project.root, stage=named)) as target:
        assert (target.stage, target.stage_reason) == (stage, reason)
        assert repr(target).endswith(f", {stage}>")


def test_the_configuration_names_the_stage(project: Copy) -> None:
    config = project.root / "mig_kit.toml"
    config.write_text('stage = "staging"\n' + config.read_text())
    with closing(open_target(project.root)) as target:
        assert (target.stage, target.stage_reason) == ("staging", "from the project's configuration")


def test_what_is_no_stage_or_no_alias_is_answered_with_those_there_are(project: Copy) -> None:
    with pytest.raises(errors.UsageError) as stage:
        open_target(project.root, stage="prod")
    assert str(stage.value) == "'prod' is not a stage.\nNext: choose one of: development, staging, production"
    with pytest.raises(errors.DatabaseNotFound) as alias:
        open_target(project.root, database="replica")
    assert str(alias.value) == "The project has no database alias 'replica'.\nNext: choose one of: default"


def test_no_secret_shows_in_an_error_of_the_project(project: Copy) -> None:
    """The password and a value of .env stand in what the settings raise, as a careless project would have it."""
    password = project.database.password.reveal()
    project.set_env(STRIPE_TOKEN="sk_live_4242424242")
    settings = project.path("config", "settings.py")
    settings.write_text(
        settings.read_text() + "\nraise ValueError(f\"{os.environ['STRIPE_TOKEN']} {DATABASES['default']}\")\n"
    )
    with pytest.raises(errors.SettingsError) as caught:
        open_target(project.root)
    text = "".join(traceback.format_exception(caught.value)) + caught.value.traceback
    assert "ValueError" in text
    assert password not in text
    assert "sk_live_4242424242" not in text
    assert f"{settings}, line " in caught.value.message


def test_secrets_are_known_and_open_values_are_not_blotted_out(project: Copy) -> None:
    """A password that equals the database's name blotted that name out of every record."""
    project.set_env(DATABASE_PASSWORD="portfolio", API_KEY="abcdefgh", FEATURE_TOKEN="true", CITY="Heidelberg")
    with closing(open_target(project.root)) as target:
        assert redact("portfolio true Heidelberg abcdefgh") == "portfolio true Heidelberg ***"
        secret = str(dotenv_values(project.root / ".env")["SECRET_KEY"])
        assert redact(f"key {secret}") == "key ***"
        assert secret not in repr(vars(target))


def test_an_app_that_is_installed_later_is_noticed(opened: Opened) -> None:
    """What the project was at the opening stood for the whole session: a new app was not verified."""
    with opened.project.restored():
        opened.project.write("apps/shop/__init__.py", "")
        opened.project.edit("config/settings.py", '"apps.contact",', '"apps.contact", "apps.shop",')
        opened.target.refresh()
        assert "shop" in opened.target.own_apps
        opened.target.need_app("shop")
        opened.project.path("config", "settings.py").write_text("1 / 0\n")
        opened.target.refresh()  # what was known stays
        assert "shop" in opened.target.own_apps
    opened.target.refresh()
    assert "shop" not in opened.target.own_apps


def test_an_app_is_answered_with_its_nearest(opened: Opened) -> None:
    with pytest.raises(errors.AppNotFound) as caught:
        opened.target.need_app("Blogs")
    assert str(caught.value) == "No installed app has the label 'Blogs'.\nNext: did you mean 'blog'?"
    with pytest.raises(errors.AppNotFound) as caught:
        opened.target.need_app("zzz")
    assert caught.value.hint == "choose an app label that mig-kit status lists"


def test_a_database_that_does_not_exist_is_named_by_the_step_that_asks_it(project: Copy) -> None:
    project.set_env(DATABASE_NAME="nowhere")
    with closing(open_target(project.root)) as target, pytest.raises(errors.DatabaseNotFound) as caught:
        target.ask("history")
    assert caught.value.message.endswith("has no database 'nowhere'.")


def test_the_backups_lie_where_the_runbook_says(opened: Opened) -> None:
    assert opened.target.backups_folder == opened.project.root / ".tmp" / "backups"


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ProjectNotFound) as caught:
        open_target(tmp_path)
    assert caught.value.message.startswith(f"There is no Django project at {tmp_path}")
    assert caught.value.hint
