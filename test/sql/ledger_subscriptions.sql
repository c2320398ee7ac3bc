-- Subscriptions: first and last day, quantities over time.
\set ECHO none
\set test_database billing_ledger_subscriptions
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
CREATE FUNCTION public.runs(key text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.starts_on, coalesce(s.ends_on::text, '-'), s.quantity) FROM billing.subscriptions AS s WHERE s.subscription = $1 ORDER BY s.starts_on $$;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT set_fee('seat', in_advance => true), set_fee('support');
SELECT set_account('acme');
\set ECHO all

-- the fee of the same key, quantity 1
SELECT writes($$ SELECT set_subscription('acme', 'seat', starts_on => '2026-01-01') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', starts_on => '2026-01-01') $$);
SELECT account, subscription, fee, quantity, starts_on, ends_on, seller, agreement FROM subscriptions;
-- more from a day on; the same again; back for the rest
SELECT writes($$ SELECT set_subscription('acme', 'seat', quantity => 5, starts_on => '2026-03-15') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', quantity => 5, starts_on => '2026-03-15') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', quantity => 5, starts_on => '2026-04-01') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', quantity => 2, starts_on => '2026-05-01') $$);
SELECT runs('seat');
-- a quantity from an earlier day on replaces what was said for later
SELECT writes($$ SELECT set_subscription('acme', 'seat', quantity => 4, starts_on => '2026-04-01') $$);
SELECT runs('seat');
-- it ends; sooner; later, with the last quantity; never
SELECT writes($$ SELECT end_subscription('acme', 'seat', '2026-10-01') $$);
SELECT writes($$ SELECT end_subscription('acme', 'seat', '2026-10-01') $$);
SELECT writes($$ SELECT end_subscription('acme', 'seat', '2026-08-01') $$);
SELECT writes($$ SELECT end_subscription('acme', 'seat', '2026-12-01') $$);
SELECT runs('seat');
SELECT writes($$ SELECT set_subscription('acme', 'seat', ends_on => 'infinity') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', ends_on => 'infinity') $$);
SELECT runs('seat');
-- a quantity keeps the end
SELECT writes($$ SELECT set_subscription('acme', 'seat', ends_on => '2027-01-01') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', quantity => 7, starts_on => '2026-11-01') $$);
SELECT runs('seat');
-- it began earlier
SELECT writes($$ SELECT set_subscription('acme', 'seat', starts_on => '2025-12-15') $$);
SELECT runs('seat');
-- cancelled and begun again
SELECT writes($$ SELECT end_subscription('acme', 'seat', '2026-06-01') $$);
SELECT writes($$ SELECT set_subscription('acme', 'seat', starts_on => '2026-09-01') $$);
SELECT runs('seat');
-- it never was
SELECT end_subscription('acme', 'seat', '2025-12-15');
SELECT runs('seat');
SELECT end_subscription('acme', 'seat', '2025-12-15');
SELECT fails($$ SELECT set_subscription('acme', 'seat', quantity => 3) $$);
SELECT set_subscription('acme', 'seat', quantity => 3, starts_on => '2026-02-01') > 0;
SELECT runs('seat');
-- the fact that was is on record
SELECT count(*) > 10, count(*) FILTER (WHERE upper_inf(known)) FROM subscription_term;

-- several subscriptions to one fee
SELECT writes($$ SELECT set_subscription('acme', 'support-1', fee => 'support', starts_on => '2026-01-01', ends_on => '2027-01-01') $$);
SELECT writes($$ SELECT set_subscription('acme', 'support-2', fee => 'support', quantity => 0.5, starts_on => '2026-01-01') $$);
SELECT subscription, fee, quantity, starts_on, ends_on FROM subscriptions WHERE fee = 'support' ORDER BY 1;

-- bad input
SELECT fails($$ SELECT set_subscription('nobody', 'seat', starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', '', starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'desk', starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'desk', fee => 'seat') $$);
SELECT fails($$ SELECT set_subscription('acme', 'desk', fee => 'seat', starts_on => 'infinity') $$);
SELECT fails($$ SELECT set_subscription('acme', 'desk', fee => 'seat', starts_on => '2026-01-01', ends_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', quantity => -1, starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', quantity => 'NaN', starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', quantity => 1e30, starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', quantity => 0.0000000000000001, starts_on => '2026-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', fee => 'support') $$);
SELECT fails($$ SELECT end_subscription('acme', 'desk', '2026-01-01') $$);
SELECT fails($$ SELECT end_subscription('acme', 'seat', NULL) $$);
SELECT fails($$ SELECT end_subscription('acme', 'seat', '5874897-01-01') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', starts_on => '4713-01-01 BC') $$);
SELECT fails($$ SELECT set_subscription('acme', 'seat', starts_on => '2028-02-01', ends_on => '5874897-01-01') $$);
SELECT set_account('acme', status => 'closed', from_date => '2028-01-01') > 0;
SELECT fails($$ SELECT set_subscription('acme', 'seat', quantity => 9, starts_on => '2028-02-01') $$);

-- several agreements: the one it is under is found, otherwise it must be named
SELECT set_agreement('acme', key => 'project') > 0;
SELECT fails($$ SELECT set_subscription('acme', 'desk', fee => 'seat', starts_on => '2026-01-01') $$);
SELECT writes($$ SELECT set_subscription('acme', 'desk', fee => 'seat', starts_on => '2026-01-01', agreement => 'project') $$);
SELECT writes($$ SELECT set_subscription('acme', 'desk', quantity => 2, starts_on => '2026-02-01') $$);
SELECT subscription, agreement, quantity, starts_on FROM subscriptions WHERE subscription = 'desk' ORDER BY starts_on;
SELECT fails($$ SELECT set_subscription('acme', 'desk', starts_on => '2026-01-01', agreement => 'other') $$);
SELECT set_subscription('acme', 'desk', fee => 'seat', starts_on => '2026-01-01', agreement => 'default') > 0;
SELECT fails($$ SELECT end_subscription('acme', 'desk', '2026-06-01') $$);
SELECT end_subscription('acme', 'desk', '2026-06-01', agreement => 'default');

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_subscriptions;
