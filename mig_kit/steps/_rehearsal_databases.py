"""Which database each alias of the project leads to while its migrations are rehearsed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from mig_kit.errors import MigKitError
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.steps.target import Target

__all__ = ["Places", "places"]

# A second alias of the database would wait for ever for the first one's locks, in production too.
_PATIENCE = "-c lock_timeout=15s"
_IDENTITY_S = 3


@dataclass(frozen=True, slots=True)
class Places:
    """Sort the aliases: those of the target's own database, those beside it on its server, and the others.

    An alias that is not PostgreSQL, or on another server, leads nowhere in a rehearsal.
    """

    same: tuple[str, ...]
    beside: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what that means for the project's code, a sentence each."""
        found = []
        if self.beside:
            found.append(f"Databases beside the one that is rehearsed are empty: {', '.join(self.beside)}.")
        if self.others:
            found.append(f"Databases elsewhere cannot be reached: {', '.join(self.others)}.")
        return tuple(found)

    def isolation(self, target: Target, copy: ConnectionInfo, empty: Callable[[], ConnectionInfo]) -> Mapping[str, Any]:
        """Return what keeps a worker to the copy; ``empty`` makes a database for each alias that is beside."""
        aliases: dict[str, str | None] = dict.fromkeys(self.others)
        aliases.update({alias: empty().dbname for alias in self.beside})
        aliases.update(dict.fromkeys(self.same, copy.dbname))
        aliases["default"] = copy.dbname
        server = {key: value for key, value in copy.params().items() if key not in ("dbname", "client_encoding")}
        return {
            "server": server,
            "databases": sorted({name for name in aliases.values() if name is not None}),
            "aliases": aliases,
            "session": {alias: _PATIENCE for alias in self.same if alias not in (target.database, "default")},
        }


def places(target: Target) -> Places:
    """Find out where each alias leads, by its address and, where that differs, by asking the server which it is.

    Read-only. A server that does not answer counts as another one.
    """
    found = target.worker.call("describe")["databases"]
    own = target.need_postgres("rehearse")
    identity = _identity(own)
    same: list[str] = [target.database]
    beside: list[str] = []
    others: list[str] = []
    for alias, values in found.items():
        if alias == target.database:
            continue
        info = None
        with contextlib.suppress(MigKitError):  # what nobody can connect to leads nowhere
            info = ConnectionInfo.from_django(values)
        if info is None or values["vendor"] != "postgresql":
            others.append(alias)
        elif _server(info) == _server(own):
            (same if info.dbname == own.dbname else beside).append(alias)
        elif identity is None or (other := _identity(info)) is None or other.system != identity.system:
            others.append(alias)
        else:
            (same if other.is_same(identity) else beside).append(alias)
    return Places(tuple(same), tuple(beside), tuple(others))


def _server(info: ConnectionInfo) -> tuple[str, str, str]:
    host = info.host or "localhost"
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    return host, str(info.port or info.options.get("port") or 5432), info.options.get("service", "")


def _identity(info: ConnectionInfo) -> DatabaseIdentity | None:
    """Return the identity, None where nobody answers or its server does not say."""
    quick = replace(info, options={**info.options, "connect_timeout": str(_IDENTITY_S)})
    with contextlib.suppress(MigKitError, psycopg.Error):
        with contextlib.closing(connect(quick, connect_timeout=_IDENTITY_S)) as conn:
            found = identify(conn)
        return found if found.system else None
    return None
