INSERT INTO blog_comment (id, post_id, name, email, body, approved, created_at)
SELECT
    i,
    1 + (i * 7919) %% %(posts)s,
    pg_temp.first_name(i) || ' ' || pg_temp.last_name(i),
    pg_temp.email(1 + i %% 40000),
    pg_temp.pick(i, ARRAY[
        'Thank you, this saved my week.', 'I ran into the same thing last month.',
        'Does this still hold with the newest release?', 'There is a typo in the second paragraph.',
        'We do it the other way round and it works well.', 'Could you say more about the last point?',
        'I disagree, but I enjoyed reading it.'])
        || ' ' || pg_temp.pick(i * 3 + i / 7, ARRAY[
        'Looking forward to the next part.', 'Greetings from Lisbon.', 'I have sent it to my whole team.',
        'The diagram helped a lot.', 'Keep writing!']),
    i %% 9 > 0,
    timestamptz '2026-10-31 20:00+00' - (%(comments)s - i) * interval '11 minutes'
FROM generate_series(1, %(comments)s::bigint) AS i;
