-- Type monetary: arithmetic.

CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

SELECT '0.10 EUR'::monetary + '0.20 EUR' AS sum, '0.10 EUR'::monetary - '0.20 EUR' AS difference, - '5 JPY'::monetary AS negative, - '0 JPY'::monetary AS zero,
    abs('-3.50 EUR'::monetary), abs('3.50 EUR'::monetary), sign('-3.50 EUR'::monetary), sign('0 EUR'::monetary), sign('0.000000000000001 EUR'::monetary), is_zero('0 EUR'::monetary), is_zero('0.000000000000001 EUR'::monetary);
SELECT '19.99 EUR'::monetary * 3 AS times, 3 * '19.99 EUR'::monetary AS commuted, '19.99 EUR'::monetary * 0.19 AS tax, '19.99 EUR'::monetary * -1 AS negative, 0 * '5 EUR'::monetary AS zero,
    '10 EUR'::monetary / 4 AS quarter, '10 EUR'::monetary / 3 AS third, '-20 EUR'::monetary / 3 AS thirds;

-- Ratios have the decimals of numeric division.
SELECT '10 EUR'::monetary / '4 EUR' AS ratio, '1 EUR'::monetary / '3 EUR' AS third, '0.000000000000001 EUR'::monetary / '10000000000000000 EUR' AS tiny,
    '10000000000000000 EUR'::monetary / '-0.000000000000001 EUR' AS huge, pg_typeof('1 EUR'::monetary / '3 EUR');

-- Products and quotients are exact, then rounded once, half to even, at 15 decimals; factors may have any scale.
SELECT '0.000000000000001 EUR'::monetary * 0.5 AS half_to_0, '0.000000000000003 EUR'::monetary * 0.5 AS half_to_2, '-0.000000000000003 EUR'::monetary * 0.5 AS negative,
    '0.000000000000001 EUR'::monetary * 0.50000000000000000000000001 AS above_half, '0.000000000000003 EUR'::monetary * 0.49999999999999999999999999 AS below_half;
SELECT '0.000000000000001 EUR'::monetary / 2 AS half_to_0, '0.000000000000003 EUR'::monetary / 2 AS half_to_2, '-0.000000000000003 EUR'::monetary / 2 AS negative,
    '0.000000000000001 EUR'::monetary / 1.9999999999999999999999999 AS above_half, '0.000000000000003 EUR'::monetary / 2.0000000000000000000000001 AS below_half;
SELECT '10000000000000000 EUR'::monetary * 1e-31 AS vanishes, '10000000000000000 EUR'::monetary * 1e-30 AS tiny_factor, '0.000000000000001 EUR'::monetary * 1e31 AS huge_factor,
    '10000000000000000 EUR'::monetary / 1e30 AS huge_divisor, '0.000000000000001 EUR'::monetary / 1e-31 AS tiny_divisor, '10 EUR'::monetary / -3.00000000000000000001 AS long_divisor,
    '1000000000 EUR'::monetary / 2e24 AS half_to_0, '3000000000 EUR'::monetary / 2e24 AS half_to_2, '-10 EUR'::monetary / -3.00000000000000000001 AS both_negative, '0 EUR'::monetary / 1e-40 AS zero, '1 EUR'::monetary / 1e40 AS nothing;
SELECT '9999999999999999.999999999999999 EUR'::monetary * 1.000000000000000000000000000000 AS ones, '9999999999999999.999999999999999 EUR'::monetary / 1.000000000000000000000000000000 AS one,
    '9999999999999999.999999999999999 EUR'::monetary / 9999999999999999.999999999999999 AS by_itself, '123456789.123456789 EUR'::monetary * 987654.321987654321 AS long_product;

-- What cannot be computed.
SELECT statement, pg_temp.error_of(statement)
FROM (VALUES ('SELECT ''1 EUR''::monetary + ''1 USD'''), ('SELECT ''1 EUR''::monetary - ''1 USD'''), ('SELECT ''1 EUR''::monetary / ''1 USD''::monetary'), ('SELECT ''0 EUR''::monetary + ''0 USD'''),
    ('SELECT ''10000000000000000 EUR''::monetary + ''0.000000000000001 EUR'''), ('SELECT ''-10000000000000000 EUR''::monetary - ''0.000000000000001 EUR'''), ('SELECT ''10000000000000000 EUR''::monetary * 1.1'),
    ('SELECT ''10000000000000000 EUR''::monetary * 1e100'), ('SELECT ''1 EUR''::monetary * 1e23'), ('SELECT ''1 EUR''::monetary / 0'), ('SELECT ''1 EUR''::monetary / 0.00000000000000000000'), ('SELECT ''1 EUR''::monetary / ''0 EUR''::monetary'),
    ('SELECT ''1 EUR''::monetary / 1e-17'), ('SELECT ''1 EUR''::monetary / 1e-100'), ('SELECT ''1 EUR''::monetary * ''NaN''::numeric'), ('SELECT ''Infinity''::numeric * ''1 EUR''::monetary'),
    ('SELECT ''1 EUR''::monetary / ''-Infinity''::numeric'), ('SELECT ''1 EUR''::monetary * ''1 EUR''::monetary'), ('SELECT ''1 EUR''::monetary + 1'), ('SELECT ''1 EUR''::monetary * 1.5::float8'), ('SELECT 1 / ''1 EUR''::monetary')) AS v(statement);
-- the hint tells what to do
SELECT '1 EUR'::monetary + '1 USD';

-- Factors stored with short and long numeric headers, and compressed ones, give the same product.
CREATE TEMPORARY TABLE factors (id integer, factor numeric);
INSERT INTO factors VALUES (1, 1.5), (2, 0.000000000000000000015e20), (3, 1.5 + 0), (4, ('1.5' || repeat('0', 16000))::numeric), (5, 1.5::numeric(1000, 500));
SELECT id, '2 EUR'::monetary * factor AS product, '3 EUR'::monetary / factor AS quotient FROM factors ORDER BY id;
