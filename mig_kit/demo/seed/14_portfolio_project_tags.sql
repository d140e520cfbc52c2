INSERT INTO portfolio_project_tags (project_id, tag_id)
SELECT i, 1 + (i * 3 + k * 11) %% 20
FROM generate_series(1, %(projects)s::bigint) AS i, generate_series(1, 1 + i %% 3) AS k
ORDER BY i, k;
