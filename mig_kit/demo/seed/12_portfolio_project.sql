INSERT INTO portfolio_project (
    id, title, slug, summary, description, client, link, repository_url, status, featured, started_on,
    created_at, updated_at
)
SELECT
    i,
    kind || ' for ' || client,
    trim(BOTH '-' FROM lower(regexp_replace(kind || '-' || client, '[^A-Za-z]+', '-', 'g'))) || '-' || i,
    kind || ' for ' || client || ', from the first conversation to the first thousand visitors.',
    client || ' came to us with a site that had grown for ' || 3 + i %% 9 || ' years. '
        || 'We talked to the people who use it, drew the new structure on paper, and built it in small steps. '
        || 'It went live without a night shift, and pages now open in under a second.',
    client,
    CASE WHEN i %% 5 > 0 THEN 'https://project-' || i || '.example.com/' ELSE '' END,
    CASE WHEN i %% 3 = 0 THEN 'https://git.example.com/portfolio/project-' || i ELSE '' END,
    pg_temp.pick(i * 3, ARRAY['published', 'published', 'published', 'draft', 'archived']),
    i %% 40 = 0,
    date '2026-10-01' - (%(projects)s - i)::int,
    timestamptz '2026-10-31 18:00+00' - (%(projects)s - i) * interval '1 day',
    timestamptz '2026-10-31 18:00+00' - (%(projects)s - i) * interval '20 hours'
FROM (
    SELECT
        i,
        pg_temp.company(i) AS client,
        pg_temp.pick(i * 7, ARRAY[
            'Web shop', 'Booking system', 'New identity', 'Members area', 'Annual report', 'Events calendar',
            'Photo archive', 'Intranet', 'Campaign site', 'Course platform']) AS kind
    FROM generate_series(1, %(projects)s::bigint) AS i
) AS project;
