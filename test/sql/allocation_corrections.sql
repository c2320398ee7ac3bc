-- Corrections of an earlier period go by what was done with the original: by the rule of its day, by the newest division, and
-- unallocated where the original was.
\set ECHO none
\set test_database billing_allocation_corrections
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
CREATE FUNCTION public.take_month(month date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said record;
BEGIN
    UPDATE public.staged SET billing_period_start = to_char(month::timestamp, 'YYYY-MM-DD"T00:00:00Z"'), billing_period_end = to_char(month + interval '1 month', 'YYYY-MM-DD"T00:00:00Z"');
    SELECT * INTO said FROM billing.import_focus('public.staged', 'payer', daterange(month, (month + interval '1 month')::date));
    TRUNCATE public.staged;
    RETURN said.outcome;
END $$;
\set ECHO all
-- the rule changed in the middle of the month that is corrected
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'shared', 10, '{"split": "fixed", "weights": {"search": 50, "ads": 50}}', '{"column": "ServiceName", "equals": "shared"}');
SELECT set_allocation_rule('department', 'shared', 10, '{"split": "fixed", "weights": {"search": 80, "ads": 20}}', '{"column": "ServiceName", "equals": "shared"}', valid_from => '2026-10-15');
SELECT stage('A', 'shared', 100, starts => '2026-10-05Z'), stage('A', 'shared', 100, starts => '2026-10-20Z');
SELECT take_month('2026-10-01');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT close_allocation('[2026-10-01,2026-11-01)');
SELECT stage('A', 'shared', -100, starts => '2026-10-20Z', class => 'Correction'), stage('A', 'shared', -10, starts => '2026-10-05Z', class => 'Correction'), stage('A', 'shared', 10, starts => '2026-11-20Z');
SELECT take_month('2026-11-01');
CALL allocate('[2026-11-01,2026-12-01)');
SELECT day, cost_center, outcome, trim_scale(billed) AS billed FROM cost_shares WHERE period = '[2026-11-01,2026-12-01)' ORDER BY 1, 2;
SELECT trim_scale(sum(billed)) FROM cost_shares WHERE period = '[2026-11-01,2026-12-01)';
SELECT x.step, x.what, x.rule, x.detail, trim_scale(x.billed) FROM cost_shares AS c, explain_share(c.share) AS x WHERE c.day = '2026-10-20' AND c.period = '[2026-11-01,2026-12-01)' AND c.cost_center = 'ads';
SELECT x.step, x.what, x.rule, x.detail, trim_scale(x.billed) FROM cost_shares AS c, explain_share(c.share) AS x WHERE c.day = '2026-10-20' AND c.period = '[2026-10-01,2026-11-01)' AND c.cost_center = 'ads';

-- what stayed unallocated is refunded to nobody
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}');
SELECT set_allocation_rule('department', 'others', 20, '{"split": "proportional"}');
SELECT stage('A', 'other', 100, starts => '2026-12-05Z');
SELECT take_month('2026-12-01');
CALL allocate('[2026-12-01,2027-01-01)');
SELECT close_allocation('[2026-12-01,2027-01-01)');
SELECT stage('A', 'other', -100, starts => '2026-12-05Z', class => 'Correction'), stage('A', 'compute', 10, tags => '{"team": "search"}', starts => '2027-01-05Z');
SELECT take_month('2027-01-01');
CALL allocate('[2027-01-01,2027-02-01)');
SELECT cost_center, outcome, reason, trim_scale(billed) AS billed FROM cost_shares WHERE period = '[2027-01-01,2027-02-01)' ORDER BY 1;

-- restated twice: the newest division counts, in which nothing could be split again
SELECT set_allocation_scheme('department', restatement => 'book');
SELECT stage('A', 'other', 120, starts => '2026-12-05Z'), stage('A', 'compute', 1, tags => '{"team": "ads"}', starts => '2026-12-05Z');
SELECT take_month('2026-12-01');
CALL allocate('[2026-12-01,2027-01-01)');
CALL allocate('[2027-01-01,2027-02-01)');
SELECT cost_center, outcome, reason, trim_scale(billed) AS billed FROM cost_shares WHERE period = '[2027-01-01,2027-02-01)' ORDER BY 1;
SELECT stage('A', 'other', 100, starts => '2026-12-05Z');
SELECT take_month('2026-12-01');
CALL allocate('[2026-12-01,2027-01-01)');
SELECT chain_no, state FROM allocations WHERE period = '[2026-12-01,2027-01-01)' ORDER BY 1;
SELECT cost_center, outcome, reason, trim_scale(sum(billed)) AS billed FROM cost_shares WHERE period = '[2026-12-01,2027-01-01)' GROUP BY 1, 2, 3 HAVING sum(billed) <> 0 ORDER BY 1;
CALL allocate('[2027-01-01,2027-02-01)');
SELECT cost_center, outcome, reason, trim_scale(billed) AS billed FROM cost_shares WHERE period = '[2027-01-01,2027-02-01)' ORDER BY 1;

-- a month that is divided but not closed is followed too
SELECT stage('A', 'other', -10, starts => '2027-01-05Z', class => 'Correction'), stage('A', 'compute', 10, tags => '{"team": "web"}', starts => '2027-02-05Z'), stage('A', 'other', 10, starts => '2027-01-06Z');
SELECT take_month('2027-02-01');
SELECT stage('A', 'other', 30, starts => '2027-01-05Z'), stage('A', 'compute', 10, tags => '{"team": "search"}', starts => '2027-01-05Z');
SELECT take_month('2027-01-01');
CALL allocate('[2027-01-01,2027-02-01)');
CALL allocate('[2027-02-01,2027-03-01)');
SELECT day, cost_center, outcome, trim_scale(billed) AS billed FROM cost_shares WHERE period = '[2027-02-01,2027-03-01)' ORDER BY 1, 2;
SELECT severity, rule, message, mend FROM allocation_findings WHERE period = '[2027-02-01,2027-03-01)';

