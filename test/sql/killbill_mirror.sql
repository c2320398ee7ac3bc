-- Accounts and subscriptions mirrored on Kill Bill: what is asked, and what is done with every answer.
\set test_database billing_killbill_mirror
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set include :source /lib/killbill.psql
\i :include
SET client_min_messages = error;
\set include :source /lib/killbill_customer.psql
\i :include

-- Made: not found, created, custom field added.
SELECT killbill_mirror_account('kb', 'acme', external_key => 'acme-1', fields => '{"region": "eu"}') \gset
SELECT * FROM deliver(refused(404, 3003), made('accounts', 1), found('[]'), '{"status": 201}', found(('[{"customFieldId": "' || id(5) || '", "name": "region", "value": "eu"}]')::jsonb));
-- Again: nothing to do; then the name changes and a field too.
SELECT killbill_mirror_account('kb', 'acme', fields => '{"region": "eu"}') \gset
SELECT * FROM deliver(found(('{"accountId": "' || id(1) || '", "currency": "EUR", "name": "Acme AG", "address1": "Kurze Gasse 2", "postalCode": "80331", "city": "Muenchen", "country": "DE", "notes": null}')::jsonb),
                      found(('[{"customFieldId": "' || id(5) || '", "name": "region", "value": "eu"}]')::jsonb));
SELECT set_account('acme', legal_name => 'Acme SE'), killbill_mirror_account('kb', 'acme', fields => '{"region": "us"}') \gset
SELECT * FROM deliver(found(('{"accountId": "' || id(1) || '", "currency": "EUR", "name": "Acme AG"}')::jsonb), '{"status": 204}',
                      found(('[{"customFieldId": "' || id(5) || '", "name": "region", "value": "eu"}]')::jsonb), '{"status": 204}', found(('[{"customFieldId": "' || id(5) || '", "name": "region", "value": "us"}]')::jsonb));
-- Adopted after a race, whether the server says 409 or 500; another currency is refused; a server that is none; wrong credentials.
SELECT set_account('beta', currency => 'EUR', time_zone => 'UTC', price_list => 'Cloud/DEFAULT/EUR'), killbill_mirror_account('kb', 'beta', reference_day => '2026-01-01', auto_invoicing => false) \gset
SELECT * FROM deliver(refused(404, 3003), refused(409, 3000), found(('{"accountId": "' || id(2) || '", "currency": "EUR", "name": "beta"}')::jsonb), '{"status": 201}');
SELECT killbill_mirror_account('kb', 'beta') \gset
SELECT * FROM deliver(found(('{"accountId": "' || id(2) || '", "currency": "USD"}')::jsonb));
SELECT retry_message(max(message_id)) FROM message \gset
SELECT d FROM deliver(found(('{"accountId": "' || id(2) || '", "externalKey": "gamma", "currency": "EUR", "timeZone": "America/New_York", "billCycleDayLocal": 15}')::jsonb)) AS d OFFSET 2;
SELECT fails($$SELECT killbill_mirror_account('kb', 'beta', auto_invoicing => true)$$);
-- A server that is only starting, wrong credentials: tried again, the message does not die.
SELECT killbill_mirror_account('kb', 'beta') \gset
SELECT d FROM deliver('{"status": 404, "body": "<html>"}') AS d OFFSET 2;
SELECT d FROM deliver('{"status": 401, "body": "", "www": "BASIC"}') AS d OFFSET 2;
SELECT d FROM deliver('{"status": 401, "body": "<html>"}') AS d OFFSET 2;
-- The outcome is not known: tried again later, which begins with looking.
SELECT * FROM deliver(refused(404, 3003), '{"error": "timeout", "sent": true}');
SELECT * FROM deliver(found(('{"accountId": "' || id(2) || '", "currency": "EUR", "name": "beta"}')::jsonb), '{"status": 201}');
SELECT external_key, killbill_id, state, auto_invoicing FROM killbill_account ORDER BY 1;

