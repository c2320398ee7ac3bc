-- Type monetary: text input and output, type modifier, casts, the table of currencies.

CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- Accepted forms; output has the decimals of the minor unit at least, and all that matter.
SELECT input, input::monetary AS output
FROM (VALUES ('12.34 EUR'), ('EUR 12.34'), ('12.3 eur'), ('12 EUR'), ('12 JPY'), ('12 KWD'), ('12 XAU'), ('12.5 XAU'), ('-0.00 EUR'), ('+7 EUR'),
    ('.5 EUR'), ('5. EUR'), ('1.5e3 EUR'), ('15E-4 USD'), ('  EUR   12.34  '), ('12.34EUR'), ('EUR-12.34'), ('000000000000000000000000000000000000000000012.340000000000000000000000 EUR'),
    ('0.000000000000001 EUR'), ('-0.000000000000001 EUR'), ('10000000000000000 EUR'), ('-10000000000000000.00 EUR'), ('9999999999999999.999999999999999 EUR'),
    ('1e16 EUR'), ('0e1000000 EUR'), ('1e-1000000 EUR'), ('123.40 ALL'), ('1 HRK')) AS v(input);

-- More than 15 decimals are rounded half to even.
SELECT input, input::monetary AS output
FROM (VALUES ('0.0000000000000005 EUR'), ('0.0000000000000015 EUR'), ('0.00000000000000050001 EUR'), ('-0.0000000000000005 EUR'), ('-0.0000000000000015 EUR'),
    ('0.0000000000000025 EUR'), ('0.00000000000000249999999999999999999999 EUR'), ('0.9999999999999995 EUR'), ('5e-16 EUR'), ('5.1e-16 EUR'), ('9e-17 EUR'), ('1.00000000000000000000 EUR')) AS v(input);

-- Refused forms.
SELECT input, pg_temp.error_of(format('SELECT %L::monetary', input)) AS error
FROM (VALUES (''), ('  '), ('12.34'), ('EUR'), ('12.34 EU'), ('12.34 EURO'), ('12.34 E1R'), ('EUR EUR'), ('EUR 12.34 EUR'), ('1 2 EUR'), ('1,000 EUR'), ('1.2.3 EUR'), ('--1 EUR'), ('- 1 EUR'),
    ('. EUR'), ('e5 EUR'), ('1e EUR'), ('1e+ EUR'), ('1e5x EUR'), ('NaN EUR'), ('Infinity EUR'), ('0x10 EUR'), ('12.34 QQQ'), ('12.34 €'), ('12.34 ÄÖÜ'), ('１２ EUR'),
    ('10000000000000000.000000000000001 EUR'), ('-10000000000000001 EUR'), ('1e17 EUR'), ('1e40 EUR'), ('1e1000000 EUR'), ('9999999999999999.9999999999999999 EUR'),
    ('340282366920938463463374607431768211456 EUR'), ('170141183460469231731687303715884105728e-15 EUR')) AS v(input);

