-- Schemes and rules: what people say about who bears which cost, checked when it is said.

CREATE FUNCTION billing.find_scheme(key text) RETURNS billing.allocation_scheme
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    scheme allocation_scheme;
BEGIN
    SELECT s.* INTO scheme FROM allocation_scheme AS s WHERE s.key = find_scheme.key;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('allocation scheme %s does not exist', coalesce('"' || find_scheme.key || '"', 'null')),
            HINT = 'Make it with billing.set_allocation_scheme().';
    END IF;
    RETURN scheme;
END $$;
COMMENT ON FUNCTION billing.find_scheme(text) IS 'The allocation scheme with that key. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.set_allocation_scheme(key text, kind text DEFAULT NULL, restatement text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    former allocation_scheme;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an allocation scheme', set_allocation_scheme.key);
    PERFORM check_word('restatement', set_allocation_scheme.restatement, '{book,hold,ignore}');
    INSERT INTO allocation_scheme (key, kind) VALUES (set_allocation_scheme.key, coalesce(set_allocation_scheme.kind, set_allocation_scheme.key)) ON CONFLICT DO NOTHING;
    SELECT s.* INTO former FROM allocation_scheme AS s WHERE s.key = set_allocation_scheme.key FOR UPDATE;
    IF set_allocation_scheme.kind <> former.kind THEN
        RAISE invalid_parameter_value USING MESSAGE = format('allocation scheme "%s" divides cost among kind "%s", not "%s"', former.key, former.kind, set_allocation_scheme.kind),
            HINT = 'Make another scheme for the other kind.';
    END IF;
    UPDATE allocation_scheme AS s SET restatement = set_allocation_scheme.restatement
     WHERE s.scheme_id = former.scheme_id AND s.restatement <> set_allocation_scheme.restatement;
    RETURN former.scheme_id;
END $$;
COMMENT ON FUNCTION billing.set_allocation_scheme(text, text, text) IS
'Makes or changes the allocation scheme with that key and returns its number. kind: kind of the cost centers it divides cost among, by default the key; it never changes. restatement: what happens to differences in closed periods: book, hold (the default) or ignore; null keeps. Errors: 22023 bad argument or another kind. Volatile.';

