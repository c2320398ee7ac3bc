-- What must not change without a word: whose usage a subscription bills, in which unit, whose prices a list has, which tenant an endpoint is.
\set test_database billing_killbill_tenants
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set include :source /lib/killbill.psql
\i :include
SET client_min_messages = error;
\set include :source /lib/killbill_customer.psql
\i :include
SELECT killbill_mirror_account('kb', 'acme') \gset
SELECT count(*) FROM deliver(refused(404, 3003), made('accounts', 1)) \gset
SELECT set_resource('acme', 'vm-1'), killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-1') \gset
SELECT found(('{"subscriptionId": "' || id(10) || '", "bundleId": "' || id(20) || '", "accountId": "' || id(1) || '", "planName": "server", "state": "ACTIVE"}')::jsonb) AS there \gset
SELECT count(*) FROM deliver(:'there') \gset
CREATE FUNCTION use(name text, at timestamptz, quantity numeric, resource text) RETURNS text LANGUAGE sql AS
$$ SELECT outcome FROM record_usage(jsonb_build_array(jsonb_build_object('id', name, 'account', 'acme', 'meter', 'server/traffic/gb', 'resource', resource, 'at', at, 'quantity', quantity::text))) $$;

-- A subscription that is told again for its custom fields stays that of its resource, whose usage alone it bills.
SELECT set_resource('acme', 'vm-9'), set_resource('acme', 'vm-2') \gset
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', fields => '{"po": "1"}') \gset
SELECT r.key, s.fields FROM killbill_subscription AS s JOIN resource AS r USING (resource_id);
-- Before any usage was told it may be another's; afterwards not, nor may bundle and prices of its own ever change.
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-2') \gset
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-1', bundle_key => 's-1') \gset
SELECT use('g', '2026-01-10T12:00Z', 100, 'vm-1'), use('h', '2026-01-11T12:00Z', 40, 'vm-9') \gset
SELECT external_key, outcome, amount FROM killbill_push_usage('kb', through => '2026-01-20');
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', fields => '{"po": "2"}') \gset
SELECT external_key, outcome, amount FROM killbill_push_usage('kb', through => '2026-01-20');
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-9')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', bundle_key => 'other')$$);
SELECT fails($$SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', overrides => '[{"planName": "server"}]')$$);
SELECT killbill_subscribe('kb', 'acme', 'server', '2026-01-01', 's-1', resource => 'vm-1') \gset

-- A meter keeps its unit once usage was told in it: it would be told once more in the other.
SELECT fails($$SELECT killbill_set_unit('kb', 'server/traffic/gb', 'server', 'peak')$$);
SELECT fails($$SELECT killbill_set_unit('kb', 'server/traffic/gb', 'server', 'gb', 1000)$$);
SELECT fails($$SELECT killbill_set_unit('kb', 'server/line/peak', 'server', 'gb')$$);
SELECT killbill_set_unit('kb', 'server/line/peak', 'server', 'peak', 2);
SELECT fails($$SELECT killbill_set_unit('kb', 'nothing', 'server', 'gb')$$);

-- The catalog of another tenant has the same name: its prices do not replace those of the first one.
CREATE SERVER kb2 FOREIGN DATA WRAPPER billing_killbill OPTIONS (url 'https://kb2.example.com', user 'a', api_key 'b');
CREATE FUNCTION other_catalog() RETURNS xml LANGUAGE sql AS $$ SELECT replace(catalog()::text, '9.00', '77.00')::xml $$;
CREATE VIEW prices_of_fee AS SELECT l.key AS list, i.key AS item, lower(p.valid)::date AS valid_from, p.tariff::jsonb ->> 'unit_price' AS price FROM price AS p JOIN item AS i USING (item_id) JOIN price_list AS l USING (list_id) WHERE upper_inf(p.known) AND i.key = 'server';
SELECT fails($$SELECT * FROM killbill_import_catalog(other_catalog(), 'kb2')$$);
SELECT * FROM prices_of_fee;
-- With a list of its own it has its own prices of the same fee and meters.
SELECT set_external_key('price_list', set_price_list('Staging', 'EUR'), 'kb2', 'Cloud/DEFAULT/EUR');
SELECT outcome, count(*) FROM killbill_import_catalog(other_catalog(), 'kb2') GROUP BY 1;
SELECT * FROM prices_of_fee ORDER BY 1;
-- But a meter or fee that is another thing there is not bent.
SELECT fails($$SELECT * FROM killbill_import_catalog(replace(replace(other_catalog()::text, 'IN_ADVANCE', 'IN_ARREAR'), '2026-01-01T', '2026-03-01T')::xml, 'kb2')$$);
-- What was imported by hand under a name is taken over by the server it came from.
SELECT count(*) FROM killbill_import_catalog(replace(catalog()::text, '>Cloud<', '>Rocket<')::xml) \gset
CREATE SERVER kb3 FOREIGN DATA WRAPPER billing_killbill OPTIONS (url 'https://kb3.example.com', user 'a', api_key 'b');
SELECT outcome, count(*) FROM killbill_import_catalog(replace(catalog()::text, '>Cloud<', '>Rocket<')::xml, 'kb3') GROUP BY 1;

-- An endpoint on which accounts are mirrored stays that tenant, and is not dropped; nor is one whose messages wait.
ALTER SERVER kb OPTIONS (SET url 'https://moved.example.com', ADD rate_limit '5');
SELECT fails($$ALTER SERVER kb OPTIONS (SET api_key 'other')$$);
SELECT fails($$DROP SERVER kb$$);
SELECT fails($$DROP SERVER IF EXISTS kb3, kb CASCADE$$);
ALTER SERVER kb2 OPTIONS (SET api_key 'mended');
SELECT killbill_pull_catalog('kb2') \gset
SELECT fails($$DROP SERVER kb2$$);
CREATE ROLE billing_killbill_tenants_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER billing_killbill TO billing_killbill_tenants_owner;
ALTER SERVER kb2 OWNER TO billing_killbill_tenants_owner;
SELECT fails($$DROP OWNED BY billing_killbill_tenants_owner$$);
SET ROLE billing_killbill_tenants_owner;
SELECT public.fails($$DROP SERVER kb2$$);
RESET ROLE;
SELECT discard_message(message_id, 'test') FROM message WHERE endpoint = 'kb2';
DROP OWNED BY billing_killbill_tenants_owner;
DROP ROLE billing_killbill_tenants_owner;
DROP SERVER kb3;
SELECT srvname FROM pg_foreign_server ORDER BY 1;

-- What was paid stays paid when a refund fails, and whatever the order of the transactions; what never succeeded is nothing.
CREATE FUNCTION paid(purchased numeric, refunded numeric, VARIADIC transactions text[]) RETURNS TABLE (payment_state text, paid numeric) LANGUAGE sql AS $$
    SELECT killbill_store_payments('kb', jsonb_build_array(jsonb_build_object('paymentId', id(51), 'targetInvoiceId', id(50), 'purchasedAmount', purchased, 'refundedAmount', refunded, 'currency', 'EUR',
        'transactions', (SELECT jsonb_agg(jsonb_build_object('transactionType', split_part(t, ' ', 1), 'status', split_part(t, ' ', 2), 'effectiveDate', '2026-01-02T00:00:00Z') ORDER BY no) FROM unnest(transactions) WITH ORDINALITY AS u (t, no)))));
    SELECT v.payment_state, v.paid FROM killbill_invoices AS v $$;
SELECT killbill_store_invoices('kb', 1, ('[{"invoiceId": "' || id(50) || '", "status": "COMMITTED", "invoiceDate": "2026-01-01", "currency": "EUR", "amount": 50.00, "balance": 0, "items": []}]')::jsonb);
SELECT c.*, (SELECT p.paid FROM paid(c.purchased, c.refunded, VARIADIC c.transactions) AS p) FROM (VALUES (50.0, 0.0, '{PURCHASE SUCCESS}'::text[]),
    (50.0, 0.0, '{PURCHASE SUCCESS,REFUND PAYMENT_FAILURE}'), (50.0, 0.0, '{REFUND PAYMENT_FAILURE,PURCHASE SUCCESS}'), (50.0, 20.0, '{PURCHASE SUCCESS,REFUND SUCCESS}'),
    (50.0, 0.0, '{PURCHASE PAYMENT_FAILURE}'), (50.0, 0.0, '{PURCHASE PAYMENT_FAILURE,PURCHASE SUCCESS}'), (0.0, 0.0, '{PURCHASE SUCCESS,CHARGEBACK SUCCESS}'), (50.0, 0.0, '{PURCHASE PENDING}')) AS c (purchased, refunded, transactions);

-- Nobody puts messages and answers of his own making before the connector, which has the ledger's rights: neither a session of the worker's role, nor another connector in its process.
SELECT called_endpoint();
CREATE FUNCTION public.forged(endpoint text) RETURNS text LANGUAGE sql AS $$
    SELECT billing.killbill_connector(ROW(1, $1, 'pull_catalog', '{"seller": "northwind"}', 'x', NULL, 1, 1, NULL, false, '{}')::billing.outgoing_message, ROW(200, '{}', '<catalog/>', NULL, NULL, NULL, true, NULL, '0')::billing.http_answer)::text $$;
SET SESSION AUTHORIZATION billing_worker;
SELECT public.fails($$SELECT public.forged('kb')$$);
RESET SESSION AUTHORIZATION;
\c postgres
DROP DATABASE billing_killbill_tenants;
