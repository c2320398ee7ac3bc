-- Conservation (rules 7 and 9): in a random ledger each usage row is, for each agreement that charges it, counted by lines or listed with
-- reasons, and the parts add up to what was recorded; sums of lines, invoices and charges agree.
\set ECHO none
\set test_database billing_rating_conservation
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SET client_min_messages = warning;
-- A number in [0, below) that depends on nothing but its arguments.
CREATE FUNCTION pick(below int, VARIADIC salt int[]) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT (abs(hash_array_extended(salt, 20250101)) % below)::int $$;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_seller('carrier', legal_name => 'Carrier SE', country => 'DE', currency => 'EUR') \gset
\set ECHO all
-- 8 accounts in four zones, with several cycle days; some are charged by the carrier as well; some start late, some leave.
SELECT count(set_account('a' || n, time_zone => (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])[1 + pick(4, n, 1)], cycle_day => 1 + pick(31, n, 2), seller => 'northwind',
                         starts_on => (ARRAY['2025-01-01', '2025-01-01', '2025-01-20', NULL])[1 + pick(4, n, 3)]::date)) FROM generate_series(1, 8) AS n \gset
SELECT count(set_agreement('a' || n, seller => 'carrier', key => 'second', valid_from => date '2025-01-01' + pick(40, n, 4))) FROM generate_series(1, 8, 4) AS n \gset
SELECT count(end_agreement('a' || n, seller => 'northwind', valid_to => date '2025-02-01' + pick(40, n, 5))) FROM generate_series(3, 8, 3) AS n \gset
SELECT count(set_agreement('a' || n, seller => 'northwind', valid_from => date '2025-02-10' + pick(40, n, 6))) FROM generate_series(3, 8, 6) AS n \gset
-- A meter of each sort that adds up: plain, filtered, by dimension, by matrix, by resource, one with holes, one whose amounts are out of range.
SELECT set_meter('plain', unit => 'u', seller => 'northwind'), set_meter('filtered', unit => 'u', filter => '{"region":["eu"]}', seller => 'northwind'), set_meter('grouped', unit => 'u', dimensions => '{region}', seller => 'northwind'),
       set_meter('matrix', unit => 'u', seller => 'northwind'), set_meter('by_resource', unit => 'u', dimensions => '{resource}', seller => 'northwind'), set_meter('holes', unit => 'u', seller => 'northwind'), set_meter('fails', unit => 'u', seller => 'northwind') \gset
