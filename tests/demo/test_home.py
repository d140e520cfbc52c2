"""A demo's marker: no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.demo.home import Marker, is_demo, read_marker, refuse_foreign, remove_marker, write_marker
from mig_kit.errors import UsageError

READY = Marker("ready", "/usr/bin/python3", {"blog_post": 5})


def test_a_marker_reads_as_it_was_written(tmp_path: Path) -> None:
    assert read_marker(tmp_path) is None
    assert not is_demo(tmp_path)
    write_marker(tmp_path, READY)
    assert is_demo(tmp_path)
    assert read_marker(tmp_path) == READY


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "ready", "python": "", "rows": {}, "format": 99}'])
def test_a_marker_of_another_version_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".mig" / "demo.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_marker(tmp_path)
    assert refused.value.message == f"{path} was not written by this version of mig_kit."


def test_what_a_killed_run_leaves_before_its_marker_does_not_count_as_content(tmp_path: Path) -> None:
    (tmp_path / ".mig").mkdir()
    (tmp_path / ".mig" / "demo.lock").touch()
    (tmp_path / ".mig" / "demo.json.partial").touch()
    refuse_foreign(tmp_path)
    (tmp_path / ".mig" / "other").touch()
    with pytest.raises(UsageError, match="other is in it"):
        refuse_foreign(tmp_path)


def test_the_marker_stays_where_something_else_does(tmp_path: Path) -> None:
    write_marker(tmp_path, READY)
    (tmp_path / ".tmp").mkdir()
    remove_marker(tmp_path)
    assert is_demo(tmp_path)
    (tmp_path / ".tmp").rmdir()
    remove_marker(tmp_path)
    assert list(tmp_path.iterdir()) == []
