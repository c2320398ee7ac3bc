-- One bad row stops nothing (rule 8): a poisoned tariff among a thousand accounts.  Errors of arguments (rule 15).
\set ECHO none
\set test_database billing_rating_errors
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('jobs', unit => 'job') \gset
SELECT count(set_price(m, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01')) FROM unnest('{calls,jobs}'::text[]) AS m \gset
\set ECHO all
-- 1,000 accounts; number 500 has a price of its own whose amounts are out of range, number 600 the same and wants nothing billed until it is mended.
SELECT count(set_account('account-' || to_char(n, 'FM0000'), time_zone => 'UTC', starts_on => '2025-01-01', on_rating_error => CASE n WHEN 600 THEN 'hold_account' END)) FROM generate_series(1, 1000) AS n \gset
SELECT count(*) AS recorded FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', m || n, 'account', 'account-' || to_char(n, 'FM0000'), 'meter', m, 'at', '2025-01-10T00:00:00Z', 'quantity', 1000)) FROM generate_series(1, 1000) AS n, unnest('{calls,jobs}'::text[]) AS m)) WHERE outcome = 'accepted';
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2025-01-01', account => 'account-0500'), set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2025-01-01', account => 'account-0600') \gset

CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors, failure, counts ->> 'drafts' AS drafts, counts ->> 'failed' AS failed FROM runs WHERE run_id = :run_id;
SELECT account, period_from, item, reason, sqlstate, detail FROM run_errors WHERE run_id = :run_id ORDER BY account;
SELECT a.key AS account, p.reason, p.detail FROM billing.pending AS p JOIN billing.account AS a USING (account_id) ORDER BY a.key;
SELECT account, item, amount FROM drafts WHERE account IN ('account-0499', 'account-0500', 'account-0600');
SELECT account_key, item, line_amount, problem FROM preview_invoice('account-0500', through => '2025-02-01');
SELECT item, owed, unbilled, state, problem FROM charges('account-0500', '[2025-01-01,2025-02-01)');
-- everyone else is billed; 500 for its jobs, 600 for nothing
SELECT count(*) AS invoices, sum(total) AS total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT payer, total FROM invoices WHERE payer IN ('account-0499', 'account-0500', 'account-0600');

-- Every run tries again, and says so each time; it looks at nothing else.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors, counts ->> 'periods_looked_at' AS periods FROM runs WHERE run_id = :run_id;
-- Mended: the period is open still, nobody asks what is meant; what waited is billed, and a failing charge that was billed before would have kept what it had.
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.50"}', valid_from => '2025-01-01', account => 'account-0500'), set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.50"}', valid_from => '2025-01-01', account => 'account-0600') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT count(*) AS pending FROM billing.pending;
SELECT account, item, kind, amount FROM drafts;
SELECT payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');

-- A charge that cannot be rated any more keeps what was billed, its draft and what is held: it does not owe 0.
SELECT use('account-0001', 'calls', '2025-01-11', 5) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount FROM drafts;
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2025-01-01', account => 'account-0001', applies_to => 'closed') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT account, item, kind, amount FROM drafts;
SELECT booked FROM charges('account-0001', '[2025-01-01,2025-02-01)') WHERE item = 'calls';
SELECT remove_price('calls', account => 'account-0001', applies_to => 'closed') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT account, item, kind, amount FROM drafts;

-- Arguments that cannot be meant.
SELECT fails($$ CALL run_invoicing(NULL) $$);
SELECT fails($$ SELECT bill_account('account-0001', NULL) $$);
SELECT fails($$ SELECT bill_account('nobody', '2025-02-01') $$);
SELECT fails($$ SELECT charges('nobody', '[2025-01-01,2025-02-01)') $$);
SELECT fails($$ SELECT charges(NULL, '[2025-01-01,2025-02-01)') $$);
SELECT fails($$ SELECT preview_invoice(NULL, '2025-02-01') $$);
SELECT fails($$ SELECT bill_account(NULL, '2025-02-01') $$);
SELECT fails($$ SELECT charges('account-0001', 'empty') $$);
SELECT fails($$ SELECT charges('account-0001', '[2025-01-01,)') $$);
SELECT fails($$ SELECT preview_invoice('account-0001', 'infinity') $$);
SELECT fails($$ SELECT explain_line(0) $$);
SELECT fails($$ SELECT explain_line(NULL) $$);
SELECT fails($$ SELECT line_usage(0) $$);
SELECT fails($$ SELECT usage_lines('nobody', 'x') $$);
SELECT fails($$ CALL seal_period(NULL) $$);
