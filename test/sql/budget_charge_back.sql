-- Charge-back: what the report says is what is charged, whatever came before and whoever asks.
\set ECHO none
\set test_database billing_budget_charge_back
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}');
SELECT set_allocation_rule('department', 'rest', 50, '{"split": "even", "targets": ["search", "ads"]}', '{"column": "ServiceName", "equals": "shared"}');
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR') \g /dev/null
SELECT set_account('search', starts_on => '2026-09-01'), set_account('ads', starts_on => '2026-12-01'), set_account('platform', starts_on => '2026-09-01') \g /dev/null
SELECT set_meter('cost', unit => 'EUR'), set_meter('cost again', unit => 'EUR') \g /dev/null
SELECT set_price(m, '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2026-09-01') FROM unnest('{cost,cost again}'::text[]) AS m \g /dev/null

-- the cents of the report are the cents of the invoice: a cost center is rounded once among all that bear, and then split
SELECT stage('A', 'a', 2.004, tags => '{"team": "search"}'), stage('A', 'b', 1000.004, tags => '{"team": "ads"}'), stage('A', 'c', 1.004, tags => '{"team": "platform"}'), stage('A', 'd', 5, tags => '{"team": "web"}'),
       stage('A', 'shared', 0.004), stage('A', 'other', 0.004) \g /dev/null
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT cost_center, outcome, billed FROM report_lines('[2026-10-01,2026-11-01)');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');

-- the session's way of writing dates is nothing to the usage; an account that begins later is not charged in silence
SET datestyle = 'German';
SET timezone = 'America/New_York';
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Shanghai';
SELECT outcome, count(*) FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost') GROUP BY 1;
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT account, owed_amount FROM charges_now ORDER BY 1;
SELECT account, revenue, cost, margin FROM customer_margin ORDER BY 1;

-- there and back: A, B, A; below nothing; nothing and back
CREATE FUNCTION public.restate(search numeric) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.stage('A', 'a', search, tags => '{"team": "search"}');
    RETURN public.take();
END $$;
CREATE PROCEDURE public.charge(meter text DEFAULT 'cost', INOUT said text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    run bigint;
BEGIN
    CALL billing.allocate('[2026-10-01,2026-11-01)', run);
    said := (SELECT string_agg(concat_ws(' ', c.account, c.cost, c.outcome), ', ' ORDER BY c.account) FROM billing.charge_back('department', '[2026-10-01,2026-11-01)', charge.meter) AS c WHERE c.account = 'search');
    COMMIT;
    run := NULL;
    CALL billing.run_invoicing('2026-11-02', run);
    said := concat(said, '; owed ', (SELECT sum(c.owed_amount) FROM billing.charges_now AS c WHERE c.account = 'search'));
END $$;
SELECT restate(10);
CALL public.charge();
SELECT restate(12);
CALL public.charge();
SELECT restate(10);
CALL public.charge();
CALL public.charge();
SELECT restate(-5);
CALL public.charge();
SELECT restate(5);
CALL public.charge();
SELECT restate(0);
CALL public.charge();
CALL public.charge();
SELECT restate(20);
CALL public.charge();

-- by another meter from now on: what the first counted is taken back
CALL public.charge('cost again');
CALL public.charge('cost again');
SELECT i.key, b.amount FROM charged_back AS b JOIN account AS a USING (account_id) JOIN item AS i ON i.item_id = b.meter_id WHERE a.key = 'search' ORDER BY 1;
CALL public.charge();

-- a currency that nobody knows stops neither reports nor charge-back; amounts in it stay as they are
SELECT stage('A', 'a', 20, tags => '{"team": "search"}'), stage('A', 'b', 0.1234567, tags => '{"team": "search"}', currency => 'QQQ'), stage('A', 'b', 1, tags => '{"team": "platform"}', currency => 'QQQ') \g /dev/null
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT cost_center, outcome, currency, billed FROM report_lines('[2026-10-01,2026-11-01)');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost') WHERE cost <> 0;

-- a scheme that divides quarters is in the report of a month too, beside one that divides months
SELECT set_allocation_scheme('other', kind => 'department');
SELECT set_allocation_rule('other', 'all', 1, '{"target": "web"}');
CALL allocate('[2026-10-01,2027-01-01)', NULL, 'other') \g /dev/null
SELECT scheme, cost_center, currency, billed FROM report_lines('[2026-10-01,2026-11-01)');
