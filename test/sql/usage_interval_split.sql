-- split and split_at_instants: a usage_interval cut into parts that add up to it.
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

-- Days in Berlin around both changes of the clock have 23 and 25 hours.
SELECT starts_at(part) AT TIME ZONE 'Europe/Berlin' AS local_start, duration(part), quantity(part)
FROM split(usage_interval(timestamptz '2026-03-28 00:00 Europe/Berlin', '2026-03-31 00:00 Europe/Berlin', 71), 'day', 'Europe/Berlin') AS part;
SELECT starts_at(part) AT TIME ZONE 'Europe/Berlin' AS local_start, duration(part), quantity(part)
FROM split(usage_interval(timestamptz '2026-10-24 00:00 Europe/Berlin', '2026-10-27 00:00 Europe/Berlin', 73), 'day', 'Europe/Berlin') AS part;

-- Hours there: the one left out does not exist, the one shown twice is two.
SELECT starts_at(part) AT TIME ZONE 'Europe/Berlin' AS local_start, part
FROM split(usage_interval '[2026-03-29 00:15Z,2026-03-29 02:15Z) 8', 'hour', 'Europe/Berlin') AS part;
SELECT starts_at(part) AT TIME ZONE 'Europe/Berlin' AS local_start, part
FROM split(usage_interval '[2026-10-24 23:30Z,2026-10-25 02:30Z) 12', 'hour', 'Europe/Berlin') AS part;

-- Lord Howe Island changes by half an hour: days of 23.5 and 24.5 hours, and one half hour on each such day.
SELECT starts_at(part) AT TIME ZONE 'Australia/Lord_Howe' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2026-10-03 00:00 Australia/Lord_Howe', '2026-10-06 00:00 Australia/Lord_Howe', 1), 'day', 'Australia/Lord_Howe') AS part;
SELECT starts_at(part) AT TIME ZONE 'Australia/Lord_Howe' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2026-04-05 00:00 Australia/Lord_Howe', '2026-04-06 00:00 Australia/Lord_Howe', 1), 'day', 'Australia/Lord_Howe') AS part;
SELECT starts_at(part) AT TIME ZONE 'Australia/Lord_Howe' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2026-10-04 01:00 Australia/Lord_Howe', '2026-10-04 04:00 Australia/Lord_Howe', 1), 'hour', 'Australia/Lord_Howe') AS part;
SELECT starts_at(part) AT TIME ZONE 'Australia/Lord_Howe' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2026-04-05 00:00 Australia/Lord_Howe', '2026-04-05 03:00 Australia/Lord_Howe', 1), 'hour', 'Australia/Lord_Howe') AS part;

-- Steps of six hours stay on the clock's quarters of the day: 5 and 7 hours where it changes.
SELECT starts_at(part) AT TIME ZONE 'Europe/Berlin' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2026-03-29 00:00 Europe/Berlin', '2026-03-30 00:00 Europe/Berlin', 1), interval '6 hours', 'Europe/Berlin') AS part;
SELECT starts_at(part) AT TIME ZONE 'Europe/Berlin' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2026-10-25 00:00 Europe/Berlin', '2026-10-26 00:00 Europe/Berlin', 1), interval '6 hours', 'Europe/Berlin') AS part;

-- A day without midnight (Beirut 2024-03-31 begins at 01:00), one with two, of which PostgreSQL takes the second (Havana 2024-11-03), a date that was left out (Apia 2011-12-30).
SELECT starts_at(part) AT TIME ZONE 'Asia/Beirut' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2024-03-30 00:00 Asia/Beirut', '2024-04-02 00:00 Asia/Beirut', 1), 'day', 'Asia/Beirut') AS part;
SELECT starts_at(part) AT TIME ZONE 'America/Havana' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2024-11-02 04:00Z', '2024-11-05 05:00Z', 1), 'day', 'America/Havana') AS part;
SELECT part FROM split(usage_interval(timestamptz '2024-11-03 04:30Z', '2024-11-03 05:30Z', 1), 'day', 'America/Havana') AS part;
SELECT timestamp '2024-11-03' AT TIME ZONE 'America/Havana' AS border;
SELECT starts_at(part) AT TIME ZONE 'Pacific/Apia' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2011-12-29 10:00Z', '2012-01-01 10:00Z', 1), 'day', 'Pacific/Apia') AS part;

-- Hours when the clock goes back behind a border: in St. John's from one minute past midnight to one minute past eleven.
SELECT starts_at(part) AT TIME ZONE 'America/St_Johns' AS local_start, duration(part)
FROM split(usage_interval(timestamptz '2010-11-07 01:30Z', '2010-11-07 04:30Z', 1), 'hour', 'America/St_Johns') AS part;

-- Weeks begin on Monday; months, quarters, years; before 2000 and before the common era.
SELECT part FROM split(usage_interval '[2026-09-30,2026-10-14) 14', 'Week', 'UTC') AS part;
SELECT part FROM split(usage_interval '[2026-01-31,2026-04-02) 61', 'month', 'UTC') AS part;
SELECT part FROM split(usage_interval '[2025-12-31,2026-04-02) 92', 'quarter', 'UTC') AS part;
SELECT part FROM split(usage_interval '[1998-12-31,2001-01-01) 732', 'year', 'UTC') AS part;
SELECT part FROM split(usage_interval '[1999-12-31,2010-01-01) 1', interval '4 years', 'UTC') AS part;
SELECT part FROM split(usage_interval '[0002-12-01 BC,0002-02-01) 3', interval '1 year', 'UTC') AS part;
SELECT part FROM split(usage_interval '[294276-12-30,294276-12-31 12:00) 3', 'day', 'UTC') AS part;
SELECT part FROM split(usage_interval '[294276-12-30,294276-12-31 12:00) 3', 'year', 'UTC') AS part;

