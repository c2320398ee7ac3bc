-- What came of a division, for people: shares under words, views, explanations, what-if and validation.

CREATE VIEW billing.allocations AS
SELECT a.allocation_id AS allocation, s.key AS scheme, a.period, a.chain_no, a.state, a.known_at, a.reason, a.recorded_at, a.recorded_by
  FROM billing.allocation AS a JOIN billing.allocation_scheme AS s USING (scheme_id);
COMMENT ON VIEW billing.allocations IS 'Each division of a period by a scheme; chain_no 2 and more are differences to a closed one.';

CREATE VIEW billing.allocation_rules AS
SELECT s.key AS scheme, r.place, r.key AS rule, r.condition, k.key AS from_target, r.action, r.pools, r.valid, r.rule_id, pg_catalog.lower(r.known) AS recorded_at, r.recorded_by
  FROM billing.allocation_rule AS r JOIN billing.allocation_scheme AS s USING (scheme_id) LEFT JOIN billing.cost_center AS k ON k.cost_center_id = r.from_id
 WHERE pg_catalog.upper_inf(r.known);
COMMENT ON VIEW billing.allocation_rules IS 'The rules that hold now.';

CREATE VIEW billing.allocation_findings AS
SELECT a.allocation_id AS allocation, s.key AS scheme, a.period, f.severity, f.rule, f.message, f.mend
  FROM billing.allocation_finding AS f JOIN billing.allocation AS a USING (allocation_id) JOIN billing.allocation_scheme AS s USING (scheme_id);
COMMENT ON VIEW billing.allocation_findings IS 'What went other than the rules ask in each division.';

CREATE VIEW billing.cost_shares AS
SELECT s.key AS scheme, a.period, h.day, h.outcome, h.reason, k.key AS cost_center, k.name AS cost_center_name, r.key AS rule, o.key AS source, w.billing_account, h.sub_account, h.provider, h.service, h.category, h.pool,
       h.billed, h.effective, h.list, h.contracted, h.currency, a.state, a.allocation_id AS allocation, h.share_id AS share, k.cost_center_id
  FROM billing.allocation_share AS h
  JOIN billing.allocation AS a USING (allocation_id)
  JOIN billing.allocation_scheme AS s USING (scheme_id)
  JOIN billing.cost_window AS w USING (window_id)
  JOIN billing.cost_source AS o USING (source_id)
  LEFT JOIN billing.allocation_rule AS r USING (rule_id)
  LEFT JOIN billing.cost_center AS k ON k.cost_center_id = h.target_id
 WHERE a.state IN ('open', 'closed') AND h.outcome IN ('direct', 'shared', 'unallocated', 'excluded');
COMMENT ON VIEW billing.cost_shares IS 'Who bears what, to the last digit: for each scheme the shares add up to the cost. Never add different schemes to each other.';

CREATE VIEW billing.cost_by_cost_center AS
SELECT c.scheme, c.period, c.cost_center, c.outcome, c.currency, pg_catalog.sum(c.billed) AS billed, pg_catalog.sum(c.effective) AS effective, pg_catalog.sum(c.list) AS list, pg_catalog.sum(c.contracted) AS contracted
  FROM billing.cost_shares AS c GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW billing.cost_by_cost_center IS 'Cost by cost center, direct, shared, excluded and unallocated (cost center null), for every scheme and period; one row a currency.';

CREATE VIEW billing.cost_by_bearer AS
SELECT c.scheme, c.period, c.cost_center, c.currency, pg_catalog.sum(c.billed) AS billed, pg_catalog.sum(c.effective) AS effective,
       pg_catalog.sum(c.billed) FILTER (WHERE c.outcome = 'direct') AS direct_billed, pg_catalog.sum(c.billed) FILTER (WHERE c.outcome = 'shared') AS shared_billed,
       pg_catalog.sum(c.billed) FILTER (WHERE c.outcome = 'unallocated') AS unallocated_billed, pg_catalog.sum(c.billed) FILTER (WHERE c.outcome = 'excluded') AS excluded_billed
  FROM billing.cost_by_cost_center AS c GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW billing.cost_by_bearer IS 'Cost by cost center for every scheme and period, with what of it is direct, shared, unallocated and excluded side by side; cost center null = what nobody bears. One row a currency.';

CREATE VIEW billing.cost_by_department AS
SELECT b.period, b.cost_center AS department, b.currency, b.billed, b.effective, b.direct_billed, b.shared_billed, b.unallocated_billed, b.excluded_billed
  FROM billing.cost_by_bearer AS b WHERE b.scheme = 'department';
COMMENT ON VIEW billing.cost_by_department IS 'Cost by department, as the scheme of that name divides it; department null = what no department bears, unallocated_billed because no rule could give it, excluded_billed because one says so.';

