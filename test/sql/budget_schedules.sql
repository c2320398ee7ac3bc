-- Reports by schedule: they wait for the division, say what they are about, come again when figures change, and stop for nobody.
\set ECHO none
\set test_database billing_budget_schedules
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_cost_center('department', '=HYPERLINK("http://x","y")'), set_cost_center('department', '-1+1'), set_cost_center('department', 'a "b", c') \g /dev/null
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}');
SELECT stage('A', 'compute', 10, tags => '{"team": "search"}'), stage('A', 'compute', 1, tags => '{"team": "=HYPERLINK(\"http://x\",\"y\")"}'), stage('A', 'compute', 2, tags => '{"team": "-1+1"}'), stage('A', 'compute', 3, tags => '{"team": "a \"b\", c"}') \g /dev/null
SELECT take();

-- nothing is divided yet: nothing is reported
SELECT set_report_schedule('monthly'), set_report_schedule('weekly', 'weekly', 'json') \g /dev/null
SELECT run_reports('2026-11-02');
SELECT schedule, waits_for, last_period FROM report_schedules ORDER BY 1;
SELECT fails($$ CALL generate_report('[2026-10-01,2026-11-01)') $$);
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT fails($$ CALL generate_report('[2026-10-15,2026-11-15)') $$);
SELECT run_reports('2026-11-02');
SELECT schedule, waits_for, last_period FROM report_schedules ORDER BY 1;
SELECT run_reports('2026-11-03');

-- the text says what it is about, in any session, and no cell of it is a formula
SELECT regexp_replace(content, '\d{4}-\d\d-\d\dT[0-9:]+Z', 'INSTANT', 'g') FROM reports ORDER BY report;
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Shanghai';
CALL generate_report('[2026-10-01,2026-11-01)', 'json') \g /dev/null
SET datestyle = 'German';
SET timezone = 'America/New_York';
CALL generate_report('[2026-10-01,2026-11-01)', 'json') \g /dev/null
SELECT run_reports('2026-11-03');
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT count(DISTINCT content), min(content) ~ '"period": "\[2026-10-01,2026-11-01\)"' AS iso, min((content::jsonb ->> 'fresh_at')::timestamptz) BETWEEN now() - interval '30 minutes' AND now() AS utc FROM reports WHERE schedule IS NULL;

-- the same figures make no new version, others do, and so does the close
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT run_reports('2026-11-03');
SELECT stage('A', 'compute', 12, tags => '{"team": "search"}'), stage('A', 'compute', 1, tags => '{"team": "=HYPERLINK(\"http://x\",\"y\")"}'), stage('A', 'compute', 2, tags => '{"team": "-1+1"}'), stage('A', 'compute', 3, tags => '{"team": "a \"b\", c"}') \g /dev/null
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT run_reports('2026-11-04');
SELECT close_allocation('[2026-10-01,2026-11-01)') \g /dev/null
SELECT run_reports('2026-12-02');
SELECT run_reports('2026-12-02');
SELECT schedule, period, version, division, content ~ '12.00' AS restated FROM reports WHERE schedule = 'monthly' ORDER BY version;
SELECT schedule, waits_for FROM report_schedules ORDER BY 1;

-- a scheme that is only being made, or that was given up, lets no report wait
SELECT set_allocation_scheme('idea', kind => 'department'), set_allocation_rule('idea', 'all', 1, '{"target": "web"}') \g /dev/null
SELECT report_gap('[2026-10-01,2026-11-01)');
CALL allocate('[2026-09-01,2026-10-01)', NULL, 'idea') \g /dev/null
SELECT report_gap('[2026-10-01,2026-11-01)');
SELECT remove_allocation_rule('idea', 'all') \g /dev/null
SELECT report_gap('[2026-10-01,2026-11-01)');

-- an endpoint must be there; one that goes away stops no other report
SELECT fails($$ SELECT set_report_schedule('x', endpoint => 'slak') $$);
CREATE SERVER slack FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://hooks.example.com', connector 'shop.slack');
CREATE SERVER mail FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://mail.example.com', connector 'shop.mail');
SELECT set_report_schedule('a gone', endpoint => 'slack'), set_report_schedule('b there', endpoint => 'mail') \g /dev/null
DROP SERVER slack;
SELECT run_reports('2026-11-04');
SELECT schedule, state, problem FROM reports WHERE schedule IN ('a gone', 'b there') ORDER BY 1;
SELECT payload ->> 'period', payload ->> 'version', payload ->> 'division' FROM message WHERE kind = 'report';

-- without a day it is today in UTC, wherever the session is
CREATE FUNCTION public.today() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', report_period('yesterday'), (SELECT max(upper(period)) FROM budget_status() WHERE budget = 'daily'), may_create(scheme => 'department', cost_center => 'web')) $$;
SELECT set_budget('daily', 0, 'EUR', scheme => 'department', cost_center => 'web', every => 'total', valid_from => (now() AT TIME ZONE 'UTC')::date, valid_to => (now() AT TIME ZONE 'UTC')::date + 1) \g /dev/null
SELECT today() AS utc \gset
SET timezone = 'Pacific/Kiritimati';
SELECT today() AS east \gset
SET timezone = 'Etc/GMT+12';
SELECT today() AS west \gset
SELECT :'utc' = :'east' AS east, :'utc' = :'west' AS west;

-- what waited is made when it can be, though another is due by then
CALL allocate('[2026-11-01,2026-12-01)') \g /dev/null
SELECT run_reports('2027-01-04');
SELECT schedule, period, version FROM reports WHERE lower(period) >= '2026-11-01' ORDER BY 1, 2, 3;

-- a difference that is held is told
SELECT set_allocation_scheme('department', restatement => 'hold') \g /dev/null
SELECT stage('A', 'compute', 99) \g /dev/null
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT DISTINCT scheme, division FROM report_lines('[2026-10-01,2026-11-01)') ORDER BY 1;
SELECT rule, message FROM validate_allocation('[2026-10-01,2026-11-01)', 'department') WHERE message LIKE '%waits for approval%';
CALL generate_report('[2026-10-01,2026-11-01)') \g /dev/null
SELECT division FROM reports WHERE report = (SELECT max(report) FROM reports);
SELECT approve_allocation(allocation, 'restated') FROM allocations WHERE state = 'held';
SELECT DISTINCT scheme, division FROM report_lines('[2026-10-01,2026-11-01)') ORDER BY 1;
