"""Generate, merge and undo, in a real project on PostgreSQL 18."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mig_kit import errors
from mig_kit.steps import generate as module
from mig_kit.steps.apply import apply
from mig_kit.steps.generate import Generated, generate, merge, undo
from mig_kit.steps.target import Target
from tests.steps.projects import ANSWERS, Copy, Opened, conflict, empty_migration

LAST = {
    "blog": "0004_category_position_post_status_idx",
    "contact": "0004_subscriber",
    "portfolio": "0004_project_status_started_idx",
}


@pytest.fixture(autouse=True)
def as_it_was(opened: Opened) -> Iterator[None]:
    """Each test begins with the demo's files."""
    with opened.project.restored():
        yield


def ids(generated: Generated) -> list[str]:
    return [each.id for each in generated.findings]


def test_writes_the_pending_migrations_and_says_so(opened: Opened) -> None:
    before = opened.project.migrations()
    result = generate(opened.target, answers=ANSWERS)
    assert opened.project.migrations() - before == {
        "blog/0005_comment_comment_post_created_idx.py",
        "contact/0005_message_priority_message_project.py",
        "portfolio/0005_rename_link_project_live_url_project_launched_on.py",
    }
    assert {each.path.read_text() for each in result.files} == {each.source for each in result.files}
    # All three are generated together, so none runs unexpectedly before another.
    assert result.findings == ()
    assert result.errors == ()
    assert repr(result).startswith("<Generated: blog.0005_comment_comment_post_created_idx, contact.0005")
    assert not generate(opened.target)
    assert repr(generate(opened.target)) == "<Generated: nothing; 0 findings>"


def test_a_question_without_an_answer_leaves_nothing(opened: Opened) -> None:
    before = opened.project.migrations()
    with pytest.raises(errors.UnansweredQuestions) as caught:
        generate(opened.target)
    (question,) = caught.value.questions
    assert question["id"] in caught.value.message
    assert caught.value.hint == f"answer by id: answers={{{question['id']!r}: True}}"
    assert opened.project.migrations() == before


def test_can_be_named_and_limited_to_an_app(opened: Opened) -> None:
    (file,) = generate(opened.target, answers=ANSWERS, apps=["blog"], name="latest_comments").files
    assert (file.app, file.name) == ("blog", "0005_latest_comments")


def test_a_name_that_python_cannot_import_is_refused(opened: Opened) -> None:
    with pytest.raises(errors.UsageError) as caught:
        generate(opened.target, answers=ANSWERS, apps=["blog"], name="two words")
    assert str(caught.value) == (
        "'two words' cannot name a migration: it has to be a Python identifier.\n"
        "Next: use letters, digits and underscores only"
    )


def test_findings_are_made_on_what_was_written(opened: Opened) -> None:
    opened.project.edit("apps/blog/models.py", "max_length=200)", "max_length=20)")
    opened.project.edit("apps/blog/models.py", "    excerpt = models.CharField(max_length=300, blank=True)\n", "")
    result = generate(opened.target, answers=ANSWERS, apps=["blog"])
    assert sorted(ids(result)) == ["MK101", "MK111"]
    frame = result.to_frame().set_index("id")
    assert list(frame.columns) == ["severity", "migration", "operation", "message", "next step"]
    assert frame.loc["MK101", "message"].startswith("blog.Post.title is narrowed: varchar(200) to varchar(20).")
    assert frame.loc["MK111", "severity"] == "error"
    assert len(result.errors) == 2


def test_no_to_a_rename_is_a_dropped_column_that_looks_like_one(opened: Opened) -> None:
    answers = dict.fromkeys(ANSWERS, False)
    assert ids(generate(opened.target, answers=answers, apps=["portfolio"])) == ["MK111", "MK113"]


def test_MK122_a_dependency_on_what_is_not_applied(opened: Opened) -> None:
    generate(opened.target, answers=ANSWERS, apps=["portfolio"])
    result = generate(opened.target, answers=ANSWERS, apps=["contact"])
    assert ids(result) == ["MK122"]
    assert result.findings[0].hint.startswith("look at it too: rb.preview('portfolio', '0005_")


def test_MK120_a_graph_that_goes_round_in_a_circle(opened: Opened) -> None:
    """The file that is generated closes the circle; it is written all the same, and named."""
    opened.project.edit(
        "apps/portfolio/migrations/0001_initial.py",
        "    dependencies = [",
        "    run_before = [('blog', '0001_initial')]\n    dependencies = [",
    )
    (made,) = generate(opened.target, answers=ANSWERS, apps=["blog"]).files
    text = made.path.read_text()
    made.path.write_text(
        text.replace("dependencies = [", "run_before = [('portfolio', '0001_initial')]\n    dependencies = [")
    )
    (finding,) = module.check_files(opened.target, [made])
    assert (finding.id, finding.evidence) == ("MK120", "catalog")
    assert finding.message.startswith("The migrations depend on each other in a circle: ")
    assert finding.hint


def test_MK100_what_could_not_be_checked_is_not_called_fine(opened: Opened) -> None:
    """The files were written and the error of the check was raised: nobody could undo them any more."""
    lines = [
        "import os",
        "if os.path.exists(__file__.replace('__init__', '0005_later')):",
        "    raise RuntimeError('no')",
    ]
    raising = "\n".join(lines) + "\n"
    opened.project.write("apps/blog/migrations/__init__.py", raising)
    result = generate(opened.target, answers=ANSWERS, apps=["blog"], name="later")
    assert [each.name for each in result.files] == ["0005_later"]
    assert ids(result) == ["MK100"]
    assert result.findings[0].message.startswith("The files are written, and could not be checked: RuntimeError: no")
    assert result.findings[0].evidence == "unknown"


