-- Sealing (rule 10): a sealed period is never rated again, and only then may its usage leave.
\set ECHO none
\set test_database billing_rating_seal
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('jobs', unit => 'job'), set_meter('disk', unit => 'GB-hour', aggregation => 'time_weighted') \gset
SELECT count(set_price(m, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2024-01-01')) FROM unnest('{calls,jobs}'::text[]) AS m \gset
CREATE FUNCTION charge(account text, item text, month date) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT c.charge FROM billing.charges_now AS c WHERE c.account = $1 AND c.item = $2 AND c.period_from = $3 $$;
\set ECHO all
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('beta', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('acme', 'calls', '2025-01-10', 100, id => 'old'), use('acme', 'calls', '2025-02-10', 10), use('beta', 'calls', '2025-01-10', 7) \gset

-- Refused while anything of the period is not final; the message names the first obstacle.
CALL run_invoicing(through => '2025-02-01') \gset
CALL seal_period('2025-02-01');
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
-- facts that no run has seen: they were in time and must not be sealed away
SELECT use('acme', 'calls', '2025-01-11', 1) \gset
CALL seal_period('2025-02-01');
CALL run_invoicing(through => '2025-02-01') \gset
-- drafts of what came late
CALL seal_period('2025-02-01');
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');
-- corrections that are held
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-01', applies_to => 'open', account => 'beta') \gset
CALL run_invoicing(through => '2025-02-01') \gset
CALL seal_period('2025-02-01');
SELECT remove_price('calls', account => 'beta', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
-- charges that cannot be rated
SELECT set_price('jobs', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2024-01-01', account => 'beta', applies_to => 'closed') \gset
SELECT use('beta', 'jobs', '2025-01-10', 1000, id => 'poison') \gset
CALL run_invoicing(through => '2025-02-01') \gset
CALL seal_period('2025-02-01');
SELECT void_usage('beta', 'poison', reason => 'test') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-03');
-- and usage of a sealed period leaves only in the end
SELECT * FROM drop_sealed_usage();

-- Sealed: what each charge owes is stored.
CALL seal_period('2025-02-01') \gset
SELECT procedure, state, counts FROM runs WHERE run_id = :run_id;
SELECT a.key AS account, i.key AS item, o.owed FROM billing.sealed_owed AS o JOIN billing.charge_key AS k USING (account_id, key_id) JOIN billing.account AS a USING (account_id) JOIN billing.item AS i USING (item_id) ORDER BY 1, 2;
SELECT period_from, item, owed, booked, state FROM charges('acme', '[2025-01-01,2025-03-01)');
-- Later facts of the period change nothing, and are listed.
SELECT use('acme', 'calls', '2025-01-20', 1000) \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"5"}', valid_from => '2025-01-01', valid_to => '2025-02-01', applies_to => 'closed') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT * FROM held_now;
SELECT account_key, meter, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)');
-- also what has no price: it never will have one
BEGIN;
SELECT set_meter('unpriced', unit => 'unit'), use('acme', 'unpriced', '2025-01-21', 3) \gset
SELECT account_key, meter, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)') WHERE meter = 'unpriced';
ROLLBACK;
-- an interval into an open period is charged there, with its part of it
SELECT use('acme', 'calls', '2025-01-31', 4, to_at => '2025-02-02') \gset
SELECT account_key, meter, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)');
-- Nothing in it can be changed, nothing leaves it, nothing comes into it.
BEGIN;
SELECT use('acme', 'calls', '2025-02-12', 1, id => 'open'), set_account('delta', time_zone => 'UTC'), use('delta', 'calls', '2025-01-15', 2, id => 'theirs') \gset
SELECT fails($$ SELECT correct_usage('acme', 'old', quantity => 5, reason => 'test') $$);
SELECT fails($$ SELECT correct_usage('acme', 'old', ends_at => '2025-02-12Z', reason => 'test') $$) = fails($$ SELECT void_usage('acme', 'old', reason => 'test') $$) AS same,
       fails($$ SELECT void_usage('acme', 'old', reason => 'test') $$) = fails($$ SELECT move_usage('acme', 'old', 'delta', reason => 'test') $$) AS same;
SELECT fails($$ SELECT correct_usage('acme', 'open', ends_at => '2025-01-12Z', reason => 'test') $$);
SELECT fails($$ SELECT move_usage('delta', 'theirs', 'acme', reason => 'test') $$);
SELECT correct_usage('acme', 'open', ends_at => '2025-02-01Z', reason => 'test') > 0 AS at_the_border;
-- its ids are still known
SELECT outcome FROM record_usage('{"id": "old", "account": "acme", "meter": "calls", "at": "2025-01-10T00:00:00Z", "quantity": 100}');
ROLLBACK;
-- People may still decide: goodwill, a cancelled invoice that is billed again.
SELECT decide(charge('acme', 'calls', '2025-01-01'), '-11 EUR', 'goodwill', 'five years with us') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT period, item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-04');
SELECT cancel_invoice(billing.invoice_id('INV-000001'), 'wrong address', issue_date => '2025-02-05') > 0 AS cancelled;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, period, item, kind, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-06');
SELECT period_from, item, owed, decided, booked, unbilled, state FROM charges('acme', '[2025-01-01,2025-02-01)');
SELECT sum(amount) AS billed FROM final_lines WHERE account = 'acme' AND period = '2025-01-01';

TABLE wrong;

-- The usage of whole months that are sealed for everybody may leave, but for a day at the border.
SELECT set_price('disk', '{"model":"per_unit","currency":"EUR","unit_price":"0.01"}', valid_from => '2025-03-01') \gset
SELECT use('beta', 'disk', '2025-02-10', 3), use('beta', 'disk', '2025-02-05', 9) \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT account, period, item, quantity, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
CALL seal_period('2025-04-01') \gset
-- a line can be explained as long as its usage is there
SELECT stage, what, amount FROM explain_line(1) WHERE amount IS NOT NULL;
-- an account that no run has seen keeps everything
SELECT set_account('gamma', time_zone => 'UTC'), use('gamma', 'calls', '2025-02-20', 1) \gset
SELECT partition, dropped_rows FROM drop_sealed_usage() WHERE dropped_rows > 0;
SELECT stage, what, amount FROM explain_line(1) WHERE amount IS NOT NULL;
CALL run_invoicing(through => '2025-04-01') \gset
SELECT partition, dropped_rows FROM drop_sealed_usage() WHERE dropped_rows > 0;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
CALL seal_period('2025-04-01') \gset
-- ids of months long sealed are forgotten: what comes again is new, and too late
BEGIN;
SELECT outcome FROM record_usage('{"id": "old", "account": "acme", "meter": "calls", "at": "2025-01-10T00:00:00Z", "quantity": 100}');
SELECT quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)') WHERE quantity = 100;
ROLLBACK;
-- the level that a time-weighted meter still has stays: 3, of 10 February
SELECT partition, dropped_rows FROM drop_sealed_usage() WHERE dropped_rows > 0;
SELECT month, row_count FROM billing.usage_dropped WHERE row_count > 0;
SELECT i.key AS meter, u.ends_at, quantity(u.consumed) AS level FROM billing.usage AS u JOIN billing.item AS i ON i.item_id = u.meter_id WHERE u.ends_at < '2025-03-01';
-- nothing is refunded for the usage that left, and the level goes on
CALL run_invoicing(through => '2025-05-01') \gset
SELECT account, period, item, quantity, amount FROM drafts;
-- once the meter has reported anew, the old report leaves too
SELECT use('beta', 'disk', '2025-04-20', 1) \gset
CALL run_invoicing(through => '2025-05-01') \gset
SELECT account, period, item, quantity, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-05-01', issue_date => '2025-05-01');
CALL seal_period('2025-05-01') \gset
CALL maintain_partitions('[2025-02-01,2025-03-01)');
SELECT partition, dropped_rows FROM drop_sealed_usage() WHERE dropped_rows > 0;
CALL run_invoicing(through => '2025-06-01') \gset
SELECT account, period, item, quantity, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-06-01', issue_date => '2025-06-01');