CREATE FUNCTION billing.weights_of(action jsonb) RETURNS TABLE (target text, weight numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT t.target, 1::numeric FROM jsonb_array_elements_text(CASE jsonb_typeof(action -> 'targets') WHEN 'array' THEN action -> 'targets' ELSE '[]' END) AS t (target)
          UNION ALL
          SELECT w.key, w.value::numeric FROM jsonb_each_text(CASE jsonb_typeof(action -> 'weights') WHEN 'object' THEN action -> 'weights' ELSE '{}' END) AS w
          UNION ALL
          SELECT action ->> 'target', 1 WHERE action ? 'target' $$;
COMMENT ON FUNCTION billing.weights_of(jsonb) IS 'Targets that an action names, with their weights. Immutable.';

CREATE FUNCTION billing.check_action(scheme billing.allocation_scheme, action jsonb, is_step boolean) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    words  text[] := ARRAY(SELECT k FROM jsonb_object_keys(action) AS k ORDER BY k);
    method text := action ->> 'split';
    right_ boolean;
    twice  text;
BEGIN
    right_ := CASE WHEN words = '{target}' THEN jsonb_typeof(action -> 'target') = 'string'
                   WHEN words = '{exclude}' OR words = '{stop}' THEN NOT is_step AND action -> words[1] = 'true'
                   WHEN words = '{target_from}' THEN NOT is_step AND action ->> 'target_from' ~ '^(column|tag):.'
                   WHEN method = 'fixed' THEN words = '{split,weights}' AND jsonb_typeof(action -> 'weights') = 'object'
                         AND NOT EXISTS (SELECT FROM jsonb_each_text(action -> 'weights') AS w WHERE w.value !~ '^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?$' OR w.value IS NULL)
                   WHEN method = 'even' THEN words = '{split,targets}'
                   WHEN method = 'proportional' THEN words <@ '{split,targets,basis,rule}' AND coalesce(action ->> 'basis', 'effective') IN ('billed', 'effective', 'list', 'contracted')
                   WHEN method = 'usage' THEN words <@ '{split,targets,meter,by}' AND words @> '{by,meter}'
                   ELSE false END
              AND coalesce(jsonb_typeof(action -> 'targets') = 'array' AND NOT action @? '$.targets[*] ? (@.type() != "string")', NOT action ? 'targets');
    IF right_ IS NOT TRUE THEN
        RAISE invalid_parameter_value USING MESSAGE = format('action %s is not understood', action),
            HINT = 'Write {"target": key}, {"target_from": "tag:team"}, {"split": "fixed", "weights": {…}}, {"split": "even", "targets": […]}, {"split": "proportional", "basis": "effective"}, {"split": "usage", "meter": …, "by": …}, {"exclude": true} or {"stop": true}; a step with from can only target or split.';
    END IF;
    IF method = 'usage' THEN
        PERFORM find_item(action ->> 'meter', 'meter');
    END IF;
    PERFORM find_cost_center(scheme.kind, w.target) FROM weights_of(action) AS w;
    twice := (SELECT min(w.target) FROM (SELECT w.target FROM weights_of(action) AS w GROUP BY w.target HAVING count(*) > 1) AS w);
    IF twice IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('target "%s" is named twice', twice), HINT = 'Name each target once; weights give one more than another.';
    END IF;
    IF action ? 'targets' AND action -> 'targets' = '[]' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'targets names nobody', HINT = 'Name targets, or leave the word out where the basis says who gets a part.';
    END IF;
    IF EXISTS (SELECT FROM weights_of(action) AS w WHERE w.weight < 0 OR w.weight >= 'Infinity') OR method = 'fixed' AND coalesce((SELECT sum(w.weight) FROM weights_of(action) AS w), 0) = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('weights %s cannot split anything', action -> 'weights'), HINT = 'They are not negative, and one is above 0.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_action(billing.allocation_scheme, jsonb, boolean) IS 'Raises 22023 unless the action of a rule is understood, 42704 unless its targets and meter exist. Stable.';

CREATE FUNCTION billing.allocation_cycle(scheme_id int) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0
    AS $$ WITH RECURSIVE edge AS (
              SELECT DISTINCT f.key AS giver, w.target AS taker, r.valid
                FROM billing.allocation_rule AS r
                JOIN billing.cost_center AS f ON f.cost_center_id = r.from_id
               CROSS JOIN LATERAL billing.weights_of(r.action) AS w
               WHERE r.scheme_id = allocation_cycle.scheme_id AND upper_inf(r.known)),
          way (ends, path, valid) AS (
              SELECT e.taker, ARRAY[e.giver, e.taker], e.valid FROM edge AS e
              UNION ALL
              SELECT e.taker, w.path || e.taker, w.valid * e.valid FROM way AS w JOIN edge AS e ON e.giver = w.ends AND e.valid && w.valid WHERE w.ends <> ALL (w.path[:cardinality(w.path) - 1]))
          SELECT array_to_string(w.path, ' → ') FROM way AS w WHERE w.ends = w.path[1] ORDER BY cardinality(w.path), w.path LIMIT 1 $$;
COMMENT ON FUNCTION billing.allocation_cycle(int) IS 'A cycle among steps of a scheme that hold on the same day, such as platform → web → platform; null = there is none. Stable.';

CREATE FUNCTION billing.set_allocation_rule(scheme text, key text, place int, action jsonb, condition jsonb DEFAULT '{}', from_target text DEFAULT NULL,
                                            pools text[] DEFAULT '{cost}', valid_from date DEFAULT NULL, valid_to date DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_scheme allocation_scheme := find_scheme(set_allocation_rule.scheme);
    span      daterange := check_dates(valid_from, valid_to);
    giver     bigint := CASE WHEN from_target IS NOT NULL THEN find_cost_center(of_scheme.kind, from_target) END;
    stamp     timestamptz;
    new_id    int;
    cycle     text;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an allocation rule', set_allocation_rule.key);
    IF set_allocation_rule.place IS NULL OR coalesce(set_allocation_rule.pools, '{}') = '{}' OR NOT set_allocation_rule.pools <@ '{cost,tax,credit,unused_commitment}' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('place %s, pools %s: one of them cannot be', coalesce(set_allocation_rule.place::text, 'null'), coalesce(set_allocation_rule.pools::text, 'null')),
            HINT = 'place is a number, pools some of cost, tax, credit, unused_commitment.';
    END IF;
    PERFORM condition_sql(set_allocation_rule.condition, '{}');
    condition := normal_condition(set_allocation_rule.condition);
    PERFORM check_object('action', set_allocation_rule.action);
    IF set_allocation_rule.action ? 'target_from' THEN
        action := set_allocation_rule.action || jsonb_build_object('target_from', normal_operand(set_allocation_rule.action ->> 'target_from'));
    END IF;
    PERFORM check_action(of_scheme, set_allocation_rule.action, giver IS NOT NULL);
    IF set_allocation_rule.action ? 'rule' AND NOT EXISTS (SELECT FROM allocation_rule AS r WHERE r.scheme_id = of_scheme.scheme_id AND r.key = set_allocation_rule.action ->> 'rule' AND r.key <> set_allocation_rule.key AND upper_inf(r.known)) THEN
        RAISE undefined_object USING MESSAGE = format('scheme "%s" has no other rule "%s" to go by', set_allocation_rule.scheme, set_allocation_rule.action ->> 'rule'),
            HINT = 'A rule goes by what another rule gave, which must have been set and comes before it.';
    END IF;
    PERFORM billing.lock_until_commit(1651076213, of_scheme.scheme_id);
    stamp := remove_allocation_rule_on(of_scheme.scheme_id, set_allocation_rule.key, span);
    INSERT INTO allocation_rule (scheme_id, key, place, condition, from_id, action, pools, valid, known)
        VALUES (of_scheme.scheme_id, set_allocation_rule.key, set_allocation_rule.place, set_allocation_rule.condition, giver, set_allocation_rule.action, set_allocation_rule.pools, span, tstzrange(stamp, NULL))
        RETURNING rule_id INTO new_id;
    IF EXISTS (SELECT FROM allocation_rule AS r WHERE r.scheme_id = of_scheme.scheme_id AND r.from_id = giver AND r.rule_id <> new_id AND r.valid && span AND upper_inf(r.known)) THEN
        RAISE exclusion_violation USING MESSAGE = format('"%s" gives its cost on in another rule already', from_target), HINT = 'A cost center gives all it has got, once: change that rule, or take it away first.';
    END IF;
    cycle := allocation_cycle(of_scheme.scheme_id);
    IF cycle IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('rule "%s" closes a cycle: %s', set_allocation_rule.key, cycle), HINT = 'Cost that is given on cannot come back. Take one of these steps away.';
    END IF;
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.set_allocation_rule(text, text, int, jsonb, jsonb, text, text[], date, date) IS
'Sets the rule of a scheme with that key for charge days from valid_from to valid_to (half-open, UTC; null = without border) and returns its number. Rules apply in order of place, then key; the first whose condition holds takes a cost row. action: {"target": key}; {"target_from": "tag:team"}, the cost center named by a tag or column; {"split": "fixed", "weights": {key: number, …}}; {"split": "even", "targets": [key, …]}; {"split": "proportional", "basis": billed | effective | list | contracted, "targets": […], "rule": key}, by direct cost or by what another rule gave; {"split": "usage", "meter": key, "by": word, "targets": […]}, by usage of a meter whose dimension, resource tag or account is named like the target; {"exclude": true}; {"stop": true}, left unallocated. from_target: a further step, gives on what that cost center has got so far. pools: which rows it may take: cost, tax, credit, unused_commitment. Errors: 22023 not understood or a cycle, 2201B a regular expression that is not allowed, 23P01 another rule gives on what that cost center has got, 42704 unknown scheme, target or meter. Volatile.';

CREATE FUNCTION billing.remove_allocation_rule_on(scheme_id int, key text, span daterange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((SELECT max(lower(r.known)) FROM allocation_rule AS r WHERE r.scheme_id = remove_allocation_rule_on.scheme_id));
BEGIN
    WITH closed AS (
        UPDATE allocation_rule AS r SET known = tstzrange(lower(r.known), stamp)
         WHERE r.scheme_id = remove_allocation_rule_on.scheme_id AND r.key = remove_allocation_rule_on.key AND r.valid && span AND upper_inf(r.known)
        RETURNING r.*)
    INSERT INTO allocation_rule (scheme_id, key, place, condition, from_id, action, pools, valid, known)
    SELECT c.scheme_id, c.key, c.place, c.condition, c.from_id, c.action, c.pools, rest, tstzrange(stamp, NULL)
      FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.remove_allocation_rule_on(int, text, daterange) IS 'Ends the belief in a rule for some days, keeps it for the others, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.remove_allocation_rule(scheme text, key text, valid_from date DEFAULT NULL, valid_to date DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_scheme allocation_scheme := find_scheme(remove_allocation_rule.scheme);
BEGIN
    IF NOT EXISTS (SELECT FROM allocation_rule AS r WHERE r.scheme_id = of_scheme.scheme_id AND r.key = remove_allocation_rule.key AND upper_inf(r.known)) THEN
        RAISE undefined_object USING MESSAGE = format('scheme "%s" has no rule "%s"', remove_allocation_rule.scheme, remove_allocation_rule.key);
    END IF;
    PERFORM billing.lock_until_commit(1651076213, of_scheme.scheme_id);
    PERFORM remove_allocation_rule_on(of_scheme.scheme_id, remove_allocation_rule.key, check_dates(valid_from, valid_to));
END $$;
COMMENT ON FUNCTION billing.remove_allocation_rule(text, text, date, date) IS 'Takes the rule of a scheme with that key away, for charge days from valid_from to valid_to (null = without border). Errors: 42704 unknown scheme or rule. Volatile.';
