-- Recurring fees (rule 5): in advance and in arrears; start, end and quantity in the middle of a period; stubs; price changes.
\set ECHO none
\set test_database billing_rating_fees
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
CREATE VIEW why AS
    SELECT l.line_id, l.account_key AS account, l.kind, e.stage, e.what, trim_scale(e.quantity) AS quantity, e.amount
      FROM billing.line AS l CROSS JOIN LATERAL billing.explain_line(l.line_id) AS e WHERE e.stage <> 'tax' ORDER BY l.invoice_id, l.line_no, e.step;
\set ECHO all
SELECT set_fee('platform', in_advance => true), set_fee('support', in_advance => false) \gset
SELECT count(set_price(fee, '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2024-01-01')) FROM unnest('{platform,support}'::text[]) AS fee \gset

-- In advance is due when the period begins, in arrears when it has ended.  Through 1 January: January's platform fee, no support.
SELECT set_account('acme', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT set_subscription('acme', 'platform', starts_on => '2025-01-01'), set_subscription('acme', 'support', starts_on => '2025-01-01') \gset
SELECT item, period_from, quantity, line_amount FROM preview_invoice('acme', through => '2024-12-31');
SELECT item, period_from, quantity, line_amount FROM preview_invoice('acme', through => '2025-01-01');
CALL run_invoicing(through => '2025-01-01') \gset
SELECT * FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-01-01', issue_date => '2025-01-01');
-- Through 1 February: January's support and February's platform.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT * FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
TABLE wrong;

-- Cancelled in the middle of a month that was paid in advance: 13 of 28 February days are credited, and nothing more is billed.
SELECT end_subscription('acme', 'platform', ends_on => '2025-02-16') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT * FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
-- Begun again in the same month: the days before and after are one charge.
SELECT set_subscription('acme', 'platform', starts_on => '2025-02-26', ends_on => 'infinity') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT * FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
SELECT stage, what, quantity, amount FROM why WHERE line_id = (SELECT max(line_id) FROM billing.line WHERE kind = 'correction');
TABLE wrong;

-- A start in the middle of a period is prorated by days: 10 of 31 in January; a quantity that changes is, too: 2 for 10 days, 5 for 21.
SELECT set_account('grows', time_zone => 'America/New_York', starts_on => '2025-01-01') \gset
SELECT set_subscription('grows', 'seats', fee => 'support', quantity => 1, starts_on => '2025-01-22') \gset
SELECT set_subscription('grows', 'desks', fee => 'support', quantity => 2, starts_on => '2025-01-01') \gset
SELECT set_subscription('grows', 'desks', quantity => 5, starts_on => '2025-01-11') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT "of", quantity, amount FROM drafts WHERE account = 'grows';
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-01', account => 'grows');
SELECT stage, what, quantity, amount FROM why WHERE account = 'grows';

-- A quantity changed after the month was billed is the customer's act: billed, not held.
SELECT set_subscription('grows', 'desks', quantity => 1, starts_on => '2025-01-31') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT "of", kind, amount, causes FROM drafts WHERE account = 'grows';
SELECT count(*) AS held FROM held_now;

-- Stubs: the first period of an account with cycle day 15 that starts on 1 February has 14 of 31 days; a change of the cycle day makes another.
SELECT set_account('stub', time_zone => 'UTC', cycle_day => 15, starts_on => '2025-02-01') \gset
SELECT set_subscription('stub', 'support', starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-03-15') \gset
SELECT set_account('stub', cycle_day => 1) \gset
CALL run_invoicing(through => '2025-05-01') \gset
SELECT period, quantity, amount FROM drafts WHERE account = 'stub';

-- A zone change does not touch days: 28 of 28 in the month that is 8 hours shorter.
SELECT set_account('moves', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT set_account('moves', time_zone => 'Asia/Tokyo', from_date => '2025-02-01') \gset
SELECT set_subscription('moves', 'support', starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT period, quantity, amount FROM drafts WHERE account = 'moves';

-- A price that changes in the middle of a period cuts a fee as well: 15 days at 31, 16 days at 62, of 31.
SELECT set_fee('rise') \gset
SELECT set_price('rise', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2024-01-01', valid_to => '2025-01-16') \gset
SELECT set_price('rise', '{"model":"per_unit","currency":"EUR","unit_price":"62"}', valid_from => '2025-01-16') \gset
SELECT set_account('risen', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT set_subscription('risen', 'rise', starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT quantity, amount FROM drafts WHERE account = 'risen';

-- A fee may be tiered: 12 seats, the first 10 at 5, the others at 3.
SELECT set_fee('tiered') \gset
SELECT set_price('tiered', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"5"},{"unit_price":"3"}]}', valid_from => '2024-01-01') \gset
SELECT set_account('many', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT set_subscription('many', 'tiered', quantity => 12, starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT quantity, amount FROM drafts WHERE account = 'many';

-- Odd fractions: what is owed is rounded, never a difference, so that corrections leave no residue.  7 days of 0.1, 9 of 0.2, 14 of 0.7.
SELECT set_fee('third', in_advance => true) \gset
SELECT set_price('third', '{"model":"per_unit","currency":"EUR","unit_price":"10"}', valid_from => '2024-01-01') \gset
SELECT set_account('thirds', time_zone => 'UTC', starts_on => '2025-04-01') \gset
SELECT set_subscription('thirds', 'third', quantity => 0.1, starts_on => '2025-04-01') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-05-01', account => 'thirds');
SELECT set_subscription('thirds', 'third', quantity => 0.2, starts_on => '2025-04-08') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-05-01', account => 'thirds');
SELECT set_subscription('thirds', 'third', quantity => 0.7, starts_on => '2025-04-17') \gset
CALL run_invoicing(through => '2025-05-01') \gset
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-05-01', issue_date => '2025-05-01', account => 'thirds');
SELECT period_from, owed, owed_exact, booked FROM charges('thirds', '[2025-04-01,2025-05-01)');
SELECT end_subscription('thirds', 'third', ends_on => '2025-04-01') \gset
CALL run_invoicing(through => '2025-05-01') \gset
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-05-01', issue_date => '2025-05-01', account => 'thirds');
SELECT sum(amount) AS all_lines FROM billing.line WHERE account_key = 'thirds';

-- A price of so many days, charged by the days of each period: an annual price of 365, and months of 30 days, each prorated by its own days.
SELECT set_fee('annual', in_advance => true, price_days => 365), set_fee('thirty', price_days => 30), set_fee('thirty-inclusive', proration => 'day_inclusive', price_days => 30) \gset
SELECT count(set_price(fee, '{"model":"per_unit","currency":"EUR","unit_price":"3650"}', valid_from => '2024-01-01')) FROM unnest('{annual,thirty,thirty-inclusive}'::text[]) AS fee \gset
SELECT set_account('days', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT count(set_subscription('days', fee, starts_on => '2025-01-01')) FROM unnest('{annual,thirty,thirty-inclusive}'::text[]) AS fee \gset
SELECT count(end_subscription('days', fee, ends_on => '2025-03-11')) FROM unnest('{annual,thirty,thirty-inclusive}'::text[]) AS fee \gset
SELECT item, period_from, round(quantity, 9) AS quantity, owed FROM charges('days', '[2025-01-01,2025-04-01)') ORDER BY item, period_from;
SELECT fee, proration, price_days FROM fees WHERE fee IN ('annual', 'platform');
SELECT set_fee('annual', price_days => 0) \gset
SELECT price_days IS NULL AS of_the_period FROM fees WHERE fee = 'annual';
SELECT fails($$ SELECT set_fee('annual', price_days => -1) $$), fails($$ SELECT set_fee('annual', proration => 'month', price_days => 30) $$);

-- Half of 49.99 is 24.995.  By dialect, as other products do it, what an ended subscription leaves of a fee in advance is credited by an amount
-- rounded by itself, -25.00; otherwise what is owed is rounded, 25.00, and the credit is the rest.
SELECT set_fee('dialect', in_advance => true, price_days => 30), set_fee('plain', in_advance => true, price_days => 30), set_fee('arrears', price_days => 30) \gset
SELECT count(set_price(fee, '{"model":"per_unit","currency":"EUR","unit_price":"49.99","dialect":"meteroid"}', valid_from => '2024-01-01')) FROM unnest('{dialect,arrears}'::text[]) AS fee \gset
SELECT set_price('plain', '{"model":"per_unit","currency":"EUR","unit_price":"49.99"}', valid_from => '2024-01-01') \gset
SELECT set_account('halves', time_zone => 'UTC', starts_on => '2025-04-01') \gset
SELECT count(set_subscription('halves', fee, starts_on => '2025-04-01')) FROM unnest('{dialect,plain,arrears}'::text[]) AS fee \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-05-01', account => 'halves');
SELECT count(end_subscription('halves', fee, ends_on => '2025-04-16')) FROM unnest('{dialect,plain,arrears}'::text[]) AS fee \gset
CALL run_invoicing(through => '2025-05-01') \gset
SELECT item, kind, amount FROM drafts WHERE account = 'halves' ORDER BY item;
SELECT item, owed, owed_exact FROM charges('halves', '[2025-04-01,2025-05-01)') ORDER BY item;

SELECT sum(total) AS total FROM finalize_invoices(through => '2025-05-01', issue_date => '2025-05-01');
TABLE wrong;
