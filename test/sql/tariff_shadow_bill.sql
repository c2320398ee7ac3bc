-- What a move from another product would change: both bills, the difference, and which rule makes it.
SET search_path = billing, public;
\pset format unaligned
\pset null -
-- a rule of each product, one row each; parts add up to the difference
SELECT s.quantity, s.theirs, s.ours, s.difference, s.parts
  FROM shadow_bill('lago', '{"packages": {"charge_model": "package", "properties": {"amount": "5", "free_units": 100, "package_size": 1000}},
                             "tiers": {"charge_model": "graduated", "properties": {"graduated_ranges": [{"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "2"}, {"from_value": 11, "to_value": null, "per_unit_amount": "0.333", "flat_amount": "0"}]}}}'::jsonb,
    '[{"price": "packages", "quantity": "1101"}, {"price": "packages", "quantity": "100"}, {"price": "tiers", "quantity": "0"}, {"price": "tiers", "quantity": "10.5"}, {"price": "tiers", "quantity": "-1"}]', 'EUR') AS s;
SELECT s.scope, s.price, s.quantity, s.theirs, s.ours, s.difference, s.parts
  FROM shadow_bill('killbill', '{"all": {"usageType": "CONSUMABLE", "billingMode": "IN_ARREAR", "tierBlockPolicy": "ALL_TIERS", "tiers": [
             {"blocks": [{"unit": "gb", "size": "100", "max": "10", "prices": [{"currency": "USD", "value": "7"}]}]},
             {"blocks": [{"unit": "gb", "size": "1000", "max": "2", "prices": [{"currency": "USD", "value": "50"}]}]}]},
           "top": {"usageType": "CONSUMABLE", "billingMode": "IN_ARREAR", "tierBlockPolicy": "TOP_TIER", "tiers": [
             {"blocks": [{"unit": "gb", "size": "3", "max": "10", "prices": [{"currency": "USD", "value": "1"}]}, {"unit": "h", "size": "1", "max": "-1", "prices": [{"currency": "USD", "value": "0.25"}]}]},
             {"blocks": [{"unit": "gb", "size": "3", "max": "10", "prices": [{"currency": "USD", "value": "0.5"}]}]}]}}'::jsonb,
    '[{"price": "all", "account": "a", "quantities": {"gb": "150"}}, {"price": "all", "account": "a", "quantities": {"gb": "5000"}}, {"price": "all", "account": "b", "quantity": "0"},
      {"price": "top", "account": "b", "quantities": {"gb": "10", "h": "1.5"}}, {"price": "top", "account": "b", "quantities": {"gb": "61"}}]', 'USD') AS s;
-- the same with the product's blocks kept on our side
SELECT s.theirs, s.ours, s.parts FROM shadow_bill('killbill', '{"all": {"usageType": "CONSUMABLE", "billingMode": "IN_ARREAR", "tierBlockPolicy": "ALL_TIERS", "tiers": [
             {"blocks": [{"unit": "gb", "size": "100", "max": "10", "prices": [{"currency": "USD", "value": "7"}]}]}]}}'::jsonb,
    '[{"quantities": {"gb": "150"}}, {"quantities": {"gb": "1500"}}]', 'USD', keep => '{block,beyond}') AS s WHERE s.scope = 'row';
-- rounding: part by part, away from zero, not at all; and where ours rounds in another way
SELECT s.theirs, s.ours, s.parts, s.why FROM shadow_bill('openmeter', '{"tiers": {"type": "tiered", "mode": "graduated", "tiers": [{"upToAmount": "1", "unitPrice": {"type": "unit", "amount": "0.004"}}, {"upToAmount": "2", "unitPrice": {"type": "unit", "amount": "0.004"}}, {"unitPrice": {"type": "unit", "amount": "0.004"}}]}}'::jsonb,
    '[{"quantity": "3"}]', 'EUR') AS s WHERE s.scope = 'row';
SELECT s.theirs, s.ours, s.parts, s.why FROM shadow_bill('waldur', '{"vm": {"unit": "month", "unit_price": "10.001"}}'::jsonb, '[{"quantity": "0.5"}]', 'EUR') AS s WHERE s.scope = 'row';
SELECT s.theirs, s.ours, s.parts FROM shadow_bill('cloudkitty', '{"rules": {"services": [{"service_id": "s", "name": "volume"}], "fields": [], "groups": [], "thresholds": [], "mappings": [{"service_id": "s", "type": "flat", "cost": "0.0015"}]}}'::jsonb,
    '[{"quantity": "1", "dimensions": {"service": "volume"}}]', 'EUR', rounding_mode => 'up') AS s WHERE s.scope = 'row';
-- single events, several units of account, dimensions, parts of a period
SELECT s.quantity, s.theirs, s.ours, s.parts FROM shadow_bill('lago', '{"card": {"charge_model": "percentage", "properties": {"rate": "1.5", "fixed_amount": "0.2", "free_units_per_events": 1}}}'::jsonb,
    '[{"each": [{"amount": "10"}, {"amount": "33.33"}, {"amount": "7.77", "at": "2026-01-01T00:00:00Z"}]}]', 'EUR') AS s WHERE s.scope = 'row';