-- Subscriptions: made, with a custom field; an add-on goes into the bundle; cancelled.
SELECT set_resource('acme', 'vm-1'), killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-1', resource => 'vm-1', fields => '{"resource_name": "one"}') \gset
SELECT * FROM deliver(refused(404), made('subscriptions', 10),
                      found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server", "state": "ACTIVE"}')::jsonb), found('[]'), '{"status": 201}',
                      found(('[{"customFieldId": "' || id(6) || '", "name": "resource_name", "value": "one"}]')::jsonb));
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-2', bundle_key => 's-1') \gset
SELECT * FROM deliver(refused(404), refused(400, 1015, 'already has a base subscription'), refused(404));
-- What the server cannot do now is no refusal, and a subscription of another plan is not adopted.
SELECT retry_message(max(message_id)) FROM message \gset
SELECT d FROM deliver(refused(404), '{"status": 500, "body": "<html>"}', refused(404)) AS d OFFSET 4;
SELECT d FROM deliver(found(('{"subscriptionId": "' || id(11) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server-large-yearly", "state": "ACTIVE"}')::jsonb)) AS d OFFSET 2;
SELECT retry_message(max(message_id)) FROM message \gset
SELECT d FROM deliver(found(('{"subscriptionId": "' || id(11) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server", "state": "ACTIVE", "externalKey": "s-0", "priceList": "OTHER", "startDate": "2026-06-01T00:00:00.000Z"}')::jsonb)) AS d OFFSET 2;
SELECT p.*, killbill_same_plan(p.plan, p.overridden, p.there) FROM (VALUES ('server', false, 'server'), ('server', false, 'server-1'), ('server', true, 'server-1'), ('server', true, 'server'), ('server', true, 'server-large-1'), ('s_rver', true, 'server-1'), ('server', false, NULL)) AS p(plan, overridden, there);
SELECT discard_message(max(message_id), 'test') FROM message \gset
SELECT killbill_cancel('kb', 's-1', '2026-03-01') \gset
SELECT * FROM deliver(found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server", "state": "ACTIVE"}')::jsonb),
                      found(('[{"customFieldId": "' || id(6) || '", "name": "resource_name", "value": "one"}]')::jsonb), '{"status": 204}',
                      found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server", "state": "ACTIVE"}')::jsonb),
                      found(('[{"customFieldId": "' || id(6) || '", "name": "resource_name", "value": "one"}]')::jsonb));
SELECT external_key, killbill_id, bundle_id, state, ends_on FROM killbill_subscription ORDER BY 1;
-- Closing: what runs is cancelled, an invoice made of it, then the account is closed; a failure on the way begins anew.
CREATE FUNCTION bundle(state text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
$$ SELECT found(jsonb_build_array(jsonb_build_object('bundleId', id(21), 'subscriptions', jsonb_build_array(jsonb_build_object('subscriptionId', id(12), 'bundleId', id(21), 'state', state) || more)))) $$;
INSERT INTO killbill_subscription (endpoint, external_key, account_id, bundle_key, plan, starts_on, killbill_id, state)
SELECT 'kb', 's-b', account_id, 's-b', 'server', '2026-01-01', id(12)::uuid, 'active' FROM killbill_account WHERE external_key = 'beta';
UPDATE killbill_account SET auto_invoicing = true WHERE external_key = 'beta';
SELECT killbill_close_account('kb', 'beta') \gset
SELECT * FROM deliver(bundle('ACTIVE'), '{"status": 204}', bundle('CANCELLED', '{"cancelledDate": "2026-01-22", "billingEndDate": "2026-02-01"}'), '{"status": 500, "body": "<html>"}');
SELECT * FROM deliver(bundle('CANCELLED', '{"cancelledDate": "2026-01-22T12:00:00.000Z", "billingEndDate": "2026-02-01T00:00:00.000Z"}'), '{"status": 404, "body": "<html>nothing"}', '{"status": 204}');
SELECT external_key, state, usage_to, ends_on FROM killbill_subscription WHERE external_key = 's-b';
SELECT state FROM killbill_account WHERE external_key = 'beta';

-- Limits and mistakes are told before anything is sent.
SELECT fails($$SELECT killbill_mirror_account('kb', 'acme', external_key => repeat('x', 256))$$);
SELECT fails($$SELECT killbill_mirror_account('kb', 'acme', external_key => 'other')$$);
SELECT fails($$SELECT killbill_mirror_account('kb', 'acme', fields => jsonb_build_object('n', repeat('x', 256)))$$);
SELECT fails($$SELECT killbill_mirror_account('kb', 'acme', fields => jsonb_build_object(repeat('n', 65), 'x'))$$);
SELECT fails($$SELECT killbill_mirror_account('nowhere', 'acme')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', repeat('x', 256))$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-3', bundle_key => repeat('x', 256))$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-3', fields => jsonb_build_object('n', repeat('x', 256)))$$);
SELECT fails($$SELECT killbill_set_unit('kb', 'server/traffic/gb', 'server', repeat('u', 256))$$);
SELECT fails($$SELECT killbill_credit('kb', 'acme', 1, repeat('x', 256))$$);
SELECT fails($$SELECT set_account('acme', legal_name => repeat('x', 101)), killbill_mirror_account('kb', 'acme')$$);
SELECT fails(format('SELECT set_account(''acme'', address => %L), killbill_mirror_account(''kb'', ''acme'')', jsonb_build_object(k.key, repeat('x', k.size)))) FROM (VALUES ('line_1', 101), ('line_2', 101), ('post_code', 17), ('city', 51)) AS k(key, size);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'gold', '2026-01-15', 's-3')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-3', overrides => '[{"usagePrices": [{"tierPrices": [{"blockPrices": [{"unitName": "gb", "currency": "EUR"}]}]}]}]')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-02-01', 's-1')$$);
SELECT fails($$SELECT killbill_cancel('kb', 's-9', '2026-02-01')$$);
CREATE SERVER other FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://x.example.com', connector 'public.x');
SELECT fails($$SELECT killbill_mirror_account('other', 'acme')$$);
-- Prices of ours come from the answers of Kill Bill endpoints alone.
SELECT fails($$SELECT killbill_connector(ROW(1, 'other', 'pull_catalog', '{}', 'k', NULL, 1, 0, NULL, false, '{}')::outgoing_message, NULL)$$);

-- Credit: a threshold refuses new orders and suspends what runs; a dry run and credits.
SELECT killbill_set_threshold('kb', 'acme', 25, 'suspend') \gset
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-4')$$);
SELECT fails($$SELECT killbill_credit('kb', 'acme', 0, 'x')$$);
SELECT fails($$SELECT killbill_credit('kb', 'acme', 1.005, 'x')$$);
UPDATE killbill_account SET credit = 100, balance = -100 WHERE external_key = 'acme-1';
SELECT killbill_remaining_credit('kb', 'acme');
UPDATE killbill_subscription SET state = 'active', ends_on = NULL WHERE external_key = 's-1';
-- One to a day of one's own says nothing of the next invoice.
SELECT killbill_dry_run('kb', 'acme', '2026-02-01') \gset
SELECT * FROM deliver(found('{"amount": 5.00, "currency": "EUR", "items": []}'));
SELECT killbill_remaining_credit('kb', 'acme');
SELECT killbill_dry_run('kb', 'acme') \gset
SELECT * FROM deliver(found('{"amount": 80.00, "currency": "EUR", "targetDate": "2026-02-01", "items": [{"itemType": "USAGE", "planName": "server", "usageName": "traffic", "amount": 80.00}]}'));
SELECT killbill_remaining_credit('kb', 'acme');
CREATE FUNCTION paused(VARIADIC events text[]) RETURNS jsonb LANGUAGE sql AS
$$ SELECT found(jsonb_build_object('bundleId', id(20), 'subscriptions', jsonb_build_array(jsonb_build_object('subscriptionId', id(10), 'bundleId', id(20), 'accountId', id(1), 'planName', 'server',
    'state', CASE WHEN events[cardinality(events)] LIKE 'PAUSE%' THEN 'BLOCKED' ELSE 'ACTIVE' END,
    'events', (SELECT jsonb_agg(jsonb_build_object('eventType', split_part(e, ' ', 1), 'effectiveDate', split_part(e, ' ', 2))) FROM unnest(events) AS e))))) $$;
SELECT * FROM deliver('{"status": 204}', paused('START_BILLING 2026-01-15', 'PAUSE_ENTITLEMENT 2026-01-18', 'PAUSE_BILLING 2026-01-18T22:59:59.000Z'));
SELECT state FROM killbill_subscription WHERE external_key = 's-1';
SELECT external_key, paused_from, paused_to FROM killbill_pause;
-- It stays paused when its fields change meanwhile.
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-1', fields => '{"resource_name": "one"}', resource => 'vm-1') \gset
SELECT d FROM deliver(found(((paused('PAUSE_BILLING 2026-01-18') -> 'body') #> '{subscriptions,0}')), found(('[{"customFieldId": "' || id(6) || '", "name": "resource_name", "value": "one"}]')::jsonb)) AS d OFFSET 3;
SELECT state FROM killbill_subscription WHERE external_key = 's-1';
-- Pages of a server that is only starting, or of a proxy, say nothing about credit: what is suspended stays so.
SELECT killbill_dry_run('kb', 'acme') \gset
SELECT * FROM deliver('{"status": 404, "body": "<!doctype html><title>HTTP Status 404"}');
SELECT * FROM deliver('{"status": 403, "body": "<html>"}');
SELECT * FROM deliver(found('{"a": 1}'));
SELECT d FROM deliver(refused(404, 3002)) AS d OFFSET 2;
SELECT discard_message(max(message_id), 'test') FROM message \gset
SELECT upcoming FROM killbill_account WHERE external_key = 'acme-1';
SELECT count(*) FROM message WHERE state = 'waiting';
-- It is resumed when its credit is above the threshold, whichever of them changes.
SELECT killbill_set_threshold('kb', 'acme', 10, 'suspend'), killbill_set_threshold('kb', 'acme', 10, 'suspend') \gset
SELECT * FROM deliver('{"status": 204}', paused('PAUSE_BILLING 2026-01-18', 'RESUME_BILLING 2026-01-20', 'PAUSE_BILLING 2026-01-25', 'RESUME_BILLING 2026-01-25'));
SELECT state FROM killbill_subscription WHERE external_key = 's-1';
SELECT paused_from, paused_to FROM killbill_pause ORDER BY 1;
SELECT count(*) FROM message WHERE state = 'waiting';
SELECT killbill_set_threshold('kb', 'acme', 5, 'suspend'), killbill_pull_invoices('kb', 'acme') \gset
SELECT d FROM deliver(found(('{"accountId": "' || id(1) || '", "accountBalance": 0, "accountCBA": 84.99}')::jsonb), found('[]'), found('[]'), found('[]')) AS d OFFSET 5;
SELECT kind, payload - 'account_id' FROM message WHERE state = 'waiting';
SELECT * FROM deliver('{"status": 204}', paused('RESUME_BILLING 2026-01-25'));
UPDATE killbill_account SET credit_threshold = NULL WHERE external_key = 'acme-1';
SELECT killbill_credit('kb', 'acme', 50, 'welcome') \gset
SELECT * FROM deliver(found('[]'), '{"status": 200, "body": []}', found(('[{"invoiceId": "' || id(40) || '", "status": "COMMITTED", "invoiceNumber": "1", "invoiceDate": "2026-01-02", "currency": "EUR", "amount": 0.00, "balance": 0.00,
    "items": [{"invoiceItemId": "' || id(41) || '", "invoiceId": "' || id(40) || '", "itemType": "CREDIT_ADJ", "amount": -50.00, "itemDetails": "billing:0123456789ab:adjustment:1"}]}]')::jsonb));
-- A credit of 1,000,000 and more goes in parts, one invoice each; that of another ledger is not taken for one.
CREATE FUNCTION credits(VARIADIC amounts text[]) RETURNS jsonb LANGUAGE sql AS
$$ SELECT found(jsonb_agg(jsonb_build_object('invoiceId', id(80 + no::int), 'status', 'COMMITTED', 'invoiceNumber', no::text, 'invoiceDate', '2026-01-03', 'currency', 'EUR', 'amount', 0, 'balance', 0, 'items', jsonb_build_array(
   jsonb_build_object('invoiceItemId', id(90 + no::int), 'invoiceId', id(80 + no::int), 'itemType', 'CREDIT_ADJ', 'amount', split_part(a, ' ', 1)::numeric, 'itemDetails', CASE split_part(a, ' ', 2) WHEN '' THEN 'billing:0123456789ab:' ELSE split_part(a, ' ', 2) END || 'adjustment:2')))))
     FROM unnest(amounts) WITH ORDINALITY AS u(a, no) $$;
SELECT killbill_credit('kb', 'acme', 2500000.25, 'refund') \gset
SELECT * FROM deliver(credits('-7 billing:'), '{"status": 200}', credits('-7 billing:', '-999999'), '{"status": 500, "body": "<html>"}');
SELECT * FROM deliver(credits('-7 billing:', '-999999'), '{"status": 200}', credits('-7 billing:', '-999999', '-999999'), '{"status": 200}', credits('-999999', '-999999', '-500002.25'));
SELECT invoice_id IS NOT NULL FROM killbill_adjustment WHERE adjustment_id = 2;
-- What is there and is more than it should be is left to people; what does not show up is not added again at once.
SELECT killbill_credit('kb', 'acme', 10, 'gift') \gset
SELECT * FROM deliver(found('[]'), '{"status": 200}', found('[]'));
UPDATE message SET payload = payload || '{"adjustment_id": 2}' WHERE kind = 'adjustment' AND state = 'delayed';
SELECT * FROM deliver(credits('-999999', '-999999', '-999999'));
SELECT fails($$SELECT killbill_credit('kb', 'acme', 1000000000, 'x')$$);

-- Notifications are only hints; the clock is for test servers.
SELECT fails($$SELECT killbill_notification('kb', '{}')$$);
SELECT killbill_notification('kb', jsonb_build_object('eventType', 'INVOICE_CREATION', 'accountId', id(9)));
SELECT killbill_notification('kb', jsonb_build_object('eventType', 'INVOICE_CREATION', 'accountId', id(1))) = killbill_notification('kb', jsonb_build_object('eventType', 'INVOICE_CREATION', 'accountId', id(1)));
SELECT * FROM deliver(found(('{"accountId": "' || id(1) || '", "accountBalance": 30.00, "accountCBA": 0E-9}')::jsonb), found('[]'), found('[]'), found('[{"tagDefinitionName": "__PARK__"}]'));
SELECT balance, credit, parked FROM killbill_account WHERE external_key = 'acme-1';
-- JSON that is not about the account, or no list of what was asked for, is not believed.
SELECT killbill_pull_invoices('kb', 'acme') \gset
SELECT d FROM deliver(found('{"a": 1}')) AS d OFFSET 2;
SELECT d FROM deliver(found(('{"accountId": "' || id(2) || '", "accountBalance": 30.00, "accountCBA": 0}')::jsonb)) AS d OFFSET 2;
SELECT d FROM deliver(found(('{"accountId": "' || id(1) || '", "accountBalance": 31.00, "accountCBA": 0}')::jsonb), found('[{"invoiceId": "zzz"}]')) AS d OFFSET 3;
SELECT d FROM deliver(found(('{"accountId": "' || id(1) || '", "accountBalance": 31.00, "accountCBA": 0}')::jsonb), found('[]'), found('{}')) AS d OFFSET 4;
SELECT discard_message(max(message_id), 'test') FROM message \gset
SELECT balance, credit, parked FROM killbill_account WHERE external_key = 'acme-1';
SELECT fails($$SELECT killbill_set_clock('kb', '2026-02-01 12:00Z')$$);
ALTER SERVER kb OPTIONS (ADD test_clock 'true');
SELECT killbill_set_clock('kb', '2026-02-01 12:00Z') \gset
SELECT * FROM deliver('{"status": 200}', '{"status": 412}', '{"status": 200}');

-- HTML with a status of success comes from something before the server: nothing counts as done, whatever was asked.
BEGIN;
CREATE FUNCTION meets_html(tell bigint, VARIADIC before jsonb[] DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    SELECT d INTO STRICT said FROM deliver(VARIADIC before || '{"status": 200, "body": "<html>log in</html>"}'::jsonb) AS d WHERE starts_with(d, '=>') OR d ~ 'left over';
    UPDATE message SET state = 'discarded', finished_at = clock_timestamp(), next_try_at = NULL WHERE state = 'delayed';
    RETURN said;
END $$;
SELECT found(('{"accountId": "' || id(1) || '", "currency": "EUR", "name": "Acme SE", "address1": "Kurze Gasse 2", "postalCode": "80331", "city": "Muenchen", "country": "DE"}')::jsonb) AS account \gset
SELECT killbill_set_threshold('kb', 'acme', NULL) \gset
SELECT meets_html(killbill_mirror_account('kb', 'acme'));
SELECT meets_html(killbill_mirror_account('kb', 'acme', fields => '{"region": "eu"}'), :'account');
SELECT meets_html(killbill_mirror_account('kb', 'acme', fields => '{"region": "eu"}'), :'account', found('[]'));
SELECT meets_html(killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-7'));
SELECT meets_html(killbill_subscribe('kb', 'acme', 'server', '2026-01-15', 's-7'), refused(404));
SELECT meets_html(killbill_record_push('kb', account_id, external_key, '[{"unit": "gb", "day": "2026-01-20", "amount": 1}]')) FROM killbill_subscription WHERE external_key = 's-1';
SELECT meets_html(killbill_credit('kb', 'acme', 1, 'x'));
SELECT meets_html(killbill_credit('kb', 'acme', 1, 'x'), found('[]'));
SELECT meets_html(killbill_dry_run('kb', 'acme'));
SELECT meets_html(killbill_close_account('kb', 'acme'));
SELECT meets_html(write_message('kb', 'catalog', '{"effective_on": "2026-01-01", "catalog": "<catalog/>"}', NULL, 'catalog'));
SELECT meets_html(write_message('kb', 'catalog', '{"effective_on": "2026-01-01", "catalog": "<catalog/>"}', NULL, 'catalog'), found('[]'), found('{"catalogValidationErrors": []}'));
ROLLBACK;
