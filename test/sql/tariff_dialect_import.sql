\pset format unaligned
\set SHOW_CONTEXT never
-- Prices of other products: what becomes of them, and what is refused.  The amounts are tested by test/conformance.

SELECT tariff_from('lago', '{"charge_model":"graduated","id":"x","created_at":"2024","properties":{"graduated_ranges":[{"from_value":0,"to_value":10,"per_unit_amount":"2","flat_amount":"5"},{"from_value":11,"to_value":null,"per_unit_amount":"1","flat_amount":"0"}]}}'::jsonb, 'eur');
SELECT tariff_from('lago', '{"charge_model":"standard","min_amount_cents":500,"properties":{"amount":"0.1"}}'::jsonb, 'JPY');
SELECT rate(tariff_from('lago', '{"charge_model":"dynamic"}'::jsonb, 'USD'), q) FROM unnest(ARRAY['{"units":"1","precise_total_amount_cents":"10.1"}', '{"units":0,"precise_total_amount_cents":"10.1"}']::jsonb[]) AS q;
SELECT q, rate(tariff_from('lago', '{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":null,"per_unit_amount":"2","flat_amount":"5"}]}}'::jsonb, 'USD'), q) FROM unnest(ARRAY[-1, -3, 0, 1]) AS q;
SELECT tariff_from('openmeter', '{"price":{"type":"graduated","tiers":[{"unit_price":{"amount":"1"}},{"up_to_amount":"5","flat_price":{"amount":"100"}}]},"commitments":{"minimum_amount":"1","maximum_amount":"9"},"unit_config":{"operation":"divide","conversion_factor":"60","rounding":"half_up","precision":2},"discounts":{"percentage":2.5,"usage":"1"}}'::jsonb, 'USD');
SELECT rate(tariff_from('openmeter', '{"type":"tiered","mode":"volume","tiers":[{"unitPrice":{"amount":"2"}}]}'::jsonb, 'USD'), 3, complete => c) FROM unnest(ARRAY[true, false]) AS c;
SELECT tariff_from('stripe', '{"currency":"usd","billing_scheme":"per_unit","unit_amount":1,"unit_amount_decimal":"0.5","transform_quantity":null}'::jsonb);
SELECT tariff_from('stripe', '{"currency":"usd","billing_scheme":"per_unit","unit_amount":100,"currency_options":{"jpy":{"unit_amount":150},"bhd":{"unit_amount_decimal":"1500"}}}'::jsonb, c) FROM unnest(ARRAY['usd', 'JPY', 'BHD']) AS c;
SELECT tariff_from('flexprice', '{"currency":"usd","billing_model":"TIERED","tier_mode":"SLAB","tiers":[{"up_to":null,"unit_amount":"1"},{"up_to":10,"unit_amount":"2","flat_amount":"3"}]}'::jsonb);
SELECT tariff_from('meteroid', '{"pricing":{"type":"TIERED","tiers":[{"first_unit":0,"rate":"1","flat_fee":"10"},{"first_unit":20,"rate":"0.3","flat_cap":"2"}]}}'::jsonb, 'EUR');
SELECT q, rate(tariff_from('meteroid', '{"pricing":{"type":"VOLUME","tiers":[{"first_unit":0,"rate":"1"},{"first_unit":100,"rate":"0.5","flat_cap":"60"}]}}'::jsonb, 'EUR'), q) FROM unnest(ARRAY[99, 99.5, 100, 120, 150]) AS q;
SELECT tariff_from('meteroid', '{"pricing":{"type":"MATRIX","rates":[{"dimension1":{"key":"region","value":"eu"},"per_unit_price":"0.10"}]}}'::jsonb, 'EUR');
SELECT tariff_from('waldur', '{"unit":"month","unit_price":"7.125"}'::jsonb, 'EUR');
SELECT tariff_from('waldur', '{"unit":"month","unit_price":"7.125","discount_rate":"0.00","discount_threshold":0}'::jsonb, 'EUR');
SELECT tariff_from('killbill', x, 'EUR') = tariff_from('killbill', j, 'EUR') AS same, tariff_from('killbill', x, 'EUR')
  FROM (VALUES ('<usage name="n" billingMode="IN_ARREAR" usageType="CONSUMABLE"><billingPeriod>MONTHLY</billingPeriod><tiers><tier><blocks><tieredBlock><unit>GB &amp; more</unit><size> 10 </size><prices><price><currency>USD</currency><value>1.1</value></price><price><currency>EUR</currency><value>1</value></price></prices><max>-1</max></tieredBlock></blocks></tier></tiers></usage>'::xml,
       '{"usageType":"CONSUMABLE","tierBlockPolicy":"ALL_TIERS","tiers":[{"blocks":[{"unit":"GB & more","size":"10","max":"-1","prices":[{"currency":"EUR","value":"1"}]}]}]}'::jsonb)) AS v(x, j);
