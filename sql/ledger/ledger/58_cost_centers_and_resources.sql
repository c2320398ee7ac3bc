-- Cost centers, resources and tags.

CREATE FUNCTION billing.find_cost_center(kind text, key text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_center bigint := (SELECT c.cost_center_id FROM cost_center AS c WHERE c.kind = find_cost_center.kind AND c.key = find_cost_center.key);
BEGIN
    IF this_center IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('there is no %s "%s" among the cost centers', find_cost_center.kind, find_cost_center.key),
            HINT = 'Make it with billing.set_cost_center().';
    END IF;
    RETURN this_center;
END $$;
COMMENT ON FUNCTION billing.find_cost_center(text, text) IS 'Number of the cost center of that kind and key. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.check_cost_center_tree(cost_center_id bigint, parent_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF EXISTS (
        WITH RECURSIVE above (cost_center_id, parent_id) AS (
            SELECT c.cost_center_id, c.parent_id FROM cost_center AS c WHERE c.cost_center_id = check_cost_center_tree.parent_id
             UNION
            SELECT c.cost_center_id, c.parent_id FROM above AS a JOIN cost_center AS c ON c.cost_center_id = a.parent_id)
        SELECT FROM above AS a WHERE a.cost_center_id = check_cost_center_tree.cost_center_id)
    THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('cost center "%s" cannot be the parent of "%s", which is above it or the same',
                (SELECT c.key FROM cost_center AS c WHERE c.cost_center_id = check_cost_center_tree.parent_id),
                (SELECT c.key FROM cost_center AS c WHERE c.cost_center_id = check_cost_center_tree.cost_center_id));
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_cost_center_tree(bigint, bigint) IS 'Raises 22023 if the cost center is the parent itself or above it. Stable.';

