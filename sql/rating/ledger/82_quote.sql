-- What a described resource would cost, before it exists: asked of a chain of modules, as CloudKitty asks its own.

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

-- As charges are rated: with the rights of the ledger's owner, and only by functions that may have them.  With those of whoever asks, the
-- owner of a module's function would have the rights of everyone who asks.
CREATE FUNCTION billing.quote(resources jsonb, price_list text DEFAULT 'default', seller text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS billing.monetary
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    list     CONSTANT jsonb := CASE WHEN jsonb_typeof(resources) = 'array' THEN resources WHEN resources ? 'resources' THEN resources -> 'resources' ELSE jsonb_build_array(resources) END;
    when_    CONSTANT timestamp := coalesce(at, now()) AT TIME ZONE 'UTC';
    currency CONSTANT text := billing.quote_currency(quote.price_list, quote.seller);
    chain    CONSTANT jsonb := billing.rating_chain(when_);
    problem  CONSTANT text := billing.chain_problem(chain);
    query    text;
    total    numeric := 0;
    point    jsonb;
    one      jsonb;
    price    numeric;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = problem;
    END IF;
    query := billing.chain_query(chain);
    IF jsonb_typeof(list) IS DISTINCT FROM 'array' THEN   -- also the text "resources", which ? finds
        RAISE invalid_parameter_value USING MESSAGE = 'resources must be a list of resources', HINT = 'Write {"resources": [{"service": "compute", "desc": {"flavor": "m1.nano"}, "volume": "1"}]}.';
    END IF;
    FOR one IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
        point := jsonb_build_object('service', coalesce(one ->> 'service', one ->> 'meter'), 'dimensions', coalesce(billing.flat_members(coalesce(one -> 'desc', one -> 'dimensions')), '{}'),
                                    'quantity', coalesce(one ->> 'volume', one ->> 'quantity', '1'));
        IF point ->> 'service' IS NULL OR point ->> 'quantity' !~ '^-?\d{1,23}(\.\d{1,15})?$' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('resource %s has no service, or a volume that is no number', one);
        END IF;
        EXECUTE query INTO price USING ARRAY[(point ->> 'quantity')::numeric], ARRAY[coalesce(at, now())], ARRAY[point -> 'dimensions'], point ->> 'service',
                                       billing.quote_tariff(point ->> 'service', quote.price_list, quote.seller, when_), 'UTC', currency;
        total := total + price;
    END LOOP;
    RETURN billing.monetary(round(total, 15), currency);
END $$;
COMMENT ON FUNCTION billing.quote(jsonb, text, text, timestamptz) IS
'What described resources would cost at an instant (null = now, read as UTC), unrounded: {"resources": [{"service", "desc", "volume"}]} as CloudKitty takes it, a list of such, or one; also "meter", "dimensions", "quantity" (1 unless given). Each resource is a point that goes through the enabled modules, the highest priority first: hashmap adds what the rules of the service say, or where it has none the price of its meter in the list; a function takes the point with the price so far and returns the price from there on. What no module knows costs 0. Errors: 22023 bad argument, 42704 unknown price list, 55000 a function that may no longer be a module, what rating and the functions raise. Stable.';
