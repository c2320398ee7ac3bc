-- Accounts: settings over time, the tree, what a new account gets, currencies.
\set ECHO none
\set test_database billing_ledger_accounts
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set ECHO all
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR', time_zone => 'Europe/Berlin') > 0;

-- a new account: settings, an invoice group, an agreement by the seller's default list
SELECT writes($$ SELECT set_account('acme', currency => 'EUR', time_zone => 'Europe/Berlin', cycle_day => 1) $$);
SELECT account, status, parent, sellers, currency, time_zone, cycle_day, starts_on, rounding_mode, on_rating_error, grace FROM accounts;
SELECT buyer, seller, agreement, consumer, with_descendants, price_list, invoice_group, valid_from, valid_to FROM agreements;
SELECT account, invoice_group, payment_days, language FROM invoice_groups;
-- what is not named comes from the seller
SELECT writes($$ SELECT set_account('plain') $$);
SELECT account, currency, time_zone, cycle_day FROM accounts WHERE account = 'plain';

-- the same again writes nothing
SELECT writes($$ SELECT set_account('acme', currency => 'EUR', time_zone => 'Europe/Berlin', cycle_day => 1) $$);
SELECT writes($$ SELECT set_account('acme', seller => 'northwind', price_list => 'default') $$);

-- bad input
SELECT fails($$ SELECT set_account(NULL) $$);
SELECT fails($$ SELECT set_account('new', time_zone => 'Europe/Nowhere') $$);
SELECT fails($$ SELECT set_account('new', time_zone => 'Mars') $$);
SELECT fails($$ SELECT set_account('new', time_zone => 'CEST') $$);
SELECT fails($$ SELECT set_account('new', time_zone => 'Berlin+1') $$);
SELECT fails($$ SELECT set_account('new', cycle_day => 0) $$);
SELECT fails($$ SELECT set_account('new', cycle_day => 32) $$);
SELECT fails($$ SELECT set_account('new', country => 'Germany') $$);
SELECT fails($$ SELECT set_account('new', rounding_mode => 'round') $$);
SELECT fails($$ SELECT set_account('new', on_rating_error => 'stop') $$);
SELECT fails($$ SELECT set_account('new', grace => '-1 hour') $$);
SELECT fails($$ SELECT set_account('new', status => 'gone') $$);
SELECT fails($$ SELECT set_account('new', address => '7') $$);
SELECT fails($$ SELECT set_account('new', parent => 'nobody') $$);
SELECT fails($$ SELECT set_account('new', tax_code => 'DE19') $$);
SELECT fails($$ SELECT set_account('new', price_list => 'gold') $$);
SELECT fails($$ SELECT set_account('new', progressive_threshold => '-1 EUR') $$);
SELECT fails($$ SELECT set_account('new', progressive_threshold => '100 USD') $$);
SELECT count(*) FROM accounts WHERE account = 'new';

-- currencies: a list of its own for each, found by name
SELECT fails($$ SELECT set_account('new', currency => 'USD') $$);
SELECT fails($$ SELECT set_account('new', currency => 'XXX') $$);
SELECT fails(format($$ SELECT set_account(%L) $$, repeat('é', 501)));
SELECT fails($$ SELECT set_account('new', starts_on => 'infinity') $$);
SELECT fails($$ SELECT set_account('new', starts_on => '0001-01-01') $$);
SELECT fails($$ SELECT set_account('new', grace => '1000000 years') $$);
SELECT fails($$ SELECT set_account('new', cycle_day => 3, from_date => '5874897-01-01') $$);
SELECT fails($$ SELECT set_account('new', currency => 'dollar') $$);
SELECT set_price_list('default-USD', currency => 'USD') > 0;
SELECT writes($$ SELECT set_account('overseas', currency => 'USD', time_zone => 'America/New_York') $$);
SELECT buyer, price_list, currency FROM agreements WHERE buyer = 'overseas';
SELECT fails($$ SELECT set_account('new', currency => 'USD', price_list => 'default') $$);
-- an account changes its currency together with its list
SELECT fails($$ SELECT set_account('overseas', currency => 'EUR', from_date => '2027-01-01') $$);
SELECT writes($$ SELECT set_account('overseas', currency => 'EUR', price_list => 'default', from_date => '2027-01-01') $$);
SELECT buyer, price_list, currency, valid_from, valid_to FROM agreements WHERE buyer = 'overseas' ORDER BY valid_from NULLS FIRST;

