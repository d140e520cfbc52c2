"""Whether a database is empty, and making it so again."""

from __future__ import annotations

from psycopg import sql

from mig_kit.postgres.connection import Connection

__all__ = ["Contents", "contents", "empty_again", "first_object"]

# What a member of an extension is came with the extension, which a fresh database may have from its template.
_OWN = "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = {}::regclass AND e.objid = {}.oid AND e.deptype = 'e')"
_RELATIONS = f"""
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind,
           format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS schema
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND {_OWN.format("'pg_class'", "c")}
"""
_ROUTINES = f"""
    SELECT CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
           format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           n.nspname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OWN.format("'pg_proc'", "p")}
"""
_TYPES = f"""
    SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
           format('%I.%I', n.nspname, t.typname), n.nspname
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('d', 'e', 'r', 'b') AND t.typelem = 0 AND {_OWN.format("'pg_type'", "t")}
"""
_OBJECTS = f"""
    SELECT kind, name FROM ({_RELATIONS} UNION ALL {_ROUTINES} UNION ALL {_TYPES}) AS found
    WHERE schema <> 'information_schema' AND schema !~ '^pg_' ORDER BY kind <> 'TABLE', name
"""
_OTHERS = """
    SELECT 'SCHEMA', quote_ident(nspname) FROM pg_namespace n WHERE nspname <> ALL(%(schemas)s)
        AND nspname <> 'information_schema' AND nspname !~ '^pg_'
    UNION ALL SELECT 'EVENT TRIGGER', quote_ident(evtname) FROM pg_event_trigger
    UNION ALL SELECT 'PUBLICATION', quote_ident(pubname) FROM pg_publication
    UNION ALL SELECT 'EXTENSION', quote_ident(extname) FROM pg_extension WHERE extname <> ALL(%(extensions)s)
    UNION ALL SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname) FROM pg_foreign_data_wrapper WHERE oid >= 16384
"""


class Contents:
    """Remember what an empty database has: its schemas and extensions."""

    def __init__(self, schemas: list[str], extensions: list[str]) -> None:
        self.schemas = schemas
        self.extensions = extensions


def first_object(conn: Connection) -> str | None:
    """Return what shows that the database is not empty, as ``table public.blog_post``; None when it is.

    Schemas and extensions do not count, nor what belongs to extensions: a fresh database may have them.
    """
    row = conn.execute(_OBJECTS + " LIMIT 1").fetchone()
    if row is not None:
        return f"{row[0].lower()} {row[1]}"
    row = conn.execute("SELECT oid FROM pg_largeobject_metadata LIMIT 1").fetchone()
    return f"large object {row[0]}" if row else None


def contents(conn: Connection) -> Contents:
    """Note what an empty database has, for ``empty_again``."""
    schemas = conn.execute("SELECT nspname FROM pg_namespace").fetchall()
    extensions = conn.execute("SELECT extname FROM pg_extension").fetchall()
    return Contents([row[0] for row in schemas], [row[0] for row in extensions])


def empty_again(conn: Connection, before: Contents) -> None:
    """Drop everything from a database that was empty, but the schemas and extensions that it had.

    For the database that a restore was stopped in: never for one that somebody else may have written to.
    """
    given = {"schemas": before.schemas, "extensions": before.extensions}
    with conn.transaction():
        for kind, name in conn.execute(_OTHERS, given).fetchall():
            conn.execute(sql.SQL(f"DROP {kind} IF EXISTS {name} CASCADE"))
        # One may go with another, so each is looked for again.
        while row := conn.execute(_OBJECTS + " LIMIT 1").fetchone():
            conn.execute(sql.SQL(f"DROP {row[0]} {row[1]} CASCADE"))
        conn.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
