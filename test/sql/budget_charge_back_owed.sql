-- Charge-back goes by what the usage counts, whatever happened to it: every cost is owed once.
\set ECHO none
\set test_database billing_budget_charge_back_owed
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_allocation_scheme('department'), set_allocation_scheme('project');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}');
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR') \g /dev/null
SELECT set_account('search', starts_on => '2026-09-01'), set_account('ads', starts_on => '2026-09-01'), set_account('platform', starts_on => '2026-09-01', time_zone => 'Pacific/Auckland') \g /dev/null
SELECT set_meter('cost', unit => 'EUR') \g /dev/null
SELECT set_price('cost', '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2026-09-01') \g /dev/null
CREATE PROCEDURE public.deliver(search numeric, ads numeric, period daterange DEFAULT '[2026-10-01,2026-11-01)') LANGUAGE plpgsql AS $$
DECLARE
    run bigint;
BEGIN
    PERFORM public.stage('A', 'a', search, tags => '{"team": "search"}'), public.stage('A', 'b', ads, tags => '{"team": "ads"}'), public.stage('A', 'c', 5, tags => '{"team": "platform"}');
    PERFORM public.take();
    CALL billing.allocate(deliver.period, run, 'department');
END $$;
CREATE FUNCTION public.owed() RETURNS TABLE (account text, period_from date, owed numeric, cost numeric, margin numeric) LANGUAGE sql AS $$
    SELECT m.account, m.period_from, sum(m.revenue), sum(m.cost), sum(m.margin) FROM billing.customer_margin AS m WHERE m.scheme = 'department' GROUP BY 1, 2 ORDER BY 1, 2 $$;
SET client_min_messages = error;

-- noon of the last day in the account's own time zone: October's cost is October's, east of the date line too
CALL deliver(10, 20);
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT * FROM owed();

-- a month, then its quarter, then the month again: owed once
CALL deliver(10, 20, '[2026-10-01,2027-01-01)');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT * FROM charge_back('department', '[2026-10-01,2027-01-01)', 'cost');
SELECT outcome, count(*) FROM charge_back('department', '[2026-10-01,2027-01-01)', 'cost') GROUP BY 1;
SELECT i.account, sum(i.amount) FROM (SELECT a.key AS account, charged_amount(b) AS amount FROM charged_back AS b JOIN account AS a USING (account_id)) AS i GROUP BY 1 ORDER BY 1;
CALL deliver(10, 20);
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT * FROM owed();

-- two schemes never charge an account for the same days; the one makes room for the other
SELECT set_cost_center('project', 'search') \g /dev/null
SELECT set_allocation_rule('project', 'all', 1, '{"target": "search"}');
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT * FROM charge_back('project', '[2026-10-01,2026-11-01)', 'cost');
SELECT * FROM take_back_charges('department', '[2026-10-01,2026-11-01)');
SELECT * FROM charge_back('project', '[2026-10-01,2026-11-01)', 'cost');
SELECT account, outcome FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT account, outcome FROM take_back_charges('project', '[2026-10-01,2026-11-01)');
SELECT account, outcome FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT * FROM owed();

-- usage that a clerk voided or corrected is charged again; one that cannot be charged stops no other
SELECT void_usage('search', 'department/[2026-10-01,2026-11-01)/EUR/cost', 'charge_back'), correct_usage('ads', 'department/[2026-10-01,2026-11-01)/EUR/cost', 7, 'charge_back');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT outcome, count(*) FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost') GROUP BY 1;
SELECT void_usage('search', 'department/[2026-10-01,2026-11-01)/EUR/cost/2', 'charge_back');
CALL deliver(12, 22);
SELECT set_account('search', status => 'closed', from_date => '2026-10-15') \g /dev/null
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT set_account('search', status => 'open', from_date => '2026-10-15') \g /dev/null
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT * FROM owed();

-- a sealed month: what is restated later is charged on the first day that is not sealed, also when its usage has left
SELECT count(*) > 0 FROM finalize_invoices('2026-11-01', '2026-11-04');
CALL run_invoicing('2026-11-05') \g /dev/null
CALL seal_period('2026-11-01') \g /dev/null
CALL deliver(15, 21);
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT outcome, count(*) FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost') GROUP BY 1;
CALL deliver(14, 21);
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost') WHERE account = 'search';
CALL run_invoicing('2026-12-02') \g /dev/null
SELECT * FROM owed();
SELECT count(*) > 0 FROM finalize_invoices('2026-12-01', '2026-12-04');
CALL run_invoicing('2026-12-05') \g /dev/null
CALL seal_period('2026-12-01') \g /dev/null
SELECT partition FROM drop_sealed_usage() ORDER BY 1;
SELECT outcome, count(*) FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost') GROUP BY 1;
CALL deliver(10, 20);
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2027-01-02') \g /dev/null
SELECT * FROM owed();

-- a period that nobody divides
SELECT * FROM charge_back('department', '[2026-10-01,2026-10-31)', 'cost');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', NULL);

-- margin: revenue and cost meet, whatever the cycle day and the first day of the account
SELECT set_cost_center('department', 'lab'), set_cost_center('department', 'new') \g /dev/null
SELECT set_account('lab', starts_on => '2027-01-01', cycle_day => 15), set_account('new', starts_on => '2027-02-20') \g /dev/null
SELECT stage('B', 'a', 10, tags => '{"team": "lab"}', starts => '2027-02-03 00:00Z'), stage('B', 'b', 20, tags => '{"team": "new"}', starts => '2027-02-03 00:00Z') \g /dev/null
UPDATE staged SET billing_period_start = '2027-02-01T00:00:00Z', billing_period_end = '2027-03-01T00:00:00Z';
SELECT outcome FROM import_focus('public.staged', 'payer', '[2027-02-01,2027-03-01)');
CALL allocate('[2027-02-01,2027-03-01)') \g /dev/null
SELECT account, cost, outcome FROM charge_back('department', '[2027-02-01,2027-03-01)', 'cost');
CALL run_invoicing('2027-03-20') \g /dev/null
SELECT * FROM owed() WHERE account IN ('lab', 'new');