-- a division that does not conserve is not written
BEGIN;
CREATE OR REPLACE FUNCTION billing.part_of(amount numeric, basis_before numeric, basis numeric, basis_total numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT amount * basis / basis_total + 0.01 $$;
SELECT fails($$ CALL allocate('[2027-02-01,2027-03-01)') $$);
ROLLBACK;

-- a difference says what was borne before and what now, and has the rows of its cell
SELECT c.cost_center, c.outcome, trim_scale(c.billed) AS billed, x.what, x.detail, (SELECT count(*) FROM share_rows(c.share)) AS rows FROM cost_shares AS c JOIN allocations AS a USING (allocation), explain_share(c.share) AS x
 WHERE a.period = '[2026-12-01,2027-01-01)' AND a.chain_no > 1 ORDER BY a.chain_no, 1, 2;

-- a refund follows what was given whole, excluded or split by a rule that is another one now, or none
SELECT set_cost_center('project', k) > 0 AS ok FROM unnest('{one,two}'::text[]) AS k;
SELECT set_allocation_scheme('project');
SELECT set_allocation_rule('project', 'whole', 1, '{"target": "one"}', '{"column": "ServiceName", "equals": "svc"}') > 0 AS ok;
SELECT set_allocation_rule('project', 'half', 2, '{"split": "even", "targets": ["one", "two"]}', '{"column": "ServiceName", "equals": "halved"}') > 0 AS ok;
SELECT set_allocation_rule('project', 'out', 3, '{"exclude": true}', '{"column": "ServiceName", "equals": "gone"}') > 0 AS ok;
SELECT set_allocation_rule('project', 'rest', 4, '{"target": "atlas"}') > 0 AS ok;
SELECT set_allocation_rule('project', 'atlas', 5, '{"split": "fixed", "weights": {"one": 3, "two": 1}}', from_target => 'atlas') > 0 AS ok;
SELECT stage('A', 'svc', 100, starts => '2027-05-05Z'), stage('A', 'halved', 100, starts => '2027-05-05Z'), stage('A', 'gone', 100, starts => '2027-05-05Z'), stage('A', 'any', 100, starts => '2027-05-05Z');
SELECT take_month('2027-05-01');
CALL allocate('[2027-05-01,2027-06-01)', scheme => 'project');
SELECT close_allocation('[2027-05-01,2027-06-01)', 'project');
SELECT remove_allocation_rule('project', k) FROM unnest('{half,out,atlas}'::text[]) AS k;
SELECT set_allocation_rule('project', 'whole', 1, '{"split": "proportional"}', '{"column": "ServiceName", "equals": "svc"}') > 0 AS ok;
SELECT set_allocation_rule('project', 'rest', 4, '{"target": "two"}') > 0 AS ok;
SELECT stage('A', s, -100, starts => '2027-05-05Z', class => 'Correction') FROM unnest('{svc,halved,gone,any}'::text[]) AS s;
SELECT stage('A', 'svc', 9, starts => '2027-06-05Z'), stage('A', 'any', 1, starts => '2027-06-05Z'), stage('A', 'halved', -8, starts => '2027-05-06Z', currency => 'USD', class => 'Correction');
SELECT take_month('2027-06-01');
CALL allocate('[2027-06-01,2027-07-01)', scheme => 'project');
SELECT cost_center, currency, trim_scale(sum(billed)) AS billed FROM cost_shares WHERE scheme = 'project' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT c.service, c.cost_center, c.currency, trim_scale(c.billed) AS billed, x.step, x.rule, x.detail, (SELECT count(*) FROM share_rows(c.share)) AS rows
  FROM cost_shares AS c, explain_share(c.share) AS x WHERE c.scheme = 'project' AND c.period = '[2027-06-01,2027-07-01)' ORDER BY 1, 2, 3, 4, 5;

-- a refund of a billing period that is no calendar month goes by the division of that period
CREATE FUNCTION public.take_span(span daterange) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said record;
BEGIN
    UPDATE public.staged SET billing_period_start = to_char(lower(span)::timestamp, 'YYYY-MM-DD"T00:00:00Z"'), billing_period_end = to_char(upper(span)::timestamp, 'YYYY-MM-DD"T00:00:00Z"');
    SELECT * INTO said FROM billing.import_focus('public.staged', 'payer', span);
    TRUNCATE public.staged;
    RETURN said.outcome;
END $$;
SELECT set_allocation_rule('project', 'odd', 0, '{"split": "fixed", "weights": {"one": 50, "two": 50}}', '{"column": "ServiceName", "equals": "odd"}') > 0 AS ok;
SELECT stage('B', 'odd', 100, starts => '2027-10-05Z');
SELECT take_span('[2027-09-15,2027-10-15)');
CALL allocate('[2027-09-01,2027-10-01)', scheme => 'project');
CALL allocate('[2027-10-01,2027-11-01)', scheme => 'project');
SELECT set_allocation_rule('project', 'odd', 0, '{"split": "fixed", "weights": {"one": 90, "two": 10}}', '{"column": "ServiceName", "equals": "odd"}') > 0 AS ok;
SELECT stage('B', 'odd', -100, starts => '2027-10-05Z', class => 'Correction');
SELECT take_span('[2027-11-15,2027-12-15)');
CALL allocate('[2027-11-01,2027-12-01)', scheme => 'project');
SELECT cost_center, trim_scale(billed) AS billed FROM cost_shares WHERE period = '[2027-11-01,2027-12-01)' ORDER BY 1;