SELECT count(set_price(m, '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"100","unit_price":"1"},{"unit_price":"0.5"}]}', valid_from => '2024-12-01', seller => s)) FROM unnest('{plain,filtered,grouped,by_resource}'::text[]) AS m, unnest('{northwind,carrier}'::text[]) AS s \gset
SELECT count(set_price('matrix', '{"model":"matrix","currency":"EUR","dimensions":["region"],"cells":[{"match":{"region":"eu"},"unit_price":"1"},{"match":{"region":"us"},"unit_price":"2"}],"unmatched":"error"}', valid_from => '2024-12-01', seller => s)) FROM unnest('{northwind,carrier}'::text[]) AS s \gset
SELECT count(set_price('holes', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => date '2025-01-01' + n * 10, valid_to => date '2025-01-01' + n * 10 + 7, seller => 'northwind')) FROM generate_series(0, 12) AS n \gset
SELECT set_price('fails', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2024-12-01', seller => 'northwind') \gset
-- 700 rows of December to March: points and intervals of up to 20 days, over every border there is; some below 0.
SELECT count(*) AS recorded FROM (
    SELECT r.outcome FROM record_usage((
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('id', 'r' || n, 'account', 'a' || 1 + pick(8, n, 11), 'meter', (ARRAY['plain', 'filtered', 'grouped', 'matrix', 'by_resource', 'holes', 'fails'])[1 + pick(7, n, 12)],
                   'quantity', CASE WHEN pick(50, n, 13) = 0 THEN -1 ELSE 1 END * (1 + pick(100000, n, 14)) / 1000.0, 'dimensions', jsonb_build_object('region', (ARRAY['eu', 'us', 'cn'])[1 + pick(3, n, 15)]),
                   'resource', CASE pick(3, n, 16) WHEN 0 THEN 'vm-1' WHEN 1 THEN 'vm-2' END, 'at', CASE WHEN pick(2, n, 17) = 0 THEN t.at END, 'start', CASE WHEN pick(2, n, 17) = 1 THEN t.at END,
                   'end', CASE WHEN pick(2, n, 17) = 1 THEN to_char(t.instant + (1 + pick(20 * 24, n, 18)) * interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END)))
          FROM generate_series(1, 700) AS n
         CROSS JOIN LATERAL (SELECT timestamp '2024-12-10' + pick(100 * 24, n, 19) * interval '1 hour' AS instant) AS i
         CROSS JOIN LATERAL (SELECT i.instant, to_char(i.instant, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at) AS t)) AS r
     WHERE r.outcome = 'accepted') AS x;

-- Each row of the ledger, for each agreement, as the last lines of the charges and unbilled_usage() see it.
CREATE VIEW counted AS
    SELECT k.consumer_id AS account_id, w.key, w.revision, w.ends_at, k.agreement_id, h.line_id, w.counted AS quantity
      FROM (SELECT DISTINCT ON (l.account_id, l.key_id) l.* FROM billing.line AS l ORDER BY l.account_id, l.key_id, l.chain_no DESC) AS h
      JOIN billing.charge_key AS k USING (account_id, key_id)
     CROSS JOIN LATERAL line_usage(h.line_id) AS w
     WHERE w.standing <> 'taken back';
CREATE VIEW unbilled AS
    SELECT a.account_id, u.usage_key AS key, u.revision, u.ends_at, g.agreement_id, u.quantity, u.reason
      FROM unbilled_usage('[2024-11-01,2025-08-01)') AS u
      JOIN billing.account AS a ON a.key = u.account_key
      LEFT JOIN (billing.agreement AS g JOIN billing.seller AS s USING (seller_id)) ON g.buyer_id = a.account_id AND s.key = u.seller AND g.key = u.agreement;
CREATE FUNCTION conservation() RETURNS TABLE (check_name text, broken bigint) LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE IF EXISTS counted_now, unbilled_now, told;
    CREATE TEMPORARY TABLE counted_now AS SELECT * FROM counted;
    CREATE TEMPORARY TABLE unbilled_now AS SELECT * FROM unbilled;
    CREATE TEMPORARY TABLE told AS   -- a row for each usage row and agreement that tells of it
        SELECT u.account_id, u.key, u.revision, u.ends_at, billing.quantity(u.consumed) AS recorded, x.agreement_id, sum(x.counted) AS counted, sum(x.listed) AS listed,
               (SELECT count(*) FROM billing.agreement AS g WHERE g.buyer_id = u.account_id) AS agreements
          FROM billing.usage AS u
          LEFT JOIN (SELECT c.account_id, c.key, c.revision, c.ends_at, c.agreement_id, c.quantity AS counted, 0 AS listed FROM counted_now AS c
                     UNION ALL SELECT c.account_id, c.key, c.revision, c.ends_at, c.agreement_id, 0, c.quantity FROM unbilled_now AS c) AS x USING (account_id, key, revision, ends_at)
         GROUP BY u.account_id, u.key, u.revision, u.ends_at, u.consumed, x.agreement_id;
    -- what no agreement charges is listed once, without one; where there are two, each accounts for its part
    RETURN QUERY SELECT 'rows of which not everything is told, or something twice', count(*) FROM (
        SELECT FROM told AS t WHERE t.agreements = 1 GROUP BY t.account_id, t.key, t.revision, t.ends_at, t.recorded HAVING sum(t.counted + t.listed) IS DISTINCT FROM t.recorded) AS x;
    RETURN QUERY SELECT 'rows that an agreement counts more than once', count(*) FROM told AS t WHERE abs(t.counted) > abs(t.recorded);
    RETURN QUERY SELECT 'rows that nothing tells about', count(*) FROM told AS t WHERE t.counted IS NULL;
    RETURN QUERY SELECT 'lines that count another quantity than they bill', count(*) FROM (SELECT c.line_id FROM counted_now AS c JOIN billing.line AS l USING (line_id) GROUP BY c.line_id, l.quantity HAVING sum(c.quantity) <> l.quantity) AS x;
END $$;

CALL run_invoicing(through => '2025-04-30') \gset
SELECT state, errors > 0 AS errors FROM runs WHERE run_id = :run_id;
SELECT count(*) > 0 AS billed FROM finalize_invoices(through => '2025-04-30', issue_date => '2025-06-01');
SELECT * FROM conservation();
SELECT reason, count(*) > 0 AS listed FROM unbilled_now GROUP BY reason ORDER BY reason;

-- Late, corrected, voided and moved usage, an agreement that comes back, prices that change and one that fills holes; then once more.
SELECT sum(use('a' || 1 + pick(8, n, 31), 'plain', timestamp '2025-01-05' + pick(1500, n, 32) * interval '1 hour', 1 + pick(9, n, 33), to_at => CASE WHEN pick(2, n, 34) = 0 THEN timestamp '2025-01-05' + (5 + pick(1500, n, 32)) * interval '1 hour' END)) FROM generate_series(1, 30) AS n \gset
SELECT count(correct_usage('a' || 1 + pick(8, n, 11), 'r' || n, quantity => 3)) FROM generate_series(10, 300, 10) AS n \gset
SELECT count(void_usage('a' || 1 + pick(8, n, 11), 'r' || n, reason => 'test')) FROM generate_series(15, 300, 10) AS n \gset
SELECT count(move_usage('a' || 1 + pick(8, n, 11), 'r' || n, 'a' || 1 + (1 + pick(8, n, 11)) % 8, reason => 'test')) FROM generate_series(12, 300, 10) AS n \gset
SELECT set_price('holes', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-08', valid_to => '2025-01-11', seller => 'northwind') \gset
SELECT set_price('fails', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2024-12-01', seller => 'northwind', applies_to => 'closed') \gset
CALL run_invoicing(through => '2025-04-30') \gset
SELECT state FROM runs WHERE run_id = :run_id;
SELECT count(*) > 0 AS billed FROM finalize_invoices(through => '2025-04-30', issue_date => '2025-06-02');
SELECT * FROM conservation();
-- Everything taken back: every chain ends at 0, and so do all sums; the next run bills the same again.
SELECT billing.sum(l.amount) AS billed FROM billing.line AS l \gset
SELECT count(cancel_invoice(i.invoice_id, 'test', issue_date => '2025-06-03')) > 0 AS cancelled FROM billing.invoice AS i;
SELECT count(*) AS drafts FROM billing.draft_line;
SELECT billing.sum(l.amount) AS all_lines, billing.sum(i.total) AS all_invoices FROM (SELECT billing.sum(amount) AS amount FROM billing.line) AS l, (SELECT billing.sum(total) AS total FROM billing.invoice) AS i;
SELECT count(*) AS broken FROM wrong;
CALL run_invoicing(through => '2025-04-30') \gset
SELECT billing.sum(d.amount) = :'billed'::monetary AS the_same FROM billing.draft_line AS d;
