-- Rules as CloudKitty's hashmap has them, kept as rows: who set which cost for which value, when it holds, who ended or deleted it.
--
-- A rule belongs to a price list and a service, which is the key of a meter.  apply_rating_rules() makes prices of them, one tariff of
-- the model hashmap for each span in which the same rules hold; quote() asks them directly.

CREATE TABLE billing.rating_rule (
    rule_id     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    list_id     int     NOT NULL REFERENCES billing.price_list,
    service     text    NOT NULL CHECK (service <> ''),
    field       text    NOT NULL DEFAULT '',
    rule_group  text    NOT NULL DEFAULT '',
    tenant      text    NOT NULL DEFAULT '',
    value       text,
    level       numeric,
    type        text    NOT NULL CHECK (type IN ('flat', 'rate')),
    cost        numeric NOT NULL,
    valid       tsrange NOT NULL CHECK (NOT isempty(valid)),
    name        text    NOT NULL DEFAULT '' CHECK (length(name) <= 32),
    description text    NOT NULL DEFAULT '' CHECK (length(description) <= 256),
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by  text    NOT NULL DEFAULT session_user,
    updated_at  timestamptz,
    updated_by  text,
    deleted_at  timestamptz,
    deleted_by  text,
    CHECK (value IS NULL OR (field <> '' AND level IS NULL)),
    CHECK (value IS NOT NULL OR level IS NOT NULL OR field = ''),
    CONSTRAINT rating_rule_overlap EXCLUDE USING gist (list_id WITH =, service WITH =, field WITH =, rule_group WITH =, tenant WITH =, (coalesce(value, '')) WITH =,
        (coalesce(level, '-1')) WITH =, valid WITH &&) WHERE (deleted_at IS NULL)
);
COMMENT ON TABLE billing.rating_rule IS 'Rules of CloudKitty''s hashmap, never removed: of equal place and overlapping validity at most one is not deleted.';
COMMENT ON COLUMN billing.rating_rule.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN billing.rating_rule.service IS 'Key of the meter, CloudKitty''s metric.';
COMMENT ON COLUMN billing.rating_rule.field IS 'Dimension that is looked at; empty = the service itself.';
COMMENT ON COLUMN billing.rating_rule.rule_group IS 'Group of rules that are added and multiplied together; empty = none.';
COMMENT ON COLUMN billing.rating_rule.tenant IS 'Account (dimension tenant_id) for which it stands in for the general rule; empty = all.';
COMMENT ON COLUMN billing.rating_rule.value IS 'Mapping of a field: the value, compared as text.';
COMMENT ON COLUMN billing.rating_rule.level IS 'Threshold: from which quantity, or number in the field, it holds; null = a mapping.';
COMMENT ON COLUMN billing.rating_rule.type IS 'flat: the cost is added; rate: it multiplies.';
COMMENT ON COLUMN billing.rating_rule.cost IS 'Cost a unit in the currency of the list, or the factor of a rate.';
COMMENT ON COLUMN billing.rating_rule.valid IS 'When it holds, in the local time of each buyer.';
COMMENT ON COLUMN billing.rating_rule.name IS 'What people call it.';
COMMENT ON COLUMN billing.rating_rule.description IS 'Why it is there.';
COMMENT ON COLUMN billing.rating_rule.created_at IS 'When it was set.';
COMMENT ON COLUMN billing.rating_rule.created_by IS 'Who set it.';
COMMENT ON COLUMN billing.rating_rule.updated_at IS 'When its end was changed last; null = never.';
COMMENT ON COLUMN billing.rating_rule.updated_by IS 'Who changed its end.';
COMMENT ON COLUMN billing.rating_rule.deleted_at IS 'When it was deleted; null = it is not.';
COMMENT ON COLUMN billing.rating_rule.deleted_by IS 'Who deleted it.';

