-- What is refused when a rule is said, and what a division tells of itself.
\set ECHO none
\set test_database billing_allocation_checks
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_allocation_scheme('department');
SELECT action, fails(format($$ SELECT set_allocation_rule('department', 'x', 1, %L) $$, action)) FROM unnest(ARRAY[
    '{"split": "even", "targets": ["ads", "ads", "search"]}', '{"split": "even", "targets": []}', '{"split": "even", "targets": "ads"}', '{"split": "proportional", "targets": [1]}', '{"exclude": false}', '{"stop": false}', '{"exclude": "true"}',
    '{"target": ["ads"]}', '{"target": null}', '{"split": "fixed", "weights": {"ads": null, "search": 1}}', '{"split": "fixed", "weights": {"ads": "abc", "search": 1}}', '{"split": "fixed", "weights": {"ads": "NaN"}}', '{"split": "fixed", "weights": [1, 2]}',
    '{"split": "proportional", "rule": "nobody"}', '{"split": "proportional", "rule": "x"}']) AS action;
SELECT count(*) FROM allocation_rules;

-- steps of different days are no cycle
SELECT set_allocation_rule('department', 'step', 20, '{"target": "search"}', from_target => 'platform', valid_to => '2027-01-01');
SELECT set_allocation_rule('department', 'back', 21, '{"target": "platform"}', from_target => 'search', valid_from => '2027-01-01');
SELECT fails($$ SELECT set_allocation_rule('department', 'back', 21, '{"target": "platform"}', from_target => 'search', valid_from => '2026-12-31') $$);
SELECT remove_allocation_rule('department', 'back');

-- what stays with a giver, steps that begin too late, and percentages
SELECT set_allocation_rule('department', 'late', 30, '{"split": "even", "targets": ["platform", "ads"]}', '{"column": "ServiceName", "equals": "late"}');
SELECT set_allocation_rule('department', 'later', 40, '{"split": "fixed", "weights": {"ads": 50, "web": 35}}', '{"column": "ServiceName", "equals": "late"}');
SELECT set_allocation_rule('department', 'latest', 50, '{"target": "ads"}', '{"column": "ServiceName", "equals": "late"}');
SELECT set_allocation_rule('department', 'ads', 60, '{"target": "web"}', from_target => 'ads', valid_from => '2026-10-10');
SELECT stage('A', 'late', 10);
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, message FROM validate_allocation('[2026-10-01,2026-11-01)') ORDER BY 1, 2;

-- closing: a period that was divided, and as it is known
SELECT fails($$ SELECT close_allocation('[2026-10-01,2026-10-31)') $$);
SELECT stage('A', 'late', 20);
SELECT take();
SELECT fails($$ SELECT close_allocation('[2026-10-01,2026-11-01)') $$);
SELECT remove_allocation_rule('department', 'ads');
SELECT fails($$ SELECT close_allocation('[2026-10-01,2026-11-01)') $$);
CALL allocate('[2026-10-01,2026-11-01)');
SET client_min_messages = warning;
CALL allocate('[2026-10-05,2026-10-12)');
CALL allocate('[2026-10-01,2026-11-01)');
RESET client_min_messages;
SELECT close_allocation('[2026-10-01,2026-11-01)');
SELECT close_allocation('[2026-10-01,2026-11-01)');

-- what if: everything recorded counts in both columns; dates count; what is not understood is refused
SELECT stage('A', 'late', 40);
SELECT take();
SELECT cost_center, billed_now, billed_then, nobody FROM what_if('department', '[2026-10-01,2026-11-01)', '[]');
SELECT cost_center, billed_now, billed_then, nobody FROM what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "late", "place": 30, "action": {"target": "web"}, "valid_from": "2026-10-15"}, {"key": "later", "place": 40, "action": {"exclude": true}}, {"key": "latest"}]');
SELECT fails($$ SELECT what_if('department', '[2026-10-01,2026-11-01)', NULL) $$);
SELECT fails($$ SELECT what_if('department', '[2026-10-01,2026-11-01)', '{"key": 1}') $$);
SELECT fails($$ SELECT what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "late", "acton": {"target": "web"}}]') $$);
SELECT fails($$ SELECT what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "late", "place": 1, "action": {"target": "web"}, "pools": []}]') $$);

-- the rows of a closed share stay when an auto-tag rule goes
SELECT set_auto_tag_rule('team', 'team', '{"column": "ServiceName", "equals": "late"}', value => 'web') \g /dev/null
SELECT set_allocation_rule('department', 'by team', 1, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}') \g /dev/null
SELECT set_allocation_scheme('department', restatement => 'book');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT c.billed, count(r.cost_id) FROM cost_shares AS c LEFT JOIN LATERAL share_rows(c.share) AS r ON true WHERE c.rule = 'by team' GROUP BY 1;
SELECT set_auto_tag_rule('team', NULL) \g /dev/null
SELECT c.billed, count(r.cost_id) FROM cost_shares AS c LEFT JOIN LATERAL share_rows(c.share) AS r ON true WHERE c.rule = 'by team' GROUP BY 1;

-- keys of tags may be written as the provider writes them
SELECT set_allocation_rule('department', 'unit', 2, '{"target_from": "tag:Business Unit"}', '{"and": [{"tag": "Business Unit", "exists": true}, {"not": {"or": [{"tag": "TEAM", "equals": "x"}]}}]}') \g /dev/null
SELECT condition, action FROM allocation_rules WHERE rule = 'unit';

-- a summary does not add hours to requests
ALTER TABLE public.staged ADD COLUMN consumed_quantity text, ADD COLUMN consumed_unit text;
SELECT stage('A', 'units', 1, tags => '{"Team": "ads"}'), stage('A', 'units', 2, tags => '{"Team": "ads"}'), stage('A', 'hours', 4);
UPDATE public.staged SET consumed_quantity = billed_cost, consumed_unit = CASE billed_cost WHEN '2' THEN 'Requests' ELSE 'Hours' END;
SELECT take();
SELECT attributes, quantity, billed FROM summary('[2026-10-01,2026-11-01)', '{ServiceName,tag:TEAM}', 'total');
