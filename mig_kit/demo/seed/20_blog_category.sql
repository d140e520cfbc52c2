INSERT INTO blog_category (id, name, slug, position)
SELECT i, name, lower(replace(name, ' ', '-')), i
FROM unnest(ARRAY[
    'Behind the scenes', 'Case studies', 'Code', 'Databases', 'Design', 'Accessibility', 'Team', 'News'
]) WITH ORDINALITY AS category (name, i);
