-- Agreements, invoice groups and who pays.
\set ECHO none
\set test_database billing_ledger_agreements
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
CREATE FUNCTION public.terms(buyer text, agreement text DEFAULT 'default') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', t.seller, t.consumer, CASE WHEN t.with_descendants THEN 'with descendants' END, t.price_list, t.invoice_group, t.progressive_threshold,
                     coalesce(t.valid_from::text, '-'), coalesce(t.valid_to::text, '-'))
      FROM billing.agreements AS t WHERE t.buyer = $1 AND t.agreement = $2 ORDER BY t.seller, t.valid_from NULLS FIRST $$;
CREATE FUNCTION public.payers_of(account text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', p.payer, coalesce(p.valid_from::text, '-'), coalesce(p.valid_to::text, '-'))
      FROM billing.payers AS p WHERE p.account = $1 ORDER BY p.valid_from NULLS FIRST $$;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT set_price_list('gold'), set_price_list('default-USD', 'USD');
SELECT set_account('reseller'), set_account('customer', parent => 'reseller'), set_account('us', currency => 'USD');
\set ECHO all

-- a second agreement: the reseller is charged for its customer
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', consumer => 'customer', price_list => 'gold', valid_from => '2026-03-01') $$);
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', consumer => 'customer', price_list => 'gold', valid_from => '2026-03-01') $$);
SELECT terms('reseller', 'wholesale');
-- what is named holds from its day on, the rest is kept
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', with_descendants => true, valid_from => '2026-06-01') $$);
SELECT terms('reseller', 'wholesale');
-- during some months only
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', price_list => 'default', valid_from => '2026-08-01', valid_to => '2026-10-01') $$);
SELECT terms('reseller', 'wholesale');
-- without a first day: wherever it holds, but no longer
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', progressive_threshold => '500 EUR') $$);
SELECT terms('reseller', 'wholesale');
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', progressive_threshold => '0 EUR') $$);
-- ending, and beginning again with the terms it had
SELECT writes($$ SELECT end_agreement('reseller', '2027-01-01', key => 'wholesale') $$);
SELECT writes($$ SELECT end_agreement('reseller', '2027-01-01', key => 'wholesale') $$);
SELECT terms('reseller', 'wholesale');
SELECT writes($$ SELECT set_agreement('reseller', key => 'wholesale', valid_from => '2027-06-01') $$);
SELECT terms('reseller', 'wholesale');

-- bad input
SELECT fails($$ SELECT set_agreement('nobody') $$);
SELECT fails($$ SELECT set_agreement('reseller', seller => 'nobody') $$);
SELECT fails($$ SELECT set_agreement('reseller', key => '') $$);
SELECT fails($$ SELECT set_agreement('reseller', consumer => 'nobody') $$);
SELECT fails($$ SELECT set_agreement('reseller', price_list => 'silver') $$);
SELECT fails($$ SELECT set_agreement('reseller', price_list => 'default-USD') $$);
SELECT fails($$ SELECT set_agreement('reseller', invoice_group => 'project') $$);
SELECT fails($$ SELECT set_agreement('reseller', progressive_threshold => '5 USD') $$);
SELECT fails($$ SELECT set_agreement('reseller', progressive_threshold => '-5 EUR') $$);
SELECT fails($$ SELECT set_agreement('reseller', valid_from => '2026-03-01', valid_to => '2026-03-01') $$);
SELECT fails($$ SELECT set_agreement('reseller', valid_from => 'infinity') $$);
SELECT fails($$ SELECT end_agreement('reseller', '2026-01-01', key => 'retail') $$);

-- invoice groups
SELECT writes($$ SELECT set_invoice_group('reseller', 'project', payment_days => 30, purchase_order => 'PO-1', buyer_reference => 'R', language => 'de-AT', delivery => '{"email": "a@example.com"}') $$);
SELECT writes($$ SELECT set_invoice_group('reseller', 'project', payment_days => 30) $$);
SELECT writes($$ SELECT set_invoice_group('reseller', 'project', purchase_order => '', delivery => '{}') $$);
SELECT account, invoice_group, payment_days, purchase_order, buyer_reference, language, delivery FROM invoice_groups WHERE account = 'reseller' ORDER BY 2;
SELECT writes($$ SELECT set_agreement('reseller', invoice_group => 'project') $$);
SELECT terms('reseller');
SELECT writes($$ SELECT set_agreement('reseller', invoice_group => '') $$);
SELECT terms('reseller');
SELECT fails($$ SELECT set_invoice_group('nobody') $$);
SELECT fails($$ SELECT set_invoice_group('reseller', '') $$);
SELECT fails($$ SELECT set_invoice_group('reseller', payment_days => -1) $$);
SELECT fails($$ SELECT set_invoice_group('reseller', payment_days => 2147483647) $$);
SELECT fails($$ SELECT set_invoice_group('reseller', language => 'German') $$);
SELECT fails($$ SELECT set_invoice_group('reseller', delivery => '"mail"') $$);

-- who pays
SELECT writes($$ SELECT set_bill_to('customer', 'reseller') $$);
SELECT writes($$ SELECT set_bill_to('customer', 'reseller', '2026-05-01') $$);
SELECT writes($$ SELECT set_bill_to('customer', 'us', '2026-06-01', '2026-09-01') $$);
SELECT payers_of('customer');
SELECT writes($$ SELECT set_bill_to('customer', 'customer', '2027-01-01') $$);
SELECT writes($$ SELECT set_bill_to('customer', 'customer', '2027-01-01') $$);
SELECT payers_of('customer');
-- a group of a payer may be named
SELECT writes($$ SELECT set_agreement('customer', invoice_group => 'project') $$);
-- nobody passes invoices on
SELECT fails($$ SELECT set_bill_to('reseller', 'us') $$);
SELECT fails($$ SELECT set_bill_to('us', 'customer') $$);
SELECT writes($$ SELECT set_bill_to('us', 'customer', '2027-01-01') $$);
SELECT fails($$ SELECT set_bill_to('customer', 'nobody') $$);
SELECT set_account('gone') > 0, set_account('gone', status => 'closed', from_date => '2026-01-01') > 0;
SELECT fails($$ SELECT set_bill_to('reseller', 'gone', '2027-01-01') $$);

-- agreements with several sellers
SELECT set_seller('southwind', legal_name => 'Southwind Ltd', country => 'GB', currency => 'GBP') > 0;
SELECT fails($$ SELECT set_agreement('reseller') $$);
SELECT fails($$ SELECT set_agreement('reseller', seller => 'southwind') $$);
SELECT set_price_list('default-EUR', 'EUR', 'southwind') > 0;
SELECT writes($$ SELECT set_agreement('reseller', seller => 'southwind') $$);
SELECT terms('reseller');
SELECT account, sellers FROM accounts WHERE account = 'reseller';
-- the first of several sellers is named with the account
SELECT fails($$ SELECT set_account('new') $$);
SELECT writes($$ SELECT set_account('new', seller => 'southwind') $$);
SELECT terms('new');

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_agreements;