SELECT tariff_from('cloudkitty', '{"services":[{"service_id":"1","name":"compute"}],"fields":[{"field_id":"2","service_id":"1","name":"flavor"}],"groups":[{"group_id":"3","name":"instances"}],
    "mappings":[{"mapping_id":"4","field_id":"2","value":"nano","type":"flat","cost":"0.50","group_id":"3","tenant_id":"acme"},{"mapping_id":"5","service_id":"1","value":null,"type":"flat","cost":1}],
    "thresholds":[{"threshold_id":"6","service_id":"1","level":"10.00000000","type":"rate","cost":"0.9","group_id":"3"}]}'::jsonb, 'EUR');
SELECT tariff_from('lago', NULL::jsonb) IS NULL AS nothing;
-- a bare literal, or a text, is JSON or XML
SELECT tariff_from('lago', '{"charge_model":"standard","properties":{"amount":"0.1"}}', 'EUR');
SELECT tariff_from('killbill', E'\n <usage usageType="CONSUMABLE"><tiers><tier><blocks><tieredBlock><unit>u</unit><size>1</size><prices><price><currency>EUR</currency><value>2</value></price></prices><max>-1</max></tieredBlock></blocks></tier></tiers></usage>', 'EUR');
SELECT tariff_from('lago', NULL, 'EUR') IS NULL AS nothing;

-- What is refused, and by what name.
CREATE FUNCTION refusal(dialect text, price jsonb, currency text DEFAULT 'USD') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN tariff_from(dialect, price, currency);
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, detail);
END $$;
SELECT refusal(d, p::jsonb) FROM (VALUES
    ('lago', '{"properties":{}}'), ('lago', '{"charge_model":"custom"}'), ('lago', '{"charge_model":"standard"}'), ('lago', '{"charge_model":"standard","properties":{"amount":"x"}}'),
    ('lago', '{"charge_model":"standard","filters":[{"values":{}}],"properties":{"amount":"1"}}'), ('lago', '{"charge_model":"standard","properties":{"amount":"1","grouped_by":["region"]}}'),
    ('lago', '{"charge_model":"volume","properties":{"volume_ranges":[{"from_value":0,"to_value":10,"per_unit_amount":"1"},{"from_value":12,"to_value":null,"per_unit_amount":"1"}]}}'),
    ('lago', '{"charge_model":"volume","properties":{"volume_ranges":[{"from_value":0,"to_value":10,"per_unit_amount":"1"}]}}'),
    ('openmeter', '{"type":"bucket"}'), ('openmeter', '{"type":"tiered","mode":"volume","tiers":[]}'), ('openmeter', '{"price":{"type":"unit","amount":"1"},"unit_config":{"operation":"power","conversion_factor":"2"}}'),
    ('stripe', '{"currency":"usd","billing_scheme":"per_unit","custom_unit_amount":{"minimum":5}}'), ('stripe', '{"currency":"eur","billing_scheme":"per_unit","unit_amount":1}'),
    ('stripe', '{"currency":"usd","billing_scheme":"per_unit","unit_amount":1,"transform_quantity":{"divide_by":5,"round":"near"}}'), ('stripe', '{"currency":"usd","billing_scheme":"per_unit"}'),
    ('flexprice', '{"billing_model":"TIERED","tiers":[{"unit_amount":"1"}]}'), ('flexprice', '{"billing_model":"AUCTION"}'),
    ('meteroid', '{"type":"SLOT","pricing":{}}'), ('meteroid', '{"pricing":{"type":"TIERED","block_size":10,"tiers":[{"first_unit":0,"rate":"1"}]}}'),
    ('meteroid', '{"pricing":{"type":"MATRIX","rates":[{"dimension1":{"key":"a","value":"1"},"per_unit_price":"1"},{"dimension1":{"key":"b","value":"1"},"per_unit_price":"1"}]}}'),
    ('waldur', '{"unit":"week","unit_price":"1"}'),
    ('killbill', '{"usageType":"CONSUMABLE","billingMode":"IN_ADVANCE"}'), ('killbill', '{"usageType":"CONSUMABLE","tiers":[{"blocks":[{"unit":"u","size":1,"prices":[{"currency":"EUR","value":1}]}]}]}'),
    ('killbill', '{"usageType":"CAPACITY","tiers":[{"limits":[{"unit":"u","min":"5","max":"9"}],"recurringPrice":[{"currency":"USD","value":1}]}]}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"}],"mappings":[{"mapping_id":"9","field_id":"7","value":"a","cost":"1"}]}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"}],"mappings":[{"mapping_id":"9","service_id":"1","type":"flat"}]}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"}],"mappings":[{"mapping_id":"9","service_id":"1","type":"rate","cost":"2"},{"mapping_id":"9","service_id":"1","type":"rate","cost":"2"}]}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"}],"groups":[{"group_id":"3","name":"g"},{"group_id":"3","name":"g"}],"mappings":[{"mapping_id":"9","service_id":"1","group_id":"3","cost":"2"}]}'),
    ('paper', '{}'), ('lago', '[]')) AS v(d, p);
