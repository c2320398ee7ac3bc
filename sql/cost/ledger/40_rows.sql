-- Cost as rules and reports read it: the rows of a period as known at an instant, with all their tags.
--
-- A tag has three origins.  What a person set on the resource (set_tags) goes before what the provider delivered, and a rule
-- (set_auto_tag_rule) speaks only where both are silent.  Tags by rule are never stored, so a rule can neither overwrite what a
-- person set nor leave anything behind when it is taken away.

CREATE FUNCTION billing.resource_tags_at(resource text, at timestamptz, known_at timestamptz) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT pg_catalog.jsonb_object_agg(billing.normal_tag_key(t.tag), t.value ORDER BY r.account_id DESC, pg_catalog.lower(t.known))
            FROM billing.resource AS r JOIN billing.resource_tag AS t ON t.account_id OPERATOR(pg_catalog.=) r.account_id AND t.resource_id OPERATOR(pg_catalog.=) r.resource_id
           WHERE r.key OPERATOR(pg_catalog.=) resource AND t.valid OPERATOR(pg_catalog.@>) at AND t.known OPERATOR(pg_catalog.@>) known_at $$;
COMMENT ON FUNCTION billing.resource_tags_at(text, timestamptz, timestamptz) IS 'Tags that set_tags() gave to the resource with that key, under their normalised keys, valid at an instant and as known at another; of two keys that become one that which was set last; null = none. Stable.';

CREATE FUNCTION billing.cost_rows(period daterange, known_at timestamptz)
    RETURNS TABLE (cost_id bigint, window_id int, source text, billing_account text, cost_center text, billing_period daterange, charge_start timestamptz, charge_end timestamptz,
                   category text, service text, provider text, sub_account text, resource text, currency text,
                   billed numeric, effective numeric, list numeric, contracted numeric, tags jsonb, attributes jsonb, tag_set_id int)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT c.cost_id, c.window_id, w.source, w.billing_account, w.cost_center, w.period, c.charge_start, c.charge_end, c.category, c.service, c.provider, c.sub_account, c.resource, c.currency,
                 c.billed, c.effective, c.list, c.contracted,
                 CASE WHEN (SELECT EXISTS (SELECT FROM billing.resource_tag)) AND c.resource OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT r.key FROM billing.resource AS r WHERE EXISTS (SELECT FROM billing.resource_tag AS t WHERE t.account_id OPERATOR(pg_catalog.=) r.account_id AND t.resource_id OPERATOR(pg_catalog.=) r.resource_id)))
                      THEN COALESCE(n.tags, '{}') OPERATOR(pg_catalog.||) COALESCE(billing.resource_tags_at(c.resource, c.charge_start, known_at), '{}')
                      ELSE COALESCE(n.tags, '{}') END, c.attributes, c.tag_set_id
            FROM (SELECT w.window_id, w.billing_account, w.period, o.key AS source, k.key AS cost_center
                    FROM billing.cost_window AS w
                    JOIN billing.cost_source AS o ON o.source_id OPERATOR(pg_catalog.=) w.source_id
                    LEFT JOIN billing.billing_account_center AS b ON b.source_id OPERATOR(pg_catalog.=) w.source_id AND b.billing_account OPERATOR(pg_catalog.=) w.billing_account
                         AND b.valid OPERATOR(pg_catalog.@>) pg_catalog.lower(w.period) AND b.known OPERATOR(pg_catalog.@>) known_at
                    LEFT JOIN billing.cost_center AS k ON k.cost_center_id OPERATOR(pg_catalog.=) b.cost_center_id
                   WHERE w.period OPERATOR(pg_catalog.&&) cost_rows.period AND pg_catalog.lower(w.period) OPERATOR(pg_catalog.>=) pg_catalog.lower(cost_rows.period)) AS w
            JOIN billing.cost AS c ON c.window_id OPERATOR(pg_catalog.=) w.window_id
            LEFT JOIN billing.tag_set AS s ON s.tag_set_id OPERATOR(pg_catalog.=) c.tag_set_id
           CROSS JOIN LATERAL (SELECT CASE WHEN (SELECT EXISTS (SELECT FROM billing.tag_set_former))
                                           THEN COALESCE((SELECT f.tags FROM billing.tag_set_former AS f WHERE f.tag_set_id OPERATOR(pg_catalog.=) c.tag_set_id AND f.known OPERATOR(pg_catalog.@>) known_at), s.tags)
                                           ELSE s.tags END AS tags) AS n
           WHERE c.known OPERATOR(pg_catalog.@>) known_at $$;
