INSERT INTO portfolio_skill (id, name, category, level)
SELECT i, name, category, 2 + i %% 4
FROM unnest(
    ARRAY['Python', 'Django', 'PostgreSQL', 'REST APIs', 'Celery', 'Redis', 'GraphQL', 'TypeScript', 'React',
          'Vue', 'Svelte', 'CSS', 'Accessibility', 'Docker', 'Ansible', 'Linux', 'GitHub Actions', 'Grafana',
          'Figma', 'Typography', 'Illustration', 'Photography', 'Copywriting', 'Workshops'],
    ARRAY['Backend', 'Backend', 'Backend', 'Backend', 'Backend', 'Backend', 'Backend', 'Frontend', 'Frontend',
          'Frontend', 'Frontend', 'Frontend', 'Frontend', 'Operations', 'Operations', 'Operations', 'Operations',
          'Operations', 'Design', 'Design', 'Design', 'Design', 'Words', 'Words']
) WITH ORDINALITY AS skill (name, category, i);