-- The same through soft errors where the server has them.
CREATE FUNCTION pg_temp.soft_error(input text, type_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE 'SELECT sql_error_code || '' '' || message FROM pg_input_error_info($1, $2)' INTO answer USING input, type_name;
        RETURN answer;
    END IF;
    RETURN nullif(pg_temp.error_of(format('SELECT %L::%s', input, type_name)), 'no error');
END $$;
SELECT input, type_name, pg_temp.soft_error(input, type_name)
FROM (VALUES ('1 EUR', 'billing.monetary'), ('1', 'billing.monetary'), ('1 QQQ', 'billing.monetary'), ('1e17 EUR', 'billing.monetary'),
    ('1 USD', 'billing.monetary(''EUR'')'), ('(1,2.5,EUR)', 'billing.monetary_sum'), ('(1,2.5,)', 'billing.monetary_sum')) AS v(input, type_name);

-- Type modifier: one currency in any case, printed in quotes because ALL is a reserved word; enforced, never converted.
CREATE TABLE monetary_columns (price monetary('EUR'), lek monetary('all'), gold monetary(XAU), any_currency monetary, many monetary('EUR')[]);
\d monetary_columns
INSERT INTO monetary_columns VALUES ('1 EUR', '2 ALL', '3 XAU', '4 USD', '{5 EUR,6 EUR}');
INSERT INTO monetary_columns (price) VALUES ('1 USD');
INSERT INTO monetary_columns (price) SELECT any_currency FROM monetary_columns;
INSERT INTO monetary_columns (many) VALUES ('{5 EUR,6 USD}');
COPY monetary_columns (price) FROM STDIN;
1 USD
\.
UPDATE monetary_columns SET lek = any_currency;
INSERT INTO monetary_columns (price) SELECT price FROM monetary_columns;
SELECT * FROM monetary_columns;
SELECT '1 USD'::monetary('USD'), ('1 USD'::monetary)::monetary('EUR');
SELECT statement, pg_temp.error_of(statement)
FROM (VALUES ('SELECT NULL::monetary(''QQQ'')'), ('SELECT NULL::monetary(''EUR'', ''USD'')'), ('SELECT NULL::monetary(2)'), ('SELECT NULL::monetary(''EURO'')')) AS v(statement);
SELECT format_type('billing.monetary'::regtype, billing.monetary_typmod_in('{eur}')), billing.monetary_typmod_out(billing.monetary_typmod_in('{ALL}'));
-- what a dump writes is read back to the same type
CREATE VIEW monetary_lek AS SELECT any_currency::monetary('ALL') AS cast_column, '1 ALL'::monetary('ALL') AS constant, any_currency < '3 USD' AS compared FROM monetary_columns;
SELECT pg_get_viewdef('monetary_lek') AS definition \gset
SELECT count(*) AS quoted FROM regexp_matches(:'definition', 'monetary\(''ALL''\)', 'g');
CREATE VIEW monetary_lek_again AS :definition
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'monetary_lek_again'::regclass ORDER BY attnum;
DROP VIEW monetary_lek, monetary_lek_again;
DROP TABLE monetary_columns;

-- Making values and taking them apart.
SELECT monetary(12.5, 'EUR'), monetary(12, 'jpy'), monetary(0.0000000000000005, 'EUR'), monetary(0.0000000000000015, 'EUR'),
    monetary(-12345678901234567.8e-1, 'USD'), monetary(1e16, 'EUR'), monetary(-1e-15, 'EUR');
SELECT amount('12.3 EUR'::monetary), amount('12 JPY'::monetary), amount('12.000000000000001 EUR'::monetary), amount('1 XAU'::monetary), amount('-10000000000000000 KWD'::monetary), currency('1 eur'::monetary);
SELECT statement, pg_temp.error_of(statement)
FROM (VALUES ('SELECT monetary(1, ''QQQ'')'), ('SELECT monetary(1, '''')'), ('SELECT monetary(1, ''EURO'')'), ('SELECT monetary(1e16 + 1e-15, ''EUR'')'), ('SELECT monetary(''NaN'', ''EUR'')'),
    ('SELECT monetary(''-Infinity'', ''EUR'')'), ('SELECT monetary(1e100, ''EUR'')'), ('SELECT 1.5::monetary'), ('SELECT 1.5::numeric::monetary'), ('SELECT ''1 EUR''::monetary::numeric'), ('SELECT repeat(''1'', 200)::monetary')) AS v(statement);
SELECT pg_temp.error_of(format('SELECT monetary(1, %L)', repeat('x', 1000)));

-- Values that are stored with a short numeric header, and ones from expressions.
CREATE TEMPORARY TABLE monetary_numbers (n numeric);
INSERT INTO monetary_numbers VALUES (0), (1), (10000), (100000000), (12345.6789), (0.0001), (0.00001), (1e-15), (1e-16), (5e-16), (15e-16), (-99999999.99999999), (1e15), (1e-20), (3e-100), (123456789012345.123456789012345);
SELECT n, monetary(n, 'EUR'), monetary(n + 0, 'EUR') = monetary(n, 'EUR') AS same FROM monetary_numbers;

-- JSON: amounts are strings, so that no reader turns them into binary floating point.
SELECT '12.3 EUR'::monetary::json, '12 JPY'::monetary::jsonb, to_json('-0.000000000000001 USD'::monetary), to_jsonb('1 XAU'::monetary);
SELECT row_to_json(r), jsonb_build_object('price', price) FROM (SELECT 'a' AS name, '1 EUR'::monetary AS price) AS r;

-- Currencies: the table as it is compiled in.
SELECT count(*) AS currencies, count(*) FILTER (WHERE withdrawn IS NULL) AS active, count(DISTINCT code) AS codes, count(*) FILTER (WHERE minor_unit IS NULL) AS without_minor_unit FROM currencies();
SELECT * FROM currencies() WHERE code IN ('ALL', 'BGN', 'CHF', 'CLF', 'DKK', 'ESB', 'EUR', 'HRK', 'JPY', 'KWD', 'SEK', 'VED', 'XAU', 'XFO', 'ZWD') ORDER BY code;
SELECT minor_unit, count(*) FROM currencies() WHERE withdrawn IS NULL GROUP BY minor_unit ORDER BY minor_unit;
SELECT count(*) FROM currencies() WHERE code COLLATE "C" !~ '^[A-Z]{3}$' OR numeric_code !~ '^[0-9]{3}$' OR name = '';
-- every code reads back
SELECT count(*), bool_and(currency(monetary(1, code)) = code), bool_and((monetary(1, lower(code)))::text = format('%s %s', to_char(1, 'FM9' || CASE WHEN minor_unit > 0 THEN '.' || repeat('0', minor_unit) ELSE '' END), code)) FROM currencies();