def test_ctrl_c_while_the_files_are_checked_takes_them_away(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened.project.migrations()

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "check_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(opened.target, answers=ANSWERS)
    assert opened.project.migrations() == before


@pytest.fixture
def read_only(opened: Opened) -> Iterator[Path]:
    """The blog's migrations folder, closed for writing; root needs a mount for that."""
    folder = opened.project.path("apps", "blog", "migrations")
    if os.geteuid():
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    bound = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True)
    if bound.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder_leaves_nothing_in_any_app(opened: Opened, read_only: Path) -> None:
    before = opened.project.migrations()
    with pytest.raises(errors.WriteError) as caught:
        generate(opened.target, answers=ANSWERS)
    assert "could not be written" in caught.value.message
    assert str(read_only) in caught.value.message
    assert caught.value.hint == (
        "make the folder writable or free the disk, then run the cell again; nothing was left behind"
    )
    assert opened.project.migrations() == before


def test_undo_removes_what_was_generated_once_nothing_stands_against_it(opened: Opened) -> None:
    before = opened.project.migrations()
    result = generate(opened.target, answers=ANSWERS)
    after = opened.project.migrations()
    edited = result.files[0].path
    edited.write_text(edited.read_text() + "# mine\n")
    with pytest.raises(errors.WriteError) as caught:
        undo(opened.target, result)
    assert str(caught.value) == (
        f"{edited} was edited after it was generated; no file was removed.\n"
        "Next: remove it by hand if you no longer want it"
    )
    assert opened.project.migrations() == after

    edited.write_text(result.files[0].source)
    by_hand = empty_migration(opened.project, "blog", "0006_by_hand", result.files[0].name)
    with pytest.raises(errors.WriteError) as caught:
        undo(opened.target, result)
    assert caught.value.message == (
        "blog.0006_by_hand depends on blog.0005_comment_comment_post_created_idx; no file was removed."
    )
    by_hand.unlink()

    # Whether they are applied cannot be told while the database does not answer.
    opened.project.run("ALTER ROLE portfolio NOLOGIN")
    opened.project.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'portfolio'")
    try:
        with pytest.raises(errors.DatabaseError):
            undo(opened.target, result)
    finally:
        opened.project.run("ALTER ROLE portfolio LOGIN")
    assert opened.project.migrations() == after

    assert undo(opened.target, result) == tuple(each.path for each in result.files)
    assert opened.project.migrations() == before
    assert undo(opened.target, result) == ()


def test_undo_removes_the_package_that_was_made_but_not_what_somebody_put_into_it(opened: Opened) -> None:
    add_app(opened.project)
    folder = opened.project.path("apps", "shop", "migrations")
    result = generate(opened.target, answers=ANSWERS, apps=["shop"])
    assert sorted(path.name for path in folder.glob("*.py")) == ["0001_initial.py", "__init__.py"]
    undo(opened.target, result)
    assert not folder.exists()

    result = generate(opened.target, answers=ANSWERS, apps=["shop"])
    (folder / "notes.txt").write_text("mine")
    undo(opened.target, result)
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == ["notes.txt"]
    shutil.rmtree(folder.parent)


def test_undo_refuses_what_is_applied(target: Target, project: Copy) -> None:
    result = generate(target, answers=ANSWERS, apps=["blog"])
    apply(target, "blog")
    with pytest.raises(errors.WriteError) as caught:
        undo(target, result)
    assert str(caught.value) == (
        "blog.0005_comment_comment_post_created_idx is applied to the database 'default'; its file stays.\n"
        "Next: take it back first: rb.rollback('blog', the migration before it)"
    )
    assert result.files[0].path.exists()


def test_merge_joins_the_leaf_nodes(opened: Opened) -> None:
    conflict(opened.project)
    with pytest.raises(errors.UnansweredQuestions):
        merge(opened.target)
    result = merge(opened.target, answers={"merge:blog": True})
    (file,) = result.files
    assert file.name == "0006_merge_0005_left_0005_right"
    assert "('blog', '0005_left')" in file.source.replace('"', "'")
    assert result.branches[0]["app"] == "blog"
    assert [each["leaf"] for each in result.branches[0]["branches"]] == ["0005_left", "0005_right"]
    undo(opened.target, result)


def test_conflicting_leaf_nodes_stop_it_with_the_way_out(opened: Opened) -> None:
    conflict(opened.project)
    with pytest.raises(errors.MigrationGraphError) as caught:
        generate(opened.target, answers=ANSWERS)
    assert str(caught.value) == (
        "Conflicting migrations, several leaf nodes: 0005_left, 0005_right in blog.\nNext: merge them: rb.merge()"
    )


def test_a_finding_about_a_replaced_migration_counts_its_squashed_one(opened: Opened) -> None:
    """A dependency on a migration that a squashed one replaces was called not applied."""
    parent = LAST["portfolio"]
    empty_migration(
        opened.project,
        "portfolio",
        "0004_squashed",
        "0003_testimonial_rating",
        replaces=f"[('portfolio', {parent!r})]",
    )
    (made,) = generate(opened.target, answers=ANSWERS, apps=["blog"]).files
    made.path.write_text(
        made.path.read_text().replace("dependencies = [", f"dependencies = [('portfolio', {parent!r}), ")
    )
    assert module.check_files(opened.target, [replace(made, source=made.path.read_text())]) == ()


def add_app(project: Copy) -> None:
    project.write("apps/shop/__init__.py", "")
    project.write("apps/shop/models.py", "from django.db import models\n\n\nclass Cart(models.Model):\n    pass\n")
    project.edit("config/settings.py", '"apps.contact",', '"apps.contact", "apps.shop",')
