INSERT INTO contact_message (id, name, email, subject, body, source, answered_at, created_at)
SELECT
    i,
    pg_temp.first_name(i) || ' ' || pg_temp.last_name(i),
    pg_temp.email(1 + i * 7 %% 90000),
    pg_temp.pick(i, ARRAY[
        'A new website for ', 'Question about your work for ', 'Invitation from ', 'Quote for ',
        'Internship, recommended by ', 'Bug report from ', 'Thanks from ']) || pg_temp.company(i * 2),
    pg_temp.pick(i * 3, ARRAY[
        'Hello! We saw your portfolio and would like to talk about a project of our own.',
        'Good morning, a friend of ours worked with you last year and was delighted.',
        'Hi, I am writing on behalf of our whole team.',
        'Dear all, the page with your case studies does not open on my phone.'])
        || ' ' || pg_temp.pick(i * 3 + i / 4, ARRAY[
        'We are a small company with about twenty people, and our site is ten years old.',
        'Our budget is modest, but the deadline is friendly.',
        'Could you tell us what a first workshop would cost?',
        'It would be lovely to hear from you this week.',
        'I have attached nothing, on purpose: let us talk first.'])
        || ' ' || pg_temp.pick(i * 7 + i / 20, ARRAY['Kind regards', 'Best wishes', 'All the best', 'Thank you in advance']),
    CASE WHEN i %% 6 = 0 THEN 'email' ELSE 'form' END,
    CASE WHEN i %% 10 > 2 THEN written + (1 + i %% 70) * interval '1 hour' END,
    written
FROM (
    SELECT i, timestamptz '2026-10-28 21:00+00' - (%(messages)s - i) * interval '7 minutes' AS written
    FROM generate_series(1, %(messages)s::bigint) AS i
) AS message;
