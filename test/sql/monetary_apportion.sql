-- Window function apportion: parts that add up.

CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- All shares of a total over a list of weights; ties go to the first.
CREATE FUNCTION pg_temp.shares(total monetary, weights numeric[], digits integer DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(share::text, ', ' ORDER BY place) FROM (
        SELECT place, apportion(total, weight, place, digits) OVER () AS share FROM unnest(weights) WITH ORDINALITY AS w(weight, place)) AS parts
$$;

SELECT total, weights, pg_temp.shares(total, weights)
FROM (VALUES ('100 EUR'::monetary, ARRAY[1, 1, 1]::numeric[]), ('-100 EUR', '{1,1,1}'), ('0.10 EUR', '{1,1,1,1,1,1,1}'), ('1 EUR', '{3.33,3.33,3.34}'), ('10 EUR', '{6000,4000}'), ('1000 EUR', '{333,333,334}'), ('5 EUR', '{0,1,0}'),
    ('100 JPY', '{1,1,1}'), ('100 KWD', '{1,1,1}'), ('0 EUR', '{1,2}'), ('0 EUR', '{0,0}'), ('0.01 EUR', '{1,1,1}'), ('0.02 EUR', '{1,5,1}'), ('7 EUR', '{5}')) AS v(total, weights);
-- only the proportions of weights matter, and they are exact up to 38 digits
SELECT weights, pg_temp.shares('10 EUR', weights)
FROM (VALUES (ARRAY[1e-30, 2e-30]::numeric[]), ('{1e37,2e37}'), ('{0.33333333333333333333,0.66666666666666666667}'), ('{1e-18,1e18}'), ('{100000000000000000000000,1}')) AS v(weights);
-- the largest amount there is
SELECT pg_temp.shares('10000000000000000 EUR', '{1,1,1}'), pg_temp.shares('-9999999999999999.999999999999999 EUR', '{1e15,1,1e-15}', 15);
-- other steps than the minor unit
SELECT pg_temp.shares('100 EUR', '{1,1,1}', 4), pg_temp.shares('100 EUR', '{1,1,1}', 0), pg_temp.shares('100 XAU', '{1,1,1}', 15), pg_temp.shares('10.005 EUR', '{1,1}', 3), pg_temp.shares('5000 EUR', '{1,2}', -3);

-- Partitions, ties of several types, order of the rows
SELECT pool, name, weight, apportion(total, weight, name) OVER (PARTITION BY pool) AS share, apportion(total, weight, - id) OVER (PARTITION BY pool ORDER BY name DESC) AS by_id
FROM (VALUES ('a', '10 EUR'::monetary, 1, 'x', 1.0), ('a', '10 EUR', 2, 'y', 1.0), ('a', '10 EUR', 3, 'z', 1.0), ('b', '0.05 USD', 4, 'p', 2), ('b', '0.05 USD', 5, 'q', 2), ('c', NULL, 6, 'r', 1)) AS v(pool, total, id, name, weight)
ORDER BY pool, name;
-- a null tie comes last; a tie that decides nothing is not looked at
SELECT name, apportion('0.01 EUR', 1, tie) OVER () FROM (VALUES ('a', NULL), ('b', 2)) AS v(name, tie) ORDER BY name;
SELECT name, apportion('0.02 EUR', 1, 1) OVER () FROM (VALUES ('a'), ('b')) AS v(name) ORDER BY name;
-- the answer does not depend on the order in which rows are read
SELECT count(DISTINCT shares) FROM (
    SELECT seed, string_agg(share::text, ',' ORDER BY id) AS shares FROM (
        SELECT seed, id, apportion('100.01 EUR', id % 7, id) OVER (PARTITION BY seed ORDER BY md5(seed::text || id::text)) AS share FROM generate_series(1, 20) AS seed, generate_series(1, 50) AS id) AS shuffled
    GROUP BY seed) AS runs;

-- What is refused.
SELECT statement, pg_temp.error_of(statement)
FROM (VALUES ('SELECT pg_temp.shares(''1 EUR'', ''{0,0}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1,-1}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1,NULL}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1,NaN}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1,Infinity}'')'),
    ('SELECT pg_temp.shares(''1.005 EUR'', ''{1,1}'')'), ('SELECT pg_temp.shares(''1 XAU'', ''{1,1}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1,1}'', 16)'), ('SELECT pg_temp.shares(''1 EUR'', ''{1e-30,1e30}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1e38,1e38}'')'), ('SELECT pg_temp.shares(''1 EUR'', ''{1e40,1e40}'')'),
    ('SELECT apportion(total, 1, id) OVER () FROM (VALUES (1, ''1 EUR''::monetary), (2, ''2 EUR'')) AS v(id, total)'), ('SELECT apportion(total, 1, id) OVER () FROM (VALUES (1, ''1 EUR''::monetary), (2, NULL)) AS v(id, total)'),
    ('SELECT apportion(''1 EUR'', 1, id, id) OVER () FROM generate_series(1, 2) AS id'), ('SELECT apportion(''1 EUR'', 1, 7) OVER () FROM generate_series(1, 3) AS id'), ('SELECT apportion(''1 EUR'', 1, NULL::integer) OVER () FROM generate_series(1, 3) AS id'),
    ('SELECT apportion(''1 EUR'', 1, ''(1,2)''::point) OVER ()'), ('SELECT apportion(''1 EUR'', 1, 1)')) AS v(statement);
-- weights that fit 15 decimals each, but not their sum
SELECT pg_temp.shares('1 EUR', '{1e23,1e23}');

-- Random totals and weights: shares add up, none is further than one unit from the exact share, zero weights get nothing, larger weights never get less.
SELECT setseed(0.71);
CREATE TEMPORARY TABLE apportioned AS
SELECT pool, id, total, weight, apportion(total, weight, id, digits) OVER (PARTITION BY pool) AS share, coalesce(digits, 2) AS digits, sum(weight) OVER (PARTITION BY pool) AS weight_sum
FROM (SELECT pool, CASE WHEN pool % 2 = 0 THEN 6 END AS digits, monetary(round(((random() - 0.5) * 10 ^ (pool % 9))::numeric, CASE WHEN pool % 2 = 0 THEN 6 ELSE 2 END), 'EUR') AS total FROM generate_series(1, 1000) AS pool) AS pools,
    LATERAL (SELECT id, CASE WHEN random() < 0.1 AND id > 1 THEN 0 ELSE round((random() * 10 ^ (pool % 5))::numeric, pool % 20) + CASE WHEN id = 1 THEN 1 ELSE 0 END END AS weight FROM generate_series(1, 1 + pool % 40) AS id) AS members;
SELECT count(DISTINCT pool) AS pools, count(*) AS shares FROM apportioned;
SELECT count(*) AS not_conserved FROM (SELECT FROM apportioned GROUP BY pool, total HAVING sum(share) <> total) AS wrong;
SELECT count(*) FILTER (WHERE abs(amount(share) - amount(total) * weight / weight_sum) >= power(10::numeric, - digits)) AS far_off,
    count(*) FILTER (WHERE weight = 0 AND NOT is_zero(share)) AS from_nothing, count(*) FILTER (WHERE round(share, digits) <> share) AS not_in_units,
    count(*) FILTER (WHERE sign(share) NOT IN (0, sign(total))) AS wrong_sign
FROM apportioned;
SELECT count(*) AS unfair FROM apportioned AS a JOIN apportioned AS b USING (pool) WHERE a.weight > b.weight AND abs(a.share) < abs(b.share);