CREATE VIEW billing.cost_by_project AS
SELECT b.period, b.cost_center AS project, b.currency, b.billed, b.effective, b.direct_billed, b.shared_billed, b.unallocated_billed, b.excluded_billed
  FROM billing.cost_by_bearer AS b WHERE b.scheme = 'project';
COMMENT ON VIEW billing.cost_by_project IS 'Cost by project, as the scheme of that name divides it; project null = what no project bears, unallocated_billed because no rule could give it, excluded_billed because one says so.';

CREATE VIEW billing.cost_by_environment AS
SELECT b.period, b.cost_center AS environment, b.currency, b.billed, b.effective, b.direct_billed, b.shared_billed, b.unallocated_billed, b.excluded_billed
  FROM billing.cost_by_bearer AS b WHERE b.scheme = 'environment';
COMMENT ON VIEW billing.cost_by_environment IS 'Cost by environment, as the scheme of that name divides it; environment null = what no environment bears, unallocated_billed because no rule could give it, excluded_billed because one says so.';

CREATE VIEW billing.cost_by_day AS
SELECT c.scheme, c.day, pg_catalog.date_trunc('month', c.day::timestamp)::date AS month, c.cost_center, c.service, c.provider, c.currency, pg_catalog.sum(c.billed) AS billed, pg_catalog.sum(c.effective) AS effective
  FROM billing.cost_shares AS c GROUP BY 1, 2, 3, 4, 5, 6, 7;
COMMENT ON VIEW billing.cost_by_day IS 'Cost by day, cost center, service and provider, for every scheme.';

CREATE FUNCTION billing.explain_share(share bigint) RETURNS TABLE (step int, what text, rule text, detail text, billed numeric, effective numeric, currency text)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH RECURSIVE way AS (
              SELECT s.*, 0 AS depth FROM billing.allocation_share AS s WHERE s.share_id = explain_share.share
              UNION ALL
              SELECT s.*, w.depth + 1 FROM way AS w JOIN billing.allocation_share AS s ON s.allocation_id = w.allocation_id AND s.share_id = w.parent_id),
          -- a difference with what was taken back from, or given anew to, the same cost center
          told AS (
              SELECT DISTINCT s.*, w.depth, n.chain_no, n.scheme_id, n.period
                FROM way AS w JOIN billing.allocation AS n USING (allocation_id)
                JOIN billing.allocation_share AS s ON s.allocation_id = w.allocation_id
                     AND (s.share_id = w.share_id OR n.chain_no > 1 AND (s.target_id, s.window_id, s.day, s.origin, s.pool, s.category, s.provider, s.service, s.sub_account, s.currency)
                          IS NOT DISTINCT FROM (w.target_id, w.window_id, w.day, w.origin, w.pool, w.category, w.provider, w.service, w.sub_account, w.currency)))
          SELECT (row_number() OVER (ORDER BY w.depth DESC, w.billed, w.share_id))::int,
                 CASE WHEN w.outcome = 'pool' THEN 'taken to be split' WHEN w.outcome = 'moved' THEN concat('held by ', k.key, ' until the next step')
                      WHEN w.outcome = 'unallocated' THEN concat('unallocated: ', w.reason) WHEN w.outcome = 'excluded' THEN 'excluded' ELSE concat(w.outcome, ' cost of ', k.key) END,
                 r.key,
                 concat_ws('; ', CASE WHEN w.chain_no > 1 THEN format('a difference of a closed period: %s billed before, %s now', trim_scale(e.billed), trim_scale(e.billed + w.billed)) END,
                           CASE WHEN f.basis_total > 0 THEN concat(r.action ->> 'split', ' ', f.basis, ' of ', f.basis_total, coalesce(' by ' || coalesce(r.action ->> 'basis', r.action ->> 'meter'), '')) END,
                           CASE WHEN a.period <> w.period THEN 'as in ' || lower(a.period) END,
                           CASE WHEN w.parent_id IS NULL THEN concat_ws(', ', 'cost rows of ' || w.day, c.billing_account, w.sub_account, w.service, w.category, 'where ' || r.condition::text) END),
                 w.billed, w.effective, w.currency
            FROM told AS w
            LEFT JOIN billing.allocation_rule AS r ON r.rule_id = w.rule_id
            LEFT JOIN billing.cost_center AS k ON k.cost_center_id = w.target_id
            LEFT JOIN billing.cost_window AS c ON c.window_id = w.window_id
            LEFT JOIN billing.allocation AS a ON a.allocation_id = w.fraction_of
            LEFT JOIN LATERAL (SELECT f.* FROM billing.allocation_share AS s CROSS JOIN LATERAL billing.share_fraction(s) AS f WHERE (w.parent_id IS NOT NULL OR w.chain_no > 1) AND s.allocation_id = w.allocation_id AND s.share_id = w.share_id) AS f ON true
            LEFT JOIN LATERAL (SELECT coalesce(sum(s.billed), 0) AS billed FROM billing.allocation AS o JOIN billing.allocation_share AS s USING (allocation_id) LEFT JOIN billing.allocation_rule AS q ON q.rule_id = s.rule_id LEFT JOIN LATERAL billing.share_fraction(s) AS x ON true
                                WHERE w.chain_no > 1 AND o.scheme_id = w.scheme_id AND o.period = w.period AND o.chain_no < w.chain_no AND o.state = 'closed'
                                  AND (q.key, q.condition, q.action, q.from_id, q.pools, s.outcome, s.reason, s.target_id, s.window_id, s.day, s.origin, s.pool, s.category, s.provider, s.service, s.sub_account, s.currency)
                                      IS NOT DISTINCT FROM (r.key, r.condition, r.action, r.from_id, r.pools, w.outcome, w.reason, w.target_id, w.window_id, w.day, w.origin, w.pool, w.category, w.provider, w.service, w.sub_account, w.currency)
                                  AND (x.basis, x.basis_before, x.basis_total) IS NOT DISTINCT FROM (f.basis, f.basis_before, f.basis_total)) AS e ON true
           ORDER BY 1 $$;
