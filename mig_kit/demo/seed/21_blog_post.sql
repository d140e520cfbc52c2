INSERT INTO blog_post (
    id, category_id, title, slug, excerpt, body, status, reading_minutes, published_at, created_at, updated_at
)
SELECT
    i,
    1 + i %% 8,
    title,
    trim(BOTH '-' FROM lower(regexp_replace(title, '[^A-Za-z0-9]+', '-', 'g'))) || '-' || i,
    left(body, 140),
    body,
    CASE WHEN i %% 12 = 0 THEN 'draft' ELSE 'published' END,
    greatest(1, round(cardinality(string_to_array(body, ' ')) / 220.0)),
    CASE WHEN i %% 12 > 0 THEN written + interval '2 days' END,
    written,
    written + interval '3 days'
FROM (
    SELECT
        i,
        timestamptz '2026-10-25 10:00+00' - (%(posts)s - i) * interval '9 hours' AS written,
        pg_temp.pick(i * 3, ARRAY[
            'What we learned from', 'Five notes on', 'A short history of', 'Please stop worrying about',
            'Getting started with', 'The quiet joy of', 'How we test'])
            || ' ' || pg_temp.pick(i * 5 + i / 7, ARRAY[
            'database indexes', 'slow pages', 'form labels', 'our first relaunch', 'dark mode', 'zero downtime',
            'pair programming', 'print stylesheets', 'colour contrast', 'naming things', 'small releases',
            'reading logs']) AS title,
        (
            SELECT string_agg(pg_temp.pick(i * 5 + k * 7, ARRAY[
                'We began with a question that nobody in the room could answer.',
                'The first version was wrong in an interesting way.',
                'Measure before you change anything, and measure again afterwards.',
                'A reader wrote to us about this, and she was right.',
                'It took an afternoon to build and a week to take away again.',
                'The tests were green; the page was still empty.',
                'Most of the time went into a single query.',
                'There is a simpler way, and it had been in the manual all along.',
                'We drew it on paper, threw the paper away, and drew it once more.',
                'Small steps kept us honest: each one could be undone before lunch.',
                'What surprised us was how few people had noticed.',
                'If you take away one thing, take this: write it down.',
                'The numbers below come from the first month in production.']), ' ' ORDER BY k)
            FROM generate_series(1, 20 + i * 7 %% 60) AS k
        ) AS body
    FROM generate_series(1, %(posts)s::bigint) AS i
) AS post;