SELECT refusal('lago', '{"charge_model":"standard","properties":{"amount":"1"}}', NULL);
SELECT tariff_from('lago', '<usage/>'::xml, 'USD');
SELECT tariff_from('killbill', '<plan/>'::xml, 'USD');
DROP FUNCTION refusal(text, jsonb, text);

-- Lines of the bill: Waldur rounds away from zero, OpenMeter every line, CloudKitty nothing.
SELECT d, l.amount FROM (VALUES ('waldur'), ('openmeter'), ('cloudkitty'), ('killbill')) AS v(d),
    rated_lines(jsonb_build_object('model', 'per_unit', 'currency', 'JPY', 'unit_price', '0.001', 'dialect', d)::tariff, 501) AS l;
SELECT rated_lines('{"model":"per_unit","currency":"EUR","unit_price":"1","dialect":"waldur"}', -1.001);
SELECT rate('{"model":"per_unit","currency":"EUR","unit_price":"1","dialect":"meteroid"}', -5), rate('{"model":"per_unit","currency":"EUR","unit_price":"1","dialect":"lago"}', -5), rate('{"model":"per_unit","currency":"EUR","unit_price":"1","dialect":"openmeter"}', -5);

-- a minimum is due whatever the usage, below zero too
SELECT q, rate(tariff_from('lago', '{"charge_model":"standard","min_amount_cents":3100,"properties":{"amount":"1"}}'::jsonb, 'USD'), q) AS standard,
       rate(tariff_from('lago', '{"charge_model":"graduated","min_amount_cents":3100,"properties":{"graduated_ranges":[{"from_value":0,"to_value":null,"per_unit_amount":"1","flat_amount":"40"}]}}'::jsonb, 'USD'), q) AS graduated,
       rate(tariff_from('lago', '{"charge_model":"standard","min_amount_cents":3100,"properties":{"amount":"1"}}'::jsonb, 'USD'), q, fraction => 0.5, complete => false) AS running
  FROM unnest(ARRAY[-4, 0, 32]) AS q;
SELECT step, what, amount FROM rating_steps(tariff_from('lago', '{"charge_model":"standard","min_amount_cents":3100,"properties":{"amount":"1"}}'::jsonb, 'USD'), -4);

