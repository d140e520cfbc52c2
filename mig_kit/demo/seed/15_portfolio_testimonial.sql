INSERT INTO portfolio_testimonial (id, project_id, author, role, quote, rating, published, created_at)
SELECT
    i,
    1 + (i * 7919) %% %(projects)s,
    pg_temp.first_name(i) || ' ' || pg_temp.last_name(i),
    pg_temp.pick(i, ARRAY['Director', 'Head of marketing', 'Owner', 'Editor', 'Product manager', 'Curator']),
    pg_temp.pick(i, ARRAY[
        'They listened first and built second.',
        'On time, on budget, and a pleasure to work with.',
        'Our visitors noticed the difference on the first day.',
        'We finally understand our own website.',
        'The handover was so good that we have not needed to call since.'])
        || ' ' || pg_temp.pick(i * 3 + i / 5, ARRAY[
        'We would do it again.', 'Thank you!', 'The next project is in the drawer already.',
        'Recommended without hesitation.']),
    5 - (i * 13 %% 10) / 4,
    i %% 4 > 0,
    timestamptz '2026-10-30 09:00+00' - (%(testimonials)s - i) * interval '11 hours'
FROM generate_series(1, %(testimonials)s::bigint) AS i;
