-- Meters and fees: what can have a price.

CREATE FUNCTION billing.ensure_item(kind text, key text, seller text) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_item int;
    owner_id  int;
BEGIN
    SELECT i.item_id, i.seller_id INTO this_item, owner_id FROM item AS i
     WHERE i.kind = ensure_item.kind AND i.key = ensure_item.key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        owner_id := find_seller(ensure_item.seller);
        INSERT INTO item AS i (kind, key, seller_id) VALUES (ensure_item.kind, ensure_item.key, owner_id)
            ON CONFLICT DO NOTHING RETURNING i.item_id INTO this_item;
        IF NOT FOUND THEN
            RETURN ensure_item(ensure_item.kind, ensure_item.key, ensure_item.seller);
        END IF;
    ELSIF ensure_item.seller IS NOT NULL AND find_seller(ensure_item.seller) <> owner_id THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('%s "%s" belongs to seller "%s"', ensure_item.kind, ensure_item.key, (SELECT s.key FROM seller AS s WHERE s.seller_id = owner_id)),
            HINT = 'Keys are unique over all sellers. Any seller may price it; only its owner defines it.';
    END IF;
    RETURN this_item;
END $$;
COMMENT ON FUNCTION billing.ensure_item(text, text, text) IS
'Number of the meter or fee with that key, locked to the end of the transaction; made for that seller if it is new. Errors: 55000 if it belongs to another seller. Used by set_meter() and set_fee(). Volatile.';

CREATE FUNCTION billing.check_meter(meter billing.meter_definition) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    wrong text;
BEGIN
    PERFORM check_word('aggregation', meter.aggregation, '{sum,count,max,min,avg,latest,unique_count,percentile,time_weighted}');
    PERFORM check_word('rounding', meter.rounding, '{half_up,half_even,up,down}');
    wrong := CASE
        WHEN coalesce(meter.unit, '') = '' THEN 'a meter needs a unit'
        WHEN (meter.aggregation = 'percentile') <> (meter.percentile IS NOT NULL) THEN 'percentile and aggregation => ''percentile'' need each other'
        WHEN meter.percentile <= 0 OR meter.percentile > 1 THEN format('percentile must be above 0 and at most 1, not %s', meter.percentile)
        WHEN meter.unique_dimension IS NOT NULL AND meter.aggregation <> 'unique_count' THEN 'unique_dimension needs aggregation => ''unique_count'''
        WHEN (meter.rounding IS NULL) <> (meter.decimals IS NULL) THEN 'rounding and decimals need each other'
        WHEN meter.decimals NOT BETWEEN -15 AND 15 THEN format('decimals must be between -15 and 15, not %s', meter.decimals)
        WHEN array_position(meter.dimensions, NULL) IS NOT NULL OR '' = ANY (meter.dimensions) THEN 'a dimension must not be null or empty'
        WHEN cardinality(meter.dimensions) > (SELECT count(DISTINCT d) FROM unnest(meter.dimensions) AS d) THEN format('dimensions %s name one twice', meter.dimensions)
        WHEN jsonb_typeof(meter.filter) <> 'object' OR jsonb_path_exists(meter.filter, 'strict $.* ? (@.type() != "array" || @.size() == 0)')
            OR jsonb_path_exists(meter.filter, 'strict $.*[*] ? (@.type() == "object" || @.type() == "array")')
            THEN format('filter must name lists of values by dimension, such as {"region": ["eu", "us"]}, not %s', meter.filter)
    END;
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = wrong;
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_meter(billing.meter_definition) IS 'Raises 22023 for a definition of a meter that makes no sense. Immutable.';

