-- Billing one account inside the caller's transaction (rules 2 and 11): usage, bill and the caller's own rows are one commit.
\set ECHO none
\set test_database billing_rating_bill_account
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01') \gset
\set ECHO all
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('beta', time_zone => 'UTC', starts_on => '2025-01-01') \gset
CREATE TABLE orders (id int PRIMARY KEY, invoice text);
-- The caller's own facts, stamped at or after the watermark, count; those of the other account are not looked at.
BEGIN;
SELECT use('acme', 'calls', '2025-01-10', 10), use('beta', 'calls', '2025-01-10', 3) \gset
SELECT bill_account('acme', '2025-02-01') > 0 AS billed;
SELECT account, item, kind, amount FROM drafts;
INSERT INTO orders SELECT 1, f.number FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01', account => 'acme') AS f;
COMMIT;
SELECT * FROM orders;
SELECT invoice, account, item, amount FROM final_lines;
SELECT procedure, through, state, own_at IS NOT NULL AS knows_its_own_facts, counts FROM runs WHERE procedure = 'bill_account';
-- The run of everybody that follows knows that they are billed.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT account_key, meter, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)');
TABLE wrong;

-- A rollback leaves nothing: no usage, no draft, no invoice, no number, no run.
BEGIN;
SELECT use('acme', 'calls', '2025-01-11', 5) \gset
SELECT bill_account('acme', '2025-02-01') > 0 AS billed;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01', account => 'acme');
ROLLBACK;
SELECT (SELECT count(*) FROM billing.usage) AS usage, (SELECT count(*) FROM billing.draft_line) AS drafts, (SELECT count(*) FROM billing.invoice) AS invoices, (SELECT count(*) FROM billing.run WHERE procedure = 'bill_account') AS runs,
       (SELECT last_number FROM billing.number_series WHERE type = '380') AS last_number;
SELECT use('acme', 'calls', '2025-01-11', 5) \gset
-- Nothing of its own is needed.  A catalog change in the same transaction counts as well.
SELECT bill_account('acme', '2025-02-01') > 0 AS billed;
SELECT account, item, kind, amount FROM drafts;
BEGIN;
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"3"}', valid_from => '2025-02-01') \gset
SELECT use('acme', 'calls', '2025-02-10', 2) \gset
SELECT bill_account('acme', '2025-03-01') > 0 AS billed;
SELECT period, item, kind, amount FROM drafts;
COMMIT;
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
-- Several times in one transaction: each sees what the ones before it billed.
BEGIN;
SELECT use('acme', 'calls', '2025-01-12', 1) \gset
SELECT bill_account('acme', '2025-03-01') > 0 AS billed;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01', account => 'acme');
SELECT use('acme', 'calls', '2025-01-13', 2) \gset
SELECT bill_account('acme', '2025-03-01') > 0 AS billed;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01', account => 'acme');
COMMIT;
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, item, kind, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
SELECT account, period, sum(amount) AS billed FROM final_lines GROUP BY account, period ORDER BY account, period;
-- lines that counted the caller's own facts explain themselves, to the usage row
SELECT l.amount, w.starts_at, w.counted, w.standing FROM billing.line AS l CROSS JOIN LATERAL line_usage(l.line_id) AS w WHERE l.own_at IS NOT NULL ORDER BY l.line_id, w.starts_at;
TABLE wrong;
