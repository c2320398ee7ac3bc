-- Price lists from a Kill Bill catalog: reading it, importing it, importing it again, and what cannot be expressed.
\set test_database billing_killbill_catalog
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
SET client_min_messages = error;

CREATE FUNCTION price(currency text, value text) RETURNS text LANGUAGE sql AS $$ SELECT format('<price><currency>%s</currency><value>%s</value></price>', currency, value) $$;
CREATE FUNCTION block(unit text, size text, value text, max text) RETURNS text LANGUAGE sql AS
$$ SELECT format('<tieredBlock><unit>%s</unit><size>%s</size><prices>%s</prices><max>%s</max></tieredBlock>', unit, size, price('EUR', value), max) $$;
-- One version of a catalog with a trial, an add-on, tiers, capacity, a second price list, and things that cannot be expressed.
CREATE FUNCTION version(starts text, gigabyte text, base text, existing text DEFAULT '', with_addon boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
SELECT '<effectiveDate>' || starts || '</effectiveDate><catalogName>Cloud</catalogName><recurringBillingMode>IN_ADVANCE</recurringBillingMode>
<currencies><currency>EUR</currency></currencies><units><unit name="gb"/><unit name="cpu-hour"/><unit name="peak"/></units>
<products><product name="Server"><category>BASE</category></product><product name="Backup"><category>ADD_ON</category></product></products>
<plans><plan name="server"><product>Server</product>' || existing || '
 <initialPhases>
  <phase type="TRIAL"><duration><unit>DAYS</unit><number>30</number></duration><fixed><fixedPrice/></fixed></phase>
  <phase type="DISCOUNT"><duration><unit>MONTHS</unit><number>6</number></duration><fixed><fixedPrice>' || price('EUR', '4.00') || '</fixedPrice></fixed>
   <recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice>' || price('EUR', '7.50') || '</recurringPrice></recurring></phase>
 </initialPhases>
 <finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>
  <recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice>' || price('EUR', base) || '</recurringPrice></recurring>
  <usages>
   <usage name="traffic" billingMode="IN_ARREAR" usageType="CONSUMABLE"><billingPeriod>MONTHLY</billingPeriod><tiers>
    <tier><blocks>' || block('gb', '10', gigabyte, '5') || block('cpu-hour', '1', '0.105', '-1') || '</blocks></tier>
    <tier><blocks>' || block('gb', '10', '0.40', '-1') || '</blocks></tier></tiers></usage>
   <usage name="line" billingMode="IN_ARREAR" usageType="CAPACITY"><billingPeriod>MONTHLY</billingPeriod><tiers>
    <tier><limits><limit><unit>peak</unit><max>10</max></limit></limits><recurringPrice>' || price('EUR', '5') || '</recurringPrice></tier></tiers></usage>
   <usage name="two" billingMode="IN_ARREAR" usageType="CAPACITY"><billingPeriod>MONTHLY</billingPeriod><tiers>
    <tier><limits><limit><unit>peak</unit><max>10</max></limit><limit><unit>gb</unit><max>3</max></limit></limits><recurringPrice>' || price('EUR', '5') || '</recurringPrice></tier></tiers></usage>
  </usages></finalPhase></plan>
 <plan name="yearly"><product>Server</product><recurringBillingMode>IN_ARREAR</recurringBillingMode><finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>
  <recurring><billingPeriod>ANNUAL</billingPeriod><recurringPrice>' || price('EUR', '99') || '</recurringPrice></recurring></finalPhase></plan>
 <plan name="nowhere"><product>Server</product><finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>
  <recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice>' || price('EUR', '1') || '</recurringPrice></recurring></finalPhase></plan>'
 || CASE WHEN with_addon THEN '<plan name="backup"><product>Backup</product><recurringBillingMode>IN_ARREAR</recurringBillingMode><finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>
  <recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice>' || price('EUR', '3') || '</recurringPrice></recurring></finalPhase></plan>' ELSE '' END || '</plans>
<priceLists><defaultPriceList name="DEFAULT"><plans><plan>server</plan>' || CASE WHEN with_addon THEN '<plan>backup</plan>' ELSE '' END || '</plans></defaultPriceList>
<childPriceList name="LONG"><plans><plan>yearly</plan></plans></childPriceList></priceLists>' $$;
CREATE FUNCTION wrapped(VARIADIC versions text[]) RETURNS xml LANGUAGE sql AS
$$ SELECT ('<catalogs><versions><version>' || array_to_string(versions, '</version><version>') || '</version></versions></catalogs>')::xml $$;

SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset

-- A bare catalog reads as its wrapped form does.
SELECT count(*), count(*) FILTER (WHERE a::text = b::text)
  FROM killbill_catalog_prices(wrapped(version('2026-01-01T01:00:00+01:00', '0.50', '9.00'))) WITH ORDINALITY AS a
  FULL JOIN killbill_catalog_prices(('<?xml version="1.0" encoding="UTF-8"?><catalog>' || version('2026-01-01T00:00:00', '0.50', '9.00') || '</catalog>')::xml) WITH ORDINALITY AS b USING (ordinality);
SELECT phase_no, phase, final, duration, kind, in_advance, billing_period, usage_name, unit, amount FROM killbill_catalog_prices(wrapped(version('2026-01-01T00:00:00Z', '0.50', '9.00'))) WHERE plan = 'server';
-- Monthly and hourly prices.
SELECT item, plan, unit, price_per_month, price_per_hour FROM killbill_price_items(wrapped(version('2026-01-01T00:00:00Z', '0.50', '9.00'))) ORDER BY 1, 2, 3;

-- Importing: names, outcome, prices.
SELECT price_list, plan, name, outcome, detail FROM killbill_import_catalog(wrapped(version('2026-01-01T00:00:00Z', '0.50', '9.00')));
SELECT item, price_list, valid_from, valid_to, tariff FROM prices ORDER BY 1;
SELECT key, in_advance FROM item JOIN fee_definition USING (item_id) ORDER BY 1;
SELECT key, unit, aggregation, dimensions FROM item JOIN meter_definition USING (item_id) ORDER BY 1;

-- Again: nothing is written.
SELECT writes($$SELECT * FROM killbill_import_catalog(wrapped(version('2026-01-01T00:00:00Z', '0.50', '9.00')))$$);
-- Two versions more: the second changes a price for new subscriptions, the third one for all and drops the add-on.
SELECT effective_at::date, plan, name, outcome, detail FROM killbill_import_catalog(wrapped(version('2026-01-01T00:00:00Z', '0.50', '9.00'), version('2026-03-01T00:00:00Z', '0.55', '9.00'),
    version('2026-05-01T00:00:00Z', '0.55', '9.90', '<effectiveDateForExistingSubscriptions>2026-06-01T00:00:00+00:00</effectiveDateForExistingSubscriptions>', false)))
 WHERE effective_at > '2026-01-02' AND outcome NOT IN ('not expressed');
SELECT item, valid_from, valid_to, tariff FROM prices WHERE item IN ('server', 'backup', 'server/traffic/gb') ORDER BY 1, 2;
-- A version is gone.
SELECT effective_at::date, outcome, detail FROM killbill_import_catalog(wrapped(version('2026-03-01T00:00:00Z', '0.55', '9.00'))) WHERE outcome = 'vanished';

-- A meter of one's own stands for a unit.
SELECT set_meter('transfer', unit => 'GB') AS transfer \gset
SELECT set_external_key('meter', :transfer, 'second', 'server/traffic/gb') \gset
SELECT name, outcome FROM killbill_import_catalog(wrapped(version('2026-01-01T00:00:00Z', '0.50', '9.00')), endpoint => 'second') WHERE name LIKE 'server/traffic/%';
SELECT item, price_list, valid_from FROM prices WHERE item = 'transfer';

-- What is charged: 73 GB in blocks of 10 are 5 at 0.50 and 3 at 0.40, for each resource by itself.
SELECT set_account('acme', currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Cloud/DEFAULT/EUR', starts_on => '2026-01-01'),
       set_resource('acme', 'vm-1'), set_resource('acme', 'vm-2') AS second \gset
CALL maintain_partitions('[2026-01-01,2026-02-01)');
SELECT outcome FROM record_usage('[{"id":"1","account":"acme","meter":"server/traffic/gb","resource":"vm-1","at":"2026-01-10T00:00:00Z","quantity":"70.5"},
                                   {"id":"2","account":"acme","meter":"server/traffic/gb","resource":"vm-1","at":"2026-01-20T00:00:00Z","quantity":"2.5"},
                                   {"id":"3","account":"acme","meter":"server/traffic/gb","resource":"vm-2","at":"2026-01-20T00:00:00Z","quantity":"1"},
                                   {"id":"4","account":"acme","meter":"server/line/peak","resource":"vm-1","at":"2026-01-20T00:00:00Z","quantity":"10"}]');
SELECT item, charge_group, quantity, owed FROM charges('acme', '[2026-01-01,2026-02-01)') ORDER BY 1, 2;

-- One odd price, phase or date does not stop the others: it is named.
CREATE FUNCTION odd(base text, existing text DEFAULT '') RETURNS TABLE (name text, outcome text, detail text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT i.name, i.outcome, i.detail FROM killbill_import_catalog(wrapped(version('2026-01-01T00:00:00Z', '0.50', base, existing)), endpoint => 'odd')
                  AS i WHERE i.name = 'server' OR i.name = 'backup';
    DELETE FROM killbill_price AS p WHERE p.endpoint = 'odd';
    DELETE FROM killbill_catalog AS c WHERE c.endpoint = 'odd';
END $$;
SELECT b.base, o.* FROM unnest('{"",NaN,Infinity,-,1e99999}'::text[]) AS b(base) CROSS JOIN LATERAL odd(b.base) AS o;
SELECT * FROM odd('9.00</value></price><price><currency>EUR</currency><value>8.00');
SELECT * FROM odd('9.00', '<effectiveDateForExistingSubscriptions>infinity</effectiveDateForExistingSubscriptions>');
SELECT effective_at::date, name, outcome, detail FROM killbill_import_catalog(wrapped(version('infinity', '0.50', '9.00'), version('2026-13-01', '0.50', '9.00'), version('2026-01-01', '0.50', '9.00')), endpoint => 'dates')
 WHERE name IN ('server', 'Cloud');
SELECT name, outcome, detail FROM killbill_import_catalog(replace(wrapped(version('2026-01-01', '0.50', '9.00'))::text, '<number>6<', '<number>six<')::xml, endpoint => 'six') WHERE name LIKE 'server%' AND name NOT LIKE '%/%';
SELECT place, problem FROM killbill_check_catalog(wrapped(version('infinity', '0.50', '9.00', '<effectiveDateForExistingSubscriptions>soon</effectiveDateForExistingSubscriptions>'))) WHERE problem LIKE '%instant';
-- Errors.
SELECT fails($$SELECT * FROM killbill_import_catalog('<invoice/>')$$);
SELECT fails($$SELECT * FROM killbill_import_catalog('<catalog><effectiveDate>soon</effectiveDate></catalog>')$$);
SELECT fails($$SELECT * FROM killbill_import_catalog('<catalog/>', endpoint => '')$$);
