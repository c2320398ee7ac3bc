-- Usage told to Kill Bill, corrected, billed there and reconciled; and our own invoices told as charges.
\set test_database billing_killbill_billing
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set include :source /lib/killbill.psql
\i :include
SET client_min_messages = error;
\set include :source /lib/killbill_customer.psql
\i :include
SELECT killbill_mirror_account('kb', 'acme') \gset
SELECT count(*) FROM deliver(found(('{"accountId": "' || id(1) || '", "currency": "EUR", "name": "Acme AG", "address1": "Kurze Gasse 2", "postalCode": "80331", "city": "Muenchen", "country": "DE"}')::jsonb)) \gset
SELECT set_resource('acme', 'vm-1'), killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-1') \gset
SELECT count(*) FROM deliver(found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server", "state": "ACTIVE"}')::jsonb)) \gset
CREATE FUNCTION use(name text, unit text, at timestamptz, quantity numeric, resource text DEFAULT 'vm-1') RETURNS text LANGUAGE sql AS
$$ SELECT outcome FROM record_usage(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('id', name, 'account', 'acme', 'meter', CASE unit WHEN 'gb' THEN 'server/traffic/gb' ELSE 'server/line/peak' END, 'resource', resource, 'at', at, 'quantity', quantity::text)))) $$;

-- Fractions are carried on inside the period: 0.4 + 0.4 + 0.4 are told as 1, 0 and 1. The day is that of the account's zone.
SELECT use('1', 'gb', '2026-01-09T23:30:00Z', 0.4), use('2', 'gb', '2026-01-12T12:00:00Z', 0.4), use('3', 'gb', '2026-01-13T12:00:00Z', 0.4), use('4', 'peak', '2026-01-13T12:00:00Z', 7.5), use('5', 'peak', '2026-01-14T12:00:00Z', 3);
SELECT * FROM killbill_push_usage('kb', through => '2026-01-20');
SELECT * FROM deliver('{"status": 201, "body": ""}');
-- Nothing new: nothing is told. Less in a running period is told as less, a lower peak waits.
SELECT * FROM killbill_push_usage('kb', through => '2026-01-20');
SELECT correct_usage('acme', '1', 0.1), correct_usage('acme', '4', 2), use('6', 'gb', '2026-01-19T12:00:00Z', 88) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-01-20');
-- The answer is lost, the server knows the tracking id, the lock was busy, the server is broken, usage is refused.
SELECT * FROM deliver('{"error": "timeout", "sent": true}');
SELECT * FROM deliver(refused(400, 4, 'Failed to process invoice items: failed to acquire lock'));
SELECT * FROM deliver('{"status": 500, "body": "<html>"}');
SELECT * FROM deliver(refused(400, 50000));
SELECT unit, record_date, push_no, amount, tracking_id FROM killbill_usage ORDER BY 3, 1, 2;
-- What nothing subscribes to is told to nobody.
SELECT use('7', 'gb', '2026-01-19T12:00:00Z', 5, 'vm-2'), set_resource('acme', 'vm-2') \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-01-20');

