-- A difference of a closed period says by which rule and fraction the old share was given and by which the new one; who answers for a
-- billing account is dated, so that what was divided keeps its cost center.
\set ECHO none
\set test_database billing_allocation_differences
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
CREATE FUNCTION public.differences() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s: %s billed | %s: %s, %s; %s', c.cost_center, c.rule, trim_scale(c.billed), x.step, x.what, x.rule, x.detail)
      FROM billing.cost_shares AS c JOIN billing.allocations AS a USING (allocation), billing.explain_share(c.share) AS x
     WHERE a.chain_no = (SELECT max(b.chain_no) FROM billing.allocations AS b) ORDER BY c.cost_center, c.rule, c.billed, c.share, x.step $$;
\set ECHO all
SELECT set_allocation_scheme('department', restatement => 'book');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:Team"}', '{"tag": "Team", "exists": true}');
SELECT set_allocation_rule('department', 'shared', 10, '{"split": "fixed", "weights": {"search": 50, "ads": 50}}', '{"column": "ServiceName", "equals": "shared"}');
SELECT set_allocation_rule('department', 'others', 20, '{"target": "platform"}');
SELECT stage('A', 'shared', 100), stage('A', 'compute', 8), stage('A', 'compute', 30, tags => '{"team": "ads"}');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT close_allocation('[2026-10-01,2026-11-01)');
-- said again in the same words: nothing differs
SELECT set_allocation_rule('department', 'shared', 10, '{"split": "fixed", "weights": {"search": 50, "ads": 50}}', '{"column": "ServiceName", "equals": "shared"}') > 0 AS ok;
CALL allocate('[2026-10-01,2026-11-01)');
SELECT count(*) FROM allocations;
-- restated: the same rule and fraction, so one share a cell
SELECT stage('A', 'shared', 120), stage('A', 'compute', 8), stage('A', 'compute', 30, tags => '{"team": "ads"}');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT differences();
-- other weights, and another rule for the rest: taken back by the former, given by the latter
SELECT set_allocation_rule('department', 'shared', 10, '{"split": "fixed", "weights": {"search": 80, "ads": 20}}', '{"column": "ServiceName", "equals": "shared"}') > 0 AS ok;
SELECT set_allocation_rule('department', 'rest', 15, '{"split": "even", "targets": ["ads", "web"]}') > 0 AS ok;
CALL allocate('[2026-10-01,2026-11-01)');
SELECT differences();
SELECT cost_center, rule, trim_scale(sum(billed)) AS billed FROM cost_shares GROUP BY 1, 2 HAVING sum(billed) <> 0 ORDER BY 1, 2;

-- who answers for a billing account
SELECT set_allocation_scheme('project', restatement => 'book');
SELECT set_allocation_rule('project', 'owner', 1, '{"target_from": "column:CostCenter"}') > 0 AS ok;
SELECT set_cost_center('project', 'borealis') > 0 AS ok;
-- nothing of B was divided: it is changed from the beginning
SELECT set_billing_account('payer', 'B', 'project', 'borealis');
SELECT c.valid, k.key FROM billing_account_center AS c JOIN cost_center AS k USING (cost_center_id) WHERE c.billing_account = 'B' AND upper_inf(c.known);
CALL allocate('[2026-10-01,2026-11-01)', scheme => 'project');
SELECT close_allocation('[2026-10-01,2026-11-01)', 'project');
SELECT set_billing_account('payer', 'A', 'project', 'borealis');
SELECT c.valid, k.key FROM billing_account_center AS c JOIN cost_center AS k USING (cost_center_id) WHERE c.billing_account = 'A' AND upper_inf(c.known) ORDER BY 1;
SELECT set_billing_account('payer', 'A', 'project', 'borealis', name => 'Alpha');
CALL allocate('[2026-10-01,2026-11-01)', scheme => 'project');
SELECT chain_no, state FROM allocations WHERE scheme = 'project';
SELECT cost_center, trim_scale(billed) AS billed FROM cost_dashboard ORDER BY 1;
SELECT stage('A', 'compute', 5, starts => '2026-11-05Z');
UPDATE public.staged SET billing_period_start = '2026-11-01T00:00:00Z', billing_period_end = '2026-12-01T00:00:00Z';
SELECT outcome FROM import_focus('public.staged', 'payer', '[2026-11-01,2026-12-01)');
TRUNCATE public.staged;
CALL allocate('[2026-11-01,2026-12-01)', scheme => 'project');
SELECT period, project, trim_scale(billed) AS billed FROM cost_by_project ORDER BY 1, 2;
SELECT billing_period, cost_center FROM cost_windows ORDER BY 1;
-- said to be otherwise: then it is a difference, and the former rows stay with the former share
SELECT set_billing_account('payer', 'A', 'project', 'borealis', valid_from => '2026-10-01');
CALL allocate('[2026-10-01,2026-11-01)', scheme => 'project');
SELECT c.cost_center, a.chain_no, trim_scale(c.billed) AS billed, (SELECT count(*) FROM share_rows(c.share)) AS rows FROM cost_shares AS c JOIN allocations AS a USING (allocation) WHERE a.scheme = 'project' AND a.period = '[2026-10-01,2026-11-01)' ORDER BY 2, 1, 3;
-- a period for which nobody answers is not taken in
SELECT set_billing_account('payer', 'C', 'project', 'atlas', valid_from => '2026-11-01');
SELECT stage('C', 'compute', 1);
SELECT fails('SELECT take()');
SELECT fails($$ SELECT set_billing_account('payer', 'C', 'project', 'atlas', valid_from => '2026-11-01', valid_to => '2026-11-01') $$);
TRUNCATE public.staged;

