-- What people decide about a charge (rule 3): goodwill, dispute, waiver; frozen charges; voided and cancelled invoices.
\set ECHO none
\set test_database billing_rating_decisions
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_fee('support') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01'), set_price('support', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2025-01-01') \gset
CREATE FUNCTION charge(account text, item text) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT c.charge FROM billing.charges_now AS c WHERE c.account = $1 AND c.item = $2 AND c.period_from = '2025-01-01' $$;
\set ECHO all
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('acme', 'calls', '2025-01-10', 100) \gset
CALL run_invoicing(through => '2025-02-01') \gset

-- A decision about a charge that is not yet billed lowers its first line; it is added to what is owed, so it outlives every re-run.
SELECT decide(charge('acme', 'calls'), '-30 EUR', 'goodwill', 'outage in January') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, causes FROM drafts;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT e.stage, e.what, e.amount FROM explain_line((SELECT max(line_id) FROM billing.line)) AS e WHERE e.amount IS NOT NULL;
-- after it was billed, and together with late usage: both causes are told
SELECT decide(charge('acme', 'calls'), '-10 EUR', 'dispute', 'counted test traffic'), use('acme', 'calls', '2025-01-11', 4) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');
-- a decision is taken back by its opposite, never changed
SELECT decide(charge('acme', 'calls'), '30 EUR', 'goodwill', 'there was no outage') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-03');
SELECT item, owed, decided, booked, unbilled FROM charges('acme', '[2025-01-01,2025-02-01)');
SELECT fails($$ SELECT decide(charge('acme', 'calls'), '5 EUR', 'goodwill', 'a gift that costs') $$);
SELECT fails($$ SELECT decide(charge('acme', 'calls'), '-5 USD', 'goodwill', 'wrong currency') $$);
SELECT fails($$ SELECT decide(charge('acme', 'calls'), '-5.005 EUR', 'goodwill', 'half a cent') $$);
SELECT fails($$ SELECT decide(charge('acme', 'calls'), '-5 EUR', 'goodwill', '') $$);
SELECT fails($$ SELECT decide(0, '-5 EUR', 'goodwill', 'nobody') $$);
TABLE wrong;

-- Frozen: nothing is drafted, billed or corrected for the charge, whatever the cause; its usage is on_hold.  A draft that was there stays and is not billed.
SELECT use('acme', 'calls', '2025-01-12', 7) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT freeze_charge(charge('acme', 'calls'), 'in dispute');
SELECT use('acme', 'calls', '2025-01-13', 8) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-04');
SELECT item, state FROM charges('acme', '[2025-01-01,2025-02-01)');
SELECT quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)');
SELECT count(*) AS lines FROM preview_invoice('acme', through => '2025-02-01');
-- the others of the account are billed as ever
SELECT set_subscription('acme', 'support', starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-04');
SELECT unfreeze_charge(charge('acme', 'calls'), 'settled');
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, kind, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-05');
TABLE wrong;

-- Voided before delivery, or cancelled by a credit note: the next run bills again what is owed, with the pins of old.
SELECT set_account('beta', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('beta', 'calls', '2025-01-10', 50) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-06');
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"9"}', valid_from => '2025-01-01', applies_to => 'open') \gset
SELECT void_invoice((SELECT max(number) FROM invoices WHERE payer = 'beta'), 'wrong address');
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-06');
SELECT mark_delivered((SELECT max(invoice_id) FROM invoices WHERE payer = 'beta'));
-- a correction in between, then the first of the two is cancelled: the chain goes 50, -50, 50, +5, -50, +50
SELECT use('beta', 'calls', '2025-01-11', 5) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-07');
SELECT cancel_invoice((SELECT min(i.invoice_id) FROM invoices AS i WHERE i.payer = 'beta' AND i.state = 'delivered'), 'wrong buyer', issue_date => '2025-02-08') > 0 AS cancelled;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, kind, amount, billed_before, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-09');
SELECT invoice, kind, amount FROM final_lines WHERE account = 'beta';
-- waived: the charge is cancelled for good, by a decision
SELECT cancel_invoice((SELECT max(i.invoice_id) FROM invoices AS i WHERE i.payer = 'beta'), 'given up', waive => true, issue_date => '2025-02-10') > 0 AS cancelled;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT item, owed, decided, booked, unbilled FROM charges('beta', '[2025-01-01,2025-02-01)');
TABLE wrong;

-- A draft that does not continue the chain any more is refused.
SELECT use('acme', 'calls', '2025-01-14', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
UPDATE billing.draft_line SET booked_before = booked_before + '1 EUR', chain_no = chain_no - 1 WHERE agreement_id = (SELECT agreement_id FROM billing.agreement AS g JOIN billing.account AS a ON a.account_id = g.buyer_id WHERE a.key = 'acme');
SELECT fails($$ SELECT finalize_invoices(through => '2025-02-01', issue_date => '2025-02-10') $$);
-- chains cannot fork, start from a wrong sum or skip a link, whoever writes (rule 3)
CREATE FUNCTION forge(no int, before numeric, amount numeric, after numeric) RETURNS text LANGUAGE sql AS $$
    SELECT fails(format('INSERT INTO billing.line (account_id, key_id, chain_no, booked_before, amount, booked_after, invoice_id, line_no, kind, stage, seller_id, period_from, period_to, item_key, item_name,
                                account_key, consumer_key, tax_point_date, known_at, rating_version, run_id)
                         SELECT account_id, key_id, %s, monetary(%s, ''EUR''), monetary(%s, ''EUR''), monetary(%s, ''EUR''), invoice_id, 99, ''charge'', 1, seller_id, period_from, period_to, item_key, item_name,
                                account_key, consumer_key, tax_point_date, known_at, rating_version, run_id FROM billing.line WHERE line_id = 1', no, before, amount, after)) $$;
SELECT chain_no, booked_before, amount, booked_after FROM billing.line WHERE key_id = 1 ORDER BY chain_no;
SELECT forge(5, 100, 1, 101) AS "starts from a wrong sum", forge(6, 109, 1, 110) AS "skips a link";
SELECT forge(4, 94, 1, 95) AS "forks the chain", forge(5, 109, 1, 111) AS "does not add up";
SELECT forge(5, 109, 1, 110) AS "continues the chain";
-- what is final nobody changes, not even the owner
SET ROLE billing_owner;
SELECT fails($$ UPDATE billing.line SET amount = amount $$);
SELECT fails($$ DELETE FROM billing.line $$);
SELECT fails($$ TRUNCATE billing.line $$);
RESET ROLE;
