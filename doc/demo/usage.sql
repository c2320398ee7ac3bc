-- Deterministic: a row's account, meter, time and quantity are hashes of its number.
\set QUIET on
\o /dev/null
SET client_min_messages = warning;
CALL billing.maintain_partitions('[2026-09-01,2026-12-01)');
BEGIN;
SELECT billing.open_usage_batch();
INSERT INTO usage_batch (id, account, meter, starts_at, ends_at, quantity, dimensions)
SELECT 'demo-' || n, format('customer-%s', to_char(1 + a, 'FM0000')), m.meter, CASE WHEN m.meter = 'storage' THEN t.at - interval '1 hour' END, t.at, m.quantity, m.dimensions
  FROM generate_series(1, :rows) AS n
 CROSS JOIN LATERAL (SELECT abs(hashint8extended(n, 1)) % 1000 AS a, abs(hashint8extended(n, 2)) AS h2, abs(hashint8extended(n, 3)) AS h3) AS x
 CROSS JOIN LATERAL (SELECT timestamptz '2026-10-01 12:00:00+00' + interval '1 second' * (h2 % (30 * 86400 - 43200)) AS at) AS t
 CROSS JOIN LATERAL (SELECT CASE WHEN a >= 600 THEN CASE h3 % 2 WHEN 0 THEN 'tokens_in' ELSE 'tokens_out' END
                                 ELSE CASE h3 % 10 WHEN 0 THEN 'gpu' WHEN 1 THEN 'storage' WHEN 2 THEN 'storage' ELSE 'api_calls' END END AS meter,
                            CASE WHEN a >= 600 THEN (h3 / 7 % 4000)::text
                                 ELSE CASE h3 % 10 WHEN 0 THEN ((h3 / 7 % 400) / 100.0)::text WHEN 1 THEN (h3 / 7 % 5000)::text WHEN 2 THEN (h3 / 7 % 5000)::text ELSE (1 + h3 / 7 % 300)::text END END AS quantity,
                            CASE WHEN a < 600 AND h3 % 10 = 0 THEN CASE h3 / 11 % 3 WHEN 0 THEN jsonb '{"model": "l4"}' WHEN 1 THEN jsonb '{"model": "a100"}' ELSE jsonb '{"model": "h100"}' END END AS dimensions) AS m;
\o
\unset QUIET
SELECT * FROM billing.load_usage_batch();
COMMIT;
\set QUIET on
VACUUM (ANALYZE) billing.usage;
ANALYZE billing.usage_key;
\unset QUIET
SELECT pg_size_pretty(sum(pg_total_relation_size(c.oid))) AS "usage with keys and indexes" FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^usage(_key)?_\d';