-- settings over time: what is named holds from its day on, later settings keep the rest
SELECT writes($$ SELECT set_account('acme', cycle_day => 15, from_date => '2027-01-01') $$);
SELECT writes($$ SELECT set_account('acme', legal_name => 'Acme AG', country => 'AT', vat_id => 'ATU1') $$);
SELECT writes($$ SELECT set_account('acme', time_zone => 'Asia/Tokyo', from_date => '2026-06-01') $$);
SELECT from_date, cycle_day, time_zone, legal_name FROM account_settings_in_force(find_account('acme'));
SELECT writes($$ SELECT set_account('acme', time_zone => 'Asia/Tokyo', from_date => '2026-06-01') $$);
SELECT writes($$ SELECT set_account('acme', cycle_day => 15, from_date => '2028-01-01') $$);
SELECT writes($$ SELECT set_account('acme', country => '', vat_id => '') $$);
SELECT from_date, cycle_day, time_zone, legal_name, country, vat_id FROM account_settings_in_force(find_account('acme'));
-- facts are only added
SELECT count(*), max(setting_no) FROM account_setting WHERE account_id = find_account('acme');

-- the tree
SELECT writes($$ SELECT set_account('acme/team', parent => 'acme') $$);
SELECT writes($$ SELECT set_account('acme/team/one', parent => 'acme/team') $$);
SELECT account, parent FROM accounts WHERE parent IS NOT NULL ORDER BY account;
SELECT fails($$ SELECT set_account('acme', parent => 'acme') $$);
SELECT fails($$ SELECT set_account('acme', parent => 'acme/team/one') $$);
-- nobody is above an account that is above it on any other day
SELECT writes($$ SELECT set_account('acme/team/one', parent => '', from_date => '2027-01-01') $$);
SELECT fails($$ SELECT set_account('acme', parent => 'acme/team/one', from_date => '2028-01-01') $$);
SELECT writes($$ SELECT set_account('acme/team/one', parent => '') $$);
SELECT writes($$ SELECT set_account('acme', parent => 'acme/team/one', from_date => '2028-01-01') $$);

-- closing takes a day
SELECT fails($$ SELECT set_account('plain', status => 'closed') $$);
SELECT writes($$ SELECT set_account('plain', status => 'closed', from_date => '2026-03-01') $$);
SELECT writes($$ SELECT set_account('plain', status => 'closed') $$);
SELECT fails($$ SELECT set_agreement('plain', key => 'more', valid_from => '2026-03-01') $$);
SELECT writes($$ SELECT set_account('plain', status => 'open', from_date => '2026-04-01') $$);
SELECT from_date, status FROM account_settings_in_force(find_account('plain'));

-- the first day can move until there are charge periods
SELECT writes($$ SELECT set_account('plain', starts_on => '2026-02-01') $$);
SELECT writes($$ SELECT set_account('plain', starts_on => '2026-02-01') $$);
INSERT INTO account_calendar (account_id, period_no, date_to, ends_at, next_date_to) VALUES (find_account('plain'), 1, '2026-03-01', '2026-03-01 00:00+00', '2026-04-01');
SELECT fails($$ SELECT set_account('plain', starts_on => '2026-01-01') $$);
SELECT writes($$ SELECT set_account('plain', starts_on => '2026-02-01') $$);

-- many at once
SELECT count(set_account('many-' || n, cycle_day => 1 + n % 31)) FROM generate_series(1, 1000) AS n;
SELECT count(*), count(DISTINCT cycle_day) FROM accounts WHERE account LIKE 'many-%';

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_accounts;
