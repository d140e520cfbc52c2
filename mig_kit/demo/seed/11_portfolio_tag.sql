INSERT INTO portfolio_tag (id, name, slug)
SELECT i, name, lower(replace(name, ' ', '-'))
FROM unnest(ARRAY[
    'Web shop', 'Web app', 'Redesign', 'Relaunch', 'Branding', 'Non-profit', 'Culture', 'Education', 'Health',
    'Travel', 'Food', 'Publishing', 'Dashboard', 'Mobile', 'Open data', 'Maps', 'Search', 'Newsletter',
    'Multilingual', 'Prototype'
]) WITH ORDINALITY AS tag (name, i);