-- Nothing to cut: wholly inside one step, and points in time, also on a border.
SELECT part FROM split(usage_interval '[2026-10-03 10:00,2026-10-03 11:00) 1', 'hour', 'UTC') AS part;
SELECT part FROM split(usage_interval '2026-10-03 10:00 1', 'hour', 'UTC') AS part;
SELECT count(*) FROM split(NULL::usage_interval, 'hour', 'UTC') AS part;

-- Refused steps and zones.
SELECT step, pg_temp.refusal(format('SELECT count(*) FROM split(usage_interval ''[2026-10-03,2026-10-04) 1'', interval %L, ''UTC'')', step)) AS refusal
FROM unnest(ARRAY['0', '-1 hour', '7 hours', '24 hours', '36 hours', '2 days', '5 months', '18 months', '1 month 1 day', '1 day 1 hour', '-1 month']) AS step;
SELECT pg_temp.refusal($$SELECT count(*) FROM split(usage_interval '[2026-10-03,2026-10-04) 1', 'fortnight', 'UTC')$$);
SELECT left(zone, 20) AS zone, replace(pg_temp.refusal(format('SELECT count(*) FROM split(usage_interval ''[2026-10-03,2026-10-04) 1'', ''day'', %L)', zone)), repeat('x', 280), '…') AS refusal
FROM unnest(ARRAY['Europe/Atlantis', 'Europe/Berlin2', 'UTC+3', '+03', '<+03>-3', '', '../etc/passwd', repeat('x', 300), 'europe/berlin', 'Etc/GMT+5', 'EST5EDT', 'GMT']) AS zone;
SELECT pg_temp.refusal($$SELECT count(*) FROM split(usage_interval '[1900-01-01,2026-10-04) 1', 'minute', 'UTC')$$);
SELECT count(*) FROM split(usage_interval '[2025-01-01,2026-11-01) 1', 'minute', 'UTC');

-- At given instants: unsorted, repeated, outside, on the bounds.
SELECT part FROM split_at_instants(usage_interval '[2026-10-01,2026-10-04) 1',
    ARRAY['2026-10-03', '2026-10-02', '2026-10-02', '2026-09-01', '2026-10-01', '2026-10-04', '2026-12-01', 'infinity', '-infinity']::timestamptz[]) AS part;
SELECT part FROM split_at_instants(usage_interval '[2026-10-01,2026-10-04) 1', '{}') AS part;
SELECT part FROM split_at_instants(usage_interval '2026-10-01 1', '{2026-10-01}') AS part;
SELECT pg_temp.refusal($$SELECT count(*) FROM split_at_instants(usage_interval '2026-10-01 1', '{2026-10-01,NULL}')$$);

-- Property: over random values, steps and zones the parts add up, meet, equal what clip gives, and begin at borders.
SELECT setseed(0.5);
CREATE TABLE part AS
SELECT number, whole, step, zone, ordinality, part
FROM (SELECT number, usage_interval(start, start + ceil(random() * 8e12) * interval '1 microsecond', round((random() * 1000)::numeric, 6)) AS whole,
             (ARRAY['hour', 'day', 'week', 'month', 'quarter', 'year'])[1 + number % 6] AS step,
             (ARRAY['Europe/Berlin', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Asia/Kathmandu', 'Pacific/Apia', 'UTC', 'America/St_Johns'])[1 + number % 7] AS zone
      FROM (SELECT number, timestamptz '2000-01-01' + random() * interval '25 years' AS start FROM generate_series(1, 84) AS number) AS s) AS v,
     split(whole, step, zone) WITH ORDINALITY AS p(part, ordinality);
SELECT count(*) > 20000 AS many FROM part;
SELECT count(*) AS sums_that_differ FROM (SELECT sum(part) <> whole AS differs FROM part GROUP BY number, whole) AS s WHERE differs;
SELECT count(*) AS gaps FROM (SELECT starts_at(part) <> lag(ends_at(part)) OVER (PARTITION BY number ORDER BY ordinality) AS gap FROM part) AS s WHERE gap;
SELECT count(*) AS clips_that_differ FROM part WHERE clip(whole, starts_at(part), ends_at(part)) <> part;
SELECT count(*) AS not_on_a_border FROM part
WHERE ordinality > 1 AND step <> 'hour' AND starts_at(part) <> date_trunc(step, starts_at(part) AT TIME ZONE zone) AT TIME ZONE zone;
SELECT count(*) AS over_a_border FROM part
WHERE date_trunc(step, starts_at(part) AT TIME ZONE zone) <> date_trunc(step, (ends_at(part) - interval '1 microsecond') AT TIME ZONE zone);
-- Two hours that read the same on the clock are one full hour apart.
SELECT count(*) AS hours_without_cause
FROM (SELECT part, lag(part) OVER w AS before, ordinality, zone FROM part WHERE step = 'hour' WINDOW w AS (PARTITION BY number ORDER BY ordinality)) AS s
WHERE ordinality > 2 AND duration(before) < interval '1 hour'
  AND date_trunc('hour', starts_at(part) AT TIME ZONE zone) = date_trunc('hour', starts_at(before) AT TIME ZONE zone);
DROP TABLE part;
