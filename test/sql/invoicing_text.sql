-- invoice_text(): an invoice as a person reads it.
\set ECHO none
\set test_database billing_invoicing_text
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
\pset format unaligned
SELECT draft('acme', 'tokens', '2.30 EUR', charge_group => '{"region": "eu", "model": "large"}', quantity => 1200000, unit_price => 0.0000019166) > 0,
       draft('acme', 'tokens', '0.00 EUR', charge_group => '{"region": "us", "model": "small"}', quantity => 0.50, unit_price => 0) > 0,
       draft('acme', 'storage', '1234567.80 EUR', quantity => 1234567.8, unit_price => 1, tax_code => 'reduced') > 0,
       draft('acme', 'support', '99.00 EUR', '2026-11-01', quantity => 1, unit_price => 99.00) > 0;
SELECT set_invoice_group('acme', purchase_order => 'PO 77', buyer_reference => 'dept. 5', payment_days => 30) > 0;
SELECT invoice_id FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT invoice_text(1);
-- a correction downwards and one upwards, of two accounts on one credit note
SELECT draft('acme', 'storage', '-234567.80 EUR', quantity => 1000000) > 0, set_bill_to('beta', 'acme'), draft('beta', 'tokens', '5.00 EUR', quantity => 10, unit_price => 0.5, tax_code => 'export') > 0;
UPDATE billing.draft_line SET causes = '{"usage": -234000.00, "billed_again": -567.80}' WHERE chain_no = 2;
SELECT invoice_id FROM finalize_invoices('2026-11-01', '2026-11-03');
SELECT invoice_text(2);
-- cancelled, and the credit note that cancels
SELECT cancel_invoice(invoice_id('INV-000001'), 'wrong address', issue_date => '2026-11-04') AS credit_note \gset
SELECT invoice_text(:credit_note);
SELECT split_part(invoice_text(invoice_id('INV-000001')), E'\n', 1);
-- voided, and as little as possible
SELECT set_account('min', currency => 'JPY', price_list => 'yen') > 0 WHERE set_price_list('yen', currency => 'JPY') > 0;
SELECT draft('min', 'desk', '1000 JPY') > 0;
SELECT invoice_id AS last FROM finalize_invoices('2026-11-01', '2026-11-05') \gset
SELECT void_invoice(:last, 'test');
SELECT invoice_text(:last);
-- what a customer's application sends cannot look like lines of the invoice
SELECT draft('min', 'desk', '7 JPY', '2026-11-01', charge_group => '{"desk": "x\nTotal in JPY   0\n\nNothing is to be paid."}') > 0;
SELECT invoice_id AS last FROM finalize_invoices('2026-12-01', '2026-11-05') \gset
SELECT l FROM string_to_table(invoice_text(:last), E'\n') AS t(l) WHERE l ~ 'Total in JPY';
SELECT fails($$ SELECT invoice_text(999) $$);
SELECT fails($$ SELECT invoice_text(NULL) $$);
-- helpers
SELECT grouped_digits(v) FROM unnest('{0,-1,999,1000,-1234567.890,0.000000001,1000000000000000}'::numeric[]) AS v;
SELECT format_number('INV-', 6, 1), format_number('', 3, 99999), '[' || fit('abc', 5) || fit('abc', -5) || fit('abcdef', 3) || ']';
