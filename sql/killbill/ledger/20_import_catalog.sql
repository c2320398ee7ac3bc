-- Price lists from Kill Bill: a catalog becomes price lists, meters and fees of ours, with the validity of its versions.
--
-- Names: price list CATALOG/LIST/CURRENCY; fee PLAN; meter PLAN/USAGE/UNIT; in phases before the last one PHASE instead of PLAN.
-- An external key of the endpoint on a price list, fee or meter (set_external_key) with that name makes it stand for it instead.
-- Meters make lines by resource, because the server counts tiers by subscription.

CREATE FUNCTION billing.killbill_object(object_type text, endpoint text, name text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce((SELECT CASE object_type WHEN 'price_list' THEN (SELECT l.key FROM price_list AS l WHERE l.list_id = e.object_id)
                                             ELSE (SELECT i.key FROM item AS i WHERE i.item_id = e.object_id) END
                       FROM external_key AS e
                      WHERE e.object_type = killbill_object.object_type AND e.system = killbill_object.endpoint AND e.key = killbill_object.name), name)
$$;
COMMENT ON FUNCTION billing.killbill_object(text, text, text) IS
'Key of the meter, fee or price_list that stands for something of a Kill Bill catalog: the one with that external key of the endpoint, otherwise the name itself. Stable.';

CREATE FUNCTION billing.killbill_price_name(price billing.killbill_price) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT concat_ws('/', CASE WHEN price.final THEN price.plan ELSE price.phase END, price.usage_name, price.unit) $$;
COMMENT ON FUNCTION billing.killbill_price_name(billing.killbill_price) IS 'What the meter or fee for a price of a catalog is called by default. Immutable.';

CREATE FUNCTION billing.killbill_price_warning(price billing.killbill_price) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT NULLIF(concat_ws('; ', CASE
        WHEN price.usage_type = 'CONSUMABLE' AND cardinality(killbill_section_units(price.section)) > 1
             AND EXISTS (SELECT FROM jsonb_path_query(price.section, '$.tiers[*].blocks[*].prices[*]') AS v, currencies() AS c
                          WHERE v ->> 'currency' = price.currency AND c.code = price.currency AND min_scale((v ->> 'value')::numeric) > c.minor_unit)
        THEN 'the server rounds the sum of all units of the section once, here each unit is rounded by itself' END, CASE
        WHEN price.kind IN ('recurring', 'usage') AND NOT EXISTS (
                SELECT FROM killbill_price AS former
                 WHERE former.endpoint = price.endpoint AND former.effective_at < price.effective_at AND former.plan = price.plan AND former.currency = price.currency
                HAVING count(*) = 0 OR bool_or((former.phase, former.kind, coalesce(former.usage_name, ''), coalesce(former.unit, '')) = (price.phase, price.kind, coalesce(price.usage_name, ''), coalesce(price.unit, ''))
                                               AND former.effective_at = (SELECT max(x.effective_at) FROM killbill_price AS x WHERE x.endpoint = price.endpoint AND x.effective_at < price.effective_at)
                                               AND (former.tariff IS NOT DISTINCT FROM price.tariff) AND former.amount IS NOT DISTINCT FROM price.amount))
             AND price.existing_from IS NULL
        THEN 'the server keeps existing subscriptions at the former price, because the plan has no effectiveDateForExistingSubscriptions'
        WHEN price.existing_from > price.effective_at
        THEN format('new subscriptions pay it from %s on at the server, here all do from %s on', price.effective_at::date, price.existing_from::date)
    END), '')
$$;
COMMENT ON FUNCTION billing.killbill_price_warning(billing.killbill_price) IS
'How an imported price differs from what the server does with it; null = not at all. Stable.';

CREATE FUNCTION billing.killbill_read_catalog(catalog xml, endpoint text) RETURNS SETOF billing.killbill_price
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT killbill_read_catalog.endpoint, p.effective_at,
           (row_number() OVER (PARTITION BY p.effective_at ORDER BY p.price_list, p.currency, p.plan, p.phase_no, p.kind, p.usage_name, p.unit))::int,
           p.price_list, p.currency, p.plan, p.product, p.category, p.phase, p.phase_no, p.final, p.duration, p.existing_from,
           p.kind, p.usage_name, p.unit, p.usage_type, p.in_advance, p.billing_period, p.tariff, p.amount, p.section, NULL::int, NULL::int,
           CASE WHEN p.problem IS NOT NULL THEN p.problem WHEN p.price_list = '' THEN 'the plan is in no price list' END
      FROM killbill_catalog_prices(catalog) AS p
$$;
COMMENT ON FUNCTION billing.killbill_read_catalog(xml, text) IS 'The prices of a catalog as rows of killbill_price, not yet connected to anything of ours. Stable.';

CREATE FUNCTION billing.killbill_ensure_item(price billing.killbill_price, seller text) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    name text := killbill_price_name(price);
    kind text := CASE price.kind WHEN 'usage' THEN 'meter' ELSE 'fee' END;
    key  text := killbill_object(CASE price.kind WHEN 'usage' THEN 'meter' ELSE 'fee' END, price.endpoint, killbill_price_name(price));
BEGIN
    -- What somebody has connected by hand keeps its definition.
    IF key <> name THEN
        RETURN find_item(key, kind);
    ELSIF kind = 'fee' THEN
        RETURN set_fee(key, name => price.product, in_advance => price.in_advance, seller => killbill_ensure_item.seller);
    END IF;
    RETURN set_meter(key, unit => price.unit, aggregation => CASE price.usage_type WHEN 'CAPACITY' THEN 'max' ELSE 'sum' END,
                     name => price.usage_name, dimensions => '{resource}', seller => killbill_ensure_item.seller);
END $$;
COMMENT ON FUNCTION billing.killbill_ensure_item(billing.killbill_price, text) IS 'The meter or fee that stands for a price of a catalog, made if it is missing. Volatile.';

CREATE FUNCTION billing.killbill_check_owner(price billing.killbill_price) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    other killbill_price;
BEGIN
    -- Names under which a catalog was imported by hand are no endpoints: the server it came from takes its objects over.
    SELECT p.* INTO other FROM killbill_price AS p
     WHERE p.endpoint <> price.endpoint AND EXISTS (SELECT FROM pg_foreign_server AS s WHERE s.srvname = p.endpoint)
       AND (p.list_id = price.list_id OR p.item_id = price.item_id AND (p.kind, p.in_advance, p.unit, p.usage_type) IS DISTINCT FROM (price.kind, price.in_advance, price.unit, price.usage_type))
     ORDER BY p.list_id = price.list_id DESC NULLS LAST LIMIT 1;
    IF other.list_id = price.list_id THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('price list "%s" has the prices of endpoint "%s", and those of "%s" would replace them', (SELECT l.key FROM price_list AS l WHERE l.list_id = price.list_id), other.endpoint, price.endpoint),
            HINT = format('Make a price list of its own and say so with billing.set_external_key(''price_list'', its number, ''%s'', ''%s'').', price.endpoint, (SELECT l.key FROM price_list AS l WHERE l.list_id = price.list_id));
    ELSIF other.item_id = price.item_id THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('"%s" stands for something else of endpoint "%s" than of "%s"', (SELECT i.key FROM item AS i WHERE i.item_id = price.item_id), other.endpoint, price.endpoint),
            HINT = format('Make a %1$s of its own and say so with billing.set_external_key(''%1$s'', its number, ''%2$s'', ''%3$s'').', CASE price.kind WHEN 'usage' THEN 'meter' ELSE 'fee' END, price.endpoint, killbill_price_name(price));
    END IF;
END $$;
COMMENT ON FUNCTION billing.killbill_check_owner(billing.killbill_price) IS
'Raises 55000 when the price list of an imported price has the prices of another endpoint, or its meter or fee stands for another kind of thing there: two tenants often have catalogs of one name. Stable.';

CREATE FUNCTION billing.killbill_set_prices(endpoint text, seller text, applies_to text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    span record;
BEGIN
    -- One price holds from the version that brings it to the next version of the catalog; set_price() writes only what is new.
    FOR span IN
        SELECT i.kind AS item_kind, i.key AS item, l.key AS list, p.currency, p.kind, p.tariff, p.amount,
               coalesce(p.existing_from, p.effective_at) AT TIME ZONE 'UTC' AS valid_from,
               coalesce((SELECT coalesce(min(n.existing_from), v.next_at) FROM killbill_price AS n
                          WHERE n.endpoint = p.endpoint AND n.effective_at = v.next_at AND n.item_id = p.item_id AND n.list_id = p.list_id), v.next_at) AT TIME ZONE 'UTC' AS valid_to
          FROM killbill_price AS p
          JOIN (SELECT c.effective_at, lead(c.effective_at) OVER (ORDER BY c.effective_at) AS next_at FROM killbill_catalog AS c WHERE c.endpoint = killbill_set_prices.endpoint) AS v USING (effective_at)
          JOIN item AS i USING (item_id)
          JOIN price_list AS l USING (list_id)
         WHERE p.endpoint = killbill_set_prices.endpoint
         ORDER BY p.effective_at, p.price_no
    LOOP
        CONTINUE WHEN span.valid_from >= span.valid_to;
        PERFORM set_price(span.item, CASE WHEN span.kind = 'usage' THEN span.tariff
                                          ELSE jsonb_build_object('model', 'per_unit', 'currency', span.currency, 'unit_price', span.amount::text)::tariff END,
                          valid_from => span.valid_from, valid_to => span.valid_to, price_list => span.list, seller => killbill_set_prices.seller,
                          kind => span.item_kind, applies_to => killbill_set_prices.applies_to);
    END LOOP;
    -- What a later version no longer has costs nothing from then on.
    FOR span IN
        SELECT DISTINCT i.kind AS item_kind, i.key AS item, l.key AS list, v.next_at AT TIME ZONE 'UTC' AS gone_from
          FROM killbill_price AS p
          JOIN (SELECT c.effective_at, lead(c.effective_at) OVER (ORDER BY c.effective_at) AS next_at FROM killbill_catalog AS c WHERE c.endpoint = killbill_set_prices.endpoint) AS v USING (effective_at)
          JOIN item AS i USING (item_id)
          JOIN price_list AS l USING (list_id)
         WHERE p.endpoint = killbill_set_prices.endpoint AND v.next_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM killbill_price AS n WHERE n.endpoint = p.endpoint AND n.effective_at >= v.next_at AND n.item_id = p.item_id AND n.list_id = p.list_id)
    LOOP
        PERFORM remove_price(span.item, valid_from => span.gone_from, price_list => span.list, seller => killbill_set_prices.seller,
                             kind => span.item_kind, applies_to => killbill_set_prices.applies_to);
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_set_prices(text, text, text) IS 'Brings the price lists that stand for a catalog to what its imported versions say. Volatile.';

CREATE FUNCTION billing.killbill_import_catalog(catalog xml, endpoint text DEFAULT 'killbill', seller text DEFAULT NULL, applies_to text DEFAULT NULL)
    RETURNS TABLE (effective_at timestamptz, price_list text, plan text, name text, currency text, outcome text, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    version   record;
    price     killbill_price;
    list_keys jsonb := '{}';
    changed   timestamptz[] := '{}';
    list_key  text;
    prices    killbill_price[];    -- of all versions: reading them is most of the work, so it is done once
    versions  timestamptz[];
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an endpoint', killbill_import_catalog.endpoint);
    prices := ARRAY(SELECT p FROM killbill_read_catalog(catalog, killbill_import_catalog.endpoint) AS p ORDER BY p.effective_at, p.price_no);
    versions := ARRAY(SELECT v.effective_at FROM killbill_catalog_versions(catalog) AS v WHERE v.effective_at IS NOT NULL);
    PERFORM billing.lock_until_commit(1651076210, hashtext('killbill ' || killbill_import_catalog.endpoint));
    FOR version IN
        SELECT v.effective_at, v.catalog_name, md5(coalesce(string_agg(p::text, E'\n' ORDER BY p.price_no), '')) AS digest
          FROM killbill_catalog_versions(catalog) AS v
          LEFT JOIN unnest(prices) AS p ON p.effective_at = v.effective_at
         WHERE v.effective_at IS NOT NULL GROUP BY v.effective_at, v.catalog_name ORDER BY v.effective_at
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM killbill_catalog AS c WHERE c.endpoint = killbill_import_catalog.endpoint AND c.effective_at = version.effective_at AND c.digest = version.digest);
        changed := changed || version.effective_at;
        DELETE FROM killbill_price AS p WHERE p.endpoint = killbill_import_catalog.endpoint AND p.effective_at = version.effective_at;
        INSERT INTO killbill_catalog AS c (endpoint, effective_at, catalog_name, digest)
            VALUES (killbill_import_catalog.endpoint, version.effective_at, version.catalog_name, version.digest)
            ON CONFLICT ON CONSTRAINT killbill_catalog_pkey DO UPDATE SET digest = excluded.digest, catalog_name = excluded.catalog_name, imported_at = clock_timestamp();
        FOR price IN SELECT p.* FROM unnest(prices) AS p WHERE p.effective_at = version.effective_at LOOP
            IF price.problem IS NULL AND (price.tariff IS NOT NULL OR price.kind = 'recurring' AND price.amount <> 0) THEN
                list_key := killbill_object('price_list', price.endpoint, concat_ws('/', version.catalog_name, price.price_list, price.currency));
                BEGIN
                    price.list_id := set_price_list(list_key, price.currency, killbill_import_catalog.seller);
                    price.item_id := killbill_ensure_item(price, killbill_import_catalog.seller);
                EXCEPTION WHEN data_exception THEN   -- a name or a currency that we cannot keep; the others go on
                    price.problem := SQLERRM;
                    price.list_id := NULL;
                    price.item_id := NULL;
                END;
                PERFORM killbill_check_owner(price);
            END IF;
            INSERT INTO killbill_price VALUES (price.*);
        END LOOP;
    END LOOP;
    IF changed <> '{}' THEN
        PERFORM killbill_set_prices(killbill_import_catalog.endpoint, killbill_import_catalog.seller, killbill_import_catalog.applies_to);
    END IF;
    RETURN QUERY
        SELECT p.effective_at, p.price_list, p.plan, killbill_price_name(p), p.currency,
               CASE WHEN p.problem IS NOT NULL THEN 'not expressed' WHEN NOT p.effective_at = ANY (changed) THEN 'unchanged' WHEN w.warning IS NOT NULL THEN 'differs'
                    WHEN p.item_id IS NULL THEN 'free' ELSE 'imported' END,
               coalesce(p.problem, CASE WHEN p.effective_at = ANY (changed) THEN w.warning END)
          FROM killbill_price AS p CROSS JOIN LATERAL (SELECT killbill_price_warning(p) AS warning) AS w
         WHERE p.endpoint = killbill_import_catalog.endpoint AND p.effective_at = ANY (versions)
         ORDER BY p.effective_at, p.price_no;
    RETURN QUERY
        SELECT NULL::timestamptz, NULL::text, NULL::text, v.catalog_name, NULL::text, 'not expressed'::text, 'a version whose effectiveDate is no instant'::text
          FROM killbill_catalog_versions(catalog) AS v WHERE v.effective_at IS NULL;
    RETURN QUERY
        SELECT c.effective_at, NULL::text, NULL::text, c.catalog_name, NULL::text, 'vanished'::text, 'the catalog no longer has this version; its prices stay as they are'::text
          FROM killbill_catalog AS c
         WHERE c.endpoint = killbill_import_catalog.endpoint AND c.effective_at <> ALL (versions);
END $$;
COMMENT ON FUNCTION billing.killbill_import_catalog(xml, text, text, text) IS
'Makes the price lists, meters, fees and prices that stand for a Kill Bill catalog, each price valid from its version to the next, and says what became of each. catalog: all versions as GET /1.0/kb/catalog/xml answers them, or one as it was uploaded. endpoint: whose catalog it is, or any name. seller: needed where there are several. applies_to: as for set_price(), needed when a changed price reaches into closed charge periods. Price lists are named CATALOG/LIST/CURRENCY, fees PLAN, meters PLAN/USAGE/UNIT (before a plan''s last phase: PHASE instead of PLAN) unless an external key of the endpoint names another object. outcome: imported, free (nothing to pay), unchanged (the version was imported before), differs (imported, but the server does otherwise, see detail), not expressed (and why), vanished (a version that the catalog had before). Errors: 22023 no catalog, 55000 applies_to is missing, or a price list of that name has the prices of another endpoint. Volatile.';
