-- Invoice numbers: without gaps, never going up while dates go down, unique, by seller, type and series.
\set ECHO none
\set test_database billing_invoicing_numbers
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
SELECT draft('acme', 'tokens', '1 EUR') > 0, draft('beta', 'tokens', '2 EUR') > 0;
-- rolled back: the numbers are drawn again
BEGIN;
SELECT number, payer FROM finalize_invoices('2026-11-01', '2026-11-02');
ROLLBACK;
SELECT last_number, last_issue_date FROM billing.number_series ORDER BY type;
SELECT number, payer FROM finalize_invoices('2026-11-01', '2026-11-02');
-- an error in the middle too: the second account's chain was continued behind the draft's back
SELECT draft('acme', 'storage', '1 EUR') > 0, draft('beta', 'storage', '2 EUR') > 0;
BEGIN;
SAVEPOINT before;
UPDATE billing.draft_line SET chain_no = 2 WHERE account_id = find_account('beta');
SELECT fails($$ SELECT finalize_invoices('2026-11-01', '2026-11-03') $$);
ROLLBACK TO before;
SELECT number, payer FROM finalize_invoices('2026-11-01', '2026-11-03');
COMMIT;
SELECT counter, number FROM billing.invoice_number ORDER BY 1;

-- dates
SELECT draft('acme', 'tokens', '1 EUR', '2026-11-01') > 0;
SELECT fails($$ SELECT finalize_invoices('2026-12-01', '2026-11-02') $$);
-- and the message comes without the statement that it was raised in
CREATE FUNCTION lines_of_context(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
    RETURN (SELECT count(*) FROM regexp_split_to_table(context, E'\n'));
END $$;
SELECT lines_of_context($$ SELECT finalize_invoices('2026-12-01', '2026-11-02') $$) < 10 AS short;
SELECT number FROM finalize_invoices('2026-12-01', '2026-11-03');
-- credit notes have counters and dates of their own, but none is dated before what it corrects
SELECT draft('acme', 'tokens', '-0.50 EUR', '2026-11-01') > 0;
SELECT fails($$ SELECT finalize_invoices('2026-12-01', '2026-11-02') $$);
SELECT number, total FROM finalize_invoices('2026-12-01', '2026-11-03');
SELECT fails($$ SELECT cancel_invoice(invoice_id('INV-000001'), 'wrong', issue_date => '2026-10-31') $$);
SELECT cancel_invoice(invoice_id('INV-000001'), 'wrong', issue_date => '2026-11-04') > 0;
SELECT fails($$ SELECT cancel_invoice(invoice_id('INV-000002'), 'wrong', issue_date => '2026-11-03') $$);
SELECT draft('acme', 'tokens', '-0.10 EUR', '2026-11-01') > 0;
SELECT fails($$ SELECT finalize_invoices('2026-12-01', '2026-11-03') $$);
SELECT number FROM finalize_invoices('2026-12-01', '2026-11-04');

-- a slip of the year is refused: no invoice after it could bear an earlier date
SELECT draft('acme', 'tokens', '1 EUR', '2026-12-01') > 0;
SELECT fails($$ SELECT finalize_invoices('2027-01-01', '2096-11-09') $$);
SELECT fails(format($$ SELECT finalize_invoices('2027-01-01', %L) $$, current_date + 302)) ~ '^22023: issue date .* is more than 300 days ahead' AS refused;

-- another series: prefix and digits; both types must be there
SELECT set_number_series('invoice', 'shop', prefix => 'S', digits => 3, next_number => 998);
SELECT draft('beta', 'tokens', '1 EUR', '2026-12-01') > 0;
SELECT fails($$ SELECT finalize_invoices('2027-01-01', '2027-01-02', series => 'shop') $$);
SELECT set_number_series('credit_note', 'shop', prefix => 'C', digits => 3);
SELECT number FROM finalize_invoices('2027-01-01', '2027-01-02', series => 'shop');
SELECT draft('acme', 'storage', '1 EUR', '2026-12-01') > 0;
SELECT number FROM finalize_invoices('2027-01-01', '2027-01-02', series => 'shop');
SELECT cancel_invoice(invoice_id('S1000'), 'wrong', issue_date => '2027-01-02') > 0;
SELECT number, series, cancels FROM invoices ORDER BY invoice_id DESC LIMIT 1;

-- two sellers, each with numbers of its own
SELECT set_seller('southwind', legal_name => 'Southwind Ltd', country => 'GB', currency => 'EUR', payment_days => 7) > 0;
SELECT set_account('gamma', seller => 'southwind', currency => 'EUR', time_zone => 'UTC', cycle_day => 1) > 0;
SELECT draft('gamma', 'tokens', '1 EUR', '2027-01-01') > 0, draft('acme', 'tokens', '1 EUR', '2027-01-01') > 0;
SELECT number, payer, total FROM finalize_invoices('2027-02-01', '2027-02-02');
SELECT seller, number, due_date, tax_total FROM invoices WHERE issue_date = '2027-02-02' ORDER BY 1;
SELECT fails($$ SELECT void_invoice('INV-000001', 'which?') $$);
SELECT invoice_id('INV-000001', seller => 'southwind') > invoice_id('INV-000001', seller => 'northwind');
SELECT fails($$ SELECT invoice_id('INV-999999') $$);

-- without a date: today in the seller's time zone
SELECT set_seller('date line', legal_name => 'Date Line Ltd', country => 'KI', currency => 'EUR', time_zone => 'Pacific/Kiritimati') > 0;
SELECT set_account('delta', seller => 'date line', currency => 'EUR', time_zone => 'UTC', cycle_day => 1) > 0, draft('delta', 'tokens', '1 EUR') > 0;
SELECT number FROM finalize_invoices('2026-11-01', account => 'delta');
SELECT issue_date = (now() AT TIME ZONE 'Pacific/Kiritimati')::date FROM invoices WHERE seller = 'date line';

-- no gap anywhere
SELECT seller_id, type, series FROM billing.invoice_number GROUP BY 1, 2, 3 HAVING max(counter) - min(counter) + 1 <> count(*);
SELECT seller_id, type, series, last_number FROM billing.number_series AS s
 WHERE last_number <> (SELECT max(counter) FROM billing.invoice_number AS n WHERE (n.seller_id, n.type, n.series) = (s.seller_id, s.type, s.series));
