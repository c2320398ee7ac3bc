-- What a described resource would cost, before it exists: asked of a chain of modules, as CloudKitty asks its own.

CREATE TABLE billing.rating_module (
    name       text PRIMARY KEY CHECK (name <> ''),
    priority   int  NOT NULL,
    enabled    boolean NOT NULL,
    routine    text,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    changed_by text NOT NULL DEFAULT session_user,
    CHECK ((routine IS NULL) = (name IN ('hashmap', 'noop')))
);
COMMENT ON TABLE billing.rating_module IS 'The modules that quote() asks, one after the other, the highest priority first.';
COMMENT ON COLUMN billing.rating_module.name IS 'hashmap (rules and prices), noop (nothing), or any name of a function.';
COMMENT ON COLUMN billing.rating_module.priority IS 'The greater is asked earlier; equal ones in the order of their names.';
COMMENT ON COLUMN billing.rating_module.enabled IS 'Whether it is asked.';
COMMENT ON COLUMN billing.rating_module.routine IS 'Function (jsonb) returning numeric: takes a point with its price so far, returns its price; null = built in.';
COMMENT ON COLUMN billing.rating_module.changed_at IS 'When it was set last.';
COMMENT ON COLUMN billing.rating_module.changed_by IS 'Who set it.';
INSERT INTO billing.rating_module (name, priority, enabled) VALUES ('hashmap', 1, true), ('noop', 0, false);

