-- Type monetary: comparison operators, operator classes and the plans that use them.

-- The order is by the letters of the currency, then by the amount.
SELECT value FROM (VALUES ('1 USD'::monetary), ('-1 USD'), ('0 USD'), ('10000000000000000 EUR'), ('-10000000000000000 EUR'), ('0.000000000000001 EUR'), ('-0.000000000000001 EUR'),
    ('0 EUR'), ('5 AED'), ('18446.744073709551616 EUR'), ('18446.744073709551615 EUR'), ('-18446.744073709551616 EUR'), ('-18446.744073709551617 EUR'), ('7 ZWL'), (NULL)) AS v(value)
ORDER BY value;

-- Every operator and the comparison function agree, for every pair of a set of awkward values: a violation of any law is a row.
CREATE TEMPORARY TABLE awkward AS
SELECT monetary(amount, currency) AS value, currency, amount
FROM unnest(ARRAY[0, 1e-15, -1e-15, 1, -1, 0.5, 18446.744073709551615, 18446.744073709551616, -18446.744073709551615, -18446.744073709551616, 18446.744073709551617,
    1e16, -1e16, 9999999999999999.999999999999999, 2.199023255552, 4398.046511104, 0.000000000000002, 1e10, -1e10]) AS amount,
    unnest(ARRAY['AED', 'EUR', 'EEK', 'ZWL', 'AEY']) AS currency
WHERE currency IN (SELECT code FROM currencies());
SELECT count(*) AS pairs,
    count(*) FILTER (WHERE (a.value = b.value) <> ((a.currency, a.amount) = (b.currency, b.amount))) AS wrong_eq,
    count(*) FILTER (WHERE (a.value <> b.value) = (a.value = b.value)) AS wrong_ne,
    count(*) FILTER (WHERE (a.value < b.value) <> ((a.currency COLLATE "C", a.amount) < (b.currency COLLATE "C", b.amount))) AS wrong_lt,
    count(*) FILTER (WHERE (a.value <= b.value) <> (a.value < b.value OR a.value = b.value)) AS wrong_le,
    count(*) FILTER (WHERE (a.value > b.value) <> (b.value < a.value)) AS wrong_gt,
    count(*) FILTER (WHERE (a.value >= b.value) <> (b.value <= a.value)) AS wrong_ge,
    count(*) FILTER (WHERE monetary_cmp(a.value, b.value) <> CASE WHEN a.value < b.value THEN -1 WHEN a.value = b.value THEN 0 ELSE 1 END) AS wrong_cmp,
    count(*) FILTER (WHERE monetary_cmp(a.value, b.value) <> -monetary_cmp(b.value, a.value)) AS asymmetric,
    count(*) FILTER (WHERE (a.value = b.value) <> (monetary_send(a.value) = monetary_send(b.value))) AS wrong_image,
    count(*) FILTER (WHERE a.value = b.value AND (monetary_hash(a.value) <> monetary_hash(b.value) OR monetary_hash_extended(a.value, 7) <> monetary_hash_extended(b.value, 7))) AS wrong_hash
FROM awkward AS a, awkward AS b;
-- the hash with seed 0 has the plain hash in its lower half, as PostgreSQL wants it
SELECT count(*) FROM awkward WHERE monetary_hash_extended(value, 0) & x'FFFFFFFF'::bigint <> monetary_hash(value)::bigint & x'FFFFFFFF'::bigint;
-- sorting with abbreviated keys gives the same order as comparing field by field
SELECT count(*) FROM (
    SELECT row_number() OVER (ORDER BY value) AS by_value, row_number() OVER (ORDER BY currency COLLATE "C", amount) AS by_fields FROM awkward) AS ranks
WHERE by_value <> by_fields;

-- A table with several currencies and many equal values.
CREATE TABLE monetary_ordered AS
SELECT i AS id, monetary((i * 7919 % 500 - 250) / 10.0, (ARRAY['EUR', 'JPY', 'USD'])[i % 3 + 1]) AS value
FROM generate_series(1, 20000) AS i;
VACUUM ANALYZE monetary_ordered;

