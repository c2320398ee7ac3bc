-- Regular expressions in rules: what is refused when it is said, and that a slow one ends by statement_timeout with nothing written.
\set ECHO none
\set test_database billing_allocation_regex
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_allocation_scheme('department');
-- 200 characters, not 201; no back-references; no expression that is none; wherever a rule takes one
SELECT set_allocation_rule('department', 'long', 1, '{"target": "ads"}', jsonb_build_object('tag', 'team', 'regex', repeat('x', 200)));
SELECT fails(format('SELECT set_allocation_rule(''department'', ''longer'', 1, ''{"target": "ads"}'', %L)', jsonb_build_object('tag', 'team', 'regex', repeat('x', 201))));
SELECT fails($$ SELECT set_allocation_rule('department', 'again', 1, '{"target": "ads"}', '{"not": {"and": [{"column": "ServiceName", "regex": "(a+)-\\1"}]}}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'again', 1, '{"target": "ads"}', '{"column": "ServiceName", "regex": "(.)(.)\\2"}') $$);
SELECT fails($$ SELECT set_allocation_rule('department', 'wrong', 1, '{"target": "ads"}', '{"column": "ServiceName", "regex": "(a"}') $$);
SELECT fails($$ SELECT set_auto_tag_rule('again', 'team', '{"column": "ServiceName", "regex": "(a)\\1"}', value => 'x') $$);
SELECT fails($$ SELECT preview_auto_tags('[2026-10-01,2026-11-01)', 'again', 'team', '{"column": "ServiceName", "regex": "(a)\\1"}', value => 'x') $$);
SELECT fails($$ SELECT set_tag_key_rule(9, '(a)\1') $$);
SELECT fails($$ SELECT summary('[2026-10-01,2026-11-01)', condition => '{"column": "ServiceName", "regex": "(a)\\1"}') $$);
SELECT fails($$ SELECT * FROM what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "x", "place": 1, "action": {"target": "ads"}, "condition": {"column": "ServiceName", "regex": "(a)\\1"}}]') $$);
SELECT fails(format('SELECT condition_sql(%L, ''{}'')', jsonb_build_object('column', 'x', 'regex', '(((((x{1,99}){1,99}){1,99}){1,99}){1,99}')));
SELECT rule FROM allocation_rules;

-- a rule that would take half a minute over long descriptions
SELECT stage('A', 'compute', 10), stage('A', 'storage', 5) \g /dev/null
UPDATE public.staged SET charge_description = (SELECT translate(string_agg(md5(n::text), '' ORDER BY n), '0123456789abcdef', 'abababababababab') FROM generate_series(1, 30000) AS n);
SELECT take();
SELECT set_allocation_rule('department', 'long', 1, '{"target": "ads"}');
CALL allocate('[2026-10-01,2026-11-01)');
CREATE TABLE public.before AS SELECT (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.share) FROM cost_shares AS s) AS shares, (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.allocation) FROM allocations AS a) AS allocations,
    (SELECT count(*) FROM billing.run) AS runs, (SELECT count(*) FROM allocation_findings) AS findings;
SELECT set_allocation_rule('department', 'slow', 0, '{"target": "search"}', '{"column": "ChargeDescription", "regex": "(a|b)*a((a|b){250}){3}c"}');
SET statement_timeout = '700ms';
CALL allocate('[2026-10-01,2026-11-01)');
SELECT count(*) FROM validate_allocation('[2026-10-01,2026-11-01)');
RESET statement_timeout;
SELECT (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.share) FROM cost_shares AS s) = b.shares AS same_shares, (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.allocation) FROM allocations AS a) = b.allocations AS same_allocations,
       (SELECT count(*) FROM billing.run) = b.runs AS same_runs, (SELECT count(*) FROM allocation_findings) = b.findings AS same_findings, (SELECT count(*) FROM billing.allocation_share AS s WHERE NOT EXISTS (SELECT FROM billing.allocation AS a WHERE a.allocation_id = s.allocation_id)) AS orphans
  FROM public.before AS b;
SELECT remove_allocation_rule('department', 'slow');
CALL allocate('[2026-10-01,2026-11-01)');
SELECT cost_center, billed FROM cost_by_cost_center;
\c contrib_regression
DROP DATABASE billing_allocation_regex;
