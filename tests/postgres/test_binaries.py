"""Which programs are found: the embedded PostgreSQL 18, and copies of its directory under other names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mig_kit.errors import BinariesNotFound
from mig_kit.postgres import Binaries, binaries, embedded_binaries, find_binaries


@pytest.fixture
def embedded() -> Binaries:
    found = embedded_binaries()
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no PostgreSQL of its own, whatever this one has."""
    monkeypatch.setattr(binaries, "_PLACES", (f"{tmp_path}/pgsql-*/bin",))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("MIG_KIT_PG_BIN", raising=False)


def install(tmp_path: Path, version: str, *tools: str) -> Path:
    """Make a directory of programs that answer --version only."""
    bin_dir = tmp_path / f"pgsql-{version}" / "bin"
    bin_dir.mkdir(parents=True)
    for tool in tools or ("pg_dump", "postgres", "initdb"):
        (bin_dir / tool).write_text(f"#!/bin/sh\necho '{tool} (PostgreSQL) {version}'\n")
        (bin_dir / tool).chmod(0o755)
    return bin_dir


def test_finds_the_embedded_one_on_a_bare_machine(embedded: Binaries) -> None:
    found = find_binaries()
    assert found == embedded
    assert (found.source, found.version[0]) == ("embedded", 18)
    assert found.tool("pg_dump").is_file()


def test_prefers_the_exact_major_on_the_machine(tmp_path: Path) -> None:
    bin_dir = install(tmp_path, "15.7")
    install(tmp_path, "16.2")
    assert find_binaries(15) == Binaries(bin_dir, (15, 7), "machine")
    assert find_binaries(14).source == "embedded"


def test_takes_a_newer_one_of_the_machine_when_the_embedded_is_too_old(tmp_path: Path) -> None:
    install(tmp_path, "20.1")
    newest = install(tmp_path, "21.0")
    assert find_binaries(19) == Binaries(newest, (21, 0), "machine")


def test_passes_over_a_directory_that_lacks_a_program(tmp_path: Path) -> None:
    install(tmp_path, "15.7", "pg_dump")
    assert find_binaries(15, needs=("pg_dump", "initdb")).source == "embedded"


def test_looks_in_path_and_follows_links_but_not_debians_wrapper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_dir = install(tmp_path / "elsewhere", "15.7")
    links, wrapped = tmp_path / "links", tmp_path / "wrapped"
    links.mkdir()
    wrapped.mkdir()
    (links / "pg_dump").symlink_to(bin_dir / "pg_dump")
    (wrapped / "pg_wrapper").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.1'\n")
    (wrapped / "pg_wrapper").chmod(0o755)
    (wrapped / "pg_dump").symlink_to("pg_wrapper")
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (wrapped, links))))
    assert find_binaries(15) == Binaries(bin_dir, (15, 7), "machine")


def test_says_what_was_found_when_none_fits(embedded: Binaries, tmp_path: Path) -> None:
    bin_dir = install(tmp_path, "15.7")
    with pytest.raises(BinariesNotFound) as caught:
        find_binaries(21)
    assert caught.value.message == (
        "No pg_dump of PostgreSQL 21 or newer was found on this machine; "
        f"found: 15.7 in {bin_dir}; {embedded.version_text} in {embedded.bin_dir}."
    )
    assert caught.value.hint == "install postgresql-client-21, or name a directory in MIG_KIT_PG_BIN"


def test_a_named_directory_is_the_only_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_dir = install(tmp_path, "15.7")
    monkeypatch.setenv("MIG_KIT_PG_BIN", str(bin_dir))
    assert find_binaries() == Binaries(bin_dir, (15, 7), "named")
    with pytest.raises(BinariesNotFound, match=r"names PostgreSQL 15\.7 .*; 18 or newer is needed"):
        find_binaries(18)
    monkeypatch.setenv("MIG_KIT_PG_BIN", str(tmp_path))
    with pytest.raises(BinariesNotFound, match="named in MIG_KIT_PG_BIN has no pg_dump"):
        find_binaries()


def test_knows_that_the_embedded_pg_dump_has_neither_zstd_nor_ssl(embedded: Binaries) -> None:
    assert not embedded.supports_zstd
    assert not embedded.supports_ssl
    with pytest.raises(BinariesNotFound, match="with SSL"):
        find_binaries(ssl=True)


def test_what_zstd_compressed_is_read_by_programs_that_can_though_others_come_first(tmp_path: Path) -> None:
    """The embedded pg_restore was taken for a dump that the machine's own pg_dump had compressed with zstd."""
    with pytest.raises(BinariesNotFound, match="with zstd"):
        find_binaries(zstd=True)
    bin_dir = install(tmp_path, "17.7")
    assert find_binaries().source == "embedded"
    assert find_binaries(zstd=True).bin_dir == bin_dir


def test_names_a_program_that_is_not_there(embedded: Binaries) -> None:
    with pytest.raises(BinariesNotFound, match=r"There is no pg_nothing in .*bin\."):
        embedded.tool("pg_nothing")
