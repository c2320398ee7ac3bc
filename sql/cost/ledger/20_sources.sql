-- Who delivers cost, and which cost center answers for each billing account.

CREATE FUNCTION billing.find_cost_source(key text) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    found_id int := (SELECT s.source_id FROM cost_source AS s WHERE s.key = find_cost_source.key);
BEGIN
    IF found_id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('cost source %s does not exist', coalesce('"' || find_cost_source.key || '"', 'null')),
            HINT = 'Make it with billing.set_cost_source().';
    END IF;
    RETURN found_id;
END $$;
COMMENT ON FUNCTION billing.find_cost_source(text) IS 'Number of the cost source with that key. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.set_cost_source(key text, provider text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a cost source', set_cost_source.key);
    INSERT INTO cost_source (key, provider) VALUES (set_cost_source.key, NULLIF(set_cost_source.provider, ''))
        ON CONFLICT ON CONSTRAINT cost_source_key_key DO UPDATE SET provider = NULLIF(set_cost_source.provider, '') WHERE set_cost_source.provider IS NOT NULL;
    RETURN find_cost_source(set_cost_source.key);
END $$;
COMMENT ON FUNCTION billing.set_cost_source(text, text) IS
'Makes or changes the cost source with that key and returns its number. provider: aws, azure, gcp, or any other word; null keeps, empty clears. Errors: 22023 empty key. Volatile.';

CREATE FUNCTION billing.set_billing_account(source text, billing_account text, kind text, cost_center text, name text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_source int := find_cost_source(set_billing_account.source);
    center    bigint := find_cost_center(set_billing_account.kind, set_billing_account.cost_center);
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a billing account', set_billing_account.billing_account);
    INSERT INTO billing_account AS b (source_id, billing_account, cost_center_id, name)
        VALUES (of_source, set_billing_account.billing_account, center, NULLIF(set_billing_account.name, ''))
        ON CONFLICT ON CONSTRAINT billing_account_pkey DO UPDATE SET cost_center_id = excluded.cost_center_id,
            name = NULLIF(coalesce(set_billing_account.name, b.name), ''), recorded_at = recorded_at(), recorded_by = session_user
        WHERE (b.cost_center_id, b.name) IS DISTINCT FROM (excluded.cost_center_id, NULLIF(coalesce(set_billing_account.name, b.name), ''));
END $$;
COMMENT ON FUNCTION billing.set_billing_account(text, text, text, text, text) IS
'Says which cost center (kind project, department, …, and its key) answers for a billing account of a source; import_focus() refuses billing accounts that have none. billing_account: BillingAccountId as the provider writes it. name: null keeps, empty clears. Errors: 22023 empty key, 42704 unknown source or cost center. Volatile.';

CREATE FUNCTION billing.normal_tag_key(key text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    normal text := lower(btrim(normal_tag_key.key));
    rule   tag_key_rule;
BEGIN
    FOR rule IN SELECT r.* FROM tag_key_rule AS r ORDER BY r.place LOOP
        normal := regexp_replace(normal, rule.pattern, rule.replacement, 'g');
    END LOOP;
    RETURN coalesce(NULLIF(normal, ''), normal_tag_key.key);
END $$;
COMMENT ON FUNCTION billing.normal_tag_key(text) IS
'Key of a tag as reports and rules write it: trimmed, in lower case, then changed by the rules of set_tag_key_rule(), which at first take the prefixes of providers away and turn blanks and hyphens into underscores. Stable.';

CREATE FUNCTION billing.normal_tags(delivered jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce(jsonb_object_agg(f.key, f.value), '{}')
            FROM (SELECT DISTINCT ON (billing.normal_tag_key(t.key)) billing.normal_tag_key(t.key) AS key, t.value
                    FROM jsonb_each_text(normal_tags.delivered) AS t ORDER BY billing.normal_tag_key(t.key), t.key COLLATE "C") AS f $$;
COMMENT ON FUNCTION billing.normal_tags(jsonb) IS 'Tags under their normalised keys; of two that become one the first in byte order holds. Stable.';

CREATE FUNCTION billing.set_tag_key_rule(place int, pattern text, replacement text DEFAULT '') RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    IF set_tag_key_rule.pattern IS NULL OR set_tag_key_rule.pattern = '' THEN
        DELETE FROM tag_key_rule AS r WHERE r.place = set_tag_key_rule.place;
    ELSE
        PERFORM billing.condition_sql(jsonb_build_object('tag', 'x', 'regex', set_tag_key_rule.pattern), '{}');
        INSERT INTO tag_key_rule (place, pattern, replacement) VALUES (set_tag_key_rule.place, set_tag_key_rule.pattern, coalesce(set_tag_key_rule.replacement, ''))
            ON CONFLICT ON CONSTRAINT tag_key_rule_pkey DO UPDATE SET pattern = excluded.pattern, replacement = excluded.replacement;
    END IF;
    UPDATE tag_set AS s SET tags = normal_tags(s.delivered) WHERE s.tags <> normal_tags(s.delivered);
END $$;
COMMENT ON FUNCTION billing.set_tag_key_rule(int, text, text) IS
'Sets the rule at that place of the order in which keys of tags are made alike, and applies all rules to every tag set at once. pattern: regular expression on the key in lower case, null or empty takes the rule away; replacement: what comes in its place. Errors: 2201B regular expression that is wrong, too long or has back-references. Volatile.';
