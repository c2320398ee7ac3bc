-- Facts (rules 1, 14 and 15): nothing is updated or deleted that somebody was told; accounts lead the keys; errors name the thing.
\set ECHO none
\set test_database billing_rating_facts
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
\set ECHO all
-- A price that changes is a new fact: what was believed before, and from when to when, stays.
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-02-01', valid_to => '2025-03-01') \gset
SELECT p.tariff::text::jsonb ->> 'unit_price' AS price, p.valid, CASE WHEN upper_inf(p.known) THEN 'believed' ELSE 'superseded' END AS standing, p.remainder_of IS NOT NULL AS is_remainder, p.recorded_by = session_user AS told_by_whom FROM billing.price AS p ORDER BY p.price_id;
-- two beliefs about the same days at the same time cannot be, whoever writes
SELECT fails($$ INSERT INTO billing.price (list_id, item_id, tariff, valid, known) SELECT list_id, item_id, tariff, valid, tstzrange(now(), NULL) FROM billing.price WHERE upper_inf(known) LIMIT 1 $$);
-- usage: a correction is a new row of the same key, and names what it takes the place of
SELECT use('acme', 'calls', '2025-01-10', 5, id => 'one') \gset
SELECT correct_usage('acme', 'one', 4, reason => 'counted twice') \gset
SELECT u.revision, quantity(u.consumed), c.kind, c.reason FROM billing.usage AS u LEFT JOIN billing.usage_change AS c USING (account_id, key, revision) ORDER BY u.revision;

-- What was recorded or billed cannot be changed, not even by the owner of the ledger: of some facts only the end of the belief can be.
SET ROLE billing_owner;
SELECT name, fails(format('UPDATE billing.%I SET %I = %I', name, attname, attname)) AS "update", fails(format('DELETE FROM billing.%I', name)) AS "delete", fails(format('TRUNCATE billing.%I', name)) AS "truncate"
  FROM unnest('{usage,usage_change,account_setting,seller_setting,decision,pin_advance,sealed_owed,line,invoice,invoice_tax,invoice_number,invoice_event,price,agreement_term,subscription_term,tax_rate,meter_definition,fee_definition,bill_to,correction_policy}'::text[]) AS name
 CROSS JOIN LATERAL (SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = format('billing.%I', name)::regclass AND a.attnum > 0 AND a.attname NOT IN ('known', 'prev_no', 'is_credit_note', 'line_id', 'invoice_id') AND a.attidentity = '' ORDER BY a.attnum LIMIT 1) AS a;
RESET ROLE;
-- nobody else writes to a table, but into the inbox of usage and, of cost, what is on its way in
SELECT DISTINCT c.relname, r.role, p.privilege FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN unnest('{billing_reader,billing_operator,billing_admin}'::text[]) AS r(role) CROSS JOIN unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) AS p(privilege)
 WHERE n.nspname = 'billing' AND c.relkind IN ('r', 'p') AND has_table_privilege(r.role, c.oid, p.privilege) ORDER BY 1, 2, 3;

-- Every fact has the instant of its recording and who recorded it, for usage on its load.  (Resources and subscriptions are names;
-- what is said about them are facts of their own.)
SELECT c.relname AS without_recorder FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = 'billing' AND c.relkind = 'r' AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname IN ('known', 'recorded_at'))
   AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname IN ('recorded_by', 'load_id')) AND NOT c.relispartition ORDER BY 1;

-- Account first: account_id leads the primary keys of what grows with accounts, and is never null; usage has no key but its place.
SELECT c.relname, (SELECT string_agg(a.attname, ', ' ORDER BY k.n) FROM unnest(i.indkey::int[]) WITH ORDINALITY AS k(attnum, n) JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum) AS primary_key
  FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
 WHERE c.oid IN (SELECT format('billing.%I', name)::regclass FROM unnest('{usage_key,usage_change,resource,account_setting,account_calendar,charge_period,charge_key,decision,pending,draft_line,held,sealed_owed,line}'::text[]) AS name) ORDER BY 1;

-- no triggers of ours, but on heads of allocations and on messages that are discarded
SELECT count(*) AS triggers FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'billing' AND NOT t.tgisinternal AND c.relname NOT IN ('allocation', 'message');
-- no binary floating point in anything that is stored
SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'billing' AND a.attnum > 0 AND a.atttypid IN ('float4'::regtype, 'float8'::regtype) AND c.relkind IN ('r', 'p', 'v');
