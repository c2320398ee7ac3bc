-- Type usage_interval: text, binary and JSON forms, making values and taking them apart, adding them.
SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';
\set VERBOSITY terse
-- SQLSTATE, message and hint with which a statement is refused.
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN sqlstate || ': ' || message || CASE WHEN hint <> '' THEN '  HINT: ' || replace(hint, 'DateStyle', 'datestyle') ELSE '' END;
END $$;

-- Text: spans and points in time; blanks, quotes, offsets and exponents are read, one form is written.
SELECT text, text::usage_interval
FROM unnest(ARRAY[
    '[2026-10-03 10:00:00+00,2026-10-03 11:00:00+00) 5.25',
    '2026-10-03 10:00:00+00 5.25',
    '  [ "2026-10-03 12:00:00+02" , "2026-10-03T11:00:00Z" )   -1.5e3  ',
    '[2026-10-03,2026-10-04)7',
    '2026-10-03 -0',
    '[2026-10-03 10:00,2026-10-03 10:00) 1',
    '2026-10-03 10:00:00.123456 0.0000000000000015',
    '2026-10-03 10:00:00.123456 0.0000000000000025',
    '0044-03-15 12:00:00+00 BC 1',
    '2026-10-03 170141183460469231731687.303715884105727',
    '2026-10-03 -170141183460469231731687.303715884105727'
]) AS text;

-- The text depends on the time zone but not on DateStyle, and reads back to the same bytes under every setting.
SET timezone = 'Europe/Berlin';
SELECT usage_interval '[2026-10-25 00:30:00Z,2026-10-25 01:30:00Z) 1';
SET datestyle = 'German, DMY';
SELECT usage_interval '[2026-03-04 00:30:00Z,2026-03-05 01:30:00Z) 1' AS written, timestamptz '2026-03-04 00:30:00Z' AS timestamptz;
SELECT text::usage_interval::text = text AS same
FROM unnest(ARRAY['[2026-03-04 01:30:00+01,2026-07-05 03:30:00+02) 1', '1850-01-01 00:00:00+00:53:28 2']) AS text;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';

-- Refused texts.
SELECT text, pg_temp.refusal(format('SELECT usage_interval %L', text)) AS refusal
FROM unnest(ARRAY[
    '', ' ', '5', '[', '[2026-10-03', '[2026-10-03,2026-10-04', '[2026-10-03,2026-10-04)', '[2026-10-03,2026-10-04] 5',
    '(2026-10-03,2026-10-04) 5', '[,2026-10-04) 5', '[2026-10-03,) 5', '["2026-10-03,2026-10-04) 5', '[2026-10-03,2026-10-04) 5 6',
    '[2026-10-03,2026-10-04) NaN', '[2026-10-03,2026-10-04) five', '[2026-10-03,2026-10-04) 0x10', '2026-10-03 10:00:00+00',
    '[2026-10-04,2026-10-03) 5', '[-infinity,2026-10-03) 5', '[2026-10-03,infinity) 5', 'infinity 5', '2026-13-03 5', '[2026-10-03,tomorow) 5',
    '2026-10-03 1e24', '2026-10-03 170141183460469231731687.303715884105728', '2026-10-03 1e999999999', '300000-01-01 5'
]) AS text;

-- Making values.
SELECT usage_interval('2026-10-03 10:00', '2026-10-03 11:00', 5.25), usage_interval('2026-10-03 10:00', 5.2500), usage_interval('2026-10-03', '2026-10-03', 1) AS point;
SELECT pg_temp.refusal($$SELECT usage_interval('2026-10-03 11:00', '2026-10-03 10:00', 1)$$);
SELECT pg_temp.refusal($$SELECT usage_interval('2026-10-03', 'infinity', 1)$$);
SELECT pg_temp.refusal($$SELECT usage_interval('-infinity', 1)$$);
SELECT pg_temp.refusal($$SELECT usage_interval('2026-10-03', 'NaN')$$);
SELECT pg_temp.refusal($$SELECT usage_interval('2026-10-03', '-Infinity')$$);
SELECT pg_temp.refusal($$SELECT usage_interval('2026-10-03', 170141183460469231731688)$$);
SELECT usage_interval('2026-10-03', NULL) IS NULL AS null_in_null_out;

-- Taking them apart.
SELECT starts_at(value), ends_at(value), quantity(value), span(value), value::tstzrange = span(value) AS cast, duration(value), is_point(value)
FROM (VALUES (usage_interval '[2026-10-03 10:00,2026-10-04 11:30) -5.250'), ('2026-10-03 10:00 7')) AS v(value);
SELECT isempty(span(usage_interval '2026-10-03 7')) AS point_has_an_instant;
SELECT pg_temp.refusal($$SELECT duration('[4713-01-01 BC,294276-12-31) 1')$$);

-- Adding: only over one span.
SELECT usage_interval '[2026-10-03,2026-10-04) 5' + '[2026-10-03,2026-10-04) 0.5' AS sum,
       usage_interval '2026-10-03 5' - '2026-10-03 7' AS difference,
       - usage_interval '[2026-10-03,2026-10-04) 5' AS reversal;
