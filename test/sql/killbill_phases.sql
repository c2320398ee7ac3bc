-- Plans with phases: a trial, a discount and what lasts, as subscriptions and prices with dates.
\set test_database billing_killbill_phases
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set include :source /lib/killbill.psql
\i :include
SET client_min_messages = error;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
CREATE FUNCTION usage(price text) RETURNS text LANGUAGE sql AS $$ SELECT '<usages><usage name="traffic" billingMode="IN_ARREAR" usageType="CONSUMABLE"><billingPeriod>MONTHLY</billingPeriod><tiers><tier><blocks>
   <tieredBlock><unit>gb</unit><size>1</size><prices><price><currency>EUR</currency><value>' || price || '</value></price></prices><max>-1</max></tieredBlock></blocks></tier></tiers></usage></usages>' $$;
CREATE FUNCTION monthly(price text) RETURNS text LANGUAGE sql AS $$ SELECT '<recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice><price><currency>EUR</currency><value>' || price || '</value></price></recurringPrice></recurring>' $$;
SELECT name, outcome, detail FROM killbill_import_catalog(('<catalog><effectiveDate>2025-01-01T00:00:00Z</effectiveDate><catalogName>Cloud</catalogName><recurringBillingMode>IN_ADVANCE</recurringBillingMode>
<currencies><currency>EUR</currency></currencies><units><unit name="gb"/></units><products><product name="Server"><category>BASE</category></product></products>
<plans><plan name="server"><product>Server</product><initialPhases>
 <phase type="TRIAL"><duration><unit>MONTHS</unit><number>1</number></duration><fixed><fixedPrice><price><currency>EUR</currency><value>0</value></price></fixedPrice></fixed></phase>
 <phase type="DISCOUNT"><duration><unit>MONTHS</unit><number>2</number></duration>' || monthly('5.00') || usage('0.30') || '</phase></initialPhases>
 <finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>' || monthly('9.00') || usage('0.50') || '</finalPhase></plan></plans>
<priceLists><defaultPriceList name="DEFAULT"><plans><plan>server</plan></plans></defaultPriceList></priceLists></catalog>')::xml, 'kb');
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
SELECT day, p.currency, CASE WHEN p.section IS NOT NULL THEN killbill_rate(p.section, p.currency, '{"gb": "100"}') END FROM unnest('{2026-01-01,2026-02-01,2026-03-01,2026-04-01}'::date[]) AS day CROSS JOIN LATERAL killbill_section('kb', 's-1', 'traffic', day) AS p ORDER BY 1;
SELECT fails($$SELECT * FROM killbill_set_plan('kb', 'acme', 'servant', '2026-01-01')$$);
SELECT fails($$SELECT * FROM killbill_set_plan('kb', 'acme', 'server', NULL)$$);
SELECT fails($$SELECT * FROM killbill_set_plan('kb', 'acme', 'server', '2026-01-01', ends_on => '2026-01-01')$$);