-- February: late usage of January goes as usage, once, on a day of January.
SELECT use('8', 'gb', '2026-01-31T22:30:00Z', 2) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-02-05');
SELECT * FROM deliver('{"status": 201}');
-- Less usage in a period that has ended becomes a credit: 91 gb were 10 blocks at 0.50, 21 are 3.
SELECT correct_usage('acme', '6', 18) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-02-05');
SELECT * FROM deliver(found('[]'), '{"error": "cut", "sent": true}');
SELECT * FROM deliver(found(('[{"invoiceId": "' || id(40) || '", "status": "COMMITTED", "invoiceNumber": "2", "invoiceDate": "2026-02-05", "currency": "EUR", "amount": 0.00, "balance": 0.00,
    "items": [{"invoiceItemId": "' || id(41) || '", "invoiceId": "' || id(40) || '", "itemType": "CREDIT_ADJ", "amount": -3.50, "itemDetails": "billing:0123456789ab:adjustment:1", "startDate": "2026-02-05"}]}]')::jsonb));
-- The same again is no news. In April even more usage of January is too late for the server and becomes a charge.
SELECT * FROM killbill_push_usage('kb', through => '2026-02-06');
SELECT use('9', 'gb', '2026-01-20T12:00:00Z', 30) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-01-01');
SELECT * FROM deliver(found('[]'), '{"status": 200, "body": []}', found(('[{"invoiceId": "' || id(42) || '", "status": "COMMITTED", "invoiceNumber": "4", "invoiceDate": "2026-04-10", "currency": "EUR", "amount": 1.50, "balance": 1.50,
    "items": [{"invoiceItemId": "' || id(43) || '", "invoiceId": "' || id(42) || '", "itemType": "EXTERNAL_CHARGE", "amount": 1.50, "itemDetails": "billing:0123456789ab:adjustment:2", "startDate": "2026-01-01"}]}]')::jsonb));
SELECT external_key, usage_name, period_from, quantities, amount, invoice_id FROM killbill_adjustment;

-- What rises again after such a correction is money too: the server still has what it was told first.
BEGIN;
SELECT use('c1', 'peak', '2026-02-10T12:00:00Z', 60), use('c2', 'gb', '2026-02-10T12:00:00Z', 95) \gset
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-02-20', since => '2026-02-01');
SELECT correct_usage('acme', 'c1', 5), correct_usage('acme', 'c2', 41) \gset
SELECT usage_name, outcome, amount FROM killbill_push_usage('kb', through => '2026-03-05', since => '2026-02-01') ORDER BY 1;
SELECT use('c3', 'peak', '2026-02-11T12:00:00Z', 50), use('c4', 'gb', '2026-02-11T12:00:00Z', 7) \gset
SELECT usage_name, outcome, amount FROM killbill_push_usage('kb', through => '2026-03-06', since => '2026-02-01') ORDER BY 1;
SELECT usage_name, outcome, amount FROM killbill_push_usage('kb', through => '2026-03-07', since => '2026-02-01') ORDER BY 1;
-- back to what the server was told: nothing is left of the corrections
SELECT correct_usage('acme', 'c3', 60), correct_usage('acme', 'c4', 54) \gset
SELECT usage_name, outcome, amount FROM killbill_push_usage('kb', through => '2026-03-08', since => '2026-02-01') ORDER BY 1;
SELECT usage_name, sum(amount) FROM killbill_adjustment WHERE period_from = '2026-02-01' GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- An end that is set later: what was told of days after it the server does not bill, and refuses to hear more of.  What is not told any more is named.
BEGIN;
SELECT use('e1', 'gb', '2026-04-05T12:00:00Z', 50), use('e2', 'gb', '2026-04-20T12:00:00Z', 40) \gset
SELECT external_key, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-25', since => '2026-04-01');
SELECT killbill_cancel('kb', 's-1', '2026-04-16') \gset
SELECT external_key, usage_name, period_from, outcome, amount, detail FROM killbill_push_usage('kb', through => '2026-04-26', since => '2026-04-01') WHERE usage_name <> 'server/traffic/gb' OR external_key = 'acme';
-- Late usage of days before the end is money, because nothing may be invoiced any more.
SELECT use('e3', 'gb', '2026-04-06T12:00:00Z', 10) \gset
SELECT external_key, usage_name, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-26', since => '2026-04-01') WHERE outcome <> 'nowhere';
-- Once the server has billed days after the end, their usage counts as told, and is given back.
INSERT INTO killbill_invoice SELECT 'kb', id(77)::uuid, account_id, '9', 'COMMITTED', '2026-04-25', '2026-05-01', 'EUR', 4.5, 0 FROM killbill_account;
INSERT INTO killbill_item SELECT 'kb', id(78)::uuid, id(77)::uuid, 'USAGE', killbill_id, 'server', 'traffic', '2026-04-01', '2026-05-01', 4.5 FROM killbill_subscription;
SELECT external_key, usage_name, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-26', since => '2026-04-01') WHERE outcome <> 'nowhere';
ROLLBACK;

-- It ended there and nobody here knew: the server refuses usage without a word, which says so when it is looked at.
BEGIN;
SELECT use('g1', 'gb', '2026-04-05T12:00:00Z', 30), use('g2', 'gb', '2026-04-12T12:00:00Z', 40) \gset
SELECT external_key, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-15', since => '2026-04-01');
SELECT * FROM deliver('{"status": 400, "body": "<html>"}', found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "state": "ACTIVE"}')::jsonb));
SELECT * FROM deliver('{"status": 400, "body": ""}', found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "state": "CANCELLED", "cancelledDate": "2026-04-09", "billingEndDate": "2026-04-09"}')::jsonb));
SELECT state, ends_on, usage_to FROM killbill_subscription WHERE external_key = 's-1';
SELECT external_key, usage_name, period_from, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-09', since => '2026-04-01');
SELECT payload -> 'records' FROM message WHERE kind = 'usage' ORDER BY message_id DESC LIMIT 1;
ROLLBACK;

-- Usage of a closed account is a charge; usage older than four months is looked at when it was recorded lately.
BEGIN;
SELECT use('k1', 'gb', '2026-04-05T12:00:00Z', 30) \gset
SELECT external_key, outcome, amount FROM killbill_push_usage('kb', through => '2026-04-15', since => '2026-04-01');
UPDATE killbill_account SET state = 'closed';
UPDATE killbill_subscription SET state = 'cancelled', ends_on = '2026-05-01', usage_to = '2026-04-15';
SELECT use('k2', 'gb', '2026-04-06T12:00:00Z', 10), use('k3', 'gb', '2026-04-16T12:00:00Z', 20) \gset
SELECT external_key, usage_name, outcome, amount, detail FROM killbill_push_usage('kb', through => '2026-04-20', since => '2026-04-01');
SELECT killbill_late_from('kb', current_date - 30), killbill_late_from('kb', '2026-01-01');
ROLLBACK;

-- A pause and a version for existing subscriptions cut what the server bills: tiers and prices anew in each part, nothing for the pause.
BEGIN;
SELECT killbill_store_subscription('kb', 's-1', ('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "state": "ACTIVE", "events": [{"eventType": "PAUSE_BILLING", "effectiveDate": "2026-02-10"},
    {"eventType": "RESUME_BILLING", "effectiveDate": "2026-02-20"}, {"eventType": "PAUSE_BILLING", "effectiveDate": "2026-04-10"}, {"eventType": "RESUME_BILLING", "effectiveDate": "2026-04-10"}]}')::jsonb) \gset
SELECT date_from, date_to, cycle_from, cycle_to FROM killbill_spans('kb', '[2026-02-01,2026-05-01)') ORDER BY 1;
-- the zone decides on which day a version begins
SELECT count(*) FROM killbill_import_catalog(replace(replace(catalog('2026-03-11T00:00:00Z')::text, '0.50', '1.00'), '<product>Server</product>', '<effectiveDateForExistingSubscriptions>2026-03-11T00:00:00Z</effectiveDateForExistingSubscriptions><product>Server</product>')::xml, 'kb', applies_to => 'closed') \gset
SELECT date_from, date_to FROM killbill_spans('kb', '[2026-03-01,2026-04-01)') ORDER BY 1;
SELECT p.period_from, (killbill_section('kb', 's-1', 'traffic', p.period_from)).section #>> '{tiers,0,blocks,0,prices,0,value}' FROM unnest('{2026-03-01,2026-03-11,2026-03-12}'::date[]) AS p (period_from);
SELECT use('v1', 'gb', '2026-02-05T12:00:00Z', 5), use('v2', 'gb', '2026-02-15T12:00:00Z', 6), use('v3', 'gb', '2026-02-25T12:00:00Z', 7), use('v4', 'gb', '2026-03-05T12:00:00Z', 8), use('v5', 'gb', '2026-03-25T12:00:00Z', 9) \gset
SELECT external_key, usage_name, period_from, outcome, amount, detail FROM killbill_push_usage('kb', through => '2026-03-26', since => '2026-02-01') WHERE external_key = 's-1';
SELECT payload -> 'records' FROM message WHERE kind = 'usage' ORDER BY message_id DESC LIMIT 1;
SELECT period_from, period_to, ours, told FROM killbill_expected('kb', '[2026-02-01,2026-04-01)') ORDER BY 1;
-- west of Greenwich a day earlier
SELECT set_account('acme', time_zone => 'America/Los_Angeles') \gset
SELECT date_from, date_to FROM killbill_spans('kb', '[2026-03-01,2026-04-01)') ORDER BY 1;
-- items: what a pause and a version take back and bill anew is explained, what nothing explains is not
INSERT INTO killbill_invoice SELECT 'kb', id(60)::uuid, account_id, '9', 'COMMITTED', '2026-02-01', '2026-04-01', 'EUR', 9, 0 FROM killbill_account;
INSERT INTO killbill_item SELECT 'kb', id(i.n)::uuid, id(60)::uuid, i.type, s.killbill_id, 'server', NULL, i.starts_on, i.ends_on, i.amount, NULL, NULL, id(i.linked)::uuid
  FROM (VALUES (61, 'RECURRING', date '2026-02-01', date '2026-03-01', 9.00, NULL::int), (62, 'REPAIR_ADJ', '2026-02-10', '2026-03-01', -6.11, 61), (63, 'RECURRING', '2026-02-20', '2026-03-01', 2.89, NULL),
               (64, 'RECURRING', '2026-04-01', '2026-05-01', 9.00, NULL), (65, 'REPAIR_ADJ', '2026-04-12', '2026-05-01', -5.70, 64)) AS i (n, type, starts_on, ends_on, amount, linked)
 CROSS JOIN killbill_subscription AS s;
SELECT subject, period_from, period_to, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-02-01,2026-05-01)') WHERE subject LIKE 'invoice%' ORDER BY 2;
ROLLBACK;

-- Usage that waits until its period is over: less of it would stop the server's invoices, what is too old would be ignored.  It is not told; the next push tells it as money.
BEGIN;
SELECT use('w1', 'gb', '2026-04-05T12:00:00Z', 95) \gset
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-04-20', since => '2026-04-01');
SELECT * FROM deliver('{"status": 201}');
SELECT correct_usage('acme', 'w1', 15) \gset
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-04-21', since => '2026-04-01');
UPDATE message SET enqueued_at = '2026-04-20 12:00Z' WHERE state = 'waiting';
SELECT killbill_is_stale('kb', 's-1', payload -> 'records', '2026-04-20 12:00Z', n.at) FROM message CROSS JOIN unnest('{2026-04-20 12:00Z,2026-04-30 12:00Z,2026-05-01 12:00Z}'::timestamptz[]) AS n (at) WHERE state = 'waiting' ORDER BY n.at;
SELECT * FROM deliver();
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-05-02', since => '2026-04-01');
ROLLBACK;
BEGIN;
SELECT use('w2', 'gb', '2026-04-05T12:00:00Z', 70) \gset
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-04-20', since => '2026-04-01');
SELECT killbill_is_stale('kb', 's-1', payload -> 'records', '2026-04-20 12:00Z', n.at) FROM message CROSS JOIN unnest('{2026-05-20 12:00Z,2026-06-20 12:00Z}'::timestamptz[]) AS n (at) WHERE state = 'waiting' ORDER BY n.at;
UPDATE message SET enqueued_at = '2026-04-20 12:00Z' WHERE state = 'waiting';
SELECT * FROM deliver();
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-07-01', since => '2026-04-01');
ROLLBACK;
-- A subscription stays with its resource when only its fields change; a meter with its unit once usage was told.
BEGIN;
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', fields => '{"po": "1"}') \gset
SELECT resource_id IS NOT NULL, fields FROM killbill_subscription WHERE external_key = 's-1';
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-2')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', overrides => '[]')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', fields => '{"po": ""}')$$);
SELECT fails($$SELECT killbill_set_unit('kb', 'server/traffic/gb', 'server', 'peak', 1)$$);
ROLLBACK;

