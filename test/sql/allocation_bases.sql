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
