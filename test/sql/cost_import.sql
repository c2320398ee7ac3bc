-- Cost of a window is what the last whole delivery said, to the row; a delivery that is wrong or not whole changes nothing.
\set ECHO none
\set test_database billing_cost_import
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all

-- equal rows count each; the same delivery again changes nothing, in any order
SELECT stage('A', 'compute', 1.10), stage('A', 'compute', 1.10), stage('A', 'storage', 0.000000000000001), stage('B', 'compute', -2);
CREATE TABLE public.again AS TABLE public.staged;
SELECT take();
INSERT INTO public.staged SELECT * FROM public.again ORDER BY billed_cost;
SELECT take();
SELECT billing_account, service, category, billed, effective, currency, day FROM costs ORDER BY 1, 2;

-- a restatement: one of the two equal rows is gone, one is new; account B is not in it and stays; what was known before can be read
SELECT now() AS before_restatement \gset
SELECT stage('A', 'compute', 1.1), stage('A', 'storage', 0.000000000000001), stage('A', 'network', 5);
SELECT take();
SELECT billing_account, billed, rows, fresh_at IS NOT NULL AS fresh FROM cost_windows JOIN (SELECT billing_account, sum(billed) AS billed FROM costs GROUP BY 1) AS c USING (billing_account) ORDER BY 1;
SELECT sum(billed), count(*) FROM cost_rows('[2026-10-01,2026-11-01)', :'before_restatement');
SELECT sum(billed), count(*) FROM cost_rows('[2026-10-01,2026-11-01)', clock_timestamp());

-- in parts: nothing changes until the last has come
SELECT stage('B', 'compute', 7);
SELECT take(complete => false);
SELECT sum(billed) FROM costs WHERE billing_account = 'B';
SELECT waits_for_parts FROM cost_windows WHERE billing_account = 'B';
SELECT stage('B', 'compute', 8);
SELECT take();
SELECT sum(billed) FROM costs WHERE billing_account = 'B';
SELECT stage('B', 'compute', 9);
SELECT take(complete => false);
SELECT discard_staged_cost('payer', '[2026-10-01,2026-11-01)');

-- a load that stops in the middle leaves the window as it was
BEGIN;
SELECT stage('A', 'compute', 100);
SELECT take();
ROLLBACK;
SELECT sum(billed) FROM costs WHERE billing_account = 'A';

-- refused with findings: an amount that is none, an instant that is none
SELECT stage('A', 'compute', 100);
UPDATE public.staged SET billed_cost = '12,5', charge_period_end = '2026-13-01T00:00:00Z', charge_category = 'Usages', sku_id = NULL;
SELECT take();
SELECT severity, rule, row_no, value, message, affected FROM cost_findings ORDER BY load, severity <> 'fatal', rule;
SELECT sum(billed) FROM costs WHERE billing_account = 'A';

-- a billing account that nobody answers for; a period that is another; words that are none
SELECT stage('C', 'compute', 1);
SELECT fails('SELECT take()');
TRUNCATE public.staged;
SELECT stage('A', 'compute', 1);
SELECT fails($$ SELECT * FROM import_focus('public.staged', 'payer', '[2026-09-01,2026-10-01)') $$);
SELECT fails($$ SELECT * FROM import_focus('public.staged', 'payer', 'empty') $$);
SELECT fails($$ SELECT * FROM import_focus('public.staged', 'nobody', '[2026-09-01,2026-10-01)') $$);
SELECT fails($$ SELECT set_billing_account('payer', 'C', 'project', 'nowhere') $$);
TRUNCATE public.staged;

-- every call is kept
SELECT load, outcome, complete, delivered, added, removed, findings FROM cost_loads ORDER BY load;

-- a delivery may be a view that only the caller can read
CREATE ROLE billing_test_loader;
GRANT billing_operator TO billing_test_loader;
SELECT stage('B', 'compute', 8), stage('B', 'compute', 7);
CREATE VIEW public.delivery AS SELECT * FROM public.staged WHERE billing_account_id = 'B';
GRANT SELECT ON public.delivery TO billing_test_loader;
SET ROLE billing_test_loader;
SELECT outcome, delivered FROM import_focus('public.delivery', 'payer', '[2026-10-01,2026-11-01)');
SELECT fails('SELECT count(*) FROM billing.cost_staged');
RESET ROLE;
REVOKE ALL ON public.delivery FROM billing_test_loader;
\c contrib_regression
DROP DATABASE billing_cost_import;
DROP ROLE billing_test_loader;
