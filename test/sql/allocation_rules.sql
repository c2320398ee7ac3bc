-- Every cent of a period goes to one target or stays visible; each method, steps, explanations.
\set ECHO none
\set test_database billing_allocation_rules
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT stage('A', 'compute', 60, 50, resource => 'vm-1', tags => '{"team": "search"}'),
       stage('A', 'compute', 40, 30, resource => 'vm-2', tags => '{"team": "ads"}'),
       stage('A', 'compute', 5, resource => 'vm-3', tags => '{"team": "nobody"}'),
       stage('A', 'kubernetes', 100),
       stage('A', 'support', 10),
       stage('A', 'backup', 1),
       stage('A', 'tax', 19, category => 'Tax'),
       stage('A', 'credit', -7, category => 'Credit'),
       stage('A', 'compute', 3, commitment => 'c-1'),
       stage('B', 'storage', 8, currency => 'USD'),
       stage('B', 'marketplace', 2);
SELECT take();
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'by team', 10, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}');
SELECT set_allocation_rule('department', 'platform', 20, '{"target": "platform"}', '{"column": "ServiceName", "in": ["kubernetes", "registry"]}');
SELECT set_allocation_rule('department', 'support', 30, '{"split": "fixed", "weights": {"search": "50", "ads": "30", "web": "20"}}', '{"column": "ServiceName", "equals": "support"}');
SELECT set_allocation_rule('department', 'backup', 40, '{"split": "even", "targets": ["search", "ads", "web"]}', '{"column": "ServiceName", "prefix": "back"}');
SELECT set_allocation_rule('department', 'not ours', 50, '{"exclude": true}', '{"and": [{"column": "BillingAccountId", "equals": "B"}, {"not": {"column": "ServiceName", "equals": "storage"}}]}');
SELECT set_allocation_rule('department', 'tax', 60, '{"split": "proportional", "basis": "billed"}', pools => '{tax}');
SELECT set_allocation_rule('department', 'dollars', 70, '{"split": "proportional"}', '{"column": "BillingCurrency", "equals": "USD"}');
SELECT set_allocation_rule('department', 'platform to teams', 80, '{"split": "proportional", "basis": "effective"}', from_target => 'platform');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT cost_center, outcome, currency, billed, effective, list FROM cost_by_cost_center ORDER BY 1, 2, 3;
SELECT currency, sum(billed), sum(effective), sum(list), sum(contracted) FROM cost_shares GROUP BY 1 ORDER BY 1;
SELECT currency, sum(billed), sum(effective), sum(list), sum(contracted) FROM costs GROUP BY 1 ORDER BY 1;
SELECT outcome, reason, rule, service, pool, billed FROM cost_shares WHERE outcome IN ('unallocated', 'excluded') ORDER BY 4, 5;
SELECT severity, rule, message FROM allocation_findings ORDER BY 2, 3;
SELECT department, currency, billed, direct_billed, shared_billed FROM cost_by_department ORDER BY 1, 2;

-- a share tells its way from the cost rows
SELECT share FROM cost_shares WHERE rule = 'platform to teams' AND cost_center = 'search' AND service = 'kubernetes' \gset
SELECT * FROM explain_share(:share);
SELECT resource, billed, currency FROM share_rows(:share);
SELECT share FROM cost_shares WHERE rule = 'by team' AND cost_center = 'ads' \gset
SELECT resource, billed, effective, tags FROM share_rows(:share);

-- again: nothing changes
CREATE TABLE public.before AS SELECT cost_center, outcome, rule, service, currency, billed, effective FROM cost_shares;
CALL allocate('[2026-10-01,2026-11-01)');
SELECT count(*) FROM (SELECT cost_center, outcome, rule, service, currency, billed, effective FROM cost_shares EXCEPT ALL TABLE public.before) AS d;
SELECT count(*) FROM allocations;

-- what if, without writing
SELECT * FROM what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "platform to teams", "place": 80, "from_target": "platform", "action": {"split": "even", "targets": ["search", "web"]}}, {"key": "backup"}]');
SELECT count(*) FROM allocation_rules;
SELECT count(*) FROM allocations;

-- validation
SELECT set_allocation_rule('department', 'everything', 90, '{"stop": true}');
SELECT set_allocation_rule('department', 'too late', 95, '{"split": "fixed", "weights": {"search": 50, "ads": 49}}', '{"column": "ServiceName", "contains": "x"}');
SELECT set_allocation_rule('department', 'support again', 35, '{"target": "web"}', '{"column": "ServiceName", "equals": "support"}');
SELECT severity, rule, message, mend FROM validate_allocation('[2026-10-01,2026-11-01)');
SELECT remove_allocation_rule('department', 'support again');
SELECT count(*) FROM allocations;

-- what is refused
SELECT fails($$ SELECT set_allocation_rule('department', 'back', 85, '{"target": "platform"}', from_target => 'web') $$);
SELECT set_allocation_rule('department', 'platform to teams', 80, '{"split": "even", "targets": ["search", "web"]}', from_target => 'platform');
SELECT fails($$ SELECT set_allocation_rule('department', 'back', 85, '{"target": "platform"}', from_target => 'web') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"target": "nobody"}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"split": "fixed", "weights": {"search": 0}}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"split": "fixed", "weights": {"search": -1, "ads": 2}}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"split": "usage", "meter": "gpu", "by": "team"}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"give": "search"}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"target": "search"}', '{"tag": "team", "equals": 7}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"target": "search"}', '{"or": []}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'x', 1, '{"target": "search"}', pools => '{money}') $$);
SELECT fails($$ SELECT set_allocation_rule('nothing', 'x', 1, '{"target": "search"}') $$);
SELECT fails($$ CALL allocate('empty') $$);
SELECT fails($$ SELECT set_allocation_scheme('department', kind => 'project') $$);
SELECT fails($$ SELECT remove_allocation_rule('department', 'x') $$);
