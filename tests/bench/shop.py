"""A database of a chosen size for the bench: tables of several shapes, text that compresses as text does, indexes."""

from __future__ import annotations

from mig_kit.postgres import ConnectionInfo, connect
from tests.bench.measure import tell

__all__ = ["make_shop"]

_SCHEMA = """
    CREATE TABLE account (
        id bigint PRIMARY KEY, email varchar(254) NOT NULL UNIQUE, name varchar(150) NOT NULL, active boolean NOT NULL,
        joined timestamptz NOT NULL, settings jsonb NOT NULL);
    CREATE TABLE article (
        id bigint PRIMARY KEY, author_id bigint NOT NULL, slug varchar(80) NOT NULL, title varchar(200) NOT NULL,
        body text NOT NULL, published timestamptz);
    CREATE TABLE visit (
        id bigint PRIMARY KEY, account_id bigint NOT NULL, kind varchar(20) NOT NULL, at timestamptz NOT NULL,
        address inet NOT NULL, path varchar(200) NOT NULL, seconds numeric(8, 3) NOT NULL);
    CREATE TABLE line (
        id bigint PRIMARY KEY, account_id bigint NOT NULL, sku uuid NOT NULL, quantity integer NOT NULL,
        price numeric(10, 2) NOT NULL, note text);
    CREATE TABLE tag (id integer PRIMARY KEY, name varchar(50) NOT NULL);
    CREATE TABLE django_migrations (id bigint PRIMARY KEY, app text, name text, applied timestamptz DEFAULT now());
    INSERT INTO tag SELECT n, 'tag ' || n FROM generate_series(1, 500) n;
"""
# Rows a megabyte of database, indexes included; the shares add up to 1.
_FILL = (
    (
        3700,
        """
        INSERT INTO account SELECT n, 'user' || n || '@example.org', initcap(w[1 + n % 61]) || ' ' ||
            initcap(w[1 + n % 53]), n % 17 > 0, now() - random() * interval '900 days',
            jsonb_build_object('theme', w[1 + n % 7], 'page', n % 50, 'seen', md5(n::text))
        FROM generate_series(1, {rows}) n, words
        """,
        0.12,
    ),
    (
        430,
        """
        INSERT INTO article SELECT n, 1 + n % {accounts}, 'article-' || n, initcap(w[1 + n % 61]) || ' ' || n,
            (SELECT string_agg(w[1 + floor(random() * 64)::int], CASE WHEN i % 12 = 0 THEN '. ' ELSE ' ' END)
             FROM generate_series(1, 150 + n % 500) i),
            now() - random() * interval '900 days'
        FROM generate_series(1, {rows}) n, words
        """,
        0.30,
    ),
    (
        6700,
        """
        INSERT INTO visit SELECT n, 1 + floor(random() * {accounts})::int, w[1 + n % 5],
            now() - random() * interval '900 days', '10.0.0.0'::inet + floor(random() * 65000)::int,
            '/' || w[1 + n % 31] || '/' || w[1 + n % 61] || '/' || n % 999, random() * 900
        FROM generate_series(1, {rows}) n, words
        """,
        0.38,
    ),
    (
        8900,
        """
        INSERT INTO line SELECT n, 1 + floor(random() * {accounts})::int, md5(n::text)::uuid, 1 + n % 9,
            random() * 1000, CASE WHEN n % 4 = 0 THEN w[1 + n % 61] || ' ' || w[1 + n % 13] END
        FROM generate_series(1, {rows}) n, words
        """,
        0.20,
    ),
)
_WORDS = """
    CREATE TEMPORARY TABLE words AS SELECT string_to_array(
        'the of and to in is that for it as was with be by on not he his but at are this have from or had an they '
        'which one you were all her she there would their we him been has when who will no more if out so up said what '
        'its about than into them can only other time new some could these two may first then do any like my now',
        ' ') AS w;
    SELECT setseed(0.5);
"""
_INDEXES = """
    ALTER TABLE article ADD CONSTRAINT article_author FOREIGN KEY (author_id) REFERENCES account;
    ALTER TABLE visit ADD CONSTRAINT visit_account FOREIGN KEY (account_id) REFERENCES account;
    ALTER TABLE line ADD CONSTRAINT line_account FOREIGN KEY (account_id) REFERENCES account;
    CREATE INDEX article_author_id ON article (author_id);
    CREATE INDEX article_slug ON article (slug varchar_pattern_ops);
    CREATE INDEX visit_account_id ON visit (account_id); CREATE INDEX visit_at ON visit (at);
    CREATE INDEX line_account_id ON line (account_id);
    ANALYZE; CHECKPOINT;
"""


def make_shop(info: ConnectionInfo, megabytes: int) -> int:
    """Fill an empty database until it is about so large, and return its size in bytes."""
    tell(f"filling a database of {megabytes} MB")
    accounts = 0
    with connect(info) as conn:
        conn.execute(_SCHEMA.encode())
        conn.execute(_WORDS.encode())
        for rows_a_megabyte, statement, share in _FILL:
            rows = max(10, int(megabytes * share * rows_a_megabyte))
            accounts = accounts or rows
            conn.execute(statement.format(rows=rows, accounts=accounts).encode())
        conn.execute(_INDEXES.encode())
        row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])
