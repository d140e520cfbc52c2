"""The queries that read a database's schema; each answers for every schema of the user's at once."""

from __future__ import annotations

__all__ = ["queries"]

_OURS = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
_KINDS = "c.relkind IN ('r', 'p', 'v', 'm', 'f')"

# For what an extension brought: it is as the extension's version has it.
_NO_MEMBER = """
    NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')
"""

# The start of the server beside the database's oid: a copy on another server may well have the same oid.
ORIGIN = """
    SELECT oid || '@' || extract(epoch FROM pg_postmaster_start_time())
    FROM pg_database WHERE datname = current_database()
"""

SCHEMAS = f"""
    SELECT n.nspname FROM pg_namespace n
    WHERE {_OURS} AND {_NO_MEMBER.format(catalog="pg_namespace", oid="n.oid")}
"""

EXTENSIONS = "SELECT extname FROM pg_extension"

RELATIONS = f"""
    SELECT c.oid::bigint, c.relkind, CASE WHEN pg_table_is_visible(c.oid) THEN c.relname
                                          ELSE n.nspname || '.' || c.relname END,
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
           concat_ws(', ', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' END,
               CASE WHEN c.relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(c.oid) END,
               (SELECT string_agg(CASE WHEN c.relispartition THEN 'PARTITION OF ' ELSE 'INHERITS ' END
                                  || h.inhparent::regclass, ', ' ORDER BY h.inhseqno)
                FROM pg_inherits h WHERE h.inhrelid = c.oid),
               pg_get_expr(c.relpartbound, c.oid), 'WITH (' || array_to_string(c.reloptions, ', ') || ')',
               CASE WHEN c.relrowsecurity THEN 'ROW LEVEL SECURITY' END),
           (SELECT description FROM pg_description
            WHERE classoid = 'pg_class'::regclass AND objoid = c.oid AND objsubid = 0)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_KINDS} AND {_OURS} AND {_NO_MEMBER.format(catalog="pg_class", oid="c.oid")}
"""

COLUMNS = f"""
    SELECT a.attrelid::bigint, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid),
           CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END,
           CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END,
           CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
           s.description, true
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_description s ON s.classoid = 'pg_class'::regclass AND s.objoid = c.oid AND s.objsubid = a.attnum
    WHERE {_KINDS} AND {_OURS} AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum
"""

# Only what is a table's own: a partition has its parent's. NOT NULL is a constraint with a name since 18 alone, and
# the column says it already; one that was not validated is the exception.
CONSTRAINTS = f"""
    SELECT k.conrelid::bigint, k.oid::bigint, k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated,
           CASE WHEN k.contype = 'n' THEN k.conkey[1] END
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE {_OURS} AND k.conrelid <> 0 AND k.conparentid = 0 AND (k.conislocal OR k.contype = 'n')
      AND (k.contype IN ('c', 'f', 'p', 'u', 'x') OR k.contype = 'n' AND NOT k.convalidated)
"""

# Those that no constraint stands for. The definition without names, which a renamed table or index changes; an
# attached index of a partition is its parent's.
INDEXES = f"""
    SELECT i.indrelid::bigint, i.indexrelid::bigint, c.relname,
           CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || substr(pg_get_indexdef(i.indexrelid), length(concat(
               'CREATE ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, 'INDEX ', quote_ident(c.relname), ' ON ',
               CASE WHEN c.relkind = 'I' THEN 'ONLY ' END, quote_ident(n.nspname), '.', quote_ident(t.relname), ' '
           )) + 1), i.indisvalid
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE {_OURS} AND k.oid IS NULL AND NOT c.relispartition
"""

TRIGGERS = f"""
    SELECT g.tgrelid::bigint, g.oid::bigint, g.tgname, pg_get_triggerdef(g.oid), g.tgenabled <> 'D'
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND NOT g.tgisinternal {{own}}
"""

SEQUENCES = f"""
    SELECT c.oid::bigint, CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END,
           concat_ws(' ', format_type(s.seqtypid, NULL), 'START', s.seqstart, 'INCREMENT', s.seqincrement,
               'MINVALUE', s.seqmin, 'MAXVALUE', s.seqmax, 'CACHE', s.seqcache,
               CASE WHEN s.seqcycle THEN 'CYCLE' END),
           d.refobjid::bigint, d.refobjsubid
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    WHERE {_OURS} AND {_NO_MEMBER.format(catalog="pg_class", oid="c.oid")}
"""

TYPES = f"""
    SELECT t.oid::bigint, format_type(t.oid, NULL), CASE t.typtype
               WHEN 'e' THEN 'ENUM (' || (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder)
                                          FROM pg_enum l WHERE l.enumtypid = t.oid) || ')'
               WHEN 'd' THEN concat_ws(' ', 'DOMAIN', format_type(t.typbasetype, t.typtypmod),
                   CASE WHEN t.typcollation <> b.typcollation THEN 'COLLATE ' || t.typcollation::regcollation END,
                   'DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN 'NOT NULL' END,
                   (SELECT string_agg('CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ' '
                                      ORDER BY k.conname)
                    FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
               WHEN 'r' THEN 'RANGE OF ' || (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r
                                             WHERE r.rngtypid = t.oid)
               ELSE 'COMPOSITE (' || (SELECT string_agg(quote_ident(a.attname) || ' '
                                                        || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                                      FROM pg_attribute a
                                      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || ')'
           END
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type b ON b.oid = t.typbasetype
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE {_OURS} AND (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
      AND {_NO_MEMBER.format(catalog="pg_type", oid="t.oid")}
"""

# An aggregate has no definition to be had in one piece.
FUNCTIONS = f"""
    SELECT p.oid::bigint, CASE WHEN pg_function_is_visible(p.oid) THEN '' ELSE n.nspname || '.' END
           || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
           CASE WHEN p.prokind = 'a' THEN 'AGGREGATE ' || format_type(p.prorettype, NULL)
                ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS} AND {_NO_MEMBER.format(catalog="pg_proc", oid="p.oid")}
"""


def queries(server_version: int) -> tuple[str, ...]:
    """Return the queries as this server understands them, in the order in which ``read_schema`` wants the answers."""
    own = "AND g.tgparentid = 0" if server_version >= 130000 else ""
    return (
        ORIGIN,
        SCHEMAS,
        EXTENSIONS,
        RELATIONS,
        COLUMNS,
        CONSTRAINTS,
        INDEXES,
        TRIGGERS.format(own=own),
        SEQUENCES,
        TYPES,
        FUNCTIONS,
    )
