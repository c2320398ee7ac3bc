-- Meters: how usage of a period becomes one quantity.  Every aggregation, rounding, filter and grouping.
\set ECHO none
\set test_database billing_rating_aggregations
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
CREATE FUNCTION price_of_one(meters text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(set_price(meter, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01')) FROM unnest(meters) AS meter $$;
CREATE VIEW january AS SELECT c.item, NULLIF(c.charge_group, '{}') AS "of", trim_scale(c.quantity) AS quantity, c.owed, c.problem FROM charges('acme', '[2025-01-01,2025-02-01)') AS c;
CREATE VIEW both_months AS SELECT c.period_from AS period, c.item, trim_scale(c.quantity) AS quantity, c.owed FROM charges('acme', '[2025-01-01,2025-03-01)') AS c;
\set ECHO all
-- The same five rows on every meter: 4 and 10 on the 5th, 7 twice on the 20th, 1 on the 25th.
SELECT count(set_meter(a, unit => 'unit', aggregation => a)) FROM unnest('{sum,count,max,min,avg,latest}'::text[]) AS a \gset
SELECT set_meter('percentile', unit => 'unit', aggregation => 'percentile', percentile => 0.95) \gset
SELECT set_meter('median', unit => 'unit', aggregation => 'percentile', percentile => 0.5) \gset
SELECT price_of_one('{sum,count,max,min,avg,latest,percentile,median}') \gset
SELECT sum(use('acme', m, at::timestamp, q)) FROM unnest('{sum,count,max,min,avg,latest,percentile,median}'::text[]) AS m,
    (VALUES ('2025-01-05 08:00', 4), ('2025-01-05 09:00', 10), ('2025-01-20', 7), ('2025-01-20', 7), ('2025-01-25', 1)) AS u(at, q) \gset
SELECT * FROM january;
-- usage of the next month changes nothing in this one
SELECT sum(use('acme', m, '2025-02-10', 1000)) FROM unnest('{sum,count,max,min,avg,latest,percentile,median}'::text[]) AS m \gset
SELECT * FROM both_months ORDER BY period, item;

-- latest: ties of the time are broken by the id, not by what came in first.
SELECT set_meter('seats', unit => 'seat', aggregation => 'latest') \gset
SELECT price_of_one('{seats}') \gset
SELECT use('acme', 'seats', '2025-01-31 12:00', 5, id => 'ffffffff-0000-0000-0000-000000000000'), use('acme', 'seats', '2025-01-31 12:00', 6, id => '00000000-0000-0000-0000-000000000001'),
       use('acme', 'seats', '2025-01-31 11:59', 7) \gset
SELECT * FROM january WHERE item = 'seats';

-- unique_count: distinct resources, or distinct values of a dimension; rows without a value count nothing.
SELECT set_meter('machines', unit => 'machine', aggregation => 'unique_count') \gset
SELECT set_meter('users', unit => 'user', aggregation => 'unique_count', unique_dimension => 'user') \gset
SELECT price_of_one('{machines,users}') \gset
SELECT use('acme', 'machines', '2025-01-05', 1, resource => 'vm-1'), use('acme', 'machines', '2025-01-06', 1, resource => 'vm-1'), use('acme', 'machines', '2025-01-07', 1, resource => 'vm-2'), use('acme', 'machines', '2025-01-08', 1) \gset
SELECT use('acme', 'users', '2025-01-05', 1, '{"user":"ann"}'), use('acme', 'users', '2025-01-06', 1, '{"user":"bob"}'), use('acme', 'users', '2025-01-07', 1, '{"user":"ann"}'), use('acme', 'users', '2025-01-08', 1, resource => 'vm-1') \gset
SELECT * FROM january WHERE item IN ('machines', 'users');

-- time_weighted: the level that usage reports, times the hours until the next report.  2 from the 11th on, 5 from the 21st on:
-- 10 days × 24 × 2 + 11 days × 24 × 5 in January.  The last level is carried into February and counts there from its first hour,
-- 10 days × 24 × 5 + 18 days × 24 × 1, without any usage in between.
SELECT set_meter('volume', unit => 'GB-hour', aggregation => 'time_weighted') \gset
SELECT price_of_one('{volume}') \gset
SELECT use('acme', 'volume', '2025-01-11', 2), use('acme', 'volume', '2025-01-21', 5), use('acme', 'volume', '2025-02-11', 1) \gset
SELECT * FROM both_months WHERE item = 'volume' ORDER BY period;

-- An interval counts with its part of the period.
SELECT use('acme', 'sum', '2025-01-31 18:00', 12, to_at => '2025-02-01 06:00') \gset
SELECT * FROM both_months WHERE item = 'sum' ORDER BY period;

-- Rounding is of the quantity of the period, once, before pricing.  0.6 + 0.6 = 1.2 units.
SELECT count(set_meter('round-' || r, unit => 'unit', rounding => r, decimals => 0)) FROM unnest('{up,down,half_up,half_even}'::text[]) AS r \gset
SELECT set_meter('hundreds', unit => 'unit', rounding => 'up', decimals => -2) \gset
SELECT price_of_one('{round-up,round-down,round-half_up,round-half_even,hundreds}') \gset
SELECT sum(use('acme', m, '2025-01-05', 0.6) + use('acme', m, '2025-01-06', 0.6)) FROM unnest('{round-up,round-down,round-half_up,round-half_even}'::text[]) AS m \gset
SELECT use('acme', 'hundreds', '2025-01-05', 101) \gset
SELECT * FROM january WHERE item LIKE 'round%' OR item = 'hundreds';
-- halves: 2.5 up to 3, even to 2; negative halves away from zero, even to -2
SELECT q, round_quantity(q, 'half_up', 0) AS half_up, round_quantity(q, 'half_even', 0) AS half_even, trim_scale(round_quantity(q, 'up', 0)) AS up, round_quantity(q, 'down', 0) AS down, round_quantity(q, NULL, 0) AS none,
       round_quantity(q, 'ceiling', 0) AS ceiling, round_quantity(q, 'floor', 0) AS floor
  FROM unnest('{2.5,3.5,2.51,-2.5,-2.4,-0.1,7}'::numeric[]) AS q;
-- decimals up to 20, and left of the point; each is rounded by the last of the number, however far behind
SELECT round_quantity(1.00000000000000000001, 'up', 18) AS up, round_quantity(-1.00000000000000000001, 'floor', 18) AS floor, round_quantity(2.00000000000000000005, 'half_even', 19) AS even,
       round_quantity(0.00000000000000000015, 'half_even', 19) AS odd, round_quantity(250, 'half_even', -2) AS hundreds, round_quantity(123.456, 'up', -2) AS up_hundreds, round_quantity(200, 'up', -2) AS whole;

-- Filter: a list of values for each dimension; usage that does not pass is not billed and is listed.
SELECT set_meter('eu', unit => 'unit', filter => '{"region":["eu-1","eu-2"],"stage":["live"]}') \gset
SELECT price_of_one('{eu}') \gset
SELECT use('acme', 'eu', '2025-01-05', 1, '{"region":"eu-1","stage":"live"}'), use('acme', 'eu', '2025-01-05', 10, '{"region":"eu-2","stage":"live"}'), use('acme', 'eu', '2025-01-05', 100, '{"region":"eu-1","stage":"test"}'),
       use('acme', 'eu', '2025-01-05', 1000, '{"region":"us-1","stage":"live"}'), use('acme', 'eu', '2025-01-05', 10000, '{"region":"eu-1"}') \gset
SELECT * FROM january WHERE item = 'eu';

-- Grouping: each value of the meter's dimensions is a line of its own, with tiers and aggregation of its own; "resource" stands for the resource.
SELECT set_meter('peak', unit => 'unit', aggregation => 'max', dimensions => '{region}') \gset
SELECT set_meter('per-volume', unit => 'unit', dimensions => '{resource}') \gset
SELECT price_of_one('{peak}') \gset
SELECT set_price('per-volume', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"0"},{"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'peak', '2025-01-05', 3, '{"region":"eu","rack":"a"}'), use('acme', 'peak', '2025-01-06', 9, '{"region":"eu","rack":"b"}'), use('acme', 'peak', '2025-01-07', 4, '{"region":"us"}'), use('acme', 'peak', '2025-01-08', 2) \gset
SELECT use('acme', 'per-volume', '2025-01-05', 15, resource => 'vol-1'), use('acme', 'per-volume', '2025-01-05', 8, resource => 'vol-2'), use('acme', 'per-volume', '2025-01-05', 12) \gset
SELECT * FROM january WHERE item IN ('peak', 'per-volume');

-- A price border cuts the aggregation as well: each segment has its own maximum.
-- 10 × 1 before the border and 7 × 2 after it.
SELECT set_price('max', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-16') \gset
SELECT * FROM january WHERE item = 'max';

-- Negative quantities lower a sum; where the price has no meaning for them the charge waits.
SELECT set_meter('returns', unit => 'unit') \gset
SELECT set_meter('below', unit => 'unit') \gset
SELECT price_of_one('{returns}') \gset
SELECT set_price('below', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2"},{"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'returns', '2025-01-05', 10), use('acme', 'returns', '2025-01-06', -12), use('acme', 'below', '2025-01-06', -1) \gset
SELECT * FROM january WHERE item IN ('returns', 'below');

-- Billed, and every line explained.
CALL run_invoicing(through => '2025-03-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT item, sqlstate, detail FROM run_errors WHERE run_id = :run_id;
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
SELECT meter, quantity, reason, detail FROM unbilled_usage('[2025-01-01,2025-02-01)');
SELECT e.stage, e.what, trim_scale(e.quantity) AS quantity, e.amount FROM billing.line AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE l.item_key = 'volume' AND e.stage <> 'tax' ORDER BY l.line_id, e.step;
TABLE wrong;
