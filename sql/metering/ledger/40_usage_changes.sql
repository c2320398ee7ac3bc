-- Corrections of recorded usage, as new facts: the old place is named in usage_change, the new revision is a usage row of its own.

CREATE FUNCTION billing.current_usage(account_id bigint, key uuid,
                                      OUT revision smallint, OUT meter_id int, OUT starts_at timestamptz, OUT ends_at timestamptz, OUT quantity numeric,
                                      OUT resource_id bigint, OUT dimensions jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    month  date := (SELECT billing.usage_payload_month(k.payload) FROM usage_key AS k WHERE k.account_id = current_usage.account_id AND k.key = current_usage.key);
    first  timestamptz := month::timestamp AT TIME ZONE 'UTC';
    parts  record;
BEGIN
    -- A long fact was split at month borders: its parts lead back from the month in which it ends.
    LOOP
        SELECT min(u.revision) AS revision, min(u.meter_id) AS meter_id, min(starts_at(u.consumed)) AS starts_at, max(u.ends_at) AS ends_at,
               sum(billing.quantity(u.consumed)) AS quantity, min(u.resource_id) AS resource_id, (array_agg(u.dimensions))[1] AS dimensions
          INTO parts
          FROM usage AS u
         WHERE u.account_id = current_usage.account_id AND u.key = current_usage.key
           AND u.ends_at >= first AND u.ends_at < (month + interval '1 month') AT TIME ZONE 'UTC'
           AND NOT EXISTS (SELECT FROM usage_change AS c WHERE c.account_id = u.account_id AND c.key = u.key AND c.revision = u.revision);
        EXIT WHEN parts.starts_at IS NULL OR parts.starts_at > first OR parts.starts_at = parts.ends_at;
        IF parts.starts_at IS NOT DISTINCT FROM starts_at THEN
            EXIT;
        END IF;
        starts_at := parts.starts_at;
        first := (first AT TIME ZONE 'UTC' - interval '1 month') AT TIME ZONE 'UTC';
    END LOOP;
    revision := parts.revision;
    meter_id := parts.meter_id;
    starts_at := parts.starts_at;
    ends_at := parts.ends_at;
    quantity := parts.quantity;
    resource_id := parts.resource_id;
    dimensions := parts.dimensions;
END $$;
COMMENT ON FUNCTION billing.current_usage(bigint, uuid) IS
'The revision of recorded usage that counts now, put together from its parts if it was split at month borders; all null if there is none. Stable.';
REVOKE ALL ON FUNCTION billing.current_usage(bigint, uuid) FROM PUBLIC;

CREATE FUNCTION billing.ancestors(account_id bigint, known_at timestamptz, own_at timestamptz) RETURNS SETOF bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 5 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH RECURSIVE above AS (
        SELECT $1 AS account_id
        UNION
        SELECT s.parent_id
          FROM above AS b
         CROSS JOIN LATERAL (SELECT x.parent_id FROM billing.account_setting AS x
                              WHERE x.account_id = b.account_id AND billing.known(x.recorded_at, $2, $3) ORDER BY x.setting_no DESC LIMIT 1) AS s
         WHERE s.parent_id IS NOT NULL
    )
    SELECT b.account_id FROM above AS b WHERE b.account_id <> $1
$$;
COMMENT ON FUNCTION billing.ancestors(bigint, timestamptz, timestamptz) IS 'All accounts above an account in the tree, as known at a watermark. Stable.';
REVOKE ALL ON FUNCTION billing.ancestors(bigint, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.check_usage_unsealed(account_id bigint, from_at timestamptz, to_at timestamptz) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    sealed charge_period;
BEGIN
    WITH RECURSIVE above AS (   -- all who were ever above the account
        SELECT check_usage_unsealed.account_id AS account_id
        UNION
        SELECT s.parent_id FROM above AS b JOIN account_setting AS s USING (account_id) WHERE s.parent_id IS NOT NULL
    )
    SELECT p.* INTO sealed
      FROM above AS b
      JOIN agreement_term AS t ON t.consumer_id = b.account_id
      JOIN agreement AS a USING (agreement_id)
      JOIN charge_period AS p ON p.account_id = a.buyer_id AND p.ends_at >= from_at AND p.starts_at <= to_at AND p.sealed_at IS NOT NULL
       AND billing.clip(billing.usage_interval(from_at, to_at, 1), p.starts_at, p.ends_at) IS NOT NULL
     -- who is charged for a tree was charged for the accounts that were in it as the period was billed
     CROSS JOIN LATERAL (SELECT greatest(p.closed_known_at, max(x.advance_to)) AS known_at
                           FROM pin_advance AS x
                          WHERE x.account_id = p.account_id AND x.cause = 'plan' AND x.recorded_at < p.sealed_at AND x.valid @> tsrange(p.date_from, p.date_to)) AS pin
     WHERE b.account_id = check_usage_unsealed.account_id
        OR (t.with_descendants AND b.account_id IN (SELECT billing.ancestors(check_usage_unsealed.account_id, pin.known_at, p.closed_own_at)))
     LIMIT 1;
    IF FOUND THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the period from %s to %s is sealed', sealed.date_from, sealed.date_to),
            HINT = 'Settle it with billing.decide(): what a sealed period owes can still be changed by decisions.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_usage_unsealed(bigint, timestamptz, timestamptz) IS 'Raises 55000 when usage of an account in a span falls into a sealed period of one who is charged for it: by an agreement for the account, or for one that it was below when the period was billed. Stable.';
REVOKE ALL ON FUNCTION billing.check_usage_unsealed(bigint, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.change_usage(change_kind text, account text, id text, source text, to_account text, quantity numeric,
                                     starts_at timestamptz, ends_at timestamptz, resource text, dimensions jsonb, reason text) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    owner_id   bigint := billing.find_account(account);
    target_id  bigint := CASE change_kind WHEN 'move' THEN billing.find_account(to_account) WHEN 'correct' THEN billing.find_account(account) END;
    usage_id   uuid := billing.usage_key_of(id, source);
    old        record;
    new_part   usage_interval;
    stamp      timestamptz;
    load       int;
    resource_no bigint;
    next_revision smallint;
BEGIN
    PERFORM billing.check_ledger();
    IF dimensions IS NOT NULL AND billing.try_dimensions(dimensions::text) IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('dimensions %s are no JSON object of strings, numbers and booleans in at most 8192 bytes', left(dimensions::text, 64));
    ELSIF resource = '' OR octet_length(resource) > 1000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('resource "%s" must have 1 to 1000 bytes', left(resource, 64));
    END IF;
    old := billing.current_usage(owner_id, usage_id);
    IF old.revision IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('account "%s" has no usage with id "%s"%s that counts', account, id, CASE WHEN source <> '' THEN format(' of source "%s"', source) ELSE '' END),
            HINT = 'It was never recorded here, or it was voided or moved to another account, or its period is sealed.';
    END IF;
    IF change_kind = 'move' AND (billing.current_usage(target_id, usage_id)).revision IS NOT NULL THEN
        RAISE unique_violation USING MESSAGE = format('account "%s" has usage with id "%s" already', to_account, id),
            HINT = 'Void one of the two with billing.void_usage() and record it under another id.';
    END IF;
    PERFORM billing.check_usage_unsealed(owner_id, old.starts_at, old.ends_at);
    stamp := billing.recorded_at();
    BEGIN
        INSERT INTO usage_change (account_id, key, revision, meter_id, starts_at, ends_at, kind, successor_account_id, reason, recorded_at)
        VALUES (owner_id, usage_id, old.revision, old.meter_id, old.starts_at, old.ends_at, change_kind, target_id, reason, stamp);
    EXCEPTION WHEN unique_violation THEN
        RAISE serialization_failure USING MESSAGE = format('usage "%s" of account "%s" was changed by another session meanwhile', id, account),
            HINT = 'Look at it again and repeat the change if it is still right.';
    END;
    IF target_id IS NULL THEN
        RETURN old.revision;
    END IF;
    IF (quantity IS NOT NULL AND quantity IN ('NaN', 'Infinity', '-Infinity')) OR scale(trim_scale(quantity)) > 15 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('quantity %s is no number of at most 15 decimals', quantity);
    END IF;
    new_part := billing.usage_interval(coalesce(starts_at, CASE WHEN old.starts_at = old.ends_at THEN ends_at END, old.starts_at),
                                       coalesce(ends_at, CASE WHEN old.starts_at = old.ends_at THEN starts_at END, old.ends_at), coalesce(quantity, old.quantity));
    IF old.starts_at = old.ends_at AND billing.starts_at(new_part) < billing.ends_at(new_part) AND NOT billing.meter_takes(old.meter_id, 'interval') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = (SELECT billing.no_interval(i.key) FROM item AS i WHERE i.item_id = old.meter_id),
            HINT = 'Correct the instant (ends_at), and record where it ends as another fact.';
    END IF;
    PERFORM billing.check_usage_unsealed(target_id, billing.starts_at(new_part), billing.ends_at(new_part));
    resource_no := billing.changed_resource(owner_id, target_id, old.resource_id, resource, stamp);
    load := billing.usage_load_of_day(change_kind || '_usage', stamp);
    IF target_id <> owner_id THEN
        INSERT INTO usage_key (account_id, key, payload)
        SELECT target_id, usage_id, billing.usage_payload_moved(k.payload, new_part) FROM usage_key AS k WHERE k.account_id = owner_id AND k.key = usage_id
            ON CONFLICT DO NOTHING;   -- it was there before and comes back
    END IF;
    UPDATE usage_key AS k SET payload = billing.usage_payload_moved(k.payload, new_part)
     WHERE k.account_id = target_id AND k.key = usage_id AND k.payload <> billing.usage_payload_moved(k.payload, new_part);
    next_revision := 1 + greatest(old.revision, (SELECT max(c.revision) FROM usage_change AS c WHERE c.account_id = target_id AND c.key = usage_id));
    INSERT INTO usage (account_id, ends_at, consumed, recorded_at, key, meter_id, load_id, revision, resource_id, dimensions)
    SELECT target_id, billing.ends_at(p.part), p.part, stamp, usage_id, old.meter_id, load, next_revision, resource_no, NULLIF(coalesce(dimensions, old.dimensions), '{}')
      FROM (SELECT new_part AS part WHERE billing.ends_at(new_part) - billing.starts_at(new_part) <= '31 days'
            UNION ALL
            SELECT billing.split(new_part, 'month', 'UTC') WHERE billing.ends_at(new_part) - billing.starts_at(new_part) > '31 days') AS p;
    PERFORM billing.note_longest_usage(least(billing.ends_at(new_part) - billing.starts_at(new_part), '31 days'));
    RETURN next_revision;
END $$;
COMMENT ON FUNCTION billing.change_usage(text, text, text, text, text, numeric, timestamptz, timestamptz, text, jsonb, text) IS
'Behind correct_usage(), void_usage() and move_usage(): names the old place in usage_change and records the next revision. Volatile.';
REVOKE ALL ON FUNCTION billing.change_usage(text, text, text, text, text, numeric, timestamptz, timestamptz, text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION billing.changed_resource(owner_id bigint, target_id bigint, old_resource_id bigint, new_resource text, stamp timestamptz) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    resource_key text := coalesce(new_resource, (SELECT r.key FROM resource AS r WHERE r.account_id = owner_id AND r.resource_id = old_resource_id));
BEGIN
    IF resource_key IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO resource (account_id, key, recorded_at) VALUES (target_id, resource_key, stamp) ON CONFLICT DO NOTHING;
    RETURN (SELECT r.resource_id FROM resource AS r WHERE r.account_id = target_id AND r.key = resource_key);
END $$;
COMMENT ON FUNCTION billing.changed_resource(bigint, bigint, bigint, text, timestamptz) IS 'The resource of changed usage in the account it goes to, made there if it is missing. Volatile.';
REVOKE ALL ON FUNCTION billing.changed_resource(bigint, bigint, bigint, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.correct_usage(account text, id text, quantity numeric DEFAULT NULL, source text DEFAULT NULL, starts_at timestamptz DEFAULT NULL,
                                      ends_at timestamptz DEFAULT NULL, resource text DEFAULT NULL, dimensions jsonb DEFAULT NULL, reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF num_nonnulls(quantity, starts_at, ends_at, resource, dimensions) = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'nothing to correct', HINT = 'Give quantity, starts_at, ends_at, resource or dimensions; use billing.void_usage() to take usage back.';
    END IF;
    RETURN billing.change_usage('correct', account, id, source, NULL, quantity, starts_at, ends_at, resource, dimensions, reason);
END $$;
COMMENT ON FUNCTION billing.correct_usage(text, text, numeric, text, timestamptz, timestamptz, text, jsonb, text) IS
'Corrects recorded usage: what is given replaces what was recorded, the rest stays; for a point in time either of starts_at and ends_at moves it. The recorded row stays as it is, a new revision counts instead, and the next run bills the difference. Returns the number of the new revision. Errors: 42704 unknown account, or no usage with this id that counts; 22023 bad value; 40001 changed by another session meanwhile; 55000 the period is sealed. Volatile.';

CREATE FUNCTION billing.void_usage(account text, id text, source text DEFAULT NULL, reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    RETURN billing.change_usage('void', account, id, source, NULL, NULL, NULL, NULL, NULL, NULL, reason);
END $$;
COMMENT ON FUNCTION billing.void_usage(text, text, text, text) IS
'Takes recorded usage back: it no longer counts, and the next run credits what was billed for it. Its id stays used. Returns the number of the revision that was voided. Errors: 42704, 40001 and 55000 as correct_usage(). Volatile.';

CREATE FUNCTION billing.move_usage(account text, id text, to_account text, source text DEFAULT NULL, reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF billing.find_account(to_account) = billing.find_account(account) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('usage "%s" is in account "%s" already', id, account);
    END IF;
    RETURN billing.change_usage('move', account, id, source, to_account, NULL, NULL, NULL, NULL, NULL, reason);
END $$;
COMMENT ON FUNCTION billing.move_usage(text, text, text, text, text) IS
'Moves recorded usage to another account under the same id: the next run credits the one and bills the other. Returns the number of the new revision. Errors: 42704, 40001 and 55000 as correct_usage(); 23505 if the other account has usage with this id; 22023 if it is there already. Volatile.';

CREATE VIEW billing.usage_by_day AS
    SELECT a.key AS account, i.key AS meter, d.day, count(*) AS usage_rows, sum(billing.quantity(u.consumed)) AS quantity
      FROM billing.usage AS u
      JOIN billing.account AS a USING (account_id)
      JOIN billing.item AS i ON i.item_id = u.meter_id
     CROSS JOIN LATERAL (SELECT x.time_zone FROM billing.account_setting AS x WHERE x.account_id = u.account_id ORDER BY x.setting_no DESC LIMIT 1) AS s
     -- what ends at midnight belongs to the day before, unless it is a point in time
     CROSS JOIN LATERAL (SELECT ((CASE WHEN billing.is_point(u.consumed) THEN u.ends_at ELSE u.ends_at - interval '1 microsecond' END) AT TIME ZONE s.time_zone)::date AS day) AS d
     WHERE NOT EXISTS (SELECT FROM billing.usage_change AS c WHERE c.account_id = u.account_id AND c.key = u.key AND c.revision = u.revision)
     GROUP BY a.key, i.key, d.day;
COMMENT ON VIEW billing.usage_by_day IS 'Usage that counts, by account, meter and the day of the account''s calendar in which it ends: number of rows and plain sum.';
COMMENT ON COLUMN billing.usage_by_day.account IS 'The account that consumed.';
COMMENT ON COLUMN billing.usage_by_day.meter IS 'What was counted.';
COMMENT ON COLUMN billing.usage_by_day.day IS 'Day in which the usage ends, in the account''s time zone now in force.';
COMMENT ON COLUMN billing.usage_by_day.usage_rows IS 'Number of usage rows.';
COMMENT ON COLUMN billing.usage_by_day.quantity IS 'Sum of the quantities, whatever the meter''s aggregation.';