CREATE FUNCTION billing.set_cost_center(kind text, key text, name text DEFAULT NULL, parent text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    former    cost_center;
    wanted    cost_center;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a kind of cost centers', set_cost_center.kind);
    PERFORM check_key('a cost center', set_cost_center.key);
    PERFORM billing.lock_until_commit(1651076210, 3);    -- one change of the tree at a time
    INSERT INTO cost_center (kind, key) VALUES (set_cost_center.kind, set_cost_center.key) ON CONFLICT DO NOTHING;
    SELECT c.* INTO former FROM cost_center AS c WHERE c.kind = set_cost_center.kind AND c.key = set_cost_center.key;
    wanted := former;
    wanted.name := NULLIF(coalesce(set_cost_center.name, former.name), '');
    wanted.parent_id := CASE WHEN set_cost_center.parent IS NULL THEN former.parent_id
                             WHEN set_cost_center.parent <> '' THEN find_cost_center(set_cost_center.kind, set_cost_center.parent) END;
    IF wanted IS DISTINCT FROM former THEN
        PERFORM check_cost_center_tree(former.cost_center_id, wanted.parent_id);
        UPDATE cost_center AS c SET name = wanted.name, parent_id = wanted.parent_id, recorded_at = recorded_at(), recorded_by = session_user
         WHERE c.cost_center_id = former.cost_center_id;
    END IF;
    RETURN former.cost_center_id;
END $$;
COMMENT ON FUNCTION billing.set_cost_center(text, text, text, text) IS
'Makes or changes the cost center of a kind (department, project, …) with that key and returns its number. name: what people call it. parent: key of the one above, of the same kind. Null keeps, empty clears. Errors: 22023 bad argument or a cycle, 42704 unknown parent. Volatile.';

CREATE FUNCTION billing.set_resource(account text, key text, kind text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    owner_id bigint := find_account(set_resource.account);
    former   resource;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a resource', set_resource.key);
    INSERT INTO resource (account_id, key, kind) VALUES (owner_id, set_resource.key, NULLIF(set_resource.kind, '')) ON CONFLICT DO NOTHING;
    SELECT r.* INTO former FROM resource AS r WHERE r.account_id = owner_id AND r.key = set_resource.key;
    IF NULLIF(coalesce(set_resource.kind, former.kind), '') IS DISTINCT FROM former.kind THEN
        UPDATE resource AS r SET kind = NULLIF(set_resource.kind, '') WHERE r.account_id = owner_id AND r.resource_id = former.resource_id;
    END IF;
    RETURN former.resource_id;
END $$;
COMMENT ON FUNCTION billing.set_resource(text, text, text) IS
'Makes or changes the resource of an account with that key and returns its number; recording usage makes resources too. kind: what it is, in the user''s words. Null keeps, empty clears. Errors: 22023 empty key, 42704 unknown account. Volatile.';

CREATE FUNCTION billing.supersede_tags(account_id bigint, resource_id bigint, tag text, span tstzrange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((
        SELECT max(lower(t.known)) FROM resource_tag AS t
         WHERE t.account_id = supersede_tags.account_id AND t.resource_id = supersede_tags.resource_id
           AND t.tag = supersede_tags.tag AND t.valid && span AND upper_inf(t.known)));
BEGIN
    WITH closed AS (
        UPDATE resource_tag AS t SET known = tstzrange(lower(t.known), stamp)
         WHERE t.account_id = supersede_tags.account_id AND t.resource_id = supersede_tags.resource_id
           AND t.tag = supersede_tags.tag AND t.valid && span AND upper_inf(t.known)
        RETURNING t.*)
    INSERT INTO resource_tag (account_id, resource_id, tag, value, valid, known)
    SELECT c.account_id, c.resource_id, c.tag, c.value, rest, tstzrange(stamp, NULL)
      FROM closed AS c, unnest(tstzmultirange(c.valid) - tstzmultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.supersede_tags(bigint, bigint, text, tstzrange) IS
'Ends the belief in the values of a tag that overlap the span, writes again what of them lies outside it, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.set_tag(account_id bigint, resource_id bigint, tag text, value text, span tstzrange) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    same    tstzmultirange;
    present tstzmultirange;
    stamp   timestamptz;
BEGIN
    SELECT range_agg(t.valid) FILTER (WHERE t.value = set_tag.value), range_agg(t.valid * span) INTO same, present
      FROM resource_tag AS t
     WHERE t.account_id = set_tag.account_id AND t.resource_id = set_tag.resource_id AND t.tag = set_tag.tag
       AND t.valid && span AND upper_inf(t.known);
    IF same @> span OR set_tag.value IS NULL AND present IS NULL THEN
        RETURN false;
    END IF;
    stamp := supersede_tags(set_tag.account_id, set_tag.resource_id, set_tag.tag, span);
    IF set_tag.value IS NOT NULL THEN
        INSERT INTO resource_tag (account_id, resource_id, tag, value, valid, known)
            VALUES (set_tag.account_id, set_tag.resource_id, set_tag.tag, set_tag.value, span, tstzrange(stamp, NULL));
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_tag(bigint, bigint, text, text, tstzrange) IS
'Gives a tag of a resource that value during the span, null takes it away; returns whether that was new. Used by set_tags(). Volatile.';

CREATE FUNCTION billing.set_tags(account text, resource text, tags jsonb, valid_from timestamp DEFAULT NULL, valid_to timestamp DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    owner_id      bigint := find_account(set_tags.account);
    local         tsrange := local_span(set_tags.valid_from, set_tags.valid_to);
    zone          text;
    span          tstzrange;
    this_resource bigint;
    wrong         text;
BEGIN
    PERFORM check_ledger();
    PERFORM check_object('tags', set_tags.tags);
    SELECT t.key INTO wrong FROM jsonb_each(set_tags.tags) AS t WHERE t.key = '' OR octet_length(t.key) > 1000 OR jsonb_typeof(t.value) IN ('object', 'array') LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format('tag "%s" must have a name of at most 1000 bytes and one value, not %s', left(wrong, 64), left((set_tags.tags -> wrong)::text, 64));
    END IF;
    SELECT r.resource_id INTO this_resource FROM resource AS r WHERE r.account_id = owner_id AND r.key = set_tags.resource FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('account "%s" has no resource "%s"', set_tags.account, set_tags.resource),
            HINT = 'Make it with billing.set_resource().';
    END IF;
    zone := (account_setting_on(owner_id, coalesce(lower(local)::date, 'infinity'))).time_zone;
    span := tstzrange(lower(local) AT TIME ZONE zone, upper(local) AT TIME ZONE zone);
    RETURN coalesce(bool_or(set_tag(owner_id, this_resource, t.key, t.value, span)), false) FROM jsonb_each_text(set_tags.tags) AS t;
END $$;
COMMENT ON FUNCTION billing.set_tags(text, text, jsonb, timestamp, timestamp) IS
'Gives a resource of an account tags from valid_from to valid_to (half-open, local time of the account; null = without border): {"team": "search", "stage": null}, where null takes a tag away and tags not named stay. Returns whether that changed anything. Errors: 22023 bad argument, 42704 unknown account or resource, 40001 run the transaction again. Volatile.';
