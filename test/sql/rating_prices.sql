-- Prices (rules 3 and 13): segments inside a charge, merging of neighbours, own prices, carry, holes, windows, matrices, currencies.
\set ECHO none
\set test_database billing_rating_prices
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
CREATE VIEW owed AS
    SELECT c.item, NULLIF(c.charge_group, '{}') AS "of", trim_scale(c.quantity) AS quantity, c.unit_price, c.owed, c.owed_exact, c.problem
      FROM billing.account AS a CROSS JOIN LATERAL billing.charges(a.key, '[2025-01-01,2025-02-01)') AS c WHERE a.key = 'acme';
CREATE FUNCTION steps(item text) RETURNS TABLE (stage text, what text, quantity numeric, unit_price numeric, amount billing.monetary) LANGUAGE sql AS $$
    SELECT e.stage, e.what, e.quantity, e.unit_price, e.amount
      FROM billing.line AS l CROSS JOIN LATERAL billing.explain_line(l.line_id) AS e
     WHERE l.item_key = item AND e.stage <> 'tax' ORDER BY l.line_id, e.step $$;
\set ECHO all
SELECT set_account('acme', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT count(set_meter(meter, unit => 'unit')) FROM unnest('{split,merged,carried,own,hole,border}'::text[]) AS meter \gset

-- A price border cuts the charge: tiers restart at the new price.  First half: 10 × 1 + 5 × 0.50; second half: 10 × 2 + 5 × 1.
SELECT set_price('split', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.50"}]}', valid_from => '2025-01-01', valid_to => '2025-01-16') \gset
SELECT set_price('split', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2"},{"unit_price":"1"}]}', valid_from => '2025-01-16') \gset
SELECT use('acme', 'split', '2025-01-10', 15), use('acme', 'split', '2025-01-20', 15) \gset
SELECT * FROM owed WHERE item = 'split';

-- Neighbours with equal tariffs are one segment, also where a later price cut them and left remainders: tiers do not restart.
SELECT set_price('merged', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.50"}]}', valid_from => '2025-01-01') \gset
SELECT set_price('merged', '{"model":"per_unit","currency":"EUR","unit_price":"9"}', valid_from => '2025-02-01', valid_to => '2025-03-01') \gset
SELECT set_price('merged', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":10,"unit_price":"1.00"},{"unit_price":0.5}]}', valid_from => '2025-01-16', valid_to => '2025-01-20') \gset
SELECT use('acme', 'merged', '2025-01-10', 15), use('acme', 'merged', '2025-01-17', 10), use('acme', 'merged', '2025-01-25', 5) \gset
-- an equal price changes nothing, but one that comes back leaves three rows that say the same
SELECT count(*) AS price_rows FROM billing.price AS p JOIN billing.item AS i USING (item_id) WHERE i.key = 'merged' AND upper_inf(p.known);
SELECT set_price('merged', '{"model":"per_unit","currency":"EUR","unit_price":"7"}', valid_from => '2025-01-16', valid_to => '2025-01-20') \gset
SELECT * FROM owed WHERE item = 'merged';
SELECT set_price('merged', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.50"}]}', valid_from => '2025-01-16', valid_to => '2025-01-20') \gset
SELECT count(*) AS price_rows FROM billing.price AS p JOIN billing.item AS i USING (item_id) WHERE i.key = 'merged' AND upper_inf(p.known);
SELECT * FROM owed WHERE item = 'merged';

-- carry: the tiers go on where those of the price before stopped.  10 × 1 + 5 × 0.50, then 15 more units all above 10: 15 × 1.
SELECT set_price('carried', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.50"}]}', valid_from => '2025-01-01', valid_to => '2025-01-16') \gset
SELECT set_price('carried', '{"model":"graduated","currency":"EUR","carry":true,"tiers":[{"up_to":"10","unit_price":"2"},{"unit_price":"1"}]}', valid_from => '2025-01-16') \gset
SELECT use('acme', 'carried', '2025-01-10', 15), use('acme', 'carried', '2025-01-20', 15) \gset
SELECT * FROM owed WHERE item = 'carried';

-- An account's own price goes before the list's, for the days that it holds.  12 days at 1, 10 at 0.10, 9 at 1.
SELECT set_price('own', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01') \gset
SELECT set_price('own', '{"model":"per_unit","currency":"EUR","unit_price":"0.10"}', valid_from => '2025-01-13', valid_to => '2025-01-23', account => 'acme') \gset
SELECT sum(use('acme', 'own', day + interval '12 hours', 1)) FROM generate_series(timestamp '2025-01-01', '2025-01-31', '1 day') AS day \gset
SELECT * FROM owed WHERE item = 'own';
SELECT set_account('other', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT use('other', 'own', '2025-01-15', 1) \gset
SELECT item, owed FROM charges('other', '[2025-01-01,2025-02-01)');

-- A hole is a matter of the segment: what has a price is billed, the rest waits as no_price.  A price filled in later bills it.
SELECT set_price('hole', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01', valid_to => '2025-01-10') \gset
SELECT set_price('hole', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-20') \gset
SELECT use('acme', 'hole', '2025-01-05', 1), use('acme', 'hole', '2025-01-15', 20), use('acme', 'hole', '2025-01-25', 300) \gset
SELECT * FROM owed WHERE item = 'hole';

-- A usage span over a price border is clipped there: 31 days, 15 of them at 1 a day and 16 at 2.  Prices begin at the buyer's midnight.
SELECT set_price('border', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01', valid_to => '2025-01-16') \gset
SELECT set_price('border', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-16') \gset
SELECT use('acme', 'border', '2024-12-31 23:00', 31, to_at => '2025-01-31 23:00') \gset
SELECT * FROM owed WHERE item = 'border';

-- A window is priced on its own: 3 free calls a day, in the buyer's zone.  23:30 UTC is the next day in Berlin.
SELECT set_meter('daily', unit => 'call') \gset
SELECT set_price('daily', '{"model":"graduated","currency":"EUR","window":"day","tiers":[{"up_to":"3","unit_price":"0"},{"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'daily', '2025-01-10 12:00', 4), use('acme', 'daily', '2025-01-10 23:30', 2), use('acme', 'daily', '2025-01-11 10:00', 3), use('acme', 'daily', '2025-01-12 10:00', 1) \gset
-- a span over two days: 8 units over [22:00, 02:00) Berlin, four of them on each day
SELECT use('acme', 'daily', '2025-01-20 21:00', 8, to_at => '2025-01-21 01:00') \gset
SELECT * FROM owed WHERE item = 'daily';

-- A matrix is rated by its dimensions and is one line; a meter's dimensions make lines of their own.
SELECT set_meter('gpu', unit => 'HUR') \gset
SELECT set_price('gpu', '{"model":"matrix","currency":"EUR","dimensions":["model"],"cells":[{"match":{"model":"l4"},"unit_price":"0.79"},{"match":{"model":"h100"},"unit_price":"4.40"}],"unmatched":"error"}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'gpu', '2025-01-05', 10, '{"model":"l4"}'), use('acme', 'gpu', '2025-01-06', 5, '{"model":"h100"}'), use('acme', 'gpu', '2025-01-07', 2, '{"model":"l4","zone":"b"}') \gset
-- a cell that is not there is no error of the charge: the rest is billed, this waits
SELECT use('acme', 'gpu', '2025-01-08', 7, '{"model":"b200"}', id => 'waits'), use('acme', 'gpu', '2025-01-09', 1), use('acme', 'gpu', '2025-01-10', 3, '{"model":"l4"}', id => 'billed') \gset
SELECT item, "of", quantity, owed, problem IS NOT NULL AS waits FROM owed WHERE item = 'gpu';
SELECT set_meter('disk', unit => 'GB', dimensions => '{tier,resource}') \gset
SELECT set_price('disk', '{"model":"matrix","currency":"EUR","dimensions":["tier"],"cells":[{"match":{"tier":"ssd"},"unit_price":"0.2"},{"match":{"tier":"hdd"},"unit_price":"0.05"}],"unmatched":"error"}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'disk', '2025-01-05', 10, '{"tier":"ssd"}', resource => 'vol-1'), use('acme', 'disk', '2025-01-05', 10, '{"tier":"ssd"}', resource => 'vol-2'),
       use('acme', 'disk', '2025-01-06', 5, '{"tier":"ssd"}', resource => 'vol-1'), use('acme', 'disk', '2025-01-06', 100, '{"tier":"hdd"}') \gset
SELECT item, "of", quantity, owed FROM owed WHERE item = 'disk';

-- A flat amount on a meter is owed without usage too (on_zero), here by acme alone.
-- It is prorated by its part of the nominal period, and the sum of the segments is rounded once: 10 × 15/31 + 20 × 16/31.
SELECT set_meter('base', unit => 'unit') \gset
SELECT set_price('base', '{"model":"flat","currency":"EUR","amount":"10"}', valid_from => '2025-01-01', valid_to => '2025-01-16', account => 'acme') \gset
SELECT set_price('base', '{"model":"flat","currency":"EUR","amount":"20"}', valid_from => '2025-01-16', account => 'acme') \gset
SELECT use('acme', 'base', '2025-01-20', 1) \gset
SELECT item, quantity, owed, owed_exact FROM owed WHERE item = 'base';

-- Rounding is the account's, of the sum, once: 5 units at 0.005 are 0.025.
SELECT set_meter('tiny', unit => 'unit') \gset
SELECT set_price('tiny', '{"model":"per_unit","currency":"EUR","unit_price":"0.005"}', valid_from => '2025-01-01') \gset
SELECT count(set_account('round-' || mode, time_zone => 'UTC', starts_on => '2025-01-01', rounding_mode => mode)) FROM unnest('{half_up,half_even,up,down,ceiling,floor}'::text[]) AS mode \gset
SELECT sum(use('round-' || mode, 'tiny', timestamp '2025-01-01' + n * interval '1 day', q)) FROM unnest('{half_up,half_even,up,down,ceiling,floor}'::text[]) AS mode, (VALUES (1, 1), (2, 1), (3, 3)) AS u(n, q) \gset
SELECT a.key AS account, c.quantity, c.owed_exact, c.owed FROM billing.account AS a CROSS JOIN LATERAL charges(a.key, '[2025-01-01,2025-02-01)') AS c WHERE a.key LIKE 'round%' ORDER BY a.key;

-- Bad input is refused when the price is set.
SELECT fails($$ SELECT set_price('split', '{"model":"per_unit","currency":"USD","unit_price":"1"}', valid_from => '2025-01-01') $$);
SELECT fails($$ SELECT set_price('split', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"up_to":"5","unit_price":"1"}]}', valid_from => '2025-01-01') $$);
SELECT fails($$ SELECT set_price('nothing', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01') $$);
SELECT fails($$ SELECT set_price('split', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-02-01', valid_to => '2025-01-01') $$);

-- All of it billed, and explained to the cent.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT account_key, meter, starts_at, quantity, reason, detail FROM unbilled_usage('[2025-01-01,2025-02-01)');
SELECT * FROM steps('split');
SELECT * FROM steps('merged');
SELECT * FROM steps('carried');
SELECT * FROM steps('border');
SELECT * FROM steps('daily');
SELECT * FROM steps('gpu');
SELECT l.item_key, w.starts_at, w.counted, w.dimensions FROM billing.line AS l CROSS JOIN LATERAL line_usage(l.line_id) AS w WHERE l.item_key = 'gpu';
-- usage_lines() is the way back; usage that waits is on no line
SELECT id, (SELECT count(*) FROM usage_lines('acme', id)) AS lines FROM unnest('{billed,waits}'::text[]) AS id;
SELECT * FROM steps('base');
TABLE wrong;

-- The hole is filled: what waited is billed, at once and in full.  A first price changes no price, so applies_to need not be said and nothing is held.
SELECT set_price('hole', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-10', valid_to => '2025-01-20') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT * FROM drafts;
SELECT * FROM held_now;
SELECT account_key, meter, starts_at, reason FROM unbilled_usage('[2025-01-01,2025-02-01)');
TABLE wrong;