-- Limits of the server. A capacity above its last tier and an item of 1,000,000 would stop its invoices for the account: not told, others are.
BEGIN;
SELECT use('l1', 'peak', '2026-04-05T12:00:00Z', 101), use('l2', 'gb', '2026-04-05T12:00:00Z', 20) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT correct_usage('acme', 'l1', 100), use('l3', 'gb', '2026-04-06T12:00:00Z', 20000000) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT correct_usage('acme', 'l3', 19999960) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
-- The same when it is too late for usage: a capacity has no price above its last tier.
SELECT correct_usage('acme', 'l1', 101) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-08-10', since => '2026-04-01');
ROLLBACK;
-- Beyond the last tier of blocks the server bills nothing, and it is said. Records above 999,999,999 go in parts.
BEGIN;
UPDATE killbill_price SET section = jsonb_set(section, '{tiers,0,blocks,0,max}', '"3"') WHERE usage_name = 'traffic';
SELECT use('l4', 'gb', '2026-04-05T12:00:00Z', 31) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT * FROM jsonb_path_query(killbill_usage_body(NULL, '{"tracking_id": "t", "records": [{"unit": "gb", "day": "2026-04-05", "amount": 1900000000}]}', false, 'UTC'), '$.unitUsageRecords[*].usageRecords[*].amount');
ROLLBACK;

