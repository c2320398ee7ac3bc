-- Plans with phases: a trial, a discount and what lasts, as subscriptions and prices with dates.
\set test_database billing_killbill_phases
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set include :source /lib/killbill.psql
\i :include
SET client_min_messages = error;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
CREATE FUNCTION usage(name text, price text) RETURNS text LANGUAGE sql AS $$ SELECT '<usages><usage name="' || name || '" billingMode="IN_ARREAR" usageType="CONSUMABLE"><billingPeriod>MONTHLY</billingPeriod><tiers><tier><blocks>
   <tieredBlock><unit>gb</unit><size>1</size><prices><price><currency>EUR</currency><value>' || price || '</value></price></prices><max>-1</max></tieredBlock></blocks></tier></tiers></usage></usages>' $$;
CREATE FUNCTION monthly(price text) RETURNS text LANGUAGE sql AS $$ SELECT '<recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice><price><currency>EUR</currency><value>' || price || '</value></price></recurringPrice></recurring>' $$;
SELECT name, outcome, detail FROM killbill_import_catalog(('<catalog><effectiveDate>2025-01-01T00:00:00Z</effectiveDate><catalogName>Cloud</catalogName><recurringBillingMode>IN_ADVANCE</recurringBillingMode>
<currencies><currency>EUR</currency></currencies><units><unit name="gb"/></units><products><product name="Server"><category>BASE</category></product><product name="Backup"><category>ADD_ON</category></product></products>
<plans><plan name="server"><product>Server</product><initialPhases>
 <phase type="TRIAL"><duration><unit>MONTHS</unit><number>1</number></duration><fixed><fixedPrice><price><currency>EUR</currency><value>0</value></price></fixedPrice></fixed></phase>
 <phase type="DISCOUNT"><duration><unit>MONTHS</unit><number>2</number></duration>' || monthly('5.00') || usage('traffic-discount', '0.30') || '</phase></initialPhases>
 <finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>' || monthly('9.00') || usage('traffic', '0.50') || '</finalPhase></plan>
<plan name="backup"><product>Backup</product><finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>' || monthly('3.00') || '</finalPhase></plan></plans>
<priceLists><defaultPriceList name="DEFAULT"><plans><plan>server</plan><plan>backup</plan></plans></defaultPriceList></priceLists></catalog>')::xml, 'kb');
SELECT phase, phase_no, final, phase_from, phase_to FROM killbill_phases('kb', 'server', 'DEFAULT', 'EUR', '2026-01-31');
SELECT set_account(a, currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Cloud/DEFAULT/EUR', starts_on => '2026-01-01') FROM unnest('{acme,beta}'::text[]) AS a;

-- All phases are there at once; each month costs what its phase says, usage too, and nothing has to be done in between.
SELECT * FROM killbill_set_plan('kb', 'acme', 'server', '2026-01-01');
SELECT count(*) FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'u' || n, 'account', 'acme', 'meter', 'server/traffic/gb', 'at', format('2026-%s-10T12:00:00Z', lpad(n::text, 2, '0')), 'quantity', '100')) FROM generate_series(1, 5) AS n));
CALL run_invoicing('2026-06-01', NULL) \gset
SELECT count(*) FROM finalize_invoices('2026-06-01', issue_date => '2026-06-01', account => 'acme');
SELECT period_from, item_key, amount FROM line WHERE account_key = 'acme' ORDER BY 1, 2;

-- It ends in its second phase: what comes after that never is, and a longer one is as at first.
SELECT * FROM killbill_set_plan('kb', 'beta', 'server', '2026-01-15', key => 'vm', ends_on => '2026-03-15', quantity => 2);
SELECT s.key, t.dates, t.quantity FROM subscription_term AS t JOIN subscription AS s USING (subscription_id) JOIN agreement AS g USING (agreement_id) JOIN account AS a ON a.account_id = g.buyer_id WHERE a.key = 'beta' AND upper_inf(t.known) ORDER BY 1, 2;
SELECT * FROM killbill_set_plan('kb', 'beta', 'server', '2026-01-15', key => 'vm', quantity => 2);
SELECT * FROM killbill_set_plan('kb', 'beta', 'server', '2026-01-15', key => 'vm', ends_on => '2026-03-15', quantity => 2);
SELECT s.key, t.dates, t.quantity FROM subscription_term AS t JOIN subscription AS s USING (subscription_id) JOIN agreement AS g USING (agreement_id) JOIN account AS a ON a.account_id = g.buyer_id WHERE a.key = 'beta' AND upper_inf(t.known) ORDER BY 1, 2;

