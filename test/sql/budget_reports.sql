-- Summaries, confirmed months, charge-back, reports, metric switches.
\set ECHO none
\set test_database billing_budget_reports
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT stage('A', 'compute', 10.005, tags => '{"team": "search"}', starts => '2026-10-02Z'), stage('A', 'compute', 20.005, tags => '{"team": "ads"}', starts => '2026-10-05Z'),
       stage('A', 'storage', 3.335, tags => '{"team": "ads"}', starts => '2026-10-05Z'), stage('B', 'compute', 10, tags => '{"team": "ads"}', currency => 'USD');
SELECT take();
SELECT * FROM summary('[2026-10-01,2026-11-01)', '{ServiceName,tag:team}');
SELECT begins, ends, currency, billed FROM summary('[2026-10-01,2026-11-01)', bucket => 'day', condition => '{"column": "BillingCurrency", "equals": "EUR"}');
SELECT summary_json('[2026-10-01,2026-11-01)', '{tag:team}', page_size => 2);
SELECT fails($$ SELECT summary('[2026-10-01,2026-11-01)', bucket => 'hour') $$);

SELECT * FROM unified_cost('[2026-10-01,2026-11-01)', 'EUR');
SELECT fails($$ SELECT confirm_month('[2026-10-01,2026-11-01)', 'EUR') $$);
SELECT set_exchange_rate('USD', 'EUR', '2026-10-01', '2026-11-01', 0.9);
SELECT confirm_month('[2026-10-01,2026-11-01)', 'EUR');
SELECT currency, billing_account, from_currency, billed, rate, rate_day, converted FROM confirmed_costs ORDER BY 1, 2;
SELECT fails($$ SELECT confirm_month('[2026-10-01,2026-11-01)', 'EUR') $$);

-- cost becomes usage of the bearer, priced with a mark-up; a restatement corrects it
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR'), set_account('search', starts_on => '2026-10-01'), set_account('ads', starts_on => '2026-10-01') \g /dev/null
SELECT set_meter('cost', unit => 'EUR'), set_price('cost', '{"model": "per_unit", "currency": "EUR", "unit_price": "1.1"}', valid_from => '2026-10-01') \g /dev/null
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2026-11-01', NULL) \g /dev/null
SELECT * FROM customer_margin ORDER BY 1;
SELECT stage('A', 'compute', 12, tags => '{"team": "search"}', starts => '2026-10-02Z'), stage('A', 'compute', 20.005, tags => '{"team": "ads"}', starts => '2026-10-05Z'), stage('A', 'storage', 3.335, tags => '{"team": "ads"}', starts => '2026-10-05Z');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
CALL run_invoicing('2026-11-01', NULL) \g /dev/null
SELECT account, revenue, cost FROM customer_margin ORDER BY 1;

-- a bearer that bears nothing any more is corrected to nothing, and its invoice follows
SELECT stage('A', 'compute', 20.005, tags => '{"team": "ads"}', starts => '2026-10-05Z'), stage('A', 'storage', 3.335, tags => '{"team": "ads"}', starts => '2026-10-05Z');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');
SELECT stage('A', 'compute', 12, tags => '{"team": "search"}', starts => '2026-10-02Z'), stage('A', 'compute', 20.005, tags => '{"team": "ads"}', starts => '2026-10-05Z'), stage('A', 'storage', 3.335, tags => '{"team": "ads"}', starts => '2026-10-05Z');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT * FROM charge_back('department', '[2026-10-01,2026-11-01)', 'cost');

-- reports: cents that add up
CALL generate_report('[2026-10-01,2026-11-01)');
CALL generate_report('[2026-10-01,2026-11-01)', 'json');
SELECT regexp_replace(content, '\d{4}-\d\d-\d\dT[0-9:]+Z', 'INSTANT', 'g') FROM reports ORDER BY report;
SELECT set_report_schedule('monthly', recipients => '{finance@example.com}');
SELECT run_reports('2026-11-02');
SELECT run_reports('2026-11-03');
SELECT schedule, period, format, state, recipients FROM reports WHERE schedule IS NOT NULL;
SELECT report_period('last-week', '2026-11-04'), report_period('yesterday', '2026-11-04'), report_period('this-month', '2026-11-04');
SELECT fails($$ CALL generate_report('tomorrow') $$);
SELECT fails($$ CALL generate_report('last-month', 'pdf') $$);

-- metrics
SELECT set_meter('gpu_hours', unit => 'HUR') \g /dev/null
SELECT set_metric('gpu_utilization', false, '{gpu_hours}');
SELECT m.enabled FROM meter_definition AS m JOIN item AS i USING (item_id) WHERE i.key = 'gpu_hours' AND upper_inf(m.known);
SELECT set_metric('gpu_utilization', true);
SELECT m.enabled FROM meter_definition AS m JOIN item AS i USING (item_id) WHERE i.key = 'gpu_hours' AND upper_inf(m.known);
SELECT fails($$ SELECT set_metric('steam', true) $$);

-- export in FOCUS 1.2: what was imported comes out; our own invoices too, with no finding when they are taken in again
SELECT e FROM export_focus('[2026-10-01,2026-11-01)') AS e ORDER BY e COLLATE "C";
SELECT count(*) FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT c - '{ProviderName,PublisherName}'::text[] FROM focus_of_charges('[2026-11-01,2026-12-01)') AS c ORDER BY c ->> 'SubAccountId';
SELECT count(*) AS lines, count(*) FILTER (WHERE e LIKE '%,,%') AS with_nulls FROM export_focus('[2026-11-01,2026-12-01)', 'charges') AS e;
CREATE TABLE public.own AS SELECT x.* FROM focus_of_charges('[2026-11-01,2026-12-01)') AS c, jsonb_to_record(c) AS x ("BilledCost" numeric, "EffectiveCost" numeric, "ListCost" numeric, "ContractedCost" numeric, "BillingAccountId" text,
    "BillingAccountName" text, "BillingCurrency" text, "BillingPeriodStart" text, "BillingPeriodEnd" text, "ChargePeriodStart" text, "ChargePeriodEnd" text, "ChargeCategory" text, "ChargeClass" text, "ChargeFrequency" text,
    "ChargeDescription" text, "ConsumedQuantity" numeric, "ConsumedUnit" text, "PricingQuantity" numeric, "PricingUnit" text, "ListUnitPrice" numeric, "ContractedUnitPrice" numeric, "PricingCategory" text, "InvoiceId" text, "InvoiceIssuerName" text,
    "ProviderName" text, "PublisherName" text, "ServiceCategory" text, "ServiceName" text, "SkuId" text, "SkuPriceId" text, "SubAccountId" text, "SubAccountName" text, "Tags" jsonb);
SELECT set_cost_source('ours'), set_billing_account('ours', a.key, 'project', 'atlas') FROM account AS a \g /dev/null
SELECT outcome, delivered, findings FROM import_focus('public.own', 'ours', '[2026-11-01,2026-12-01)');
SELECT rule, value FROM cost_findings WHERE source = 'ours';
