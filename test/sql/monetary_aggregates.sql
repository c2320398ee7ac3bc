-- Type monetary: sum, avg, min, max, their parallel and moving forms, and the state type monetary_sum.

CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

SELECT sum(value), avg(value), min(value), max(value), count(value)
FROM (VALUES ('10.01 EUR'::monetary), ('-0.01 EUR'), (NULL), ('0.000000000000001 EUR'), ('5 EUR')) AS v(value);
-- nothing gives null
SELECT sum(value), avg(value), min(value), max(value) FROM (SELECT NULL::monetary AS value WHERE false) AS nothing;
SELECT sum(value), avg(value), min(value), max(value) FROM (SELECT NULL::monetary AS value) AS only_null;
-- the mean is rounded once, half to even
SELECT avg(value) FROM (VALUES ('0.000000000000001 EUR'::monetary), ('0 EUR')) AS v(value);
SELECT avg(value) FROM (VALUES ('0.000000000000003 EUR'::monetary), ('0 EUR')) AS v(value);
SELECT avg(value) FROM (VALUES ('-10 EUR'::monetary), ('0 EUR'), ('0 EUR')) AS v(value);
-- a sum may leave the range on the way, but not at the end
SELECT sum(value), avg(value) FROM (VALUES ('10000000000000000 EUR'::monetary), ('10000000000000000 EUR'), ('-10000000000000000 EUR')) AS v(value);
SELECT avg(value) FROM (VALUES ('10000000000000000 EUR'::monetary), ('10000000000000000 EUR')) AS v(value);
SELECT sum(value) FROM (VALUES ('10000000000000000 EUR'::monetary), ('0.000000000000001 EUR')) AS v(value);
-- two currencies are no sum; in groups they are
SELECT sum(value) FROM (VALUES ('1 EUR'::monetary), ('1 USD')) AS v(value);
SELECT avg(value) FROM (VALUES ('1 EUR'::monetary), (NULL), ('0 USD')) AS v(value);
SELECT currency(value), sum(value), sum(DISTINCT value), sum(value) FILTER (WHERE value < '2 EUR') FROM (VALUES ('1 EUR'::monetary), ('1 USD'), ('2 EUR'), ('1 EUR')) AS v(value) GROUP BY currency(value) ORDER BY 1;
-- the least and the greatest of several currencies are those of the sort order
SELECT min(value), max(value) FROM (VALUES ('2 EUR'::monetary), ('1 USD'), ('3 CHF')) AS v(value);

-- In parallel: partial sums in workers, combined in the leader.
CREATE TABLE monetary_amounts AS
SELECT i AS id, i % 7 AS part, monetary((i * 7919 % 100003 - 50000) / 1000.0 + 1e-15 * (i % 11), 'EUR') AS value FROM generate_series(1, 100000) AS i;
ALTER TABLE monetary_amounts SET (parallel_workers = 2);
ANALYZE monetary_amounts;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
EXPLAIN (COSTS OFF) SELECT sum(value), avg(value), min(value), max(value) FROM monetary_amounts;
SELECT sum(value), avg(value), min(value), max(value) FROM monetary_amounts;
CREATE TEMPORARY TABLE by_part AS SELECT part, sum(value), avg(value), min(value), max(value) FROM monetary_amounts GROUP BY part;
EXPLAIN (COSTS OFF) SELECT part, sum(value) FROM monetary_amounts GROUP BY part;
CREATE TEMPORARY TABLE in_parallel AS SELECT id % 997 AS remainder, sum(value), avg(value), min(value), max(value) FROM monetary_amounts GROUP BY 1;
-- mixed currencies are found by the workers and between them
INSERT INTO monetary_amounts SELECT 0, 0, '1 USD' FROM generate_series(1, 3);
SELECT pg_temp.error_of('SELECT sum(value) FROM monetary_amounts');
DELETE FROM monetary_amounts WHERE id = 0;
SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT sum(value) FROM monetary_amounts;
SELECT count(*) FROM in_parallel FULL JOIN (SELECT id % 997 AS remainder, sum(value), avg(value), min(value), max(value) FROM monetary_amounts GROUP BY 1) AS serial
    USING (remainder, sum, avg, min, max) WHERE serial IS NULL OR in_parallel IS NULL;
SELECT count(*) FROM by_part JOIN (SELECT part, sum(value), avg(value), min(value), max(value) FROM monetary_amounts GROUP BY part) AS serial USING (part, sum, avg, min, max);
-- and both equal numeric arithmetic
SELECT sum(value) = monetary(sum(amount(value)), 'EUR') AS sum_is_exact, amount(avg(value)) - avg(amount(value)) BETWEEN -5e-16 AND 5e-16 AS average_is_nearest FROM monetary_amounts;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;