-- a division is named stale when what its rules read has changed
SELECT set_seller('us', legal_name => 'Us', country => 'DE', currency => 'EUR') > 0 AS ok;
SELECT set_account('acme', starts_on => '2026-01-01') > 0 AS ok, set_resource('acme', 'i-1') > 0 AS ok;
SELECT set_meter('gpu', unit => 'HUR') > 0 AS ok;
CALL allocate('[2026-11-01,2026-12-01)');
SELECT set_tags('acme', 'i-1', '{"team": "search"}', '2026-11-01');
SELECT fails($$ SELECT close_allocation('[2026-11-01,2026-12-01)', 'department') $$);
SELECT close_allocation('[2026-11-01,2026-12-01)', 'project');
CALL allocate('[2026-11-01,2026-12-01)', scheme => 'department');
SELECT close_allocation('[2026-11-01,2026-12-01)', 'department');
SELECT stage('A', 'compute', 5, starts => '2026-12-05Z');
UPDATE public.staged SET billing_period_start = '2026-12-01T00:00:00Z', billing_period_end = '2027-01-01T00:00:00Z';
SELECT outcome FROM import_focus('public.staged', 'payer', '[2026-12-01,2027-01-01)');
SELECT set_allocation_rule('department', 'rest', 15, '{"split": "usage", "meter": "gpu", "by": "team"}') > 0 AS ok;
SELECT outcome FROM record_usage('{"id": "1", "account": "acme", "meter": "gpu", "at": "2026-12-03T10:00:00Z", "quantity": 2, "resource": "i-1"}');
CALL allocate('[2026-12-01,2027-01-01)', scheme => 'department');
SELECT outcome FROM record_usage('[{"id": "2", "account": "acme", "meter": "gpu", "at": "2026-12-03T11:00:00Z", "quantity": 2, "resource": "i-1"}, {"id": "3", "account": "acme", "meter": "gpu", "at": "2027-02-03T11:00:00Z", "quantity": 2}]');
SELECT void_usage('acme', '1');
SELECT fails($$ SELECT close_allocation('[2026-12-01,2027-01-01)', 'department') $$);
CALL allocate('[2026-12-01,2027-01-01)', scheme => 'department');
SELECT close_allocation('[2026-12-01,2027-01-01)', 'department');

-- usage that has left is split as the closed division did; another rule cannot split by it, and says so
UPDATE public.staged SET billed_cost = '7';
SELECT outcome FROM import_focus('public.staged', 'payer', '[2026-12-01,2027-01-01)');
BEGIN;
CREATE OR REPLACE FUNCTION billing.check_usage_kept(span tstzrange) RETURNS void LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE object_not_in_prerequisite_state USING MESSAGE = 'gone'; END $$;
CALL allocate('[2026-12-01,2027-01-01)', scheme => 'department');
SELECT s.cost_center, s.outcome, trim_scale(s.billed) AS billed, x.detail FROM cost_shares AS s, explain_share(s.share) AS x WHERE s.period = '[2026-12-01,2027-01-01)' AND s.scheme = 'department' ORDER BY s.share;
SELECT set_allocation_rule('department', 'rest', 15, '{"split": "usage", "meter": "gpu", "by": "unit"}') > 0 AS ok;
CALL allocate('[2026-12-01,2027-01-01)', scheme => 'department');
SELECT severity, message FROM allocation_findings WHERE rule = 'rest' AND period = '[2026-12-01,2027-01-01)';
ROLLBACK;
