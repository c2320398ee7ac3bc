-- Price lists and prices: what supersedes what, what is written, and prices that reach into closed periods.
\set ECHO none
\set test_database billing_ledger_prices
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT set_meter('tokens', unit => 'token');
SELECT set_fee('support');
SELECT set_account('acme', time_zone => 'Europe/Berlin');
CREATE FUNCTION public.per_unit(price text, currency text DEFAULT 'EUR') RETURNS billing.tariff LANGUAGE sql AS $$
    SELECT format('{"model": "per_unit", "currency": "%s", "unit_price": "%s"}', $2, $1)::billing.tariff $$;
-- the prices of an item as known now: account, span, unit price
CREATE FUNCTION public.known_prices(key text, list text DEFAULT 'default') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', coalesce(p.account, 'all'), coalesce(p.valid_from::text, '-'), coalesce(p.valid_to::text, '-'), p.tariff::text::jsonb ->> 'unit_price', p.tax_code)
      FROM billing.prices AS p WHERE p.item = $1 AND p.price_list = $2 ORDER BY p.account NULLS FIRST, p.valid_from NULLS FIRST $$;
\set ECHO all

-- lists
SELECT writes($$ SELECT set_price_list('default', currency => 'EUR') $$);
SELECT writes($$ SELECT set_price_list('gold') $$);
SELECT fails($$ SELECT set_price_list('gold', currency => 'USD') $$);
SELECT fails($$ SELECT set_price_list('silver', currency => 'XDR') $$);
SELECT fails($$ SELECT set_price_list(' ') $$);
SELECT seller, price_list, currency FROM price_lists ORDER BY 2;

-- a price, the same again, and one that supersedes it from a day on
SELECT writes($$ SELECT set_price('tokens', per_unit('0.01'), '2026-01-01') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.01'), '2026-01-01') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.010'), '2026-03-01', '2026-04-01') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.02'), '2026-07-01') $$);
SELECT known_prices('tokens');
-- the number stays with what is in force
SELECT set_price('tokens', per_unit('0.02'), '2026-08-01') = set_price('tokens', per_unit('0.02'), '2026-07-01');
-- one month out of the middle: two remainders
SELECT writes($$ SELECT set_price('tokens', per_unit('0.03'), '2026-03-01', '2026-04-01') $$);
SELECT known_prices('tokens');
-- remainders say what they are left of and are no news
SELECT p.valid, p.tariff::text::jsonb ->> 'unit_price', o.valid AS left_of FROM price AS p JOIN price AS o ON o.price_id = p.remainder_of ORDER BY p.price_id;
-- only what is new is written: from July on it is 0.02 already
SELECT writes($$ SELECT set_price('tokens', per_unit('0.02'), '2026-06-01') $$);
SELECT known_prices('tokens');

-- twice in one transaction: what nobody could see was never known
BEGIN;
SELECT set_price('tokens', per_unit('0.05'), '2027-01-01') > 0;
SELECT set_price('tokens', per_unit('0.06'), '2027-01-01', '2027-03-01') > 0;
SELECT set_price('tokens', per_unit('0.07'), '2027-02-01', '2027-02-15') > 0;
COMMIT;
SELECT known_prices('tokens');
SELECT count(*) FROM price WHERE isempty(known);
SELECT count(*) FROM price_history WHERE item = 'tokens';
SELECT p.valid FROM price AS p WHERE lower(p.valid) >= '2027-01-01' AND p.remainder_of IS NOT NULL;

-- history: what was known when
SELECT count(*), count(*) FILTER (WHERE known_to IS NULL) FROM price_history WHERE item = 'tokens';

-- a hole
SELECT writes($$ SELECT remove_price('tokens', '2026-03-10', '2026-03-20') $$);
SELECT writes($$ SELECT remove_price('tokens', '2026-03-10', '2026-03-20') $$);
SELECT remove_price('tokens', '2026-03-10', '2026-03-20');
SELECT known_prices('tokens');
SELECT writes($$ SELECT set_price('tokens', per_unit('0.03'), '2026-03-01', '2026-04-01') $$);
SELECT known_prices('tokens');

-- a price of one account, which goes before that of all
SELECT writes($$ SELECT set_price('tokens', per_unit('0.001'), '2026-01-01', account => 'acme') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.001'), '2026-05-01', account => 'acme') $$);
SELECT known_prices('tokens');
-- it goes into the list by which the account is charged
SELECT set_account('golden', price_list => 'gold') > 0;
SELECT writes($$ SELECT set_price('tokens', per_unit('0.002'), '2026-01-01', account => 'golden') $$);
SELECT known_prices('tokens', 'gold');
SELECT remove_price('tokens', account => 'golden');
SELECT known_prices('tokens', 'gold');
SELECT set_agreement('golden', key => 'more', price_list => 'default') > 0;
SELECT fails($$ SELECT set_price('tokens', per_unit('0.002'), '2026-01-01', account => 'golden') $$);

-- currencies: a tariff finds the default list in its currency
SELECT fails($$ SELECT set_price('tokens', per_unit('0.02', 'USD'), '2026-01-01') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('0.02', 'USD'), '2026-01-01', price_list => 'default') $$);
SELECT set_price_list('default-USD', currency => 'USD') > 0;
SELECT writes($$ SELECT set_price('tokens', per_unit('0.02', 'USD'), '2026-01-01') $$);
SELECT known_prices('tokens', 'default-USD');

