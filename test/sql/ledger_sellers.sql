-- Sellers: set_seller(), what a new seller gets, what is refused.
\set ECHO none
\set test_database billing_ledger_sellers
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set ECHO all

-- without a seller nothing else can be made, and the error says how
SELECT fails($$ SELECT set_account('acme') $$);
SELECT fails($$ SELECT set_meter('tokens', unit => 'token') $$);

-- a new seller needs three things
SELECT fails($$ SELECT set_seller('northwind', country => 'DE', currency => 'EUR') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'Northwind GmbH', currency => 'EUR') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE') $$);

-- bad input
SELECT fails($$ SELECT set_seller(NULL) $$);
SELECT fails($$ SELECT set_seller('  ') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => '', country => 'DE', currency => 'EUR') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'de', currency => 'EUR') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'XX', currency => 'EUR') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EURO') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'XAU') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', time_zone => 'Europe/Nowhere') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', payment_days => -1) $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', payment_days => 2147483647) $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', address => '["Main street"]') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', address => '{"street": "Main street"}') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', address => '{"line_1": {"x": [1]}}') $$);
SELECT fails($$ SELECT set_seller('northwind', legal_name => 'N', country => 'DE', currency => 'EUR', tax_ids => '"DE1"') $$);

-- it gets a price list and series of document numbers
SELECT writes($$ SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') $$);
SELECT seller, price_list, currency FROM price_lists;
SELECT seller, document, series, next_number, last_issue_date FROM document_numbers ORDER BY document;

-- the same again writes nothing; a change is a new fact; null keeps, empty clears
SELECT writes($$ SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') $$);
SELECT writes($$ SELECT set_seller('northwind') $$);
SELECT writes($$ SELECT set_seller('northwind', tax_ids => '{"vat": "DE123456789"}', address => '{"city": "Berlin"}', endpoint_id => '0088:1', default_tax_code => 'DE19', payment_days => 30, time_zone => 'Europe/Berlin') $$);
SELECT seller, legal_name, country, currency, time_zone, address, tax_ids, endpoint_id, default_tax_code, payment_days FROM sellers;
SELECT writes($$ SELECT set_seller('northwind', tax_ids => '{}', address => '{}', endpoint_id => '', default_tax_code => '') $$);
SELECT seller, legal_name, country, currency, time_zone, address, tax_ids, endpoint_id, default_tax_code, payment_days FROM sellers;
SELECT setting_no, payment_days, recorded_at IS NOT NULL, recorded_by = session_user FROM seller_setting ORDER BY setting_no;

-- with several sellers the seller must be named
SELECT set_seller('southwind', legal_name => 'Southwind Ltd', country => 'GB', currency => 'GBP') > 0;
SELECT fails($$ SELECT set_account('acme') $$);
SELECT fails($$ SELECT set_account('acme', seller => 'eastwind') $$);
SELECT writes($$ SELECT set_account('acme', seller => 'southwind') $$);
SELECT account, sellers, currency, time_zone FROM accounts;

-- number series
SELECT set_number_series('invoice', prefix => 'NW-', digits => 4, next_number => 100, seller => 'northwind');
SELECT set_number_series('invoice', prefix => 'NW-', digits => 4, next_number => 100, seller => 'northwind');
SELECT set_number_series('380', series => 'export', prefix => 'EX', seller => 'northwind');
SELECT document, series, next_number FROM document_numbers WHERE seller = 'northwind' ORDER BY document, series;
SELECT fails($$ SELECT set_number_series('invoice', prefix => 'CN-', seller => 'northwind') $$);
SELECT fails($$ SELECT set_number_series('bill', seller => 'northwind') $$);
SELECT fails($$ SELECT set_number_series(NULL, seller => 'northwind') $$);
SELECT fails($$ SELECT set_number_series('invoice', digits => 19, seller => 'northwind') $$);
SELECT fails($$ SELECT set_number_series('invoice', next_number => 0, seller => 'northwind') $$);
SELECT fails($$ SELECT set_number_series('invoice', next_number => 9223372036854775807, seller => 'northwind') $$);

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_sellers;
