"""The queries of the catalog look-up; ``names`` and ``oids`` are their parameters."""

from __future__ import annotations

__all__ = ["COLUMNS", "CONSTRAINTS", "DEPENDENTS", "FUNCTIONS", "INDEXES", "RELATIONS", "SESSION", "TYPES"]

# The tables named, those of the indexes named, what has a foreign key to or from them, and what is below all those.
RELATIONS = """
    WITH RECURSIVE wanted AS (
        SELECT c.oid, c.relkind, i.indrelid
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE n.nspname || '.' || c.relname = ANY (%(names)s)
           OR c.relname = ANY (%(names)s) AND pg_table_is_visible(c.oid)
    ), named AS (
        SELECT coalesce(indrelid, oid) AS oid FROM wanted WHERE relkind <> 'S'
        UNION
        SELECT d.refobjid FROM wanted w JOIN pg_depend d ON d.objid = w.oid AND d.classid = 'pg_class'::regclass
        WHERE w.relkind = 'S' AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    ), near AS (
        SELECT oid FROM named
        UNION SELECT f.confrelid FROM pg_constraint f JOIN named ON named.oid = f.conrelid WHERE f.contype = 'f'
        UNION SELECT f.conrelid FROM pg_constraint f JOIN named ON named.oid = f.confrelid WHERE f.contype = 'f'
    ), every AS (
        SELECT oid FROM near
        UNION SELECT h.inhrelid FROM pg_inherits h JOIN every ON every.oid = h.inhparent
    ), below AS (
        SELECT oid, oid AS top FROM every
        UNION SELECT h.inhrelid, below.top FROM pg_inherits h JOIN below ON below.oid = h.inhparent
    ), sizes AS (
        SELECT top, sum(pg_total_relation_size(oid))::bigint AS size_bytes, array_agg(oid) AS oids
        FROM below GROUP BY top
    )
    SELECT c.oid::bigint, n.nspname AS schema, c.relname AS name,
           CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END AS label,
           c.relkind AS kind, coalesce(s.size_bytes, 0) AS size_bytes, array_remove(s.oids, c.oid)::bigint[] AS below,
           CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(p.reltuples, 0))::bigint FROM pg_class p
                                           WHERE p.oid = ANY (s.oids) AND p.relkind = 'r' AND p.reltuples >= 0)
                WHEN c.relkind = 'r' AND pg_relation_size(c.oid) = 0 THEN 0
                WHEN c.reltuples <= 0 THEN NULL
                ELSE c.reltuples::bigint END AS row_estimate
    FROM every e
    JOIN pg_class c ON c.oid = e.oid JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN sizes s ON s.top = c.oid
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f')
    ORDER BY c.oid
"""

COLUMNS = """
    SELECT a.attrelid::bigint AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS default,
           CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END AS generated,
           a.attidentity <> '' AS identity, CASE WHEN a.attcollation <> t.typcollation THEN l.collname END AS collation
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum
"""

# pg_depend knows the columns inside expressions and predicates, which indkey does not.
INDEXES = """
    SELECT i.indrelid::bigint AS table, c.relname AS name, i.indisunique AS unique, i.indisprimary AS primary,
           i.indexprs IS NOT NULL AS expression, i.indpred IS NOT NULL AS partial,
           i.indisvalid AND i.indisready AS valid, k.conname AS constraint,
           pg_relation_size(c.oid) AS size_bytes, pg_get_indexdef(c.oid) AS definition,
           ARRAY(SELECT attname::text FROM pg_attribute
                 WHERE attrelid = i.indrelid AND attnum > 0 AND NOT attisdropped AND (attnum = ANY (i.indkey)
                       OR attnum IN (SELECT refobjsubid FROM pg_depend
                                     WHERE classid = 'pg_class'::regclass AND objid = c.oid
                                       AND refclassid = 'pg_class'::regclass AND refobjid = i.indrelid)
                       OR attnum IN (SELECT unnest(conkey) FROM pg_constraint WHERE oid = k.oid))
                 ORDER BY attnum) AS columns,
           ARRAY(SELECT a.attname::text
                 FROM unnest(i.indkey::int[]) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = i.indrelid AND a.attnum = x.n
                 WHERE x.at <= i.indnkeyatts ORDER BY x.at) AS keys
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = ANY (%(oids)s::oid[])
    ORDER BY c.relname
"""

CONSTRAINTS = """
    SELECT k.conrelid::bigint AS table, k.confrelid::bigint AS parent, k.conname AS name, k.contype AS kind,
           CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE cn.nspname || '.' || c.relname END AS table_label,
           CASE WHEN pg_table_is_visible(p.oid) THEN p.relname ELSE pn.nspname || '.' || p.relname END AS parent_label,
           k.convalidated AS valid, pg_get_constraintdef(k.oid) AS definition,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.at) AS columns,
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY x.at) AS parent_columns
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE k.contype IN ('c', 'n', 'f')
      AND (k.conrelid = ANY (%(oids)s::oid[]) OR k.confrelid = ANY (%(oids)s::oid[]))
    ORDER BY k.conname
"""

# A view's rule, a generated column's expression, a trigger and a policy depend on columns; a sequence belongs to one.
DEPENDENTS = """
    SELECT d.refobjid::bigint AS table, CASE d.classid WHEN 'pg_rewrite'::regclass THEN 'view'
               WHEN 'pg_attrdef'::regclass THEN 'generated column' WHEN 'pg_trigger'::regclass THEN 'trigger'
               WHEN 'pg_policy'::regclass THEN 'policy' ELSE 'sequence' END AS kind,
           coalesce(CASE WHEN pg_table_is_visible(v.oid) THEN v.relname ELSE vn.nspname || '.' || v.relname END,
                    g.attname, t.tgname, p.polname) AS name,
           array_agg(DISTINCT a.attname::text) AS columns
    FROM pg_depend d
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.ev_class <> d.refobjid
    LEFT JOIN pg_class s ON d.classid = 'pg_class'::regclass AND s.oid = d.objid AND s.relkind = 'S'
    LEFT JOIN pg_class v ON v.oid = coalesce(r.ev_class, s.oid)
    LEFT JOIN pg_namespace vn ON vn.oid = v.relnamespace
    LEFT JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
    LEFT JOIN pg_attribute g ON g.attrelid = e.adrelid AND g.attnum = e.adnum AND g.attgenerated <> ''
              AND g.attnum <> d.refobjsubid
    LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND NOT t.tgisinternal
    LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s::oid[]) AND d.refobjsubid > 0
      AND coalesce(v.oid, g.attrelid, t.oid, p.oid) IS NOT NULL
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

TYPES = """
    SELECT t.typname AS name, t.typtype = 'd' AS domain, bool_or(
               t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid)) AS constrained
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
      AND t.typelem = 0
    GROUP BY 1, 2
"""

# Of several functions of one name, one that is volatile counts.
FUNCTIONS = "SELECT proname AS name, bool_or(provolatile = 'v') AS volatile FROM pg_proc GROUP BY 1"

SESSION = "SELECT current_setting('timezone') AS timezone"
