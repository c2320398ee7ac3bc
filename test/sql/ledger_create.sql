-- Making, guarding, checking and removing a ledger.
\set ECHO none
\set QUIET on
SET client_min_messages = warning;
DROP DATABASE IF EXISTS billing_ledger_create;
CREATE DATABASE billing_ledger_create;
\c billing_ledger_create
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
DROP ROLE IF EXISTS billing_test_owner, billing_test_superuser;
CREATE FUNCTION public.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, '    hint: ' || NULLIF(hint, ''));
END $$;
-- the ledger as the catalog shows it: columns, constraints, indexes, routines, views, comments, rights
CREATE FUNCTION public.definition() RETURNS text LANGUAGE sql AS $$
    WITH ledger AS (
        SELECT c.oid, 'pg_class'::regclass::oid AS catalog FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace
         UNION ALL
        SELECT p.oid, 'pg_proc'::regclass FROM pg_proc AS p WHERE p.pronamespace = 'billing'::regnamespace)
    SELECT md5(string_agg(line, E'\n' ORDER BY line COLLATE "C")) FROM (
        SELECT pg_describe_object(l.catalog, l.oid, 0) || ' ' || coalesce(obj_description(l.oid, l.catalog::regclass::text), '') AS line FROM ledger AS l
         UNION ALL
        SELECT concat_ws(' ', a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attacl, col_description(a.attrelid, a.attnum))
          FROM ledger AS l JOIN pg_attribute AS a ON l.catalog = 'pg_class'::regclass AND a.attrelid = l.oid LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         UNION ALL
        SELECT concat_ws(' ', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) FROM pg_constraint AS c JOIN ledger AS l ON l.oid = c.conrelid
         UNION ALL
        SELECT concat_ws(' ', c.oid::regclass, c.relkind, c.relacl, c.reloptions, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END)
          FROM pg_class AS c JOIN ledger AS l ON l.oid = c.oid
         UNION ALL
        SELECT concat_ws(' ', p.oid::regprocedure, p.proacl, p.provolatile, p.prosecdef, p.proconfig, CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END)
          FROM pg_proc AS p JOIN ledger AS l ON l.oid = p.oid
    ) AS lines $$;
\pset format unaligned
\pset tuples_only on
\pset null null
\set SHOW_CONTEXT never
\set ECHO all

-- without a ledger
SELECT state_of('CALL billing.upgrade_ledger()');
SELECT state_of('CALL billing.uninstall_ledger()');

-- arguments
SELECT state_of('CALL billing.create_ledger(usage_parts => 0)');
SELECT state_of('CALL billing.create_ledger(usage_parts => 9)');
SELECT state_of('CALL billing.create_ledger(usage_parts => NULL)');
CREATE ROLE billing_test_superuser SUPERUSER;
SELECT state_of('CALL billing.create_ledger(owner => ''billing_test_superuser'')');
DROP ROLE billing_test_superuser;
SELECT to_regclass('billing.ledger_state');

-- a ledger owned by a role of one's own
CALL billing.create_ledger(owner => 'billing_test_owner', usage_parts => 2);
SELECT rolsuper, rolcanlogin FROM pg_roles WHERE rolname = 'billing_test_owner';
SELECT DISTINCT c.relowner::regrole FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e');
SELECT DISTINCT p.proowner::regrole FROM pg_proc AS p WHERE p.pronamespace = 'billing'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e');
SELECT current_user = session_user, current_setting('role');
SELECT state_of('CALL billing.create_ledger()');
SELECT billing.ledger_version() = billing.extension_version();
SELECT count(*) FROM pg_inherits WHERE inhparent = 'billing.usage_key'::regclass;
-- nothing of it is a member of the extension
SELECT count(*) FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid WHERE d.deptype = 'e' AND d.classid = 'pg_class'::regclass AND c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p', 'v');
SET client_min_messages = notice;
CALL billing.upgrade_ledger();
SET client_min_messages = warning;

-- it works, for those who may
SELECT billing.set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') > 0;
SELECT billing.set_account('acme') > 0;