-- Mode A: what the server bills is compared with the price of the phase.
SELECT killbill_mirror_account('kb', 'acme'), killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1') \gset
SELECT day, p.currency, CASE WHEN p.section IS NOT NULL THEN killbill_rate(p.section, p.currency, '{"gb": "100"}') END FROM unnest('{2026-01-01,2026-02-01,2026-03-01,2026-04-01}'::date[]) AS day CROSS JOIN LATERAL killbill_section('kb', 's-1', CASE WHEN day < '2026-04-01' THEN 'traffic-discount' ELSE 'traffic' END, day) AS p ORDER BY 1;
SELECT fails($$SELECT * FROM killbill_set_plan('kb', 'acme', 'servant', '2026-01-01')$$);
SELECT fails($$SELECT * FROM killbill_set_plan('kb', 'acme', 'server', NULL)$$);
SELECT fails($$SELECT * FROM killbill_set_plan('kb', 'acme', 'server', '2026-01-01', ends_on => '2026-01-01')$$);

-- We bill the same account as mode A does below, by the same sections, tiers and parts of months: their sums are those of the server.
SELECT set_account('delta', currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Cloud/DEFAULT/EUR', starts_on => '2026-01-01') \gset
SELECT * FROM killbill_set_plan('kb', 'delta', 'server', '2026-01-15');
SELECT outcome, count(*) FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'd' || d, 'account', 'delta', 'meter', 'server/traffic/gb', 'at', d || 'T12:00:00Z', 'quantity', '10')) FROM unnest('{2026-02-14,2026-02-15,2026-04-14,2026-04-15,2026-04-16}'::text[]) AS d)) GROUP BY 1;
CALL run_invoicing('2026-05-01', NULL) \gset
SELECT count(*) FROM finalize_invoices('2026-05-01', issue_date => '2026-06-01', account => 'delta');
SELECT period_from, item_key, amount FROM line WHERE account_key = 'delta' AND period_from < '2026-05-01' ORDER BY 1, 2;

-- Parts of months, as invoices of 0.22.26 and 0.24.19 had them; the last one tells shares of 9 decimals from exact ones.
SELECT starts_on, ends_on, theirs, theirs - killbill_prorated(price, 'EUR', cycle_from, cycle_to, starts_on, ends_on) AS difference
  FROM (VALUES (5.00, '2026-01-01'::date, '2026-02-01'::date, '2026-01-15'::date, '2026-02-01'::date, 2.74), (5.00, '2026-02-01', '2026-03-01', '2026-02-01', '2026-02-24', 4.11),
               (9.97, '2026-02-01', '2026-03-01', '2026-02-24', '2026-03-01', 1.78), (9.97, '2026-03-01', '2026-04-01', '2026-03-01', '2026-04-01', 9.97),
               (7.77, '2025-12-15', '2026-01-15', '2026-01-01', '2026-01-15', 3.51), (9.97, '2026-02-15', '2026-03-15', '2026-02-24', '2026-03-15', 6.77),
               (100.01, '2026-01-01', '2026-02-01', '2026-01-05', '2026-01-10', 16.13),
               -- cycle days after the 28th: a month counted forward from a day in February, or backward to it
               (5.00, '2026-01-31', '2026-02-28', '2026-01-31', '2026-02-15', 2.68), (100.01, '2026-01-31', '2026-02-28', '2026-02-15', '2026-02-28', 41.94),
               (100.01, '2026-02-28', '2026-03-31', '2026-02-28', '2026-03-17', 60.72), (200.03, '2026-02-28', '2026-03-31', '2026-03-17', '2026-03-31', 90.34),
               (200.03, '2026-02-28', '2026-03-30', '2026-03-17', '2026-03-30', 86.68),
               (999999.96, '2026-01-01', '2026-02-01', '2026-01-01', '2026-01-18', 548387.08)) AS v(price, cycle_from, cycle_to, starts_on, ends_on, theirs);