-- Usage whose message is discarded was not told: the next push tells it anew, whatever has become of it, and names what is held back.
BEGIN;
SELECT use('x1', 'gb', '2026-04-05T12:00:00Z', 40) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT d FROM deliver(refused(400, 1, 'no such unit')) AS d OFFSET 2;
SELECT external_key, outcome, regexp_replace(detail, '[0-9]+', '…') AS detail FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT discard_message(message_id, 'wrong unit, push again later') FROM message WHERE state = 'dead' \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT count(*), sum(amount) FROM killbill_usage WHERE record_date = '2026-04-05';
-- Sent, and the answer lost: a later refusal does not say that the server has it not. Discarded, it goes again under its tracking id.
SELECT d FROM deliver('{"error": "timeout", "sent": true}') AS d OFFSET 2;
SELECT d FROM deliver(refused(400, 1, 'no such unit')) AS d OFFSET 2;
SELECT min(tracking_id::text) AS former FROM killbill_usage WHERE record_date = '2026-04-05' \gset
SELECT discard_message(message_id, 'push again later') FROM message WHERE state = 'dead' \gset
SELECT subject, reason FROM killbill_reconcile('kb', '[2026-04-01,2026-05-01)') WHERE subject LIKE '% traffic';
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT strpos(string_agg(d, ' '), :'former') > 0 AS same_tracking_id FROM deliver(refused(400, 50000)) AS d;
SELECT count(*), sum(amount) FROM killbill_usage WHERE record_date = '2026-04-05';
-- Never sent at all, and too late for the server when it is discarded: it becomes money.
SELECT use('x2', 'gb', '2026-04-06T12:00:00Z', 40) \gset
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT discard_message(max(message_id), 'not now') FROM message \gset
SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-08-10', since => '2026-04-01');
-- A correction that is discarded is told again, and looks first.
SELECT discard_message(max(message_id), 'not now') FROM message \gset
SELECT outcome, amount, detail FROM killbill_push_usage('kb', through => '2026-08-10', since => '2026-04-01');
SELECT count(*) FROM killbill_push_usage('kb', through => '2026-08-10', since => '2026-04-01');
SELECT kind, state FROM message ORDER BY message_id DESC LIMIT 2;
ROLLBACK;

