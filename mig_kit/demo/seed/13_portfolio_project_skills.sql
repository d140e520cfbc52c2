INSERT INTO portfolio_project_skills (project_id, skill_id)
SELECT i, 1 + (i * 5 + k * 7) %% 24
FROM generate_series(1, %(projects)s::bigint) AS i, generate_series(1, 2 + i %% 4) AS k
ORDER BY i, k;
