-- Taxes: which code, which rate, groups rounded once, and what later lines of a chain keep.
\set ECHO none
\set test_database billing_invoicing_tax
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all

-- rounded by group: 3 x 0.33 at 19 % is 0.1881 -> 0.19, while line by line it would be 3 x 0.06 = 0.18; 7 % of 10.05 = 0.7035 -> 0.70
SELECT draft('acme', 'tokens', '0.33 EUR', charge_group => '{"n": "1"}') > 0, draft('acme', 'tokens', '0.33 EUR', charge_group => '{"n": "2"}') > 0,
       draft('acme', 'tokens', '0.33 EUR', charge_group => '{"n": "3"}') > 0, draft('acme', 'storage', '10.05 EUR', tax_code => 'reduced') > 0;
SELECT total_without_tax, tax_total, total FROM draft_invoices;
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT group_no, tax_code, category, rate, taxable, tax FROM invoice_taxes ORDER BY group_no;

-- the hand computation, and that a half goes up: 0.50 EUR at 19 % = 0.095 -> 0.10; of a credit away from zero too
SELECT draft('acme', 'tokens', '0.50 EUR', '2026-11-01') > 0, draft('beta', 'tokens', '-0.50 EUR', '2026-11-01') > 0;
SELECT payer, total FROM finalize_invoices('2026-12-01', '2026-12-02');
-- unless the payer's rounding mode says otherwise
SELECT set_account('acme', rounding_mode => 'down') > 0, draft('acme', 'tokens', '0.50 EUR', '2026-12-01') > 0;
SELECT payer, total FROM finalize_invoices('2027-01-01', '2027-01-02');
SELECT set_account('acme', rounding_mode => 'half_up') > 0;

-- mixed categories, two codes of the same rate, exemption texts
SELECT set_tax_rate('books', rate => 7), set_tax_rate('stamps', category => 'E', rate => 0, exemption_reason => 'Postal stamps'),
       set_tax_rate('dole', category => 'E', rate => 0, exemption_reason => 'Relief'), set_tax_rate('bread', category => 'Z', rate => 0);
SELECT draft('acme', 'tokens', '1 EUR', '2027-01-01', charge_group => '{"n": "1"}', tax_code => 'books') > 0, draft('acme', 'tokens', '2 EUR', '2027-01-01', charge_group => '{"n": "2"}', tax_code => 'reduced') > 0,
       draft('acme', 'tokens', '3 EUR', '2027-01-01', charge_group => '{"n": "3"}', tax_code => 'stamps') > 0, draft('acme', 'tokens', '4 EUR', '2027-01-01', charge_group => '{"n": "4"}', tax_code => 'dole') > 0,
       draft('acme', 'tokens', '5 EUR', '2027-01-01', charge_group => '{"n": "5"}', tax_code => 'bread') > 0, draft('acme', 'tokens', '6 EUR', '2027-01-01', charge_group => '{"n": "6"}') > 0;
SELECT number, total FROM finalize_invoices('2027-02-01', '2027-02-02');
SELECT group_no, tax_code, category, category_name, rate, exemption_reason, taxable, tax FROM invoice_taxes WHERE issue_date = '2027-02-02' ORDER BY group_no;

-- which code: the account's, else the payer's, else the price's, else the seller's
SELECT set_account('beta', tax_code => 'export') > 0, draft('beta', 'tokens', '100 EUR', '2027-01-01', tax_code => 'reduced') > 0;
SELECT payer, total FROM finalize_invoices('2027-02-01', '2027-02-02');
SELECT set_account('child', currency => 'EUR', time_zone => 'Europe/Berlin', cycle_day => 1) > 0, set_bill_to('child', 'beta');
SELECT draft('child', 'tokens', '10 EUR', '2027-02-01') > 0;
SELECT account, payer, tax_code, tax_category, tax_rate FROM draft_lines;
SELECT set_account('child', tax_code => 'reduced') > 0;
UPDATE billing.draft_line SET known_at = clock_timestamp();
SELECT account, payer, tax_code, tax_category, tax_rate FROM draft_lines;
-- as known when it was drafted
UPDATE billing.draft_line SET known_at = '2026-01-01';
SELECT tax_code, tax_rate, tax_rate_missing FROM draft_lines;
DELETE FROM billing.draft_line;
-- no code at all: not subject to tax
SELECT set_seller('northwind', default_tax_code => '') > 0, draft('acme', 'tokens', '1 EUR', '2027-02-01') > 0;
SELECT total FROM finalize_invoices('2027-03-01', '2027-03-02');
SELECT tax_code, category, rate, tax FROM invoice_taxes WHERE issue_date = '2027-03-02';
SELECT set_seller('northwind', default_tax_code => 'standard') > 0;

-- the rate of the tax point: the last day of a period, the first for a fee in advance; a change in between
SELECT set_tax_rate('standard', rate => 16, valid_from => '2027-04-15', valid_to => '2027-05-01');
SELECT draft('acme', 'tokens', '100 EUR', '2027-04-01') > 0, draft('acme', 'support', '100 EUR', '2027-04-01') > 0, draft('acme', 'desk', '100 EUR', '2027-04-01') > 0;
SELECT item, tax_point_date, tax_rate FROM draft_lines ORDER BY item;
SELECT total FROM finalize_invoices('2027-05-01', '2027-05-02');
SELECT tax_point_date FROM invoices WHERE issue_date = '2027-05-02';

-- corrections keep code, category, rate and tax point of the first link, whatever has changed since
SELECT set_tax_rate('standard', rate => 25), set_account('acme', tax_code => 'export') > 0;
SELECT draft('acme', 'tokens', '-40 EUR', '2027-04-01', tax_code => 'reduced') > 0, draft('acme', 'tokens', '1 EUR', '2027-05-01') > 0;
SELECT period_from, kind, tax_code, tax_category, tax_rate, tax_point_date FROM draft_lines ORDER BY 1;
SELECT number, total FROM finalize_invoices('2027-06-01', '2027-06-02');
SELECT tax_code, category, rate, exemption_code, exemption_reason, taxable, tax FROM invoice_taxes WHERE issue_date = '2027-06-02' ORDER BY group_no;

-- a code without a rate: its invoice is left out and said why, the others are made, nothing is lost
SELECT set_account('acme', tax_code => '') > 0;
SELECT set_tax_rate('luxury', rate => 33, valid_from => '2030-01-01');
SELECT draft('acme', 'tokens', '1 EUR', '2027-06-01', tax_code => 'luxury') > 0, draft('acme', 'storage', '2 EUR', '2027-06-01') > 0, draft('beta', 'tokens', '3 EUR', '2027-06-01') > 0;
SELECT payer, tax_rate_missing FROM draft_invoices ORDER BY 1;
SELECT payer, total FROM finalize_invoices('2027-07-01', '2027-07-02');
SELECT state, errors, counts FROM billing.run ORDER BY run_id DESC LIMIT 1;
SELECT reason, sqlstate, detail FROM billing.run_error;
SELECT a.key, p.closed_known_at IS NOT NULL FROM billing.charge_period AS p JOIN billing.account AS a USING (account_id) WHERE p.date_from = '2027-06-01' ORDER BY 1;
SELECT set_tax_rate('luxury', rate => 30, valid_from => '2027-01-01', valid_to => '2030-01-01');
UPDATE billing.draft_line SET known_at = clock_timestamp();
SELECT payer, total FROM finalize_invoices('2027-07-01', '2027-07-02');