CREATE FUNCTION billing.check_rule_start(at timestamp, force boolean, what text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF at < now() AT TIME ZONE 'UTC' - interval '1 second' AND force IS NOT TRUE THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('%s %s lies in the past', what, at),
            HINT = 'What was rated since would be rated otherwise now. If that is meant, say force => true.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_rule_start(timestamp, boolean, text) IS 'Raises 55000 for a time (UTC) in the past unless it is forced. Stable.';

CREATE FUNCTION billing.set_rating_rule(
    service text, cost numeric, type text DEFAULT 'flat', field text DEFAULT NULL, value text DEFAULT NULL, level numeric DEFAULT NULL, rule_group text DEFAULT NULL,
    tenant text DEFAULT NULL, valid_from timestamp DEFAULT NULL, valid_to timestamp DEFAULT NULL, price_list text DEFAULT 'default', seller text DEFAULT NULL,
    name text DEFAULT NULL, description text DEFAULT NULL, force boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    begins   timestamp := coalesce(set_rating_rule.valid_from, now() AT TIME ZONE 'UTC');
    span     tsrange := local_span(begins, set_rating_rule.valid_to);
    wrong    text := CASE
        WHEN coalesce(set_rating_rule.service, '') = '' THEN 'a rule needs a service'
        WHEN set_rating_rule.cost IS NULL OR set_rating_rule.cost IN ('NaN', 'Infinity', '-Infinity') THEN 'a rule needs a cost'
        WHEN set_rating_rule.type IS NULL THEN 'a rule needs a type'
        WHEN set_rating_rule.value IS NOT NULL AND set_rating_rule.level IS NOT NULL THEN 'a rule has a value (mapping) or a level (threshold), not both'
        WHEN set_rating_rule.value IS NOT NULL AND coalesce(set_rating_rule.field, '') = '' THEN 'the mapping of a service has no value; name the field'
        WHEN set_rating_rule.field <> '' AND set_rating_rule.value IS NULL AND set_rating_rule.level IS NULL THEN 'the rule of a field needs a value or a level'
        WHEN set_rating_rule.level < 0 OR set_rating_rule.level IN ('NaN', 'Infinity') THEN format('level must be 0 or more, not %s', set_rating_rule.level)
        WHEN length(set_rating_rule.name) > 32 THEN 'name is longer than 32 characters'
        WHEN length(set_rating_rule.description) > 256 THEN 'description is longer than 256 characters' END;
    this_rule bigint;
    other     rating_rule;
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('type', set_rating_rule.type, '{flat,rate}');
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = wrong;
    END IF;
    PERFORM check_rule_start(begins, set_rating_rule.force, 'valid_from');
    BEGIN
        INSERT INTO rating_rule (list_id, service, field, rule_group, tenant, value, level, type, cost, valid, name, description)
        VALUES (find_price_list(find_seller(set_rating_rule.seller), set_rating_rule.price_list), set_rating_rule.service, coalesce(set_rating_rule.field, ''), coalesce(set_rating_rule.rule_group, ''),
                coalesce(set_rating_rule.tenant, ''), set_rating_rule.value, set_rating_rule.level, set_rating_rule.type, set_rating_rule.cost, span, coalesce(set_rating_rule.name, ''), coalesce(set_rating_rule.description, ''))
        RETURNING rule_id INTO this_rule;
    EXCEPTION WHEN exclusion_violation THEN
        SELECT r.* INTO other FROM rating_rule AS r
         WHERE r.deleted_at IS NULL AND r.service = set_rating_rule.service AND r.field = coalesce(set_rating_rule.field, '') AND r.rule_group = coalesce(set_rating_rule.rule_group, '')
           AND r.tenant = coalesce(set_rating_rule.tenant, '') AND (r.value, r.level) IS NOT DISTINCT FROM (set_rating_rule.value, set_rating_rule.level) AND r.valid && span
         LIMIT 1;
        RAISE exclusion_violation USING MESSAGE = format('rule %s of the same place holds from %s to %s', other.rule_id, coalesce(lower(other.valid)::text, 'ever'), coalesce(upper(other.valid)::text, 'ever')),
            HINT = format('End it with billing.end_rating_rule(%s, valid_to => …), or delete it.', other.rule_id);
    END;
    RETURN this_rule;
END $$;
COMMENT ON FUNCTION billing.set_rating_rule(text, numeric, text, text, text, numeric, text, text, timestamp, timestamp, text, text, text, text, boolean) IS
'Sets a rule of CloudKitty''s hashmap and returns its number. service: key of the meter. Mapping: of the service, or of a field (dimension) with a value; threshold: level of the quantity, or of a number in the field. type: flat (cost a unit) or rate (factor). rule_group: rules of one group go together. tenant: for this account alone. It holds from valid_from (null = now; local time of each buyer) to valid_to (null = without end). force: needed for a start in the past. Quotes follow it at once, charges when apply_rating_rules() is called. Errors: 22023 bad argument, 42704 unknown price list, 55000 a start in the past, 23P01 another rule of the same place holds then. Volatile.';

CREATE FUNCTION billing.end_rating_rule(rule bigint, valid_to timestamp, force boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this rating_rule;
BEGIN
    PERFORM check_ledger();
    SELECT r.* INTO this FROM rating_rule AS r WHERE r.rule_id = end_rating_rule.rule AND r.deleted_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('rating rule %s does not exist, or was deleted', coalesce(end_rating_rule.rule::text, 'null'));
    END IF;
    PERFORM check_rule_start(least(end_rating_rule.valid_to, upper(this.valid)), end_rating_rule.force, 'valid_to');
    UPDATE rating_rule AS r SET valid = local_span(lower(r.valid), end_rating_rule.valid_to), updated_at = clock_timestamp(), updated_by = session_user WHERE r.rule_id = this.rule_id;
EXCEPTION WHEN exclusion_violation THEN
    RAISE exclusion_violation USING MESSAGE = format('another rule of the same place holds before %s', coalesce(end_rating_rule.valid_to::text, 'ever'));
END $$;
COMMENT ON FUNCTION billing.end_rating_rule(bigint, timestamp, boolean) IS
'Gives a rule another end (local time of each buyer; null = without end): all that can change of it. force: needed where the former or the new end lies in the past. Errors: 42704 unknown or deleted rule, 22023 an end before its start, 55000 an end in the past, 23P01 another rule of the same place holds then. Volatile.';

CREATE FUNCTION billing.delete_rating_rule(rule bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    UPDATE rating_rule AS r SET deleted_at = clock_timestamp(), deleted_by = session_user WHERE r.rule_id = delete_rating_rule.rule AND r.deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('rating rule %s does not exist, or was deleted', coalesce(delete_rating_rule.rule::text, 'null'));
    END IF;
END $$;
COMMENT ON FUNCTION billing.delete_rating_rule(bigint) IS
'Deletes a rule: it holds no more, at no time, but stays in rating_rules with who deleted it and when. Errors: 42704 unknown or deleted rule. Volatile.';

CREATE VIEW billing.rating_rules AS
    SELECT r.rule_id, s.key AS seller, l.key AS price_list, r.service, r.field, r.rule_group, r.tenant, CASE WHEN r.level IS NULL THEN 'mapping' ELSE 'threshold' END AS kind, r.value, r.level, r.type, r.cost, l.currency,
           pg_catalog.lower(r.valid) AS valid_from, pg_catalog.upper(r.valid) AS valid_to, r.name, r.description, r.created_at, r.created_by, r.updated_at, r.updated_by, r.deleted_at, r.deleted_by
      FROM billing.rating_rule AS r
      JOIN billing.price_list AS l USING (list_id)
      JOIN billing.seller AS s USING (seller_id);
COMMENT ON VIEW billing.rating_rules IS 'Rules of CloudKitty''s hashmap with their history: who set, ended and deleted each.';
DO $comment$
DECLARE
    word record;
BEGIN
    FOR word IN SELECT * FROM (VALUES ('rule_id', 'Number of the rule.'), ('seller', 'Key of the seller.'), ('price_list', 'Key of the price list.'), ('service', 'Key of the meter.'), ('field', 'Dimension that is looked at; empty = the service itself.'),
        ('rule_group', 'Group of rules that go together; empty = none.'), ('tenant', 'Account for which it stands in for the general rule; empty = all.'), ('kind', 'mapping or threshold.'), ('value', 'Of a mapping: the value.'),
        ('level', 'Of a threshold: from where it holds.'), ('type', 'flat or rate.'), ('cost', 'Cost a unit, or the factor of a rate.'), ('currency', 'Currency of the price list.'), ('valid_from', 'First moment, in the local time of each buyer.'),
        ('valid_to', 'First moment that no longer belongs to it; null = without end.'), ('name', 'What people call it.'), ('description', 'Why it is there.'), ('created_at', 'When it was set.'), ('created_by', 'Who set it.'),
        ('updated_at', 'When its end was changed last.'), ('updated_by', 'Who changed its end.'), ('deleted_at', 'When it was deleted; null = it is not.'), ('deleted_by', 'Who deleted it.')) AS w(name, says)
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN billing.rating_rules.%I IS %L', word.name, word.says);
    END LOOP;
END $comment$;

CREATE FUNCTION billing.rules_tariff(list_id int, service text, at timestamp) RETURNS billing.tariff
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH rule AS (
        SELECT r.*, jsonb_strip_nulls(jsonb_build_object('field', NULLIF(r.field, ''), 'tenant', NULLIF(r.tenant, ''), 'type', r.type, 'cost', trim_scale(r.cost)::text,
                                                         'level', trim_scale(r.level)::text, 'value', r.value)) AS said
          FROM billing.rating_rule AS r WHERE r.list_id = $1 AND r.service = $2 AND r.valid @> $3 AND r.deleted_at IS NULL
    )
    SELECT jsonb_strip_nulls(jsonb_build_object('model', 'hashmap', 'dialect', 'cloudkitty', 'currency', l.currency, 'services', jsonb_build_array(jsonb_build_object('service', $2,
               'fields', (SELECT jsonb_agg(f.field ORDER BY f.first) FROM (SELECT r.field, min(r.rule_id) AS first FROM rule AS r WHERE r.field <> '' GROUP BY r.field) AS f),
               'groups', (SELECT jsonb_agg(jsonb_build_object('group', g.rule_group, 'mappings', g.mappings, 'thresholds', g.thresholds) ORDER BY g.rule_group COLLATE "C")
                            FROM (SELECT r.rule_group, jsonb_agg(r.said ORDER BY r.rule_id) FILTER (WHERE r.level IS NULL) AS mappings,
                                         jsonb_agg(r.said ORDER BY r.rule_id) FILTER (WHERE r.level IS NOT NULL) AS thresholds
                                    FROM rule AS r GROUP BY r.rule_group) AS g)))))::text::billing.tariff
      FROM billing.price_list AS l WHERE l.list_id = $1 AND EXISTS (SELECT FROM rule)
$$;
COMMENT ON FUNCTION billing.rules_tariff(int, text, timestamp) IS
'The rules of a service that hold at a local time, as a tariff of the model hashmap; null when there are none. Fields come in the order in which they were first named. Stable.';

CREATE FUNCTION billing.check_chain(item_id int, tariff billing.tariff) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    meter  record;
    beyond text := (SELECT min(k) FROM jsonb_object_keys(check_chain.tariff::text::jsonb) AS k WHERE k NOT IN ('model', 'currency', 'dialect', 'rounding', 'unit_price', 'services', 'window'));
BEGIN
    SELECT i.key, m.aggregation, m.prorated, m.carried_over INTO meter FROM item AS i JOIN meter_definition AS m USING (item_id) WHERE i.item_id = check_chain.item_id AND upper_inf(m.known);
    IF meter.aggregation NOT IN ('sum', 'count') OR meter.prorated IS NOT NULL OR meter.carried_over THEN
        RAISE feature_not_supported USING MESSAGE = format('usage of meter "%s" is no sum of its rows, which rating modules price one by one', meter.key),
            HINT = 'Modules go with meters of the aggregations sum and count, without proration.';
    ELSIF beyond IS NOT NULL THEN
        RAISE feature_not_supported USING MESSAGE = format('the price of meter "%s" depends on more than one usage row (%s), but rating modules price rows one by one', meter.key, beyond),
            HINT = 'Give the meter rules, or a price of the model per_unit without anything else.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_chain(int, billing.tariff) IS 'Raises 0A000 if the meter does not add its rows up, or the tariff says more than a price of each row. Stable.';

-- Where something is to be said of a service, cut where rules or modules change.
CREATE FUNCTION billing.rule_spans(list_id int, item_id int, service text, OUT from_at timestamp, OUT to_at timestamp, OUT tariff billing.tariff) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH rule AS (
        SELECT r.valid FROM billing.rating_rule AS r WHERE r.list_id = $1 AND r.service = $3
    ), said AS (   -- with rules: from the first on; without: where it has a price
        SELECT tsrange(NULLIF(min(coalesce(lower(r.valid), '-infinity')), '-infinity'), NULL) AS valid, NULL::billing.tariff AS tariff FROM rule AS r HAVING count(*) > 0
         UNION ALL
        SELECT p.valid, p.tariff FROM billing.price AS p
         WHERE p.list_id = $1 AND p.item_id = $2 AND p.account_id = 0 AND upper_inf(p.known) AND NOT EXISTS (SELECT FROM rule)
    ), border AS (
        SELECT s.valid, s.tariff, coalesce(lower(s.valid), '-infinity') AS at FROM said AS s
         UNION
        SELECT s.valid, s.tariff, b.at
          FROM said AS s
          JOIN (SELECT lower(x.valid) AS at FROM (SELECT r.valid FROM rule AS r UNION ALL SELECT m.valid FROM billing.rating_module AS m WHERE upper_inf(m.known)) AS x
                 UNION SELECT upper(x.valid) FROM (SELECT r.valid FROM rule AS r UNION ALL SELECT m.valid FROM billing.rating_module AS m WHERE upper_inf(m.known)) AS x) AS b ON s.valid @> b.at
         WHERE NOT (b.at IS NULL OR lower(s.valid) = b.at)
    )
    SELECT b.at, lead(b.at, 1, upper(b.valid)) OVER (PARTITION BY b.valid ORDER BY b.at), coalesce(b.tariff, billing.rules_tariff($1, $3, b.at)) FROM border AS b ORDER BY b.at
$$;
COMMENT ON FUNCTION billing.rule_spans(int, int, text) IS
'The spans in which the same rules, or the same price, and the same chain of modules hold for a service, with their tariff; null = no rule holds. Stable.';

CREATE FUNCTION billing.apply_rating_rules(service text, price_list text DEFAULT 'default', seller text DEFAULT NULL, applies_to text DEFAULT NULL, each_row boolean DEFAULT false) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_list int := find_price_list(find_seller(apply_rating_rules.seller), apply_rating_rules.price_list);
    this_item int := find_item(apply_rating_rules.service, 'meter');
    span   record;
    holds  billing.tariff;
    chain  jsonb;
    priced int := 0;
BEGIN
    PERFORM check_ledger();
    PERFORM FROM item AS i WHERE i.item_id = this_item FOR NO KEY UPDATE;    -- rules that another session is applying are read after it
    FOR span IN SELECT s.* FROM rule_spans(this_list, this_item, apply_rating_rules.service) AS s LOOP
        chain := rating_chain(span.from_at);
        IF apply_rating_rules.each_row IS NOT TRUE AND chain = '[{"module": "hashmap"}]' THEN
            chain := NULL;    -- what rows add up to is rated at once
        END IF;
        holds := span.tariff;
        IF holds IS NULL AND jsonb_path_exists(chain, '$[*].routine') THEN
            holds := jsonb_build_object('model', 'per_unit', 'currency', quote_currency(apply_rating_rules.price_list, apply_rating_rules.seller), 'unit_price', '0')::text;
        END IF;
        IF holds IS NULL THEN
            PERFORM remove_price(apply_rating_rules.service, span.from_at, span.to_at, apply_rating_rules.price_list, apply_rating_rules.seller, kind => 'meter', applies_to => apply_rating_rules.applies_to);
            CONTINUE;
        ELSIF chain IS NOT NULL THEN
            PERFORM check_chain(this_item, holds);
            PERFORM check_routine(m ->> 'routine', m ->> 'module') FROM jsonb_array_elements(chain) AS m WHERE m ? 'routine';
        END IF;
        PERFORM write_price(apply_rating_rules.service, holds, chain, span.from_at, span.to_at, apply_rating_rules.price_list, apply_rating_rules.seller, NULL, NULL, 'meter', apply_rating_rules.applies_to);
        priced := priced + 1;
    END LOOP;
    RETURN priced;
END $$;
COMMENT ON FUNCTION billing.apply_rating_rules(text, text, text, text, boolean) IS
'Makes the rules of a service and the chain of rating modules the price of its meter in a price list: one price for each span in which the same rules and modules hold, none where nothing does; returns the number of prices. A meter without rules keeps its prices, and the chain goes with them. From then on charges follow: with a function among the modules, or each_row, each usage row is priced by itself as quote() prices it; otherwise what rows add up to. Call it after changing rules or modules. Arguments and errors as set_price(); applies_to is needed when closed charge periods are touched; 0A000 where modules cannot price single rows: the meter does not add up, or its price depends on more than one row; 22023 where the function of a module is gone or can be one no longer. Volatile.';