-- Window frames: the moving form equals a sum over the frame's rows.
SELECT id, value, sum(value) OVER frame AS sum, avg(value) OVER frame AS avg
FROM (VALUES (1, '1 EUR'::monetary), (2, NULL), (3, NULL), (4, '4 EUR'), (5, '0.10 EUR')) AS v(id, value)
WINDOW frame AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY id;
-- a frame that moves on from one currency to the next
SELECT id, sum(value) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND CURRENT ROW)
FROM (VALUES (1, '1 EUR'::monetary), (2, '2 USD'), (3, '3 EUR')) AS v(id, value) ORDER BY id;
SELECT id, sum(value) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
FROM (VALUES (1, '1 EUR'::monetary), (2, '2 USD'), (3, '3 EUR')) AS v(id, value) ORDER BY id;
-- FILTER (WHERE random() >= 0) keeps the server from using the moving form
SELECT count(*) FROM (
    SELECT sum(value) OVER frame AS moving, sum(value) FILTER (WHERE random() >= 0) OVER frame AS plain,
        avg(value) OVER frame AS moving_avg, avg(value) FILTER (WHERE random() >= 0) OVER frame AS plain_avg
    FROM (SELECT id, nullif(value, '0 EUR') AS value FROM monetary_amounts WHERE id <= 2000) AS amounts
    WINDOW frame AS (ORDER BY id ROWS BETWEEN 7 PRECEDING AND 3 FOLLOWING)) AS sums
WHERE moving IS DISTINCT FROM plain OR moving_avg IS DISTINCT FROM plain_avg;
CREATE TEMPORARY TABLE few_amounts AS SELECT id, value FROM monetary_amounts WHERE id <= 300;
SELECT count(*) FROM (
    SELECT sum(value) OVER frame AS moving, (SELECT sum(inner_amounts.value) FROM few_amounts AS inner_amounts WHERE inner_amounts.id BETWEEN amounts.id - 5 AND amounts.id) AS direct
    FROM few_amounts AS amounts
    WINDOW frame AS (ORDER BY id ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)) AS sums
WHERE moving IS DISTINCT FROM direct;

-- The state is a value of its own: it can be stored and combined later, and direct calls do not change their argument.
SELECT monetary_sum_add('(0,0,)', '1.50 EUR'), monetary_sum_combine('(2,3,EUR)', '(3,0.25,EUR)'), monetary_sum_combine('(0,0,)', '(3,0.25,EUR)'), monetary_sum_combine('(3,0.25,EUR)', '(0,0,)'), monetary_sum_combine('(0,0,)', '(0,0,)');
CREATE TABLE monetary_states AS SELECT '(2,2.00,EUR)'::monetary_sum AS state;
SELECT monetary_sum_add(state, '1 EUR') AS added, monetary_sum_remove(state, '1 EUR') AS removed, monetary_sum_combine(state, state) AS combined FROM monetary_states;
SELECT state FROM monetary_states;
DROP TABLE monetary_states;
SELECT monetary_sum_remove('(1,1.50,EUR)', '1.50 EUR') AS emptied, monetary_sum_total('(0,0,)') IS NULL AS no_total, monetary_sum_average('(3,10,EUR)'), monetary_sum_average('(0,0,)') IS NULL AS no_average;
SELECT statement, pg_temp.error_of(statement)
FROM (VALUES ('SELECT monetary_sum_combine(''(1,1,EUR)'', ''(1,1,USD)'')'), ('SELECT monetary_sum_add(''(1,1,EUR)'', ''1 USD'')'), ('SELECT monetary_sum_remove(''(2,1,EUR)'', ''1 USD'')'), ('SELECT monetary_sum_remove(''(0,0,)'', ''1 USD'')'),
    ('SELECT monetary_sum_remove(''(1,1,EUR)'', ''2 EUR'')'), ('SELECT monetary_sum_total(''(2,20000000000000000,EUR)'')'), ('SELECT monetary_sum_add(''(1,170141183460469231731687.303715884105727,EUR)'', ''0.000000000000001 EUR'')'),
    ('SELECT monetary_sum_combine(''(9223372036854775807,1,EUR)'', ''(1,1,EUR)'')'), ('SELECT ''(1,1,EUR)''::monetary_sum'), ('SELECT ''(1,1,QQQ)''::monetary_sum'), ('SELECT ''(-1,1,EUR)''::monetary_sum'), ('SELECT ''(0,1,EUR)''::monetary_sum'),
    ('SELECT ''(0,0,EUR)''::monetary_sum'), ('SELECT ''(1.5,1,EUR)''::monetary_sum'), ('SELECT ''(1,1,EUR''::monetary_sum'), ('SELECT ''(1,1)''::monetary_sum'), ('SELECT ''''::monetary_sum'), ('SELECT '',,''::monetary_sum'), ('SELECT ''(1,1e30,EUR)''::monetary_sum'),
    ('SELECT ''(9223372036854775808,1,EUR)''::monetary_sum')) AS v(statement);

-- All states are concrete SQL types, and whatever can be moved or combined is.
SELECT aggfnoid::regprocedure, aggtranstype::regtype, aggcombinefn, aggserialfn, aggmtransfn, aggminvtransfn, aggsortop::regoperator, proparallel
FROM pg_aggregate JOIN pg_proc ON pg_proc.oid = aggfnoid WHERE 'billing.monetary'::regtype = ANY (proargtypes) ORDER BY proname COLLATE "C";
DROP TABLE monetary_amounts;
