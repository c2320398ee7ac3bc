-- The main path: from nothing to an invoice, a late row, a correction.  The calls are those of the README.
\set ECHO none
\set test_database billing_rating_main_path
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
CALL billing.maintain_partitions('[2026-09-01,2026-12-01)');
\set ECHO all

-- Who sells, who buys, what is counted, what it costs.
SELECT billing.set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT billing.set_account('acme', currency => 'EUR', time_zone => 'Europe/Berlin', cycle_day => 1);
SELECT billing.set_meter('llm_tokens', unit => 'token', aggregation => 'sum');
SELECT billing.set_price('llm_tokens', '{"model":"graduated","currency":"EUR","tiers":[
         {"up_to":"1000000","unit_price":"0.000002"},{"unit_price":"0.0000015"}]}', valid_from => '2026-01-01');

-- Usage comes in: one row at once, more by COPY in the same transaction as anything else.
SELECT * FROM billing.record_usage('[{"id":"r-1","account":"acme","meter":"llm_tokens","at":"2026-10-03T10:00:00Z","quantity":"1200"}]');
BEGIN;
SELECT billing.open_usage_batch();
COPY usage_batch (id, account, meter, ends_at, quantity) FROM STDIN;
r-2	acme	llm_tokens	2026-10-04T11:00:00Z	900000
r-3	acme	llm_tokens	2026-10-31T22:59:59Z	398800
r-4	acme	llm_tokens	2026-10-31T23:00:00Z	5000
r-1	acme	llm_tokens	2026-10-03T10:00:00Z	1200
r-1	acme	llm_tokens	2026-10-03T10:00:00Z	1300
r-5	acme	llm_tokens	2026-10-03T10:00:00Z	a lot
\.
SELECT * FROM billing.load_usage_batch();
COMMIT;

-- What is owed for October: 1,000,000 × 0.000002 + 300,000 × 0.0000015 = 2.45.  r-4 is November in Berlin.
SELECT period_from, period_to, item, quantity, owed, owed_exact, booked, unbilled, state FROM billing.charges('acme', '[2026-10-01,2026-11-01)', known_at => NULL);
SELECT period_from, item, kind, quantity, line_amount, problem FROM billing.preview_invoice('acme', through => '2026-11-01');

-- The run drafts exactly what the preview said; only finalising bills.
CALL billing.run_invoicing(through => '2026-11-01', run_id => NULL);
SELECT account, item, kind, quantity, amount FROM drafts;
SELECT count(*) AS invoices FROM billing.invoices;
SELECT number, payer, total FROM billing.finalize_invoices(through => '2026-11-01', issue_date => '2026-11-02');
SELECT number, document, payer, issue_date, due_date, total_without_tax, tax_total, total FROM billing.invoices;
SELECT line_id AS line FROM billing.invoice_lines \gset
SELECT item, period_from, period_to, kind, quantity, amount FROM billing.invoice_lines;

-- Every cent explained, down to the usage rows and back.
SELECT step, stage, what, tier_from, tier_to, quantity, unit_price, amount FROM billing.explain_line(:line);
SELECT starts_at, recorded, counted, standing FROM billing.line_usage(:line);
SELECT line_amount, period_from, item, kind FROM billing.usage_lines('acme', 'r-2');

-- A second run finds nothing to do; what is billed is no longer previewed.
CALL billing.run_invoicing(through => '2026-11-01', run_id => NULL);
SELECT count(*) AS drafts FROM drafts;
SELECT count(*) AS lines FROM billing.preview_invoice('acme', through => '2026-11-01');
SELECT owed, booked, unbilled, state FROM billing.charges('acme', '[2026-10-01,2026-11-01)');

-- Usage that comes late is billed as a correction of October with the next invoice.
SELECT * FROM billing.record_usage('{"id":"r-6","account":"acme","meter":"llm_tokens","at":"2026-10-20T08:00:00Z","quantity":"200000"}');
CALL billing.run_invoicing(through => '2026-12-01', run_id => NULL);
SELECT * FROM drafts;
SELECT number, payer, total FROM billing.finalize_invoices(through => '2026-12-01', issue_date => '2026-12-01');
SELECT * FROM final_lines;
SELECT stage, what, quantity, unit_price, amount FROM billing.explain_line((SELECT max(line_id) FROM billing.line WHERE kind = 'correction'));

-- Nothing is silently dropped: what no charge counts is listed with its reason.
SELECT account_key, meter, starts_at, quantity, reason, detail FROM billing.unbilled_usage('[2026-10-01,2026-11-01)');
SELECT reason, detail FROM billing.usage_rejected;
SELECT payload ->> 'id' AS id, payload ->> 'quantity' AS quantity FROM billing.usage_conflict;
SELECT count(*) AS held FROM billing.held_corrections;
TABLE wrong;