-- tax codes are kept until another one is named
SELECT fails($$ SELECT set_price('support', per_unit('100'), '2026-01-01', tax_code => 'DE19') $$);
SELECT set_tax_rate('DE19', 19), set_tax_rate('DE7', 7);
SELECT writes($$ SELECT set_price('support', per_unit('100'), '2026-01-01', tax_code => 'DE19') $$);
SELECT writes($$ SELECT set_price('support', per_unit('120'), '2026-07-01') $$);
SELECT writes($$ SELECT set_price('support', per_unit('120'), '2026-07-01', tax_code => 'DE7') $$);
SELECT writes($$ SELECT set_price('support', per_unit('90'), '2026-07-01', account => 'acme') $$);
SELECT writes($$ SELECT set_price('support', per_unit('130'), '2027-01-01', tax_code => '') $$);
SELECT known_prices('support');

-- bad input
SELECT fails($$ SELECT set_price('nothing', per_unit('1'), '2026-01-01') $$);
SELECT fails($$ SELECT set_price('tokens', NULL, '2026-01-01') $$);
SELECT fails($$ SELECT set_price('tokens', '{"model": "per_unit"}', '2026-01-01') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), '2026-02-01', '2026-02-01') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), 'infinity') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), valid_from => '-infinity', valid_to => '-infinity') $$);
SELECT fails($$ SELECT remove_price('tokens', valid_from => 'infinity') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), '2026-01-01', price_list => 'bronze') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), '2026-01-01', account => 'nobody') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), '2026-01-01', seller => 'nobody') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), '2026-01-01', kind => 'plan') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('1'), '2026-01-01', applies_to => 'all') $$);
SELECT fails($$ SELECT remove_price('tokens', applies_to => 'all') $$);

-- what lint() finds is said
SELECT set_price('support', '{"model": "volume", "currency": "EUR", "tiers": [{"up_to": "10", "unit_price": "5"}, {"unit_price": "1"}]}', '2028-01-01') > 0;

-- Closed periods.  acme was billed to 1 March 2026.
INSERT INTO account_calendar (account_id, period_no, date_to, ends_at, next_date_to) VALUES (find_account('acme'), 2, '2026-03-01', '2026-02-28 23:00+00', '2026-04-01');
INSERT INTO charge_period (account_id, period_no, date_from, date_to, full_from, starts_at, ends_at, time_zone, due_at, closed_known_at)
VALUES (find_account('acme'), 1, '2026-01-01', '2026-02-01', '2026-01-01', '2025-12-31 23:00+00', '2026-01-31 23:00+00', 'Europe/Berlin', '2026-01-31 23:00+00', now()),
       (find_account('acme'), 2, '2026-02-01', '2026-03-01', '2026-02-01', '2026-01-31 23:00+00', '2026-02-28 23:00+00', 'Europe/Berlin', '2026-02-28 23:00+00', now());
SELECT fails($$ SELECT set_price('tokens', per_unit('0.09'), '2026-02-15') $$);
SELECT fails($$ SELECT set_price('tokens', per_unit('0.09'), '2026-02-15', account => 'acme') $$);
SELECT fails($$ SELECT remove_price('tokens', '2026-02-15') $$);
-- not of other lists, other accounts, later days, or where nothing changes
SELECT writes($$ SELECT set_price('tokens', per_unit('0.09'), '2026-02-15', price_list => 'gold') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.09'), '2026-03-01') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.01'), '2026-01-01', '2026-03-01') $$);
SELECT set_account('other') > 0;
SELECT writes($$ SELECT set_price('tokens', per_unit('0.08'), '2026-02-15', account => 'other') $$);
-- a first price is no change
SELECT set_meter('calls', unit => 'call') > 0;
SELECT writes($$ SELECT set_price('calls', per_unit('1'), '2026-01-01') $$);
-- both words
SELECT writes($$ SELECT set_price('tokens', per_unit('0.09'), '2026-02-15', applies_to => 'open') $$);
SELECT writes($$ SELECT set_price('tokens', per_unit('0.10'), '2026-02-20', applies_to => 'closed') $$);
SELECT cause, account_id, valid, advance_to > (SELECT max(lower(known)) FROM price) AS counts_it, reason FROM pin_advance;
-- said again for closed periods it moves the pin again, and nothing else
SELECT writes($$ SELECT set_price('tokens', per_unit('0.10'), '2026-02-20', applies_to => 'closed') $$);
SELECT writes($$ SELECT remove_price('tokens', '2026-02-25', '2026-02-27', applies_to => 'closed') $$);
SELECT known_prices('tokens');

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_prices;