CREATE FUNCTION billing.set_meter(
    key text, unit text DEFAULT NULL, aggregation text DEFAULT NULL, name text DEFAULT NULL, dimensions text[] DEFAULT NULL,
    filter jsonb DEFAULT NULL, rounding text DEFAULT NULL, decimals int DEFAULT NULL, percentile numeric DEFAULT NULL,
    unique_dimension text DEFAULT NULL, enabled boolean DEFAULT NULL, seller text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_item int;
    former meter_definition;
    wanted meter_definition;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a meter', set_meter.key);
    this_item := ensure_item('meter', set_meter.key, set_meter.seller);
    SELECT d.* INTO former FROM meter_definition AS d WHERE d.item_id = this_item AND upper_inf(d.known);
    wanted := former;
    wanted.item_id := this_item;
    wanted.kind := 'meter';
    wanted.name := NULLIF(coalesce(set_meter.name, former.name), '');
    wanted.unit := coalesce(set_meter.unit, former.unit);
    wanted.aggregation := coalesce(set_meter.aggregation, former.aggregation, 'sum');
    wanted.dimensions := coalesce(set_meter.dimensions, former.dimensions, '{}');
    wanted.filter := coalesce(set_meter.filter, former.filter, '{}');
    wanted.rounding := NULLIF(coalesce(set_meter.rounding, former.rounding), '');
    wanted.decimals := CASE WHEN set_meter.rounding = '' THEN NULL ELSE coalesce(set_meter.decimals, former.decimals) END;
    wanted.percentile := coalesce(set_meter.percentile, CASE WHEN wanted.aggregation = 'percentile' THEN former.percentile END);
    wanted.unique_dimension := NULLIF(coalesce(set_meter.unique_dimension, CASE WHEN wanted.aggregation = 'unique_count' THEN former.unique_dimension END), '');
    wanted.enabled := coalesce(set_meter.enabled, former.enabled, true);
    PERFORM check_meter(wanted);
    IF wanted IS DISTINCT FROM former THEN
        wanted.known := tstzrange(stamp_after(lower(former.known)), NULL);
        wanted.recorded_by := session_user;
        UPDATE meter_definition AS d SET known = tstzrange(lower(d.known), lower(wanted.known)) WHERE d.item_id = this_item AND upper_inf(d.known);
        INSERT INTO meter_definition VALUES (wanted.*);
    END IF;
    RETURN this_item;
END $$;
COMMENT ON FUNCTION billing.set_meter(text, text, text, text, text[], jsonb, text, int, numeric, text, boolean, text) IS
'Makes or changes the meter with that key and returns its number. unit: UN/ECE Recommendation 20 code or any word, needed when new. aggregation: sum (default), count, max, min, avg, latest, unique_count, percentile, time_weighted. name: what invoices call it. dimensions: those that make charge lines of their own; ''resource'' stands for the resource. filter: usage counts only where each named dimension has one of the listed values, {"region": ["eu", "us"]}. rounding (half_up, half_even, up, down) with decimals: of the quantity of a period; rounding '''' = none. percentile: above 0 to 1. unique_dimension: what unique_count counts, '''' = the resource. enabled: false = nothing is charged. A change holds for every period that is not pinned. Errors: 22023 bad argument, 42704 unknown seller, 55000 another seller''s meter. Volatile.';

CREATE FUNCTION billing.set_fee(
    key text, name text DEFAULT NULL, unit text DEFAULT NULL, in_advance boolean DEFAULT NULL, seller text DEFAULT NULL, proration text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_item int;
    former fee_definition;
    wanted fee_definition;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a fee', set_fee.key);
    IF set_fee.unit = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a fee needs a unit';
    END IF;
    PERFORM check_word('proration', set_fee.proration, '{day_half_open,day_inclusive,second,month,half_month,day,hour}');
    this_item := ensure_item('fee', set_fee.key, set_fee.seller);
    SELECT d.* INTO former FROM fee_definition AS d WHERE d.item_id = this_item AND upper_inf(d.known);
    wanted := former;
    wanted.item_id := this_item;
    wanted.kind := 'fee';
    wanted.name := NULLIF(coalesce(set_fee.name, former.name), '');
    wanted.unit := coalesce(set_fee.unit, former.unit, 'month');
    wanted.in_advance := coalesce(set_fee.in_advance, former.in_advance, false);
    wanted.proration := coalesce(set_fee.proration, former.proration, 'day_half_open');
    IF wanted IS DISTINCT FROM former THEN
        wanted.known := tstzrange(stamp_after(lower(former.known)), NULL);
        wanted.recorded_by := session_user;
        UPDATE fee_definition AS d SET known = tstzrange(lower(d.known), lower(wanted.known)) WHERE d.item_id = this_item AND upper_inf(d.known);
        INSERT INTO fee_definition VALUES (wanted.*);
    END IF;
    RETURN this_item;
END $$;
COMMENT ON FUNCTION billing.set_fee(text, text, text, boolean, text, text) IS
'Makes or changes the recurring fee with that key and returns its number. name: what invoices call it. unit: what the quantity counts, default month. in_advance: true = due at the start of each charge period, false (default) = at its end. proration: how a part of a period is charged, a rule of prorate(): day_half_open (default), by days, the day on which a subscription ends is free; day_inclusive, that day is charged too; second, by elapsed time; month, half_month, day, hour: the price is for one of these and the quantity of each calendar month rounded up as Waldur does. A change holds for every period that is not pinned. Errors: 22023 bad argument, 42704 unknown seller, 55000 another seller''s fee. Volatile.';
