"""A backup and its manifest: what its files are, and what they hold."""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit.postgres.catalog import AppliedMigration
from mig_kit.postgres.digest import Digest
from mig_kit.postgres.identity import DatabaseIdentity
from mig_kit.steps._backup_files import FileEntry, checksum_of, file_sizes, manifest_of, write_private_json
from mig_kit.steps._backup_verification import BackupVerification

if TYPE_CHECKING:
    import pandas

__all__ = ["Backup", "DamagedManifest", "made_by"]

_SCHEMA = 2
_SINCE_2: dict[str, Any] = {
    "identity": None,
    "encoding": "",
    "extensions": (),
    "sizes": {},
    "applied": (),
    "digests": (),
}
_NOT_SAID = ("path", "schema", "checksum", "verification")


class DamagedManifest(Exception):
    """The manifest is there, and cannot be read or was changed; the text says which, without a subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One complete backup and what its manifest says.

    ``rows``: "schema.table" → number of rows, counted in ``snapshot``, the very one that was dumped; where that is
    None, just before the project's own script ran. ``digests`` are of the snapshot too; a script's backup has none, nor
    has one of an older mig_kit (``schema`` 1). ``sizes``: "schema.table" → bytes with indexes and TOAST.
    ``identity``: which database it is of. ``applied``: its ``django_migrations``. ``size_bytes`` of all files,
    ``duration_s`` in seconds. ``checksum``: the manifest's own. ``verification``: how the last one came out.
    """

    path: Path
    database: str
    server: str
    method: str
    started: datetime
    duration_s: float
    size_bytes: int
    files: tuple[FileEntry, ...]
    rows: Mapping[str, int]
    snapshot: str | None
    server_version: str
    tool_version: str
    compression: str
    made_by: str
    warnings: tuple[str, ...] = ()
    identity: DatabaseIdentity | None = None
    encoding: str = ""
    extensions: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    applied: tuple[AppliedMigration, ...] = ()
    digests: tuple[Digest, ...] = ()
    schema: int = _SCHEMA
    checksum: str = ""
    verification: BackupVerification | None = None

    def __repr__(self) -> str:
        state = "verified" if self.verified else "not verified"
        return f"<Backup {self.path.name}: {self.size_bytes:,} bytes, {sum(self.rows.values()):,} rows, {state}>"

    @property
    def verified(self) -> bool:
        """It was restored and compared; a dump that nobody restored is not verified."""
        return self.verification is not None and self.verification.verified

    @property
    def same_snapshot(self) -> bool:
        """The rows were counted in the snapshot that was dumped."""
        return self.snapshot is not None

    @property
    def migrations(self) -> int:
        """How many migrations the database had recorded."""
        counted = sum(count for table, count in self.rows.items() if table.endswith(".django_migrations"))
        return len(self.applied) or counted

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a table: table, rows."""
        import pandas

        return pandas.DataFrame(sorted(self.rows.items()), columns=["table", "rows"])

    def written(self, path: Path) -> Backup:
        """Write the manifest to ``path``, private to the user, and return the backup with its checksum; OSError."""
        data = self._data()
        checksum = checksum_of(data)
        write_private_json(path, {**data, "checksum": checksum})
        return replace(self, schema=_SCHEMA, checksum=checksum)

    @classmethod
    def read(cls, path: Path) -> Backup | None:
        """Return the backup at ``path`` as its manifest describes it, None without one; ``DamagedManifest``."""
        try:
            data = json.loads(manifest_of(path).read_text(encoding="utf-8"))
            return cls._from(path, data)
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as exc:
            raise DamagedManifest("cannot be read") from exc

    @classmethod
    def _from(cls, path: Path, data: dict[str, Any]) -> Backup:
        schema, checksum = data["schema"], checksum_of(data)
        if schema == 1:  # it had no checksum, and said of itself whether it was verified
            data = {
                **data,
                "identity": None,
                "applied": (),
                "digests": (),
                "sizes": {},
                "extensions": (),
                "encoding": "",
            }
        elif schema != _SCHEMA:
            raise DamagedManifest(f"has the schema {schema}, of a newer mig_kit than this")
        elif data["checksum"] != checksum:
            raise DamagedManifest("was changed after it was written")
        given = {each.name: data[each.name] for each in fields(cls) if each.name not in _NOT_SAID}
        given["started"] = datetime.fromisoformat(data["started"])
        given["files"] = tuple(FileEntry(**each) for each in data["files"])
        for name in ("rows", "sizes"):
            given[name] = {str(table): int(count) for table, count in data[name].items()}
        for name in ("warnings", "extensions"):
            given[name] = tuple(data[name])
        given["identity"] = data["identity"] and DatabaseIdentity(**data["identity"])
        given["applied"] = tuple(
            AppliedMigration(**{**each, "applied": datetime.fromisoformat(each["applied"])}) for each in data["applied"]
        )
        given["digests"] = tuple(Digest.from_json(each) for each in data["digests"])
        verification = BackupVerification.read(path, checksum)
        return cls(path=path, schema=schema, checksum=checksum, verification=verification, **given)

    def _data(self) -> dict[str, Any]:
        """Return what the manifest says, as plain data."""
        data = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _NOT_SAID}
        data["started"] = self.started.isoformat()
        data["files"] = [asdict(each) for each in self.files]
        data["rows"], data["sizes"] = dict(self.rows), dict(self.sizes)
        data["warnings"], data["extensions"] = list(self.warnings), list(self.extensions)
        data["identity"] = self.identity and asdict(self.identity)
        data["applied"] = [{**asdict(each), "applied": each.applied.isoformat()} for each in self.applied]
        data["digests"] = [_plain(each) for each in self.digests]
        return {"schema": _SCHEMA, **data}

    def has_its_files(self) -> bool:
        """Say whether the files lie there in the sizes that the manifest states; their bytes are not read."""
        return {each.path: each.size for each in self.files} == file_sizes(self.path)


def made_by() -> str:
    """Return who makes a backup, as user@host."""
    user = "unknown"
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _plain(digest: Digest) -> dict[str, Any]:
    data = digest.as_json()
    data["how"] = {name: list(value) if isinstance(value, tuple) else value for name, value in data["how"].items()}
    return data


# It belongs to the step; only what is made of it on disk stands here.
Backup.__module__ = "mig_kit.steps.backup"
