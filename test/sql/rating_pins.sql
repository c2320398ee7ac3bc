-- What a closed period is billed by where its pin gives no answer (rule 4): no price was known then, or a charge could not be rated.
\set ECHO none
\set test_database billing_rating_pins
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('jobs', unit => 'job'), set_meter('traffic', unit => 'GB', dimensions => '{region}') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01', valid_to => '2025-01-10'), set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-20') \gset
\set ECHO all
---- No price at the pin: the first one known after it counts, and what changes it later is a difference of cause price.
SELECT set_account('gap', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('gap', 'calls', '2025-01-05', 10), use('gap', 'calls', '2025-01-15', 20) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT reason, sum(quantity) AS quantity FROM unbilled_usage('[2025-01-01,2025-02-01)') GROUP BY reason;
-- the gap is closed: nobody is asked what is meant
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-10', valid_to => '2025-01-20') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');
-- closed periods keep that price
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"5"}', valid_from => '2025-01-10', valid_to => '2025-01-20', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT * FROM held_now;
TABLE wrong;
-- late usage is billed by it
SELECT use('gap', 'calls', '2025-01-16', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT * FROM held_now;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-03');
-- taken away again it is held as well
SELECT remove_price('calls', valid_from => '2025-01-10', valid_to => '2025-01-20', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT * FROM held_now;
-- approved
SELECT account_key, period_from, cause, released FROM approve_corrections(item => 'calls', reason => 'never agreed');
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT * FROM held_now;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-04');
TABLE wrong;

---- A sealed period is billed again where an invoice of it is cancelled, and a preview says so.
CALL seal_period('2025-02-01') \gset
SELECT cancel_invoice(invoice_id, reason => 'wrong address', issue_date => '2025-02-04') AS credit_note FROM invoices WHERE number = 'INV-000003' \gset
SELECT period_from, item, kind, line_amount FROM preview_invoice('gap', through => '2025-02-01');
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, kind, amount, billed_before, causes FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-04');

---- A first price that comes together with a new version of the rating rules is no effect of the version.
SELECT set_account('upgraded', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('upgraded', 'calls', '2025-01-05', 2), use('upgraded', 'calls', '2025-01-15', 3) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-05', account => 'upgraded');
SELECT rating_version() + 1 AS version \gset
CREATE OR REPLACE FUNCTION billing.rating_version() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN :version;
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-10', valid_to => '2025-01-20', account => 'upgraded', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, kind, quantity, amount, billed_before FROM drafts;
SELECT count(*) AS decisions FROM billing.decision;
SELECT number, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-06');

---- A period stays open while a charge of it cannot be rated: the price that mends it is no correction.
SELECT set_account('poisoned', time_zone => 'UTC', starts_on => '2025-02-01') \gset
SELECT set_price('jobs', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-01') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"900000000000000"}', valid_from => '2025-02-01', account => 'poisoned') \gset
SELECT use('poisoned', 'calls', '2025-02-10', 1000), use('poisoned', 'jobs', '2025-02-10', 1) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01', account => 'poisoned');
SELECT account, period_from, state FROM charge_periods WHERE account = 'poisoned' AND period_from = '2025-02-01';
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.50"}', valid_from => '2025-02-01', account => 'poisoned') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, item, kind, quantity, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-02', account => 'poisoned');
SELECT account, period_from, state FROM charge_periods WHERE account = 'poisoned' AND period_from = '2025-02-01';
TABLE wrong;

---- A charge that cannot be rated only after its period was closed stays as it is; what it would owe by the prices known now is held.
SELECT set_account('beyond', time_zone => 'UTC', starts_on => '2025-02-01') \gset
SELECT set_price('calls', '{"model":"graduated","currency":"EUR","beyond":"error","tiers":[{"up_to":"10","unit_price":"1"}]}', valid_from => '2025-02-01', account => 'beyond') \gset
SELECT use('beyond', 'calls', '2025-02-10', 10) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-02', account => 'beyond');
SELECT use('beyond', 'calls', '2025-02-11', 5) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT reason, sum(quantity) AS quantity FROM unbilled_usage('[2025-02-01,2025-03-01)', 'beyond') GROUP BY reason;
SELECT set_price('calls', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.80"}]}', valid_from => '2025-02-01', account => 'beyond', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT count(*) AS drafts FROM drafts;
SELECT * FROM held_now;
SELECT account_key, period_from, cause, released FROM approve_corrections(account => 'beyond', reason => 'agreed');
CALL run_invoicing(through => '2025-03-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT account, item, kind, quantity, amount, billed_before, causes FROM drafts;
SELECT * FROM held_now;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-03', account => 'beyond');
-- a policy that bills price changes approves it by itself; the run after that bills
SELECT set_correction_policy('price', 'bill', account => 'beyond') \gset
SELECT set_price('jobs', '{"model":"graduated","currency":"EUR","beyond":"error","tiers":[{"up_to":"10","unit_price":"1"}]}', valid_from => '2025-02-01', account => 'beyond', applies_to => 'closed') \gset
SELECT use('beyond', 'jobs', '2025-02-12', 12) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT count(*) AS drafts FROM drafts;
SELECT set_price('jobs', '{"model":"per_unit","currency":"EUR","unit_price":"1.50"}', valid_from => '2025-02-01', account => 'beyond', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-03-01') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, item, kind, quantity, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-04', account => 'beyond');
TABLE wrong;

---- A cell that the matrix had not when the period was closed: held like any other change of a price, and listed until it is approved.
SELECT set_price('traffic', '{"model":"matrix","currency":"EUR","dimensions":["region"],"cells":[{"match":{"region":"eu"},"unit_price":"1"}]}', valid_from => '2025-01-01') \gset
SELECT set_account('cells', time_zone => 'UTC', starts_on => '2025-02-01') \gset
SELECT use('cells', 'traffic', '2025-02-10', 3, '{"region":"eu"}'), use('cells', 'traffic', '2025-02-10', 4, '{"region":"us"}') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT number, total FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-05', account => 'cells');
SELECT set_price('traffic', '{"model":"matrix","currency":"EUR","dimensions":["region"],"cells":[{"match":{"region":"eu"},"unit_price":"1"},{"match":{"region":"us"},"unit_price":"2"}]}', valid_from => '2025-01-01', applies_to => 'open') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT * FROM held_now WHERE account = 'cells';
SELECT reason, sum(quantity) AS quantity FROM unbilled_usage('[2025-02-01,2025-03-01)', 'cells') GROUP BY reason;
SELECT account_key, charge_group, cause, released FROM approve_corrections(account => 'cells', reason => 'agreed');
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, "of", kind, quantity, amount FROM drafts;
SELECT count(*) AS unbilled FROM unbilled_usage('[2025-02-01,2025-03-01)', 'cells');
TABLE wrong;

---- A late level of a consumer below the one an agreement names touches the later periods too.
SELECT set_meter('disk', unit => 'GB', aggregation => 'time_weighted'), set_price('disk', '{"model":"per_unit","currency":"EUR","unit_price":"0.01"}', valid_from => '2025-01-01') \gset
SELECT set_account('reseller', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('group', time_zone => 'UTC'), set_account('member', parent => 'group', time_zone => 'UTC') \gset
SELECT set_agreement('reseller', key => 'wholesale', consumer => 'group', with_descendants => true, price_list => 'default') \gset
SELECT use('member', 'disk', '2025-01-10', 1) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, item, "of", quantity, amount FROM drafts WHERE account = 'reseller';
SELECT use('member', 'disk', '2025-01-20', 2) \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, period, item, "of", quantity, amount FROM drafts WHERE account = 'reseller';

---- A cycle day announced ahead makes a short period: a run bills it when it ends, not with the month after.
SELECT set_account('short', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT set_account('short', cycle_day => 5, from_date => '2025-01-20') \gset
SELECT use('short', 'jobs', '2025-02-02', 1) \gset
CALL run_invoicing(through => '2025-02-01') \gset
CALL run_invoicing(through => '2025-02-05') \gset
SELECT account, period, item, quantity, amount FROM drafts WHERE account = 'short';
