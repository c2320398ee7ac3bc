-- Operators between usage_interval and tstzrange.
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

-- A span and a point in time against ranges of every inclusiveness.
SELECT value, range, value && range AS overlaps, range && value AS commuted, value <@ range AS within, range @> value AS contains
FROM (VALUES (usage_interval '[2026-10-03 10:00,2026-10-03 11:00) 1'), ('2026-10-03 10:00 1')) AS v(value),
     (VALUES (tstzrange '[2026-10-03 10:00,2026-10-03 11:00)'), ('[2026-10-03 10:00,2026-10-03 10:00]'), ('(2026-10-03 10:00,2026-10-03 11:00)'),
             ('[2026-10-03 09:00,2026-10-03 10:00)'), ('[2026-10-03 09:00,2026-10-03 10:00]'), ('[2026-10-03 11:00,2026-10-03 12:00)'),
             ('(2026-10-03 10:59:59.999999,2026-10-03 12:00)'), ('(2026-10-03 10:59:59.999998,2026-10-03 12:00)'),
             ('(,)'), ('[2026-10-03 10:00,)'), ('(,2026-10-03 10:00)'), ('(,2026-10-03 10:00]'), ('[-infinity,infinity]'), ('(infinity,)'), ('empty')) AS r(range);

-- Property: the same as the span, as a range, against random ranges.
SELECT setseed(0.3);
SELECT count(*) AS pairs, count(*) FILTER (WHERE value && range) > 1000 AS many_overlap, count(*) FILTER (WHERE value <@ range) > 300 AS many_within,
       count(*) FILTER (WHERE (value && range) <> (span(value) && range) OR (value <@ range) <> (span(value) <@ range)) AS wrong
FROM (SELECT value, range
      FROM (SELECT usage_interval(instant, instant + (random() * 3)::integer * interval '1 hour', 1) AS value,
                   tstzrange(other, other + (random() * 3)::integer * interval '1 hour', (ARRAY['[)', '[]', '(]', '()'])[1 + floor(random() * 4)::integer]) AS range
            FROM (SELECT timestamptz '2026-10-01' + (random() * 8)::integer * interval '1 hour' AS instant,
                         timestamptz '2026-10-01' + (random() * 8)::integer * interval '1 hour' AS other
                  FROM generate_series(1, 5000)) AS s) AS p) AS q;

-- Other ranges are refused; null gives null.
SELECT pg_temp.refusal($$SELECT usage_interval '2026-10-03 1' && tsrange '[2026-10-03,2026-10-04)'$$);
SELECT pg_temp.refusal($$SELECT int4range(1, 2) @> usage_interval '2026-10-03 1'$$);
SELECT usage_interval '2026-10-03 1' && NULL::tstzrange AS null_result;

-- Literals beside a tstzrange mean what they meant before billing was on the search_path.
SELECT tstzrange '[2026-10-03,2026-10-04)' && '[2026-10-03,2026-10-05)' AS overlaps,
       tstzrange '[2026-10-03,2026-10-04)' @> '[2026-10-03,2026-10-04)' AS contains,
       '[2026-10-03,2026-10-04)' <@ tstzrange '[2026-10-03,2026-10-05)' AS within,
       timestamptz '2026-10-03 12:00' <@ tstzrange '[2026-10-03,2026-10-05)' AS element;

-- Estimates come from the statistics of the column: right within a factor of 2, for 1 % and for 50 % of the rows.
CREATE TABLE measured AS SELECT usage_interval(timestamptz '2026-10-01' + number * interval '1 minute', timestamptz '2026-10-01' + (number + 1) * interval '1 minute', 1) AS value
FROM generate_series(0, 9999) AS number;
ANALYZE measured;
CREATE FUNCTION pg_temp.estimate(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SELECT pg_temp.estimate($$SELECT * FROM measured WHERE value && tstzrange '[2026-10-02,2026-10-02 01:40)'$$) BETWEEN 50 AND 200 AS one_percent,
       pg_temp.estimate($$SELECT * FROM measured WHERE tstzrange '[2026-10-01,2026-10-04 11:20)' @> value$$) BETWEEN 2500 AND 10000 AS half;
DROP TABLE measured;