-- what was billed beside what the dialect bills; totals by account and over all, by currency; a problem stops nothing
SELECT s.scope, s.account, s.theirs, s.ours, s.billed, s.theirs_less_billed, s.row_count, s.problem_count, s.problem
  FROM shadow_bill('stripe', '{"eur": {"currency": "eur", "billing_scheme": "per_unit", "unit_amount_decimal": "0.5"}, "usd": {"currency": "usd", "billing_scheme": "per_unit", "unit_amount": 200, "transform_quantity": {"divide_by": 10, "round": "up"}}, "odd": {"currency": "usd", "custom_unit_amount": {}}}'::jsonb,
    '[{"price": "eur", "account": "a", "period": "2026-10", "quantity": "101", "billed": "0.51"}, {"price": "eur", "account": "b", "quantity": "1", "billed": "0"}, {"price": "usd", "account": "a", "quantity": "11", "billed": "4"},
      {"price": "odd", "account": "a", "quantity": "1", "billed": "9"}, {"price": "none", "account": "b", "quantity": "1"}, {"quantity": "1"}, {"price": "usd", "account": "b"}, {"price": "usd", "account": "b", "quantity": "many"}, {"price": "usd", "quantity": "1", "billed": "?"}, {"price": "usd", "each": 3}, "row"]') AS s;
-- a price that cannot be read has the currency of the argument, so that what was billed by it is in the totals
SELECT s.scope, s.currency_code, s.theirs, s.billed, s.row_count, s.problem_count, s.problem
  FROM shadow_bill('lago', '{"good": {"charge_model": "standard", "properties": {"amount": "1"}}, "odd": {"charge_model": "custom"}}'::jsonb,
    '[{"price": "good", "account": "a", "quantity": "3", "billed": "3"}, {"price": "odd", "account": "a", "quantity": "9", "billed": "70"}, {"price": "good", "account": "a", "quantity": "many", "billed": "5"}]', 'EUR') AS s;
-- every part of every difference, over all products' rows: parts add up
SELECT count(*), bool_and(amount(s.difference) = (SELECT coalesce(sum(p.value::text::numeric), 0) FROM jsonb_each(s.parts) AS p))
  FROM generate_series(1, 40) AS g, shadow_bill('stripe', '{"p": {"currency": "usd", "billing_scheme": "per_unit", "unit_amount": 333, "transform_quantity": {"divide_by": 7, "round": "down"}}}'::jsonb,
    (SELECT jsonb_agg(jsonb_build_object('quantity', (g * i)::text)) FROM generate_series(1, 5) AS i)) AS s;
\pset format aligned
-- arguments of another shape
\set VERBOSITY terse
SELECT * FROM shadow_bill('lago', '[]'::jsonb, '[]');
SELECT * FROM shadow_bill('lago', '{}'::jsonb, '{}');
SELECT * FROM shadow_bill('other', '{}'::jsonb, '[]');
SELECT * FROM shadow_bill('lago', '{}'::jsonb, '[]', keep => '{blocks}');
SELECT * FROM shadow_bill('lago', '{}'::jsonb, '[]', rounding_mode => 'sideways');
SELECT * FROM shadow_bill('lago', '{}'::jsonb, '[]');
SELECT rule FROM shadow_rule_words();
-- a row of no events is no amount, and says so
SELECT position_no, theirs, ours, problem FROM shadow_bill('lago', '{"a": {"charge_model": "standard", "properties": {"amount": "1"}}}', '[{"each": []}, {"quantity": "0"}]', 'EUR') WHERE scope = 'row';
-- a fraction that is none says so, whether the price looks at it or not
SELECT position_no, theirs, problem FROM shadow_bill('lago', '{"a": {"charge_model": "standard", "properties": {"amount": "1"}}}',
    '[{"quantity": "1", "fraction": "NaN"}, {"quantity": "1", "fraction": "-0.5"}, {"quantity": "1", "fraction": "Infinity"}, {"each": [{"amount": "1", "fraction": "NaN"}]}, {"quantity": "1", "fraction": "0.5"}]', 'EUR') WHERE scope = 'row';

-- What is misspelled is no row without it; what a plain price does not have is no part.
SELECT scope, theirs, ours, billed, problem FROM shadow_bill('lago', '{"a":{"charge_model":"standard","properties":{"amount":"1"}}}', '[{"quantity":1,"quantitty":5},{"quantity":1,"bild":"3"},{"quantity":2,"billed":"2"}]', 'EUR') WHERE scope = 'row';
SELECT scope, theirs, ours, parts, problem FROM shadow_bill('lago', '{"a":{"charge_model":"package","properties":{"amount":"1","package_size":10}}}', '[{"quantity":-5}]', 'EUR') WHERE scope = 'row';
