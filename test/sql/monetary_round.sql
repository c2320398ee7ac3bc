-- Type monetary: rounding.

CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- Every mode on halves, just beside them, and negative amounts.
SELECT value, round(value) AS "default", round(value, 'half_up') AS half_up, round(value, 'half_even') AS half_even, round(value, 'up') AS up, round(value, 'down') AS down,
    round(value, 'ceiling') AS ceiling, round(value, 'floor') AS floor
FROM (VALUES ('0.005 EUR'::monetary), ('0.015 EUR'), ('0.025 EUR'), ('-0.005 EUR'), ('-0.015 EUR'), ('0.004999999999999 EUR'), ('0.005000000000001 EUR'), ('0.010000000000001 EUR'), ('-0.010000000000001 EUR'),
    ('0 EUR'), ('1.23 EUR'), ('9999999999999999.994 EUR')) AS v(value);

-- The minor unit is the currency's.
SELECT round('1234.5678 JPY'::monetary), round('1234.5678 USD'::monetary), round('1234.5678 KWD'::monetary), round('1234.56785 CLF'::monetary), round('0.5 JPY'::monetary), round('1.5 JPY'::monetary, 'half_even'), round('2.5 JPY'::monetary, 'half_even'), round('17.9699999999999999988631316 EUR'::monetary);

-- A number of any length is rounded once; by way of the 15 decimals of the type it would be rounded twice.
SELECT n, monetary_rounded(n, 'EUR') AS once, round(monetary(n, 'EUR')) AS twice, monetary_rounded(n, 'EUR', 'half_even') AS half_even, monetary_rounded(n, 'EUR', 'up') AS up,
    monetary_rounded(n, 'EUR', 'down') AS down, monetary_rounded(n, 'EUR', 'ceiling') AS ceiling, monetary_rounded(n, 'EUR', 'floor') AS floor
FROM unnest('{0.00499999999999999999,0.00500000000000000000001,0.005,0.015,-0.00499999999999999999,-0.005,-0.01000000000000000000001,0.00000000000000000001,0,17.9699999999999988631316}'::numeric[]) AS n;
SELECT monetary_rounded(0.49999999999999999999, 'JPY'), monetary_rounded(0.00050000000000000000, 'KWD'), monetary_rounded(2.32499999999999999999, 'CHF', 'cash'), monetary_rounded(NULL, 'EUR') IS NULL AS nothing;
SELECT pg_temp.error_of($$ SELECT billing.monetary_rounded('NaN', 'EUR') $$), pg_temp.error_of($$ SELECT billing.monetary_rounded(1, 'XAU') $$), pg_temp.error_of($$ SELECT billing.monetary_rounded(1e17, 'EUR') $$);

-- Cash: the smallest coin where it is coarser than the minor unit.
SELECT value, round(value, 'cash') AS cash
FROM (VALUES ('2.32 CHF'::monetary), ('2.324 CHF'), ('2.325 CHF'), ('2.37 CHF'), ('2.375 CHF'), ('-2.325 CHF'), ('2.32 CAD'), ('2.24 DKK'), ('2.25 DKK'), ('2.49 SEK'), ('2.50 SEK'), ('2.325 EUR'), ('2.5 JPY')) AS v(value);
SELECT code, cash_increment, bool_and(abs(amount(round(m, 'cash') - m)) <= cash_increment / 2) AS nearest, bool_and(amount(round(m, 'cash')) % cash_increment = 0) AS multiple
FROM currencies(), LATERAL (SELECT monetary(i / 7.0, code) AS m FROM generate_series(-100, 100) AS i) AS amounts
WHERE cash_increment IS NOT NULL GROUP BY 1, 2 ORDER BY 1;

-- A number of decimals, negative ones left of the point.
SELECT round('123.456789 EUR'::monetary, 4), round('123.456789 EUR'::monetary, 0), round('123.456789 EUR'::monetary, -2, 'ceiling'), round('123.456789 EUR'::monetary, 15), round('5000000000000000 EUR'::monetary, -15), round('5 EUR'::monetary, -15, 'up'),
    round('-0.5 XAU'::monetary, 0, 'half_even'), round('-1.5 XAU'::monetary, 0, 'half_even'), round('4999999999999999 EUR'::monetary, -15, 'floor');

-- Every mode against its definition in numeric, for random amounts and numbers of decimals.
SELECT setseed(0.4217);
WITH samples AS MATERIALIZED (
    SELECT amount, digits, power(10::numeric, digits) AS scale
    FROM (SELECT round(((random() - 0.5) * 10 ^ (random() * 12)::integer)::numeric, (random() * 6)::integer) AS amount, (random() * 7)::integer - 2 AS digits FROM generate_series(1, 20000)) AS raw
), checks AS (
    SELECT amount, digits, mode,
        amount(round(monetary(amount, 'EUR'), digits, mode)) AS actual,
        CASE mode
            WHEN 'half_up' THEN round(amount, digits)
            WHEN 'half_even' THEN CASE WHEN abs(amount * scale) % 1 = 0.5 THEN 2 * round(amount * scale / 2) / scale ELSE round(amount, digits) END
            WHEN 'up' THEN sign(amount) * ceiling(abs(amount) * scale) / scale
            WHEN 'down' THEN trunc(amount, digits)
            WHEN 'ceiling' THEN ceiling(amount * scale) / scale
            WHEN 'floor' THEN floor(amount * scale) / scale
        END AS expected
    FROM samples, unnest(ARRAY['half_up', 'half_even', 'up', 'down', 'ceiling', 'floor']) AS mode
)
SELECT mode, count(*) AS cases, count(*) FILTER (WHERE actual <> expected) AS wrong FROM checks GROUP BY mode ORDER BY mode;

SELECT statement, pg_temp.error_of(statement)
FROM (VALUES ('SELECT round(''1 XAU''::monetary)'), ('SELECT round(''1 XXX''::monetary, ''half_even'')'), ('SELECT round(''1 ADP''::monetary, ''cash'')'), ('SELECT round(''1 ZRN''::monetary, ''cash'')'), ('SELECT round(''1 EUR''::monetary, ''HALF_UP'')'), ('SELECT round(''1 EUR''::monetary, '''')'),
    ('SELECT round(''1 EUR''::monetary, ''bankers'')'), ('SELECT round(''1 EUR''::monetary, 16)'), ('SELECT round(''1 EUR''::monetary, -16)'), ('SELECT round(''1 EUR''::monetary, 2147483647)'), ('SELECT round(''1 EUR''::monetary, 2, ''cash'')'), ('SELECT round(''1 EUR''::monetary, 2, ''odd'')'),
    ('SELECT round(''9999999999999999.999 EUR''::monetary)'), ('SELECT round(''-10000000000000000 EUR''::monetary, -15, ''up'')')) AS v(statement);
SELECT round('1 XAU'::monetary);
SELECT round('1 EUR'::monetary, 'bankers');

-- round of numbers is not disturbed.
SELECT round(2.5), round(2.345, 2), round(2.5::float8);
