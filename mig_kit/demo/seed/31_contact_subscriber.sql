INSERT INTO contact_subscriber (id, email, confirmed, created_at)
SELECT
    i,
    pg_temp.email(i * 4),
    i %% 8 > 0,
    timestamptz '2026-10-31 12:00+00' - (%(subscribers)s - i) * interval '95 minutes'
FROM generate_series(1, %(subscribers)s::bigint) AS i;
