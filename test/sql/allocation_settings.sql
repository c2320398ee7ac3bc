-- Who bears what does not depend on how the session writes dates, intervals, times and numbers.
\set ECHO none
\set test_database billing_allocation_settings
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'corrected', 1, '{"split": "even", "targets": ["web", "ads"]}', '{"column": "ServiceName", "equals": "refund"}');
SELECT set_allocation_rule('department', 'early', 2, '{"target": "search"}', '{"column": "BillingPeriodStart", "equals": "2026-10-01"}', valid_to => '2026-10-12');
SELECT set_allocation_rule('department', 'late', 2, '{"split": "fixed", "weights": {"ads": "0.1", "web": "0.2"}}', '{"column": "BillingPeriodEnd", "equals": "2026-11-01"}', valid_from => '2026-10-12');
SELECT stage('A', 'a', 10, starts => '2026-10-11 23:00Z'), stage('A', 'b', 20, starts => '2026-10-12 00:30Z'), stage('A', 'refund', -1, starts => '2026-09-30 23:30Z', class => 'Correction'), stage('A', 'refund', -2, starts => '2026-10-01 00:30Z', class => 'Correction');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT count(*), count(*) FILTER (WHERE outcome = 'unallocated') FROM cost_shares;
CREATE TABLE public.plain AS SELECT rule, cost_center, outcome, day, billed FROM cost_shares;
CREATE TABLE public.plain_steps AS SELECT c.rule, c.cost_center, c.day, x.step, x.what, x.detail, x.billed FROM cost_shares AS c, explain_share(c.share) AS x;
CREATE TABLE public.plain_rows AS SELECT c.rule, c.cost_center, c.day, x.* FROM cost_shares AS c, share_rows(c.share) AS x;
CREATE TABLE public.plain_what_if AS SELECT * FROM what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "early", "place": 2, "action": {"target": "web"}}]');
CREATE TABLE public.plain_validation AS SELECT * FROM validate_allocation('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, day, billed FROM public.plain ORDER BY 1, 2, 3;
SELECT origin, sum(billed) FROM billing.allocation_share WHERE parent_id IS NULL GROUP BY 1 ORDER BY 1;

-- the same in a session that writes everything otherwise
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Shanghai';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -15;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET bytea_output = escape;
CALL allocate('[2026-10-01,2026-11-01)');
TABLE public.plain EXCEPT ALL SELECT rule, cost_center, outcome, day, billed FROM cost_shares;
SELECT rule, cost_center, outcome, day, billed FROM cost_shares EXCEPT ALL TABLE public.plain;
SELECT c.rule, c.cost_center, c.day, x.step, x.what, x.detail, x.billed FROM cost_shares AS c, explain_share(c.share) AS x EXCEPT ALL TABLE public.plain_steps;
SELECT c.rule, c.cost_center, c.day, x.* FROM cost_shares AS c, share_rows(c.share) AS x EXCEPT ALL TABLE public.plain_rows;
TABLE public.plain_rows EXCEPT ALL SELECT c.rule, c.cost_center, c.day, x.* FROM cost_shares AS c, share_rows(c.share) AS x;
SELECT * FROM what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "early", "place": 2, "action": {"target": "web"}}]') EXCEPT ALL TABLE public.plain_what_if;
SELECT * FROM validate_allocation('[2026-10-01,2026-11-01)') EXCEPT ALL TABLE public.plain_validation;

-- rules said in such a session hold the same
SELECT set_allocation_rule('department', 'early', 2, '{"target": "search"}', valid_to => '12/10/2026'), set_allocation_rule('department', 'late', 2, '{"split": "fixed", "weights": {"ads": "0.1", "web": "0.2"}}', valid_from => '12/10/2026') \g /dev/null
CALL allocate('[2026-10-01,2026-11-01)');
SELECT rule, cost_center, outcome, day, billed FROM cost_shares EXCEPT ALL TABLE public.plain;
RESET standard_conforming_strings;
