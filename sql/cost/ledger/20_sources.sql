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

CREATE FUNCTION billing.center_span(source_id int, billing_account text, valid_from date, valid_to date) RETURNS daterange
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF valid_from IS NULL AND valid_to IS NULL THEN
        valid_from := (SELECT max(upper(w.period)) FROM cost_window AS w
                        WHERE w.source_id = center_span.source_id AND w.billing_account = center_span.billing_account AND EXISTS (SELECT FROM allocation AS a WHERE a.period @> lower(w.period)));
    END IF;
    RETURN check_dates(valid_from, valid_to);
END $$;
COMMENT ON FUNCTION billing.center_span(int, text, date, date) IS
'First days of the billing periods for which another cost center is to answer for a billing account: from valid_from to valid_to; without both, from the end of the last period of it that was divided. Used by set_billing_account(). Stable.';

CREATE FUNCTION billing.set_billing_account(source text, billing_account text, kind text, cost_center text, name text DEFAULT NULL, valid_from date DEFAULT NULL, valid_to date DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_source int := find_cost_source(set_billing_account.source);
    center    bigint := find_cost_center(set_billing_account.kind, set_billing_account.cost_center);
    span      daterange;
    stamp     timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a billing account', set_billing_account.billing_account);
    INSERT INTO billing_account AS b (source_id, billing_account, name) VALUES (of_source, set_billing_account.billing_account, NULLIF(set_billing_account.name, ''))
        ON CONFLICT ON CONSTRAINT billing_account_pkey DO UPDATE SET name = NULLIF(coalesce(set_billing_account.name, b.name), ''), recorded_at = recorded_at(), recorded_by = session_user
        WHERE b.name IS DISTINCT FROM NULLIF(coalesce(set_billing_account.name, b.name), '');
    PERFORM FROM billing_account AS b WHERE b.source_id = of_source AND b.billing_account = set_billing_account.billing_account FOR NO KEY UPDATE;    -- one change of it at a time
    span := center_span(of_source, set_billing_account.billing_account, valid_from, valid_to);
    IF (SELECT range_agg(c.valid) @> span FROM billing_account_center AS c
         WHERE c.source_id = of_source AND c.billing_account = set_billing_account.billing_account AND c.cost_center_id = center AND upper_inf(c.known)) THEN
        RETURN;
    ELSIF valid_from IS NULL AND NOT lower_inf(span) THEN
        RAISE NOTICE USING MESSAGE = format('%s "%s" answers for billing account "%s" from %s on', kind, cost_center, set_billing_account.billing_account, to_char(lower(span)::timestamp, 'YYYY-MM-DD')),
            DETAIL = 'Earlier billing periods were divided already and keep their cost center.', HINT = 'Name valid_from to change them too.';
    END IF;
    stamp := stamp_after((SELECT max(lower(c.known)) FROM billing_account_center AS c WHERE c.source_id = of_source AND c.billing_account = set_billing_account.billing_account));
    WITH closed AS (
        UPDATE billing_account_center AS c SET known = tstzrange(lower(c.known), stamp)
         WHERE c.source_id = of_source AND c.billing_account = set_billing_account.billing_account AND c.valid && span AND upper_inf(c.known) RETURNING c.*)
    INSERT INTO billing_account_center (source_id, billing_account, cost_center_id, valid, known)
    SELECT c.source_id, c.billing_account, c.cost_center_id, rest, tstzrange(stamp, NULL) FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest
    UNION ALL
    SELECT of_source, set_billing_account.billing_account, center, span, tstzrange(stamp, NULL);
END $$;
COMMENT ON FUNCTION billing.set_billing_account(text, text, text, text, text, date, date) IS
'Says which cost center (kind project, department, …, and its key) answers for a billing account of a source, in billing periods that begin from valid_from to valid_to (half-open; null = without border); import_focus() refuses periods for which nobody answers. Without dates another cost center answers from the end of the last period that was divided (a notice says so): what was divided keeps its own, in later runs too. billing_account: BillingAccountId as the provider writes it. name: null keeps, empty clears. Errors: 22023 empty key or span, 42704 unknown source or cost center. Volatile.';

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
                    FROM jsonb_each_text(normal_tags.delivered) AS t WHERE t.value IS NOT NULL ORDER BY billing.normal_tag_key(t.key), t.key COLLATE "C") AS f $$;
COMMENT ON FUNCTION billing.normal_tags(jsonb) IS 'Tags under their normalised keys, without those that are null; of two that become one the first in byte order holds. Stable.';

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
    LOCK TABLE tag_set IN SHARE ROW EXCLUSIVE MODE;    -- imports read the rules as they write tag sets
    WITH changed AS (SELECT s.tag_set_id, s.tags, n.tags AS becomes, (SELECT max(upper(f.known)) FROM tag_set_former AS f WHERE f.tag_set_id = s.tag_set_id) AS since
                       FROM tag_set AS s CROSS JOIN LATERAL (SELECT normal_tags(s.delivered) AS tags) AS n WHERE s.tags <> n.tags),
         stamped AS (SELECT stamp_after((SELECT max(c.since) FROM changed AS c)) AS at),
         former AS (INSERT INTO tag_set_former (tag_set_id, tags, known) SELECT c.tag_set_id, c.tags, tstzrange(c.since, t.at) FROM changed AS c, stamped AS t WHERE c.since IS DISTINCT FROM t.at)
    UPDATE tag_set AS s SET tags = c.becomes FROM changed AS c WHERE c.tag_set_id = s.tag_set_id;
END $$;
COMMENT ON FUNCTION billing.set_tag_key_rule(int, text, text) IS
'Sets the rule at that place of the order in which keys of tags are made alike, and applies all rules to every tag set at once; what was divided before can still be read as it was, and a closed period gets a difference where the change moves cost. pattern: regular expression on the key in lower case, null or empty takes the rule away; replacement: what comes in its place. Errors: 2201B regular expression that is wrong, too long or has back-references. Volatile.';
