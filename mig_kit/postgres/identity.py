"""Which database this is, whatever address it is reached by."""

from __future__ import annotations

from dataclasses import dataclass

from mig_kit.postgres.connection import Connection

__all__ = ["DatabaseIdentity", "identify"]


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Name a database by its cluster's system identifier, its oid and its name.

    Two addresses (a host name and a socket, two service names) of one database have the same ``system`` and ``oid``.
    So have a primary and its physical standbys; a copy made by a dump has not, nor has one that was dropped and made
    again under its old name.
    """

    system: str
    oid: int
    name: str

    def is_same(self, other: DatabaseIdentity) -> bool:
        """Tell whether both are one database, also when it was renamed; False where a ``system`` is unknown."""
        return bool(self.system) and (self.system, self.oid) == (other.system, other.oid)


def identify(conn: Connection) -> DatabaseIdentity:
    """Return the identity of the database that the connection is to; ``system`` is '' where that may not be read."""
    may = conn.execute("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')").fetchone()
    system = None
    if may and may[0]:
        system = conn.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    row = conn.execute("SELECT oid::bigint, datname FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return DatabaseIdentity(system[0] if system else "", row[0], row[1])