-- a member that carries a price is never dropped in silence
SELECT tariff_from('openmeter', '{"price": {"type": "unit", "amount": "1"}, "discounts": [{"type": "percentage", "percentage": 10}]}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"price": {"type": "unit", "amount": "1"}, "commitments": [1]}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"price": {"type": "unit", "amount": "1"}, "unitConfig": {"operation": "divide"}}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"type": "unit", "amount": "1", "discounts": {"percentage": {"percentage": 10}}}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"type": "unit", "amount": "1", "minimum_amount": "10"}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"type": "tiered", "mode": "graduated", "tiers": [{"upToAmount": "10", "flatPrice": "5"}, {"unitPrice": {"amount": "1"}}]}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"type": "tiered", "mode": "graduated", "tiers": [{"unitPrice": {"type": "unit"}}]}'::jsonb, 'EUR');
SELECT tariff_from('openmeter', '{"price": {"type": "unit", "amount": "1", "minimumAmount": null}, "commitments": {"minimum_amount": "10"}}'::jsonb, 'EUR');
SELECT tariff_from('stripe', '{"currency": "usd", "billing_scheme": "per_unit", "unit_amount": 100, "unit_amount_decimal": "100", "currency_options": {"eur": {"unit_amount": 90}}}'::jsonb, 'EUR');
SELECT tariff_from('stripe', '{"currency": "usd", "billing_scheme": "per_unit", "unit_amount": 100, "transform_quantity": {"divide_by": 10}}'::jsonb);
SELECT tariff_from('lago', '{"charge_model": "graduated", "properties": {"graduated_ranges": [{"from_value": 5, "to_value": null, "per_unit_amount": "1"}]}}'::jsonb, 'EUR');
SELECT tariff_from('killbill', '{"usageType": "CONSUMABLE", "tiers": [{"blocks": [{"unit": "u", "size": 10, "max": -1, "minTopUpCredit": "5", "prices": [{"currency": "EUR", "value": "1"}]}]}]}'::jsonb, 'EUR');
SELECT tariff_from('killbill', '<usage usageType="CONSUMABLE"><tiers><tier><blocks><tieredBlock><unit>u</unit><size>1</size><prices><price><currency>EUR</currency><value>1</value></price></prices><max>-1</max><minTopUpCredit>5</minTopUpCredit></tieredBlock></blocks></tier></tiers></usage>'::xml, 'EUR');
-- Meteroid: from unit 1 to 101 are 100 units
SELECT rate(t, 100), rate(t, 101) FROM tariff_from('meteroid', '{"pricing": {"type": "TIERED", "tiers": [{"first_unit": 1, "rate": "1"}, {"first_unit": 101, "rate": "2"}]}}'::jsonb, 'EUR') AS t;

-- members that were lost in silence once: each is refused by its name
CREATE FUNCTION refusal(dialect text, price jsonb, currency text DEFAULT 'USD') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN tariff_from(dialect, price, currency);
EXCEPTION WHEN others THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;
SELECT refusal('lago', p) FROM (VALUES
    ('{"charge_model":"standard","properties":{"amount":"1"},"group_properties":[{"group_id":"a","values":{"amount":"2"}}]}'::jsonb),
    ('{"charge_model":"standard","properties":{"amount":"1"},"group_properties":[],"discount_amount":"0.00","amount_currency":"USD","regroup_paid_fees":"invoice","invoice_display_name":"n"}'),
    ('{"charge_model":"standard","properties":{"amount":"1","capAmount":"9"}}'), ('{"charge_model":"standard","properties":["amount"]}'), ('{"charge_model":"standard","properties":{"amount":""}}'),
    ('{"charge_model":"standard","properties":{"amount":"NaN"}}'), ('{"charge_model":"standard","min_amount_cents":"","properties":{"amount":"1"}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":10,"per_unit_amount":"1"},5]}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"to_value":10,"per_unit_amount":"1"},{"from_value":11,"per_unit_amount":"1"}]}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":10,"per_unit_amount":"1"},{"per_unit_amount":"1"}]}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":null}]}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":null,"per_unit_amount":"1","flat_amount":""}]}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":null,"per_unit_amount":"1","max_amount":"3"}]}}'),
    ('{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":null,"per_unit_amount":"1"},{"from_value":0,"to_value":null,"per_unit_amount":"1"}]}}'),
    ('{"charge_model":"percentage","properties":{"rate":"1","per_transaction_max_amount":""}}')) AS v(p);
