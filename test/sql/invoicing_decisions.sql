-- Decisions, freezing, approving held corrections: what is refused, and what the next run makes of them.
\set ECHO none
\set test_database billing_invoicing_decisions
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
SELECT set_price('tokens', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.10"}', valid_from => '2026-01-01') > 0,
       set_price('storage', '{"model": "per_unit", "currency": "EUR", "unit_price": "1.00"}', valid_from => '2026-01-01') > 0;
CREATE FUNCTION use(id text, account text, meter text, quantity numeric, at timestamptz DEFAULT '2026-10-03 10:00Z') RETURNS text LANGUAGE sql
AS $$ SELECT outcome FROM record_usage(jsonb_build_object('id', id, 'account', account, 'meter', meter, 'at', at, 'quantity', quantity::text)) $$;
SELECT use('a-1', 'acme', 'tokens', 100), use('a-2', 'acme', 'storage', 7), use('b-1', 'beta', 'tokens', 50), use('a-3', 'acme', 'tokens', 10, '2026-11-03 10:00Z');
CALL run_invoicing('2026-12-01', NULL);
SELECT number, total FROM finalize_invoices('2026-12-01', '2026-12-02');
SELECT max(charge) FILTER (WHERE account = 'acme' AND item = 'tokens' AND period_from = '2026-10-01') AS acme_tokens, max(charge) FILTER (WHERE account = 'acme' AND item = 'storage') AS acme_storage,
       max(charge) FILTER (WHERE account = 'beta') AS beta_tokens FROM invoice_lines \gset
CREATE FUNCTION quiet(message text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(message, 'charge \d+', 'charge N', 'g') $$;

-- decide(): refused
SELECT fails($$ SELECT decide(999, '-1 EUR', 'goodwill', 'sorry') $$);
SELECT fails($$ SELECT decide(NULL, '-1 EUR', 'goodwill', 'sorry') $$);
SELECT fails(format($$ SELECT decide(%s, '-1 EUR', 'gift', 'sorry') $$, :acme_tokens));
SELECT fails(format($$ SELECT decide(%s, '-1 EUR', NULL, 'sorry') $$, :acme_tokens));
SELECT fails(format($$ SELECT decide(%s, '-1 EUR', 'ignored', 'sorry') $$, :acme_tokens));
SELECT fails(format($$ SELECT decide(%s, '0 EUR', 'goodwill', 'sorry') $$, :acme_tokens));
SELECT fails(format($$ SELECT decide(%s, NULL, 'goodwill', 'sorry') $$, :acme_tokens));
SELECT quiet(fails(format($$ SELECT decide(%s, '-1 USD', 'goodwill', 'sorry') $$, :acme_tokens)));
SELECT fails(format($$ SELECT decide(%s, '-1.005 EUR', 'goodwill', 'sorry') $$, :acme_tokens));
SELECT fails(format($$ SELECT decide(%s, '1 EUR', 'goodwill', 'sorry') $$, :acme_tokens));
SELECT fails(format($$ SELECT decide(%s, '-1 EUR', 'goodwill', '') $$, :acme_tokens));
-- goodwill survives runs; it may be taken back, and no more than that
SELECT decide(:acme_tokens, '-1.50 EUR', 'goodwill', 'slow answers') > 0;
CALL run_invoicing('2026-12-01', NULL);
SELECT number, total FROM finalize_invoices('2026-12-01', '2026-12-03');
CALL run_invoicing('2026-12-01', NULL);
SELECT count(*) FROM draft_lines;
SELECT fails(format($$ SELECT decide(%s, '1.51 EUR', 'goodwill', 'sorry') $$, :acme_tokens));
SELECT decide(:acme_tokens, '0.50 EUR', 'goodwill', 'not that slow') > 0, decide(:acme_tokens, '3 EUR', 'dispute', 'settled') > 0;
CALL run_invoicing('2026-12-01', NULL);
SELECT kind, amount, decided, causes FROM draft_lines;
SELECT number, total FROM finalize_invoices('2026-12-01', '2026-12-03');

-- frozen: nothing is drafted or billed, until it is released
SELECT fails($$ SELECT freeze_charge(999, 'disputed') $$);
SELECT fails(format($$ SELECT freeze_charge(%s, NULL) $$, :beta_tokens));
SELECT use('b-2', 'beta', 'tokens', 10);
CALL run_invoicing('2026-12-01', NULL);
SELECT freeze_charge(:beta_tokens, 'disputed'), freeze_charge(:beta_tokens, 'disputed again'), unfreeze_charge(:acme_tokens, 'never was');
SELECT account, amount, frozen FROM draft_lines;
SELECT count(*) FROM finalize_invoices('2026-12-01', '2026-12-04');
SELECT use('b-3', 'beta', 'tokens', 10);
CALL run_invoicing('2026-12-01', NULL);
SELECT count(*) FROM finalize_invoices('2026-12-01', '2026-12-04');
SELECT kind, amount, reason FROM billing.decision WHERE key_id = :beta_tokens;
SELECT unfreeze_charge(:beta_tokens, 'they were right'), unfreeze_charge(:beta_tokens, 'twice');
CALL run_invoicing('2026-12-01', NULL);
SELECT payer, total FROM finalize_invoices('2026-12-01', '2026-12-04');

-- a backdated price is held in closed periods; approving one charge releases that one
SELECT set_price('tokens', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.20"}', valid_from => '2026-10-01', applies_to => 'open') > 0;
CALL run_invoicing('2026-12-01', NULL);
SELECT count(*) FROM draft_lines;
SELECT a.key, i.key AS item, p.date_from, h.cause, h.amount FROM billing.held AS h JOIN billing.charge_key AS k USING (account_id, key_id) JOIN billing.charge_period AS p USING (account_id, period_no)
  JOIN billing.account AS a USING (account_id) JOIN billing.item AS i USING (item_id) ORDER BY 1, 2, 3;
SELECT fails($$ SELECT approve_corrections() $$);
SELECT fails($$ SELECT approve_corrections(reason => 'all') $$);
SELECT fails($$ SELECT approve_corrections('{}', reason => 'all') $$);
SELECT fails($$ SELECT approve_corrections(item => 'nothing', reason => 'all') $$);
SELECT fails($$ SELECT approve_corrections(account => 'nobody', reason => 'all') $$);
SELECT fails($$ SELECT approve_corrections(charges => '{999}', reason => 'all') $$);
SELECT quiet(fails(format($$ SELECT approve_corrections(charges => '{%s}', reason => 'all') $$, :acme_storage)));
SELECT fails(format($$ SELECT approve_corrections(charges => '{%s}') $$, :acme_tokens));
SELECT * FROM approve_corrections(item => 'storage', reason => 'nothing is held');
SELECT charge = :acme_tokens, account_key, item_key, period_from, period_to, cause, released, released_amount, currency, asked_for FROM approve_corrections(charges => ARRAY[:acme_tokens], reason => 'agreed with Acme');
SELECT l.key, i.key, a.key, v.valid, v.reason FROM billing.pin_advance AS v JOIN billing.price_list AS l USING (list_id) JOIN billing.item AS i USING (item_id) LEFT JOIN billing.account AS a USING (account_id);
CALL run_invoicing('2026-12-01', NULL);
SELECT account, period_from, amount, causes FROM draft_lines;
SELECT count(*) FROM billing.held;

-- by span: also what was not asked for but is of the same item and days
SELECT use('c-1', 'beta', 'tokens', 30, '2026-11-04 10:00Z');
CALL run_invoicing('2026-12-01', NULL);
SELECT account_key, item_key, period_from, released, asked_for FROM approve_corrections(item => 'tokens', span => '[2026-10-10,2026-10-11)', reason => 'everybody');
SELECT count(*) FROM approve_corrections(item => 'tokens', span => '[2026-10-10,2026-10-11)', reason => 'everybody');
CALL run_invoicing('2026-12-01', NULL);
SELECT count(*) FROM approve_corrections(item => 'tokens', span => '[2026-10-10,2026-10-11)', reason => 'everybody');
SELECT account_key, period_from, released, asked_for FROM approve_corrections(account => 'acme', reason => 'the rest');
CALL run_invoicing('2026-12-01', NULL);
SELECT payer, number, total FROM finalize_invoices('2026-12-01', '2026-12-05');
SELECT count(*) FROM billing.held;
SELECT a.key, sum(l.amount) FROM billing.line AS l JOIN billing.account AS a USING (account_id) GROUP BY 1 ORDER BY 1;
SELECT (SELECT sum(owed) FROM charges('acme', '[2026-10-01,2026-12-01)')) + (SELECT sum(amount) FROM billing.decision WHERE account_id = find_account('acme')) AS acme, (SELECT sum(owed) FROM charges('beta', '[2026-10-01,2026-12-01)')) AS beta;

-- one of two charges of the same item, account and days: the other is released with it, and shown so
SELECT set_meter('calls', unit => 'call', aggregation => 'sum', dimensions => '{region}') > 0, set_price('calls', '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2026-01-01') > 0;
SELECT (record_usage(jsonb_build_array(jsonb_build_object('id', 'd-1', 'account', 'acme', 'meter', 'calls', 'at', '2026-12-03T10:00:00Z', 'quantity', '5', 'dimensions', '{"region": "eu"}'::jsonb),
                                       jsonb_build_object('id', 'd-2', 'account', 'acme', 'meter', 'calls', 'at', '2026-12-04T10:00:00Z', 'quantity', '7', 'dimensions', '{"region": "us"}'::jsonb)))).outcome;
CALL run_invoicing('2027-01-01', NULL);
SELECT count(*) FROM finalize_invoices('2027-01-01', '2027-01-02');
SELECT set_price('calls', '{"model": "per_unit", "currency": "EUR", "unit_price": "2"}', valid_from => '2026-12-01', applies_to => 'open') > 0;
CALL run_invoicing('2027-01-01', NULL);
SELECT charge_group, released, asked_for FROM approve_corrections(charges => ARRAY(SELECT charge FROM invoice_lines WHERE charge_group = '{"region": "us"}'), reason => 'agreed') ORDER BY released;
CALL run_invoicing('2027-01-01', NULL);
SELECT charge_group, amount FROM draft_lines ORDER BY amount;
SELECT account, item, charge_group, amount FROM held_corrections;