SELECT pg_temp.refusal($$SELECT usage_interval '[2026-10-03,2026-10-04) 5' + '[2026-10-03,2026-10-05) 5'$$);
SELECT pg_temp.refusal($$SELECT usage_interval '[2026-10-03,2026-10-04) 5' - '[2026-10-02,2026-10-04) 5'$$);
SELECT pg_temp.refusal($$SELECT usage_interval '2026-10-03 1e23' + '2026-10-03 1e23'$$);
SELECT pg_temp.refusal($$SELECT usage_interval '2026-10-03 -1e23' - '2026-10-03 1e23'$$);

-- JSON, both ways.
SET timezone = 'Asia/Kolkata';
SELECT value::json, value::jsonb, value::jsonb::usage_interval = value AS reads_back
FROM (VALUES (usage_interval '[2026-10-03 10:00Z,2026-10-03 11:00:00.25Z) 5.25'), ('2026-10-03 10:00Z -7'), ('0044-03-15 12:00Z BC 0')) AS v(value);
SELECT to_json(row(usage_interval '2026-10-03 10:00Z -7')), to_jsonb(usage_interval '2026-10-03 10:00Z 1');
SELECT '{"at":"2026-10-03T10:00:00Z","quantity":5.25,"id":"r-1","start":null}'::jsonb::usage_interval;
SET timezone = 'UTC';
SELECT json, pg_temp.refusal(format('SELECT %L::jsonb::usage_interval', json)) AS refusal
FROM unnest(ARRAY[
    '1', '[]', '{}', '{"quantity":1}', '{"at":"2026-10-03"}', '{"start":"2026-10-03","quantity":1}', '{"end":"2026-10-03","quantity":1}',
    '{"at":"2026-10-03","start":"2026-10-03","end":"2026-10-04","quantity":1}', '{"at":"2026-10-03","end":"2026-10-04","quantity":1}',
    '{"at":5,"quantity":1}', '{"at":"infinity","quantity":1}', '{"at":"noon","quantity":1}', '{"at":"2026-10-03","quantity":true}',
    '{"at":"2026-10-03","quantity":"much"}', '{"at":"2026-10-03","quantity":"1e30"}', '{"at":"2026-10-03","quantity":1e30}',
    '{"start":"2026-10-04","end":"2026-10-03","quantity":1}'
]) AS json;

-- Binary: 32 bytes that read back to themselves.
SELECT usage_interval_send(value), octet_length(usage_interval_send(value)), pg_column_size(value)
FROM (VALUES (usage_interval '[2000-01-01 00:00:00.000001Z,2000-01-01 00:00:00.000258Z) 0.000000000000001'), ('1999-12-31 23:59:59.999999Z -0.000000000000002')) AS v(value);

-- Hostile binary input, through binary COPY: after a head of 19 bytes one column of 32 bytes, then the end mark.
CREATE TEMPORARY TABLE wire (value usage_interval);
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\0\2\372\0\0\0\0\0\0\2\372\0\0\0\0\1\377\377\377\377\377\377\377\377\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
SELECT * FROM wire;
\echo start after end
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\0\2\372\0\0\0\0\2\0\2\372\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\echo infinite start, infinite end, instants before and after all that exist
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\200\0\0\0\0\0\0\0\0\2\372\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\0\2\372\0\0\0\0\0\177\377\377\377\377\377\377\377\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\200\0\0\0\0\0\0\1\0\2\372\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\0\2\372\0\0\0\0\0\177\377\377\377\377\377\377\376\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\echo the number that is no quantity
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\0\2\372\0\0\0\0\0\0\2\372\0\0\0\0\1\200\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\echo too short, too long
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\37\0\2\372\0\0\0\0\0\0\2\372\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\41\0\2\372\0\0\0\0\0\0\2\372\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
SELECT count(*) AS taken FROM wire;
\set VERBOSITY sqlstate
\copy wire FROM PROGRAM 'printf "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\40\0\2\372\0\0\0\0\2\0\2\372\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377"' (FORMAT binary)
\set VERBOSITY terse

-- Soft errors, where the server has them: pg_input_is_valid from PostgreSQL 16 on.
CREATE FUNCTION pg_temp.is_valid(input text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    valid boolean;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE 'SELECT pg_input_is_valid($1, ''usage_interval'')' INTO valid USING input;
        RETURN valid;
    END IF;
    PERFORM input::usage_interval;
    RETURN true;
EXCEPTION WHEN data_exception THEN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        RAISE;
    END IF;
    RETURN false;
END $$;
SELECT text, pg_temp.is_valid(text)
FROM unnest(ARRAY['', '[2026-10-03', '[2026-10-04,2026-10-03) 5', 'infinity 5', '2026-13-03 5', '2026-10-03 1e24', '2026-10-03 1']) AS text;

-- Property: random values read back from text under any zone, and from JSON.
SELECT setseed(0.1);
CREATE TEMPORARY TABLE sample AS
SELECT usage_interval(start, start + CASE WHEN random() < 0.2 THEN 0 ELSE 10 ^ (random() * 13) END * interval '1 microsecond',
                      round(((random() - 0.5) * 10 ^ (random() * 20))::numeric, (random() * 15)::integer)) AS value
FROM (SELECT timestamptz '1900-01-01Z' + random() * interval '200 years' AS start FROM generate_series(1, 2000)) AS s;
SET timezone = 'America/St_Johns';
SET datestyle = 'SQL, DMY';
SELECT count(*) AS wrong FROM sample WHERE value::text::usage_interval <> value OR value::jsonb::usage_interval <> value;