-- Mode A: phases that end inside periods.  Usage is told as the unit it is, and belongs to the section of the day's phase.
SELECT set_account('gamma', currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Cloud/DEFAULT/EUR', starts_on => '2026-01-01'), killbill_mirror_account('kb', 'gamma'), killbill_subscribe('kb', 'gamma', 'server', '2026-01-15', 's-2') \gset
UPDATE killbill_account SET killbill_id = id(1)::uuid, state = 'present' WHERE external_key = 'gamma';
UPDATE killbill_subscription SET killbill_id = id(2)::uuid, state = 'active' WHERE external_key = 's-2';
SELECT date_from, date_to, phase, cycle_from, cycle_to FROM killbill_spans('kb', '[2026-01-01,2026-05-01)') WHERE external_key = 's-2' ORDER BY 1;
SELECT outcome, count(*) FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'g' || d, 'account', 'gamma', 'meter', CASE WHEN d < '2026-04-01' THEN 'server/traffic/gb' ELSE 'server-discount/traffic-discount/gb' END, 'at', d || 'T12:00:00Z', 'quantity', '10'))
                                  FROM unnest('{2026-01-14,2026-02-14,2026-02-15,2026-04-14,2026-04-15,2026-04-16}'::text[]) AS d)) GROUP BY 1;
SELECT external_key, usage_name, period_from, outcome, amount, detail FROM killbill_push_usage('kb', through => '2026-03-01', account => 'gamma', since => '2026-01-01');
SELECT external_key, usage_name, period_from, outcome, amount, detail FROM killbill_push_usage('kb', through => '2026-05-01', account => 'gamma', since => '2026-01-01');
SELECT unit, record_date, amount FROM killbill_usage WHERE external_key = 's-2' ORDER BY 2;
SELECT usage_name, period_from, period_to, ours, told, problem FROM killbill_expected('kb', '[2026-01-01,2026-05-01)', (SELECT a.account_id FROM account AS a WHERE a.key = 'gamma')) ORDER BY 2;
CREATE FUNCTION item(no int, plan text, usage text, from_day text, to_day text, amount numeric) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('invoiceItemId', id(100 + no), 'invoiceId', id(100), 'itemType', CASE WHEN usage IS NULL THEN 'RECURRING' ELSE 'USAGE' END,
    'subscriptionId', id(2), 'planName', plan, 'usageName', usage, 'startDate', from_day, 'endDate', to_day, 'amount', amount) $$;
CREATE FUNCTION read_invoice(VARIADIC items jsonb[]) RETURNS void LANGUAGE sql AS $$ SELECT killbill_store_invoices('kb', (SELECT a.account_id FROM account AS a WHERE a.key = 'gamma'),
    jsonb_build_array(jsonb_build_object('invoiceId', id(100), 'status', 'COMMITTED', 'invoiceNumber', '1', 'invoiceDate', '2026-05-01', 'targetDate', '2026-05-01', 'currency', 'EUR', 'amount', 0, 'balance', 0, 'items', to_jsonb(items)))) $$;
UPDATE killbill_account SET read_at = now() WHERE external_key = 'gamma';
SELECT read_invoice(item(1, 'server', NULL, '2026-02-15', '2026-03-01', 2.50), item(2, 'server', NULL, '2026-03-01', '2026-04-01', 5.00), item(3, 'server', NULL, '2026-04-01', '2026-04-15', 2.33), item(4, 'server', NULL, '2026-04-15', '2026-05-01', 4.80),
    item(5, 'server', 'traffic-discount', '2026-02-15', '2026-03-01', 3.00), item(6, 'server', 'traffic-discount', '2026-04-01', '2026-04-15', 3.00), item(7, 'server', 'traffic', '2026-04-15', '2026-05-01', 10.00)) \gset
SELECT subject, period_from, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-01-01,2026-05-01)', 'gamma');
-- One part missing, one a cent too much, one that ends on a day on which nothing does; usage of the last phase billed at the price of the one before.
SELECT read_invoice(item(2, 'server', NULL, '2026-03-01', '2026-04-01', 5.00), item(3, 'server', NULL, '2026-04-01', '2026-04-15', 2.34), item(4, 'server', NULL, '2026-04-15', '2026-04-20', 1.50),
    item(5, 'server', 'traffic-discount', '2026-02-15', '2026-03-01', 3.00), item(6, 'server', 'traffic-discount', '2026-04-01', '2026-05-01', 9.00)) \gset
