-- The chain of rating modules, as CloudKitty has it: each takes a point with its price so far and says the price from there on.
--
-- hashmap adds what rules and prices say; noop adds nothing; any other is a SQL function of a user.  quote() asks the chain directly;
-- apply_rating_rules() writes it into prices, and charges of such a price ask it for each usage row.  Rating the same facts again must
-- give the same cents, so a module's function is IMMUTABLE, and the price keeps a digest of what it said: a function that was replaced
-- since is an error of the charge, not another amount.

CREATE TABLE billing.rating_module (
    name        text    NOT NULL CHECK (name <> ''),
    priority    int     NOT NULL,
    enabled     boolean NOT NULL,
    routine     text,
    valid       tsrange NOT NULL DEFAULT '(,)' CHECK (NOT pg_catalog.isempty(valid)),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(pg_catalog.clock_timestamp(), NULL),
    recorded_by text    NOT NULL DEFAULT session_user,
    CHECK ((routine IS NULL) = (name IN ('hashmap', 'noop'))),
    EXCLUDE USING gist (name WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.rating_module IS 'The modules that price a point, one after the other, the highest priority first; facts.';
COMMENT ON COLUMN billing.rating_module.name IS 'hashmap (rules and prices), noop (nothing), or any name of a function.';
COMMENT ON COLUMN billing.rating_module.priority IS 'The greater is asked earlier; equal ones in the order of their names.';
COMMENT ON COLUMN billing.rating_module.enabled IS 'Whether it is asked.';
COMMENT ON COLUMN billing.rating_module.routine IS 'Immutable function (jsonb) returning numeric: takes a point with its price so far, returns its price; null = built in.';
COMMENT ON COLUMN billing.rating_module.valid IS 'When it holds, in the local time of each buyer.';
INSERT INTO billing.rating_module (name, priority, enabled) VALUES ('hashmap', 1, true), ('noop', 0, false);

CREATE FUNCTION billing.ledger_owner() RETURNS oid
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT c.relowner FROM pg_class AS c WHERE c.oid = 'billing.ledger_state'::regclass $$;
COMMENT ON FUNCTION billing.ledger_owner() IS 'The role that owns the ledger, as which charges are rated. Stable.';

-- Runs ask the function with the rights of the ledger's owner, so it must not be code of somebody with fewer.
CREATE FUNCTION billing.routine_problem(routine oid) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p.prorettype <> 'numeric'::regtype OR p.proargtypes::text <> 'jsonb'::regtype::oid::text OR p.prokind <> 'f' OR p.proretset THEN 'does not take jsonb and return numeric'
                WHEN p.provolatile <> 'i' THEN 'is not IMMUTABLE'
                WHEN NOT (p.prosecdef OR pg_has_role(p.proowner, billing.ledger_owner(), 'MEMBER')) THEN 'neither belongs to a role with the rights of the ledger''s owner nor is SECURITY DEFINER'
                WHEN NOT (has_function_privilege(billing.ledger_owner(), p.oid, 'EXECUTE') AND has_schema_privilege(billing.ledger_owner(), p.pronamespace, 'USAGE')) THEN 'cannot be called by the ledger''s owner' END
      FROM pg_proc AS p WHERE p.oid = $1
$$;
COMMENT ON FUNCTION billing.routine_problem(oid) IS 'Why a function cannot be a rating module; null = it can. Stable.';

CREATE FUNCTION billing.routine_digest(routine oid) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(sha256(convert_to(concat_ws(E'\n', l.lanname, p.prosrc, p.probin, p.proisstrict, p.proconfig::text, pg_get_function_sqlbody(p.oid)), 'UTF8')), 'hex')
      FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang WHERE p.oid = $1
$$;
COMMENT ON FUNCTION billing.routine_digest(oid) IS 'SHA-256 of what a function does: its language, source, settings and strictness. Stable.';

CREATE FUNCTION billing.check_routine(routine text, module text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    names   text[] := parse_ident(split_part(check_routine.routine, '(', 1), false);
    schema  text := CASE WHEN cardinality(names) > 1 THEN quote_ident(names[1]) END;
    found   oid;
    problem text;
BEGIN
    IF NOT has_schema_privilege(to_regnamespace(schema)::oid, 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('function %s of rating module "%s": permission denied for schema %s', check_routine.routine, check_routine.module, schema),
            HINT = format('Charges are rated as role %1$s, the ledger''s owner. Grant it the use of the schema and the function: GRANT USAGE ON SCHEMA %3$s TO %1$s; GRANT EXECUTE ON FUNCTION %2$s TO %1$s.',
                          quote_ident(pg_get_userbyid(ledger_owner())), check_routine.routine, schema);
    END IF;
    found := to_regprocedure(check_routine.routine);
    problem := coalesce(routine_problem(found), CASE WHEN found IS NULL THEN 'does not exist' END);
    IF check_routine.module IN ('hashmap', 'noop') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('module "%s" is built in and has no function', check_routine.module);
    ELSIF problem IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('function %s %s', check_routine.routine, problem),
            HINT = CASE WHEN problem LIKE '%IMMUTABLE' THEN 'Rating the same usage again must give the same amount: it may look at nothing but its argument. If that is so, declare it IMMUTABLE.'
                        WHEN problem LIKE 'neither%' THEN 'Charges are rated with the rights of the ledger''s owner: have the function owned by a member of that role, or make it SECURITY DEFINER.'
                        WHEN problem LIKE 'cannot%' THEN format('GRANT EXECUTE ON FUNCTION %s TO %I, and USAGE on its schema.', check_routine.routine, ledger_owner()::regrole::text)
                        ELSE 'Name it with its schema and argument: routine => ''my_schema.my_rating(jsonb)''.' END;
    END IF;
    RETURN (SELECT format('%I.%I(jsonb)', n.nspname, p.proname) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE p.oid = found);
END $$;
COMMENT ON FUNCTION billing.check_routine(text, text) IS 'Name of a function with its schema and argument. Errors: 22023 if it cannot be the function of this rating module, 42501 if the ledger''s owner may not use its schema. Stable.';

CREATE FUNCTION billing.set_rating_module(name text, priority int DEFAULT NULL, enabled boolean DEFAULT NULL, routine text DEFAULT NULL,
                                          valid_from timestamp DEFAULT NULL, valid_to timestamp DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    span   tsrange := local_span(set_rating_module.valid_from, set_rating_module.valid_to);
    called text := CASE WHEN set_rating_module.routine IS NOT NULL THEN check_routine(set_rating_module.routine, set_rating_module.name) END;
    former rating_module;
    stamp  timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a rating module', set_rating_module.name);
    PERFORM billing.lock_until_commit(1651076210, 4);    -- one change of the chain at a time
    SELECT m.* INTO former FROM rating_module AS m WHERE m.name = set_rating_module.name AND upper_inf(m.known) ORDER BY m.valid DESC LIMIT 1;
    IF NOT FOUND AND called IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('rating module "%s" does not exist', set_rating_module.name), HINT = 'A new one needs a function: routine => ''my_schema.my_rating(jsonb)''.';
    END IF;
    IF (SELECT range_agg(m.valid) @> span AND bool_and((m.priority, m.enabled, m.routine) IS NOT DISTINCT FROM
               (coalesce(set_rating_module.priority, m.priority), coalesce(set_rating_module.enabled, m.enabled), coalesce(called, m.routine)))
          FROM rating_module AS m WHERE m.name = set_rating_module.name AND upper_inf(m.known) AND m.valid && span) THEN
        RETURN;
    END IF;
    stamp := greatest(clock_timestamp(), (SELECT max(lower(m.known)) FROM rating_module AS m) + interval '1 microsecond');
    WITH closed AS (
        UPDATE rating_module AS m SET known = tstzrange(lower(m.known), stamp)
         WHERE m.name = set_rating_module.name AND upper_inf(m.known) AND m.valid && span
        RETURNING m.*)
    INSERT INTO rating_module (name, priority, enabled, routine, valid, known)
    SELECT c.name, c.priority, c.enabled, c.routine, rest, tstzrange(stamp, NULL)
      FROM closed AS c CROSS JOIN unnest(tsmultirange(c.valid) - tsmultirange(span)) AS rest
     UNION ALL
    SELECT c.name, coalesce(set_rating_module.priority, c.priority), coalesce(set_rating_module.enabled, c.enabled), coalesce(called, c.routine), c.valid * span, tstzrange(stamp, NULL)
      FROM closed AS c
     UNION ALL
    SELECT set_rating_module.name, coalesce(set_rating_module.priority, former.priority, 0), coalesce(set_rating_module.enabled, former.enabled, true), coalesce(called, former.routine), hole, tstzrange(stamp, NULL)
      FROM unnest(tsmultirange(span) - coalesce((SELECT range_agg(c.valid) FROM closed AS c), '{}')) AS hole;
END $$;
COMMENT ON FUNCTION billing.set_rating_module(text, int, boolean, text, timestamp, timestamp) IS
'Adds or changes a module of the chain. name: hashmap and noop are built in; any other name needs a routine, a function such as my_schema.my_rating(jsonb) that returns numeric and is IMMUTABLE: it takes {"service", "quantity", "dimensions", "at", "local_at", "currency", "price"} and returns the price from there on; null = as it was. It belongs to a role with the rights of the ledger''s owner or is SECURITY DEFINER, because charges are rated with those rights. priority: the greater is asked earlier. enabled: whether it is asked. What is named holds from valid_from to valid_to (local time of each buyer; null = without border). Null keeps (new: priority 0, enabled). Quotes follow it at once, charges when apply_rating_rules() is called. Errors: 22023 no such function, 42501 the ledger''s owner may not use its schema, 42704 a new module without one. Volatile.';

CREATE VIEW billing.rating_modules AS
    SELECT m.name, m.priority, m.enabled, m.routine, pg_catalog.lower(m.valid) AS valid_from, pg_catalog.upper(m.valid) AS valid_to, pg_catalog.lower(m.known) AS changed_at, m.recorded_by AS changed_by
      FROM billing.rating_module AS m WHERE pg_catalog.upper_inf(m.known);
COMMENT ON VIEW billing.rating_modules IS 'The modules of the chain, as known now; a row a span.';
COMMENT ON COLUMN billing.rating_modules.name IS 'Name of the module.';
COMMENT ON COLUMN billing.rating_modules.priority IS 'The greater is asked earlier.';
COMMENT ON COLUMN billing.rating_modules.enabled IS 'Whether it is asked.';
COMMENT ON COLUMN billing.rating_modules.routine IS 'Function that is asked; null = built in.';
COMMENT ON COLUMN billing.rating_modules.valid_from IS 'From when on it holds, in the local time of each buyer; null = always.';
COMMENT ON COLUMN billing.rating_modules.valid_to IS 'First moment that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.rating_modules.changed_at IS 'When it was set last.';
COMMENT ON COLUMN billing.rating_modules.changed_by IS 'Who set it.';

CREATE FUNCTION billing.rating_chain(at timestamp) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('module', m.name, 'routine', m.routine, 'digest', billing.routine_digest(to_regprocedure(m.routine)))) ORDER BY m.priority DESC, m.name COLLATE "C"), '[]')
      FROM billing.rating_module AS m
     WHERE m.enabled AND m.name <> 'noop' AND m.valid @> $1 AND upper_inf(m.known)
$$;
COMMENT ON FUNCTION billing.rating_chain(timestamp) IS
'The modules that price a point at a local time, in the order in which they are asked, each as {"module", "routine", "digest"}; without noop, which adds nothing. Stable.';

CREATE FUNCTION billing.chain_query(chain jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $function$
    SELECT format('SELECT sum(x%s.price) FROM unnest($1, $2, $3) AS p(quantity, at, dimensions) CROSS JOIN LATERAL (SELECT 0.0 AS price) AS x0', jsonb_array_length($1))
           || coalesce(string_agg(format(CASE WHEN m.module ->> 'module' = 'hashmap' THEN
                $$ CROSS JOIN LATERAL (SELECT x%1$s.price + CASE WHEN $5 IS NULL THEN 0 ELSE billing.amount(billing.rate($5, p.quantity,
                       dimensions => jsonb_build_object('service', $4, 'tenant_id', coalesce(p.dimensions -> 'tenant_id', p.dimensions -> 'project_id')) || p.dimensions)) END AS price OFFSET 0) AS x%2$s $$
              ELSE   -- OFFSET: what was priced before is worked out once
                $$ CROSS JOIN LATERAL (SELECT coalesce(%3$s(jsonb_build_object('service', $4, 'quantity', trim_scale(p.quantity)::text, 'dimensions', p.dimensions,
                       'at', to_char(p.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'local_at', to_char(p.at AT TIME ZONE $6, 'YYYY-MM-DD"T"HH24:MI:SS.US'),
                       'currency', $7, 'price', trim_scale(x%1$s.price))), x%1$s.price) AS price OFFSET 0) AS x%2$s $$ END,
              m.no - 1, m.no, (m.module ->> 'routine')::regprocedure::regproc::text), '' ORDER BY m.no), '')
      FROM jsonb_array_elements($1) WITH ORDINALITY AS m(module, no)
$function$;
COMMENT ON FUNCTION billing.chain_query(jsonb) IS
'SQL text of what a chain of modules prices points at, all together: $1 their quantities, $2 their times, $3 their dimensions, $4 the service, $5 the tariff of hashmap or null, $6 the time zone, $7 the currency. Errors: 42883 a function that is not there any more. Stable.';

-- A function could be given to somebody else, or be another one, since it was named.
CREATE FUNCTION billing.chain_problem(chain jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT format('function %s of rating module "%s" %s: give other rules another function, or call apply_rating_rules()', m.module ->> 'routine', m.module ->> 'module',
                  coalesce(billing.routine_problem(p.routine), CASE WHEN p.routine IS NULL THEN 'does not exist any more' ELSE 'is not what it was when the price was made' END))
      FROM jsonb_array_elements($1) AS m(module) CROSS JOIN LATERAL (SELECT to_regprocedure(m.module ->> 'routine')::oid AS routine) AS p
     WHERE m.module ? 'routine' AND (billing.routine_problem(p.routine) IS NOT NULL OR billing.routine_digest(p.routine) IS DISTINCT FROM m.module ->> 'digest')
     LIMIT 1
$$;
COMMENT ON FUNCTION billing.chain_problem(jsonb) IS 'Why a chain of rating modules must not be asked: a function of it may no longer be one, or is not the one that it was; null = nothing. Stable.';
REVOKE ALL ON FUNCTION billing.chain_problem(jsonb) FROM PUBLIC;

CREATE FUNCTION billing.rate_rows(chain jsonb, tariff billing.tariff, service text, time_zone text, quantities numeric[], times timestamptz[], dimensions jsonb[]) RETURNS billing.rating_result
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    problem CONSTANT text := chain_problem(rate_rows.chain);
    total   numeric;
BEGIN
    IF problem IS NOT NULL THEN
        RETURN ROW(NULL, '55000', problem)::rating_result;
    END IF;
    EXECUTE chain_query(rate_rows.chain) INTO total USING rate_rows.quantities, rate_rows.times, rate_rows.dimensions, rate_rows.service, rate_rows.tariff, rate_rows.time_zone, currency(rate_rows.tariff);
    IF total = 'NaN' THEN
        RETURN ROW(NULL, '22003', 'a rating module returns a price that is not a number')::rating_result;
    ELSIF abs(total) > greatest_amount() THEN
        RETURN ROW(NULL, '22003', format('charge comes to more than %s %s', trunc(greatest_amount()), currency(rate_rows.tariff)))::rating_result;
    END IF;
    RETURN ROW(monetary(round(total, 15), currency(rate_rows.tariff)), NULL, NULL)::rating_result;
EXCEPTION WHEN OTHERS THEN   -- the functions are the user's: the error says which were asked
    RETURN ROW(NULL, SQLSTATE, coalesce((SELECT format('rating module %s: ', string_agg(format('"%s" (%s)', m.module ->> 'module', m.module ->> 'routine'), ' or ' ORDER BY m.no))
                                           FROM jsonb_array_elements(rate_rows.chain) WITH ORDINALITY AS m(module, no) WHERE m.module ? 'routine' HAVING count(*) > 0), '') || SQLERRM)::rating_result;
END $$;
COMMENT ON FUNCTION billing.rate_rows(jsonb, billing.tariff, text, text, numeric[], timestamptz[], jsonb[]) IS
'What a chain of modules prices usage rows at, each by itself: their sum, unrounded, or why they cannot be rated, as try_rate() says it; also when a module''s function is not the one that the price was made with (55000). Stable.';
REVOKE ALL ON FUNCTION billing.rate_rows(jsonb, billing.tariff, text, text, numeric[], timestamptz[], jsonb[]) FROM PUBLIC;

CREATE FUNCTION billing.added_results(results billing.rating_result[]) RETURNS billing.rating_result
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT CASE WHEN count(r.sqlstate) > 0 THEN ROW(NULL, left(min(r.sqlstate || r.detail), 5), substr(min(r.sqlstate || r.detail), 6))::billing.rating_result
                WHEN abs(sum(billing.amount(r.amount))) > billing.greatest_amount() THEN ROW(NULL, '22003', 'charge comes to more than ' || trunc(billing.greatest_amount()) || ' ' || min(billing.currency(r.amount)))::billing.rating_result
                ELSE ROW(billing.monetary(sum(billing.amount(r.amount)), min(billing.currency(r.amount))), NULL, NULL)::billing.rating_result END
      FROM unnest($1) AS r
$$;
COMMENT ON FUNCTION billing.added_results(billing.rating_result[]) IS 'The sum of results of rating, or the first reason why one cannot be rated. Immutable.';
