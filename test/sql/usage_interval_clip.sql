-- clip: the part of a usage_interval in a span.
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

-- Inside, over a border, outside, touching; -infinity and infinity are no bounds; crossed bounds hold nothing.
SELECT a, b, clip(usage_interval '[2026-10-03 10:00,2026-10-03 11:00) 6', a, b)
FROM (VALUES (timestamptz '2026-10-03 10:00', timestamptz '2026-10-03 11:00'), ('2026-10-01', '2026-11-01'), ('2026-10-03 10:10', '2026-10-03 10:20'),
             ('2026-10-03 09:00', '2026-10-03 10:30'), ('2026-10-03 10:30', '2026-10-03 12:00'), ('2026-10-03 09:00', '2026-10-03 10:00'),
             ('2026-10-03 11:00', '2026-10-03 12:00'), ('-infinity', 'infinity'), ('-infinity', '2026-10-03 10:01'), ('2026-10-03 10:59', 'infinity'),
             ('2026-10-03 10:30', '2026-10-03 10:30'), ('2026-10-03 10:40', '2026-10-03 10:20'), ('infinity', '-infinity')) AS s(a, b);

-- A point in time lies in [a,b) when a <= instant < b.
SELECT a, b, clip(usage_interval '2026-10-03 10:00 6', a, b)
FROM (VALUES (timestamptz '2026-10-03 10:00', timestamptz '2026-10-03 11:00'), ('2026-10-03 09:00', '2026-10-03 10:00'), ('2026-10-03 10:00', '2026-10-03 10:00'),
             ('2026-10-03 10:00', '2026-10-03 10:00:00.000001'), ('-infinity', 'infinity')) AS s(a, b);

-- By a range.
SELECT range, clip(usage_interval '[2026-10-03 10:00,2026-10-03 11:00) 3600000000', range) AS span, clip(usage_interval '2026-10-03 11:00 1', range) AS point
FROM (VALUES (tstzrange '[2026-10-03 10:00,2026-10-03 10:30)'), ('(2026-10-03 10:00,2026-10-03 10:30]'), ('(,2026-10-03 10:00:01)'), ('[2026-10-03 10:59:59,)'),
             ('[2026-10-03 10:59:59,2026-10-03 11:00]'), ('(,)'), ('empty'), ('[2026-10-03 11:00,2026-10-03 12:00)'), ('[-infinity,infinity]')) AS r(range);
SELECT clip(usage_interval '2026-10-03 11:00 1', NULL::tstzrange) IS NULL AS null_span, clip(usage_interval '2026-10-03 11:00 1', NULL, 'infinity') IS NULL AS null_bound;

-- Parts of adjacent spans add up: 1 over 3 days, which parts rounded one by one miss by 10^-15; and negative.
SELECT clip(value, day, day + interval '1 day') AS part
FROM (VALUES (usage_interval '[2026-10-01,2026-10-04) 1'), ('[2026-10-01,2026-10-04) -1')) AS v(value),
     generate_series(timestamptz '2026-10-01', '2026-10-03', '1 day') AS day;

-- Halves go to the even neighbour, for both signs: R at the middle of 10^-15 times 1, 3, 5 is 0, 2, 2.
SELECT clip(usage_interval(timestamptz '2026-10-01', '2026-10-03', number * 0.000000000000001), '2026-10-01', '2026-10-02') AS first_half
FROM unnest(ARRAY[1, 3, 5, -1, -3, -5]) AS number;

-- The greatest quantity over the longest span does not overflow.
SELECT clip(usage_interval '[4713-01-01 00:00:00+00 BC,294276-12-31 23:59:59.999999+00) 170141183460469231731687.303715884105727', '2026-10-01', '2026-10-02');
SELECT clip(usage_interval '[4713-01-01 00:00:00+00 BC,294276-12-31 23:59:59.999999+00) -170141183460469231731687.303715884105727', '2026-10-01', 'infinity');

-- Property: random values cut at random instants.  Parts add up exactly, meet one another, equal the exact quotient rounded at both ends,
-- and the range form agrees.
SELECT setseed(0.4);
CREATE TABLE piece AS
WITH sample AS (
    SELECT number, start, start + ceil(10 ^ (random() * 14)) * interval '1 microsecond' AS finish,
           round(((random() - 0.5) * 10 ^ (random() * 23))::numeric * (1 + random()::numeric), (random() * 15)::integer) AS quantity
    FROM (SELECT number, timestamptz '1990-01-01' + random() * interval '40 years' AS start FROM generate_series(1, 400) AS number) AS s),
border AS (
    SELECT number, start + random() * (finish - start) AS instant FROM sample, generate_series(1, 12)
    UNION SELECT number, start FROM sample UNION SELECT number, finish FROM sample UNION SELECT number, '-infinity' FROM sample UNION SELECT number, 'infinity' FROM sample),
span AS (SELECT number, instant AS a, lead(instant) OVER (PARTITION BY number ORDER BY instant) AS b FROM border)
SELECT number, usage_interval(start, finish, quantity) AS whole, a, b, clip(usage_interval(start, finish, quantity), a, b) AS part
FROM sample JOIN span USING (number) WHERE b IS NOT NULL;
SELECT count(*) > 4000 AS many_parts, count(DISTINCT number) AS values FROM piece WHERE part IS NOT NULL;
SELECT count(*) AS sums_that_differ FROM (SELECT sum(part) <> whole OR total(part) <> quantity(whole) AS differs FROM piece GROUP BY number, whole) AS s WHERE differs IS NOT FALSE;
CREATE FUNCTION pg_temp.half_even(dividend numeric, divisor numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT (sign(dividend) * (whole + CASE WHEN 2 * rest > divisor OR (2 * rest = divisor AND whole % 2 = 1) THEN 1 ELSE 0 END)) * 1e-15
    FROM (SELECT div(abs(dividend) * 1e15, divisor) AS whole, abs(dividend) * 1e15 - div(abs(dividend) * 1e15, divisor) * divisor AS rest) AS d $$;
CREATE FUNCTION pg_temp.microseconds(a timestamptz, b timestamptz) RETURNS numeric LANGUAGE sql AS $$ SELECT (extract(epoch FROM b) - extract(epoch FROM a)) * 1000000 $$;
SELECT count(*) AS wrong
FROM (SELECT part, whole, pg_temp.microseconds(starts_at(whole), ends_at(whole)) AS duration FROM piece WHERE part IS NOT NULL) AS p
WHERE quantity(part) <> pg_temp.half_even(quantity(whole) * pg_temp.microseconds(starts_at(whole), ends_at(part)), duration)
                      - pg_temp.half_even(quantity(whole) * pg_temp.microseconds(starts_at(whole), starts_at(part)), duration);
SELECT count(*) AS range_form_differs FROM piece WHERE clip(whole, tstzrange(a, b)) IS DISTINCT FROM part;
SELECT count(*) AS bounds_differ FROM piece WHERE span(part) <> span(whole) * tstzrange(a, b);
DROP TABLE piece;
