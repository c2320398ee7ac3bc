-- What rules split by: weights of any size, and usage as its meter measures it.
\set ECHO none
\set test_database billing_allocation_bases
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_allocation_scheme('department');
SELECT stage('A', 'tiny', 10.5), stage('A', 'huge', 10.5), stage('A', 'both', 10.5), stage('A', 'third', 1);
SELECT take();
SELECT set_allocation_rule('department', 'tiny', 1, '{"split": "fixed", "weights": {"search": 1e-45, "ads": 2e-45}}', '{"column": "ServiceName", "equals": "tiny"}');
SELECT set_allocation_rule('department', 'huge', 2, '{"split": "fixed", "weights": {"search": 1e45, "ads": 2e45}}', '{"column": "ServiceName", "equals": "huge"}');
SELECT set_allocation_rule('department', 'both', 3, '{"split": "fixed", "weights": {"search": 1e-45, "ads": 1e45}}', '{"column": "ServiceName", "equals": "both"}');
SELECT set_allocation_rule('department', 'third', 4, '{"split": "fixed", "weights": {"search": 1e-1000, "ads": 1e-1000, "web": 1e-1000}}', '{"column": "ServiceName", "equals": "third"}');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, billed FROM cost_shares ORDER BY 1, 2;
SELECT sum(billed) FROM cost_shares;

-- usage as its meter measures it: a peak is a peak however often it is sampled
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR'), set_account('acme', starts_on => '2026-09-01'), set_account('web', starts_on => '2026-09-01') \g /dev/null
SELECT set_meter('peak', unit => 'GB', aggregation => 'max'), set_meter('latest', unit => 'GB', aggregation => 'latest'), set_meter('average', unit => 'GB', aggregation => 'avg'), set_meter('people', unit => 'C62', aggregation => 'unique_count', unique_dimension => 'person'),
       set_meter('level', unit => 'GB', aggregation => 'time_weighted'), set_meter('reading', unit => 'KWH', aggregation => 'increase'), set_meter('big', unit => 'GB', aggregation => 'sum', filter => '{"size": ["big"]}') \g /dev/null
CALL maintain_partitions('[2026-09-01,2026-12-01)');
SELECT outcome, count(*) FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', m.meter || u.id, 'account', u.account, 'meter', m.meter, 'at', u.at, 'quantity', u.quantity,
                                                    'dimensions', jsonb_strip_nulls(jsonb_build_object('department', u.department, 'person', u.person, 'size', u.size))))
  FROM unnest('{peak,latest,average,people,level,reading,big}'::text[]) AS m (meter),
       (VALUES ('1', 'acme', '2026-10-05T10:00:00Z', '100', 'search', 'ann', 'big'), ('2', 'acme', '2026-10-06T10:00:00Z', '100', 'search', 'ann', 'big'), ('3', 'acme', '2026-10-21T10:00:00Z', '130', 'search', 'bob', 'small'),
               ('4', 'acme', '2026-10-06T10:00:00Z', '100', 'ads', 'ann', 'big'), ('5', 'acme', '2026-10-26T10:00:00Z', '300', 'ads', 'eve', 'small'), ('6', 'web', '2026-10-16T10:00:00Z', '50', NULL, NULL, NULL), ('7', 'web', '2026-10-21T10:00:00Z', '70', NULL, 'kim', 'big')) AS u (id, account, at, quantity, department, person, size))) GROUP BY 1;
SELECT m.meter, string_agg(format('%s %s', u.target, trim_scale(u.quantity)), ', ' ORDER BY u.target) FROM unnest('{peak,latest,average,people,level,reading,big}'::text[]) WITH ORDINALITY AS m (meter, place),
       usage_by_target(m.meter, 'department', '[2026-10-01,2026-11-01)', 'department', clock_timestamp()) AS u GROUP BY m.place, m.meter ORDER BY m.place;
-- an account as a whole is measured as it is charged
SELECT m.meter, trim_scale(u.quantity), q.quantity FROM unnest('{peak,latest,average,people,level,reading,big}'::text[]) WITH ORDINALITY AS m (meter, place),
       usage_by_target(m.meter, 'nothing', '[2026-10-01,2026-11-01)', 'department', clock_timestamp()) AS u, usage_quantity('web', m.meter, '[2026-10-01 00:00Z,2026-11-01 00:00Z)') AS q WHERE u.target = 'web' ORDER BY m.place;
SELECT stage('A', 'peak', 480), stage('A', 'people', 400);
SELECT take();
SELECT set_allocation_rule('department', 'peak', 5, '{"split": "usage", "meter": "peak", "by": "department"}', '{"column": "ServiceName", "equals": "peak"}');
SELECT set_allocation_rule('department', 'people', 6, '{"split": "usage", "meter": "people", "by": "department"}', '{"column": "ServiceName", "equals": "people"}');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, trim_scale(billed) FROM cost_shares ORDER BY 1, 2;

-- usage that names no cost center pays for nobody else
SELECT outcome FROM record_usage('[{"id": "8", "account": "acme", "meter": "peak", "at": "2026-10-07T10:00:00Z", "quantity": "300", "dimensions": {"department": "Search "}}, {"id": "9", "account": "acme", "meter": "peak", "at": "2026-10-07T10:00:00Z", "quantity": "20"}]');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, outcome, reason, trim_scale(billed) FROM cost_shares WHERE rule = 'peak' ORDER BY 1, 2;
SELECT severity, rule, message, mend FROM allocation_findings;
SELECT x.step, x.what, x.detail FROM cost_shares AS c, explain_share(c.share) AS x WHERE c.rule = 'peak' AND c.outcome = 'unallocated';
-- what is split by that rule's result goes to those whom it gave something
SELECT stage('A', 'peak', 480), stage('A', 'echo', 300);
SELECT take();
SELECT set_allocation_rule('department', 'echo', 7, '{"split": "proportional", "basis": "billed", "rule": "peak"}', '{"column": "ServiceName", "equals": "echo"}');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, outcome, trim_scale(billed) FROM cost_shares WHERE rule = 'echo' ORDER BY 1, 2;
-- unless the rule names those that count
SELECT set_allocation_rule('department', 'peak', 5, '{"split": "usage", "meter": "peak", "by": "department", "targets": ["search", "ads"]}', '{"column": "ServiceName", "equals": "peak"}');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, outcome, trim_scale(billed) FROM cost_shares WHERE rule = 'peak' ORDER BY 1, 2;
SELECT count(*) FROM allocation_findings;
