"""A backup of the demo (PostgreSQL 18) restored into a scratch database that later steps copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from mig_kit.errors import BackupError
from mig_kit.postgres import connect
from mig_kit.postgres.digest import digest_tables
from mig_kit.steps._restored import restored_template, room_for
from mig_kit.steps.backup import Backup, backup
from tests.steps.projects import Opened


@pytest.fixture(scope="module")
def made(opened: Opened) -> Iterator[Backup]:
    yield backup(opened.target)
    shutil.rmtree(opened.project.root / ".tmp")


def test_is_restored_once_and_copied_as_often_as_wanted(made: Backup) -> None:
    first, second = restored_template(made), restored_template(made)
    assert not first.reused
    assert (second.reused, second.database, second.scratch) == (True, first.database, first.scratch)
    assert first.scratch.private
    for _ in range(2):
        with first.scratch.database(first.database) as copy, closing(connect(copy)) as conn:
            assert digest_tables(conn, [each.how for each in made.digests]) == made.digests


def test_rows_of_tables_can_be_left_out_with_the_foreign_keys_checked_for_new_rows_only(made: Backup) -> None:
    few = restored_template(made, without_data=["public.blog_post"])
    assert few.database != restored_template(made).database
    assert few.without_data == ("public.blog_post",)
    assert few.notes[0] == "Restored without their rows: public.blog_post."
    with few.scratch.database(few.database) as copy, closing(connect(copy)) as conn:
        assert conn.execute("SELECT count(*) FROM blog_post").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM blog_category").fetchone() == (made.rows["public.blog_category"],)
        checked = "SELECT bool_and(convalidated) FROM pg_constraint WHERE contype = 'f' AND {} = 'blog_post'::regclass"
        assert conn.execute(checked.format("confrelid").encode()).fetchone() == (False,)
        assert conn.execute(checked.format("conrelid").encode()).fetchone() == (True,)


def test_says_how_large_it_will_be_and_refuses_what_does_not_fit(made: Backup) -> None:
    server = restored_template(made).scratch
    room, less = room_for(made, server), room_for(made, server, ["public.blog_post"])
    assert room.needed is not None
    assert less.needed is not None
    assert room.needed - less.needed == made.sizes["public.blog_post"] > 0
    assert room.fits()
    huge = replace(made, sizes={**made.sizes, "public.blog_post": 1 << 60}, checksum="another")
    with pytest.raises(BackupError) as caught:
        restored_template(huge)
    assert "and a scratch server of PostgreSQL 18.6 (embedded programs) has" in caught.value.message
    assert "the largest tables: public.blog_post, " in caught.value.hint
    assert restored_template(huge, without_data=["public.blog_post"]).without_data == ("public.blog_post",)


def test_files_that_are_not_those_of_the_manifest_are_not_restored(made: Backup) -> None:
    other = replace(made, files=made.files[1:], checksum="other")
    with pytest.raises(BackupError) as caught:
        restored_template(other)
    assert str(caught.value) == (
        f"The files of {made.path.name} are not those of its manifest.\n"
        f"Next: rb.verify_backup({made.path.name!r}) names them"
    )