SELECT refusal('lago', '{"charge_model":"standard","properties":{"amount":"1"}}', 'XAU'), refusal('lago', '{"charge_model":"standard","min_amount_cents":5,"properties":{"amount":"1"}}', 'XAU');
SELECT refusal('openmeter', p) FROM (VALUES
    ('{"price":{"type":"unit","amount":"1"},"discounts":{"amount":{"amount":5}}}'::jsonb), ('{"price":{"type":"unit","amount":"1"},"commitments":{"minimum_amount":"5","minimum_quantity":"7"}}'),
    ('{"price":{"type":"unit","amount":"1"},"minimumAmount":"5"}'), ('{"price":{"type":"unit","amount":"1"},"maximum_amount":"5"}'), ('{"price":{"type":"unit","amount":"1","unitDiscount":"5"}}'),
    ('{"price":{"type":"unit","amount":"1","minimumAmount":""}}'),
    ('{"price":{"type":"unit","amount":"1"},"discounts":{"percentage":""}}'), ('{"price":{"type":"unit","amount":"1"},"discounts":{"percentage":{"percentage":10,"maximumAmount":"3"}}}'),
    ('{"price":{"type":"unit","amount":"1"},"discounts":{"percentage":{"percentage":10,"correlationId":"c"},"usage":{"quantity":"2"}}}'), ('{"price":{"type":"unit","amount":"1"},"discounts":{"usage":{"correlationId":"c"}}}'),
    ('{"price":{"type":"unit","amount":"1"},"taxConfig":{"behavior":"inclusive"}}'), ('{"price":{"type":"unit","amount":"1"},"key":"k","name":"n","taxConfig":{"behavior":"exclusive"},"entitlementTemplate":{"type":"metered"}}'),
    ('{"type":"tiered","mode":"graduated","tiers":[{"unitPrice":{"type":"package","amount":"1","quantityPerPackage":"10"}}]}'), ('{"type":"tiered","mode":"graduated","tiers":[{"flatPrice":{"type":"unit","amount":"1"}}]}'),
    ('{"type":"tiered","mode":"graduated","tiers":[{"unitPrice":{"type":"unit","amount":"1"},"minimumAmount":"5"}]}'), ('{"type":"tiered","mode":"graduated","tiers":["free"]}'),
    ('{"type":"tiered","mode":"foo","tiers":[{"unitPrice":{"amount":"1"}}]}'), ('{"type":"tiered","mode":"per_unit","tiers":[{"unitPrice":{"amount":"1"}}]}')) AS v(p);
SELECT refusal('stripe', p) FROM (VALUES
    ('{"currency":"usd","unit_amount":100,"tax_behavior":"inclusive"}'::jsonb), ('{"currency":"usd","unit_amount":100,"tax_behavior":"exclusive","product":"p","recurring":{"interval":"month"}}'),
    ('{"currency":"eur","unit_amount":100,"currency_options":{"usd":{"unit_amount":90,"tax_behavior":"inclusive"}}}'),
    ('{"currency":"usd","tiers_mode":"volume","tiers":[{"unit_amount":1,"up_to":null}]}'), ('{"currency":"usd","billing_scheme":"auction"}'), ('{"currency":"usd","amount":100}'),
    ('{"currency":"usd","billing_scheme":"tiered","tiers_mode":"volume","tiers":[{"unit_amount":1,"up_to":10},{"up_to":null}]}'),
    ('{"currency":"usd","billing_scheme":"tiered","tiers_mode":"volume","unit_amount":7,"tiers":[{"unit_amount":1,"up_to":null}]}')) AS v(p);
SELECT refusal('flexprice', p) FROM (VALUES
    ('{"billing_model":"FLAT_FEE","amount":"1","min_quantity":"5"}'::jsonb), ('{"billing_model":"FLAT_FEE","amount":"1","min_quantity":null,"display_amount":"$1.00","price_unit_type":"FIAT","entity_type":"PLAN"}'),
    ('{"billing_model":"FLAT_FEE","amount":""}'), ('{"billing_model":"TIERED","tier_mode":"SLAB","tiers":[{"unit_amount":"1","flat_amount":""}]}'),
    ('{"billing_model":"TIERED","tier_mode":"SLAB","tiers":[{"unit_amount":"1","up_to":5},{"up_to":null}]}'), ('{"billing_model":"TIERED","tier_mode":"SLAB","tiers":[1]}'),
    ('{"billing_model":"TIERED","tier_mode":"SLAB","amount":"3","tiers":[{"unit_amount":"1"}]}'), ('{"billing_model":"FLAT_FEE","amount":"3","tiers":[{"unit_amount":"1"}]}'),
    ('{"billing_model":"PACKAGE","amount":"3","transform_quantity":{"divide_by":5,"minimum":2}}'), ('{"billing_model":"FLAT_FEE","amount":"3","meter":{"surcharge":"1"}}'), ('{"billing_model":"FLAT_FEE","amount":"3","meter":5}'),
    ('{"billing_model":"FLAT_FEE","amount":"3","meter":{"aggregation":{"type":"MAX","bucket_size":"15MIN"}}}'), ('{"billing_model":"FLAT_FEE","amount":"3","meter":{"aggregation":{"bucket_size":"WEEK"}}}'),
    ('{"billing_model":"FLAT_FEE","amount":"3","meter":{"aggregation":{"bucket_size":"hour","free":"2"}}}')) AS v(p);
