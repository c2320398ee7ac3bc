-- Days in texts that people, other systems and other sessions read: as ISO 8601 writes them, whatever DateStyle the session has.

CREATE FUNCTION billing.days_text(days pg_catalog.daterange) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN isempty(days) THEN 'empty'
                      ELSE concat(CASE WHEN lower_inc(days) THEN '[' ELSE '(' END, to_char(lower(days), 'YYYY-MM-DD'), ',', to_char(upper(days), 'YYYY-MM-DD'), CASE WHEN upper_inc(days) THEN ']' ELSE ')' END) END $$;
COMMENT ON FUNCTION billing.days_text(pg_catalog.daterange) IS 'A range of days as [2026-10-01,2026-11-01), the same in every session; the cast to text follows DateStyle. Immutable.';

CREATE FUNCTION billing.csv_text(value pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT concat('"', CASE WHEN value ~ '^[=+@\t\r-]' THEN chr(39) END, replace(value, '"', '""'), '"') $$;
COMMENT ON FUNCTION billing.csv_text(pg_catalog.text) IS
'A text as a cell of a CSV file that people open in a spreadsheet: quoted, and with an apostrophe before a first character that would make it a formula (= + - @, tab, carriage return). Null is an empty cell. Immutable.';
