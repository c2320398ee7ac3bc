-- Aggregates of usage_interval: sum, total, min, max; in groups, in moving frames, in parallel.
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

CREATE TABLE used (account integer, value usage_interval);
INSERT INTO used VALUES
    (1, '[2026-10-01 10:00,2026-10-01 11:00) 5.25'), (1, '[2026-10-01 12:00,2026-10-01 13:00) 1'), (1, '2026-10-01 09:00 -0.25'), (1, NULL),
    (2, '2026-10-01 09:00 7'), (3, NULL);
SELECT account, sum(value), total(value), min(value), max(value), count(value) FROM used GROUP BY account ORDER BY account;
SELECT sum(value), total(value), min(value), max(value) FROM used WHERE account = 4;

-- The rows themselves are untouched by states that are updated in place.
SELECT usage_interval_accumulate(value, '2026-11-01 100') AS called_by_itself FROM used WHERE account = 2;
SELECT account, value FROM used ORDER BY account, value;

-- In windows: a growing frame, and a moving one, which takes values away again.
SELECT value, sum(value) OVER growing, total(value) OVER growing AS total, total(value) OVER moving AS moving
FROM used WINDOW growing AS (ORDER BY value), moving AS (ORDER BY value ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);

-- Out of range.
SELECT pg_temp.refusal($$SELECT sum(value) FROM unnest(ARRAY[usage_interval '2026-10-01 1e23', '2026-10-01 1e23']) AS value$$);
SELECT pg_temp.refusal($$SELECT total(value) FROM unnest(ARRAY[usage_interval '2026-10-01 -1e23', '2026-10-01 -1e23']) AS value$$);

-- The state of total is a type with text and binary forms of its own.
SELECT usage_total '5.25 3', usage_total_send('-0.000000000000001 3');
SELECT text, pg_temp.refusal(format('SELECT usage_total %L', text)) AS refusal
FROM unnest(ARRAY['', '5', '5 ', '5 x', '5 -1', 'x 1', '5 1 ', '1e30 1', '5 99999999999999999999']) AS text;
SELECT pg_temp.refusal($$SELECT usage_total_combine('1 9223372036854775807', '1 1')$$);
CREATE TEMPORARY TABLE wire (value usage_total);
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\30\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\0\0\0\0\0\0\0\3\377\377"' (FORMAT binary)
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\30\200\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3\377\377"' (FORMAT binary)
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\30\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377\377\377\377\377\377\377"' (FORMAT binary)
SELECT * FROM wire;

-- Property: groups of random values agree with numeric arithmetic and with the bounds, serially and in parallel.
SELECT setseed(0.7);
CREATE TABLE sample AS
SELECT number % 37 AS account, usage_interval(start, start + (random() * 5)::integer * interval '1 hour', round(((random() - 0.5) * 1e6)::numeric, 15)) AS value
FROM (SELECT number, timestamptz '2026-10-01' + random() * interval '30 days' AS start FROM generate_series(1, 20000) AS number) AS s;
ANALYZE sample;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serial AS SELECT account, sum(value), total(value), min(value), max(value) FROM sample GROUP BY account;
SELECT count(*) AS groups,
       count(*) FILTER (WHERE s.sum <> usage_interval(starts_at, ends_at, quantity) OR s.total <> quantity OR s.min <> first OR s.max <> last) AS wrong
FROM serial AS s
JOIN (SELECT account, min(starts_at(value)) AS starts_at, max(ends_at(value)) AS ends_at, sum(quantity(value)) AS quantity,
             (array_agg(value ORDER BY value))[1] AS first, (array_agg(value ORDER BY value DESC))[1] AS last
      FROM sample GROUP BY account) AS e USING (account);
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT account, sum(value), total(value), min(value), max(value) FROM sample GROUP BY account;
CREATE TABLE parallel AS SELECT account, sum(value), total(value), min(value), max(value) FROM sample GROUP BY account;
SELECT count(*) AS differences FROM (TABLE serial EXCEPT TABLE parallel) AS d;
RESET max_parallel_workers_per_gather; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET enable_sort;

-- Property: a moving total equals the total of each frame.
SELECT count(*) AS wrong
FROM (SELECT total(value) OVER frame AS moving, sum(quantity(value)) OVER frame AS expected
      FROM sample WHERE account < 3 WINDOW frame AS (PARTITION BY account ORDER BY value ROWS BETWEEN 7 PRECEDING AND 3 FOLLOWING)) AS f
WHERE moving <> expected;
DROP TABLE used, sample, serial, parallel;
