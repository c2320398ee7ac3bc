-- Our prices as a Kill Bill catalog: the rules it must keep, what cannot be said in it, and how it is uploaded.
\set test_database billing_killbill_push_catalog
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set include :source /lib/killbill.psql
\i :include
SET client_min_messages = error;

SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR'), set_price_list('own', 'EUR'), set_meter('tokens', unit => 'token'), set_meter('GB out', unit => 'GB'),
       set_meter('volume', unit => 'x'), set_meter('odd', unit => 'x'), set_meter('peak', unit => 'x', aggregation => 'max'), set_meter('average', unit => 'x', aggregation => 'avg'),
       set_fee('base', in_advance => true), set_fee('step') \gset
SELECT count(set_price(p.item, p.tariff::tariff, valid_from => '2025-01-01', price_list => 'own')) FROM (VALUES
    ('tokens', '{"model":"per_unit","currency":"EUR","unit_price":"0.7"}'), ('average', '{"model":"per_unit","currency":"EUR","unit_price":"0.7"}'),
    ('GB out', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"100","unit_price":"0.20"},{"up_to":"1000","unit_price":"0.15"},{"unit_price":"0.1"}]}'),
    ('volume', '{"model":"volume","currency":"EUR","tiers":[{"up_to":"100","unit_price":"0.20"},{"unit_price":"0.1"}]}'),
    ('odd', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"100.5","unit_price":"0.20"},{"unit_price":"0.1"}]}'),
    ('peak', '{"model":"blocks","currency":"EUR","policy":"capacity","tiers":[{"limits":[{"unit":"x","max":"10"}],"price":"5"},{"limits":[{"unit":"x"}],"price":"9"}]}'),
    ('base', '{"model":"per_unit","currency":"EUR","unit_price":"9.90"}'), ('step', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"1","unit_price":"5"},{"unit_price":"1"}]}')) AS p(item, tariff) \gset

SELECT * FROM killbill_push_catalog('kb', 'own', '2025-06-01');
SELECT xmlserialize(DOCUMENT killbill_catalog_xml('own', '2025-06-01') AS text);
SELECT place, problem FROM killbill_check_catalog(killbill_catalog_xml('own', '2025-06-01'));
-- Read back it costs the same.
SELECT plan, unit, amount, tariff FROM killbill_catalog_prices(killbill_catalog_xml('own', '2025-06-01'));
SELECT item, plan, unit, scale FROM killbill_unit JOIN (SELECT item_id, key AS item FROM item) AS i USING (item_id) ORDER BY 1;

-- 0.22 has no route to validate (404 in HTML); 0.24 has.
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('[]'), '{"status": 404, "body": "<html>"}', '{"status": 201}', found('["2025-06-01T00:00:00.000Z"]')) AS d;
-- Unchanged prices make no version; changed ones do. What the server says is passed on.
SELECT * FROM killbill_push_catalog('kb', 'own', '2025-07-01') WHERE item IS NULL;
SELECT set_price('tokens', '{"model":"per_unit","currency":"EUR","unit_price":"0.8"}', valid_from => '2025-07-01', price_list => 'own') \gset
SELECT * FROM killbill_push_catalog('kb', 'own', '2025-07-01') WHERE item IS NULL;
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), found('{"catalogValidationErrors": [{"errorDescription": "Wrong price"}]}')) AS d;
SELECT * FROM killbill_push_catalog('kb', 'own', '2025-07-01') WHERE item IS NULL;
SELECT discard_message(message_id, 'test') FROM message WHERE state = 'dead' \gset
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), found('{"catalogValidationErrors": []}'), refused(400, 2080, 'Invalid catalog for tenant : 2')) AS d;
-- The answer to the upload is lost: the version is found.
SELECT retry_message(message_id) FROM message WHERE state = 'dead' \gset
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), found('{"catalogValidationErrors": []}'), '{"error": "timeout", "sent": true}') AS d;
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z", "2025-07-01T00:00:00.000Z"]')) AS d;

-- Everything that a server would refuse, by name.
SELECT place, problem FROM killbill_check_catalog('<catalog><effectiveDate>2026-01-01T00:00:00Z</effectiveDate><catalogName></catalogName><currencies><currency>EUR</currency><currency>XQQ</currency></currencies>
<units><unit name="gb"/><unit name="two words"/></units><products><product name="A"><available><addonProduct>Z</addonProduct></available></product><product name="A"/></products>
<plans><plan name="p"><effectiveDateForExistingSubscriptions>2025-01-01T00:00:00Z</effectiveDateForExistingSubscriptions><product>B</product>
 <initialPhases><phase type="TRIAL"><duration><unit>UNLIMITED</unit></duration><fixed/></phase><phase type="DISCOUNT"><duration><unit>DAYS</unit></duration><fixed/></phase></initialPhases>
 <finalPhase type="FOREVER"><duration><unit>UNLIMITED</unit></duration><usages>
 <usage name="gb" billingMode="IN_ADVANCE" usageType="CONSUMABLE"><billingPeriod>MONTHLY</billingPeriod><tiers><tier><blocks><tieredBlock><unit>kb</unit><size>0</size><prices><price><currency>EUR</currency><value>1</value></price></prices></tieredBlock><tieredBlock><unit>gb</unit><size>0.5</size><prices><price><currency>USD</currency><value>-1</value></price></prices><max>-2</max></tieredBlock></blocks></tier></tiers></usage>
 <usage name="t" billingMode="IN_ARREAR" usageType="CAPACITY"><billingPeriod>MONTHLY</billingPeriod><tiers><tier><limits><limit><unit>gb</unit><max>1</max></limit><limit><unit>two words</unit><max>1</max></limit></limits></tier>
  <tier><limits><limit><unit>gb</unit><max>2</max></limit></limits></tier></tiers></usage>
 <usage name="c" billingMode="IN_ARREAR" usageType="CAPACITY"><billingPeriod>MONTHLY</billingPeriod><tiers><tier><recurringPrice><price><currency>EUR</currency><value>1000000</value></price></recurringPrice></tier></tiers></usage>
 </usages></finalPhase></plan></plans><priceLists><childPriceList name="L"><plans><plan>q</plan></plans></childPriceList></priceLists></catalog>');
SELECT fails($$SELECT * FROM killbill_push_catalog('kb', 'nowhere', '2025-07-01')$$);
SELECT fails($$SELECT * FROM killbill_push_catalog('kb', 'own', NULL)$$);
SELECT fails($$SELECT killbill_set_unit('kb', 'tokens', 'p', 'u', 0)$$);

-- A message that nobody knows. Only the connector's own functions write messages to it.
SELECT fails($$SELECT enqueue_message('kb', 'clock', '{"at": "2030-01-01"}')$$);
SELECT write_message('kb', 'nonsense') \gset
SELECT * FROM deliver();