COMMENT ON FUNCTION billing.explain_share(bigint) IS
'How a share (column share of cost_shares) came to be, from the cost rows to the target: each step with its rule, its basis and fraction, and the amount after it. A difference of a closed period shows what the cost center bore by which rule and fraction before, and by which now. share_rows() gives the cost rows. Stable.';

CREATE FUNCTION billing.share_rows(share bigint) RETURNS TABLE (cost_id bigint, resource text, billed numeric, effective numeric, list numeric, contracted numeric, currency text, tags jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    cell     allocation_share;
    this     allocation;
    rules    allocation_rule[];
    operands text[];
    columns  text;
    named    text;
BEGIN
    WITH RECURSIVE way AS (
        SELECT s.* FROM allocation_share AS s WHERE s.share_id = share_rows.share
        UNION ALL
        SELECT s.* FROM way AS w JOIN allocation_share AS s ON s.allocation_id = w.allocation_id AND s.share_id = w.parent_id)
    SELECT w.* INTO cell FROM way AS w WHERE w.parent_id IS NULL;
    SELECT a.* INTO this FROM allocation AS a WHERE a.allocation_id = cell.allocation_id;
    -- a correction was taken by the rules of the division that it corrects
    rules := ARRAY(SELECT r FROM allocation AS a CROSS JOIN LATERAL rules_of(a) AS r WHERE a.allocation_id = coalesce(cell.fraction_of, this.allocation_id));
    operands := rule_operands(rules);
    columns := coalesce((SELECT string_agg(format(', %s AS v%s', operand_sql(o.operand), o.place), '' ORDER BY o.place) FROM unnest(operands) WITH ORDINALITY AS o (operand, place)), '');
    -- Of a rule that reads its target from the row, only the rows that name this one.
    SELECT format(' AND (SELECT k.cost_center_id FROM billing.cost_center AS k JOIN billing.allocation_scheme AS s USING (kind) WHERE s.scheme_id = %s AND k.key = c.v%s AND k.recorded_at <= $2) IS NOT DISTINCT FROM $3.target_id',
                  this.scheme_id, array_position(operands, r.action ->> 'target_from'))
      INTO named FROM unnest(rules) AS r WHERE r.rule_id = cell.rule_id AND r.action ? 'target_from';
    RETURN QUERY EXECUTE format($q$
        SELECT c.cost_id, c.resource, c.billed, c.effective, c.list, c.contracted, c.currency, c.tags
          FROM (SELECT c.cost_id, c.resource, c.billed, c.effective, c.list, c.contracted, c.tags, %s%s FROM (%s) AS c WHERE c.window_id = $3.window_id) AS c
         WHERE (c.day, c.origin, c.pool, c.category, c.provider, c.service, c.sub_account, c.currency) IS NOT DISTINCT FROM ($3.day, $3.origin, $3.pool, $3.category, $3.provider, $3.service, $3.sub_account, $3.currency)
           AND ($4 OR %s IS NOT DISTINCT FROM $3.rule_id%s) ORDER BY c.cost_id $q$, cell_columns_sql(), columns, tagged_cost_sql(known_at => this.known_at), first_rule_sql(rules, operands), coalesce(named, ''))
        USING this.period, this.known_at, cell, this.chain_no > 1;
END $$;
COMMENT ON FUNCTION billing.share_rows(bigint) IS
'The cost rows behind a share: those of its cell, as known when it was divided. A share of something split is a part of all of them. A difference of a closed period has the rows of its cell as known at that difference. Stable.';

CREATE FUNCTION billing.tried_shares(scheme billing.allocation_scheme, period daterange, known_at timestamptz) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this allocation;
BEGIN
    INSERT INTO allocation (scheme_id, period, chain_no, state, known_at, rules)
    SELECT scheme.scheme_id, tried_shares.period, coalesce(max(a.chain_no), 0) + 1000000, 'ignored', tried_shares.known_at, rules_known(scheme.scheme_id, tried_shares.known_at)
      FROM allocation AS a WHERE a.scheme_id = scheme.scheme_id AND a.period = tried_shares.period RETURNING * INTO this;
    PERFORM divide(this, scheme.kind);
    RETURN (SELECT jsonb_agg(x) FROM (
                SELECT s.target_id, s.currency, CASE WHEN s.target_id IS NULL THEN s.outcome END AS nobody, sum(s.billed) AS billed, sum(s.effective) AS effective FROM allocation_share AS s
                 WHERE s.allocation_id = this.allocation_id AND s.outcome IN ('direct', 'shared', 'unallocated', 'excluded') GROUP BY 1, 2, 3) AS x);
END $$;
COMMENT ON FUNCTION billing.tried_shares(billing.allocation_scheme, daterange, timestamptz) IS
'Divides a period by the rules of a scheme as known at an instant and returns what each cost center bears, as a list; the caller takes the division back. Used by what_if(). Volatile.';

CREATE FUNCTION billing.try_rule(scheme text, rule jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(rule) <> 'object' OR NOT rule ? 'key' OR EXISTS (SELECT FROM jsonb_object_keys(rule) AS k WHERE k <> ALL ('{key,place,condition,action,from_target,pools,valid_from,valid_to}')) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('rule %s is not understood', rule), HINT = 'Its members are key, place, condition, action, from_target, pools, valid_from, valid_to; without action the rule is taken away.';
    ELSIF rule ? 'action' THEN
        PERFORM set_allocation_rule(try_rule.scheme, rule ->> 'key', (rule ->> 'place')::int, rule -> 'action', coalesce(rule -> 'condition', '{}'), rule ->> 'from_target',
                                    CASE WHEN rule ? 'pools' THEN ARRAY(SELECT jsonb_array_elements_text(rule -> 'pools')) ELSE '{cost}' END, (rule ->> 'valid_from')::date, (rule ->> 'valid_to')::date);
    ELSE
        PERFORM remove_allocation_rule(try_rule.scheme, rule ->> 'key', (rule ->> 'valid_from')::date, (rule ->> 'valid_to')::date);
    END IF;
END $$;
COMMENT ON FUNCTION billing.try_rule(text, jsonb) IS 'Sets or takes away a rule that is said as an object. Used by what_if(). Errors: 22023 a member that is not known; those of set_allocation_rule() and remove_allocation_rule(). Volatile.';

CREATE FUNCTION billing.what_if(scheme text, period daterange, rules jsonb) RETURNS TABLE (cost_center text, currency text, billed_now numeric, billed_then numeric, effective_now numeric, effective_then numeric, nobody text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_scheme allocation_scheme := find_scheme(what_if.scheme);
    stamp     timestamptz;
    now_      jsonb;
    then_     jsonb;
BEGIN
    PERFORM check_period(what_if.period);
    IF jsonb_typeof(rules) IS DISTINCT FROM 'array' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('rules must be a list, not %s', coalesce(rules::text, 'null')), HINT = 'Such as [{"key": "support", "place": 10, "action": {"target": "platform"}}].';
    END IF;
    BEGIN
        -- both divisions see the same cost: what is known at the stamp of the rules that are tried
        stamp := stamp_after((SELECT max(lower(r.known)) FROM allocation_rule AS r WHERE r.scheme_id = of_scheme.scheme_id));
        now_ := tried_shares(of_scheme, what_if.period, stamp);
        PERFORM try_rule(what_if.scheme, e.rule) FROM jsonb_array_elements(rules) WITH ORDINALITY AS e (rule, place) ORDER BY e.place;
        then_ := tried_shares(of_scheme, what_if.period, stamp);
        RAISE SQLSTATE 'BL000' USING MESSAGE = 'take everything back';
    EXCEPTION WHEN SQLSTATE 'BL000' THEN
        NULL;
    END;
    RETURN QUERY
        SELECT k.key, coalesce(t.currency, n.currency), n.billed, t.billed, n.effective, t.effective, coalesce(t.nobody, n.nobody)
          FROM jsonb_to_recordset(coalesce(then_, '[]')) AS t (target_id bigint, currency text, nobody text, billed numeric, effective numeric)
          FULL JOIN jsonb_to_recordset(coalesce(now_, '[]')) AS n (target_id bigint, currency text, nobody text, billed numeric, effective numeric) ON (n.target_id, n.nobody) IS NOT DISTINCT FROM (t.target_id, t.nobody) AND n.currency = t.currency
          LEFT JOIN cost_center AS k ON k.cost_center_id = coalesce(t.target_id, n.target_id) ORDER BY 1 NULLS LAST, 2, 7;
END $$;
COMMENT ON FUNCTION billing.what_if(text, daterange, jsonb) IS
'What each cost center bears in a period by the rules and the cost of now, and what it would bear by other rules, side by side, with all that has been recorded; nothing is written. rules: a list of rules as set_allocation_rule() takes them, {"key", "place", "condition", "action", "from_target", "pools", "valid_from", "valid_to"}, each in place of the one with its key; without action it is taken away. cost_center null = what nobody bears, a row each for nobody = unallocated and excluded. Errors: as set_allocation_rule(). Volatile, and yet changes nothing.';

CREATE FUNCTION billing.validate_allocation(period daterange, scheme text DEFAULT NULL) RETURNS TABLE (scheme_key text, severity text, rule text, message text, mend text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    one   allocation_scheme;
    this  allocation;
    found jsonb;
BEGIN
    PERFORM check_period(validate_allocation.period);
    FOR one IN SELECT s.* FROM allocation_scheme AS s WHERE validate_allocation.scheme IS NULL OR s.scheme_id = (find_scheme(validate_allocation.scheme)).scheme_id ORDER BY s.scheme_id LOOP
        IF allocation_cycle(one.scheme_id) IS NOT NULL THEN
            RETURN QUERY SELECT one.key, 'error', NULL::text, format('the steps form a cycle: %s', allocation_cycle(one.scheme_id)), 'Take one of these steps away.';
            CONTINUE;
        END IF;
        BEGIN
            INSERT INTO allocation (scheme_id, period, chain_no, state, known_at, rules)
            SELECT one.scheme_id, validate_allocation.period, 1000000, 'ignored', n.known_at, rules_known(one.scheme_id, n.known_at) FROM (SELECT coalesce(own_stamp(), watermark()) AS known_at) AS n RETURNING * INTO this;
            PERFORM divide(this, one.kind);
            SELECT jsonb_agg(x) INTO found FROM allocation_problems(this, one) AS x;
            RAISE SQLSTATE 'BL000' USING MESSAGE = 'take everything back';
        EXCEPTION WHEN SQLSTATE 'BL000' THEN
            NULL;
        END;
        RETURN QUERY SELECT one.key, x.severity, x.rule, x.message, x.mend FROM jsonb_to_recordset(coalesce(found, '[]')) AS x (severity text, rule text, message text, mend text) ORDER BY x.severity, x.rule, x.message;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.validate_allocation(daterange, text) IS
'Tries the rules of all schemes or of one on the cost of a period without writing anything and says what is wrong: severity (error, warning), rule, message, how to mend it. Looks at weights, unreachable rules, unknown targets, zero and mixed bases, cycles, uncovered cost, missing tags, what stays with a giver, and conservation. No row: all is well. Errors: 22023 no period, 42704 unknown scheme. Volatile, and yet changes nothing.';

CREATE FUNCTION billing.allocation_problems(this billing.allocation, scheme billing.allocation_scheme) RETURNS TABLE (severity text, rule text, message text, mend text)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH rule AS (SELECT r.* FROM billing.rules_of(this) AS r)
          SELECT f.severity, f.rule, f.message, f.mend FROM billing.allocation_finding AS f WHERE f.allocation_id = this.allocation_id
          UNION ALL
          SELECT 'warning', r.key, format('comes after rule "%s", which takes everything', e.key), 'Give it a smaller place, or the other a condition.'
            FROM rule AS r CROSS JOIN LATERAL (SELECT x.key FROM rule AS x WHERE x.from_id IS NULL AND x.condition = '{}' AND x.valid @> r.valid AND x.pools @> r.pools AND (x.place, x.key COLLATE "C") < (r.place, r.key COLLATE "C") ORDER BY x.place, x.key COLLATE "C" LIMIT 1) AS e
           WHERE r.from_id IS NULL
          UNION ALL
          SELECT 'warning', r.key, format('has the same condition as rule "%s" before it', e.key), 'Take one of them away, or give them days or pools of their own.'
            FROM rule AS r
           CROSS JOIN LATERAL (SELECT x.key FROM rule AS x WHERE x.from_id IS NULL AND x.condition = r.condition AND x.condition <> '{}' AND x.valid && r.valid AND x.pools && r.pools AND (x.place, x.key COLLATE "C") < (r.place, r.key COLLATE "C")
                                ORDER BY x.place, x.key COLLATE "C" LIMIT 1) AS e
           WHERE r.from_id IS NULL
          UNION ALL
          SELECT 'warning', r.key, 'takes no cost row of the period', 'Look at its condition, or at the rules before it.'
            FROM rule AS r WHERE r.from_id IS NULL AND r.valid && this.period AND r.rule_id <> ALL (ARRAY(SELECT DISTINCT s.rule_id FROM billing.allocation_share_open AS s WHERE s.allocation_id = this.allocation_id AND s.rule_id IS NOT NULL))
          UNION ALL
          SELECT 'warning', r.key, format('percentages add up to %s, not 100; each counts as its part of the sum', t.total), 'Mend the weights, unless they are meant as plain weights.'
            FROM rule AS r CROSS JOIN LATERAL (SELECT sum(w.weight) AS total FROM billing.weights_of(r.action) AS w) AS t
           WHERE r.action ->> 'split' = 'fixed' AND t.total > 50 AND t.total < 200 AND t.total <> 100
          UNION ALL
          SELECT 'warning', r.key, format('gives to "%s", which has given its cost on in an earlier step: %s %s billed stays there', k.key, trim_scale(sum(s.billed)), s.currency), 'Put this rule before that step.'
            FROM billing.allocation_share_open AS s JOIN rule AS r ON r.rule_id = s.rule_id
            JOIN rule AS e ON e.from_id = s.target_id AND e.valid @> lower(this.period) AND (e.place, e.key COLLATE "C") < (r.place, r.key COLLATE "C") JOIN billing.cost_center AS k ON k.cost_center_id = s.target_id
           WHERE s.allocation_id = this.allocation_id AND s.outcome IN ('direct', 'shared') GROUP BY r.key, k.key, s.currency
          UNION ALL
          SELECT 'warning', r.key, format('a step that holds from %s on does nothing in this period', to_char(lower(r.valid)::timestamp, 'YYYY-MM-DD')), 'Let it begin with the first day of a period.'
            FROM rule AS r WHERE r.from_id IS NOT NULL AND r.valid && this.period AND NOT r.valid @> lower(this.period)
          UNION ALL
          SELECT 'warning', NULL, format('required tag "%s" is missing on %s rows', t.tag, sum(t.rows - t.tagged_rows)), 'See tag_compliance(), or set an auto-tag rule.'
            FROM billing.tag_compliance(this.period) AS t WHERE t.tag = scheme.kind GROUP BY t.tag HAVING sum(t.rows - t.tagged_rows) > 0
          UNION ALL
          SELECT 'warning', r.key, format('goes by what rule "%s" gave, which comes after it and has given nothing by then', e.key), 'Give it a greater place than that rule.'
            FROM rule AS r JOIN rule AS e ON e.key = r.action ->> 'rule' AND e.valid && r.valid AND (e.place, e.key COLLATE "C") > (r.place, r.key COLLATE "C")
          UNION ALL
          SELECT 'warning', NULL, format('a difference of the closed period waits for approval: %s %s billed in all', trim_scale(sum(h.billed)), h.currency), format('SELECT billing.approve_allocation(%s, reason), or leave it and allocate again.', a.allocation_id)
            FROM billing.allocation AS a JOIN billing.allocation_share AS h USING (allocation_id) WHERE a.scheme_id = this.scheme_id AND a.period = this.period AND a.state = 'held' GROUP BY a.allocation_id, h.currency
          UNION ALL
          SELECT 'error', NULL, format('shares in %s add up to %s, cost to %s', c.currency, s.billed, c.billed), 'This is a defect; please report it.'
            FROM (SELECT c.currency, sum(c.billed) AS billed, coalesce(sum(c.effective), 0) AS effective, coalesce(sum(c.list), 0) AS list, coalesce(sum(c.contracted), 0) AS contracted FROM billing.cost_rows(this.period, this.known_at) AS c GROUP BY 1) AS c
            LEFT JOIN (SELECT s.currency, sum(s.billed) AS billed, sum(s.effective) AS effective, sum(s.list) AS list, sum(s.contracted) AS contracted FROM billing.allocation_share AS s
                        WHERE s.allocation_id = this.allocation_id AND s.outcome IN ('direct', 'shared', 'unallocated', 'excluded') GROUP BY 1) AS s USING (currency)
           WHERE (c.billed, c.effective, c.list, c.contracted) IS DISTINCT FROM (s.billed, s.effective, s.list, s.contracted) $$;
COMMENT ON FUNCTION billing.allocation_problems(billing.allocation, billing.allocation_scheme) IS 'What is wrong with a division and the rules behind it. Used by validate_allocation(). Stable.';

COMMENT ON COLUMN billing.allocations.allocation IS 'Number of the allocation, as approve_allocation() takes it.';
COMMENT ON COLUMN billing.allocations.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.allocations.period IS 'Its period, in UTC.';
COMMENT ON COLUMN billing.allocations.chain_no IS '1 = the first; 2 and more = differences.';
COMMENT ON COLUMN billing.allocations.state IS 'open, closed, held, ignored.';
COMMENT ON COLUMN billing.allocations.known_at IS 'Cost and rules as known then.';
COMMENT ON COLUMN billing.allocations.reason IS 'Why a difference was approved.';
COMMENT ON COLUMN billing.allocations.recorded_at IS 'When it was made, closed or approved.';
COMMENT ON COLUMN billing.allocations.recorded_by IS 'By whom.';

COMMENT ON COLUMN billing.allocation_rules.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.allocation_rules.place IS 'Order among the rules of the scheme.';
COMMENT ON COLUMN billing.allocation_rules.rule IS 'Key of the rule.';
COMMENT ON COLUMN billing.allocation_rules.condition IS 'Which cost rows it takes.';
COMMENT ON COLUMN billing.allocation_rules.from_target IS 'Cost center whose cost it gives on; null = it takes cost rows.';
COMMENT ON COLUMN billing.allocation_rules.action IS 'What it does with them.';
COMMENT ON COLUMN billing.allocation_rules.pools IS 'Which rows it may take at all.';
COMMENT ON COLUMN billing.allocation_rules.valid IS 'Charge days on which it holds.';
COMMENT ON COLUMN billing.allocation_rules.rule_id IS 'Number of the rule as it was said.';
COMMENT ON COLUMN billing.allocation_rules.recorded_at IS 'When it was said.';
COMMENT ON COLUMN billing.allocation_rules.recorded_by IS 'By whom.';

COMMENT ON COLUMN billing.allocation_findings.allocation IS 'Number of the allocation.';
COMMENT ON COLUMN billing.allocation_findings.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.allocation_findings.period IS 'Its period.';
COMMENT ON COLUMN billing.allocation_findings.severity IS 'error, warning.';
COMMENT ON COLUMN billing.allocation_findings.rule IS 'Key of the rule; null = none.';
COMMENT ON COLUMN billing.allocation_findings.message IS 'What was found.';
COMMENT ON COLUMN billing.allocation_findings.mend IS 'How to mend it.';

COMMENT ON COLUMN billing.cost_shares.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.cost_shares.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.cost_shares.day IS 'First day of the charge period in UTC.';
COMMENT ON COLUMN billing.cost_shares.outcome IS 'direct, shared, unallocated, excluded.';
COMMENT ON COLUMN billing.cost_shares.reason IS 'Of unallocated: no_rule, stopped, unknown_target, zero_basis, mixed_basis.';
COMMENT ON COLUMN billing.cost_shares.cost_center IS 'Key of the cost center that bears it; null = none.';
COMMENT ON COLUMN billing.cost_shares.cost_center_name IS 'Its name.';
COMMENT ON COLUMN billing.cost_shares.rule IS 'Key of the rule that gave it.';
COMMENT ON COLUMN billing.cost_shares.source IS 'Key of the cost source.';
COMMENT ON COLUMN billing.cost_shares.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.cost_shares.sub_account IS 'SubAccountId.';
COMMENT ON COLUMN billing.cost_shares.provider IS 'ProviderName.';
COMMENT ON COLUMN billing.cost_shares.service IS 'ServiceName.';
COMMENT ON COLUMN billing.cost_shares.category IS 'ChargeCategory.';
COMMENT ON COLUMN billing.cost_shares.pool IS 'cost, tax, credit, unused_commitment.';
COMMENT ON COLUMN billing.cost_shares.billed IS 'Part of BilledCost (cash).';
COMMENT ON COLUMN billing.cost_shares.effective IS 'Part of EffectiveCost (amortised).';
COMMENT ON COLUMN billing.cost_shares.list IS 'Part of ListCost.';
COMMENT ON COLUMN billing.cost_shares.contracted IS 'Part of ContractedCost.';
COMMENT ON COLUMN billing.cost_shares.currency IS 'Currency of the amounts.';
COMMENT ON COLUMN billing.cost_shares.state IS 'open or closed.';
COMMENT ON COLUMN billing.cost_shares.allocation IS 'Number of the allocation.';
COMMENT ON COLUMN billing.cost_shares.share IS 'Number of the share, as explain_share() takes it.';
COMMENT ON COLUMN billing.cost_shares.cost_center_id IS 'Number of the cost center.';

COMMENT ON COLUMN billing.cost_by_cost_center.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.cost_by_cost_center.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.cost_by_cost_center.cost_center IS 'Key of the cost center; null = none.';
COMMENT ON COLUMN billing.cost_by_cost_center.outcome IS 'direct, shared, unallocated, excluded.';
COMMENT ON COLUMN billing.cost_by_cost_center.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_cost_center.billed IS 'Billed cost (cash).';
COMMENT ON COLUMN billing.cost_by_cost_center.effective IS 'Effective cost (amortised).';
COMMENT ON COLUMN billing.cost_by_cost_center.list IS 'List cost.';
COMMENT ON COLUMN billing.cost_by_cost_center.contracted IS 'Contracted cost.';

COMMENT ON COLUMN billing.cost_by_day.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.cost_by_day.day IS 'Day in UTC.';
COMMENT ON COLUMN billing.cost_by_day.month IS 'First day of its month.';
COMMENT ON COLUMN billing.cost_by_day.cost_center IS 'Key of the cost center; null = none.';
COMMENT ON COLUMN billing.cost_by_day.service IS 'ServiceName.';
COMMENT ON COLUMN billing.cost_by_day.provider IS 'ProviderName.';
COMMENT ON COLUMN billing.cost_by_day.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_day.billed IS 'Billed cost (cash).';
COMMENT ON COLUMN billing.cost_by_day.effective IS 'Effective cost (amortised).';

COMMENT ON COLUMN billing.cost_by_bearer.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.cost_by_bearer.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.cost_by_bearer.cost_center IS 'Key of the cost center; null = none.';
COMMENT ON COLUMN billing.cost_by_bearer.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_bearer.billed IS 'Billed cost (cash).';
COMMENT ON COLUMN billing.cost_by_bearer.effective IS 'Effective cost (amortised).';
COMMENT ON COLUMN billing.cost_by_bearer.direct_billed IS 'Billed cost that is its own.';
COMMENT ON COLUMN billing.cost_by_bearer.shared_billed IS 'Billed cost that is its part of something split.';
COMMENT ON COLUMN billing.cost_by_bearer.unallocated_billed IS 'Billed cost that no rule could give to anybody.';
COMMENT ON COLUMN billing.cost_by_bearer.excluded_billed IS 'Billed cost that a rule excludes.';

COMMENT ON COLUMN billing.cost_by_department.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.cost_by_department.department IS 'Key of the department; null = none.';
COMMENT ON COLUMN billing.cost_by_department.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_department.billed IS 'Billed cost (cash).';
COMMENT ON COLUMN billing.cost_by_department.effective IS 'Effective cost (amortised).';
COMMENT ON COLUMN billing.cost_by_department.direct_billed IS 'Billed cost that is its own.';
COMMENT ON COLUMN billing.cost_by_department.shared_billed IS 'Billed cost that is its part of something split.';
COMMENT ON COLUMN billing.cost_by_department.unallocated_billed IS 'Billed cost that no rule could give to anybody.';
COMMENT ON COLUMN billing.cost_by_department.excluded_billed IS 'Billed cost that a rule excludes.';

COMMENT ON COLUMN billing.cost_by_project.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.cost_by_project.project IS 'Key of the project; null = none.';
COMMENT ON COLUMN billing.cost_by_project.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_project.billed IS 'Billed cost (cash).';
COMMENT ON COLUMN billing.cost_by_project.effective IS 'Effective cost (amortised).';
COMMENT ON COLUMN billing.cost_by_project.direct_billed IS 'Billed cost that is its own.';
COMMENT ON COLUMN billing.cost_by_project.shared_billed IS 'Billed cost that is its part of something split.';
COMMENT ON COLUMN billing.cost_by_project.unallocated_billed IS 'Billed cost that no rule could give to anybody.';
COMMENT ON COLUMN billing.cost_by_project.excluded_billed IS 'Billed cost that a rule excludes.';

COMMENT ON COLUMN billing.cost_by_environment.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.cost_by_environment.environment IS 'Key of the environment; null = none.';
COMMENT ON COLUMN billing.cost_by_environment.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_environment.billed IS 'Billed cost (cash).';
COMMENT ON COLUMN billing.cost_by_environment.effective IS 'Effective cost (amortised).';
COMMENT ON COLUMN billing.cost_by_environment.direct_billed IS 'Billed cost that is its own.';
COMMENT ON COLUMN billing.cost_by_environment.shared_billed IS 'Billed cost that is its part of something split.';
COMMENT ON COLUMN billing.cost_by_environment.unallocated_billed IS 'Billed cost that no rule could give to anybody.';
COMMENT ON COLUMN billing.cost_by_environment.excluded_billed IS 'Billed cost that a rule excludes.';
