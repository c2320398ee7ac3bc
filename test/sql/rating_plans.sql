-- Plans that must stay (architecture.md, section 6): partitions are pruned, the pass is one parallel aggregate, a touched run reads by index.
\set ECHO none
\set test_database billing_rating_plans
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SET client_min_messages = warning;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01') \gset
SELECT count(set_account('a' || n, time_zone => 'UTC', starts_on => '2025-01-01')) FROM generate_series(1, 300) AS n \gset
BEGIN;
SELECT open_usage_batch() \gset
INSERT INTO usage_batch (id, account, meter, ends_at, quantity) SELECT 'r' || n, 'a' || 1 + n % 300, 'calls', to_char(timestamp '2025-02-25' + n * interval '35 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '1' FROM generate_series(1, 90000) AS n;
SELECT * FROM load_usage_batch() \gset
COMMIT;
VACUUM ANALYZE billing.usage;
CALL run_invoicing(through => '2025-06-01') \gset
-- The lines of a plan in which a word occurs; and which partitions of usage it reads.
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
CREATE FUNCTION reads_months(query text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT m[1], ' ' ORDER BY m[1]) FROM plan(query) AS line CROSS JOIN LATERAL regexp_matches(line, ' on (usage_(?:\d{4}_\d{2}|default))') AS m $$;
-- the ways in which it reads March, of which there is much
CREATE FUNCTION reads_march(query text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT m[1], ', ' ORDER BY m[1]) FROM plan(query) AS line CROSS JOIN LATERAL regexp_matches(line, '((?:Parallel )?(?:Seq Scan|Index Scan|Index Only Scan|Bitmap Heap Scan)) (?:using \w+ )?on usage_2025_03') AS m $$;
\set ECHO all
-- One account: usage is read by index, in the months of the dates (and in the default partition, where strays are).
SELECT reads_months(billing.rating_query(ARRAY[7], '[2025-03-01,2025-04-01)', NULL, 'infinity', NULL, 'SELECT * FROM rated_difference'));
SELECT reads_march(billing.rating_query(ARRAY[7], '[2025-03-01,2025-04-01)', NULL, 'infinity', NULL, 'SELECT * FROM rated_difference')) !~ 'Seq Scan' AS by_index;
-- the longest usage that there is bounds how far beyond the dates it may end
SELECT use('a7', 'calls', '2025-03-30', 4, to_at => '2025-04-01') \gset
SELECT reads_months(billing.rating_query(ARRAY[7], '[2025-02-01,2025-03-01)', NULL, 'infinity', NULL, 'SELECT * FROM rated_difference'));
-- a time-weighted meter asks for levels of any age
SELECT set_meter('disk', unit => 'GB-hour', aggregation => 'time_weighted') \gset
SELECT reads_months(billing.rating_query(ARRAY[7], '[2025-02-01,2025-03-01)', NULL, 'infinity', NULL, 'SELECT * FROM rated_difference'));
-- explain_line() reads the months of its line
CALL run_invoicing(through => '2025-06-01') \gset
SELECT count(*) > 0 AS invoices FROM finalize_invoices(through => '2025-06-01', issue_date => '2025-06-01');
SELECT reads_march(billing.line_query((SELECT line_id FROM billing.line WHERE account_key = 'a7' AND period_from = '2025-03-01'), 'SELECT * FROM this_amount')) !~ 'Seq Scan' AS by_index;

-- The pass of a run over all accounts: one aggregate, in parallel, no join above the scan of usage; only the months in question.
CREATE FUNCTION pass() RETURNS text LANGUAGE sql AS $$ SELECT billing.fill_usage(billing.rating_step('rated_quantity_pass'), 'infinity', NULL, '2025-03-01', '2025-04-01', 'due') $$;
SET billing.one_pass_above = 0;
SELECT use('a' || n, 'calls', '2025-03-01', 1) FROM generate_series(1, 300) AS n \g /dev/null
UPDATE billing.charge_period SET looked_known_at = NULL, closed_known_at = NULL;
CALL run_invoicing(through => '2025-06-01') \gset
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET search_path = billing, public;
SELECT btrim(line) AS line FROM plan(pass()) AS line WHERE line ~ '(Finalize|Partial) Aggregate';
SELECT reads_march(pass()) ~ 'Parallel Seq Scan' AS one_scan, reads_months(pass());
SELECT count(*) AS joins_below_the_aggregate FROM (SELECT line, length(line) - length(ltrim(line)) AS depth, row_number() OVER () AS no FROM plan(pass()) AS line) AS p
  JOIN (SELECT length(line) - length(ltrim(line)) AS depth, no FROM (SELECT line, row_number() OVER () AS no FROM plan(pass()) AS line) AS x WHERE line ~ 'Partial Aggregate') AS a ON p.no > a.no AND p.depth > a.depth
 WHERE p.line ~ 'Join|Nested Loop' AND p.no < (SELECT min(y.no) FROM (SELECT line, length(line) - length(ltrim(line)) AS depth, row_number() OVER () AS no FROM plan(pass()) AS line) AS y WHERE y.no > a.no AND y.depth <= a.depth);
RESET search_path;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET billing.one_pass_above;

-- A run that new facts touch finds them by the index on recorded_at, and reads the usage of the touched account by index.
VACUUM ANALYZE billing.usage;
SELECT use('a9', 'calls', '2025-03-10', 1) \gset
SELECT pg_stat_force_next_flush() \gset
CREATE TABLE scanned AS SELECT relname, seq_scan, idx_scan FROM pg_stat_user_tables WHERE schemaname = 'billing';
CALL run_invoicing(through => '2025-06-01') \gset
SELECT counts ->> 'periods_looked_at' AS periods FROM runs WHERE run_id = :run_id;
SELECT pg_stat_force_next_flush() \gset
SELECT sum(n.seq_scan - s.seq_scan) AS seq_scans_of_march, sum(n.idx_scan - s.idx_scan) > 0 AS by_index FROM pg_stat_user_tables AS n JOIN scanned AS s USING (relname) WHERE n.schemaname = 'billing' AND n.relname ~ '^usage_2025_03';
