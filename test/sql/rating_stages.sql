-- Stages in fixed order (rule 6): usage is converted and rounded, the allowance is taken off, and what is left goes through the tiers.
-- The numbers are chosen so that every other order comes to another amount.
\set ECHO none
\set test_database billing_rating_stages
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
CREATE VIEW owed AS SELECT c.item, trim_scale(c.quantity) AS quantity, c.owed FROM billing.charges('acme', '[2025-01-01,2025-02-01)') AS c;
\set ECHO all
-- The meter converts: 1,100.5 + 1,000 recorded are 2.1005 thousand, rounded up once to 3.  The price has 1 free: 2 are left, 1 × 10 + 1 × 1.
-- Rounded row by row it would be 4 - 1; rounded before it is divided 2.101; with the allowance taken off first (2,100.5 - 1) ÷ 1,000, 3;
-- with the allowance taken off the price 12 - 10.
SELECT set_meter('requests', unit => 'thousand', factor => '1/1000', rounding => 'up', decimals => 0) \gset
SELECT set_price('requests', '{"model":"graduated","currency":"EUR","free":"1","tiers":[{"up_to":"1","unit_price":"10"},{"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'requests', '2025-01-05', 1100.5), use('acme', 'requests', '2025-01-06', 1000) \gset
SELECT * FROM owed WHERE item = 'requests';

-- The price converts as well, after the meter and before the allowance: 150 seconds are 2.5 minutes, rounded up to 3, of which 2 are free.
SELECT set_meter('seconds', unit => 'SEC', factor => '60') \gset
SELECT set_price('seconds', '{"model":"per_unit","currency":"EUR","unit_price":"4","convert":{"divide_by":"3600","round":"up"},"free":"2"}', valid_from => '2025-01-01') \gset
SELECT use('acme', 'seconds', '2025-01-05', 100), use('acme', 'seconds', '2025-01-06', 50) \gset
SELECT * FROM owed WHERE item = 'seconds';

-- An allowance is of the price: each of two prices of a month has its own, unless the tiers carry on.  3 × 1 + 3 × 3; carried, 3 × 1 + 5 × 3.
SELECT count(set_meter(meter, unit => 'unit')) FROM unnest('{again,carried}'::text[]) AS meter \gset
SELECT count(set_price(meter, '{"model":"per_unit","currency":"EUR","unit_price":"1","free":"2"}', valid_from => '2025-01-01', valid_to => '2025-01-16')),
       count(set_price(meter, format('{"model":"per_unit","currency":"EUR","unit_price":"3","free":"2","carry":%s}', to_json(meter = 'carried'))::tariff, valid_from => '2025-01-16'))
  FROM unnest('{again,carried}'::text[]) AS meter \gset
SELECT sum(use('acme', meter, day, 5)) FROM unnest('{again,carried}'::text[]) AS meter, unnest('{2025-01-05,2025-01-25}'::timestamp[]) AS day \gset
SELECT * FROM owed WHERE item IN ('again', 'carried') ORDER BY item;

-- Explained in that order, and usage within the allowance is billed at 0: nothing of it is listed as unbilled.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT l.item_key, e.stage, e.what, trim_scale(e.quantity) AS quantity, e.amount FROM billing.line AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e
 WHERE l.item_key IN ('requests', 'seconds') AND e.stage <> 'tax' ORDER BY l.line_id, e.step;
SELECT count(*) AS unbilled FROM unbilled_usage('[2025-01-01,2025-02-01)');
TABLE wrong;
