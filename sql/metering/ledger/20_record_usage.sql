-- Recording usage as JSON.

CREATE INDEX usage_load_recorder ON billing.usage_load (recorded_by, source, recorded_at);
COMMENT ON COLUMN billing.usage_load.source IS 'The way the usage came in: record_usage (one row a day and user), load_usage_batch (one row a batch), correct_usage, move_usage.';
CREATE INDEX account_setting_closed ON billing.account_setting (account_id) WHERE status = 'closed';

CREATE FUNCTION billing.usage_load_of_day(way text, stamp timestamptz) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    found_id int;
BEGIN
    SELECT l.load_id INTO found_id FROM usage_load AS l
     WHERE l.recorded_by = session_user AND l.source = way AND l.recorded_at >= date_trunc('day', stamp, 'UTC')
     ORDER BY l.recorded_at LIMIT 1;
    IF found_id IS NULL THEN
        INSERT INTO usage_load (recorded_at, source) VALUES (stamp, way) RETURNING load_id INTO found_id;
    END IF;
    RETURN found_id;
END $$;
COMMENT ON FUNCTION billing.usage_load_of_day(text, timestamptz) IS
'The row of usage_load under which this user''s single calls of one day (UTC) are filed, so that millions of them do not make millions of loads. Volatile.';
REVOKE ALL ON FUNCTION billing.usage_load_of_day(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.account_is_closed(account_id bigint, instant timestamptz) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce((SELECT s.status = 'closed' FROM billing.account_setting AS s
                      WHERE s.account_id = $1 AND (s.from_date::timestamp AT TIME ZONE s.time_zone) <= $2
                      ORDER BY s.setting_no DESC LIMIT 1), false)
$$;
COMMENT ON FUNCTION billing.account_is_closed(bigint, timestamptz) IS
'Whether the settings of an account known now say that it is closed at an instant; a setting holds from midnight of its day in its time zone. Stable.';
REVOKE ALL ON FUNCTION billing.account_is_closed(bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.note_longest_usage(longest interval) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    -- in hours, since a day that is added to an instant may have 23 of them in the time zone of the session
    step interval := CASE WHEN longest > '7 days' THEN '744 hours' WHEN longest > '1 day' THEN '168 hours' WHEN longest > '1 hour' THEN '24 hours' ELSE '1 hour' END;
BEGIN
    IF longest > (SELECT s.longest_usage FROM ledger_state AS s) THEN
        UPDATE ledger_state AS s SET longest_usage = step WHERE s.longest_usage < step;
    END IF;
END $$;
COMMENT ON FUNCTION billing.note_longest_usage(interval) IS
'Keeps ledger_state.longest_usage at least as long as the longest row of usage. It grows in four steps, so that recorders hardly ever wait for each other here. Volatile.';
REVOKE ALL ON FUNCTION billing.note_longest_usage(interval) FROM PUBLIC;

CREATE FUNCTION billing.meter_takes(meter_id int, sample_type text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce((SELECT CASE $2 WHEN 'cumulative' THEN m.aggregation = 'increase'
                                    WHEN 'gauge' THEN m.aggregation NOT IN ('increase', 'sum', 'weighted_sum')
                                    WHEN 'interval' THEN m.aggregation NOT IN ('increase', 'time_weighted', 'weighted_sum')
                                    ELSE m.aggregation NOT IN ('increase', 'time_weighted') END
                       FROM billing.meter_definition AS m WHERE m.item_id = $1 AND upper_inf(m.known)), true)
$$;
COMMENT ON FUNCTION billing.meter_takes(int, text) IS
'Whether the aggregation of a meter makes sense of samples of a type: readings of a counter (cumulative) are for increase alone, levels (gauge) cannot be added up, amounts (delta) are no levels; of what lasts from one time to another (interval) no level and no reading can be told. Stable.';
REVOKE ALL ON FUNCTION billing.meter_takes(int, text) FROM PUBLIC;

CREATE FUNCTION billing.no_interval(meter text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT format('meter "%s" counts what holds from a time on: give "at" instead of "start" and "end", and "off", 0 or the next reading where it ends', $1) $$;
COMMENT ON FUNCTION billing.no_interval(text) IS 'Why usage with a start and an end is refused by a meter of levels or readings. Immutable.';
REVOKE ALL ON FUNCTION billing.no_interval(text) FROM PUBLIC;

CREATE FUNCTION billing.create_usage_resources(usage jsonb, stamp timestamptz) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    INSERT INTO billing.resource (account_id, key, recorded_at)
    SELECT DISTINCT a.account_id, f.resource, $2
      FROM billing.read_usage($1) AS f
      JOIN billing.account AS a ON a.key = f.account
      JOIN billing.item AS i ON i.kind = 'meter' AND i.key = f.meter
     WHERE f.resource IS NOT NULL AND f.reason IS NULL
       AND NOT EXISTS (SELECT FROM billing.resource AS r WHERE r.account_id = a.account_id AND r.key = f.resource)
     ORDER BY 1, 2
        ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION billing.create_usage_resources(jsonb, timestamptz) IS 'Makes the resources that usage names and that are not there yet. Used by record_usage(). Volatile.';
REVOKE ALL ON FUNCTION billing.create_usage_resources(jsonb, timestamptz) FROM PUBLIC;

-- The keys decide what is new: whoever inserts a key records the usage.  They are inserted in one order everywhere, so that two
-- recorders never wait for each other in a circle.
CREATE FUNCTION billing.record_new_usage(usage jsonb, stamp timestamptz, load int,
                                         OUT ids text[], OUT outcomes text[], OUT details text[], OUT longest interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    WITH facts AS MATERIALIZED (
        SELECT f.ordinal, f.id, f.key, f.consumed, f.resource, f.dimensions, a.account_id, i.item_id AS meter_id, r.resource_id,
               CASE WHEN f.reason IS NOT NULL THEN f.reason
                    WHEN a.account_id IS NULL THEN 'unknown_account'
                    WHEN i.item_id IS NULL THEN 'unknown_meter'
                    WHEN EXISTS (SELECT FROM account_setting AS s WHERE s.account_id = a.account_id AND s.status = 'closed')
                         AND billing.account_is_closed(a.account_id, billing.starts_at(f.consumed)) THEN 'account_closed'
                    WHEN f.sample_type IS NOT NULL AND NOT billing.meter_takes(i.item_id, f.sample_type) THEN 'wrong_sample_type'
                    WHEN billing.starts_at(f.consumed) < billing.ends_at(f.consumed) AND NOT billing.meter_takes(i.item_id, 'interval') THEN 'wrong_sample_type' END AS reason,
               coalesce(f.detail, CASE WHEN a.account_id IS NULL THEN format('account %s does not exist', to_json(left(f.account, 64)))
                                       WHEN i.item_id IS NULL THEN format('meter %s does not exist', to_json(left(f.meter, 64)))
                                       WHEN f.sample_type IS NOT NULL AND NOT billing.meter_takes(i.item_id, f.sample_type) THEN format('meter "%s" cannot add up samples of type %s', f.meter, f.sample_type)
                                       WHEN billing.starts_at(f.consumed) < billing.ends_at(f.consumed) AND NOT billing.meter_takes(i.item_id, 'interval') THEN billing.no_interval(f.meter)
                                       ELSE format('account "%s" is closed', f.account) END) AS detail
          FROM billing.read_usage(usage) AS f
          LEFT JOIN account AS a ON a.key = f.account
          LEFT JOIN item AS i ON i.kind = 'meter' AND i.key = f.meter
          LEFT JOIN resource AS r ON r.account_id = a.account_id AND r.key = f.resource
    ), claimed AS (
        INSERT INTO usage_key (account_id, key, payload)
        SELECT f.account_id, f.key, billing.usage_payload(f.meter_id, f.consumed, f.resource, f.dimensions)
          FROM facts AS f WHERE f.reason IS NULL
         ORDER BY f.account_id, f.key, f.ordinal
            ON CONFLICT (account_id, key) DO NOTHING
        RETURNING usage_key.account_id, usage_key.key
    ), met AS (
        -- Facts meet the keys they claimed by sorting, not by a join: the planner takes both for a handful and would compare each with each.
        SELECT f.*, false AS claims FROM facts AS f
        UNION ALL
        SELECT null, null, c.key, null, null, null, c.account_id, null, null, null, null, true FROM claimed AS c
    ), standing AS MATERIALIZED (
        SELECT m.*, m.reason IS NULL AND row_number() OVER same = 1 AND bool_or(m.claims) OVER same AS is_new
          FROM met AS m
        WINDOW same AS (PARTITION BY m.account_id, m.key ORDER BY m.reason IS NOT NULL, m.ordinal ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    ), stored AS (
        INSERT INTO usage (account_id, ends_at, consumed, recorded_at, key, meter_id, load_id, resource_id, dimensions)
        SELECT a.account_id, billing.ends_at(p.part), p.part, stamp, a.key, a.meter_id, load, a.resource_id, a.dimensions
          FROM standing AS a
         CROSS JOIN LATERAL (SELECT a.consumed AS part WHERE billing.ends_at(a.consumed) - billing.starts_at(a.consumed) <= '31 days'
                              UNION ALL
                             SELECT billing.split(a.consumed, 'month', 'UTC') WHERE billing.ends_at(a.consumed) - billing.starts_at(a.consumed) > '31 days') AS p
         WHERE a.is_new
    ), rejected AS (
        INSERT INTO usage_rejected (payload, reason, detail, load_id, recorded_at)
        SELECT CASE jsonb_typeof(usage) WHEN 'array' THEN usage -> f.ordinal ELSE usage END, f.reason, f.detail, load, stamp
          FROM facts AS f WHERE f.reason IS NOT NULL
         ORDER BY f.ordinal
    )
    SELECT array_agg(s.id ORDER BY s.ordinal),
           array_agg(CASE WHEN s.reason IS NOT NULL THEN 'rejected' WHEN s.is_new THEN 'accepted' END ORDER BY s.ordinal),
           array_agg(CASE WHEN s.reason IS NOT NULL THEN s.reason || ': ' || s.detail END ORDER BY s.ordinal),
           max(least(billing.ends_at(s.consumed) - billing.starts_at(s.consumed), '31 days')) FILTER (WHERE s.is_new)
      INTO ids, outcomes, details, longest
      FROM standing AS s WHERE NOT s.claims;
END $$;
COMMENT ON FUNCTION billing.record_new_usage(jsonb, timestamptz, int) IS
'Step of record_usage(): records what is new, keeps what is rejected, and returns ids, outcomes and details in the order of the input; an outcome is null where the key was there before. Volatile.';
REVOKE ALL ON FUNCTION billing.record_new_usage(jsonb, timestamptz, int) FROM PUBLIC;

-- A statement of its own, since only its snapshot sees the keys that others have committed meanwhile.
CREATE FUNCTION billing.settle_known_usage(usage jsonb, stamp timestamptz, load int, INOUT outcomes text[])
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    WITH facts AS MATERIALIZED (
        SELECT f.ordinal, a.account_id, f.key, CASE jsonb_typeof(usage) WHEN 'array' THEN usage -> f.ordinal ELSE usage END AS payload,
               CASE WHEN f.outcome IS NOT NULL THEN f.outcome
                    WHEN billing.usage_payload_same(k.payload, billing.usage_payload(i.item_id, f.consumed, f.resource, f.dimensions)) THEN 'duplicate'
                    ELSE 'conflict' END AS outcome
          FROM ROWS FROM (billing.read_usage(usage), unnest(outcomes)) AS f(ordinal, id, account, meter, key, consumed, resource, dimensions, reason, detail, sample_type, outcome)
          LEFT JOIN account AS a ON a.key = f.account
          LEFT JOIN item AS i ON i.kind = 'meter' AND i.key = f.meter
          LEFT JOIN LATERAL (SELECT k.payload FROM usage_key AS k WHERE k.account_id = a.account_id AND k.key = f.key LIMIT 1) AS k ON true
    ), kept AS (
        INSERT INTO usage_conflict (account_id, key, payload, load_id, recorded_at)
        SELECT f.account_id, f.key, f.payload, load, stamp
          FROM facts AS f
         WHERE f.outcome = 'conflict'
           AND NOT EXISTS (SELECT FROM usage_conflict AS c WHERE c.account_id = f.account_id AND c.key = f.key AND c.payload = f.payload)
         ORDER BY f.ordinal
    )
    SELECT array_agg(f.outcome ORDER BY f.ordinal) INTO outcomes FROM facts AS f;
END $$;
COMMENT ON FUNCTION billing.settle_known_usage(jsonb, timestamptz, int, text[]) IS
'Step of record_usage(): tells duplicates from conflicts among the facts whose outcome is null, and keeps conflicts aside, each once. Volatile.';
REVOKE ALL ON FUNCTION billing.settle_known_usage(jsonb, timestamptz, int, text[]) FROM PUBLIC;

-- One object that is sound and new, which is what single calls bring, is recorded by three small statements.  Everything else goes the
-- general way, which begins anew: nothing has been written by then but what it needs as well, the stamp of the transaction.
CREATE FUNCTION billing.record_usage(usage jsonb) RETURNS TABLE (id text, outcome text, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    fact     record;
    at_once  boolean;
    stamp    timestamptz;
    load     int;
    recorded record;
BEGIN
    IF jsonb_typeof(usage) = 'object' THEN
        fact := billing.recordable_usage(usage, billing.extension_version());
        at_once := fact IS DISTINCT FROM NULL;
        IF at_once THEN
            at_once := billing.starts_at(fact.consumed) = billing.ends_at(fact.consumed) OR billing.meter_takes(fact.meter_id, 'interval');
        END IF;
        IF at_once THEN
            INSERT INTO usage_key (account_id, key, payload) VALUES (fact.account_id, fact.key, fact.payload)
                ON CONFLICT (account_id, key) DO NOTHING;
            IF FOUND THEN
                INSERT INTO usage (account_id, ends_at, consumed, recorded_at, key, meter_id, load_id, resource_id, dimensions)
                VALUES (fact.account_id, billing.ends_at(fact.consumed), fact.consumed, fact.recorded_at, fact.key, fact.meter_id, fact.load_id, fact.resource_id, fact.dimensions);
                IF billing.starts_at(fact.consumed) < billing.ends_at(fact.consumed) THEN
                    PERFORM billing.note_longest_usage(billing.ends_at(fact.consumed) - billing.starts_at(fact.consumed));
                END IF;
                id := fact.id;
                outcome := 'accepted';
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;
    END IF;
    PERFORM billing.check_ledger();
    IF usage IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'usage must not be null', HINT = 'Give a JSON object or an array of objects.';
    END IF;
    IF billing.usage_in_other_form(usage) THEN
        usage := billing.expand_usage(usage);
    END IF;
    stamp := billing.recorded_at();
    load := billing.usage_load_of_day('record_usage', stamp);
    IF jsonb_typeof(usage) <> 'object' OR usage ? 'resource' OR usage ? 'specversion' THEN
        PERFORM billing.create_usage_resources(usage, stamp);
    END IF;
    recorded := billing.record_new_usage(usage, stamp, load);
    IF recorded.longest > '0' THEN
        PERFORM billing.note_longest_usage(recorded.longest);
    END IF;
    IF array_position(recorded.outcomes, NULL) IS NOT NULL THEN
        recorded.outcomes := billing.settle_known_usage(usage, stamp, load, recorded.outcomes);
    END IF;
    RETURN QUERY
        SELECT r.id, r.outcome, coalesce(r.detail, CASE r.outcome WHEN 'conflict' THEN 'this id was recorded before with other content; this one counts nowhere' END)
          FROM unnest(recorded.ids, recorded.outcomes, recorded.details) AS r(id, outcome, detail);
END $$;
COMMENT ON FUNCTION billing.record_usage(jsonb) IS
'Records usage: one JSON object or an array of them, each {"id", "account", "meter", "quantity", "at" or "start" and "end", "resource", "dimensions", "source"} or a CloudEvent 1.0; also "state" (on, off) instead of a quantity, samples of Ceilometer, and data frames of CloudKitty, of which each point is a fact: see expand_usage(). Times are RFC 3339 with an offset from UTC, quantities decimal numbers or strings. One result row an object, in order: accepted, duplicate (the same content was recorded under this id before), conflict (other content was; kept in usage_conflict) or rejected (kept in usage_rejected; the detail begins with the reason). Takes part in the caller''s transaction. Errors: 22004 null, 22023 neither object nor array, 55000 version of the ledger. Volatile.';
