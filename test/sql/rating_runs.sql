-- Runs (rules 2, 4 and 11): the watermark, what is new work, reproducibility, isolation levels, release of a new rating version.
\set ECHO none
\set test_database billing_rating_runs
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call', rounding => 'half_up', decimals => 3), set_fee('support') \gset
SELECT set_price('calls', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.5"}]}', valid_from => '2025-01-01'), set_price('support', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2025-01-01') \gset
\set ECHO all
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('beta', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('acme', 'calls', '2025-01-10', 15), use('beta', 'calls', '2025-01-10', 5) \gset
CALL run_invoicing(through => '2025-02-01', run_id => NULL);
-- The run's row: what it did, and its watermark, which is after all that it counted.
SELECT procedure, through, state, step, errors, counts, own_at IS NULL AS no_own_facts, finished_at > started_at AS ended, watermark_held_by FROM runs WHERE run_id = 1;
SELECT count(*) AS facts_at_or_after_the_watermark FROM billing.usage AS u WHERE u.recorded_at >= (SELECT known_at FROM runs WHERE run_id = 1);
-- A run that nothing new has come before looks at nothing; the watermark goes on.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, counts FROM runs WHERE run_id = :run_id;
SELECT (SELECT known_at FROM runs WHERE run_id = :run_id) > (SELECT known_at FROM runs WHERE run_id = 1) AS later, (SELECT last_known_at FROM billing.ledger_state) = (SELECT known_at FROM runs WHERE run_id = :run_id) AS stored;
-- New facts touch only their own account and period.
SELECT use('beta', 'calls', '2025-01-11', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT counts ->> 'periods_looked_at' AS periods FROM runs WHERE run_id = :run_id;

-- The watermark never goes back, even where the clock did, and facts are stamped after it.
SET ROLE billing_owner;
UPDATE billing.ledger_state SET last_watermark = last_watermark + interval '1 hour';
RESET ROLE;
BEGIN;
SELECT billing.recorded_at() > (SELECT last_watermark FROM billing.ledger_state) AS stamped_after_the_watermark, billing.watermark() = (SELECT last_watermark FROM billing.ledger_state) AS watermark_did_not_go_back;
ROLLBACK;
SET ROLE billing_owner;
UPDATE billing.ledger_state SET last_watermark = last_watermark - interval '1 hour';
RESET ROLE;
-- One stamp a transaction, and none before something is recorded.
BEGIN;
SELECT billing.own_stamp() IS NULL AS none_yet;
SELECT billing.recorded_at() = billing.recorded_at() AS one_stamp, billing.recorded_at() = billing.own_stamp() AS own;
ROLLBACK;

-- Only READ COMMITTED sees what was committed since: anything higher would lose facts for ever.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fails($$ SELECT billing.watermark() $$);
SELECT fails($$ SELECT bill_account('acme', '2025-02-01') $$);
ROLLBACK;
SET default_transaction_isolation = 'serializable';
CALL run_invoicing(through => '2025-02-01');
RESET default_transaction_isolation;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT procedure, state, failure FROM runs ORDER BY run_id DESC LIMIT 2;

-- Any past state can be asked for: as known at a run's watermark, whatever came later.
SELECT number, payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT use('acme', 'calls', '2025-01-12', 100), void_usage('beta', 'usage-2', reason => 'test'), set_subscription('acme', 'support', starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, quantity, owed FROM charges('acme', '[2025-01-01,2025-02-01)', known_at => (SELECT known_at FROM runs WHERE run_id = 1));
SELECT item, quantity, owed FROM charges('acme', '[2025-01-01,2025-02-01)');
SELECT item, quantity, owed FROM charges('beta', '[2025-01-01,2025-02-01)', known_at => (SELECT known_at FROM runs WHERE run_id = 1));
SELECT item, quantity, owed FROM charges('beta', '[2025-01-01,2025-02-01)');
-- every draft equals what charges() says at its run's watermark, now and whatever is recorded later
SELECT use('acme', 'calls', '2025-01-12', 1000), use('beta', 'calls', '2025-01-12', 1000) \gset
SELECT c.item, c.owed, c.owed = d.owed AND c.decided = d.decided AS same FROM billing.draft_line AS d JOIN billing.account AS a USING (account_id) LEFT JOIN LATERAL charges(a.key, '[2025-01-01,2025-02-01)', known_at => d.known_at) AS c ON c.charge = d.key_id ORDER BY a.key, c.item;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');
TABLE wrong;

-- A release that rates the same facts to another amount bills nobody: the difference becomes a decision, once.  What comes from new facts is billed.
SELECT use('acme', 'calls', '2025-01-13', 20) \gset
SET ROLE billing_owner;
CREATE OR REPLACE FUNCTION billing.rating_version() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 2 $$;
-- the new rules: quantities are rounded up to tens
CREATE OR REPLACE FUNCTION billing.round_quantity(quantity numeric, mode text, decimals int) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT ceil($1 / 10) * 10 $$;
RESET ROLE;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount, causes FROM drafts;
SELECT a.key AS account, d.kind, d.cause, d.amount, d.reason FROM billing.decision AS d JOIN billing.account AS a USING (account_id) ORDER BY a.key;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS decisions FROM billing.decision;
-- a period that no fact has touched since is not looked at; when one does, only the fact is billed
SELECT use('beta', 'calls', '2025-01-13', 12) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount, causes FROM drafts;
SELECT a.key AS account, d.kind, d.cause, d.amount FROM billing.decision AS d JOIN billing.account AS a USING (account_id) ORDER BY a.key;