COMMENT ON FUNCTION billing.cost_rows(daterange, timestamptz) IS
'Cost rows as known at an instant of all windows whose billing period begins within the period (days in UTC), with the tags that provider and people gave them; tag_set_id: those of the provider alone. Stable.';

CREATE FUNCTION billing.tagged_cost_sql(more_rules billing.auto_tag_rule[] DEFAULT '{}', known_at timestamptz DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    rules    auto_tag_rule[] := ARRAY(SELECT r FROM auto_tag_rule AS r WHERE coalesce(r.known @> tagged_cost_sql.known_at, upper_inf(r.known)) AND r.key <> ALL (ARRAY(SELECT m.key FROM unnest(more_rules) AS m)) ORDER BY r.place, r.key) || more_rules;
    operands text[] := ARRAY(SELECT DISTINCT o FROM unnest(rules) AS r, unnest(condition_operands(r.condition) || r.value_from) AS o WHERE o IS NOT NULL ORDER BY 1);
    tags     text;
BEGIN
    IF rules = '{}' THEN
        RETURN 'SELECT c.* FROM billing.cost_rows($1, $2) AS c';
    END IF;
    SELECT string_agg(format('%L, CASE %s END', t.tag, t.branches), ', ' ORDER BY t.tag) INTO tags
      FROM (SELECT r.tag, string_agg(format('WHEN %s THEN %s', condition_sql(r.condition, operands),
                       CASE WHEN r.value_from IS NULL THEN quote_literal(r.value) ELSE 'v' || array_position(operands, r.value_from) END), ' ' ORDER BY r.place, r.key) AS branches
              FROM unnest(rules) AS r GROUP BY r.tag) AS t;
    RETURN format($q$
        SELECT c.cost_id, c.window_id, c.source, c.billing_account, c.cost_center, c.billing_period, c.charge_start, c.charge_end, c.category, c.service, c.provider, c.sub_account, c.resource,
               c.currency, c.billed, c.effective, c.list, c.contracted, jsonb_strip_nulls(jsonb_build_object(%s)) || c.tags AS tags, c.attributes, c.tag_set_id
          FROM billing.cost_rows($1, $2) AS c CROSS JOIN LATERAL (SELECT %s) AS o $q$, tags,
        coalesce((SELECT string_agg(format('%s AS v%s', operand_sql(o.operand), o.place), ', ' ORDER BY o.place) FROM unnest(operands) WITH ORDINALITY AS o (operand, place)), '1'));
END $$;
COMMENT ON FUNCTION billing.tagged_cost_sql(billing.auto_tag_rule[], timestamptz) IS
'SQL of cost_rows($1, $2) with the tags of the auto-tag rules too; more_rules: rules to add or to put in place of those with the same key, for a preview; known_at: the auto-tag rules as known then, null = as they are. Stable.';

CREATE FUNCTION billing.normal_operand(operand text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT CASE WHEN operand LIKE 'tag:_%' THEN 'tag:' || normal_tag_key(substr(operand, 5)) ELSE operand END $$;
COMMENT ON FUNCTION billing.normal_operand(text) IS 'An operand (column:NAME or tag:NAME) with the key of its tag as normal_tag_key() writes it. Stable.';

CREATE FUNCTION billing.normal_condition(condition jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    RETURN CASE jsonb_typeof(condition)
        WHEN 'array' THEN (SELECT coalesce(jsonb_agg(normal_condition(e.part) ORDER BY e.place), '[]') FROM jsonb_array_elements(condition) WITH ORDINALITY AS e (part, place))
        WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(e.word, CASE WHEN e.word = 'tag' THEN to_jsonb(normal_tag_key(e.part #>> '{}')) WHEN e.word IN ('and', 'or', 'not') THEN normal_condition(e.part) ELSE e.part END), '{}') FROM jsonb_each(condition) AS e (word, part))
        ELSE condition END;
END $$;
COMMENT ON FUNCTION billing.normal_condition(jsonb) IS 'A condition with the keys of its tags as normal_tag_key() writes them, so that {"tag": "Business Unit", …} looks at the tag business_unit. Stable.';

CREATE FUNCTION billing.auto_tag_rule_of(key text, tag text, condition jsonb, value text, value_from text, place int) RETURNS billing.auto_tag_rule
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    rule auto_tag_rule;
BEGIN
    PERFORM check_key('an auto-tag rule', auto_tag_rule_of.key);
    PERFORM check_key('a tag', auto_tag_rule_of.tag);
    PERFORM condition_sql(auto_tag_rule_of.condition, '{}');
    IF num_nonnulls(auto_tag_rule_of.value, auto_tag_rule_of.value_from) <> 1 OR auto_tag_rule_of.value_from !~ '^(column|tag):.' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'an auto-tag rule needs either a value or value_from',
            HINT = 'value_from is column:NAME or tag:NAME; column:CostCenter is the cost center of the billing account.';
    END IF;
    rule.key := auto_tag_rule_of.key;  rule.tag := normal_tag_key(auto_tag_rule_of.tag);  rule.condition := normal_condition(auto_tag_rule_of.condition);
    rule.value := auto_tag_rule_of.value;  rule.value_from := normal_operand(auto_tag_rule_of.value_from);  rule.place := coalesce(auto_tag_rule_of.place, 100);
    RETURN rule;
END $$;
COMMENT ON FUNCTION billing.auto_tag_rule_of(text, text, jsonb, text, text, int) IS 'An auto-tag rule that was checked. Errors: 22023, 2201B. Stable.';

CREATE FUNCTION billing.set_auto_tag_rule(key text, tag text, condition jsonb DEFAULT '{}', value text DEFAULT NULL, value_from text DEFAULT NULL, place int DEFAULT 100) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    rule  auto_tag_rule;
    stamp timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM billing.lock_until_commit(1651076212, 1);
    stamp := stamp_after((SELECT max(lower(r.known)) FROM auto_tag_rule AS r WHERE r.key = set_auto_tag_rule.key));
    UPDATE auto_tag_rule AS r SET known = tstzrange(lower(r.known), stamp) WHERE r.key = set_auto_tag_rule.key AND upper_inf(r.known);
    IF set_auto_tag_rule.tag IS NOT NULL THEN
        rule := auto_tag_rule_of(set_auto_tag_rule.key, set_auto_tag_rule.tag, set_auto_tag_rule.condition, set_auto_tag_rule.value, set_auto_tag_rule.value_from, set_auto_tag_rule.place);
        INSERT INTO auto_tag_rule (key, place, tag, value, value_from, condition, known)
            VALUES (rule.key, rule.place, rule.tag, rule.value, rule.value_from, rule.condition, tstzrange(stamp, NULL));
    END IF;
END $$;
COMMENT ON FUNCTION billing.set_auto_tag_rule(text, text, jsonb, text, text, int) IS
'Sets the auto-tag rule with that key: cost rows that the condition holds for get the tag, unless the provider or a person gave it one. value: the tag''s value, or value_from: column:NAME or tag:NAME whose value it takes (column:CostCenter inherits from the billing account, tag:created_by names the creator). place: order among rules. tag null takes the rule away. See preview_auto_tags(). Errors: 22023, 2201B a wrong condition. Volatile.';

CREATE FUNCTION billing.preview_auto_tags(period daterange, key text, tag text, condition jsonb DEFAULT '{}', value text DEFAULT NULL, value_from text DEFAULT NULL, place int DEFAULT 100)
    RETURNS TABLE (present text, becomes text, rows bigint, billed numeric, currency text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    rule auto_tag_rule := auto_tag_rule_of(preview_auto_tags.key, preview_auto_tags.tag, preview_auto_tags.condition, preview_auto_tags.value, preview_auto_tags.value_from, preview_auto_tags.place);
BEGIN
    RETURN QUERY EXECUTE format('SELECT b.tags ->> $3, a.tags ->> $3, count(*), sum(a.billed), a.currency FROM (%s) AS b JOIN (%s) AS a USING (cost_id)
                                  WHERE b.tags ->> $3 IS DISTINCT FROM a.tags ->> $3 GROUP BY 1, 2, 5 ORDER BY 3 DESC, 1, 2', tagged_cost_sql(), tagged_cost_sql(ARRAY[rule]))
        USING preview_auto_tags.period, clock_timestamp() + interval '1 day', rule.tag;
END $$;
COMMENT ON FUNCTION billing.preview_auto_tags(daterange, text, text, jsonb, text, text, int) IS
'What set_auto_tag_rule() with the same arguments would change in a period, without changing it: value at present, value with the rule, how many rows and how much cost. Errors: as set_auto_tag_rule(). Stable.';

CREATE FUNCTION billing.set_required_tags(VARIADIC tags text[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    DELETE FROM required_tag AS r WHERE r.tag <> ALL (ARRAY(SELECT normal_tag_key(t) FROM unnest(tags) AS t));
    INSERT INTO required_tag (tag) SELECT DISTINCT normal_tag_key(t) FROM unnest(tags) AS t ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION billing.set_required_tags(text[]) IS 'Says which tags every cost row with a resource should carry; at first project, department, owner and environment. Volatile.';

CREATE FUNCTION billing.tag_compliance(period daterange)
    RETURNS TABLE (billing_account text, cost_center text, sub_account text, month date, tag text, currency text, rows bigint, tagged_rows bigint, billed numeric, tagged_billed numeric, percent_of_rows numeric)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
    tags CONSTANT text[] := ARRAY(SELECT r.tag FROM required_tag AS r ORDER BY r.tag COLLATE "C");
BEGIN
    -- every row is read once, not once a tag
    RETURN QUERY EXECUTE format($q$
        SELECT g.billing_account, g.cost_center, g.sub_account, lower(g.billing_period), r.tag, g.currency, g.rows, g.tagged_rows[r.place], g.billed, coalesce(g.tagged_billed[r.place], 0), round(100.0 * g.tagged_rows[r.place] / g.rows, 2)
          FROM (SELECT c.billing_account, c.cost_center, c.sub_account, c.billing_period, c.currency, count(*) AS rows, sum(c.billed) AS billed, ARRAY[%s]::bigint[] AS tagged_rows, ARRAY[%s]::numeric[] AS tagged_billed
                  FROM (%s) AS c WHERE c.resource IS NOT NULL GROUP BY 1, 2, 3, 4, 5) AS g
         CROSS JOIN unnest($3) WITH ORDINALITY AS r (tag, place)
         ORDER BY 1, 3, 4, 5, 6 $q$,
        (SELECT string_agg(format('count(*) FILTER (WHERE c.tags ->> %L <> '''')', t), ', ' ORDER BY t COLLATE "C") FROM unnest(tags) AS t),
        (SELECT string_agg(format('sum(c.billed) FILTER (WHERE c.tags ->> %L <> '''')', t), ', ' ORDER BY t COLLATE "C") FROM unnest(tags) AS t), tagged_cost_sql())
        USING tag_compliance.period, clock_timestamp() + interval '1 day', tags;
END $$;
COMMENT ON FUNCTION billing.tag_compliance(daterange) IS
'How well cost rows with a resource carry the required tags, by billing account and the cost center (team) that answers for it, sub-account, month (the trend) and tag: rows, rows that carry it with a value, the cost of both, and the share of rows in percent. Stable.';