-- it cannot be dropped by accident
SELECT state_of('DROP EXTENSION billing');
SELECT state_of('DROP EXTENSION billing CASCADE');
SELECT state_of('DROP SCHEMA billing CASCADE');
SELECT state_of('DROP TABLE billing.line CASCADE');
SET quote_all_identifiers = on;
SELECT state_of('DROP EXTENSION billing CASCADE'), state_of('DROP SCHEMA billing CASCADE'), state_of('DROP TABLE billing.usage CASCADE');
RESET quote_all_identifiers;
SELECT state_of('DROP OWNED BY billing_test_owner');
SELECT state_of('DROP EXTENSION btree_gist CASCADE');
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL billing.allow_ledger_drop = on;
DROP EXTENSION billing CASCADE;
SELECT attname FROM pg_attribute WHERE attrelid = 'billing.line'::regclass AND attname = 'amount';
ROLLBACK;
SELECT attname FROM pg_attribute WHERE attrelid = 'billing.line'::regclass AND attname = 'amount';
CALL billing.create_ledger_guard();
-- a guard that an older version did not make is made by the next upgrade, or by hand
DROP EVENT TRIGGER billing_endpoint_guard;
SELECT state_of('CALL billing.upgrade_ledger()');
SELECT evtname FROM pg_event_trigger ORDER BY 1;
DROP EVENT TRIGGER billing_endpoint_guard;
CALL billing.create_ledger_guard();
SELECT evtname FROM pg_event_trigger ORDER BY 1;

-- another version of the ledger than the extension's: one minor version apart works
SELECT string_to_array(billing.extension_version(), '.') AS version \gset
UPDATE billing.ledger_state SET ledger_version = (SELECT concat_ws('.', v[1], greatest(v[2]::int - 1, 0), v[3]) FROM (SELECT :'version'::text[]) AS x(v));
SELECT billing.set_account('acme') > 0;
UPDATE billing.ledger_state SET ledger_version = (SELECT concat_ws('.', v[1], v[2]::int + 1, v[3]) FROM (SELECT :'version'::text[]) AS x(v));
SELECT regexp_replace(state_of('SELECT billing.set_account(''acme'')'), '\d+\.\d+\.\d+', 'N', 'g');
SELECT regexp_replace(state_of('SELECT billing.record_usage(''[]'')'), '\d+\.\d+\.\d+', 'N', 'g');
SELECT regexp_replace(state_of('CALL billing.upgrade_ledger()'), '\d+\.\d+\.\d+', 'N', 'g');
UPDATE billing.ledger_state SET ledger_version = (SELECT concat_ws('.', v[1]::int + 1, v[2], v[3]) FROM (SELECT :'version'::text[]) AS x(v));
SELECT regexp_replace(state_of('SELECT billing.set_account(''acme'')'), '\d+\.\d+\.\d+', 'N', 'g');
UPDATE billing.ledger_state SET ledger_version = billing.extension_version();

-- with invoices it takes a word to remove it
INSERT INTO billing.invoice (seller_id, payer_id, invoice_group_id, type, series, number, issue_date, tax_point_date, posting_period, due_date, currency,
    total_without_tax, tax_total, total, seller_copy, buyer_copy, language, known_at, run_id)
SELECT s.seller_id, g.payer_id, g.invoice_group_id, '380', '', 'INV-000001', '2026-01-01', '2026-01-01', '2026-01-01', '2026-01-15', 'EUR',
       '0 EUR', '0 EUR', '0 EUR', '{}', '{}', 'en', now(), 1
  FROM billing.seller AS s, billing.invoice_group AS g;
SELECT state_of('CALL billing.uninstall_ledger()');
SELECT state_of('CALL billing.uninstall_ledger(''yes'')');
SET client_min_messages = error;
CALL billing.uninstall_ledger('destroy all invoices');
RESET client_min_messages;
SELECT count(*) FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype IN ('e', 'i')) AND c.relkind IN ('r', 'p', 'v', 'S');
SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = 'billing'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e');
SELECT evtname FROM pg_event_trigger;
SELECT to_regnamespace('billing_guard');

-- made twice it is the same, right by right
CALL billing.create_ledger();
SELECT definition() AS first \gset
SET client_min_messages = error;
CALL billing.uninstall_ledger();
RESET client_min_messages;
CALL billing.create_ledger();
SELECT definition() = :'first';
-- the last step of making it can be repeated
CALL billing.protect_final_tables();
CALL billing.grant_ledger();
SELECT definition() = :'first';

-- billing first on the search_path: CASCADE puts what is required there, and nothing minds; a stranger's function is refused
\set QUIET on
ALTER DATABASE billing_ledger_create SET search_path = billing, public;
\c
SET client_min_messages = error;
CALL billing.uninstall_ledger();
DROP EXTENSION btree_gist CASCADE;
CREATE FUNCTION billing.lurking() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT public.state_of('CREATE EXTENSION billing CASCADE');
DROP FUNCTION billing.lurking();
CREATE EXTENSION billing CASCADE;
CALL billing.create_ledger();
SELECT n.nspname FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'btree_gist';

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_create;
DROP ROLE billing_test_owner;