CREATE FUNCTION billing.set_rating_module(name text, priority int DEFAULT NULL, enabled boolean DEFAULT NULL, routine text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    found   oid := to_regprocedure(set_rating_module.routine);
    built_in CONSTANT boolean := set_rating_module.name IN ('hashmap', 'noop');
    known   rating_module := (SELECT m FROM rating_module AS m WHERE m.name = set_rating_module.name);
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a rating module', set_rating_module.name);
    IF set_rating_module.routine IS NOT NULL AND (built_in OR NOT EXISTS (
           SELECT FROM pg_proc AS p WHERE p.oid = found AND p.prorettype = 'numeric'::regtype AND p.proargtypes::text = 'jsonb'::regtype::oid::text AND p.prokind = 'f' AND NOT p.proretset)) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = CASE WHEN built_in THEN format('module "%s" is built in and has no function', set_rating_module.name) ELSE format('there is no function %s that takes jsonb and returns numeric', set_rating_module.routine) END,
            HINT = 'Name it with its schema and argument: routine => ''my_schema.my_rating(jsonb)''.';
    ELSIF NOT built_in AND known.name IS NULL AND set_rating_module.routine IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('rating module "%s" does not exist', set_rating_module.name), HINT = 'A new one needs a function: routine => ''my_schema.my_rating(jsonb)''.';
    END IF;
    INSERT INTO rating_module AS m (name, priority, enabled, routine)
    VALUES (set_rating_module.name, coalesce(set_rating_module.priority, 0), coalesce(set_rating_module.enabled, true), coalesce(found::regprocedure::text, known.routine))
        ON CONFLICT ON CONSTRAINT rating_module_pkey DO UPDATE
       SET priority = coalesce(set_rating_module.priority, m.priority), enabled = coalesce(set_rating_module.enabled, m.enabled), routine = coalesce(excluded.routine, m.routine),
           changed_at = clock_timestamp(), changed_by = session_user;
END $$;
COMMENT ON FUNCTION billing.set_rating_module(text, int, boolean, text) IS
'Adds or changes a module of the chain that quote() asks. name: hashmap and noop are built in; any other name needs a routine, a function such as my_schema.my_rating(jsonb) that returns numeric: it takes {"service", "quantity", "dimensions", "at", "currency", "price"} and returns the price from there on; null = as it was. priority: the greater is asked earlier. enabled: whether it is asked. Null keeps (new: priority 0, enabled). Errors: 22023 no such function, 42704 a new module without one. Volatile.';

CREATE VIEW billing.rating_modules AS
    SELECT m.name, m.priority, m.enabled, m.routine, m.changed_at, m.changed_by FROM billing.rating_module AS m;
COMMENT ON VIEW billing.rating_modules IS 'The modules that quote() asks.';
COMMENT ON COLUMN billing.rating_modules.name IS 'Name of the module.';
COMMENT ON COLUMN billing.rating_modules.priority IS 'The greater is asked earlier.';
COMMENT ON COLUMN billing.rating_modules.enabled IS 'Whether it is asked.';
COMMENT ON COLUMN billing.rating_modules.routine IS 'Function that is asked; null = built in.';
COMMENT ON COLUMN billing.rating_modules.changed_at IS 'When it was set last.';
COMMENT ON COLUMN billing.rating_modules.changed_by IS 'Who set it.';

CREATE FUNCTION billing.quote_chain() RETURNS TABLE (name text, routine text)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT m.name, m.routine FROM billing.rating_module AS m WHERE m.enabled ORDER BY m.priority DESC, m.name $$;
COMMENT ON FUNCTION billing.quote_chain() IS 'The enabled modules in the order in which they are asked. Stable.';

CREATE FUNCTION billing.quote_tariff(service text, price_list text, seller text, at timestamp) RETURNS billing.tariff
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_list int := find_price_list(find_seller(quote_tariff.seller), quote_tariff.price_list);
BEGIN
    RETURN coalesce(rules_tariff(this_list, quote_tariff.service, quote_tariff.at),
        (SELECT p.tariff FROM price AS p JOIN item AS i USING (item_id)
          WHERE p.list_id = this_list AND p.account_id = 0 AND i.kind = 'meter' AND i.key = quote_tariff.service AND p.valid @> quote_tariff.at AND upper_inf(p.known)));
END $$;
COMMENT ON FUNCTION billing.quote_tariff(text, text, text, timestamp) IS
'What the rules of a service say at a time; where there is none, the price of the meter in the list; null = neither. Errors: 42704 unknown list. Stable.';

CREATE FUNCTION billing.quote_currency(price_list text, seller text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT l.currency FROM billing.price_list AS l WHERE l.list_id = billing.find_price_list(billing.find_seller($2), $1) $$;
COMMENT ON FUNCTION billing.quote_currency(text, text) IS 'Currency of a price list. Errors: 42704 unknown list. Stable.';

-- Runs with the rights of who asks: a module's function is somebody's own code.
CREATE FUNCTION billing.quote(resources jsonb, price_list text DEFAULT 'default', seller text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS billing.monetary
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    list     CONSTANT jsonb := CASE WHEN jsonb_typeof(resources) = 'array' THEN resources WHEN resources ? 'resources' THEN resources -> 'resources' ELSE jsonb_build_array(resources) END;
    when_    CONSTANT timestamp := coalesce(at, now()) AT TIME ZONE 'UTC';
    currency CONSTANT text := billing.quote_currency(quote.price_list, quote.seller);
    chain    CONSTANT text[] := ARRAY(SELECT coalesce(m.routine, m.name) FROM billing.quote_chain() AS m);
    total    numeric := 0;
    point    jsonb;
    one      jsonb;
    module   text;
    tariff   billing.tariff;
    price    numeric;
    answer   numeric;
BEGIN
    IF jsonb_typeof(list) IS DISTINCT FROM 'array' THEN   -- also the text "resources", which ? finds
        RAISE invalid_parameter_value USING MESSAGE = 'resources must be a list of resources', HINT = 'Write {"resources": [{"service": "compute", "desc": {"flavor": "m1.nano"}, "volume": "1"}]}.';
    END IF;
    FOR one IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
        point := jsonb_build_object('service', coalesce(one ->> 'service', one ->> 'meter'), 'dimensions', coalesce(billing.flat_members(coalesce(one -> 'desc', one -> 'dimensions')), '{}'),
                                    'quantity', coalesce(one ->> 'volume', one ->> 'quantity', '1'), 'at', to_jsonb(coalesce(at, now())), 'currency', currency);
        IF point ->> 'service' IS NULL OR point ->> 'quantity' !~ '^-?\d{1,23}(\.\d{1,15})?$' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('resource %s has no service, or a volume that is no number', one);
        END IF;
        price := 0;
        FOREACH module IN ARRAY chain LOOP
            IF module = 'hashmap' THEN
                tariff := billing.quote_tariff(point ->> 'service', quote.price_list, quote.seller, when_);
                IF tariff IS NOT NULL THEN
                    price := price + billing.amount(billing.rate(tariff, (point ->> 'quantity')::numeric,
                        dimensions => jsonb_build_object('service', point -> 'service', 'tenant_id', coalesce(point #> '{dimensions,tenant_id}', point #> '{dimensions,project_id}')) || (point -> 'dimensions')));
                END IF;
            ELSIF module <> 'noop' THEN
                EXECUTE format('SELECT %s($1)', module::regprocedure::regproc) INTO answer USING point || jsonb_build_object('price', price);
                price := coalesce(answer, price);
            END IF;
        END LOOP;
        total := total + price;
    END LOOP;
    RETURN billing.monetary(round(total, 15), currency);
END $$;
COMMENT ON FUNCTION billing.quote(jsonb, text, text, timestamptz) IS
'What described resources would cost at an instant (null = now, read as UTC), unrounded: {"resources": [{"service", "desc", "volume"}]} as CloudKitty takes it, a list of such, or one; also "meter", "dimensions", "quantity" (1 unless given). Each resource goes through the enabled modules, the highest priority first: hashmap adds what the rules of the service say, or where it has none the price of its meter in the list; a function takes the point with the price so far and returns the price from there on. What no module knows costs 0. Errors: 22023 bad argument, 42704 unknown price list, what rating and the functions raise. Stable.';
