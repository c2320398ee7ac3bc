-- Delivered, voided, cancelled, waived: with the runs that bill before and after.
\set ECHO none
\set test_database billing_invoicing_reversals
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
SELECT set_price('tokens', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.10"}', valid_from => '2026-01-01') > 0;
CREATE FUNCTION use(id text, quantity numeric, at timestamptz DEFAULT '2026-10-03 10:00Z') RETURNS text LANGUAGE sql
AS $$ SELECT outcome FROM record_usage(jsonb_build_object('id', id, 'account', 'acme', 'meter', 'tokens', 'at', at, 'quantity', quantity::text)) $$;
CREATE VIEW chain AS SELECT number, chain_no, kind, amount, booked_after, corrects FROM invoice_lines ORDER BY charge, chain_no;
SELECT use('u-1', 100);
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-02');

-- voided before delivery: the lines add up to 0, the number stays used, the period closed, and the next run bills again
SELECT closed_known_at AS pin FROM billing.charge_period \gset
SELECT fails($$ SELECT void_invoice('INV-000001', '  ') $$);
SELECT fails($$ SELECT void_invoice('INV-000009', 'typing error') $$);
SELECT fails($$ SELECT void_invoice(9, 'typing error') $$);
SELECT void_invoice('INV-000001', 'typing error');
SELECT number, state, total FROM invoices;
SELECT line_no, kind, amount, quantity, corrects FROM invoice_lines ORDER BY line_no;
SELECT closed_known_at = :'pin' FROM billing.charge_period;
SELECT event, detail FROM billing.invoice_event ORDER BY event_no;
SELECT fails($$ SELECT void_invoice('INV-000001', 'again') $$);
SELECT fails($$ SELECT cancel_invoice(invoice_id('INV-000001'), 'again') $$);
SELECT fails($$ SELECT mark_delivered(invoice_id('INV-000001')) $$);
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-02');
TABLE chain;

-- delivered: not voided any more; told twice it is noted once
SELECT mark_delivered(invoice_id('INV-000002'), '{"channel": "mail"}'), mark_delivered(invoice_id('INV-000002'));
SELECT state FROM invoices WHERE number = 'INV-000002';
SELECT fails($$ SELECT void_invoice('INV-000002', 'late') $$);

-- later lines continue it: the later one can be voided, the earlier one not
SELECT use('u-2', 20);
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-03');
SELECT use('u-3', 3);
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-03');
SELECT regexp_replace(fails($$ SELECT void_invoice('INV-000003', 'no') $$), 'charge \d+', 'charge N');

-- cancelled below later corrections: every amount and tax mirrored, and billed again as a whole
SELECT cancel_invoice(invoice_id('INV-000002'), 'wrong address', issue_date => '2026-11-05') AS credit_note \gset
SELECT number, document, type_code, state, total_without_tax, tax_total, total, cancels, corrects, issue_date, due_date, tax_point_date FROM invoices WHERE invoice_id = :credit_note;
SELECT number, state, cancelled_by FROM invoices WHERE number = 'INV-000002';
SELECT group_no, tax_code, category, rate, taxable, tax FROM invoice_taxes WHERE invoice_id = :credit_note;
SELECT line_no, kind, quantity, unit_price, amount, tax_code, tax_rate, tax_point_date, corrects FROM invoice_lines WHERE invoice_id = :credit_note;
SELECT e.event, e.detail - 'credit_note' AS detail, (e.detail ->> 'credit_note')::bigint = :credit_note FROM billing.invoice_event AS e WHERE e.invoice_id = invoice_id('INV-000002') ORDER BY event_no;
SELECT fails($$ SELECT cancel_invoice(invoice_id('INV-000002'), 'again') $$);
SELECT fails($$ SELECT cancel_invoice(invoice_id('CN-000001'), 'and back') $$);
SELECT fails($$ SELECT void_invoice('CN-000001', 'and back') $$);
SELECT fails($$ SELECT cancel_invoice(invoice_id('INV-000003'), NULL) $$);
SELECT fails($$ SELECT cancel_invoice(NULL, 'which?') $$);
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-06');
TABLE chain;

-- waived: a decision as well, so that the next run bills nothing; later usage is billed alone
SELECT cancel_invoice(invoice_id('INV-000004'), 'a gift', waive => true, issue_date => '2026-11-06') > 0;
SELECT kind, amount, reason FROM billing.decision;
CALL run_invoicing('2026-11-01', NULL);
SELECT count(*) FROM draft_lines;
SELECT use('u-4', 1);
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-06');
-- lines = owed + decisions
SELECT sum(amount) AS lines, (SELECT sum(owed) FROM charges('acme', '[2026-10-01,2026-11-01)')) AS owed, (SELECT sum(amount) FROM billing.decision) AS decided FROM billing.line;

-- a draft that waits while its charge is cancelled goes, instead of standing in the way of everybody's finalising
SELECT use('u-5', 5);
CALL run_invoicing('2026-11-01', NULL);
SELECT amount FROM draft_lines;
SELECT cancel_invoice(invoice_id('INV-000003'), 'wrong', issue_date => '2026-11-07') > 0;
SELECT count(*) FROM draft_lines;
SELECT count(*) FROM finalize_invoices('2026-11-01', '2026-11-07');
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-07');

-- a credit note that corrects is cancelled by an invoice
SELECT decide(charge, '-6 EUR', 'goodwill', 'slow answers') > 0 FROM invoice_lines LIMIT 1;
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-08');
SELECT cancel_invoice(max(invoice_id), 'no gift after all', issue_date => '2026-11-08') AS reversal FROM invoices \gset
SELECT number, document, type_code, total, cancels FROM invoices WHERE invoice_id = :reversal;

-- what a document credits is never waived, or it would be charged for ever
SELECT decide(charge, '-2 EUR', 'goodwill', 'slow answers again') > 0 FROM invoice_lines LIMIT 1;
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-08');
SELECT fails(format($$ SELECT cancel_invoice(%s, 'no gift', waive => true, issue_date => '2026-11-08') $$, max(invoice_id))) FROM invoices;
SELECT set_meter('other', unit => 'u') IS NOT NULL AND set_price('other', '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2026-01-01') IS NOT NULL;
SELECT outcome FROM record_usage('{"id": "o-1", "account": "acme", "meter": "other", "at": "2026-10-05T00:00:00Z", "quantity": 9}');
SELECT decide(charge, '-1 EUR', 'goodwill', 'and again') > 0 FROM invoice_lines LIMIT 1;
CALL run_invoicing('2026-11-01', NULL);
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-08');
SELECT cancel_invoice(max(invoice_id), 'waived but for what is credited', waive => true, issue_date => '2026-11-08') > 0 FROM invoices;
SELECT kind, amount FROM billing.decision ORDER BY decision_id DESC LIMIT 2;
CALL run_invoicing('2026-11-01', NULL);
SELECT item, amount FROM draft_lines;
SELECT count(*) FROM finalize_invoices('2026-11-01', '2026-11-08');

-- what is billed of each document: its lines add up to its total, or to 0 when it was voided
SELECT number, state FROM invoices AS i WHERE (SELECT sum(l.amount) FROM invoice_lines AS l WHERE l.invoice_id = i.invoice_id)
    <> CASE state WHEN 'voided' THEN '0 EUR' ELSE i.total_without_tax END;
