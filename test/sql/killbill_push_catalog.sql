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

-- 0.22 has no route to validate (404 in HTML); 0.24 has. Delivered is what the server then shows: it spells the numbers otherwise.
CREATE FUNCTION shown(VARIADIC versions xml[]) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('status', 200, 'body', '<catalogs><versions>' || string_agg(regexp_replace(regexp_replace(regexp_replace(v::text, '^<\?xml[^>]*>\s*', ''), '<(/?)catalog>', '<\1version>', 'g'), '<(size|max)>(-?\d+)<', '<\1>\2.0<', 'g'), '' ORDER BY no) || '</versions></catalogs>')
     FROM unnest(versions) WITH ORDINALITY AS u(v, no) $$;
SELECT killbill_catalog_xml('own', '2025-06-01') AS first \gset
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('[]'), '{"status": 404, "body": "<html>"}', '{"status": 201}', found('["2025-06-01T00:00:00.000Z"]'), shown(:'first')) AS d;
-- Unchanged prices make no version; changed ones do. What the server says is passed on.
SELECT * FROM killbill_push_catalog('kb', 'own', '2025-07-01') WHERE item IS NULL;
SELECT set_price('tokens', '{"model":"per_unit","currency":"EUR","unit_price":"0.8"}', valid_from => '2025-07-01', price_list => 'own') \gset
SELECT * FROM killbill_push_catalog('kb', 'own', '2025-07-01') WHERE item IS NULL;
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), found('{"catalogValidationErrors": [{"errorDescription": "Wrong price"}]}')) AS d;
SELECT * FROM killbill_push_catalog('kb', 'own', '2025-07-01') WHERE item IS NULL;
SELECT discard_message(message_id, 'test') FROM message WHERE state = 'dead' \gset
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), found('{"catalogValidationErrors": []}'), refused(400, 2080, 'Invalid catalog for tenant : 2')) AS d;
-- A page instead of the validator's answer is no leave to upload.
SELECT retry_message(message_id) FROM message WHERE state = 'dead' \gset
SELECT d FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), '{"status": 200, "body": "<html>"}') AS d OFFSET 3;
-- The answer to the upload is lost: the version is found, and says what ours does.
SELECT killbill_catalog_xml('own', '2025-07-01') AS second \gset
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z"]'), found('{"catalogValidationErrors": []}'), '{"error": "timeout", "sent": true}') AS d;
BEGIN;
SELECT regexp_replace(d, '<.*', '<…>') FROM deliver(found('["2025-06-01T00:00:00.000Z", "2025-07-01T00:00:00.000Z"]'), shown(:'first', :'second')) AS d;
ROLLBACK;
-- A version of that day with other prices is not ours, at whatever attempt: one price, one plan more, one less, another day for existing subscriptions.
CREATE FUNCTION meets_other(other text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    UPDATE message SET state = 'delayed', finished_at = NULL, next_try_at = now() WHERE kind = 'catalog' AND state = 'dead';
    SELECT d INTO STRICT said FROM deliver(found('["2025-07-01T00:00:00.000Z"]'), shown(other::xml)) AS d WHERE starts_with(d, '=>') OR d ~ 'left over';
    RETURN said;
END $$;
SELECT meets_other(replace(:'second', '<value>0.8</value>', '<value>0.80000001</value>'));
SELECT meets_other(replace(:'second', '<plan name="base-fee">', '<plan name="other-fee">'));
SELECT meets_other(replace(:'second', '<value>9.9</value>', '<value>9.90</value>'));
UPDATE message SET state = 'dead', progress = NULL WHERE kind = 'catalog' AND message_id = (SELECT max(message_id) FROM message);
SELECT meets_other(replace(:'second', '<effectiveDateForExistingSubscriptions>2025-07-01', '<effectiveDateForExistingSubscriptions>2025-07-02'));
SELECT d FROM retry_message((SELECT max(message_id) FROM message)) CROSS JOIN LATERAL deliver('{"status": 503, "body": ""}') AS d OFFSET 2;
SELECT meets_other(replace(:'second', '<max>900</max>', '<max>901</max>'));
SELECT d FROM retry_message((SELECT max(message_id) FROM message)) CROSS JOIN LATERAL deliver(found('["2025-07-01T00:00:00.000Z"]'), '{"status": 200, "body": "<catalogs><vers"}') AS d OFFSET 3;
SELECT discard_message(max(message_id), 'test') FROM message \gset

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