-- Decimals where they are wanted: 9 of them, rounded up, at noon of the account's day; not for a server that would cut them off.
BEGIN;
ALTER SERVER kb OPTIONS (ADD usage_decimals 'true');
SELECT use('d1', 'gb', '2026-04-05T12:00:00Z', 0.1234567891), use('d2', 'gb', '2026-04-06T12:00:00Z', 7) \gset
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT regexp_replace(d, '"trackingId": "[^"]*"', '"trackingId": …') FROM deliver('{"status": 201}') AS d;
SELECT use('d3', 'gb', '2026-04-06T12:00:00Z', 0.5) \gset
INSERT INTO killbill_server (endpoint, version) VALUES ('kb', '0.22.26');
SELECT * FROM killbill_push_usage('kb', through => '2026-04-10', since => '2026-04-01');
SELECT * FROM deliver();
ROLLBACK;

-- Reconciling: nothing was read; the server bills otherwise; it bills right.
SELECT * FROM killbill_reconcile('kb', '[2026-01-01,2026-02-01)');
SELECT killbill_pull_invoices('kb'), killbill_pull_invoices('kb');
CREATE FUNCTION invoice_of_january(traffic numeric) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('status', 200, 'body', ('[{"invoiceId": "' || id(30) || '", "status": "COMMITTED", "invoiceNumber": "1", "invoiceDate": "2026-02-01", "targetDate": "2026-02-01", "currency": "EUR", "amount": 17.00, "balance": 17.00, "items": [
  {"invoiceItemId": "' || id(31) || '", "invoiceId": "' || id(30) || '", "itemType": "RECURRING", "subscriptionId": "' || id(10) || '", "planName": "server", "amount": 9.00, "startDate": "2026-01-01", "endDate": "2026-02-01"},
  {"invoiceItemId": "' || id(32) || '", "invoiceId": "' || id(30) || '", "itemType": "USAGE", "subscriptionId": "' || id(10) || '", "planName": "server", "usageName": "traffic", "amount": ' || traffic || ', "startDate": "2026-01-01", "endDate": "2026-02-01"},
  {"invoiceItemId": "' || id(33) || '", "invoiceId": "' || id(30) || '", "itemType": "USAGE", "subscriptionId": "' || id(10) || '", "planName": "server", "usageName": "line", "amount": 5.00, "startDate": "2026-01-01", "endDate": "2026-02-01"},
  {"invoiceItemId": "' || id(34) || '", "invoiceId": "' || id(30) || '", "itemType": "EXTERNAL_CHARGE", "amount": 1.00, "description": "set-up", "startDate": "2026-01-05"}]}]')::jsonb) $$;
