-- Closed periods change only by differences; refunds follow the original's fractions; usage as a basis; steps and dates.
\set ECHO none
\set test_database billing_allocation_periods
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT stage('A', 'compute', 60, tags => '{"team": "search"}'), stage('A', 'compute', 40, tags => '{"team": "ads"}'), stage('A', 'shared', 10);
SELECT take();
SELECT set_allocation_scheme('department', restatement => 'hold');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}');
SELECT set_allocation_rule('department', 'shared', 2, '{"split": "proportional"}');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT close_allocation('[2026-10-01,2026-11-01)');
SELECT cost_center, outcome, billed FROM cost_by_cost_center ORDER BY 1, 2;

-- nothing new: no difference
CALL allocate('[2026-10-01,2026-11-01)');
SELECT chain_no, state FROM allocations ORDER BY 1;

-- a restatement of the closed month: held, then approved
SELECT stage('A', 'compute', 60, tags => '{"team": "search"}'), stage('A', 'compute', 41, tags => '{"team": "ads"}'), stage('A', 'shared', 10);
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT chain_no, state FROM allocations ORDER BY 1;
SELECT cost_center, outcome, billed FROM cost_by_cost_center ORDER BY 1, 2;
SELECT approve_allocation(allocation, 'provider restated') FROM allocations WHERE state = 'held';
SELECT cost_center, outcome, billed FROM cost_by_cost_center ORDER BY 1, 2;
SELECT sum(billed) FROM cost_shares;
CALL allocate('[2026-10-01,2026-11-01)');
SELECT chain_no, state, reason FROM allocations ORDER BY 1;
SELECT fails('SELECT approve_allocation(99, NULL)');
SELECT fails($$ CALL allocate('[2026-10-01,2026-12-01)') $$);

-- a refund in November of October's shared cost is split as October was
CREATE FUNCTION public.take_november() RETURNS text LANGUAGE sql AS $$
    UPDATE public.staged SET billing_period_start = '2026-11-01T00:00:00Z', billing_period_end = '2026-12-01T00:00:00Z';
    SELECT outcome FROM billing.import_focus('public.staged', 'payer', '[2026-11-01,2026-12-01)') $$;
SELECT stage('A', 'compute', 1, tags => '{"team": "search"}', starts => '2026-11-03Z'), stage('A', 'shared', 8, starts => '2026-11-03Z'), stage('A', 'shared', -101, starts => '2026-10-03Z', class => 'Correction');
SELECT take_november();
CALL allocate('[2026-11-01,2026-12-01)', NULL, 'department');
SELECT cost_center, outcome, day, billed FROM cost_shares WHERE period = '[2026-11-01,2026-12-01)' ORDER BY 1, 2, 3;
SELECT share FROM cost_shares WHERE billed < -40 AND cost_center = 'ads' \gset
SELECT step, what, rule, detail, billed FROM explain_share(:share);

-- a negative basis splits nothing
SELECT stage('A', 'compute', 5, tags => '{"team": "search"}', starts => '2026-11-03Z'), stage('A', 'compute', -1, tags => '{"team": "ads"}', starts => '2026-11-03Z'), stage('A', 'shared', 8, starts => '2026-11-03Z');
SELECT take_november();
CALL allocate('[2026-11-01,2026-12-01)');
SELECT cost_center, outcome, reason, billed FROM cost_shares WHERE period = '[2026-11-01,2026-12-01)' ORDER BY 1, 2, 4;
SELECT rule, message FROM allocation_findings WHERE period = '[2026-11-01,2026-12-01)';

-- by usage: the dimension names the target, else the resource's tag, else the account; corrected usage counts as corrected
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR'), set_account('web'), set_account('acme') \g /dev/null
SELECT set_meter('gpu_hours', unit => 'HUR', aggregation => 'sum') \g /dev/null
SELECT set_resource('acme', 'gpu-7'), set_tags('acme', 'gpu-7', '{"department": "ads"}') \g /dev/null
CALL maintain_partitions('[2026-11-01,2026-12-01)');
SELECT outcome FROM record_usage('[{"id": "1", "account": "acme", "meter": "gpu_hours", "at": "2026-11-05T10:00:00Z", "quantity": "6", "dimensions": {"department": "search"}},
                                   {"id": "2", "account": "acme", "meter": "gpu_hours", "at": "2026-11-05T10:00:00Z", "quantity": "3", "resource": "gpu-7"},
                                   {"id": "3", "account": "web", "meter": "gpu_hours", "at": "2026-11-05T10:00:00Z", "quantity": "100"},
                                   {"id": "4", "account": "web", "meter": "gpu_hours", "start": "2026-11-30T23:00:00Z", "end": "2026-12-01T01:00:00Z", "quantity": "4"}]');
SELECT correct_usage('web', '3', 1) \g /dev/null
SELECT set_allocation_rule('department', 'shared', 2, '{"split": "usage", "meter": "gpu_hours", "by": "department"}');
CALL allocate('[2026-11-01,2026-12-01)');
SELECT cost_center, outcome, billed FROM cost_shares WHERE period = '[2026-11-01,2026-12-01)' ORDER BY 1, 2, 3;

-- a rule of some days only; three steps, each gives on what it got
SELECT set_allocation_rule('department', 'shared', 2, '{"target": "platform"}');
SELECT set_allocation_rule('department', 'first days', 1, '{"stop": true}', valid_to => '2026-11-04');
SELECT set_allocation_rule('department', 'platform', 10, '{"split": "fixed", "weights": {"web": 1, "search": 2}}', from_target => 'platform');
SELECT set_allocation_rule('department', 'web', 20, '{"split": "even", "targets": ["ads", "search"]}', from_target => 'web');
SELECT stage('A', 'shared', 1, starts => '2026-11-03Z'), stage('A', 'shared', 10, starts => '2026-11-04Z');
SELECT take_november();
CALL allocate('[2026-11-01,2026-12-01)');
SELECT cost_center, outcome, reason, rule, day, billed FROM cost_shares WHERE period = '[2026-11-01,2026-12-01)' ORDER BY 1, 2, 4, 6;
SELECT share FROM cost_shares WHERE rule = 'web' AND cost_center = 'ads' AND day = '2026-11-04' \gset
SELECT step, what, rule, detail, billed FROM explain_share(:share);
SELECT severity, rule, message FROM validate_allocation('[2026-11-01,2026-12-01)');


-- what is closed stays: its owner can neither change nor delete it
SET ROLE billing_owner;
SELECT fails('DELETE FROM billing.allocation_share WHERE final');
SELECT fails('DELETE FROM billing.allocation_share_closed');
SELECT fails('UPDATE billing.allocation_share SET billed = 0');
SELECT fails('UPDATE billing.allocation_fraction_closed SET basis = 0');
SELECT fails('TRUNCATE billing.allocation_share_closed');
SELECT fails($$ DELETE FROM billing.allocation WHERE state = 'closed' $$);
SELECT fails('UPDATE billing.allocation_share_closed SET stays = false');
SELECT fails('UPDATE billing.allocation SET known_at = now()');
SELECT fails('UPDATE billing.allocation SET state = ''open'' WHERE state = ''closed''');
SELECT fails('UPDATE billing.allocation SET reason = ''forged'' WHERE state = ''closed''');
RESET ROLE;
SELECT state, h.final, count(*) > 0 AS has_shares FROM billing.allocation_share AS h JOIN billing.allocation USING (allocation_id) GROUP BY 1, 2 ORDER BY 1;
