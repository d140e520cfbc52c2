"""The errors: their tree, what they carry, what they say; no database is needed."""

from __future__ import annotations

import inspect
import re

import pytest

from mig_kit import errors


def classes() -> list[type[errors.MigKitError]]:
    found = [each for _name, each in inspect.getmembers(errors, inspect.isclass)]
    return [each for each in found if issubclass(each, errors.MigKitError)]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^[ │]*(?:├──|└──)? ?(\w+)", (errors.__doc__ or "").split("::", 1)[1], re.MULTILINE)
    assert sorted(set(drawn) & set(errors.__all__)) == sorted(errors.__all__)
    assert sorted(each.__name__ for each in classes()) == sorted(errors.__all__)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UsageError, ValueError),
        (errors.ProjectNotFound, FileNotFoundError),
        (errors.AppNotFound, LookupError),
        (errors.MigrationNotFound, LookupError),
        (errors.WorkerTimeout, TimeoutError),
        (errors.ServerUnreachable, ConnectionError),
        (errors.DatabaseNotFound, LookupError),
    ],
)
def test_an_error_is_the_builtin_that_it_resembles(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


@pytest.mark.parametrize("kind", classes())
def test_each_says_what_it_is(kind: type[errors.MigKitError]) -> None:
    assert kind.__doc__


def test_the_hint_is_the_next_step() -> None:
    error = errors.UsageError("That is wrong.", hint="do this")
    assert (error.message, error.hint, str(error)) == ("That is wrong.", "do this", "That is wrong.\nNext: do this")
    assert str(errors.UsageError("That is wrong.")) == "That is wrong."


@pytest.mark.parametrize("kind", [errors.ProjectNotFound, errors.ServerUnreachable, errors.WorkerTimeout])
def test_an_os_error_says_the_same_words(kind: type[errors.MigKitError]) -> None:
    """OSError makes its own text of its arguments."""
    assert str(kind("No such thing.", hint="look again")) == "No such thing.\nNext: look again"


def test_nearest_names_are_offered() -> None:
    assert str(errors.AppNotFound("blgo", nearest=["blog", "log"])) == (
        "No installed app has the label 'blgo'.\nNext: did you mean 'blog' or 'log'?"
    )
    assert str(errors.AppNotFound("x")) == (
        "No installed app has the label 'x'.\nNext: choose an app label that mig-kit status lists"
    )
    assert errors.MigrationNotFound("blog", "00", nearest=["0001"], ambiguous=True).message == (
        "More than one migration of 'blog' begins with '00'."
    )


def test_data_is_kept_as_attributes() -> None:
    failed = errors.ApplyFailed("x", applied=["a.1"], failed="a.2", not_applied=["a.3"], traceback="t")
    assert (failed.applied, failed.failed, failed.not_applied, failed.traceback) == (("a.1",), "a.2", ("a.3",), "t")
    assert errors.GateClosed("x", gate="same plan").gate == "same plan"
    assert errors.AmbiguousProject("x", candidates=["a", "b"]).candidates == ("a", "b")
    assert errors.UnansweredQuestions("x", questions=[1]).questions == (1,)
    assert errors.OperationFailed("x", kind="DataError").kind == "DataError"
    assert errors.NotebookError("x", executed="y").executed == "y"