-- A partition that leaves in another way makes every run raise: billing now would refund it.
SELECT use('acme', 'calls', '2025-06-10', 5) \gset
CALL run_invoicing(through => '2025-07-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-07-01', issue_date => '2025-07-01');
SET ROLE billing_owner;
ALTER TABLE billing.usage DETACH PARTITION billing.usage_2025_06;
ALTER TABLE billing.usage_2025_06 RENAME TO lost;
RESET ROLE;
SELECT use('acme', 'calls', '2025-07-10', 5) \gset
CALL run_invoicing(through => '2025-08-01');
SELECT fails($$ SELECT * FROM preview_invoice('acme', '2025-08-01') $$), fails($$ SELECT * FROM charges('acme', '[2025-06-01,2025-07-01)') $$);
SELECT fails($$ SELECT bill_account('acme', '2025-08-01') $$);
SET ROLE billing_owner;
ALTER TABLE billing.lost RENAME TO usage_2025_06;
ALTER TABLE billing.usage ATTACH PARTITION billing.usage_2025_06 FOR VALUES FROM ('2025-06-01 00:00:00+00') TO ('2025-07-01 00:00:00+00');
RESET ROLE;
CALL run_invoicing(through => '2025-08-01') \gset
SELECT account, period, item, quantity, amount FROM drafts;
