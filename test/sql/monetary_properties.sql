-- Type monetary: random values against definitions in numeric, which is exact and independent of the type's own arithmetic.

SELECT setseed(0.20260101);
-- amounts and factors of very different sizes, from 1e-15 to 1e16, some with a long run of equal digits
CREATE TEMPORARY TABLE samples AS
SELECT id, trunc((random() - 0.5)::numeric * 10 ^ a_size * 2 + (random() - 0.5)::numeric * 1e-9, 15) AS a, trunc((random() - 0.5)::numeric * 10 ^ b_size, b_scale) AS b
FROM (SELECT id, (id % 17)::numeric AS a_size, (id / 17 % 20 - 4)::numeric AS b_size, id % 22 AS b_scale FROM generate_series(1, 20000) AS id) AS sizes;
INSERT INTO samples SELECT 20000 + row_number() OVER (), a, b
FROM unnest(ARRAY[0, 1e-15, -1e-15, 1e16, -1e16, 9999999999999999.999999999999999, 0.5, 3e-15, 18446.744073709551616, 1, 9.999999999999999]) AS a,
    unnest(ARRAY[0, 1, -1, 0.5, 1e-15, 5e-16, 3, 7e15, 0.1, 1e-20, 18446744073.709551616, 1e16, 0.333333333333333333333333, 184467440737095516160000.5]) AS b;

-- round half to even at 15 decimals
CREATE FUNCTION pg_temp.half_even(x numeric) RETURNS numeric LANGUAGE sql AS $$
    SELECT CASE WHEN abs(x * 1e15) % 1 = 0.5 THEN 2 * round(x * 1e15 / 2) * 1e-15 ELSE round(x, 15) END
$$;

-- The value goes through numeric, text and bytes unchanged.
SELECT count(*) FILTER (WHERE amount(monetary(a, 'EUR')) <> a) AS wrong_amount, count(*) FILTER (WHERE monetary(a, 'EUR')::text::monetary <> monetary(a, 'EUR')) AS wrong_text,
    count(*) FILTER (WHERE (monetary(a, 'EUR')::json ->> 'amount')::numeric <> a) AS wrong_json, count(*) FILTER (WHERE amount(monetary(b, 'EUR')) <> pg_temp.half_even(b)) AS wrong_rounding,
    count(*) FILTER (WHERE split_part(monetary(a, 'KWD')::text, ' ', 1)::numeric <> a OR scale(amount(monetary(a, 'KWD'))) <> greatest(min_scale(a), 3)) AS wrong_display
FROM samples WHERE abs(b) <= 1e16;

-- Sums, products, quotients, ratios.
SELECT count(*) > 15000 AS enough, count(*) FILTER (WHERE amount(monetary(a, 'EUR') + monetary(b, 'EUR')) <> a + pg_temp.half_even(b)) AS wrong_sum, count(*) FILTER (WHERE amount(monetary(a, 'EUR') - monetary(b, 'EUR')) <> a - pg_temp.half_even(b)) AS wrong_difference,
    count(*) FILTER (WHERE amount(- monetary(a, 'EUR')) <> - a OR amount(abs(monetary(a, 'EUR'))) <> abs(a) OR sign(monetary(a, 'EUR')) <> sign(a) OR is_zero(monetary(a, 'EUR')) <> (a = 0)) AS wrong_sign
FROM samples WHERE abs(a) + abs(b) < 1e16;
SELECT count(*) > 10000 AS enough, count(*) FILTER (WHERE amount(monetary(a, 'EUR') * b) <> pg_temp.half_even(a * b)) AS wrong, count(*) FILTER (WHERE monetary(a, 'EUR') * b <> b * monetary(a, 'EUR')) AS not_commutative
FROM samples WHERE abs(a * b) < 1e16;
-- the quotient is the nearest, and the even one of two that are equally near
SELECT count(*) > 15000 AS enough, count(*) FILTER (WHERE abs(quotient * b - a) > abs(b) * 5e-16) AS not_nearest, count(*) FILTER (WHERE abs(quotient * b - a) = abs(b) * 5e-16 AND quotient * 1e15 % 2 <> 0) AS not_even
FROM (SELECT a, b, amount(monetary(a, 'EUR') / b) AS quotient FROM samples WHERE b <> 0 AND abs(a) < 9e15 * abs(b)) AS quotients;
SELECT count(*) > 15000 AS enough, count(*) FILTER (WHERE monetary(a, 'EUR') / monetary(b, 'EUR') <> trim_scale(a) / trim_scale(pg_temp.half_even(b))) AS wrong
FROM samples WHERE abs(b) BETWEEN 1e-15 AND 1e16;
-- what does not fit raises, whichever way it is computed
CREATE FUNCTION pg_temp.fits(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN true;
EXCEPTION WHEN numeric_value_out_of_range THEN
    RETURN false;
END $$;
SELECT count(*) > 5000 AS enough, count(*) FILTER (WHERE pg_temp.fits(format('SELECT monetary(%s, ''EUR'') * (%s)', a, b)) <> (abs(pg_temp.half_even(a * b)) <= 1e16)) AS wrong
FROM samples WHERE abs(a * b) BETWEEN 9e15 AND 1e40;

-- The order is that of currency and amount, through every path that sorts or searches.
CREATE TEMPORARY TABLE ordered AS
SELECT (ARRAY['AED', 'EUR', 'EEK', 'USD', 'USN'])[id % 5 + 1] AS currency, a AS amount, monetary(a, (ARRAY['AED', 'EUR', 'EEK', 'USD', 'USN'])[id % 5 + 1]) AS value FROM samples;
SELECT count(*) AS wrong_sort FROM (SELECT row_number() OVER (ORDER BY value) AS by_value, dense_rank() OVER (ORDER BY value) AS value_rank, dense_rank() OVER (ORDER BY currency COLLATE "C", amount) AS field_rank FROM ordered) AS ranks
WHERE value_rank <> field_rank;
SELECT count(*) AS wrong_neighbours FROM (SELECT value, lag(value) OVER (ORDER BY currency COLLATE "C", amount) AS before FROM ordered) AS neighbours WHERE before > value OR monetary_cmp(before, value) > 0;
SELECT count(DISTINCT value) = count(DISTINCT (currency, amount)) AS same_values, count(DISTINCT monetary_hash_extended(value, 42)) > 0.999 * count(DISTINCT value) AS hash_scatters FROM ordered;

-- Aggregates.
SELECT bool_and(amount(sum) = numeric_sum) AS sums_exact, bool_and(abs(amount(avg) * n - numeric_sum) <= n * 5e-16) AS means_nearest, bool_and(amount(min) = numeric_min AND amount(max) = numeric_max) AS extremes
FROM (SELECT sum(monetary(a / 2, 'EUR')), avg(monetary(a / 2, 'EUR')), min(monetary(a, 'EUR')), max(monetary(a, 'EUR')), sum(pg_temp.half_even(a / 2)) AS numeric_sum, min(a) AS numeric_min, max(a) AS numeric_max, count(*) AS n FROM samples WHERE abs(a) < 1e12 GROUP BY id % 100) AS groups;
-- in any order, in any partition into partial sums
SELECT count(DISTINCT sum) AS orders FROM (SELECT sum(value) FROM (SELECT seed, monetary(a, 'EUR') AS value FROM samples, generate_series(1, 5) AS seed WHERE abs(a) < 1e10 ORDER BY seed, md5(seed::text || id::text)) AS shuffled GROUP BY seed) AS sums;
