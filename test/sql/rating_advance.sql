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