SELECT count(*) FROM deliver(found(jsonb_build_object('accountId', id(1), 'accountBalance', 17.00, 'accountCBA', 0)), invoice_of_january(4.50), found(('[{"paymentId": "' || id(50) || '", "targetInvoiceId": "' || id(30) || '", "purchasedAmount": 2.00, "refundedAmount": 0, "currency": "EUR",
    "transactions": [{"status": "SUCCESS", "effectiveDate": "2026-02-02T00:00:00.000Z"}]}]')::jsonb), found('[]')) \gset
SELECT subject, ours, theirs, difference, reason FROM killbill_reconcile('kb', '[2026-01-01,2026-02-01)');
SELECT killbill_pull_invoices('kb', 'acme') \gset
SELECT count(*) FROM deliver(found(jsonb_build_object('accountId', id(1), 'accountBalance', 17.00, 'accountCBA', 0)), invoice_of_january(5.00), found('[]'), found('[]')) \gset
SELECT subject, ours, theirs, difference, reason FROM killbill_reconcile('kb', '[2026-01-01,2026-02-01)');
SELECT number, status, amount, balance, payment_state, paid FROM killbill_invoices ORDER BY 1;
SELECT fails($$SELECT * FROM killbill_reconcile('kb', '(,)')$$);

-- ---------------------------------------------------------------- our invoices

SELECT set_tax_rate('vat', rate => 19), set_seller('northwind', default_tax_code => 'vat'), set_price_list('own', 'EUR'), set_meter('calls', unit => 'call'), set_fee('base', in_advance => true) \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.70"}', valid_from => '2026-01-01', price_list => 'own'),
       set_price('base', '{"model":"per_unit","currency":"EUR","unit_price":"1500000"}', valid_from => '2026-01-01', price_list => 'own') AS fee,
       set_account('beta', currency => 'EUR', time_zone => 'UTC', price_list => 'own', starts_on => '2026-01-01'), set_subscription('beta', 'base', starts_on => '2026-01-01', ends_on => '2026-02-01') \gset
SELECT outcome FROM record_usage('[{"id":"b1","account":"beta","meter":"calls","at":"2026-01-10T00:00:00Z","quantity":"71"}]') \gset
CALL run_invoicing('2026-02-01', NULL) \gset
SELECT number, total FROM finalize_invoices('2026-02-01', issue_date => '2026-02-01', account => 'beta');
SELECT * FROM killbill_push_invoices('kb', 'INV-000001');
SELECT killbill_mirror_account('kb', 'beta', auto_invoicing => false) \gset
SELECT count(*) FROM deliver(found(('{"accountId": "' || id(2) || '", "currency": "EUR", "name": "beta"}')::jsonb), '{"status": 201}') \gset
SELECT * FROM killbill_push_invoices('kb');
SELECT * FROM killbill_push_invoices('kb', 'INV-000001');
CREATE FUNCTION item(no int, kind text, amount text, details text, description text DEFAULT 'x') RETURNS jsonb LANGUAGE sql AS
$$ SELECT ('{"invoiceItemId": "' || id(no) || '", "invoiceId": "' || id(60) || '", "itemType": "' || kind || '", "amount": ' || amount || ', "itemDetails": ' || coalesce('"' || details || '"', 'null') || ', "description": "' || description || '", "startDate": "2026-01-01"}')::jsonb $$;
CREATE FUNCTION draft(status text, VARIADIC items jsonb[]) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('invoiceId', id(60), 'status', status, 'invoiceNumber', '9', 'invoiceDate', '2026-02-01', 'currency', 'EUR', 'amount', 0, 'balance', 0, 'items', to_jsonb(items)) $$;
-- An invoice whose message is discarded is told again.
BEGIN;
SELECT discard_message(max(message_id), 'not now') FROM message \gset
SELECT * FROM killbill_push_invoices('kb');
SELECT * FROM killbill_push_invoices('kb', 'INV-000001');
SELECT kind, state FROM message ORDER BY message_id DESC LIMIT 2;
ROLLBACK;
-- Nothing there: charges make the draft (1,500,000 in two parts); then the connection breaks.
SELECT regexp_replace(d, 'startDate=[-0-9]*', 'startDate=…') FROM deliver(found('[]'), '{"error": "timeout", "sent": true}') AS d;
-- The draft is found with one part; the rest is added, read back, committed, and confirmed.
SELECT l.line_id FROM line AS l WHERE l.item_key = 'base' \gset base_
SELECT l.line_id FROM line AS l WHERE l.item_key = 'calls' \gset calls_
SELECT item(61, 'EXTERNAL_CHARGE', '999999', 'billing:0123456789ab:line:' || :base_line_id) AS first, item(62, 'EXTERNAL_CHARGE', '500001.00', 'billing:0123456789ab:line:' || :base_line_id) AS second, item(63, 'EXTERNAL_CHARGE', '49.70', 'billing:0123456789ab:line:' || :calls_line_id) AS third,
       item(64, 'TAX', '285009.44', NULL, 'Tax S 19% [billing:0123456789ab:tax:INV-000001:1]') AS tax \gset
SELECT regexp_replace(d, 'startDate=[-0-9]*', 'startDate=…') FROM deliver(found(jsonb_build_array(draft('VOID', :'second'), draft('DRAFT', :'first'))), '{"status": 200, "body": []}', found(draft('DRAFT', :'first', :'second', :'third')), '{"status": 200, "body": []}',
    found(draft('DRAFT', :'first', :'second', :'third', :'tax')), '{"status": 204}', found(draft('COMMITTED', :'first', :'second', :'third', :'tax'))) AS d;
SELECT killbill_id, committed_at IS NOT NULL FROM killbill_pushed_invoice;
-- Made void between two requests: neither committed nor told, tried again from the start.
UPDATE message SET state = 'waiting', finished_at = NULL, progress = NULL WHERE kind = 'invoice';
SELECT d FROM deliver(found(jsonb_build_array(draft('DRAFT', :'first', :'second', :'third', :'tax'))), refused(400, 4023), found(draft('VOID', :'first', :'second', :'third', :'tax'))) AS d OFFSET 2;
-- A second connector that comes too late finds everything done; foreign and double items stop it before the commit.
UPDATE message SET state = 'waiting', next_try_at = NULL, progress = NULL WHERE kind = 'invoice';
SELECT d FROM deliver(found(jsonb_build_array(draft('COMMITTED', :'first', :'second', :'third', :'tax')))) AS d OFFSET 2;
UPDATE message SET state = 'waiting', finished_at = NULL, progress = NULL WHERE kind = 'invoice';
SELECT d FROM deliver(found(jsonb_build_array(draft('DRAFT', :'first', :'second', :'third', :'tax', item(65, 'EXTERNAL_CHARGE', '1.00', NULL, 'by hand'))))) AS d OFFSET 2;
UPDATE message SET state = 'waiting', finished_at = NULL, progress = NULL WHERE kind = 'invoice';
SELECT d FROM deliver(found(jsonb_build_array(draft('DRAFT', :'first', :'first', :'second', :'third', :'tax')))) AS d OFFSET 2;
-- A credit note: the first credit makes the draft, alone; the tax goes as a credit too.
UPDATE message SET state = 'delivered' WHERE kind = 'invoice';
SELECT correct_usage('beta', 'b1', 60) \gset
CALL run_invoicing('2026-03-01', NULL) \gset
SELECT number, total FROM finalize_invoices('2026-03-01', issue_date => '2026-03-01', account => 'beta');
SELECT * FROM killbill_push_invoices('kb');
SELECT l.line_id FROM line AS l WHERE l.kind = 'correction' \gset note_
-- Told before references named the ledger: its own references are recognised, also later.
UPDATE killbill_pushed_invoice AS p SET reference = 'billing:' FROM invoice AS i WHERE i.invoice_id = p.invoice_id AND i.number = 'CN-000001';
SELECT regexp_replace(d, 'startDate=[-0-9]*', 'startDate=…') FROM deliver(found('[]'), '{"status": 200, "body": [{"invoiceId": "x"}]}', found(draft('DRAFT', item(71, 'CREDIT_ADJ', '-7.70', 'billing:line:' || :note_line_id))), '{"status": 200}',
    found(draft('DRAFT', item(71, 'CREDIT_ADJ', '-7.70', 'billing:line:' || :note_line_id), item(72, 'CREDIT_ADJ', '-1.46', 'billing:tax:CN-000001:1'), item(73, 'CBA_ADJ', '9.16', NULL))), refused(400, 4023),
    found(draft('COMMITTED', item(71, 'CREDIT_ADJ', '-7.70', 'billing:line:' || :note_line_id), item(72, 'CREDIT_ADJ', '-1.46', 'billing:tax:CN-000001:1'), item(73, 'CBA_ADJ', '9.16', NULL)))) AS d;
SELECT subject, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-02-01,2026-04-01)', 'beta');
SELECT killbill_store_invoices('kb', (SELECT a.account_id FROM account AS a WHERE a.key = 'beta'), jsonb_build_array(draft('COMMITTED', :'first', :'second', item(63, 'EXTERNAL_CHARGE', '49.00', 'billing:0123456789ab:line:' || :calls_line_id), :'tax'))) \gset
SELECT subject, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-02-01,2026-02-28)', 'beta');
-- What another ledger has told to the same tenant is not ours.
SELECT killbill_store_invoices('kb', (SELECT a.account_id FROM account AS a WHERE a.key = 'beta'), jsonb_build_array(draft('COMMITTED', :'first', :'second', :'third', :'tax', item(66, 'EXTERNAL_CHARGE', '3.00', 'billing:ba9876543210:line:1', 'theirs')))) \gset
SELECT subject, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-02-01,2026-02-28)', 'beta');
SELECT subject, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-01-01,2026-01-31)', 'beta');
SELECT fails($$SELECT * FROM killbill_push_invoices('kb', 'INV-9')$$);
SELECT killbill_split_amount(a) FROM unnest('{0,1.5,999999,1000000,-2500000.25}'::numeric[]) AS a;
-- Texts at the server's limit and above it, as it counts them: characters beyond U+FFFF are two.
SELECT killbill_text_length(t) AS length, killbill_cut_text(t, 255) = t AS whole, killbill_text_length(killbill_cut_text(t, 255)) AS kept, char_length(killbill_cut_text(t, 255)) AS characters, right(killbill_cut_text(t, 255), 1)
  FROM unnest(ARRAY['', repeat('x', 255), repeat('x', 256), repeat('€', 255), repeat('€', 300), repeat('😀', 127), repeat('😀', 127) || 'x', repeat('😀', 128), repeat('€', 254) || '😀', repeat('é', 128)]) AS t;