SELECT subject, period_from, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-01-01,2026-05-01)', 'gamma');
-- Less usage after the phase has ended, though not the month: money, by the prices of the phase.
SELECT correct_usage('gamma', 'g2026-04-14', 3) \gset
SELECT usage_name, period_from, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-17', account => 'gamma', since => '2026-04-01');

-- An add-on ends with its base subscription, there and here; it alone ends alone.
SELECT killbill_subscribe('kb', 'gamma', 'backup', '2026-03-01', 's-3', bundle_key => 's-2'), killbill_subscribe('kb', 'gamma', 'backup', '2026-03-01', 's-4', bundle_key => 's-2'), killbill_cancel('kb', 's-3', '2026-04-01'), killbill_cancel('kb', 's-2', '2026-05-01') \gset
SELECT external_key, ends_on, state FROM killbill_subscription WHERE bundle_key = 's-2' ORDER BY 1;

-- It ended inside a month that was billed in advance: the rest is taken back, to the cent, or that is said.  What else is taken back is said too.
UPDATE killbill_subscription SET ends_on = '2026-03-20', state = 'cancelled' WHERE external_key = 's-2';
CREATE FUNCTION repair(no int, from_day text, to_day text, amount numeric) RETURNS jsonb LANGUAGE sql AS $$ SELECT item(no, NULL, NULL, from_day, to_day, amount) || jsonb_build_object('itemType', 'REPAIR_ADJ', 'subscriptionId', NULL, 'linkedInvoiceItemId', id(102)) $$;
SELECT read_invoice(item(2, 'server', NULL, '2026-03-01', '2026-04-01', 5.00)) \gset
SELECT subject, period_from, period_to, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-03-01,2026-04-01)', 'gamma');
SELECT read_invoice(item(2, 'server', NULL, '2026-03-01', '2026-04-01', 5.00), repair(8, '2026-03-20', '2026-04-01', -1.94)) \gset
SELECT subject, period_from, period_to, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-03-01,2026-04-01)', 'gamma');
SELECT read_invoice(item(2, 'server', NULL, '2026-03-01', '2026-04-01', 5.00), repair(8, '2026-03-20', '2026-04-01', -1.90), repair(9, '2026-03-05', '2026-03-10', -0.81), repair(10, '2026-03-01', '2026-04-01', -1.00) || '{"itemType": "ITEM_ADJ"}') \gset
SELECT subject, period_from, period_to, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-03-01,2026-04-01)', 'gamma');

-- Whom these functions are for.
SET ROLE billing_admin;
SELECT count(*) FROM killbill_set_plan('kb', 'acme', 'server', starts_on => '2026-01-01', key => 'of an admin');
RESET ROLE;
SET ROLE billing_reader;
SELECT count(*) FROM killbill_phases('kb', 'server', 'DEFAULT', 'EUR', '2026-01-01');
RESET ROLE;
SELECT r.rolname, f.function FROM unnest('{billing_reader,billing_operator,billing_admin}'::text[]) AS r (rolname)
 CROSS JOIN LATERAL (SELECT string_agg(p.proname, ' ' ORDER BY p.proname) AS function FROM pg_proc AS p WHERE p.proname IN ('killbill_import_catalog', 'killbill_set_plan', 'killbill_phases',
     'killbill_push_catalog', 'killbill_mirror_account', 'killbill_subscribe', 'killbill_cancel', 'killbill_close_account', 'killbill_credit', 'killbill_dry_run', 'killbill_remaining_credit',
     'killbill_set_threshold', 'killbill_may_order', 'killbill_notification', 'killbill_set_clock', 'killbill_push_usage', 'killbill_set_unit', 'killbill_pull_invoices', 'killbill_reconcile',
     'killbill_push_invoices', 'killbill_pull_catalog', 'killbill_catalog_xml', 'killbill_check_catalog') AND NOT has_function_privilege(r.rolname, p.oid, 'EXECUTE')) AS f;
