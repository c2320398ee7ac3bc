-- Nothing is silently dropped (rule 7): every piece of usage is counted by one charge, or listed with one reason; every reason is shown here, but for sealed: see rating_seal.
\set ECHO none
\set test_database billing_rating_unbilled
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('eu', unit => 'call', filter => '{"region":["eu"]}'), set_meter('gpu', unit => 'HUR'), set_meter('off', unit => 'call'), set_meter('tiers', unit => 'call'), set_meter('poison', unit => 'call') \gset
SELECT count(set_price(m, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01')) FROM unnest('{calls,eu,off,poison}'::text[]) AS m \gset
SET client_min_messages = warning;
SELECT set_price('gpu', '{"model":"matrix","currency":"EUR","dimensions":["model"],"cells":[{"match":{"model":"l4"},"unit_price":"1"}],"unmatched":"error"}', valid_from => '2025-01-01') \gset
RESET client_min_messages;
SELECT set_price('tiers', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2"},{"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
CREATE VIEW unbilled AS SELECT u.account_key AS account, u.meter, u.starts_at::date AS day, trim_scale(u.quantity) AS quantity, u.reason, u.detail FROM billing.unbilled_usage('[2024-12-01,2025-03-01)') AS u;
CREATE FUNCTION charge(account text, item text) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT c.charge FROM billing.charges_now AS c WHERE c.account = $1 AND c.item = $2 AND c.period_from = '2025-01-01' $$;
\set ECHO all
SELECT count(set_account(a, time_zone => 'UTC', starts_on => '2025-01-01')) FROM unnest('{billed,due,filter,cell,off,hole,negative,poison,frozen,waived,disputed,gone,changed,closed,currency}'::text[]) AS a \gset
SELECT sum(use(a, 'calls', '2025-01-10', 1)) FROM unnest('{billed,frozen,waived,disputed}'::text[]) AS a \gset

-- not_due: no run has looked at it.
SELECT use('due', 'calls', '2025-01-10', 1), use('due', 'calls', '2024-12-31 23:59', 1) \gset
SELECT account, meter, reason FROM unbilled WHERE account IN ('billed', 'due');
-- no_price: in a hole between prices, and of a meter without any price.
SELECT set_meter('free', unit => 'call'), remove_price('calls', valid_from => '2025-01-10', valid_to => '2025-01-12', account => NULL) \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-10', valid_to => '2025-01-11') \gset
SELECT use('hole', 'free', '2025-01-05', 7), use('hole', 'calls', '2025-01-11 12:00', 3), use('hole', 'calls', '2025-01-09', 4, to_at => '2025-01-13') \gset
-- filtered, unmatched_cell, meter_off, negative_quantity (the price has no meaning for it)
SELECT use('filter', 'eu', '2025-01-05', 1, '{"region":"us"}'), use('filter', 'eu', '2025-01-05', 1, '{"region":"eu"}'), use('cell', 'gpu', '2025-01-05', 1, '{"model":"h100"}'), use('cell', 'gpu', '2025-01-05', 1, '{"model":"l4"}'),
       use('off', 'off', '2025-01-05', 1), use('negative', 'tiers', '2025-01-05', -1) \gset
SELECT set_meter('off', enabled => false) \gset
-- rating_error: of a charge whose amount is out of range; the account's other charges are billed.
SELECT set_price('poison', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2025-01-01', account => 'poison') \gset
SELECT use('poison', 'poison', '2025-01-05', 1000), use('poison', 'calls', '2025-01-10', 1) \gset
-- no_agreement: the agreement ended; account_closed: so did the account.  Of an interval only what lies after the end.
SELECT use('gone', 'calls', '2025-01-05', 1), use('gone', 'calls', '2025-01-20', 1), use('gone', 'calls', '2025-01-14', 4, to_at => '2025-01-18') \gset
SELECT end_agreement('gone', valid_to => '2025-01-15') \gset
SELECT use('closed', 'calls', '2025-01-20', 1) \gset
SELECT end_agreement('closed', valid_to => '2025-01-15'), set_account('closed', status => 'closed', from_date => '2025-01-15') \gset
-- superseded: another fact took its place
SELECT use('changed', 'calls', '2025-01-05', 5, id => 'wrong'), use('changed', 'calls', '2025-01-06', 6, id => 'never') \gset
SELECT correct_usage('changed', 'wrong', 4), void_usage('changed', 'never', reason => 'test') \gset
-- currency: the account changed its currency; its old list charges nothing more
SELECT use('currency', 'calls', '2025-01-05', 1) \gset
SET ROLE billing_owner;
INSERT INTO billing.account_setting (account_id, setting_no, currency, time_zone, cycle_day) SELECT account_id, 2, 'USD', 'UTC', 1 FROM billing.account WHERE key = 'currency';
RESET ROLE;

CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors, counts -> 'unmatched_cells' AS unmatched_cells FROM runs WHERE run_id = :run_id;
TABLE unbilled;
-- before_start: before the first period of the account
SELECT account, meter, day, reason, detail FROM unbilled WHERE account = 'due';
-- on_hold: a frozen charge; usage that was billed before stays billed.  waived, disputed: given up altogether.
SELECT count(*) > 0 AS billed FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT freeze_charge(charge('frozen', 'calls'), 'unclear'), decide(charge('waived', 'calls'), '-1 EUR', 'waived', 'moved house'), decide(charge('disputed', 'calls'), '-1 EUR', 'dispute', 'lost') \gset
SELECT use('frozen', 'calls', '2025-01-10', 2) \gset
-- in_grace: the period has ended, and is not yet due
SELECT set_account('grace', time_zone => 'UTC', starts_on => '2025-01-01', grace => '100 years') \gset
SELECT use('grace', 'calls', '2025-01-10', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, meter, quantity, reason FROM unbilled WHERE account IN ('frozen', 'waived', 'disputed', 'grace');
-- not_due again: recorded after the last run
SELECT use('billed', 'calls', '2025-01-10', 1) \gset
SELECT account, meter, quantity, reason, detail FROM unbilled WHERE account = 'billed';

-- Usage included at price 0 is billed.
SELECT set_price('free', '{"model":"per_unit","currency":"EUR","unit_price":"0"}', valid_from => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, quantity, amount FROM drafts WHERE item = 'free';
SELECT account, meter, quantity, reason FROM unbilled WHERE account IN ('billed', 'hole');

-- Of two agreements each charges for itself, and for each what it does not charge is told: nothing is ambiguous.
SELECT set_price_list('extra'), set_price('eu', '{"model":"per_unit","currency":"EUR","unit_price":"3"}', valid_from => '2025-01-01', price_list => 'extra'),
       set_account('two', time_zone => 'UTC', starts_on => '2025-01-01'), set_agreement('two', key => 'extra', price_list => 'extra') \gset
SELECT use('two', 'calls', '2025-01-10', 5), use('two', 'eu', '2025-01-10', 7, '{"region":"eu"}') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT a.key AS agreement, d.item_key, d.quantity, d.amount FROM billing.draft_detail AS d JOIN billing.agreement AS a USING (agreement_id) WHERE d.account_key = 'two' ORDER BY 1, 2;
SELECT agreement, meter, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)', account => 'two');

-- of one account, and errors
SELECT account_key, meter, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)', account => 'cell');
SELECT fails($$ SELECT unbilled_usage('(,)') $$);
SELECT fails($$ SELECT unbilled_usage('[2025-01-01,2025-02-01)', account => 'nobody') $$);
TABLE wrong;
