-- Progressive billing at a list of thresholds and at each multiple of an amount, over all usage of an agreement (rule 5).
\set ECHO none
\set test_database billing_rating_thresholds
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('jobs', unit => 'job') \gset
SELECT set_fee('platform') \gset
CREATE VIEW public.billed AS
    SELECT account, invoice, period, item, kind, quantity, amount FROM public.final_lines WHERE kind = 'interim';
\set ECHO all
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01'),
       set_price('jobs', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01'),
       set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2025-01-01') \gset

-- 200, 500, 700, and every 1000 above: the amounts of Lago's own scenario.
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01', progressive_thresholds => '{700 EUR,200 EUR,500 EUR,200 EUR}', progressive_every => '1000 EUR') \gset
SELECT set_subscription('acme', 'platform', starts_on => '2025-01-01') \gset
SELECT progressive_threshold, progressive_thresholds, progressive_every FROM agreements WHERE buyer = 'acme';
SELECT use('acme', 'calls', '2025-01-02', 120), use('acme', 'jobs', '2025-01-02', 100) \gset
SELECT item, kind, line_amount FROM preview_invoice('acme', through => '2025-01-06');
CALL run_invoicing(through => '2025-01-06') \gset
SELECT * FROM billed;
-- 440: between thresholds
SELECT use('acme', 'calls', '2025-01-07', 220) \gset
SELECT item, kind, line_amount FROM preview_invoice('acme', through => '2025-01-11');
CALL run_invoicing(through => '2025-01-11') \gset
-- 660 passes 500: all that is not billed goes out, also what passed nothing
SELECT use('acme', 'jobs', '2025-01-12', 220) \gset
CALL run_invoicing(through => '2025-01-16') \gset
SELECT * FROM billed WHERE invoice = 'INV-000002';
-- 880 passes 700, 3080 passes 1000 to 3000, 5280 the next; by bill_account() as by a run
SELECT use('acme', 'calls', '2025-01-17', 220) \gset
SELECT bill_account('acme', '2025-01-21') > 0 AS billed \gset
SELECT use('acme', 'calls', '2025-01-22', 2200) \gset
CALL run_invoicing(through => '2025-01-26') \gset
SELECT use('acme', 'calls', '2025-01-27', 2200) \gset
CALL run_invoicing(through => '2025-01-28') \gset
SELECT * FROM billed WHERE invoice > 'INV-000002';
TABLE wrong;
-- The end of the month bills the fee alone.  The next month passes 6000: what was billed counts, and what waits in drafts.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, billed_before FROM drafts;
SELECT use('acme', 'calls', '2025-02-03', 719) \gset
CALL run_invoicing(through => '2025-02-06') \gset
SELECT count(*) AS of_february FROM billed WHERE period = '2025-02-01';
SELECT use('acme', 'calls', '2025-01-31', 1, id => 'late') \gset
CALL run_invoicing(through => '2025-02-06') \gset
SELECT item, kind, amount FROM drafts;
SELECT count(*) AS of_february FROM billed WHERE period = '2025-02-01';
SELECT use('acme', 'calls', '2025-02-04', 1) \gset
SELECT item, kind, line_amount FROM preview_invoice('acme', through => '2025-02-06');
CALL run_invoicing(through => '2025-02-06') \gset
SELECT item, kind, quantity, amount FROM billed WHERE period = '2025-02-01';
SELECT number, total FROM finalize_invoices(through => '2025-02-06');
TABLE wrong;

-- One threshold is passed once, whatever comes after it; a charge's own threshold goes on beside it.
SELECT set_account('once', time_zone => 'UTC', starts_on => '2025-01-01', progressive_thresholds => '{50 EUR}') \gset
SELECT set_account('both', time_zone => 'UTC', starts_on => '2025-01-01', progressive_thresholds => '{50 EUR}', progressive_threshold => '100 EUR') \gset
SELECT sum(use(a, 'calls', '2025-01-05', 50)) FROM unnest('{once,both}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-01-10') \gset
SELECT sum(use(a, 'calls', '2025-01-12', 99)) FROM unnest('{once,both}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-01-15') \gset
SELECT sum(use(a, 'calls', '2025-01-16', 1)) FROM unnest('{once,both}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-01-20') \gset
SELECT account, kind, quantity, amount FROM billed WHERE account IN ('once', 'both') ORDER BY account, amount;
-- It can be taken away, and set from a day on: the term of the last day rated counts.
SELECT set_account('once', progressive_thresholds => '{}') \gset
SELECT progressive_thresholds, progressive_every FROM agreements WHERE buyer = 'once';
SELECT set_account('once', progressive_thresholds => '{150 EUR}', from_date => '2025-01-25') \gset
SELECT use('once', 'calls', '2025-01-21', 10) \gset
CALL run_invoicing(through => '2025-01-25') \gset
SELECT count(*) FROM billed WHERE account = 'once';
CALL run_invoicing(through => '2025-01-26') \gset
SELECT account, quantity, amount FROM billed WHERE account = 'once' ORDER BY amount;
TABLE wrong;

-- A repeated amount alone, in a month that is voided again and comes back.
SELECT set_account('every', time_zone => 'UTC', starts_on => '2025-03-01', progressive_every => '10 EUR') \gset
SELECT use('every', 'calls', '2025-03-02', 9) \gset
CALL run_invoicing(through => '2025-03-03') \gset
SELECT use('every', 'calls', '2025-03-04', 12, id => 'mistake') \gset
CALL run_invoicing(through => '2025-03-05') \gset
SELECT void_usage('every', 'mistake', reason => 'counted twice') \gset
CALL run_invoicing(through => '2025-03-06') \gset
SELECT use('every', 'calls', '2025-03-07', 20) \gset
CALL run_invoicing(through => '2025-03-08') \gset
SELECT use('every', 'calls', '2025-03-09', 1) \gset
CALL run_invoicing(through => '2025-03-10') \gset
SELECT quantity, amount FROM billed WHERE account = 'every' ORDER BY invoice;
TABLE wrong;

-- Of thousands of accounts in one pass: the same.
SET billing.one_pass_above = 0;
SELECT use('every', 'calls', '2025-03-11', 10) \gset
CALL run_invoicing(through => '2025-03-12') \gset
SELECT quantity, amount FROM billed WHERE account = 'every' ORDER BY invoice DESC LIMIT 1;
RESET billing.one_pass_above;

SELECT fails($$ SELECT set_account('acme', progressive_thresholds => '{5 EUR,0 EUR}') $$);
SELECT fails($$ SELECT set_account('acme', progressive_thresholds => '{5 EUR,NULL}') $$);
SELECT fails($$ SELECT set_account('acme', progressive_thresholds => '{5 EUR,-7 EUR}') $$);
SELECT fails($$ SELECT set_account('acme', progressive_thresholds => '{5 USD}') $$);
SELECT fails($$ SELECT set_account('acme', progressive_every => '-1 EUR') $$);
SELECT fails($$ SELECT set_account('new', progressive_every => '1 USD') $$);
-- Lago's own table: what was billed, what came, whether a threshold is passed.
SELECT billed, owed - billed AS more, threshold_reached('{10 EUR,20 EUR,31 EUR,40 EUR}', '5 EUR', billed, owed) AS reached, threshold_reached('{10 EUR}', NULL, billed, owed) AS only_ten, threshold_reached(NULL, '10 EUR', billed, owed) AS every_ten
  FROM (VALUES (0, 7), (0, 10), (0, 44), (9, 11), (11, 12), (11, 21), (40, 42), (40, 45), (41, 45), (49, 50), (50, 50), (50, 49), (202, 209), (202, 210), (-3, 1)) AS v(billed, owed);
