-- The division itself, set-based and exact.
--
-- 1  Cells.  Cost rows are grouped once by what reports need and what rules look at; each distinct combination meets the rules once, in
--    one CASE that names the first whose condition holds.  What a rule gives whole is direct, what it splits is a pool.
-- 2  Steps, in order of the rules.  A rule that splits finds its fractions once for each currency and multiplies every cell by them:
--    the part of target k is round(amount x weights up to k / all) - round(amount x weights before k / all), so parts add up to the
--    amount to the last digit, whatever the rounding, and the same cell gives the same parts in any order of rows.
-- 3  What no rule took stays, visible, as unallocated.  So the final shares add up to the cost, currency by currency, kind by kind.

CREATE FUNCTION billing.rules_known(scheme_id int, known_at timestamptz) RETURNS int[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce(array_agg(r.rule_id ORDER BY r.place, r.key COLLATE "C", r.valid), '{}') FROM billing.allocation_rule AS r WHERE r.scheme_id = rules_known.scheme_id AND r.known @> rules_known.known_at $$;
COMMENT ON FUNCTION billing.rules_known(int, timestamptz) IS 'Numbers of the rules of a scheme as known at an instant, in the order in which they apply. Stable.';

CREATE FUNCTION billing.rules_of(division billing.allocation) RETURNS SETOF billing.allocation_rule
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT r.* FROM unnest(division.rules) WITH ORDINALITY AS o (rule_id, place) JOIN billing.allocation_rule AS r USING (rule_id) ORDER BY o.place $$;
COMMENT ON FUNCTION billing.rules_of(billing.allocation) IS 'The rules of a division in the order in which they apply. Stable.';

CREATE FUNCTION billing.rule_takes_sql(rule billing.allocation_rule, operands text[]) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT format('pool = ANY (%L) AND ', rule.pools)
              || CASE WHEN lower_inf(rule.valid) THEN '' ELSE format('day >= %L::date AND ', lower(rule.valid)) END
              || CASE WHEN upper_inf(rule.valid) THEN '' ELSE format('day < %L::date AND ', upper(rule.valid)) END
              || billing.condition_sql(rule.condition, operands) $$;
COMMENT ON FUNCTION billing.rule_takes_sql(billing.allocation_rule, text[]) IS 'SQL that is true where a rule takes a combination of operands; it also reads the columns pool and day. Stable.';

CREATE FUNCTION billing.cell_operands() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT '{column:ChargeCategory,column:ServiceName,column:ProviderName,column:SubAccountId,column:BillingCurrency,column:ChargeDay}'::text[] $$;
COMMENT ON FUNCTION billing.cell_operands() IS 'Operands of conditions that are the same in all cost rows of a cell, see cell_columns_sql(). Immutable.';

CREATE FUNCTION billing.rule_operands(rules billing.allocation_rule[]) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH rule AS (SELECT r.* FROM unnest(rules) AS r WHERE r.from_id IS NULL),
          whole AS (SELECT DISTINCT r.action ->> 'target_from' AS operand FROM rule AS r),
          leaf AS (SELECT DISTINCT l AS leaf, coalesce('column:' || (l ->> 'column'), 'tag:' || (l ->> 'tag')) AS operand
                     FROM rule AS r, jsonb_path_query(r.condition, 'strict $.** ? (exists (@.column) || exists (@.tag))') AS l),
          -- A column with few comparisons is compared in each row, so that one with a value of its own in each row, such as ResourceId,
          -- does not make every row a combination of its own; a column with many, or one that makes cells, is kept, and its distinct values are compared.
          chosen AS (SELECT l.operand, l.leaf, count(*) OVER (PARTITION BY l.operand) <= 8 AND l.operand <> ALL (cell_operands()) AND l.operand NOT IN (SELECT w.operand FROM whole AS w WHERE w.operand IS NOT NULL) AS as_leaf FROM leaf AS l)
          SELECT coalesce(array_agg(DISTINCT o.operand ORDER BY o.operand), '{}')
            FROM (SELECT w.operand FROM whole AS w UNION SELECT CASE WHEN c.as_leaf THEN 'leaf:' || c.leaf::text ELSE c.operand END FROM chosen AS c) AS o WHERE o.operand IS NOT NULL $$;
COMMENT ON FUNCTION billing.rule_operands(billing.allocation_rule[]) IS 'What rules look at in cost rows, sorted: columns and tags, and single comparisons (leaf:…) of those that are compared with few values only. Stable.';

CREATE FUNCTION billing.origin_sql() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT $q$CASE WHEN c.charge_start < lower($1)::timestamp AT TIME ZONE 'UTC' AND c.attributes ->> 'ChargeClass' = 'Correction' THEN billing.corrected_from(c.window_id, (c.charge_start AT TIME ZONE 'UTC')::date) END$q$ $$;
COMMENT ON FUNCTION billing.origin_sql() IS 'SQL of the first day of the billing period that a cost row c corrects, null if it corrects none before the period, which is parameter $1. Immutable.';

CREATE FUNCTION billing.corrected_from(window_id int, day date) RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce((SELECT min(lower(o.period)) FROM billing.cost_window AS w JOIN billing.cost_window AS o ON o.source_id = w.source_id AND o.billing_account = w.billing_account
                            WHERE w.window_id = corrected_from.window_id AND o.window_id <> w.window_id AND o.period @> corrected_from.day),
                          date_trunc('month', corrected_from.day::timestamp)::date) $$;
COMMENT ON FUNCTION billing.corrected_from(int, date) IS
'First day of the billing period that a charge of that day in another window corrects: of the window of the same billing account that holds the day, otherwise of its month. Stable.';

CREATE FUNCTION billing.unused_sql() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT $q$(c.attributes ->> 'CommitmentDiscountStatus' = 'Unused') $q$ $$;
COMMENT ON FUNCTION billing.unused_sql() IS 'SQL that is true of a cost row c which pays for a commitment that was not used. Immutable.';

CREATE FUNCTION billing.pool_sql(unused text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT format($q$CASE WHEN c.category = 'Tax' THEN 'tax' WHEN c.category = 'Credit' THEN 'credit' WHEN %s THEN 'unused_commitment' ELSE 'cost' END$q$, unused) $$;
COMMENT ON FUNCTION billing.pool_sql(text) IS 'SQL of the pool of a cost row c; unused: SQL that is true of an unused commitment. Immutable.';

CREATE FUNCTION billing.cell_columns_sql() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT format($q$c.window_id, (c.charge_start AT TIME ZONE 'UTC')::date AS day, %s AS origin, %s AS pool, c.category, c.provider, c.service, c.sub_account, c.currency$q$,
                        origin_sql(), pool_sql(unused_sql())) $$;
COMMENT ON FUNCTION billing.cell_columns_sql() IS 'SQL of the columns that make a cell, read from c, a cost row; parameter $1 is the period. Immutable.';

CREATE FUNCTION billing.look_up_of(rules billing.allocation_rule[]) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce(jsonb_object_agg(t.text, r.rule_id ORDER BY r.ordinality DESC), '{}')
            FROM unnest(rules) WITH ORDINALITY AS r
           CROSS JOIN LATERAL (SELECT r.condition ->> 'equals' WHERE r.condition ? 'equals' UNION ALL SELECT e.one FROM jsonb_array_elements_text(r.condition -> 'in') AS e (one)) AS t (text)
           WHERE t.text IS NOT NULL $$;
COMMENT ON FUNCTION billing.look_up_of(billing.allocation_rule[]) IS 'Each text that rules (conditions with equals or in) compare with, with the number of the first rule that does. Stable.';

CREATE FUNCTION billing.first_rule_sql(rules billing.allocation_rule[], operands text[]) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH rule AS (SELECT rules[i] AS rule, i AS place, coalesce('column:' || ((rules[i]).condition ->> 'column'), 'tag:' || ((rules[i]).condition ->> 'tag')) AS operand
                          FROM generate_subscripts(rules, 1) AS i WHERE (rules[i]).from_id IS NULL),
          -- A run of rules that compare the same operand with texts is one look-up, however many they are.
          seen AS (SELECT r.*, CASE WHEN (r.rule).condition ?| '{equals,in}' AND lower_inf((r.rule).valid) AND upper_inf((r.rule).valid) THEN array_position(operands, r.operand) END AS looks_at FROM rule AS r),
          bordered AS (SELECT s.*, s.looks_at IS NULL OR (s.looks_at, (s.rule).pools) IS DISTINCT FROM (lag(s.looks_at) OVER ways, lag((s.rule).pools) OVER ways) AS begins FROM seen AS s WINDOW ways AS (ORDER BY s.place)),
          run AS (SELECT b.*, count(*) FILTER (WHERE b.begins) OVER (ORDER BY b.place) AS run FROM bordered AS b),
          branch AS (SELECT min(r.place) AS place,
                            CASE WHEN count(*) = 1 THEN min(format('WHEN %s THEN %s', billing.rule_takes_sql(r.rule, operands), (r.rule).rule_id))
                                 ELSE format('WHEN pool = ANY (%L) AND %2$L::jsonb ? v%3$s THEN (%2$L::jsonb ->> v%3$s)::int', min((r.rule).pools), billing.look_up_of(array_agg(r.rule ORDER BY r.place)), min(r.looks_at)) END AS sql
                       FROM run AS r GROUP BY r.run)
          SELECT coalesce('CASE ' || string_agg(b.sql, ' ' ORDER BY b.place) || ' END', 'NULL::int') FROM branch AS b $$;
COMMENT ON FUNCTION billing.first_rule_sql(billing.allocation_rule[], text[]) IS 'SQL that gives the number of the first rule that takes a combination of operands, null if none does. Stable.';

CREATE FUNCTION billing.late_operands(operands text[]) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH plain AS (SELECT NOT EXISTS (SELECT FROM billing.auto_tag_rule AS r WHERE upper_inf(r.known)) AND NOT EXISTS (SELECT FROM billing.resource_tag) AS tags)
          SELECT coalesce(array_agg(o.operand ORDER BY o.place), '{}')
            FROM unnest(operands) WITH ORDINALITY AS o (operand, place)
           CROSS JOIN LATERAL (SELECT CASE WHEN o.operand LIKE 'leaf:%' THEN substr(o.operand, 6)::jsonb END AS leaf) AS l
           CROSS JOIN LATERAL (SELECT coalesce('column:' || (l.leaf ->> 'column'), 'tag:' || (l.leaf ->> 'tag'), o.operand) AS source) AS s
           WHERE s.source = ANY (cell_operands())
              OR s.source LIKE 'tag:%' AND (SELECT p.tags FROM plain AS p) $$;
COMMENT ON FUNCTION billing.late_operands(text[]) IS
'Of what rules look at, what can be read once a group of cost rows instead of in each row: columns that make a cell, and tags as long as neither people nor auto-tag rules give any. Stable.';

CREATE FUNCTION billing.tag_class_sql(operands text[]) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT format('(SELECT c.tag_set_id, k.tag_class FROM billing.tag_set AS c JOIN (SELECT %1$s AS seen, min(c.tag_set_id) AS tag_class FROM billing.tag_set AS c GROUP BY 1) AS k ON k.seen = %1$s)',
                        'ARRAY[' || string_agg('(' || operand_sql(o) || ')::text', ', ') || ']')
            FROM unnest(operands) AS o WHERE o LIKE 'tag:%' OR o LIKE 'leaf:%' AND substr(o, 6)::jsonb ? 'tag' HAVING count(*) > 0 $$;
COMMENT ON FUNCTION billing.tag_class_sql(text[]) IS
'SQL that gives each tag set (tag_set_id) the first one in which the tags among operands read the same (tag_class): rules cannot tell the tag sets of a class apart. Null if operands has no tags. Stable.';

CREATE FUNCTION billing.cells_sql(rules billing.allocation_rule[], past daterange) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    operands text[] := rule_operands(rules);
    late     text[] := late_operands(operands);
    classes  text := tag_class_sql(late);
    named    text := (SELECT string_agg(format('WHEN %s THEN v%s', r.rule_id, array_position(operands, r.action ->> 'target_from')), ' ') FROM unnest(rules) AS r WHERE r.from_id IS NULL AND r.action ? 'target_from');
    early    text;
    values_  text;
    last     text;
BEGIN
    SELECT string_agg(format(', %s AS v%s', operand_sql(o.operand), o.place), '' ORDER BY o.place) FILTER (WHERE NOT o.late),
           string_agg(format(', c.v%s', o.place), '' ORDER BY o.place) FILTER (WHERE NOT o.late),
           string_agg(format(', %s AS v%s', operand_sql(o.operand), o.place), '' ORDER BY o.place) FILTER (WHERE o.late)
      INTO early, values_, last
      FROM (SELECT o.operand, o.place, o.operand = ANY (late) AS late FROM unnest(operands) WITH ORDINALITY AS o (operand, place)) AS o;
    -- OFFSET 0: the rules are met once a group, not once more in each place where rule_id is read.
    RETURN format($q$
        SELECT g.*, CASE g.rule_id %1$s END AS named
          FROM (SELECT d.*, %2$s AS rule_id
                  FROM (SELECT c.window_id, (c.charge_start AT TIME ZONE 'UTC')::date AS day, c.origin, %3$s AS pool, c.category, c.provider, c.service, c.sub_account, c.currency,
                               c.billed, c.effective, c.list, c.contracted%4$s%5$s
                          FROM (SELECT c.*, %6$s AS tags
                                  FROM (SELECT c.window_id, c.charge_start, c.origin, c.unused, c.category, c.provider, c.service, c.sub_account, c.currency%5$s%7$s,
                                               sum(c.billed) AS billed, sum(c.effective) AS effective, sum(c.list) AS list, sum(c.contracted) AS contracted
                                          FROM (SELECT c.window_id, date_bin('1 day', c.charge_start, '2000-01-01 00:00Z') AS charge_start, %8$s AS origin, %9$s AS unused,
                                                       c.category, c.provider, c.service, c.sub_account, c.currency, c.billed, c.effective, c.list, c.contracted, c.tag_set_id%10$s
                                                  FROM (%11$s) AS c) AS c %12$s%14$s
                                         GROUP BY c.window_id, c.charge_start, c.origin, c.unused, c.category, c.provider, c.service, c.sub_account, c.currency%5$s%7$s) AS c %13$s) AS c) AS d OFFSET 0) AS g $q$,
        coalesce(named, 'WHEN NULL THEN NULL::text'), first_rule_sql(rules, operands), pool_sql('c.unused'), last, values_,
        CASE WHEN classes IS NULL THEN 'NULL::jsonb' ELSE 's.tags' END, CASE WHEN classes IS NOT NULL THEN ', k.tag_class' END,
        origin_sql(), unused_sql(), early, tagged_cost_sql(),
        'LEFT JOIN ' || classes || ' AS k USING (tag_set_id)', CASE WHEN classes IS NOT NULL THEN 'LEFT JOIN billing.tag_set AS s ON s.tag_set_id = c.tag_class' END,
        CASE WHEN past IS NOT NULL THEN format(' WHERE c.origin >= %L::date AND c.origin < %L::date', lower(past), upper(past)) END);
END $$;
COMMENT ON FUNCTION billing.cells_sql(billing.allocation_rule[], daterange) IS
'SQL with parameters $1 (period) and $2 (known_at) that groups cost rows by what reports need and rules look at, with the first rule that takes each group (rule_id) and the name that its target_from reads there (named); past: only corrections of these days, null = all rows. Stable.';

CREATE FUNCTION billing.store_cells(this billing.allocation, rules billing.allocation_rule[], kind text, past billing.allocation DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '256MB' SET enable_sort = off
AS $$
BEGIN
    DELETE FROM allocation_share_open AS s WHERE s.allocation_id = this.allocation_id AND past.period @> s.origin;
    EXECUTE format($q$
        INSERT INTO allocation_share (allocation_id, rule_id, fraction_of, outcome, reason, target_id, window_id, day, origin, pool, category, provider, service, sub_account, currency, billed, effective, list, contracted)
        SELECT $3.allocation_id, p.rule_id, $6.allocation_id, p.outcome, CASE WHEN p.outcome = 'unallocated' THEN CASE WHEN p.rule_id IS NULL THEN 'no_rule' WHEN p.stops THEN 'stopped' ELSE 'unknown_target' END END, p.target_id,
               p.window_id, p.day, p.origin, p.pool, p.category, p.provider, p.service, p.sub_account, p.currency,
               coalesce(sum(p.billed), 0), coalesce(sum(p.effective), 0), coalesce(sum(p.list), 0), coalesce(sum(p.contracted), 0)
          FROM (SELECT g.*, r.action ? 'stop' AS stops, k.cost_center_id AS target_id,
                       CASE WHEN r.action ? 'split' THEN 'pool' WHEN r.action ? 'exclude' THEN 'excluded' WHEN k.cost_center_id IS NOT NULL THEN 'direct' ELSE 'unallocated' END AS outcome
                  FROM (%s) AS g
                  LEFT JOIN unnest($4) AS r ON r.rule_id = g.rule_id
                  LEFT JOIN cost_center AS k ON k.kind = $5 AND k.key = coalesce(r.action ->> 'target', g.named)) AS p
         GROUP BY p.rule_id, p.outcome, p.stops, p.target_id, p.window_id, p.day, p.origin, p.pool, p.category, p.provider, p.service, p.sub_account, p.currency $q$,
        cells_sql(rules, past.period))
        USING this.period, this.known_at, this, rules, kind, past;
END $$;
COMMENT ON FUNCTION billing.store_cells(billing.allocation, billing.allocation_rule[], text, billing.allocation) IS
'First part of a division: the cells of its period, each with the rule that took it; past: a division of an earlier period whose corrections alone are meant, in place of what rules of now made of them. Used by allocate(). Volatile.';

CREATE FUNCTION billing.note_cells(this billing.allocation) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ INSERT INTO billing.allocation_finding (allocation_id, severity, rule, message, mend)
          SELECT this.allocation_id, 'warning', r.key,
                 format('%s: %s %s billed stays unallocated', CASE s.reason WHEN 'no_rule' THEN 'no rule takes it (' || s.pool || ')' ELSE 'the rule names no known target' END, sum(s.billed), s.currency),
                 CASE s.reason WHEN 'no_rule' THEN 'Add a rule that takes these rows, the last one with condition {}.' ELSE 'Make the cost center with set_cost_center(), or mend the tag.' END
            FROM billing.allocation_share AS s LEFT JOIN billing.allocation_rule AS r ON r.rule_id = s.rule_id
           WHERE s.allocation_id = this.allocation_id AND s.reason IN ('no_rule', 'unknown_target')
           GROUP BY r.key, s.reason, s.pool, s.currency ORDER BY r.key, s.reason, s.pool, s.currency $$;
COMMENT ON FUNCTION billing.note_cells(billing.allocation) IS 'Writes a finding for what no rule takes and for what a rule gives to nobody that is known. Used by allocate(). Volatile.';

CREATE FUNCTION billing.basis_of(this billing.allocation, rule billing.allocation_rule, kind text, in_currency text, closed bigint[], followed datemultirange) RETURNS TABLE (target_id bigint, weight numeric, unknown text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    named bigint[] := ARRAY(SELECT k.cost_center_id FROM weights_of(rule.action) AS w JOIN cost_center AS k ON k.kind = basis_of.kind AND k.key = w.target);
BEGIN
    IF rule.action ->> 'split' = 'usage' THEN
        RETURN QUERY
            SELECT u.target_id, sum(u.quantity), string_agg(format('"%s"', u.target), ', ' ORDER BY u.target COLLATE "C") FILTER (WHERE u.target_id IS NULL)
              FROM usage_by_target(rule.action ->> 'meter', rule.action ->> 'by', this.period, basis_of.kind, this.known_at) AS u
             WHERE u.quantity <> 0 AND (u.target_id <> ALL (closed)) IS NOT FALSE AND (NOT rule.action ? 'targets' OR u.target_id = ANY (named))
             GROUP BY u.target_id;
    ELSIF rule.action ->> 'split' = 'proportional' THEN
        RETURN QUERY
            SELECT m.id, m.amount, NULL::text
              FROM (SELECT s.target_id AS id, sum(CASE coalesce(rule.action ->> 'basis', 'effective') WHEN 'billed' THEN s.billed WHEN 'effective' THEN s.effective WHEN 'list' THEN s.list ELSE s.contracted END) AS amount
                      FROM (SELECT d.* FROM allocation_share_open AS d WHERE d.outcome = 'direct' AND NOT rule.action ? 'rule'
                            UNION ALL
                            SELECT g.* FROM allocation_share_open AS g JOIN allocation_rule AS r ON r.rule_id = g.rule_id WHERE r.key = rule.action ->> 'rule') AS s
                     WHERE s.allocation_id = this.allocation_id AND s.currency = in_currency AND s.target_id IS NOT NULL AND s.target_id <> ALL (closed) AND (s.origin IS NULL OR NOT followed @> s.origin) AND (NOT rule.action ? 'targets' OR s.target_id = ANY (named))
                     GROUP BY s.target_id) AS m
             WHERE m.amount <> 0;
    ELSE
        RETURN QUERY SELECT k.cost_center_id, w.weight, NULL::text FROM weights_of(rule.action) AS w JOIN cost_center AS k ON k.kind = basis_of.kind AND k.key = w.target WHERE w.weight <> 0;
    END IF;
END $$;
COMMENT ON FUNCTION billing.basis_of(billing.allocation, billing.allocation_rule, text, text, bigint[], datemultirange) IS
'What a rule splits by: each target with its weight; usage that names no cost center has target_id null and the names in unknown. Targets that have given their cost on in an earlier step (closed) and corrections of earlier days that are treated as then (followed) are left out of measured bases. Used by allocate(). Stable.';

CREATE FUNCTION billing.copy_fractions(this billing.allocation, rule billing.allocation_rule, in_currency text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    INSERT INTO allocation_fraction (allocation_id, rule_id, currency, place, target_id, reason, basis, basis_before, basis_total)
    SELECT this.allocation_id, rule.rule_id, f.currency, f.place, f.target_id, f.reason, f.basis, f.basis_before, f.basis_total
      FROM (SELECT a.allocation_id, r.rule_id FROM allocation AS a JOIN allocation_rule AS r ON r.rule_id = ANY (a.rules)
             WHERE a.scheme_id = this.scheme_id AND a.period = this.period AND a.state = 'closed' AND r.key = rule.key AND r.action = rule.action
               AND EXISTS (SELECT FROM allocation_fraction AS x WHERE x.allocation_id = a.allocation_id AND x.rule_id = r.rule_id AND x.currency = in_currency)
             ORDER BY a.chain_no DESC LIMIT 1) AS former
      JOIN allocation_fraction AS f USING (allocation_id, rule_id) WHERE f.currency = in_currency;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION billing.copy_fractions(billing.allocation, billing.allocation_rule, text) IS
'Lets a rule split cost of a currency as the newest closed division of the same period did by the same action; false if there is none. For usage that has left with drop_sealed_usage(). Used by allocate(). Volatile.';

CREATE FUNCTION billing.store_fractions(this billing.allocation, rule billing.allocation_rule, kind text, in_currency text, closed bigint[], followed datemultirange) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    problem text;
    finding text;
    basis   record;
    gone    boolean := false;
BEGIN
    BEGIN
        SELECT coalesce(sum(b.weight), 0) AS total, coalesce(min(b.weight), 0) AS least, array_agg(b.target_id ORDER BY k.key COLLATE "C" NULLS LAST) AS targets, array_agg(b.weight ORDER BY k.key COLLATE "C" NULLS LAST) AS weights,
               sum(b.weight) FILTER (WHERE b.target_id IS NULL) AS lost, max(b.unknown) AS unknown INTO basis
          FROM basis_of(this, rule, kind, in_currency, closed, followed) AS b LEFT JOIN cost_center AS k ON k.cost_center_id = b.target_id;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN    -- usage of the period has left
        IF copy_fractions(this, rule, in_currency) THEN
            RETURN;
        END IF;
        gone := true;
        SELECT 0::numeric AS total, 0::numeric AS least, NULL::bigint[] AS targets, NULL::numeric[] AS weights, NULL::numeric AS lost, NULL::text AS unknown INTO basis;
    END;
    problem := CASE WHEN basis.least < 0 THEN 'mixed_basis' WHEN basis.total = 0 THEN 'zero_basis' END;
    IF problem IS NULL THEN
        INSERT INTO allocation_fraction (allocation_id, rule_id, currency, place, target_id, reason, basis, basis_before, basis_total)
        SELECT this.allocation_id, rule.rule_id, in_currency, b.place, b.target_id, CASE WHEN b.target_id IS NULL THEN 'unknown_target' END, b.weight, sum(b.weight) OVER (ORDER BY b.place) - b.weight, basis.total
          FROM unnest(basis.targets, basis.weights) WITH ORDINALITY AS b (target_id, weight, place);
    ELSE
        INSERT INTO allocation_fraction (allocation_id, rule_id, currency, place, reason, basis, basis_before, basis_total) VALUES (this.allocation_id, rule.rule_id, in_currency, 1, problem, 0, 0, 0);
    END IF;
    finding := CASE WHEN gone THEN format('nothing to split by in %s: usage of the period has left with drop_sealed_usage(), and no closed division was split by it', in_currency)
                    WHEN problem = 'zero_basis' THEN format('nothing to split by in %s: the basis is 0', in_currency)
                    WHEN problem = 'mixed_basis' THEN format('a basis in %s is negative (%s), so nothing is split', in_currency, basis.least)
                    WHEN basis.lost > 0 THEN format('%s of %s of the usage name no cost center (%s): this part in %s stays unallocated', trim_scale(basis.lost), trim_scale(basis.total), basis.unknown, in_currency) END;
    IF finding IS NOT NULL THEN
        INSERT INTO allocation_finding (allocation_id, severity, rule, message, mend)
            VALUES (this.allocation_id, 'warning', rule.key, finding,
                    CASE WHEN problem IS NULL THEN 'Make these cost centers, correct the usage, or name the targets that count.' ELSE 'What it took stays unallocated: choose another basis, or name weights.' END);
    END IF;
END $$;
COMMENT ON FUNCTION billing.store_fractions(billing.allocation, billing.allocation_rule, text, text, bigint[], datemultirange) IS
'Stores by which fractions a rule splits cost of a currency; where it cannot split, the reason (zero_basis, mixed_basis) in place of fractions, and a finding. Used by allocate(). Volatile.';

CREATE FUNCTION billing.split_cells(this billing.allocation, rule billing.allocation_rule, in_currency text, by_allocation bigint, past boolean, span datemultirange) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH taken AS (
              SELECT s.*
                FROM (SELECT p.* FROM billing.allocation_share_open AS p WHERE rule.from_id IS NULL AND p.allocation_id = this.allocation_id AND p.outcome = 'pool' AND p.rule_id = rule.rule_id
                      UNION ALL
                      SELECT m.* FROM billing.allocation_share_open AS m WHERE m.allocation_id = this.allocation_id AND m.outcome = 'moved' AND m.target_id = rule.from_id) AS s
               WHERE s.currency = in_currency AND coalesce(span @> s.origin, false) = past)
          INSERT INTO billing.allocation_share (allocation_id, parent_id, rule_id, fraction_of, outcome, reason, target_id, window_id, day, origin, pool, category, provider, service, sub_account, currency, billed, effective, list, contracted)
          SELECT this.allocation_id, t.share_id, rule.rule_id, by_allocation, CASE WHEN f.target_id IS NULL THEN 'unallocated' ELSE 'shared' END, f.reason, f.target_id,
                 t.window_id, t.day, t.origin, t.pool, t.category, t.provider, t.service, t.sub_account, t.currency,
                 CASE WHEN f.basis_total = 0 THEN t.billed ELSE billing.part_of(t.billed, f.basis_before, f.basis, f.basis_total) END,
                 CASE WHEN f.basis_total = 0 THEN t.effective ELSE billing.part_of(t.effective, f.basis_before, f.basis, f.basis_total) END,
                 CASE WHEN f.basis_total = 0 THEN t.list ELSE billing.part_of(t.list, f.basis_before, f.basis, f.basis_total) END,
                 CASE WHEN f.basis_total = 0 THEN t.contracted ELSE billing.part_of(t.contracted, f.basis_before, f.basis, f.basis_total) END
            FROM taken AS t
            JOIN billing.allocation_fraction AS f ON f.allocation_id = by_allocation AND f.rule_id = rule.rule_id AND f.currency = in_currency $$;
COMMENT ON FUNCTION billing.split_cells(billing.allocation, billing.allocation_rule, text, bigint, boolean, datemultirange) IS
'Splits what a rule took by its fractions in an allocation; past: of corrections of the days in span, otherwise of all else. Used by allocate(). Volatile.';

CREATE FUNCTION billing.apply_rule(this billing.allocation, rule billing.allocation_rule, kind text, closed bigint[], followed datemultirange, past billing.allocation) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '256MB' SET enable_sort = off SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    is_past CONSTANT boolean := past.allocation_id IS NOT NULL;
    span    CONSTANT datemultirange := CASE WHEN past.allocation_id IS NULL THEN followed ELSE datemultirange(past.period) END;
    in_currency   text;
    by_allocation bigint;
BEGIN
    UPDATE allocation_share_open AS s SET outcome = 'moved'
     WHERE s.allocation_id = this.allocation_id AND s.outcome IN ('direct', 'shared') AND s.target_id = rule.from_id AND coalesce(span @> s.origin, false) = is_past;
    FOR in_currency IN
        SELECT p.currency FROM allocation_share_open AS p
         WHERE rule.from_id IS NULL AND p.allocation_id = this.allocation_id AND p.outcome = 'pool' AND p.rule_id = rule.rule_id AND coalesce(span @> p.origin, false) = is_past
        UNION
        SELECT m.currency FROM allocation_share_open AS m
         WHERE m.allocation_id = this.allocation_id AND m.outcome = 'moved' AND m.target_id = rule.from_id AND coalesce(span @> m.origin, false) = is_past
        ORDER BY 1
    LOOP
        -- a rule that split nothing of this currency then splits corrections by what it would split by now
        by_allocation := coalesce((SELECT f.allocation_id FROM allocation_fraction AS f
                                    WHERE f.allocation_id IN (past.allocation_id, this.allocation_id) AND f.rule_id = rule.rule_id AND f.currency = in_currency
                                    ORDER BY f.allocation_id = past.allocation_id DESC NULLS LAST LIMIT 1), 0);
        IF by_allocation = 0 THEN
            PERFORM store_fractions(this, rule, kind, in_currency, closed, followed);
            by_allocation := this.allocation_id;
        END IF;
        PERFORM split_cells(this, rule, in_currency, by_allocation, is_past, span);
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.apply_rule(billing.allocation, billing.allocation_rule, text, bigint[], datemultirange, billing.allocation) IS
'One step of a division: splits what a rule took from cost rows, or what its cost center has got so far; past: only of corrections of that division, by its fractions; followed: days whose corrections are treated so, and are no basis. Used by allocate(). Volatile.';

CREATE FUNCTION billing.apply_rules(this billing.allocation, rules billing.allocation_rule[], kind text, followed datemultirange, past billing.allocation) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    begins CONSTANT date := lower(CASE WHEN past.allocation_id IS NULL THEN this.period ELSE past.period END);
    rule   allocation_rule;
    closed bigint[] := '{}';
BEGIN
    FOREACH rule IN ARRAY rules LOOP
        IF rule.from_id IS NOT NULL AND rule.valid @> begins THEN
            closed := closed || rule.from_id;
            PERFORM apply_rule(this, rule, kind, closed, followed, past);
        ELSIF rule.from_id IS NULL AND rule.action ? 'split' THEN
            PERFORM apply_rule(this, rule, kind, closed, followed, past);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.apply_rules(billing.allocation, billing.allocation_rule[], text, datemultirange, billing.allocation) IS 'The steps of a division in order of its rules; past and followed as in apply_rule(). Used by allocate(). Volatile.';

CREATE FUNCTION billing.check_conserved(this billing.allocation) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    SELECT s.currency, d.kind, d.difference INTO wrong
      FROM (SELECT o.currency, sum(o.billed * x.sign) AS billed, sum(o.effective * x.sign) AS effective, sum(o.list * x.sign) AS list, sum(o.contracted * x.sign) AS contracted
              FROM allocation_share_open AS o
             CROSS JOIN LATERAL (SELECT (o.outcome IN ('direct', 'shared', 'unallocated', 'excluded'))::int - (o.parent_id IS NULL)::int AS sign) AS x
             WHERE o.allocation_id = this.allocation_id AND x.sign <> 0 GROUP BY o.currency) AS s
     CROSS JOIN LATERAL (VALUES ('billed', s.billed), ('effective', s.effective), ('list', s.list), ('contracted', s.contracted)) AS d (kind, difference)
     WHERE d.difference <> 0 ORDER BY 1, 2 LIMIT 1;
    IF FOUND THEN
        RAISE data_corrupted USING MESSAGE = format('shares of %s cost in %s differ from the cost by %s', wrong.kind, wrong.currency, trim_scale(wrong.difference)),
            HINT = 'Nothing was written. This is a defect of billing: please report it with the rules of the scheme.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_conserved(billing.allocation) IS
'Raises XX001 unless the final shares of a division add up to the cells it began with, for each currency and each kind of cost. Used by allocate(). Stable.';

CREATE FUNCTION billing.corrected_divisions(this billing.allocation) RETURNS SETOF billing.allocation
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT DISTINCT ON (a.period) a.*
            FROM billing.allocation AS a
           WHERE a.scheme_id = this.scheme_id AND NOT a.period && this.period AND a.state IN ('open', 'closed')
             AND EXISTS (SELECT FROM billing.allocation_share_open AS s WHERE s.allocation_id = this.allocation_id AND a.period @> s.origin)
           ORDER BY a.period, a.chain_no DESC $$;
COMMENT ON FUNCTION billing.corrected_divisions(billing.allocation) IS 'The newest division of each earlier period that cost rows of a division correct, open or closed. Used by allocate(). Stable.';

CREATE FUNCTION billing.divide(this billing.allocation, kind text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    rules    allocation_rule[] := ARRAY(SELECT r FROM rules_of(this) AS r);
    cycle    text := allocation_cycle(this.scheme_id);
    pasts    allocation[];
    past     allocation;
    followed datemultirange;
BEGIN
    IF cycle IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the steps of the rules form a cycle: %s', cycle), HINT = 'Take one of these steps away with billing.remove_allocation_rule().';
    END IF;
    PERFORM store_cells(this, rules, kind);
    -- What corrects an earlier period is treated as the newest division of that period treats it: by its rules and fractions.
    pasts := ARRAY(SELECT a FROM corrected_divisions(this) AS a);
    followed := coalesce((SELECT range_agg(a.period) FROM unnest(pasts) AS a), '{}');
    FOREACH past IN ARRAY pasts LOOP
        PERFORM store_cells(this, ARRAY(SELECT r FROM rules_of(past) AS r), kind, past);
    END LOOP;
    PERFORM note_cells(this);
    PERFORM apply_rules(this, rules, kind, followed, NULL);
    FOREACH past IN ARRAY pasts LOOP
        PERFORM apply_rules(this, ARRAY(SELECT r FROM rules_of(past) AS r), kind, followed, past);
    END LOOP;
    PERFORM check_conserved(this);
END $$;
COMMENT ON FUNCTION billing.divide(billing.allocation, text) IS 'Divides the cost of the period of an allocation by the rules of its scheme. Errors: 22023 a cycle, XX001 shares that do not add up to the cost. Used by allocate(). Volatile.';

CREATE FUNCTION billing.share_fraction(share billing.allocation_share) RETURNS SETOF billing.allocation_fraction
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT f.* FROM billing.allocation_fraction AS f
           WHERE f.allocation_id OPERATOR(pg_catalog.=) share.fraction_of AND f.rule_id OPERATOR(pg_catalog.=) share.rule_id AND f.currency OPERATOR(pg_catalog.=) share.currency
             AND (f.target_id OPERATOR(pg_catalog.=) share.target_id OR f.target_id IS NULL AND share.target_id IS NULL) $$;
COMMENT ON FUNCTION billing.share_fraction(billing.allocation_share) IS 'The fraction by which a share was split; no row if it was given whole. Stable.';

CREATE FUNCTION billing.keep_difference(this billing.allocation) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off
    AS $$ WITH computed AS (DELETE FROM billing.allocation_share_open AS s WHERE s.allocation_id = this.allocation_id RETURNING s.*),
          both_ AS (
              SELECT c.*, 1 AS sign FROM computed AS c WHERE c.outcome IN ('direct', 'shared', 'unallocated', 'excluded')
              UNION ALL
              SELECT s.*, -1 FROM billing.allocation_share AS s JOIN billing.allocation AS a USING (allocation_id)
               WHERE a.scheme_id = this.scheme_id AND a.period = this.period AND a.allocation_id <> this.allocation_id AND a.state = 'closed'
                 AND s.outcome IN ('direct', 'shared', 'unallocated', 'excluded')),
          -- a rule that was said again in the same words is the same rule
          rule AS (SELECT r.rule_id, min(r.rule_id) OVER (PARTITION BY r.key, r.condition, r.action, r.from_id, r.pools) AS same FROM billing.allocation_rule AS r WHERE r.scheme_id = this.scheme_id),
          -- What is borne by another rule or fraction than before is told apart: one share takes back, another gives.
          told AS (
              SELECT max(b.rule_id) AS rule_id, max(b.fraction_of) AS fraction_of, b.outcome, b.reason, b.target_id, b.window_id, b.day, b.origin, b.pool, b.category, b.provider, b.service, b.sub_account, b.currency,
                     sum(b.sign * b.billed) AS billed, sum(b.sign * b.effective) AS effective, sum(b.sign * b.list) AS list, sum(b.sign * b.contracted) AS contracted
                FROM both_ AS b
                LEFT JOIN rule AS r ON r.rule_id = b.rule_id
                LEFT JOIN billing.allocation_fraction AS f ON f.allocation_id = b.fraction_of AND f.currency = b.currency AND f.target_id IS NOT DISTINCT FROM b.target_id
                     AND f.rule_id = b.rule_id
               GROUP BY r.same, f.basis, f.basis_before, f.basis_total, b.outcome, b.reason, b.target_id, b.window_id, b.day, b.origin, b.pool, b.category, b.provider, b.service, b.sub_account, b.currency),
          moved AS (
              SELECT t.*, sum(t.billed) OVER cell <> 0 OR sum(t.effective) OVER cell <> 0 OR sum(t.list) OVER cell <> 0 OR sum(t.contracted) OVER cell <> 0 AS differs
                FROM told AS t
              WINDOW cell AS (PARTITION BY t.outcome, t.reason, t.target_id, t.window_id, t.day, t.origin, t.pool, t.category, t.provider, t.service, t.sub_account, t.currency)),
          stored AS (
              INSERT INTO billing.allocation_share (allocation_id, rule_id, fraction_of, outcome, reason, target_id, window_id, day, origin, pool, category, provider, service, sub_account, currency, billed, effective, list, contracted)
              SELECT this.allocation_id, m.rule_id, m.fraction_of, m.outcome, m.reason, m.target_id, m.window_id, m.day, m.origin, m.pool, m.category, m.provider, m.service, m.sub_account, m.currency, m.billed, m.effective, m.list, m.contracted
                FROM moved AS m WHERE m.differs AND (m.billed <> 0 OR m.effective <> 0 OR m.list <> 0 OR m.contracted <> 0)
              RETURNING 1)
          SELECT count(*) FROM stored $$;
COMMENT ON FUNCTION billing.keep_difference(billing.allocation) IS
'Keeps of a division of a closed period only the difference to what was closed before: of each part of a cell whose amounts differ, by rule and fraction, so that what was borne by another rule or fraction is taken back by that one. Returns how many shares that are. Used by allocate(). Volatile.';

CREATE FUNCTION billing.keep_for_ever(allocation_id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    WITH moved AS (DELETE FROM allocation_share_open AS s WHERE s.allocation_id = keep_for_ever.allocation_id RETURNING s.*)
    INSERT INTO allocation_share (share_id, allocation_id, parent_id, rule_id, fraction_of, outcome, reason, target_id, window_id, day, origin, pool, category, provider, service, sub_account, currency,
                                  billed, effective, list, contracted, final) OVERRIDING SYSTEM VALUE
    SELECT m.share_id, m.allocation_id, m.parent_id, m.rule_id, m.fraction_of, m.outcome, m.reason, m.target_id, m.window_id, m.day, m.origin, m.pool, m.category, m.provider, m.service, m.sub_account, m.currency,
           m.billed, m.effective, m.list, m.contracted, true FROM moved AS m;
    WITH moved AS (DELETE FROM allocation_fraction_open AS f WHERE f.allocation_id = keep_for_ever.allocation_id RETURNING f.*)
    INSERT INTO allocation_fraction (allocation_id, rule_id, currency, place, target_id, reason, basis, basis_before, basis_total, final)
    SELECT m.allocation_id, m.rule_id, m.currency, m.place, m.target_id, m.reason, m.basis, m.basis_before, m.basis_total, true FROM moved AS m;
END $$;
COMMENT ON FUNCTION billing.keep_for_ever(bigint) IS 'Moves shares and fractions of an allocation that was closed to where nobody can change or delete them. Volatile.';

CREATE FUNCTION billing.start_allocation(scheme billing.allocation_scheme, period daterange, run bigint, known_at timestamptz) RETURNS billing.allocation
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this    allocation;
    overlap daterange := (SELECT a.period FROM allocation AS a WHERE a.scheme_id = scheme.scheme_id AND a.period && start_allocation.period AND a.period <> start_allocation.period
                           AND a.state = 'closed' ORDER BY 1 LIMIT 1);
BEGIN
    IF overlap IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('scheme "%s" has closed %s, which overlaps %s', scheme.key, overlap, start_allocation.period),
            HINT = 'Allocate the same periods as before.';
    END IF;
    -- What is not closed is replaced, with what overlaps it.
    FOR this IN SELECT a.* FROM allocation AS a WHERE a.scheme_id = scheme.scheme_id AND a.period && start_allocation.period AND a.state IN ('open', 'held', 'ignored') LOOP
        IF this.period <> start_allocation.period THEN
            RAISE WARNING USING MESSAGE = format('scheme "%s": the open division of %s is replaced by one of %s', scheme.key, this.period, start_allocation.period),
                HINT = 'Cost of days outside of the new period is divided by nobody now; allocate the former period again unless that is meant.';
        END IF;
        DELETE FROM allocation_share_open AS s WHERE s.allocation_id = this.allocation_id;
        DELETE FROM allocation_fraction_open AS f WHERE f.allocation_id = this.allocation_id;
        DELETE FROM allocation_finding AS f WHERE f.allocation_id = this.allocation_id;
        DELETE FROM allocation AS a WHERE a.allocation_id = this.allocation_id;
    END LOOP;
    INSERT INTO allocation (scheme_id, period, chain_no, state, known_at, rules, run_id)
    SELECT scheme.scheme_id, start_allocation.period, coalesce(max(a.chain_no), 0) + 1, CASE WHEN count(*) = 0 THEN 'open' ELSE 'held' END, start_allocation.known_at, rules_known(scheme.scheme_id, start_allocation.known_at), run
      FROM allocation AS a WHERE a.scheme_id = scheme.scheme_id AND a.period = start_allocation.period
    RETURNING * INTO this;
    RETURN this;
END $$;
COMMENT ON FUNCTION billing.start_allocation(billing.allocation_scheme, daterange, bigint, timestamptz) IS
'The allocation that a run of a scheme fills: a new first one, or a difference if the period is closed. Errors: 55000 a closed period overlaps. Used by allocate(). Volatile.';

CREATE FUNCTION billing.allocate_scheme(scheme billing.allocation_scheme, period daterange, run bigint, known_at timestamptz) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this allocation;
BEGIN
    PERFORM billing.lock_until_commit(1651076213, scheme.scheme_id);
    this := start_allocation(scheme, allocate_scheme.period, run, allocate_scheme.known_at);
    PERFORM divide(this, scheme.kind);
    IF this.chain_no > 1 THEN
        IF keep_difference(this) = 0 THEN
            DELETE FROM allocation_fraction_open AS f WHERE f.allocation_id = this.allocation_id;
            DELETE FROM allocation_finding AS f WHERE f.allocation_id = this.allocation_id;
            DELETE FROM allocation AS a WHERE a.allocation_id = this.allocation_id;
            RETURN NULL;
        END IF;
        UPDATE allocation AS a SET state = CASE scheme.restatement WHEN 'book' THEN 'closed' WHEN 'hold' THEN 'held' ELSE 'ignored' END WHERE a.allocation_id = this.allocation_id;
        IF scheme.restatement = 'book' THEN
            PERFORM keep_for_ever(this.allocation_id);
        END IF;
    END IF;
    RETURN this.allocation_id;
END $$;
COMMENT ON FUNCTION billing.allocate_scheme(billing.allocation_scheme, daterange, bigint, timestamptz) IS
'Divides the cost of a period by one scheme; returns the number of the allocation, null where a closed period has no difference. Used by allocate(). Volatile.';

CREATE FUNCTION billing.reads_tags(rules billing.allocation_rule[]) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM unnest(rules) AS r WHERE r.action ->> 'target_from' LIKE 'tag:%' OR r.condition @? '$.**.tag' OR r.action ->> 'split' = 'usage')
              OR EXISTS (SELECT FROM billing.auto_tag_rule AS r WHERE upper_inf(r.known) AND (r.value_from LIKE 'tag:%' OR r.condition @? '$.**.tag')) $$;
COMMENT ON FUNCTION billing.reads_tags(billing.allocation_rule[]) IS 'Whether what rules do depends on tags that people give to resources: by their conditions, targets or usage, or by auto-tag rules. Stable.';

CREATE FUNCTION billing.newer_usage(meters int[], period daterange, known_at timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    span CONSTANT tstzrange := tstzrange(lower(newer_usage.period)::timestamp AT TIME ZONE 'UTC', upper(newer_usage.period)::timestamp AT TIME ZONE 'UTC', '[]');
BEGIN
    IF meters = '{}' THEN
        RETURN 0;
    END IF;
    RETURN (SELECT count(*) FROM usage AS u
             WHERE u.meter_id = ANY (meters) AND u.recorded_at > newer_usage.known_at
               AND u.ends_at BETWEEN lower(span) AND upper(span) + (SELECT l.longest_usage FROM ledger_state AS l) AND starts_at(u.consumed) <= upper(span))
         + (SELECT count(*) FROM usage_change AS c WHERE c.meter_id = ANY (meters) AND c.recorded_at > newer_usage.known_at AND c.ends_at >= lower(span) AND c.starts_at <= upper(span));
END $$;
COMMENT ON FUNCTION billing.newer_usage(int[], daterange, timestamptz) IS 'How many pieces of usage of some meters in a period (days, UTC) were recorded, corrected, moved or voided after an instant. Used by newer_facts(). Stable.';

CREATE FUNCTION billing.newer_facts(scheme_id int, period daterange, known_at timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    rules  CONSTANT allocation_rule[] := ARRAY(SELECT r FROM allocation_rule AS r WHERE r.scheme_id = newer_facts.scheme_id AND upper_inf(r.known) AND r.valid && newer_facts.period);
    meters CONSTANT int[] := ARRAY(SELECT i.item_id FROM unnest(rules) AS r JOIN item AS i ON i.kind = 'meter' AND i.key = r.action ->> 'meter' WHERE r.action ->> 'split' = 'usage');
BEGIN
    RETURN (SELECT string_agg(format(n.what, n.found), ', ') FROM (
        SELECT '%s loads of cost' AS what, count(DISTINCT l.load_id) AS found
          FROM cost_load AS l JOIN cost_window_load AS c USING (load_id) JOIN cost_window AS w USING (window_id)
         WHERE l.recorded_at > newer_facts.known_at AND c.added + c.removed > 0 AND newer_facts.period @> lower(w.period)
        UNION ALL
        SELECT '%s changed rules', count(DISTINCT r.key) FROM allocation_rule AS r WHERE r.scheme_id = newer_facts.scheme_id AND (lower(r.known) > newer_facts.known_at OR upper(r.known) > newer_facts.known_at)
        UNION ALL
        SELECT '%s changed auto-tag rules', count(DISTINCT r.key) FROM auto_tag_rule AS r WHERE lower(r.known) > newer_facts.known_at OR upper(r.known) > newer_facts.known_at
        UNION ALL
        SELECT '%s changes of who answers for billing accounts', count(*) FROM billing_account_center AS b
         WHERE lower(b.known) > newer_facts.known_at
           AND EXISTS (SELECT FROM cost_window AS w WHERE w.source_id = b.source_id AND w.billing_account = b.billing_account AND b.valid @> lower(w.period) AND newer_facts.period @> lower(w.period))
        UNION ALL
        SELECT '%s tag sets read otherwise', count(*) FROM tag_set_former AS f WHERE reads_tags(rules) AND upper(f.known) > newer_facts.known_at
        UNION ALL
        SELECT '%s new cost centers', count(*) FROM cost_center AS k JOIN allocation_scheme AS s USING (kind)
         WHERE s.scheme_id = newer_facts.scheme_id AND k.recorded_at > newer_facts.known_at AND EXISTS (SELECT FROM unnest(rules) AS r WHERE r.action ? 'target_from' OR r.action ->> 'split' = 'usage')
        UNION ALL
        SELECT '%s tags that people gave', count(*) FROM resource_tag AS t
         WHERE reads_tags(rules) AND (lower(t.known) > newer_facts.known_at OR upper(t.known) > newer_facts.known_at)
           AND t.valid && tstzrange(lower(newer_facts.period)::timestamp AT TIME ZONE 'UTC', upper(newer_facts.period)::timestamp AT TIME ZONE 'UTC', '[]')
        UNION ALL
        SELECT '%s pieces of usage of its meters', newer_usage(meters, newer_facts.period, newer_facts.known_at)
        UNION ALL
        SELECT '%s changes of its meters', count(*) FROM meter_definition AS m WHERE m.item_id = ANY (meters) AND lower(m.known) > newer_facts.known_at) AS n
     WHERE n.found > 0);
END $$;
COMMENT ON FUNCTION billing.newer_facts(int, daterange, timestamptz) IS
'What was recorded after an instant and bears on the division of a period by a scheme, in words: loads of cost, changes of rules, of auto-tag rules and of who answers for billing accounts; where rules read them, tags that people gave or that are read otherwise now, new cost centers, and usage of their meters. Null = nothing. Stable.';

CREATE FUNCTION billing.note_newer_facts(this billing.allocation, held_by jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    newer CONSTANT text := newer_facts(this.scheme_id, this.period, this.known_at);
    scheme CONSTANT text := (SELECT s.key FROM allocation_scheme AS s WHERE s.scheme_id = this.scheme_id);
BEGIN
    IF newer IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO allocation_finding (allocation_id, severity, message, mend)
        VALUES (this.allocation_id, 'error', format('%s are newer than what this division counts', newer), 'Run allocate() again when no other session is recording; billing.recording_sessions shows who is.');
    RAISE WARNING USING MESSAGE = format('scheme "%s": %s are newer than what this division counts', scheme, newer),
        DETAIL = CASE WHEN held_by IS NOT NULL THEN format('Sessions that are recording: %s.', held_by) ELSE 'They were recorded while it ran.' END, HINT = 'Run billing.allocate() again when no other session is recording.';
END $$;
COMMENT ON FUNCTION billing.note_newer_facts(billing.allocation, jsonb) IS 'Writes a finding and a warning where facts are newer than those that a division counts; held_by: the sessions behind whose facts it stops. Used by allocate(). Volatile.';

CREATE FUNCTION billing.check_period(period daterange) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF period IS NULL OR isempty(period) OR NOT isfinite(lower(period)) OR NOT isfinite(upper(period)) OR lower_inf(period) OR upper_inf(period) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a period must be a span of days, not %s', coalesce(period::text, 'null')), HINT = 'A month is written ''[2026-10-01,2026-11-01)''.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_period(daterange) IS 'Raises 22023 unless the period is a finite span of days. Immutable.';

CREATE PROCEDURE billing.allocate(period daterange, INOUT run_id bigint DEFAULT NULL, scheme text DEFAULT NULL)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_scheme allocation_scheme;
    known_at    timestamptz;
    held_by     jsonb;
    one         bigint;
    done        jsonb := '{}';
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(allocate.period);
    SELECT w.known_at, w.held_by INTO known_at, held_by FROM read_watermark() AS w;
    IF own_stamp() IS NOT NULL THEN
        known_at := own_stamp();
        held_by := NULL;
    END IF;
    INSERT INTO run (procedure, through, known_at, own_at, watermark_held_by) VALUES ('allocate', upper(allocate.period), known_at, own_stamp(), held_by) RETURNING run.run_id INTO run_id;
    FOR this_scheme IN SELECT s.* FROM allocation_scheme AS s WHERE allocate.scheme IS NULL OR s.scheme_id = (find_scheme(allocate.scheme)).scheme_id ORDER BY s.scheme_id LOOP
        one := allocate_scheme(this_scheme, allocate.period, run_id, known_at);
        PERFORM note_newer_facts(a, held_by) FROM allocation AS a WHERE a.allocation_id = one;
        done := done || jsonb_build_object(this_scheme.key, one);
    END LOOP;
    UPDATE run AS r SET state = 'done', counts = jsonb_build_object('allocations', done), finished_at = clock_timestamp(), backend_pid = NULL WHERE r.run_id = allocate.run_id;
END $$;
COMMENT ON PROCEDURE billing.allocate(daterange, bigint, text) IS
'Divides the cost of all billing periods that begin in the period (days, UTC) by each scheme, or by one. In the caller''s transaction: cost and rules of this transaction count. Run it again as often as cost or rules change: what is open is replaced, what is closed gets a difference (see set_allocation_scheme(), restatement). run_id: number of the run. Errors: 22023 no period or a cycle, 25001 unless READ COMMITTED, 42704 unknown scheme, 55000 a closed period overlaps, XX001 shares that do not add up to the cost (nothing is written).';

CREATE FUNCTION billing.close_allocation(period daterange, scheme text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_scheme allocation_scheme;
    this      allocation;
    known     int := 0;
    closed    int := 0;
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(close_allocation.period);
    FOR of_scheme IN SELECT s.* FROM allocation_scheme AS s WHERE close_allocation.scheme IS NULL OR s.scheme_id = (find_scheme(close_allocation.scheme)).scheme_id ORDER BY s.scheme_id LOOP
        PERFORM billing.lock_until_commit(1651076213, of_scheme.scheme_id);
        FOR this IN SELECT a.* FROM allocation AS a WHERE a.scheme_id = of_scheme.scheme_id AND a.period = close_allocation.period AND a.chain_no = 1 LOOP
            known := known + 1;
            CONTINUE WHEN this.state <> 'open';
            IF newer_facts(this.scheme_id, this.period, this.known_at) IS NOT NULL THEN
                RAISE object_not_in_prerequisite_state USING MESSAGE = format('scheme "%s": %s are newer than the division of %s', of_scheme.key, newer_facts(this.scheme_id, this.period, this.known_at), this.period),
                    HINT = 'Run billing.allocate() again, look at what came of it, then close it.';
            END IF;
            UPDATE allocation AS a SET state = 'closed', recorded_at = clock_timestamp(), recorded_by = session_user WHERE a.allocation_id = this.allocation_id;
            PERFORM keep_for_ever(this.allocation_id);
            closed := closed + 1;
        END LOOP;
    END LOOP;
    IF known = 0 THEN
        RAISE undefined_object USING MESSAGE = format('no scheme has a division of %s', close_allocation.period), HINT = 'See the view billing.allocations for periods that were divided.';
    END IF;
    RETURN closed;
END $$;
COMMENT ON FUNCTION billing.close_allocation(daterange, text) IS
'Closes the open allocations of a period, of all schemes or of one: from then on it changes only by differences. Returns how many; 0 = they were closed before. Waits for a run of allocate(). Errors: 22023 no period, 42704 unknown scheme or a period that was not divided, 55000 cost, rules, or tags and usage that rules read are newer than the division. Volatile.';

CREATE FUNCTION billing.approve_allocation(allocation bigint, reason text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    PERFORM billing.lock_until_commit(1651076213, a.scheme_id) FROM allocation AS a WHERE a.allocation_id = approve_allocation.allocation;
    UPDATE allocation AS a SET state = 'closed', reason = approve_allocation.reason, recorded_at = clock_timestamp(), recorded_by = session_user
     WHERE a.allocation_id = approve_allocation.allocation AND a.state IN ('held', 'ignored');
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('there is no held allocation %s', coalesce(approve_allocation.allocation::text, 'null')), HINT = 'See the view billing.allocations.';
    END IF;
    PERFORM keep_for_ever(approve_allocation.allocation);
END $$;
COMMENT ON FUNCTION billing.approve_allocation(bigint, text) IS 'Books a difference of a closed period that was held or ignored. Errors: 42704 there is none of that number. Volatile.';
