-- Meters that look at more than a period: what is carried over, added and taken away, prorated, or read from a counter.
\set ECHO none
\set test_database billing_rating_levels
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
CREATE FUNCTION price_of_one(meters text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(set_price(meter, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01')) FROM unnest(meters) AS meter $$;
CREATE VIEW months AS SELECT c.period_from AS period, c.item, trim_scale(round(c.quantity, 20)) AS quantity, c.owed, c.problem FROM charges('acme', '[2025-01-01,2025-04-01)') AS c ORDER BY c.item, c.period_from;
\set ECHO all
-- weighted_sum: the running total times its part of the period.  10 more on the 11th, 4 less on the 21st of January (31 days):
-- (10 × 21 − 4 × 11) / 31.  Nothing is left in February unless it is carried over: there 6 are held all the time.
SELECT set_meter('seats', unit => 'seat', aggregation => 'weighted_sum') \gset
SELECT set_meter('kept', unit => 'seat', aggregation => 'weighted_sum', carried_over => true) \gset
SELECT price_of_one('{seats,kept}') \gset
SELECT sum(use('acme', m, '2025-01-11', 10) + use('acme', m, '2025-01-21', -4)) FROM unnest('{seats,kept}'::text[]) AS m \gset
SELECT use('acme', 'kept', '2025-03-16 12:00', 1) \gset
SELECT * FROM months;

-- A sum that is carried over: 5 in January, 5 + 7 in February, 12 in March.  What was corrected later changes all months after it.
SELECT set_meter('stock', unit => 'unit', carried_over => true) \gset
SELECT price_of_one('{stock}') \gset
SELECT use('acme', 'stock', '2025-01-10', 5, id => '00000000-0000-0000-0000-000000000001'), use('acme', 'stock', '2025-02-10', 7) \gset
SELECT * FROM months WHERE item = 'stock';
SELECT correct_usage('acme', '00000000-0000-0000-0000-000000000001', quantity => 4);
SELECT * FROM months WHERE item = 'stock';
-- A price that changes within the month cuts no carried unit in two: 4 + 7 from before the month at the price it begins with.
SELECT set_price('stock', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-03-16') \gset
SELECT use('acme', 'stock', '2025-03-20', 3) \gset
SELECT * FROM months WHERE item = 'stock';

-- Prorated: 12 on the 26th of January count from that day to the end, both days included, 6 of 31 days, rounded up at 5 decimals; by the
-- second, 5.25 days.  In February they count whole.
SELECT set_meter('prorated', unit => 'unit', carried_over => true, prorated => 'day_inclusive', proration_decimals => 5) \gset
SELECT set_meter('exact', unit => 'unit', carried_over => true, prorated => 'second') \gset
SELECT price_of_one('{prorated,exact}') \gset
SELECT sum(use('acme', m, '2025-01-26 18:00', 12)) FROM unnest('{prorated,exact}'::text[]) AS m \gset
SELECT * FROM months WHERE item IN ('prorated', 'exact');
-- A price border in the middle of a month changes nothing in the sum of quantities.
SELECT set_price('exact', '{"model":"per_unit","currency":"EUR","unit_price":"1.0001"}', valid_from => '2025-01-28 06:00') \gset
SELECT quantity FROM months WHERE item = 'exact' AND period = '2025-01-01';

-- unique_count with add and remove.  Not prorated: who is there at the end.  Prorated: the days on which somebody was there, a day once.
SELECT count(set_meter(m, unit => 'user', aggregation => 'unique_count', unique_dimension => 'user', operation_dimension => 'op', carried_over => m <> 'anew', prorated => p))
  FROM (VALUES ('anew', ''), ('members', ''), ('member-days', 'day_inclusive'), ('member-nights', 'day_half_open'), ('member-time', 'second')) AS v(m, p) \gset
SELECT price_of_one('{anew,members,member-days,member-nights,member-time}') \gset
SELECT sum(use('acme', m, at::timestamp, 1, jsonb_build_object('user', who, 'op', op))) FROM unnest('{anew,members,member-days,member-nights,member-time}'::text[]) AS m,
    (VALUES ('2025-01-22', 'ann', 'add'), ('2025-01-30 12:00', 'bob', 'add'), ('2025-01-30 13:00', 'bob', 'remove'), ('2025-01-30 14:00', 'bob', 'add'), ('2025-01-30 15:00', 'bob', 'remove'),
            ('2025-01-31', 'cyd', 'remove'), ('2025-02-14 06:00', 'ann', 'remove'), ('2025-02-15', 'dan', 'add'), ('2025-02-15', 'dan', 'add')) AS u(at, who, op) \gset
SELECT * FROM months WHERE item = 'anew' OR item LIKE 'member%';

-- Tiers of a prorated meter are walked in time order with whole units: 10 cost 2 each, the next 1 each.  8 on the 1st, 4 on the 16th of January
-- (16 of 31 days), 2 of them in the second tier: 8 × 2 + (2 × 2 + 2 × 1) × 16/31.
SELECT set_meter('walked', unit => 'unit', prorated => 'day_inclusive') \gset
SELECT set_price('walked', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2"},{"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'walked', '2025-01-01', 8), use('acme', 'walked', '2025-01-16', 4) \gset
SELECT * FROM months WHERE item = 'walked';

-- increase: readings of a counter.  The first is where counting begins; a lower one is a counter that was set back; an increase counts
-- at the reading that shows it.  Each resource has its own counter.
SELECT set_meter('traffic', unit => 'byte', aggregation => 'increase') \gset
SELECT price_of_one('{traffic}') \gset
SELECT sum(use('acme', 'traffic', at::timestamp, q, resource => r)) FROM (VALUES ('2025-01-01', 1000, 'eth0'), ('2025-01-10', 1400, 'eth0'), ('2025-01-11', 300, 'eth0'), ('2025-02-10', 350, 'eth0'),
    ('2025-01-31', 7, 'eth1'), ('2025-03-01', 10, 'eth1')) AS u(at, q, r) \gset
SELECT * FROM months WHERE item = 'traffic';
-- a late reading moves increase between months, and loses none
SELECT use('acme', 'traffic', '2025-02-20', 9, resource => 'eth1') \gset
SELECT * FROM months WHERE item = 'traffic';

-- Levels belong to resources and add up; level_holds ends a level that nobody reports any more: 2 h × 3 of vm-1, 30 min × 2 of vm-2.
SELECT set_meter('vcpu', unit => 'vCPU-hour', aggregation => 'time_weighted', level_holds => '1 hour') \gset
SELECT price_of_one('{vcpu}') \gset
SELECT use('acme', 'vcpu', '2025-01-05 10:00', 3, resource => 'vm-1'), use('acme', 'vcpu', '2025-01-05 11:00', 3, resource => 'vm-1'),
       use('acme', 'vcpu', '2025-01-05 10:00', 2, resource => 'vm-2'), use('acme', 'vcpu', '2025-01-05 10:30', 0, resource => 'vm-2') \gset
SELECT * FROM months WHERE item = 'vcpu';

-- Hours and months: 10 GB all January are 7440 GB-hours; 10 GB-months by its own hours, of 720, 730 or 744.
SELECT count(set_meter('month-' || h, unit => 'GB-month', aggregation => 'time_weighted', hours_in_month => h)) FROM unnest('{actual,720,730,744}'::text[]) AS h \gset
SELECT price_of_one('{month-actual,month-720,month-730,month-744}') \gset
SELECT sum(use('acme', 'month-' || h, '2025-01-01', 10)) FROM unnest('{actual,720,730,744}'::text[]) AS h \gset
SELECT * FROM months WHERE item LIKE 'month-%' AND period < '2025-03-01';
-- the same from changes of the level: 10 more on the 1st, 5 less on the 16th
SELECT set_meter('changes-720', unit => 'GB-month', aggregation => 'weighted_sum', hours_in_month => '720') \gset
SELECT price_of_one('{changes-720}') \gset
SELECT use('acme', 'changes-720', '2025-01-01', 10), use('acme', 'changes-720', '2025-01-16', -5) \gset
SELECT * FROM months WHERE item = 'changes-720';
-- a month of 743 hours
SELECT set_account('zoned', time_zone => 'Europe/Berlin', starts_on => '2025-03-01') \gset
SELECT use('zoned', 'month-actual', '2025-02-28 23:00', 10), use('zoned', 'month-744', '2025-02-28 23:00', 10) \gset
SELECT c.item, trim_scale(round(c.quantity, 20)) FROM charges('zoned', '[2025-03-01,2025-04-01)') AS c;

-- Conversion: an exact factor, an offset, and what becomes of each row.
SELECT count(set_meter(m, unit => 'unit', factor => f, offset_by => o, mutate => u, mutate_map => p::jsonb)) FROM (VALUES
    ('MiB', '1/1048576', 0, '', NULL), ('Mbyte', '3600/1000000', 0, '', NULL), ('celsius', '1', 0.5, '', NULL), ('floor', '1/3', 0, 'FLOOR', NULL), ('ceil', '1/3', 0, 'CEIL', NULL),
    ('numbool', '1', 0, 'NUMBOOL', NULL), ('notnumbool', '1', 0, 'NOTNUMBOOL', NULL), ('map', '1', 0, 'MAP', '{"7": 2, "2.0": 0.5}')) AS v(m, f, o, u, p) \gset
SELECT price_of_one('{MiB,Mbyte,celsius,floor,ceil,numbool,notnumbool,map}') \gset
SELECT sum(use('acme', m, at::timestamp, q)) FROM unnest('{MiB,Mbyte,celsius,floor,ceil,numbool,notnumbool,map}'::text[]) AS m,
    (VALUES ('2025-01-05', 7), ('2025-01-06', 2), ('2025-01-07', -1), ('2025-01-08', 0), ('2025-01-09', 3)) AS u(at, q) \gset
SELECT c.item, c.quantity, c.owed_exact FROM charges('acme', '[2025-01-01,2025-02-01)') AS c WHERE c.item IN ('MiB', 'Mbyte', 'celsius', 'floor', 'ceil', 'numbool', 'notnumbool', 'map') ORDER BY 1;
SELECT meter, factor, offset_by, mutate, mutate_map FROM meters WHERE meter IN ('MiB', 'celsius', 'map') ORDER BY 1;
SELECT scaled_quantity(1, 1, 1048576) AS fits, scaled_quantity(2, 1, 3) AS endless, scaled_quantity(0.000000000000001, 1, 1099511627776) * 1099511627776 AS smallest,
       mutated_quantity(-7, 1, 2, 0, 'floor', NULL) AS floor, mutated_quantity(-7, 1, 2, 0, 'ceil', NULL) AS ceil, mutated_quantity(2.9999999999999999999999, 1, 1, 0, 'floor', NULL) AS not_three;
SELECT w, mutated_quantity(5, 1, 2, 0, w, '{"2.5": 7}') FROM unnest('{NUMBOOL,NotNumBool,Floor,CEIL,Map,NULL}'::text[]) AS w;
SELECT fails($$ SELECT mutated_quantity(5, 1, 1, 0, 'round', NULL) $$);
SELECT fails($$ SELECT mutated_quantity(5, 1, 1, 0, 'ROUND', NULL) $$);
-- an interval that a month's end cuts counts on each side by its time, whatever its row becomes
SELECT set_meter('cut', unit => 'unit', mutate => 'numbool') \gset
SELECT price_of_one('{cut}') \gset
SELECT use('acme', 'cut', '2025-01-31 18:00', 500, to_at => '2025-02-01 18:00') \gset
SELECT * FROM months WHERE item = 'cut';

-- Filters: conditions on dimensions and on the quantity.
SELECT set_meter('large', unit => 'unit', filter => '{"memory": {"above": 64, "to": 1024}, "flavor": {"not": ["nano"]}, "quantity": {"from": 0}}') \gset
SELECT set_meter('unowned', unit => 'unit', filter => '{"owner": {"present": false}, "vcpus": [8, "16"]}') \gset
SELECT price_of_one('{large,unowned}') \gset
SELECT use('acme', 'large', '2025-01-05', 1, '{"memory": 64}'), use('acme', 'large', '2025-01-05', 10, '{"memory": "64.5", "flavor": "tiny"}'), use('acme', 'large', '2025-01-05', 100, '{"memory": 1024}'),
       use('acme', 'large', '2025-01-05', 1000, '{"memory": 128, "flavor": "nano"}'), use('acme', 'large', '2025-01-05', 10000, '{"memory": "much"}'), use('acme', 'large', '2025-01-05', 100000),
       use('acme', 'large', '2025-01-05', -1000000, '{"memory": 128}') \gset
SELECT use('acme', 'unowned', '2025-01-05', 1, '{"vcpus": 8}'), use('acme', 'unowned', '2025-01-05', 10, '{"vcpus": "16"}'), use('acme', 'unowned', '2025-01-05', 100, '{"vcpus": 4}'), use('acme', 'unowned', '2025-01-05', 1000, '{"vcpus": 8, "owner": "ann"}') \gset
SELECT * FROM months WHERE item IN ('large', 'unowned');

-- Billed by runs: later usage, and usage taken back, reaches the months that were billed before and those after it.
SELECT set_account('runs', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('runs', 'kept', '2025-01-11', 10, id => '00000000-0000-0000-0000-000000000002'), use('runs', 'traffic', '2025-01-11', 100, resource => 'a'), use('runs', 'traffic', '2025-02-11', 130, resource => 'a') \gset
CALL run_invoicing('2025-03-01', NULL);
SELECT count(*) FROM finalize_invoices('2025-03-01') \gset
SELECT l.period_from, l.item, trim_scale(round(l.quantity, 6)) AS quantity, l.amount FROM invoice_lines AS l WHERE l.account = 'runs' ORDER BY l.item, l.line_id;
SELECT void_usage('runs', '00000000-0000-0000-0000-000000000002') \gset
SELECT use('runs', 'traffic', '2025-01-21', 120, resource => 'a') \gset
CALL run_invoicing('2025-03-01', NULL);
SELECT count(*) FROM finalize_invoices('2025-03-01') \gset
SELECT l.period_from, l.item, l.kind, l.amount FROM invoice_lines AS l WHERE l.account = 'runs' ORDER BY l.line_id OFFSET 3;
SELECT e.stage, e.what, e.amount FROM invoice_lines AS l, explain_line(l.line_id) AS e WHERE l.account = 'acme' AND l.item IN ('walked', 'MiB', 'prorated') AND l.period_from = '2025-01-01' ORDER BY l.item, e.step;
SELECT w.ends_at, w.counted FROM invoice_lines AS l, line_usage(l.line_id) AS w WHERE l.account = 'acme' AND l.item = 'stock' AND l.period_from = '2025-02-01' ORDER BY w.ends_at;
TABLE wrong;

-- What makes no sense is refused.
SELECT fails($$ SELECT set_meter('x', unit => 'u', aggregation => 'max', carried_over => true) $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', aggregation => 'latest', prorated => 'second') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', prorated => 'hourly') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', proration_decimals => 5) $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', operation_dimension => 'op') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', level_holds => '1 hour') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', aggregation => 'time_weighted', level_holds => '0') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', factor => '1/0') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', factor => '1e3') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', mutate => 'map') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', mutate => 'map', mutate_map => '{"a": 1}') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', mutate => 'round') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', hours_in_month => '0') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', hours_in_month => 'all') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', filter => '{"a": {"over": 1}}') $$);
SELECT fails($$ SELECT set_meter('x', unit => 'u', filter => '{"a": {"above": "much"}}') $$);
-- '' clears
SELECT set_meter('walked', prorated => ''), set_meter('map', mutate => ''), set_meter('month-720', hours_in_month => '') \gset
SELECT meter, prorated, mutate, mutate_map, hours_in_month FROM meters WHERE meter IN ('walked', 'map', 'month-720') ORDER BY 1;

-- Of two levels at one instant the one recorded last holds.
SELECT set_account('tie', time_zone => 'UTC', starts_on => '2025-01-01') IS NOT NULL AS there;
SELECT set_meter('tied', unit => 'h', aggregation => 'time_weighted') IS NOT NULL AND set_price('tied', '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2025-01-01') IS NOT NULL AS there;
SELECT outcome FROM record_usage('{"id": "l7", "account": "tie", "meter": "tied", "at": "2025-01-10T00:00:00Z", "state": "on", "resource": "r"}');
SELECT outcome FROM record_usage('{"id": "l8", "account": "tie", "meter": "tied", "at": "2025-01-10T00:00:00Z", "state": "off", "resource": "r"}');
SELECT period_from, quantity FROM charges('tie', '[2025-01-01,2025-02-01)');
SELECT fails($$ SELECT correct_usage('tie', 'l7', starts_at => '2025-01-10T00:00:00Z', ends_at => '2025-01-11T00:00:00Z') $$);
