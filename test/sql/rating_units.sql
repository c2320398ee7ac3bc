-- Prices of several units (Kill Bill's blocks) in the pipeline: usage comes by the dimension "unit".
\set ECHO none
\set test_database billing_rating_units
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind Inc', country => 'US', currency => 'USD') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
\set ECHO all
-- a sum of each unit, priced by itself; the peak of each, priced together
SELECT set_meter('consumed', unit => 'unit'), set_meter('peak', unit => 'unit', aggregation => 'max'), set_meter('single', unit => 'unit', aggregation => 'max') \gset
SELECT set_price('consumed', '{"model":"blocks","currency":"USD","dialect":"killbill","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":"10","max":"2","price":"1"},{"unit":"BAR","size":"1","price":"0.005"}]},{"blocks":[{"unit":"FOO","size":"10","price":"0.5"}]}]}', valid_from => '2025-01-01') \gset
SELECT set_price('peak', '{"model":"blocks","currency":"USD","policy":"capacity","tiers":[{"limits":[{"unit":"FOO","max":"5"},{"unit":"BAR","max":"100"}],"price":"1"},{"limits":[{"unit":"FOO","max":"50"},{"unit":"BAR","max":"200"}],"price":"10"}]}', valid_from => '2025-01-01') \gset
SELECT set_price('single', '{"model":"blocks","currency":"USD","policy":"capacity","tiers":[{"limits":[{"unit":"FOO","max":"5"}],"price":"1"},{"limits":[{"unit":"FOO"}],"price":"10"}]}', valid_from => '2025-01-01') \gset
SELECT count(use('acme', 'consumed', '2025-01-05', q, jsonb_build_object('unit', unit))) FROM (VALUES ('FOO', 11), ('FOO', 12.5), ('BAR', 3), ('OTHER', 7)) AS u(unit, q) \gset
SELECT count(use('acme', 'peak', '2025-01-05', q, jsonb_build_object('unit', unit))) FROM (VALUES ('FOO', 3), ('FOO', 2), ('BAR', 101)) AS u(unit, q) \gset
SELECT use('acme', 'single', '2025-01-05', 6) \gset
SELECT item, quantity, owed_exact, owed, problem FROM charges('acme', '[2025-01-01,2025-02-01)');
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT l.item_key, e.stage, e.what, trim_scale(e.quantity) AS quantity, e.amount FROM line AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE e.stage <> 'tax' ORDER BY l.line_id, e.step;
-- a unit that the price does not know is an error where it is not Kill Bill's
SELECT use('acme', 'peak', '2025-02-05', 1, '{"unit":"OTHER"}'), use('acme', 'single', '2025-02-05', 6, '{"unit":"OTHER"}') \gset
SELECT item, quantity, owed, problem FROM charges('acme', '[2025-02-01,2025-03-01)');
SELECT use('acme', 'peak', '2025-03-05', 1), use('acme', 'consumed', '2025-03-05', 1) \gset
SELECT item, quantity, owed, problem FROM charges('acme', '[2025-03-01,2025-04-01)');
SELECT * FROM wrong;
SELECT tariff_grouping(tariff) FROM price WHERE item_id = (SELECT item_id FROM item WHERE key = 'consumed');
-- CloudKitty prices each data point by itself: window "hour" and the dimension resource make usage such points.  Here 2 resources for 3 hours,
-- 0.001 a unit, and 0.1 once for each point of at least 2 units.
SELECT set_meter('points', unit => 'GiB', dimensions => '{resource}'), set_meter('lump', unit => 'GiB') \gset
SELECT count(set_price(p.meter, (tariff_from('cloudkitty', '{"services":[{"service_id":"s","name":"volume"}],"fields":[],"groups":[],"mappings":[{"service_id":"s","value":null,"type":"flat","cost":"0.001"}],
    "thresholds":[{"service_id":"s","level":"2","type":"flat","cost":"0.1"}]}'::jsonb, 'USD')::jsonb || p.more)::tariff, valid_from => '2025-02-01')) FROM (VALUES ('points', '{"window":"hour"}'::jsonb), ('lump', '{}')) AS p(meter, more) \gset
SELECT count(use('acme', meter, '2025-04-05 00:00'::timestamp + h * interval '1 hour', r, to_at => '2025-04-05 01:00'::timestamp + h * interval '1 hour', resource => 'disk-' || r))
  FROM generate_series(0, 2) AS h, generate_series(1, 2) AS r, unnest('{points,lump}'::text[]) AS meter \gset
SELECT item, charge_group, quantity, owed_exact, problem FROM charges('acme', '[2025-04-01,2025-05-01)') WHERE item IN ('points', 'lump');

-- A price of capacity is for the peak: what adds up has none, and says so instead of billing the sum.
SELECT set_account('peaks', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT count(set_price(set_up.meter, tariff_from('killbill', '{"usageType":"CAPACITY","tiers":[{"limits":[{"unit":"a","max":"10"}],"recurringPrice":[{"currency":"USD","value":"5"}]},{"limits":[{"unit":"a","max":"-1"}],"recurringPrice":[{"currency":"USD","value":"50"}]}]}', 'USD'), valid_from => '2025-01-01'))
  FROM (SELECT 'adds up ' || a AS meter, set_meter('adds up ' || a, unit => 'u', aggregation => a) FROM unnest('{sum,max}'::text[]) AS a OFFSET 0) AS set_up;
SELECT count(use('peaks', 'adds up ' || a, '2025-01-20', 6, '{"unit":"a"}', id => a || n)) FROM unnest('{sum,max}'::text[]) AS a, generate_series(1, 2) AS n;
SELECT c.item, c.owed, c.problem FROM charges('peaks', '[2025-01-01,2025-02-01)') AS c ORDER BY c.item;