SELECT fails(format($$SELECT killbill_credit('kb', 'beta', 1, %L)$$, repeat('😀', 128)));
SELECT killbill_credit('kb', 'beta', 1, repeat('😀', 127)) IS NOT NULL;

-- Option sync_every: account by account, for a while; a further message goes on where one has ended. One account stops no others.
UPDATE message SET state = 'discarded', finished_at = now(), next_try_at = NULL WHERE state IN ('waiting', 'delayed', 'dead');
SELECT set_account('gamma', currency => 'EUR', time_zone => 'UTC', price_list => 'own', starts_on => '2026-01-01'), killbill_mirror_account('kb', 'gamma') \gset
SELECT count(*) FROM deliver(refused(404), made('accounts', 3)) \gset
CREATE FUNCTION public.trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trouble with beta'; END $$;
CREATE TRIGGER trouble BEFORE INSERT ON message FOR EACH ROW WHEN (NEW.payload ->> 'account_id' = '2') EXECUTE FUNCTION public.trouble();
BEGIN;
SELECT done_to, accounts, problems FROM killbill_sync_slice('kb', NULL, '0');
SELECT done_to, accounts, problems FROM killbill_sync_slice('kb', 1, '0');
SELECT done_to, accounts, problems FROM killbill_sync_slice('kb', 2, '0');
SELECT kind, payload FROM message WHERE state = 'waiting' AND kind = 'pull_account' ORDER BY message_id;
ROLLBACK;
SELECT done_to, accounts, problems FROM killbill_sync_slice('kb', NULL, '1 h');
UPDATE message SET state = 'discarded', finished_at = now() WHERE state = 'waiting';
BEGIN;
CREATE OR REPLACE FUNCTION billing.killbill_sync_slice(endpoint text, after bigint, longest interval, OUT done_to bigint, OUT usage bigint, OUT accounts bigint, OUT problems jsonb) LANGUAGE sql AS
$$ SELECT CASE WHEN after IS NULL THEN 5::bigint END, 2::bigint, 3::bigint, CASE WHEN after IS NULL THEN '{"beta": "trouble"}'::jsonb ELSE '{}' END $$;
SELECT write_message('kb', 'sync', '{}', NULL, 'sync') \gset
SELECT * FROM deliver();
SELECT kind, state, ordering_key, payload FROM message ORDER BY message_id DESC LIMIT 1;
SELECT * FROM deliver();
SELECT count(*) FROM message WHERE state = 'waiting';
ROLLBACK;
