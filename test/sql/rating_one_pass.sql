-- Many accounts are read in one parallel pass over usage, few by index (architecture.md, section 6): both give the same quantities.
\set ECHO none
\set test_database billing_rating_one_pass
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SET client_min_messages = warning;
CREATE FUNCTION pick(below int, VARIADIC salt int[]) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT (abs(hash_array_extended(salt, 7)) % below)::int $$;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
\set ECHO all
-- 30 accounts in three zones, two of them resellers that are charged for others as well; meters that add up and some that do not.
SELECT count(set_account('a' || n, time_zone => (ARRAY['UTC', 'Europe/Berlin', 'Asia/Kolkata'])[1 + pick(3, n, 1)], cycle_day => 1 + pick(31, n, 2), starts_on => '2025-01-01', parent => CASE WHEN n > 20 THEN 'a' || n - 20 END)) FROM generate_series(1, 30) AS n \gset
SELECT set_agreement('a1', key => 'wholesale', consumer => 'a1', with_descendants => true), set_agreement('a2', key => 'wholesale', consumer => 'a12', valid_from => '2025-01-15') \gset
SELECT set_meter('sum', unit => 'u'), set_meter('count', unit => 'u', aggregation => 'count'), set_meter('rounded', unit => 'u', rounding => 'up', decimals => 0), set_meter('cut', unit => 'u'), set_meter('grouped', unit => 'u', dimensions => '{region}'), set_meter('peak', unit => 'u', aggregation => 'max'), set_meter('hole', unit => 'u') \gset
SELECT count(set_price(m, '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"100","unit_price":"1"},{"unit_price":"0.5"}]}', valid_from => '2024-12-01')) FROM unnest('{sum,count,rounded,cut,grouped,peak}'::text[]) AS m \gset
SELECT count(set_price('cut', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => date '2025-01-01' + 10 * n, valid_to => date '2025-01-04' + 10 * n)) FROM generate_series(0, 8) AS n \gset
SELECT count(set_price('hole', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => date '2025-01-01' + 10 * n, valid_to => date '2025-01-04' + 10 * n)) FROM generate_series(0, 8) AS n \gset
SELECT set_price('sum', '{"model":"per_unit","currency":"EUR","unit_price":"0.01"}', valid_from => '2025-01-10', account => 'a5') \gset
SELECT count(*) AS recorded FROM record_usage((
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('id', 'r' || n, 'account', 'a' || 1 + pick(30, n, 11), 'meter', (ARRAY['sum', 'count', 'rounded', 'cut', 'grouped', 'peak', 'hole'])[1 + pick(7, n, 12)],
               'quantity', CASE WHEN pick(20, n, 13) = 0 THEN -0.001 ELSE 0.001 END * (1 + pick(100000, n, 14)), 'dimensions', jsonb_build_object('region', (ARRAY['eu', 'us'])[1 + pick(2, n, 15)]),
               'at', CASE WHEN pick(2, n, 17) = 0 THEN t.at END, 'start', CASE WHEN pick(2, n, 17) = 1 THEN t.at END, 'end', CASE WHEN pick(2, n, 17) = 1 THEN to_char(i.instant + (1 + pick(100, n, 18)) * interval '7 hours', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END)))
      FROM generate_series(1, 1500) AS n
     CROSS JOIN LATERAL (SELECT timestamp '2024-12-20' + pick(80 * 24, n, 19) * interval '1 hour' AS instant) AS i
     CROSS JOIN LATERAL (SELECT to_char(i.instant, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at) AS t)) WHERE outcome = 'accepted';
SELECT count(correct_usage('a' || 1 + pick(30, n, 11), 'r' || n, quantity => 3)) FROM generate_series(10, 600, 10) AS n \gset
SELECT count(void_usage('a' || 1 + pick(30, n, 11), 'r' || n, reason => 'test')) FROM generate_series(15, 600, 10) AS n \gset
SELECT count(move_usage('a' || 1 + pick(30, n, 11), 'r' || n, 'a' || 1 + (1 + pick(30, n, 11)) % 30, reason => 'test')) FROM generate_series(12, 600, 10) AS n \gset
SELECT count(correct_usage('a' || 1 + (1 + pick(30, n, 11)) % 30, 'r' || n, quantity => 5)) FROM generate_series(22, 600, 40) AS n \gset

-- The same ledger twice: read by index, then, after the drafts were taken away and the periods made new, by the pass.
CREATE TABLE seen (way text, account_id bigint, period_no int, agreement_id int, item_id int, consumer_id bigint, charge_group jsonb, quantity numeric, amount billing.monetary);
CREATE VIEW drafted AS SELECT k.account_id, k.period_no, k.agreement_id, k.item_id, k.consumer_id, k.charge_group, d.quantity, d.amount FROM billing.draft_line AS d JOIN billing.charge_key AS k USING (account_id, key_id);
CREATE PROCEDURE forget() LANGUAGE sql AS $$
    DELETE FROM billing.draft_line;
    UPDATE billing.charge_period SET looked_known_at = NULL, looked_own_at = NULL, advance_known_at = NULL;
$$;
-- without the right to the pass only the way by index works
REVOKE ALL ON FUNCTION billing.pass_totals FROM billing_owner;
SET billing.one_pass_above = 1000000;
CALL run_invoicing(through => '2025-04-01') \gset
INSERT INTO seen SELECT 'index', d.* FROM drafted AS d;
CALL forget();
SET billing.one_pass_above = 0;
CALL run_invoicing(through => '2025-04-01');
-- a run that has failed is not shown as running
SELECT state, step FROM runs ORDER BY run_id DESC LIMIT 1;
GRANT EXECUTE ON FUNCTION billing.pass_totals TO billing_owner;
CALL run_invoicing(through => '2025-04-01') \gset
INSERT INTO seen SELECT 'pass', d.* FROM drafted AS d;
SELECT count(*) > 300 AS many, count(DISTINCT item_id) AS items, sum(amount) > '0 EUR' AS something FROM seen WHERE way = 'pass';
SELECT count(*) AS differ FROM (SELECT account_id, period_no, agreement_id, item_id, consumer_id, charge_group, quantity, amount FROM seen GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING count(*) <> 2) AS x;
-- in parallel workers as well
CALL forget();
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CALL run_invoicing(through => '2025-04-01') \gset
INSERT INTO seen SELECT 'parallel', d.* FROM drafted AS d;
SELECT count(*) AS differ FROM (SELECT account_id, period_no, agreement_id, item_id, consumer_id, charge_group, quantity, amount FROM seen GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING count(*) <> 3) AS x;
-- each draft is also what one account alone would be told
WITH told AS MATERIALIZED (SELECT b.account_id, c.charge, c.unbilled FROM billing.account AS b CROSS JOIN LATERAL charges(b.key, '[2024-12-01,2025-05-01)') AS c)
SELECT count(*) AS differ FROM billing.draft_line AS d LEFT JOIN told AS t ON t.account_id = d.account_id AND t.charge = d.key_id WHERE t.unbilled IS DISTINCT FROM d.amount;
