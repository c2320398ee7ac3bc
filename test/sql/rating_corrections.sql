-- Pins and corrections (rule 4): what a closed period is billed by, and what happens to every later difference, by its cause.
\set ECHO none
\set test_database billing_rating_corrections
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_fee('support') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01'), set_price('support', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2025-01-01') \gset
\set ECHO all
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT set_subscription('acme', 'support', starts_on => '2025-01-01') \gset
SELECT use('acme', 'calls', '2025-01-10', 100, id => 'first'), use('acme', 'calls', '2025-01-11', 10, id => 'second') \gset
CALL run_invoicing(through => '2025-02-01') \gset
-- A draft pins nothing: a price that was wrong is mended before anybody has seen the invoice.
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');

---- Cause usage: billed.  Late, corrected, voided and moved usage; nobody is asked.
SELECT use('acme', 'calls', '2025-01-12', 5) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT correct_usage('acme', 'first', 90) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');
SELECT void_usage('acme', 'second', reason => 'test traffic') \gset
SELECT set_account('other', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT move_usage('acme', 'first', 'other', reason => 'wrong token') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT number, payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-03');
-- the last usage is taken away too: the charge owes nothing, and what was billed is credited (a join from what is owed would miss it)
SELECT void_usage('other', 'first', reason => 'wrong token') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, quantity, amount, billed_before, causes FROM drafts;
-- usage comes back before the credit is final: nothing is left to bill
SELECT use('other', 'calls', '2025-01-31', 90) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT account, item, sum(amount) AS billed FROM final_lines GROUP BY account, item ORDER BY account, item;
TABLE wrong;

---- Cause subscription: billed; it is the customer's act.
SELECT set_subscription('acme', 'support', quantity => 3, starts_on => '2025-01-21') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-05');

---- Cause price: held.  A price dated into a closed period must say what is meant.
SELECT fails($$ SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"3"}', valid_from => '2025-01-01') $$);
-- 'open': closed periods stay at their price; the difference is shown and waits.
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"3"}', valid_from => '2025-01-01', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT * FROM held_now;
SELECT item, owed, booked, held FROM charges('acme', '[2025-01-01,2025-02-01)');
TABLE wrong;
-- what is held is computed anew each time: usage that comes late is billed at the old price, and more is held
SELECT use('acme', 'calls', '2025-01-13', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-06');
-- the next month is open and takes the new price
SELECT use('acme', 'calls', '2025-02-10', 1) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT period, item, kind, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
-- Approval moves the pin, and the next run bills by rule 3.
SELECT fails($$ SELECT approve_corrections(reason => 'all of them') $$);
SELECT fails($$ SELECT approve_corrections(item => 'calls') $$);
SELECT account_key, item_key, period_from, cause, released FROM approve_corrections(item => 'calls', span => '[2025-01-01,2025-02-01)', reason => 'contract says 3');
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
-- another look before it is final changes nothing about the cause
SELECT use('other', 'calls', '2025-01-15', 1) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-02');
SELECT e.stage, e.what, e.quantity, e.amount FROM explain_line((SELECT max(line_id) FROM billing.line)) AS e WHERE e.stage <> 'tax';
TABLE wrong;
-- 'closed': rates closed periods again at once.
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1.50"}', valid_from => '2025-01-01', valid_to => '2025-02-01', applies_to => 'closed') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT period, item, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-03');
TABLE wrong;

---- Cause plan: an agreement that is changed back in time.  Held; a policy of the account or its seller says otherwise.
SELECT set_price_list('gold') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.50"}', valid_from => '2025-01-01', price_list => 'gold') \gset
SELECT count(set_account(a, time_zone => 'UTC', starts_on => '2025-01-01')) FROM unnest('{plan-held,plan-small,plan-young,plan-billed}'::text[]) AS a \gset
SELECT sum(use(a, 'calls', '2025-01-10', 10) + use(a, 'calls', '2025-02-10', 1)) FROM unnest('{plan-held,plan-small,plan-young,plan-billed}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT payer, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-04');
-- limits: what is above an amount, or in a period that ended longer ago, is held although the policy bills
SELECT set_correction_policy('plan', 'bill', account => 'plan-small', greatest_amount => '5 EUR'), set_correction_policy('plan', 'bill', account => 'plan-young', greatest_age => '1 day'), set_correction_policy('plan', 'bill', account => 'plan-billed') \gset
SELECT count(set_agreement(a, price_list => 'gold')) FROM unnest('{plan-held,plan-small,plan-young,plan-billed}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
TABLE wrong;
-- a policy that changes is a fact too: the next run bills what was held
SELECT set_correction_policy('plan', 'bill', account => 'plan-young') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, kind, amount, causes FROM drafts;
SELECT payer, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-05');
-- what was billed stays billed, whatever the policy says later
SELECT set_correction_policy('plan', 'hold', account => 'plan-billed') \gset
SELECT use('plan-billed', 'calls', '2025-01-14', 1) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, kind, amount, causes FROM drafts;
SELECT * FROM held_now;
SELECT payer, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-05');
TABLE wrong;

---- Policy ignore writes a decision of minus the difference, once; the chain closes against the price of old.
SELECT set_account('lucky', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('lucky', 'calls', '2025-01-10', 10) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-05', account => 'lucky');
SELECT set_correction_policy('price', 'bill', seller => 'northwind'), set_correction_policy('price', 'ignore', account => 'lucky') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"2.50"}', valid_from => '2025-01-01', valid_to => '2025-02-01', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
-- the account's policy goes before the seller's, which bills everybody else
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT a.key AS account, d.kind, d.cause, d.amount, d.reason FROM billing.decision AS d JOIN billing.account AS a USING (account_id);
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-06');
-- more usage at the price of old, and the ignored part of it is added
SELECT use('lucky', 'calls', '2025-01-11', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts;
SELECT a.key AS account, d.kind, d.cause, d.amount FROM billing.decision AS d JOIN billing.account AS a USING (account_id) ORDER BY d.decision_id;
-- without the policy of its own the seller's bills: only what comes from now on; what was ignored stays so
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-06');
SELECT set_correction_policy('price', 'default', account => 'lucky') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts WHERE account = 'lucky';
SELECT * FROM held_now WHERE account = 'lucky';
TABLE wrong;

-- usage that is voided takes with it what was ignored of it, and a price that is as it was leaves nothing ignored
SELECT set_account('back', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('back', 'calls', '2025-01-10', 10, id => 'back'), use('back', 'calls', '2025-01-11', 2) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-06');
SELECT set_correction_policy('price', 'ignore', account => 'back') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"4"}', valid_from => '2025-01-01', valid_to => '2025-02-01', account => 'back', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT set_correction_policy('price', 'bill', account => 'back'), void_usage('back', 'back', reason => 'test traffic') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts WHERE account = 'back';
SELECT set_correction_policy('price', 'hold', account => 'back'), remove_price('calls', valid_from => '2025-01-01', valid_to => '2025-02-01', account => 'back', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, period, item, kind, amount, causes FROM drafts WHERE account = 'back';
SELECT * FROM held_now WHERE account = 'back';
SELECT d.kind, d.cause, d.amount FROM billing.decision AS d JOIN billing.account AS a USING (account_id) WHERE a.key = 'back' ORDER BY d.decision_id;
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-06');
TABLE wrong;

---- Cause reference data: what a meter counts is read at the pin as well; ignored unless a policy says otherwise.
SELECT set_account('pinned', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('pinned', 'calls', '2025-01-10', 10), use('pinned', 'calls', '2025-01-11', 20) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-03-06', account => 'pinned');
SELECT set_correction_policy('reference_data', 'hold', account => 'pinned') \gset
SELECT set_meter('calls', aggregation => 'max') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount FROM drafts;
SELECT * FROM held_now WHERE account = 'pinned';
SELECT set_correction_policy('reference_data', 'bill', account => 'pinned') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount, causes FROM drafts;
SELECT count(*) AS ignored FROM billing.decision AS d JOIN billing.account AS a USING (account_id) WHERE d.cause = 'reference_data' AND a.key <> 'pinned';
SELECT sum(total) AS total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-07');
TABLE wrong;

---- A policy cannot hold or ignore the customer's own acts.
SELECT fails($$ SELECT set_correction_policy('usage', 'hold', account => 'acme') $$);
SELECT fails($$ SELECT set_correction_policy('weather', 'hold', account => 'acme') $$);
