-- finalize_invoices(): which drafts become which invoices, in what order, with what terms, and what it leaves behind.
\set ECHO none
\set test_database billing_invoicing_finalize
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
SELECT draft('beta', 'tokens', '3.00 EUR', charge_group => '{"region": "us"}') > 0, draft('beta', 'tokens', '2.00 EUR', charge_group => '{"region": "eu"}') > 0,
       draft('beta', 'storage', '0.00 EUR') > 0, draft('acme', 'tokens', '12.34 EUR', quantity => 6170000, unit_price => 0.000002) > 0,
       draft('acme', 'tokens', '5.00 EUR', month => '2026-11-01') > 0, draft('acme', 'support', '100.00 EUR', month => '2026-11-01') > 0;

-- what would be made today, and on a day said
SELECT payer, document, lines, due_on, total_without_tax, tax_total, total, total_numeric, issue_date = (now() AT TIME ZONE 'Europe/Berlin')::date AS today FROM draft_invoices ORDER BY payer;
SET billing.issue_date = '2027-01-31';
SELECT DISTINCT issue_date FROM draft_invoices;
RESET billing.issue_date;
SELECT account, item, kind, period_from, period_to, due_on, amount, tax_code, tax_rate, tax_point_date FROM draft_lines ORDER BY account, item, period_from, charge_group::text;

-- nothing is due yet; a fee in advance is due on the first day of its period
SELECT * FROM finalize_invoices('2026-10-31', '2026-11-02');
SELECT number, payer, total FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT number, payer, total FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT number, line_no, account, item, charge_group, kind, period_from, quantity, unit, unit_price, amount, tax_point_date FROM invoice_lines ORDER BY number, line_no;
SELECT number, document, type_code, state, seller, payer, invoice_group, issue_date, tax_point_date, posting_period, due_date, total_without_tax, tax_total, total, cancels, corrects FROM invoices ORDER BY number;
SELECT seller_copy, buyer_copy FROM invoices ORDER BY number LIMIT 1;
SELECT number, group_no, tax_code, category, category_name, rate, taxable, tax FROM invoice_taxes ORDER BY number, group_no;
-- sums conserve
SELECT number FROM invoices AS i WHERE total_without_tax <> (SELECT sum(l.amount) FROM invoice_lines AS l WHERE l.invoice_id = i.invoice_id)
                                    OR (total_without_tax, tax_total) IS DISTINCT FROM (SELECT (sum(t.taxable), sum(t.tax)) FROM invoice_taxes AS t WHERE t.invoice_id = i.invoice_id);

-- October is closed for both, November is not; the account whose period owes nothing is closed too
SELECT a.key, p.date_from, p.closed_known_at = p.looked_known_at AS closed, p.rating_version FROM billing.charge_period AS p JOIN billing.account AS a USING (account_id) ORDER BY 1, 2;
SELECT set_account('idle', currency => 'EUR', time_zone => 'Europe/Berlin', cycle_day => 1) > 0;
SELECT draft('idle', 'tokens', '1 EUR') > 0;
DELETE FROM billing.draft_line WHERE account_id = find_account('idle');
SELECT * FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT closed_known_at IS NOT NULL FROM billing.charge_period WHERE account_id = find_account('idle');
SELECT procedure, through, state, counts, errors FROM billing.run ORDER BY run_id;

-- one account only, whoever pays; payer and terms by the issue date
SELECT set_bill_to('beta', 'acme', valid_from => '2026-12-10');
SELECT set_invoice_group('acme', payment_days => 30, purchase_order => 'PO 77', buyer_reference => 'dept. 5', language => 'de') > 0;
SELECT draft('beta', 'tokens', '1.00 EUR', '2026-11-01') > 0, draft('beta', 'storage', '4.00 EUR', '2026-11-01') > 0;
SELECT number, payer, total FROM finalize_invoices('2026-12-01', '2026-12-05', account => 'beta');
SELECT draft('beta', 'tokens', '2.00 EUR', '2026-12-01') > 0;
SELECT number, payer, total FROM finalize_invoices('2027-01-01', '2027-01-05');
SELECT number, payer, issue_date, due_date, purchase_order, buyer_reference, language FROM invoices WHERE issue_date > '2026-12-01' ORDER BY number;
SELECT number, line_no, account, item, amount FROM invoice_lines WHERE issue_date = '2027-01-05' ORDER BY line_no;

