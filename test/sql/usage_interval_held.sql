-- held: level times time.
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

SELECT held(20, '[2026-10-01,2026-10-02 12:00)') AS gigabyte_hours,
       held(20, '[2026-10-01,2026-10-02 12:00)', '1 day') AS gigabyte_days,
       held(-3, '[2026-10-01,2026-10-01 00:10)', '1 second') AS negative,
       held(0, '[2026-10-01,2026-10-02)') AS zero;
-- 730 hours stand for a month; the range may be of any inclusiveness; a span across a change of the clock counts elapsed time.
SELECT held(1, '[2026-10-01,2026-11-01)', '730 hours');
SELECT held(1, '(2026-10-01,2026-10-01 00:00:01]', '1 microsecond');
SELECT quantity(held(1, tstzrange('2026-10-25 00:00 Europe/Berlin', '2026-10-26 00:00 Europe/Berlin'))) AS hours;

-- Rounded once, half to even at 15 decimals, also for levels with more decimals: a 2 * 10^15th, 3 of them, 5 of them, a bit more than one.
SELECT level, quantity(held(level, '[2026-10-01,2026-10-01 00:00:01)', '1 second')) AS quantity
FROM unnest(ARRAY[0.0000000000000005, 0.0000000000000015, 0.0000000000000025, 0.00000000000000050000000001, -0.0000000000000005, -0.0000000000000015]) AS level;
SELECT quantity(held(0.0000000000000005, '[2026-10-01,2026-10-01 00:00:03)', '1 second')) AS once_not_twice;
SELECT quantity(held(1, '[2026-10-01,2026-10-01 00:00:02)', '3 seconds')) AS two_thirds;

-- The greatest level over the longest span and back.
SELECT held(170141183460469231731687.303715884105727, '[2026-10-01,2026-10-01 01:00)');
SELECT pg_temp.refusal($$SELECT held(170141183460469231731687, '[2026-10-01,2026-10-01 01:00:00.000001)')$$);
SELECT held(100000000000000000000000, '[4713-01-01 BC,294276-12-31)', '2562047788 hours');

-- Refused.
SELECT pg_temp.refusal($$SELECT held(1, 'empty')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[2026-10-01,)')$$);
SELECT pg_temp.refusal($$SELECT held(1, '(,2026-10-01)')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[-infinity,2026-10-01)')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[2026-10-01,infinity]')$$);
SELECT pg_temp.refusal($$SELECT held('NaN', '[2026-10-01,2026-10-02)')$$);
SELECT pg_temp.refusal($$SELECT held(1e30, '[2026-10-01,2026-10-02)')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[2026-10-01,2026-10-02)', '1 month')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[2026-10-01,2026-10-02)', '0')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[2026-10-01,2026-10-02)', '-1 hour')$$);
SELECT pg_temp.refusal($$SELECT held(1, '[2026-10-01,2026-10-02)', '2000000000 days')$$);

-- Property: equals the exact quotient rounded half to even, whatever number of decimals.
SELECT setseed(0.6);
CREATE FUNCTION pg_temp.half_even(dividend numeric, divisor numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT (sign(dividend) * (whole + CASE WHEN 2 * rest > divisor OR (2 * rest = divisor AND whole % 2 = 1) THEN 1 ELSE 0 END)) * 1e-15
    FROM (SELECT div(abs(dividend) * 1e15, divisor) AS whole, abs(dividend) * 1e15 - div(abs(dividend) * 1e15, divisor) * divisor AS rest) AS d $$;
SELECT count(*) AS wrong
FROM (SELECT round(((random() - 0.5) * 1e6)::numeric * (random() + 1)::numeric / 3, (random() * 22)::integer) AS level, ceil(10 ^ (random() * 14))::bigint AS microseconds,
             ceil(10 ^ (random() * 11))::bigint AS unit, timestamptz '2026-10-01' AS start FROM generate_series(1, 2000)) AS s
WHERE quantity(held(level, tstzrange(start, start + microseconds * interval '1 microsecond'), unit * interval '1 microsecond'))
   <> pg_temp.half_even(level * microseconds, unit);
