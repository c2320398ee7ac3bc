-- time_weighted_sum: the integral of a level over a window.
SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';
\set VERBOSITY terse
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN sqlstate || ': ' || message || CASE WHEN hint <> '' THEN '  HINT: ' || hint ELSE '' END;
END $$;

CREATE TABLE gauge (label text, level numeric, at timestamptz, recorded bigint);
INSERT INTO gauge VALUES
    ('changes inside', 2, '2026-10-01 06:00', 1), ('changes inside', 5, '2026-10-01 12:00', 2), ('changes inside', 0, '2026-10-01 18:00', 3),
    ('carried in', 3, '2026-09-01', 1), ('carried in', 4, '2026-09-30 23:59', 2), ('carried in', 1, '2026-10-01 12:00', 3),
    ('sample at the start', 9, '2026-09-30', 1), ('sample at the start', 1, '2026-10-01', 2),
    ('sample at the end', 1, '2026-10-01', 1), ('sample at the end', 100, '2026-10-02', 2), ('sample at the end', 100, '2026-10-05', 3),
    ('only after', 7, '2026-10-02', 1),
    ('ties', 8, '2026-10-01', 1), ('ties', 6, '2026-10-01', 3), ('ties', 7, '2026-10-01', 2),
    ('ties inside', 4, '2026-10-01 12:00', 2), ('ties inside', 9, '2026-10-01 12:00', 1),
    ('exact', 0.000000000000001, '2026-10-01 23:59:59.999999', 1),
    ('negative', -1.5, '2026-10-01', 1),
    ('nulls', NULL, '2026-10-01', 1), ('nulls', 5, NULL, 2), ('nulls', 1, '2026-10-01 12:00', NULL),
    ('only nulls', NULL, NULL, NULL),
    ('great', 100000000000000000000000, '2026-10-01', 1), ('great', -100000000000000000000000, '2026-10-01 08:00', 1), ('great', 0.5, '2026-10-01 16:00', 1);
SELECT label, time_weighted_sum(level, at, '2026-10-01', '2026-10-02') AS highest_of_ties, time_weighted_sum(level, at, recorded, '2026-10-01', '2026-10-02') AS last_of_ties,
       time_weighted_sum(level, at, '2026-10-01', '2026-10-01') AS empty_window
FROM gauge GROUP BY label ORDER BY label;
SELECT time_weighted_sum(level, at, '2026-10-01', '2026-10-02') FROM gauge WHERE false;
-- The average of the window is for the caller to divide.
SELECT time_weighted_sum(level, at, '2026-10-01', '2026-10-02') / 86400 AS average FROM gauge WHERE label = 'changes inside';
-- The samples of a meter of levels: from the end of each usage on, the level is its quantity.
SELECT time_weighted_sum(quantity(value), ends_at(value), '2026-10-01', '2026-10-02')
FROM (VALUES (usage_interval '2026-09-30 2'), ('2026-10-01 12:00 3')) AS v(value);

-- Levels whose product with time leaves 128 bits, among small ones, and a window of all time.
SELECT time_weighted_sum(level, at, '2026-10-01', '2026-10-02')
FROM (VALUES (100000000000000000000, timestamptz '2026-10-01'), (-100000000000000000000, '2026-10-01 12:00'), (0.000001, '2026-10-01 23:59:59')) AS g(level, at);
SELECT time_weighted_sum(level, at, '4713-01-01 BC', '294276-12-31') = (extract(epoch FROM timestamptz '294276-12-31') - extract(epoch FROM timestamptz '4713-01-01 BC')) * 4611 AS exact
FROM (VALUES (4611, timestamptz '4713-01-01 BC')) AS g(level, at);

-- Refused.
SELECT pg_temp.refusal($$SELECT time_weighted_sum(level, at, '2026-10-02', '2026-10-01') FROM gauge$$);
SELECT pg_temp.refusal($$SELECT time_weighted_sum(level, at, '-infinity', '2026-10-01') FROM gauge$$);
SELECT pg_temp.refusal($$SELECT time_weighted_sum(level, at, '2026-10-01', 'infinity') FROM gauge$$);
SELECT pg_temp.refusal($$SELECT time_weighted_sum(level, at, least(at, '2026-10-01'), '2026-10-02') FROM gauge$$);
SELECT pg_temp.refusal($$SELECT time_weighted_sum('NaN', at, '2026-10-01', '2026-10-02') FROM gauge$$);

-- As a window function over a growing frame.
SELECT at, time_weighted_sum(level, at, '2026-10-01', '2026-10-02') OVER (ORDER BY at) FROM gauge WHERE label = 'changes inside';

-- Property: random samples agree with an integral in plain SQL, whatever their order, serially and in parallel.
SELECT setseed(0.8);
CREATE TABLE sample AS
SELECT number % 50 AS account, number AS recorded, round(((random() - 0.3) * 100)::numeric, (random() * 6)::integer) AS level,
       timestamptz '2026-09-20' + (random() * 4000)::integer * interval '10 minutes' AS at
FROM generate_series(1, 20000) AS number;
ANALYZE sample;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serial AS
SELECT account, time_weighted_sum(level, at, recorded, '2026-10-01', '2026-10-11') AS sum, time_weighted_sum(level, at, '2026-10-01', '2026-10-11') AS sum_of_highest
FROM sample GROUP BY account;
SELECT count(*) AS groups, count(*) FILTER (WHERE sum <> expected) AS wrong
FROM serial
JOIN (SELECT account, sum(level * greatest(extract(epoch FROM least(until, '2026-10-11')) - extract(epoch FROM greatest(at, '2026-10-01')), 0)) AS expected
      FROM (SELECT account, level, at, lead(at, 1, 'infinity') OVER (PARTITION BY account ORDER BY at) AS until
            FROM (SELECT DISTINCT ON (account, at) * FROM sample ORDER BY account, at, recorded DESC) AS s) AS s
      WHERE until > '2026-10-01' AND at < '2026-10-11' GROUP BY account) AS e USING (account);
SELECT count(*) AS differences
FROM (SELECT account, time_weighted_sum(level, at, recorded, '2026-10-01', '2026-10-11' ORDER BY at DESC) AS sum FROM sample GROUP BY account) AS o
JOIN serial AS s USING (account) WHERE o.sum <> s.sum;
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT account, time_weighted_sum(level, at, recorded, '2026-10-01', '2026-10-11') FROM sample GROUP BY account;
SELECT count(*) AS differences
FROM (SELECT account, time_weighted_sum(level, at, recorded, '2026-10-01', '2026-10-11') AS sum, time_weighted_sum(level, at, '2026-10-01', '2026-10-11') AS sum_of_highest
      FROM sample GROUP BY account EXCEPT TABLE serial) AS d;
RESET max_parallel_workers_per_gather; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET enable_sort;
DROP TABLE gauge, sample, serial;