-- invoice groups of one payer, and a group that belongs to another payer
SELECT set_invoice_group('acme', 'research', purchase_order => 'PO 78') > 0;
SELECT set_agreement('acme', invoice_group => 'research') > 0;
SELECT draft('acme', 'tokens', '7.00 EUR', '2027-01-01') > 0, draft('beta', 'tokens', '8.00 EUR', '2027-01-01') > 0;
SELECT payer, invoice_group, total_without_tax FROM draft_invoices ORDER BY 2;
SELECT number, payer, total FROM finalize_invoices('2027-02-01', '2027-02-05');
SELECT number, invoice_group, purchase_order FROM invoices WHERE issue_date = '2027-02-05' ORDER BY number;
SELECT set_bill_to('beta', 'beta', valid_from => '2027-02-20');
SELECT set_bill_to('acme', 'beta', valid_from => '2027-03-01', valid_to => '2027-03-02');
SELECT draft('acme', 'tokens', '9.00 EUR', '2027-02-01') > 0;
SELECT payer, number FROM finalize_invoices('2027-03-01', '2027-03-01');
SELECT invoice_group FROM invoices WHERE issue_date = '2027-03-01';

-- a negative total is a credit note with the ledger's signs; corrections name what they correct
SELECT draft('acme', 'tokens', '-3.00 EUR', '2027-01-01') > 0, draft('acme', 'tokens', '-1.00 EUR', '2027-02-01') > 0;
SELECT number, payer, total FROM finalize_invoices('2027-03-01', '2027-03-02');
SELECT number, document, type_code, total_without_tax, tax_total, total, corrects FROM invoices WHERE issue_date = '2027-03-02';
SELECT line_no, kind, period_from, amount, booked_before, booked_after, corrects FROM invoice_lines WHERE issue_date = '2027-03-02' ORDER BY line_no;

-- grace: due later than its end
SELECT draft('acme', 'storage', '1 EUR', '2027-03-01') > 0;
UPDATE billing.charge_period SET due_at = ends_at + interval '36 hours' WHERE account_id = find_account('acme') AND date_from = '2027-03-01';
SELECT due_on FROM draft_lines;
SELECT number FROM finalize_invoices('2027-04-02', '2027-04-05');
SELECT closed_known_at FROM billing.charge_period WHERE account_id = find_account('acme') AND date_from = '2027-03-01';
SELECT number FROM finalize_invoices('2027-04-03', '2027-04-05');

-- frozen charges and accounts on hold are passed over, and the latter are not closed
SELECT freeze_charge(draft('acme', 'tokens', '1 EUR', '2027-04-01'), 'disputed'), draft('acme', 'storage', '2 EUR', '2027-04-01') > 0;
SELECT set_account('beta', on_rating_error => 'hold_account') > 0;
SELECT draft('beta', 'storage', '2 EUR', '2027-04-01') > 0;
INSERT INTO billing.pending SELECT account_id, period_no, 'rating_error', 'poisoned', 0 FROM billing.charge_period WHERE account_id = find_account('beta') AND date_from = '2027-04-01';
SELECT payer, number FROM finalize_invoices('2027-05-01', '2027-05-02');
SELECT a.key, p.closed_known_at IS NOT NULL FROM billing.charge_period AS p JOIN billing.account AS a USING (account_id) WHERE p.date_from = '2027-04-01' ORDER BY 1;
SELECT account, item, frozen FROM draft_lines ORDER BY 1, 2;
SELECT count(*) FROM draft_invoices WHERE payer = 'acme';
DELETE FROM billing.pending;
SELECT payer, number FROM finalize_invoices('2027-05-01', '2027-05-02');

-- interim drafts are left to the run, which makes them final without closing the period
SELECT draft('acme', 'storage', '5 EUR', '2027-05-01', interim => true) > 0;
SELECT payer, number FROM finalize_invoices('2027-06-01', '2027-06-02');
SELECT finalize_interim(1);
SELECT kind, amount, issue_date >= '2027-05-02' AS not_before_the_last FROM invoice_lines WHERE period_from = '2027-05-01';
SELECT closed_known_at IS NULL FROM billing.charge_period WHERE account_id = find_account('acme') AND date_from = '2027-05-01';
SELECT draft('acme', 'storage', '1.5 EUR', '2027-05-01') > 0;
SELECT kind, booked_before, amount FROM draft_lines WHERE item = 'storage' AND period_from = '2027-05-01';

-- bad arguments
SELECT fails($$ SELECT finalize_invoices(NULL) $$);
SELECT fails($$ SELECT finalize_invoices('infinity') $$);
SELECT fails($$ SELECT finalize_invoices('2027-06-01', issue_date => '-infinity') $$);
SELECT fails($$ SELECT finalize_invoices('2027-06-01', account => 'nobody') $$);
SELECT fails($$ SELECT finalize_invoices('2027-06-01', series => 'X') $$);

-- the setting of the caller is what it was
SET billing.issue_date = '2028-01-01';
BEGIN;
SELECT count(*) FROM finalize_invoices('2027-04-01', '2027-09-01');
SHOW billing.issue_date;
COMMIT;
