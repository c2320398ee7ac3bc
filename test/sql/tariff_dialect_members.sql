\pset format unaligned
\set SHOW_CONTEXT never
-- Whole exports of other products are read, and nothing in them that may be money is lost in silence: not even a member that no importer has heard of.

CREATE FUNCTION imported(dialect text, price jsonb, currency text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN tariff_from(dialect, price, currency);
EXCEPTION WHEN others THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;

-- Each product's own object, with all that its API documents.
CREATE TEMP TABLE export (dialect text, name text, currency text, price jsonb);
INSERT INTO export VALUES
('lago', 'charge', 'EUR', '{"lago_id":"1a901a90-1a90-1a90-1a90-1a901a901a90","lago_billable_metric_id":"1a901a90-1a90-1a90-1a90-1a901a901a91","code":"setup","billable_metric_code":"requests","invoice_display_name":"Setup 2024",
    "created_at":"2022-09-14T16:35:31Z","charge_model":"package","pay_in_advance":true,"invoiceable":true,"regroup_paid_fees":null,"prorated":false,"min_amount_cents":1200,
    "properties":{"amount":"30","free_units":100,"package_size":1000,"presentation_group_keys":[{"value":"region","options":{"display_in_invoice":true}}]},"filters":[],"applied_pricing_unit":null,
    "taxes":[{"lago_id":"1a901a90-1a90-1a90-1a90-1a901a901a92","name":"TVA","code":"french_standard_vat","rate":20.0,"applied_to_organization":true,"created_at":"2023-07-06T14:35:58Z"}],
    "accepts_target_wallet":null,"lago_parent_id":null}'),
('openmeter', 'rate card, v1', 'USD', '{"type":"usage_based","key":"tokens","name":"Tokens","description":"1000 tokens","metadata":{"cost_center":"4711"},"featureKey":"tokens",
    "entitlementTemplate":{"type":"metered","isSoftLimit":false,"issueAfterReset":100,"issueAfterResetPriority":1,"preserveOverageAtReset":false,"usagePeriod":"P1M"},
    "taxConfig":{"behavior":"exclusive","stripe":{"code":"txcd_10000000"}},"billingCadence":"P1M","discounts":{"percentage":{"percentage":10,"correlationId":"01G65Z755AFWAKHE12NY0CQ9FH"},"usage":{"quantity":"5","correlationId":"01G65Z755AFWAKHE12NY0CQ9FJ"}},
    "price":{"type":"tiered","mode":"graduated","minimumAmount":"3","tiers":[{"upToAmount":"10","flatPrice":{"type":"flat","amount":"1"},"unitPrice":null},{"upToAmount":null,"flatPrice":null,"unitPrice":{"type":"unit","amount":"0.5"}}]}}'),
('openmeter', 'rate card, v3', 'USD', '{"key":"gb","name":"GB","labels":{"team":"7"},"feature":{"id":"01G65Z755AFWAKHE12NY0CQ9FH"},"billing_cadence":"P1M","price":{"type":"unit","amount":"2"},
    "unit_config":{"operation":"divide","conversion_factor":"1000","rounding":"ceiling","precision":0,"display_unit":"GB"},"payment_term":"in_arrears","commitments":{"maximum_amount":"100"},"discounts":{"percentage":5,"usage":"1"},
    "tax_config":{"behavior":"exclusive","code":{"id":"01G65Z755AFWAKHE12NY0CQ9FK"}},"entitlement":{"type":"metered","issue":{"amount":"100"}}}'),
('stripe', 'price', NULL, '{"id":"price_1MoBy5LkdIwHu7ixZhnattbh","object":"price","active":true,"billing_scheme":"per_unit","created":1679431181,"currency":"usd","custom_unit_amount":null,"livemode":false,"lookup_key":"1000","metadata":{"seats":"5"},
    "nickname":"2024","product":{"id":"prod_NZKdYqrwEYx6iK","object":"product","created":1679431100,"package_dimensions":{"height":1.5}},"recurring":{"aggregate_usage":null,"interval":"month","interval_count":3,"meter":null,"trial_period_days":null,"usage_type":"licensed"},
    "tax_behavior":"unspecified","tiers_mode":null,"transform_quantity":{"divide_by":10,"round":"up"},"type":"recurring","unit_amount":1000,"unit_amount_decimal":"1000","currency_options":{"eur":{"unit_amount":900,"unit_amount_decimal":"900","custom_unit_amount":null,"tax_behavior":"exclusive"}}}'),
('flexprice', 'price', NULL, '{"id":"price_1","amount":"0","display_amount":"$0","currency":"usd","price_unit_type":"FIAT","type":"USAGE","billing_period":"MONTHLY","billing_period_count":1,"billing_model":"TIERED","billing_cadence":"RECURRING","invoice_cadence":"ARREAR",
    "trial_period_days":0,"tier_mode":"VOLUME","tiers":[{"up_to":10,"unit_amount":"2","flat_amount":"1"},{"up_to":null,"unit_amount":"1","flat_amount":null}],"meter_id":"meter_2","filter_values":{},"transform_quantity":null,"lookup_key":"7","metadata":{"limit":"9"},
    "entity_type":"PLAN","entity_id":"plan_3","start_date":"2026-01-01T00:00:00Z","end_date":null,"status":"published","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}'),
('meteroid', 'component', 'EUR', '{"type":"USAGE","metric_id":"met_1","cadence":"MONTHLY","pricing":{"type":"VOLUME","block_size":null,"tiers":[{"first_unit":0,"rate":"1","flat_fee":null,"flat_cap":null},{"first_unit":100,"rate":"0.5","flat_fee":"2","flat_cap":null}]}}'),
('meteroid', 'price', NULL, '{"id":"price_2","product_id":"prod_3","tenant_id":7,"cadence":"MONTHLY","currency":"EUR","created_at":"2026-01-01T00:00:00","archived_at":null,"catalog":true,
    "pricing":{"type":"USAGE","model":{"type":"MATRIX","rates":[{"dimension1":{"key":"region","value":"1"},"dimension2":{"key":"size","value":"2"},"per_unit_price":"0.10"}]}}}'),
('killbill', 'usage', 'USD', '{"name":"cpu-2024","prettyName":"CPU","usageType":"CONSUMABLE","billingMode":"IN_ARREAR","billingPeriod":"MONTHLY","tierBlockPolicy":"ALL_TIERS","fixedPrice":[],"recurringPrice":[],"limits":[],"blocks":[],
    "tiers":[{"blocks":[{"unit":"cpu","size":"1.0","max":"-1.0","minTopUpCredit":null,"prices":[{"currency":"USD","value":0.10},{"currency":"EUR","value":0.09}]}],"limits":[],"fixedPrice":[],"recurringPrice":[]}]}'),
('cloudkitty', 'hashmap', 'EUR', '{"services":[{"service_id":"1","name":"compute"}],"fields":[{"field_id":"2","service_id":"1","name":"flavor"}],"groups":[],
    "mappings":[{"mapping_id":"9","value":"4","type":"flat","cost":4.2,"field_id":"2","service_id":null,"group_id":null,"tenant_id":"12","start":null,"end":null,"name":"1","description":"2","deleted":null,"created_by":"1","updated_by":null,"deleted_by":null}],
    "thresholds":[{"threshold_id":"8","level":100,"type":"rate","cost":"0.9","field_id":null,"service_id":"1","group_id":null,"tenant_id":null}]}'),
('waldur', 'invoice item', 'EUR', '{"uuid":"7e6d","url":"https://example.com/api/invoice-items/1/","name":"VM 1","price":"31.00","tax":"6.20","total":"37.20","unit_price":"1.0000000000","unit":"day","factor":1,"measured_unit":"d","start":"2026-01-01T00:00:00Z",
    "end":"2026-01-31T23:59:59Z","article_code":"4711","project_name":"P","project_uuid":"1","quantity":"31.00","details":{"resource_limit_periods":[{"quantity":4}],"plan_component_id":5},"resource":null,"resource_uuid":null,"resource_name":"","billing_type":"fixed","backend_uuid":null}');
SELECT dialect, name, imported(dialect, price, currency) FROM export;

-- A name, date, identifier, text or switch that nobody has heard of stops nothing; a number, wherever it is, does.
SELECT m.member, m.value, min(r.outcome) FILTER (WHERE r.dialect = 'lago') AS outcome, count(DISTINCT replace(r.outcome, r.dialect, '')) AS outcomes
  FROM (VALUES ('externalId', '12345'::jsonb), ('sales_order_id', '"0815"'), ('indexed_at', '1700000000'), ('comment', '"sold by Ann, 3 years"'), ('since', '"2026-01-31"'), ('peer', '"10.0.0.1/32"'), ('enabled', 'true'), ('surprise', 'null'), ('weight', '0'),
               ('holder', '{"id": 5, "name": "x", "since": "2026-01-31T00:00:00Z", "open": true}'), ('tags', '["red", "v2"]'), ('metadata', '{"budget": 5000}'),
               ('weight', '2'), ('weight', '"2"'), ('perKey', '2'), ('setup_per_order', '2'), ('uplift', '"12 %"'), ('setup', '"USD 1,000.00"'), ('setup', '"$5"'), ('setup', '"1e3"'), ('deeper', '{"a": {"b": [{"c": "0.5"}]}}'), ('list', '["a", 3]'), ('waiver', '{"discount": "SUMMER"}'),
               ('discount', '"SUMMER"'), ('capped', '{"maximum": true}'), ('a', '[[[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]]')) AS m(member, value)
 CROSS JOIN LATERAL (SELECT e.dialect, CASE WHEN o LIKE '{%' THEN 'read' ELSE o END
                       FROM export AS e CROSS JOIN LATERAL imported(e.dialect, e.price || jsonb_build_object(m.member, m.value), e.currency) AS o) AS r(dialect, outcome)
 GROUP BY m.member, m.value ORDER BY min(r.outcome) FILTER (WHERE r.dialect = 'lago') COLLATE "C" DESC, m.member COLLATE "C", m.value::text COLLATE "C";

-- The same at every object inside each export that holds prices.
SELECT dialect, name, place, imported(dialect, jsonb_set(price, place::text[] || '{weight}', '"2"'), currency) AS weighs,
       imported(dialect, jsonb_set(price, place::text[] || '{row_id}', '"2"'), currency) = imported(dialect, price, currency) AS row_id_is_ignored
  FROM (VALUES ('lago', 'charge', '{properties}'), ('openmeter', 'rate card, v1', '{price}'), ('openmeter', 'rate card, v1', '{price,tiers,0}'), ('openmeter', 'rate card, v1', '{price,tiers,0,flatPrice}'), ('openmeter', 'rate card, v1', '{price,tiers,1,unitPrice}'),
               ('openmeter', 'rate card, v1', '{discounts,percentage}'), ('openmeter', 'rate card, v1', '{discounts,usage}'), ('openmeter', 'rate card, v3', '{price}'), ('openmeter', 'rate card, v3', '{unit_config}'),
               ('stripe', 'price', '{recurring}'), ('stripe', 'price', '{transform_quantity}'), ('flexprice', 'price', '{tiers,0}'), ('meteroid', 'component', '{pricing}'), ('meteroid', 'component', '{pricing,tiers,1}'), ('meteroid', 'price', '{pricing}'), ('meteroid', 'price', '{pricing,model}'),
               ('meteroid', 'price', '{pricing,model,rates,0}'), ('meteroid', 'price', '{pricing,model,rates,0,dimension1}'), ('killbill', 'usage', '{tiers,0}'), ('killbill', 'usage', '{tiers,0,blocks,0}'), ('killbill', 'usage', '{tiers,0,blocks,0,prices,0}'),
               ('killbill', 'usage', '{tiers,0,blocks,0,prices,1}'), ('cloudkitty', 'hashmap', '{services,0}'), ('cloudkitty', 'hashmap', '{fields,0}'), ('cloudkitty', 'hashmap', '{mappings,0}'), ('cloudkitty', 'hashmap', '{thresholds,0}')) AS p(dialect, name, place)
  JOIN export AS e USING (dialect, name) ORDER BY dialect COLLATE "C", name COLLATE "C", place COLLATE "C";
-- discounts and commitments are prices only: no member beside the known ones is ignored
SELECT imported('openmeter', price || '{"discounts": {"row_id": "2"}}', 'USD'), imported('openmeter', price || '{"commitments": {"row_id": "2"}}', 'USD') FROM export WHERE name = 'rate card, v3';
-- Stripe: the options of the currency that is taken
SELECT imported('stripe', jsonb_set(price, '{currency_options,eur,weight}', '2'), c) FROM export, unnest('{USD,EUR}'::text[]) AS c WHERE dialect = 'stripe';

-- What one model does not read is not read in silence either.
SELECT imported(d, p::jsonb, 'USD') FROM (VALUES
    ('lago', '{"charge_model":"standard","properties":{"amount":"1","package_size":10}}'), ('lago', '{"charge_model":"standard","properties":{"amount":"1","package_size":0,"rate":null,"graduated_ranges":[]}}'),
    ('lago', '{"charge_model":"percentage","properties":{"rate":"1","amount":"2"}}'), ('lago', '{"charge_model":"standard","properties":{"amount":"1","amount_currency":"EUR"}}'),
    ('openmeter', '{"type":"unit","amount":"1","multiplier":"2"}'), ('openmeter', '{"type":"free","amount":"1"}'), ('openmeter', '{"type":"unit","amount":"1","tiers":[{"unitPrice":{"amount":"1"}}]}'), ('openmeter', '{"price":{"type":"unit","amount":"1","currency":"EUR"}}'),
    ('openmeter', '{"price":{"type":"unit","amount":"1","minimumAmount":"5"},"commitments":{"minimum_amount":"10"}}'), ('openmeter', '{"price":{"type":"unit","amount":"1","minimumAmount":"5"},"commitments":{"minimum_amount":"5.00"}}'),
    ('openmeter', '{"type":"volume","tiers":[{"upToAmount":"5","up_to_amount":"6","unitPrice":{"amount":"1"}},{"unitPrice":{"amount":"1"}}]}'), ('openmeter', '{"type":"package","amount":"1","quantityPerPackage":"5","quantity_per_package":"6"}'),
    ('meteroid', '{"pricing":{"type":"PER_UNIT","rate":"1","block_size":10}}'), ('meteroid', '{"pricing":{"type":"PACKAGE","rate":"1","block_size":10,"tiers":[{"first_unit":0,"rate":"3"}]}}'), ('meteroid', '{"pricing":{"type":"PER_UNIT","rate":"1","tiers":[]}}'),
    ('stripe', '{"currency":"usd","unit_amount":5,"recurring":"month"}'), ('stripe', '{"currency":"usd","unit_amount":5,"transform_quantity":10}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"}],"mappings":[{"service_id":"1","cost":"1","level":"5"}]}'),
    ('killbill', '{"usageType":"CAPACITY","tiers":[{"limits":[{"unit":"u","max":"9","step":"3"}],"recurringPrice":[{"currency":"USD","value":1}]}]}'),
    ('killbill', '{"usageType":"CAPACITY","tiers":[{"limits":[{"unit":"u","max":"9"}],"recurringPrice":[{"currency":"USD","value":"one"}]}]}')) AS v(d, p);

-- XML of Kill Bill: nothing of an element is dropped on the way.
CREATE FUNCTION imported_xml(inside text, attributes text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN tariff_from('killbill', format('<usage usageType="CONSUMABLE"%s><tiers><tier><blocks><tieredBlock><unit>u</unit><size>1</size><prices><price><currency>USD</currency><value>2</value></price></prices>%s</tieredBlock></blocks></tier></tiers></usage>', attributes, inside), 'USD');
EXCEPTION WHEN others THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;
SELECT imported_xml(x) FROM unnest(ARRAY['<max>-1</max>', '<max/>', '<!-- 5 --><max><![CDATA[-1]]></max><description>best</description>', '<max>-1</max><surcharge>1</surcharge>', '<max>-1</max><weight>2</weight>', '<max>-1</max><weight kilo="2"/>', '<max>-1</max><size>5</size>', '<max>-1</max>7',
    '<max>-1</max></tieredBlock><block><unit>v</unit><size>3</size></block><tieredBlock>']) AS x;
SELECT imported_xml('<max>-1</max>', a) FROM unnest(ARRAY[' weight="2"', ' name="2" xmlns:x="urn:x" x:y="z"', ' billingMode="IN_ADVANCE"']) AS a;

-- CloudKitty: rules with dates, and what is marked deleted.
CREATE FUNCTION rules_at(at jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT imported('cloudkitty', jsonb_build_object('at', at) || '{"services":[{"service_id":"1","name":"s"},{"service_id":"0","name":"gone","deleted":"2020-01-01"}],"fields":[{"field_id":"2","service_id":"1","name":"f"},{"field_id":"3","service_id":"1","name":"g","deleted":"2020-01-01"}],"mappings":[
        {"mapping_id":"11","service_id":"1","cost":"1","start":"2024-01-01T00:00:00","end":"2025-01-01T00:00:00"}, {"mapping_id":"12","service_id":"1","cost":"2","start":"2025-01-01T00:00:00+00:00","end":null},
        {"mapping_id":"13","field_id":"2","value":"x","cost":"3","start":"2026-06-01T00:00:00","end":null}, {"mapping_id":"14","service_id":"1","cost":"9","deleted":"2024-02-01T00:00:00","start":"2024-01-01T00:00:00"}],
        "thresholds":[{"threshold_id":"21","service_id":"1","level":"5","cost":"4"},{"threshold_id":"22","field_id":"3","level":"5","cost":"4","deleted":"2020-01-01"}]}', 'EUR')
$$;
SELECT a, rules_at(a) FROM unnest(ARRAY['"2023-12-31T23:59:59"', '"2024-12-31T23:59:59.999"', '"2025-01-01"', '"2025-01-01T01:00:00+02:00"', '"2026-06-01T00:00:00Z"', '"now"', '"2025-13-01"', '"2025-01-01 Mars/Base"', '5', 'null']::jsonb[]) AS a;
SET timezone = 'Asia/Tokyo';
SELECT rules_at('"2025-01-01T00:00:00"') = rules_at('"2025-01-01T00:00:00Z"') AS utc;
RESET timezone;
DROP FUNCTION imported(text, jsonb, text), imported_xml(text, text), rules_at(jsonb);

-- What a price leaves open is not guessed.
CREATE FUNCTION imported(dialect text, price jsonb, currency text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN tariff_from(dialect, price, currency);
EXCEPTION WHEN others THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;
SELECT imported(d, p::jsonb, 'USD') FROM (VALUES
    ('lago', '{"charge_model":"dynamic","properties":{"amount":"5"}}'), ('lago', '{"charge_model":"custom","properties":{"custom_rate":"5"}}'),
    ('meteroid', '{"pricing":{"type":"VOLUME","tiers":[{"first_unit":5,"rate":"1"}]}}'), ('meteroid', '{"pricing":{"type":"VOLUME","tiers":[{"first_unit":1,"rate":"1"}]}}'), ('meteroid', '{"type":"USAGE"}'), ('meteroid', '{"pricing":"1"}'),
    ('killbill', '{"usageType":"CONSUMABLE","tiers":[{"blocks":[{"unit":"u","size":1,"prices":[{"currency":"USD","value":1},{"value":2}]}]}]}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"},{"service_id":"2","name":"t"}],"fields":[{"field_id":"3","service_id":"1","name":"f"}],"mappings":[{"mapping_id":"9","service_id":"2","field_id":"3","value":"x","cost":"1"}]}'),
    ('cloudkitty', '{"services":[{"service_id":"1","name":"s"}],"mappings":[{"mapping_id":"9","service_id":"1","field_id":"3","value":"x","cost":"1"}]}'),
    ('stripe', '{"currency":"usd","unit_amount":1e36}'), ('waldur', '{"unit":"month","unit_price":"0.0000000000000000000000000000000000001"}')) AS v(d, p);
-- A tier without any price is no free one; Lago raises to its minimum what it would not charge.
SELECT imported('openmeter', '{"price":{"type":"tiered","mode":"volume","tiers":[{"upToAmount":"10","unitPrice":{"type":"unit","amount":"0"}},{"flatPrice":null}]}}', 'USD');
SELECT q, rate(tariff_from('lago', '{"charge_model":"standard","min_amount_cents":3100,"properties":{"amount":"1"}}', 'USD'), q) AS minimum,
       rate(tariff_from('lago', '{"charge_model":"graduated","properties":{"graduated_ranges":[{"from_value":0,"to_value":null,"per_unit_amount":"1","flat_amount":"3"}]}}', 'USD'), q) AS none
  FROM unnest('{-4,-1,0,40}'::numeric[]) AS q;
-- Stripe's prices for several currencies: those that are not asked for are read, too.
SELECT imported('stripe', jsonb_build_object('currency', 'usd', 'unit_amount', 100, 'currency_options', jsonb_build_object('usd', '{"unit_amount":100}'::jsonb, 'jpy', o)), c)
  FROM unnest('{USD,JPY}'::text[]) AS c, unnest(ARRAY['{"unit_amount":15000}', '{"unit_amount":"NaN"}', '{"unit_amount":null}', '{"unit_amount_decimal":"1e99"}', '{"unit_amount":1,"tax_behavior":"inclusive"}', '{"custom_unit_amount":{"minimum":1}}',
                       '{"unit_amount":1,"surcharge":"5"}', '{"tiers":[{"up_to":null,"unit_amount":1}]}', '7', '{"currency":"eur","unit_amount":1}']::jsonb[]) AS o;
SELECT imported('stripe', '{"currency":"usd","unit_amount":"much","currency_options":{"eur":{"unit_amount":90}}}', 'EUR');
SELECT imported('stripe', '{"currency":"usd","unit_amount":100,"currency_options":[]}', 'USD');
-- The member that another one beats is read as well; bounds and caps are not below 0.
SELECT imported('stripe', jsonb_build_object('currency', 'usd', 'unit_amount', u, 'unit_amount_decimal', '12.5'), 'USD') FROM unnest(ARRAY['13', 'null', '"NaN"', '"much"', 'true', '"1e400"']::jsonb[]) AS u;
SELECT imported('meteroid', jsonb_build_object('pricing', jsonb_build_object('type', 'TIERED', 'tiers', jsonb_build_array(t, '{"first_unit":10,"rate":"2"}'::jsonb))), 'USD')
  FROM unnest(ARRAY['{"first_unit":0,"rate":"1"}', '{"first_unit":-1,"rate":"1"}', '{"first_unit":0,"rate":"1","flat_cap":"5"}', '{"first_unit":0,"rate":"1","flat_cap":"-5"}']::jsonb[]) AS t;
DROP FUNCTION imported(text, jsonb, text);