-- buckets and groups of a meter are priced alone
SELECT tariff_from('flexprice', p, 'USD') FROM (VALUES
    ('{"billing_model":"FLAT_FEE","amount":"3","meter_id":"m","meter":{"id":"m","name":"Peak","event_name":"peak","aggregation":{"type":"MAX","field":"gb","bucket_size":"HOUR"},"filters":[{"key":"a","values":["1"]}],"reset_usage":"BILLING_PERIOD"}}'::jsonb),
    ('{"billing_model":"FLAT_FEE","amount":"3","meter":{"aggregation":{"type":"SUM_WITH_MULTIPLIER","multiplier":"1000","bucket_size":"","group_by":""}}}'), ('{"billing_model":"FLAT_FEE","amount":"3","meter":{"aggregation":{"bucket_size":"MONTH"}}}'),
    ('{"billing_model":"TIERED","tier_mode":"SLAB","tiers":[{"unit_amount":"1","up_to":10},{"unit_amount":"2","up_to":null}],"meter":{"aggregation":{"type":"MAX","bucket_size":"DAY","group_by":"krn"}}}')) AS v(p);
SELECT refusal('meteroid', p) FROM (VALUES
    ('{"pricing":{"type":"PER_UNIT","rate":"1","minimum":"5"}}'::jsonb), ('{"pricing":{"type":"PER_UNIT","rate":"1"},"rate":"2"}'), ('{"type":"USAGE","pricing":{"type":"PER_UNIT","rate":"1"},"cadence":"MONTHLY"}'),
    ('{"pricing":{"type":"TIERED","tiers":[{"rate":"1"}]}}'), ('{"pricing":{"type":"TIERED","tiers":[{"first_unit":0}]}}'), ('{"pricing":{"type":"TIERED","tiers":[{"first_unit":0,"rate":"1","flat_minimum":"3"}]}}')) AS v(p);
SELECT refusal('killbill', p) FROM (VALUES
    ('{"usageType":"CONSUMABLE","tiers":[{"blocks":[{"unit":"u","size":1,"prices":[{"currency":"USD","value":1},{"currency":"usd","value":2}]}]}]}'::jsonb),
    ('{"usageType":"CONSUMABLE","tiers":[{"fixedPrice":[{"currency":"USD","value":0}],"blocks":[{"unit":"u","size":1,"prices":[{"currency":"USD","value":1}]}]}]}'),
    ('{"usageType":"CONSUMABLE","tiers":[{"fixedPrice":[{"currency":"USD","value":0},{"currency":"EUR","value":3}],"blocks":[{"unit":"u","size":1,"prices":[{"currency":"USD","value":1}]}]}]}'),
    ('{"usageType":"CONSUMABLE","tiers":[{"blocks":[{"unit":"u","size":1,"topTierPrice":"1","prices":[{"currency":"USD","value":1}]}]}]}')) AS v(p);
SELECT tariff_from('killbill', '<usage xmlns="urn:catalog"/>'::xml, 'USD');
SELECT refusal('cloudkitty', ('{"services":[{"service_id":"1","name":"s"}],' || p || '}')::jsonb) FROM (VALUES
    ('"scripts":[{"name":"n","data":"cHJpY2U="}]'), ('"pyscripts":[{"name":"n"}],"scripts":[]'), ('"mappings":[5]'),
    ('"mappings":[{"mapping_id":"9","service_id":"1","cost":"1","end":"2019-01-01T00:00:00"}]'), ('"thresholds":[{"threshold_id":"8","service_id":"1","level":"1","cost":"1","end":"2019-01-01T00:00:00"}]'),
    ('"mappings":[{"mapping_id":"9","service_id":"1","cost":"1","start":"2019-01-01T00:00:00","end":null,"deleted":null,"name":"n"}]'),
    ('"mappings":[{"mapping_id":"7","service_id":"1","cost":"1","deleted":"2020-01-01T00:00:00","end":"2019-01-01T00:00:00"},{"mapping_id":"9","service_id":"1","cost":"2"}]'),
    ('"mappings":[{"mapping_id":"9","service_id":"1","cost":""}]'), ('"mappings":[{"mapping_id":"9","service_id":"1","cost":"1","maximum":"2"}]')) AS v(p);
SELECT refusal('waldur', '{"unit":"month","unit_price":"1","price":"30","tax":"2"}'), refusal('waldur', '{"unit":"month","unit_price":"1","future_price":"30"}');
DROP FUNCTION refusal(text, jsonb, text);