-- btree
CREATE INDEX monetary_ordered_btree ON monetary_ordered (value);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM monetary_ordered WHERE value = '12.30 EUR';
EXPLAIN (COSTS OFF) SELECT count(*) FROM monetary_ordered WHERE value BETWEEN '1 EUR' AND '2 EUR';
-- the plan of min and max is spelled differently by different server versions
CREATE FUNCTION pg_temp.plan_lines(query text, pattern text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    line text;
    lines bigint := 0;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        lines := lines + (line ~ pattern)::integer;
    END LOOP;
    RETURN lines;
END $$;
SELECT pg_temp.plan_lines('SELECT min(value), max(value) FROM monetary_ordered', 'Index Only Scan( Backward)? using monetary_ordered_btree') AS index_scans;
SELECT count(*) FROM monetary_ordered WHERE value BETWEEN '1 EUR' AND '2 EUR';
SELECT min(value), max(value) FROM monetary_ordered;
SELECT count(*) FROM (SELECT value, lag(value) OVER (ORDER BY value) AS before FROM monetary_ordered) AS neighbours WHERE value < before;
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*), min(value), max(value) FROM monetary_ordered WHERE value >= '1 EUR' AND value <= '2 EUR';
-- equal values have equal bytes: duplicates are stored once, so the index is smaller than one with an entry a row
CREATE INDEX monetary_ordered_plain ON monetary_ordered (value) WITH (deduplicate_items = off);
SELECT pg_relation_size('monetary_ordered_btree') < 0.7 * pg_relation_size('monetary_ordered_plain') AS duplicates_stored_once;
DROP INDEX monetary_ordered_btree, monetary_ordered_plain;

-- hash: index, join, aggregation, partitioning
CREATE INDEX monetary_ordered_hash ON monetary_ordered USING hash (value);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM monetary_ordered WHERE value = '12.30 EUR';
SELECT count(*) FROM monetary_ordered WHERE value = '12.30 EUR';
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*) FROM monetary_ordered WHERE value = '12.30 EUR';
DROP INDEX monetary_ordered_hash;
SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM monetary_ordered AS a JOIN monetary_ordered AS b USING (value);
SELECT count(*) FROM monetary_ordered AS a JOIN monetary_ordered AS b USING (value);
RESET enable_mergejoin;
SET enable_hashjoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM monetary_ordered AS a JOIN monetary_ordered AS b USING (value);
SELECT count(*) FROM monetary_ordered AS a JOIN monetary_ordered AS b USING (value);
RESET enable_hashjoin;
RESET enable_nestloop;
SELECT count(*), sum(n) FROM (SELECT value, count(*) AS n FROM monetary_ordered GROUP BY value) AS groups;
CREATE TABLE monetary_partitioned (value monetary) PARTITION BY HASH (value);
CREATE TABLE monetary_partitioned_0 PARTITION OF monetary_partitioned FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE monetary_partitioned_1 PARTITION OF monetary_partitioned FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO monetary_partitioned SELECT value FROM monetary_ordered;
SELECT count(*) > 8000 AS first_in_use, count(*) < 12000 AS second_in_use FROM monetary_partitioned_0;
EXPLAIN (COSTS OFF) SELECT * FROM monetary_partitioned WHERE value = '12.30 EUR';
DROP TABLE monetary_partitioned;

-- BRIN: minimum and maximum, and Bloom filter
CREATE TABLE monetary_appended AS SELECT monetary(i / 100.0, 'EUR') AS value FROM generate_series(1, 20000) AS i;
CREATE INDEX monetary_appended_minmax ON monetary_appended USING brin (value) WITH (pages_per_range = 4);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM monetary_appended WHERE value < '3 EUR';
SELECT count(*) FROM monetary_appended WHERE value < '3 EUR';
DROP INDEX monetary_appended_minmax;
CREATE INDEX monetary_appended_bloom ON monetary_appended USING brin (value monetary_bloom_ops) WITH (pages_per_range = 4);
EXPLAIN (COSTS OFF) SELECT count(*) FROM monetary_appended WHERE value = '3 EUR';
SELECT count(*) FROM monetary_appended WHERE value = '3 EUR';
RESET enable_seqscan;

-- The planner estimates by the built-in functions: a comparison that matches little is known to match little.
ANALYZE monetary_appended;
CREATE FUNCTION pg_temp.estimated_rows(query text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SELECT pg_temp.estimated_rows('SELECT FROM monetary_appended WHERE value = ''3 EUR''') < 10 AS eq,
    pg_temp.estimated_rows('SELECT FROM monetary_appended WHERE value < ''2 EUR''') < 2000 AS lt,
    pg_temp.estimated_rows('SELECT FROM monetary_appended WHERE value >= ''2 EUR''') > 18000 AS ge;

-- Every operator class is valid.
SELECT opcname, amname, opcdefault, amvalidate(o.oid)
FROM pg_opclass AS o JOIN pg_am AS a ON a.oid = opcmethod
WHERE opcintype = 'billing.monetary'::regtype ORDER BY amname, opcname;
DROP TABLE monetary_ordered, monetary_appended;
