-- Tags: keys made alike, three origins in a fixed order, rules that are previewed, required tags.
\set ECHO none
\set test_database billing_cost_tags
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT stage('A', 'compute', 1, resource => 'vm-1', tags => '{"user:Team": "search", " Cost Center": "7"}'),
       stage('A', 'compute', 2, resource => 'vm-2', creator => 'dana'),
       stage('A', 'compute', 4, resource => 'vm-3', tags => '{"team": "", "TEAM": "ads"}'),
       stage('B', 'storage', 8);
SELECT take();
SELECT service, resource, tags FROM costs ORDER BY billed;
SELECT set_tag_key_rule(4, '^team$', 'squad');
SELECT service, resource, tags FROM costs ORDER BY billed;
SELECT set_tag_key_rule(4, NULL);
SELECT fails($$ SELECT set_tag_key_rule(4, '(a)\1') $$);
SELECT fails($$ SELECT set_tag_key_rule(4, '(') $$);

-- what people set goes before what the provider said
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR') \g /dev/null
SELECT set_account('acme') \g /dev/null
SELECT set_resource('acme', 'vm-1') \g /dev/null
SELECT set_tags('acme', 'vm-1', '{"team": "web"}', valid_from => '2026-10-01');
SELECT resource, tags FROM cost_rows('[2026-10-01,2026-11-01)', clock_timestamp()) ORDER BY billed;

-- a rule speaks only where nobody else does; it is shown before it is set
SELECT * FROM preview_auto_tags('[2026-10-01,2026-11-01)', 'creators', 'team', '{"column": "x_creator", "exists": true}', value_from => 'column:x_creator');
SELECT set_auto_tag_rule('creators', 'team', '{"column": "x_creator", "exists": true}', value_from => 'column:x_creator', place => 1);
SELECT * FROM preview_auto_tags('[2026-10-01,2026-11-01)', 'inherit', 'team', value_from => 'column:CostCenter');
SELECT set_auto_tag_rule('inherit', 'team', value_from => 'column:CostCenter', place => 2);
SELECT set_auto_tag_rule('names', 'environment', '{"column": "ResourceId", "regex": "^vm-[12]$"}', value => 'prod');
SELECT billing_account, tag, rows, tagged_rows, billed, tagged_billed, percent_of_rows FROM tag_compliance('[2026-10-01,2026-11-01)');
SELECT set_required_tags('team', 'Environment');
SELECT billing_account, tag, rows, tagged_rows, billed, tagged_billed, percent_of_rows FROM tag_compliance('[2026-10-01,2026-11-01)');
SELECT set_auto_tag_rule('names', NULL);
SELECT tag, tagged_rows FROM tag_compliance('[2026-10-01,2026-11-01)');
SELECT fails($$ SELECT set_auto_tag_rule('bad', 'team', '{"column": "x", "like": "y"}', value => 'z') $$);
SELECT fails($$ SELECT set_auto_tag_rule('bad', 'team', '{}') $$);
SELECT fails($$ SELECT set_auto_tag_rule('bad', 'team', '{"tag": "x", "regex": "a{3}(b)\\1"}', value => 'z') $$);

-- exchange rates
SELECT set_exchange_rate('USD', 'EUR', '2026-10-01', '2026-11-01', 0.9, 'ECB');
SELECT set_exchange_rate('USD', 'EUR', '2026-10-11', '2026-10-21', 0.95, 'ECB');
SELECT valid, rate, source, upper_inf(known) AS holds FROM exchange_rate ORDER BY known, valid;
SELECT exchange_rate_on('USD', 'EUR', '2026-10-12'), exchange_rate_on('USD', 'USD', '2026-10-12'), exchange_rate_on('USD', 'EUR', '2026-11-12');
SELECT fails($$ SELECT set_exchange_rate('USD', 'EUR', '2026-10-11', '2026-10-21', 0) $$);

-- keys are made alike in conditions too; a tag without a value is none; former rules for keys still explain what was divided by them
SELECT set_auto_tag_rule('by team', 'Owner', '{"tag": "aws:Team", "exists": true}', value => 'bob');
SELECT set_auto_tag_rule('copied', 'copy', '{"not": {"tag": "TEAM", "equals": "x"}}', value_from => 'tag:Team ');
SELECT key, tag, condition, value_from FROM auto_tag_rule WHERE upper_inf(known) AND key IN ('by team', 'copied') ORDER BY 1;
TRUNCATE public.staged;
SELECT stage('B', 'compute', 10, resource => 'r1', tags => '{"Team": "search", "project": "", "owner": null}'), stage('B', 'compute', 1, resource => 'r2', tags => '{"acme:Team": "ads", "project": "p"}');
SELECT take();
SELECT attributes, billed FROM summary('[2026-10-01,2026-11-01)', '{tag:Owner,tag:copy}', condition => '{"and": [{"tag": "Team", "exists": true}, {"column": "BillingAccountId", "equals": "B"}]}');
SELECT tag, tagged_rows, rows FROM tag_compliance('[2026-10-01,2026-11-01)') WHERE billing_account = 'B' ORDER BY 1;
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}') > 0 AS ok;
SELECT set_tag_key_rule(9, '^acme:');
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT set_tag_key_rule(9, NULL);
SELECT fails($$ SELECT close_allocation('[2026-10-01,2026-11-01)') $$);
SELECT s.cost_center, s.billed, r.resource, r.tags ->> 'team' AS team FROM cost_shares AS s, share_rows(s.share) AS r WHERE s.billing_account = 'B' ORDER BY 1, 2;
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT s.cost_center, s.billed, r.resource, r.tags ->> 'team' AS team FROM cost_shares AS s, share_rows(s.share) AS r WHERE s.billing_account = 'B' ORDER BY 1, 2;

-- tags that people set are read under their normalised keys as well, and go before all others
SELECT set_seller('us', legal_name => 'Us', country => 'DE', currency => 'EUR') > 0 AS ok, set_account('acme', starts_on => '2026-01-01') > 0 AS ok, set_resource('acme', 'r1') > 0 AS ok;
SELECT set_tags('acme', 'r1', '{"aws:Team": "web", "Cost-Center": "9"}', '2026-10-01');
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT s.cost_center, s.billed, r.tags FROM cost_shares AS s, share_rows(s.share) AS r WHERE s.billing_account = 'B' AND r.resource = 'r1';
SELECT tag, value, billed FROM cost_by_tag WHERE tag IN ('team', 'aws:Team', 'cost_center') ORDER BY 1, 2;

-- the same billing account from two sources is an error that is told
SELECT set_cost_source('renamed', provider => 'aws') > 0 AS ok, set_billing_account('renamed', 'B', 'project', 'atlas') IS NULL AS ok;
SELECT stage('B', 'compute', 10, resource => 'r1') \g /dev/null
SELECT outcome FROM import_focus('public.staged', 'renamed', '[2026-10-01,2026-11-01)');
SELECT severity, rule, focus_column, value, message, affected FROM cost_findings WHERE rule = 'window-elsewhere';
