-- Type usage_interval: comparison operators, btree, hash and BRIN, sorting.
SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';

-- By end, then start, then quantity.
CREATE TABLE ordered (position integer, value usage_interval);
INSERT INTO ordered VALUES
    (1, '2026-10-01 1'),
    (2, '[2026-10-01,2026-10-03) -1'),
    (3, '[2026-10-01,2026-10-03) 0'),
    (4, '[2026-10-01,2026-10-03) 0.000000000000001'),
    (5, '[2026-10-01,2026-10-03) 100000000000000000000'),
    (6, '[2026-10-02,2026-10-03) -7'),
    (7, '2026-10-03 -8'),
    (8, '1000-01-01 00:00:00+00 1');
UPDATE ordered SET position = 0 WHERE position = 8;
SELECT position, value FROM ordered ORDER BY value;
SELECT position FROM ordered ORDER BY value USING OPERATOR(billing.>);

-- Every operator against every pair: wrong answers.
SELECT count(*) AS pairs,
       count(*) FILTER (WHERE (a.value < b.value) <> (a.position < b.position) OR (a.value <= b.value) <> (a.position <= b.position)
                        OR (a.value > b.value) <> (a.position > b.position) OR (a.value >= b.value) <> (a.position >= b.position)
                        OR (a.value = b.value) <> (a.position = b.position) OR (a.value <> b.value) <> (a.position <> b.position)
                        OR sign(usage_interval_cmp(a.value, b.value)) <> sign(a.position - b.position)) AS wrong
FROM ordered AS a, ordered AS b;

-- Equal values have equal bytes, whatever they were written as.
SELECT usage_interval '[2026-10-03 12:00+02,2026-10-03 13:00+02) 5.0' = '[2026-10-03 10:00Z,2026-10-03 11:00Z) 5' AS equal,
       usage_interval_hash('2026-10-03 12:00+02 -0') = usage_interval_hash('2026-10-03 10:00Z 0') AS equal_hash,
       usage_interval_hash_extended('2026-10-03 12:00+02 -0', 7) = usage_interval_hash_extended('2026-10-03 10:00Z 0', 7) AS equal_extended_hash,
       usage_interval_hash_extended('2026-10-03 10:00Z 0', 0) = usage_interval_hash_extended('2026-10-03 10:00Z 0', 1) AS same_for_any_seed,
       usage_interval_hash('2026-10-03 1') = usage_interval_hash('2026-10-03 2') AS hash_of_another_quantity;

-- Laws of the order over random values with many ties.
SELECT setseed(0.2);
CREATE TABLE sample AS
SELECT number, usage_interval(start, start + (random() * 3)::integer * interval '1 hour', ((random() - 0.5) * 4)::integer) AS value
FROM (SELECT number, timestamptz '2026-10-01' + (random() * 300)::integer * interval '1 hour' AS start
      FROM generate_series(1, 3000) AS number) AS s;
SELECT count(*) FILTER (WHERE (a.value < b.value)::integer + (a.value = b.value)::integer + (a.value > b.value)::integer <> 1) AS not_trichotomous,
       count(*) FILTER (WHERE (a.value < b.value) <> (b.value > a.value)) AS not_antisymmetric,
       count(*) FILTER (WHERE (a.value < b.value) <> ((ends_at(a.value), starts_at(a.value), quantity(a.value)) < (ends_at(b.value), starts_at(b.value), quantity(b.value)))) AS not_as_documented
FROM sample AS a, sample AS b WHERE a.number <= 400 AND b.number <= 400;
SELECT count(*) AS out_of_order
FROM (SELECT value, lag(value) OVER (ORDER BY value) AS before FROM sample) AS s WHERE before > value;

-- An index is used, gives the same answers as a scan of the table, and keeps equal keys once.
CREATE INDEX sample_btree ON sample (value);
ANALYZE sample;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM sample WHERE value = '2026-10-03 1';
CREATE FUNCTION pg_temp.lines_of_plan(query text, pattern text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan text;
BEGIN
    EXECUTE 'EXPLAIN (COSTS OFF, FORMAT yaml) ' || query INTO plan;
    RETURN regexp_count(plan, pattern);
END $$;
SELECT pg_temp.lines_of_plan('SELECT min(value), max(value) FROM sample', 'Index Only Scan') AS index_scans_of_min_and_max;
SELECT count(*) AS by_index FROM sample WHERE value >= '2026-10-05 -100' AND value < '[2026-10-08,2026-10-09) -100' \gset
SET enable_seqscan = on; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SELECT count(*) = :by_index AS same_as_scan, count(*) > 100 AS some FROM sample WHERE value >= '2026-10-05 -100' AND value < '[2026-10-08,2026-10-09) -100';
RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_indexonlyscan;
CREATE TABLE repeated AS SELECT usage_interval '2026-10-03 1' AS value FROM generate_series(1, 20000);
CREATE INDEX repeated_btree ON repeated (value);
SELECT pg_relation_size('repeated_btree') < 20000 * 32 / 3 AS deduplicated;

-- Hash: join, aggregate, index, partitioning.
SET enable_nestloop = off; SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM sample AS a JOIN sample AS b USING (value);
SELECT count(*) AS by_hash FROM sample AS a JOIN sample AS b USING (value) \gset
SET enable_mergejoin = on; SET enable_hashjoin = off;
SELECT count(*) = :by_hash AS merge_join_agrees FROM sample AS a JOIN sample AS b USING (value);
RESET enable_nestloop; RESET enable_mergejoin; RESET enable_hashjoin;
SELECT (SELECT count(*) FROM (SELECT value FROM sample GROUP BY value) AS g) = (SELECT count(DISTINCT value) FROM sample) AS hash_aggregate_agrees;
CREATE INDEX ordered_hash ON ordered USING hash (value);
SET enable_seqscan = off;
SELECT position FROM ordered WHERE value = '2026-10-03 -8';
RESET enable_seqscan;
CREATE TABLE parted (value usage_interval) PARTITION BY HASH (value);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT value FROM sample;
SELECT min(share) > 0.3 AS spread FROM (SELECT count(*) / 3000.0 AS share FROM parted GROUP BY tableoid) AS s;

-- BRIN on a table in order of usage skips blocks.
CREATE TABLE arrived AS SELECT usage_interval(timestamptz '2026-10-01' + number * interval '1 minute', 1) AS value FROM generate_series(1, 20000) AS number;
CREATE INDEX arrived_brin ON arrived USING brin (value) WITH (pages_per_range = 4);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM arrived WHERE value >= '2026-10-05 0' AND value < '2026-10-05 01:00 0';
SELECT count(*) FROM arrived WHERE value >= '2026-10-05 0' AND value < '2026-10-05 01:00 0';
RESET enable_seqscan;

-- Operator classes are complete.
SELECT opcname, amname, amvalidate(o.oid) FROM pg_opclass AS o JOIN pg_am AS a ON a.oid = opcmethod
WHERE opcintype = 'billing.usage_interval'::regtype ORDER BY 1;

DROP TABLE ordered, sample, repeated, parted, arrived;
