"""Whether a pooler stands between, and of a kind that breaks what belongs to a session."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from enum import Enum

import psycopg

from mig_kit.errors import GateClosed
from mig_kit.postgres.answer import NoAnswer, answer_within
from mig_kit.postgres.connection import Connection, connect
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.refusal import first_line

__all__ = ["GATE", "Pooling", "PoolingKind", "find_pooling", "refuse_pooling"]

GATE = "a direct connection"

# With a pool of one, the second transaction waits for the first: that would take pgbouncer's two minutes.
_WAIT_S = 5
_PROBE = "mig_kit.pooling_probe"
_LOOK = f"SELECT pg_backend_pid(), current_setting('{_PROBE}', true)"


class PoolingKind(Enum):
    """What stands between a client and its server process."""

    DIRECT = "direct"
    """Nothing: one server process for this connection alone."""

    SESSION = "session"
    """A pooler that keeps one server process for as long as the connection lasts: locks and settings stay."""

    TRANSACTION = "transaction"
    """A pooler that changes the server process between transactions: session locks and settings are lost or leak."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """State what stands between, and what showed it."""

    kind: PoolingKind
    evidence: str

    def __bool__(self) -> bool:
        return self.kind is PoolingKind.TRANSACTION


def find_pooling(info: ConnectionInfo) -> Pooling:
    """Tell whether a pooler changes the server process between transactions; true when it does. Read-only.

    Two connections are made. While the second is in a transaction, the first has to keep its server process and the
    setting it made; a pool that is quiet would else give it the same process again and look direct.
    """
    with contextlib.closing(_connect(info)) as one, contextlib.closing(_connect(info)) as other:
        token = secrets.token_hex(8)
        try:
            first = _ask(one, f"SELECT pg_backend_pid(), set_config('{_PROBE}', '{token}', false)")[0]
            _ask(other, "BEGIN")
            second, seen = _ask(other, _LOOK)
            again, kept = _ask(one, _LOOK)
        except NoAnswer:
            return Pooling(PoolingKind.TRANSACTION, "one transaction had to wait for the end of the other")
        except psycopg.Error as error:
            return Pooling(PoolingKind.TRANSACTION, f"two transactions at once are refused: {first_line(error)}")
        finally:
            # What the probe set must not stay on a server process that goes to somebody else.
            for conn in (other, one):
                with contextlib.suppress(psycopg.Error, NoAnswer):
                    _ask(conn, "ROLLBACK")
                    _ask(conn, f"RESET {_PROBE}")
        told = str(one.info.backend_pid)
    if second in (first, again) or seen == token:
        return Pooling(PoolingKind.TRANSACTION, f"two connections shared the server process {second}")
    if again != first:
        why = f"the server process changed from {first} to {again} between two transactions"
        return Pooling(PoolingKind.TRANSACTION, why)
    if kept != token:
        return Pooling(PoolingKind.TRANSACTION, "a setting of the session was lost between two transactions")
    if told != first:
        return Pooling(PoolingKind.SESSION, "the server process is another than the connection was told")
    return Pooling(PoolingKind.DIRECT, f"the server process {first} stayed the same over two transactions")


def refuse_pooling(info: ConnectionInfo) -> Pooling:
    """Return what stands between, or raise ``GateClosed`` with the way round where it breaks session locks."""
    found = find_pooling(info)
    if found:
        raise GateClosed(
            f"{info.address} is a pooler in transaction mode ({found.evidence}): locks and timeouts of a session "
            "do not hold there.",
            gate=GATE,
            hint="add an alias to DATABASES with the HOST and PORT of PostgreSQL itself, and name it with "
            "database=… / --database",
        )
    return found


def _connect(info: ConnectionInfo) -> Connection:
    return connect(info, connect_timeout=_WAIT_S)


def _ask(conn: Connection, statement: str) -> tuple[str | None, ...]:
    return answer_within(conn, statement, _WAIT_S)
