-- Who may do what: final tables not even for the owner, and the three roles.
\set ECHO none
\set test_database billing_ledger_rights
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
SET client_min_messages = warning;
DROP ROLE IF EXISTS billing_test_reader, billing_test_operator, billing_test_admin, billing_test_nobody;
CREATE ROLE billing_test_reader IN ROLE billing_reader;
CREATE ROLE billing_test_operator IN ROLE billing_operator;
CREATE ROLE billing_test_admin IN ROLE billing_admin;
CREATE ROLE billing_test_nobody;
RESET client_min_messages;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT set_account('acme');
SELECT set_meter('tokens', unit => 'token');
SELECT set_price('tokens', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.01"}', '2026-01-01');
\set ECHO all

-- tables in which the owner cannot change rows, with what is left to it
SELECT c.relname, string_agg(p.privilege, ' ' ORDER BY p.privilege)
         FILTER (WHERE has_table_privilege('billing_owner', c.oid, p.privilege)) AS owner_may,
       (SELECT string_agg(a.attname, ' ') FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT has_table_privilege('billing_owner', c.oid, 'UPDATE')
           AND has_column_privilege('billing_owner', c.oid, a.attnum, 'UPDATE')) AS may_update
  FROM pg_class AS c, unnest('{INSERT,SELECT,UPDATE,DELETE,TRUNCATE}'::text[]) AS p(privilege)
 WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 GROUP BY c.oid, c.relname
HAVING NOT bool_and(has_table_privilege('billing_owner', c.oid, p.privilege))
 ORDER BY c.relname;
-- and nobody else holds any of these rights on any table
SELECT c.oid::regclass, x.grantee::regrole, x.privilege_type
  FROM pg_class AS c, aclexplode(c.relacl) AS x
 WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p') AND x.grantee <> c.relowner ORDER BY c.relname;
SELECT c.oid::regclass, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid, aclexplode(a.attacl) AS x
 WHERE c.relnamespace = 'billing'::regnamespace AND x.grantee <> c.relowner;

-- whoever may call a procedure that commits, and so works with the caller's rights, may call what it calls
SELECT r.role, p.oid::regprocedure AS procedure, f.oid::regprocedure AS calls
  FROM unnest('{billing_reader,billing_operator,billing_admin,billing_worker}'::text[]) AS r(role), pg_proc AS p,
       LATERAL (SELECT DISTINCT m[1] AS name FROM regexp_matches(p.prosrc, '\mbilling\.([a-z_]+)\(', 'g') AS m) AS c JOIN pg_proc AS f ON f.proname = c.name AND f.pronamespace = 'billing'::regnamespace
 WHERE p.pronamespace = 'billing'::regnamespace AND p.prokind = 'p' AND NOT p.prosecdef
   AND has_function_privilege(r.role, p.oid, 'EXECUTE') AND NOT has_function_privilege(r.role, f.oid, 'EXECUTE')
 ORDER BY 1, 2, 3;

-- tried as the owner
SET ROLE billing_owner;
-- an invoice of one line: keys of lines are checked although nobody may update them
INSERT INTO charge_period (account_id, period_no, date_from, date_to, full_from, starts_at, ends_at, time_zone, due_at)
VALUES (find_account('acme'), 1, '2026-01-01', '2026-02-01', '2026-01-01', '2026-01-01 00:00+00', '2026-02-01 00:00+00', 'UTC', '2026-02-01 00:00+00');
INSERT INTO charge_key (account_id, period_no, agreement_id, item_id, consumer_id, component)
VALUES (find_account('acme'), 1, 1, find_item('tokens'), find_account('acme'), 'usage');
INSERT INTO invoice (seller_id, payer_id, invoice_group_id, type, series, number, issue_date, tax_point_date, posting_period, due_date, currency,
                     total_without_tax, tax_total, total, seller_copy, buyer_copy, language, known_at, run_id)
SELECT find_seller('northwind'), g.payer_id, g.invoice_group_id, '380', '', 'INV-000001', '2026-02-01', '2026-01-31', '2026-02-01', '2026-02-15', 'EUR',
       '10 EUR', '0 EUR', '10 EUR', '{}', '{}', 'en', now(), 1 FROM invoice_group AS g;
CREATE FUNCTION pg_temp.add_line(no int, before text, amount text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO line (account_id, key_id, chain_no, booked_before, amount, booked_after, invoice_id, line_no, kind, stage, seller_id, period_from, period_to,
                      item_key, item_name, account_key, consumer_key, tax_point_date, known_at, rating_version, run_id)
    SELECT k.account_id, k.key_id, no, before::monetary, amount::monetary, before::monetary + amount::monetary, i.invoice_id, no, 'charge', 1, i.seller_id, '2026-01-01', '2026-02-01',
           'tokens', 'tokens', 'acme', 'acme', '2026-01-31', now(), 1, 1 FROM charge_key AS k, invoice AS i $$;
SELECT pg_temp.add_line(1, '0 EUR', '10 EUR');
SELECT pg_temp.add_line(2, '10 EUR', '-3 EUR');
SELECT chain_no, prev_no, booked_before, amount, booked_after FROM line ORDER BY chain_no;
-- no fork, no link from a wrong sum, no gap
SELECT fails($$ SELECT pg_temp.add_line(2, '10 EUR', '5 EUR') $$);
SELECT fails($$ SELECT pg_temp.add_line(3, '8 EUR', '1 EUR') $$);
SELECT fails($$ SELECT pg_temp.add_line(4, '7 EUR', '1 EUR') $$);
SELECT fails($$ SELECT pg_temp.add_line(1, '1 EUR', '1 EUR') $$);
INSERT INTO invoice_event (invoice_id, event_no, event) SELECT invoice_id, 1, 'finalized' FROM invoice;
INSERT INTO invoice_number SELECT seller_id, type, series, 1, number, invoice_id FROM invoice;
INSERT INTO invoice_tax (invoice_id, group_no, category, rate, taxable, tax) SELECT invoice_id, 1, 'O', 0, '10 EUR', '0 EUR' FROM invoice;
INSERT INTO decision (account_id, key_id, kind, amount, reason) SELECT account_id, key_id, 'goodwill', '-1 EUR', 'late' FROM charge_key;
SELECT fails($$ UPDATE line SET amount = '1 EUR' $$);
SELECT fails($$ UPDATE line SET booked_after = booked_after $$);
SELECT fails($$ UPDATE line SET prev_no = 1 $$);
SELECT fails($$ DELETE FROM line $$);
SELECT fails($$ TRUNCATE line $$);
SELECT fails($$ UPDATE invoice SET total = '1 EUR' $$);
SELECT fails($$ UPDATE invoice SET is_credit_note = true $$);
SELECT fails($$ DELETE FROM invoice $$);
SELECT fails($$ TRUNCATE invoice CASCADE $$);
SELECT fails($$ UPDATE invoice_event SET event = 'delivered' $$);
SELECT fails($$ DELETE FROM invoice_event $$);
SELECT fails($$ UPDATE invoice_number SET counter = 2 $$);
SELECT fails($$ DELETE FROM invoice_tax $$);
SELECT fails($$ UPDATE decision SET amount = '-2 EUR' $$);
SELECT fails($$ DELETE FROM usage $$);
SELECT fails($$ UPDATE usage SET revision = 1 $$);
SELECT fails($$ TRUNCATE usage $$);
SELECT fails($$ UPDATE usage_change SET kind = 'void' $$);
SELECT fails($$ UPDATE account_setting SET cycle_day = 2 $$);
SELECT fails($$ DELETE FROM seller_setting $$);
SELECT fails($$ UPDATE price SET valid = '(,)' $$);
SELECT fails($$ DELETE FROM price $$);
SELECT fails($$ TRUNCATE agreement_term $$);
SELECT fails($$ DELETE FROM account $$);
-- a fact can stop being believed, and drafts come and go
UPDATE price SET known = tstzrange(lower(known), NULL);
DELETE FROM draft_line;
RESET ROLE;

-- functions: nobody but the roles
SELECT p.oid::regprocedure FROM pg_proc AS p
 WHERE p.pronamespace = 'billing'::regnamespace AND has_function_privilege('billing_test_nobody', p.oid, 'EXECUTE')
   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e');
SELECT has_schema_privilege('billing_test_nobody', 'billing', 'USAGE'), has_schema_privilege('billing_reader', 'billing', 'CREATE'), has_schema_privilege('billing_admin', 'billing', 'CREATE');
-- what a reader may call only reads
SELECT p.oid::regprocedure FROM pg_proc AS p
 WHERE p.pronamespace = 'billing'::regnamespace AND p.provolatile = 'v' AND has_function_privilege('billing_reader', p.oid, 'EXECUTE')
   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e');
-- who calls the main functions
SELECT p.proname, (SELECT r FROM unnest('{billing_reader,billing_operator,billing_admin}'::text[]) WITH ORDINALITY AS x(r, n)
                    WHERE has_function_privilege(r, p.oid, 'EXECUTE') ORDER BY n LIMIT 1) AS least_role
  FROM pg_proc AS p
 WHERE p.pronamespace = 'billing'::regnamespace
   AND p.proname IN ('set_seller', 'set_account', 'set_price', 'remove_price', 'end_subscription', 'record_usage', 'load_usage_batch', 'run_invoicing',
                     'charges', 'preview_invoice', 'explain_line', 'open_account', 'supersede_prices', 'finalize_invoices', 'seal_period', 'maintain_partitions')
 ORDER BY 2, 1;

SET ROLE billing_test_nobody;
SELECT fails($$ SELECT * FROM billing.accounts $$);
SET ROLE billing_test_reader;
SELECT account FROM accounts;
SELECT item, valid_from FROM prices;
SELECT fails($$ SELECT * FROM account $$);
SELECT fails($$ SELECT set_account('other') $$);
SELECT fails($$ SELECT record_usage('[]') $$);
SELECT count(*) FROM charges('acme', '[2026-01-01,2026-02-01)');
SET ROLE billing_test_operator;
SELECT outcome FROM record_usage('[{"id": "1", "account": "acme", "meter": "tokens", "at": "2026-01-03T10:00:00Z", "quantity": "5"}]');
SELECT fails($$ SELECT set_account('other') $$);
SELECT fails($$ SELECT * FROM usage $$);
SET ROLE billing_test_admin;
SELECT set_account('other') > 0;
SELECT account FROM accounts ORDER BY 1;
SELECT fails($$ SELECT open_account('x', NULL, NULL, NULL, NULL, NULL, NULL) $$);
SELECT fails($$ INSERT INTO account (key) VALUES ('x') $$);
RESET ROLE;
-- every fact says who recorded it: the one who logged in
SELECT DISTINCT recorded_by = session_user FROM account_setting;

-- account first (rule 14): unique keys of tables with an account that the account does not lead are of the catalog, of the mirror of an outside system, or the numbers by which people name things
SELECT x.indexrelid::regclass FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'account_id' AND a.attnotnull
 WHERE c.relnamespace = 'billing'::regnamespace AND NOT c.relispartition AND x.indisunique AND x.indkey[0] <> a.attnum ORDER BY x.indexrelid::regclass::text;
-- no triggers but the one that keeps closed allocations closed and the one that takes back what discarded messages were to tell; no foreign keys from usage and its keys
SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace = 'billing'::regnamespace AND NOT t.tgisinternal ORDER BY t.tgname;
SELECT k.conrelid::regclass, k.conname FROM pg_constraint AS k WHERE k.connamespace = 'billing'::regnamespace AND k.contype = 'f' AND k.conrelid::regclass::text ~ '^(billing\.)?usage(_|$)';

-- a publication of all tables lets facts be superseded
SET client_min_messages = error;   -- this server's wal_level does not matter here
CREATE PUBLICATION everything FOR ALL TABLES;
RESET client_min_messages;
SELECT set_meter('tokens', unit => 'token', name => 'Tokens') IS NOT NULL AS changed;
SELECT set_resource('acme', 'vm-1') IS NOT NULL AS made;
SELECT set_tags('acme', 'vm-1', '{"team": "search"}') IS NOT NULL AS tagged, set_tags('acme', 'vm-1', '{"team": "ads"}') IS NOT NULL AS changed;
DROP PUBLICATION everything;

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_rights;
DROP ROLE billing_test_reader, billing_test_operator, billing_test_admin, billing_test_nobody;
