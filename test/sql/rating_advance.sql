-- Fees in advance after they were billed and before their period ends: facts that come in between, and prices and plans (rules 3, 4, 5).
\set ECHO none
\set test_database billing_rating_advance
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_fee('platform', in_advance => true), set_fee('support', in_advance => false), set_meter('calls', unit => 'call') \gset
SELECT count(set_price(item, '{"model":"per_unit","currency":"EUR","unit_price":"30"}', valid_from => '2025-01-01')) FROM unnest('{platform,support,calls}'::text[]) AS item \gset
\set ECHO all
-- The first month of a ledger: no period has ended, but those whose fees are billed are looked at whenever facts touch them.
SELECT count(set_account(a, time_zone => 'UTC', starts_on => '2025-04-01')), count(set_subscription(a, 'platform', starts_on => '2025-04-01')) AS subscribed FROM unnest('{ends,cancelled,goodwill,grows,same}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT payer, total FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
SELECT use('same', 'calls', '2025-04-10', 1) \gset
SELECT end_subscription('ends', 'platform', '2025-04-16'), set_subscription('grows', 'platform', quantity => 3, starts_on => '2025-04-16') \gset
SELECT cancel_invoice((SELECT invoice_id FROM invoices WHERE payer = 'cancelled'), 'wrong address') \gset
SELECT decide((SELECT charge FROM invoice_lines WHERE account = 'goodwill'), '-5 EUR', 'goodwill', 'outage') \gset
SELECT a AS account, p.line_amount FROM unnest('{ends,cancelled,goodwill,grows,same}'::text[]) AS a CROSS JOIN LATERAL preview_invoice(a, through => '2025-04-20') AS p;
CALL run_invoicing(through => '2025-04-20') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT a AS account, c.owed, c.decided, c.booked FROM unnest('{ends,cancelled,goodwill,grows,same}'::text[]) AS a CROSS JOIN LATERAL charges(a, '[2025-04-01,2025-05-01)') AS c WHERE c.item = 'platform';
SELECT payer, total FROM finalize_invoices(through => '2025-04-20');
TABLE wrong;

---- A price is as it was when a fee in advance was billed.  One that reaches into what was billed must say what is meant.
SELECT count(set_account(a, time_zone => 'UTC', starts_on => '2025-05-01')), count(set_subscription(a, 'platform', starts_on => '2025-05-01')) AS subscribed FROM unnest('{held,approved,billed,ignored}'::text[]) AS a \gset
SELECT count(end_subscription(a, 'platform', '2025-05-01')) FROM unnest('{cancelled,goodwill,grows,same}'::text[]) AS a \gset
SELECT set_correction_policy('price', 'bill', account => 'billed'), set_correction_policy('price', 'ignore', account => 'ignored') \gset
CALL run_invoicing(through => '2025-05-01') \gset
-- a draft pins nothing
SELECT set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2025-05-01') \gset
CALL run_invoicing(through => '2025-05-01') \gset
SELECT payer, total FROM finalize_invoices(through => '2025-05-01');
SELECT fails($$ SELECT set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"62"}', valid_from => '2025-05-01') $$);
SELECT fails($$ SELECT remove_price('platform', valid_from => '2025-05-10') $$);
-- what is not billed in advance is still open, and June is
SELECT set_price('support', '{"model":"per_unit","currency":"EUR","unit_price":"62"}', valid_from => '2025-05-01'), set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"93"}', valid_from => '2025-06-01') \gset
SELECT set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"62"}', valid_from => '2025-05-01', valid_to => '2025-06-01', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-05-02') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
SELECT account, kind, cause, amount FROM decisions WHERE kind = 'ignored';
TABLE wrong;
SELECT payer, total FROM finalize_invoices(through => '2025-05-02');
-- the customer's act is billed at the price that was billed, and less is held
SELECT end_subscription('held', 'platform', '2025-05-11') \gset
SELECT decide((SELECT charge FROM invoice_lines WHERE account = 'approved'), '-5 EUR', 'goodwill', 'outage') \gset
CALL run_invoicing(through => '2025-05-20') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
TABLE wrong;
-- when the month ends the pin of what was billed in advance stays
SELECT use('held', 'calls', '2025-05-10', 1) \gset
CALL run_invoicing(through => '2025-06-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT payer, total FROM finalize_invoices(through => '2025-06-01');
SELECT use('held', 'calls', '2025-05-11', 1), use('approved', 'calls', '2025-05-11', 1) \gset
CALL run_invoicing(through => '2025-06-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
TABLE wrong;
-- approval bills it
SELECT account_key, item_key, period_from, cause, released FROM approve_corrections(account => 'approved', reason => 'agreed');
CALL run_invoicing(through => '2025-06-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
SELECT payer, total FROM finalize_invoices(through => '2025-06-01');
SELECT account, stage, what, quantity, amount FROM (SELECT l.line_id, l.account_key AS account, e.* FROM billing.line AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE l.account_key = 'approved' AND l.item_key = 'platform' AND l.period_from = '2025-05-01') AS e WHERE e.stage <> 'tax' ORDER BY e.line_id, e.step;
TABLE wrong;

---- So with an agreement: another price list from the middle of what was billed in advance is held as a plan.
SELECT set_price_list('gold') \gset
SELECT set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"33"}', valid_from => '2025-01-01', price_list => 'gold') \gset
SELECT set_account('billed', price_list => 'gold', from_date => '2025-06-16'), set_account('ignored', price_list => 'gold', from_date => '2025-06-16') \gset
CALL run_invoicing(through => '2025-06-20') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
TABLE wrong;
SELECT set_correction_policy('plan', 'bill', account => 'billed') \gset
CALL run_invoicing(through => '2025-06-21') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT payer, total FROM finalize_invoices(through => '2025-06-21');
CALL run_invoicing(through => '2025-07-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT payer, total FROM finalize_invoices(through => '2025-07-01');
SELECT * FROM held_now;
TABLE wrong;
