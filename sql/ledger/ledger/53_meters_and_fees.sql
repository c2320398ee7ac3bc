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

CREATE FUNCTION billing.filter_fault(filter jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof($1) <> 'object' OR EXISTS (
               SELECT FROM jsonb_each($1) AS f(name, wanted)
                WHERE CASE jsonb_typeof(f.wanted)
                          WHEN 'array' THEN f.wanted = '[]' OR jsonb_path_exists(f.wanted, 'strict $[*] ? (@.type() == "object" || @.type() == "array")')
                          WHEN 'object' THEN f.wanted = '{}' OR EXISTS (
                              SELECT FROM jsonb_each(f.wanted) AS c(word, value)
                              CROSS JOIN LATERAL (SELECT coalesce(c.value #>> '{}', '') ~ '^-?\d{1,30}(\.\d{1,30})?$' AS is_number) AS n
                               WHERE CASE c.word WHEN 'present' THEN jsonb_typeof(c.value) <> 'boolean'
                                                 WHEN 'not' THEN jsonb_typeof(c.value) <> 'array' OR jsonb_path_exists(c.value, 'strict $[*] ? (@.type() == "object" || @.type() == "array")')
                                                 WHEN 'above' THEN NOT n.is_number WHEN 'from' THEN NOT n.is_number WHEN 'to' THEN NOT n.is_number WHEN 'below' THEN NOT n.is_number
                                                 ELSE true END)
                          ELSE true END)
           THEN format('filter must name lists of values by dimension, such as {"region": ["eu", "us"]}, or conditions, such as {"memory": {"above": 64}, "flavor": {"not": ["nano"]}}, not %s', $1) END
$$;
COMMENT ON FUNCTION billing.filter_fault(jsonb) IS 'What is wrong with a meter''s filter, as a sentence; null = nothing. Immutable.';

CREATE FUNCTION billing.check_meter(meter billing.meter_definition) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    wrong text;
BEGIN
    PERFORM check_word('aggregation', meter.aggregation, '{sum,count,max,min,avg,latest,unique_count,percentile,time_weighted,weighted_sum,increase}');
    PERFORM check_word('rounding', meter.rounding, '{half_up,half_even,up,down,ceiling,floor}');
    PERFORM check_word('prorated', meter.prorated, '{day_inclusive,day_half_open,second}');
    PERFORM check_word('mutate', meter.mutate, '{numbool,notnumbool,floor,ceil,map}');
    wrong := CASE
        WHEN coalesce(meter.unit, '') = '' THEN 'a meter needs a unit'
        WHEN (meter.aggregation = 'percentile') <> (meter.percentile IS NOT NULL) THEN 'percentile and aggregation => ''percentile'' need each other'
        WHEN meter.percentile <= 0 OR meter.percentile > 1 THEN format('percentile must be above 0 and at most 1, not %s', meter.percentile)
        WHEN meter.unique_dimension IS NOT NULL AND meter.aggregation <> 'unique_count' THEN 'unique_dimension needs aggregation => ''unique_count'''
        WHEN meter.operation_dimension IS NOT NULL AND meter.aggregation <> 'unique_count' THEN 'operation_dimension needs aggregation => ''unique_count'''
        WHEN meter.carried_over AND meter.aggregation NOT IN ('sum', 'weighted_sum', 'unique_count') THEN format('aggregation %s cannot be carried over; sum, weighted_sum and unique_count can', meter.aggregation)
        WHEN meter.prorated IS NOT NULL AND meter.aggregation NOT IN ('sum', 'unique_count') THEN format('aggregation %s cannot be prorated; sum and unique_count can', meter.aggregation)
        WHEN meter.proration_decimals IS NOT NULL AND meter.prorated IS NULL THEN 'proration_decimals needs prorated'
        WHEN meter.proration_decimals NOT BETWEEN 0 AND 15 THEN format('proration_decimals must be between 0 and 15, not %s', meter.proration_decimals)
        WHEN meter.level_holds IS NOT NULL AND meter.aggregation <> 'time_weighted' THEN 'level_holds needs aggregation => ''time_weighted'''
        WHEN meter.level_holds <= '0' THEN format('level_holds must be longer than nothing, not %s', meter.level_holds)
        WHEN meter.hours_in_month <> 'actual' AND meter.hours_in_month !~ '^\d{1,6}(\.\d{1,9})?$' OR meter.hours_in_month ~ '^[0.]*$'
            THEN format('hours_in_month must be ''actual'' or a number above 0, such as 720, not "%s"', meter.hours_in_month)
        WHEN (meter.mutate = 'map') IS TRUE <> (meter.mutate_map IS NOT NULL) THEN 'mutate_map and mutate => ''map'' need each other'
        WHEN (meter.rounding IS NULL) <> (meter.decimals IS NULL) THEN 'rounding and decimals need each other'
        WHEN meter.decimals NOT BETWEEN -15 AND 20 THEN format('decimals must be between -15 and 20, not %s', meter.decimals)
        WHEN array_position(meter.dimensions, NULL) IS NOT NULL OR '' = ANY (meter.dimensions) THEN 'a dimension must not be null or empty'
        WHEN cardinality(meter.dimensions) > 8 THEN format('at most 8 dimensions can make lines of their own, not %s', cardinality(meter.dimensions))
        WHEN EXISTS (SELECT FROM unnest(meter.dimensions) AS d WHERE octet_length(d) > 63) THEN 'the name of a dimension that makes lines of its own has at most 63 bytes'
        WHEN cardinality(meter.dimensions) > (SELECT count(DISTINCT d) FROM unnest(meter.dimensions) AS d) THEN format('dimensions %s name one twice', meter.dimensions)
        ELSE billing.filter_fault(meter.filter)
    END;
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = wrong;
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_meter(billing.meter_definition) IS 'Raises 22023 for a definition of a meter that makes no sense. Immutable.';

CREATE FUNCTION billing.read_factor(factor text, OUT multiply_by numeric, OUT divide_by numeric)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF factor !~ '^\s*-?\d{1,30}(\.\d{1,30})?\s*(/\s*\d{1,30}(\.\d{1,30})?\s*)?$' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('factor "%s" is neither a number nor a fraction', factor),
            HINT = 'Write 0.001 or 1/1048576.';
    END IF;
    multiply_by := split_part(factor, '/', 1);
    divide_by := coalesce(NULLIF(split_part(factor, '/', 2), ''), '1');
    IF divide_by = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('factor "%s" divides by 0', factor);
    END IF;
END $$;
COMMENT ON FUNCTION billing.read_factor(text) IS
'A factor written as a decimal number or as a fraction such as 1/1048576, as numerator and denominator, so that nothing is lost. Null for null. Errors: 22023 if it is neither, or divides by 0. Immutable.';

CREATE FUNCTION billing.read_mutate_map(mutate_map jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    entry  record;
    result jsonb := '{}';
BEGIN
    PERFORM check_object('mutate_map', mutate_map);
    FOR entry IN SELECT e.key, e.value FROM jsonb_each_text(mutate_map) AS e LOOP
        IF entry.key !~ '^-?\d{1,23}(\.\d{1,15})?$' OR coalesce(entry.value, '') !~ '^-?\d{1,23}(\.\d{1,15})?$' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('mutate_map takes decimal numbers to decimal numbers, not "%s" to %s', entry.key, coalesce('"' || entry.value || '"', 'null'));
        END IF;
        result := result || jsonb_build_object(trim_scale(entry.key::numeric)::text, entry.value::numeric);
    END LOOP;
    RETURN CASE WHEN mutate_map IS NOT NULL THEN result END;
END $$;
COMMENT ON FUNCTION billing.read_mutate_map(jsonb) IS
'A map of numbers to numbers with its keys written in one way (1.0 as 1); null for null. Errors: 22023 if something in it is no number. Immutable.';

CREATE FUNCTION billing.set_meter(
    key text, unit text DEFAULT NULL, aggregation text DEFAULT NULL, name text DEFAULT NULL, dimensions text[] DEFAULT NULL,
    filter jsonb DEFAULT NULL, rounding text DEFAULT NULL, decimals int DEFAULT NULL, percentile numeric DEFAULT NULL,
    unique_dimension text DEFAULT NULL, enabled boolean DEFAULT NULL, seller text DEFAULT NULL,
    operation_dimension text DEFAULT NULL, carried_over boolean DEFAULT NULL, prorated text DEFAULT NULL, proration_decimals int DEFAULT NULL,
    level_holds interval DEFAULT NULL, factor text DEFAULT NULL, offset_by numeric DEFAULT NULL, mutate text DEFAULT NULL,
    mutate_map jsonb DEFAULT NULL, hours_in_month text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_item int;
    former meter_definition;
    wanted meter_definition;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a meter', set_meter.key);
    -- before they are stored as smallint
    IF set_meter.decimals NOT BETWEEN -15 AND 20 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('decimals must be between -15 and 20, not %s', set_meter.decimals);
    ELSIF set_meter.proration_decimals NOT BETWEEN 0 AND 15 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('proration_decimals must be between 0 and 15, not %s', set_meter.proration_decimals);
    END IF;
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
    wanted.operation_dimension := NULLIF(coalesce(set_meter.operation_dimension, CASE WHEN wanted.aggregation = 'unique_count' THEN former.operation_dimension END), '');
    wanted.carried_over := coalesce(set_meter.carried_over, former.carried_over, false);
    wanted.prorated := NULLIF(coalesce(set_meter.prorated, former.prorated), '');
    wanted.proration_decimals := coalesce(set_meter.proration_decimals, CASE WHEN wanted.prorated IS NOT NULL THEN former.proration_decimals END);
    wanted.level_holds := coalesce(set_meter.level_holds, CASE WHEN wanted.aggregation = 'time_weighted' THEN former.level_holds END);
    SELECT f.multiply_by, f.divide_by INTO wanted.multiply_by, wanted.divide_by FROM read_factor(set_meter.factor) AS f;
    wanted.multiply_by := coalesce(wanted.multiply_by, former.multiply_by, 1);
    wanted.divide_by := coalesce(wanted.divide_by, former.divide_by, 1);
    wanted.offset_by := coalesce(set_meter.offset_by, former.offset_by, 0);
    wanted.mutate := NULLIF(lower(coalesce(set_meter.mutate, former.mutate)), '');
    wanted.mutate_map := CASE WHEN wanted.mutate = 'map' THEN read_mutate_map(coalesce(set_meter.mutate_map, former.mutate_map)) ELSE set_meter.mutate_map END;
    wanted.hours_in_month := NULLIF(coalesce(set_meter.hours_in_month, former.hours_in_month), '');
    PERFORM check_meter(wanted);
    IF wanted IS DISTINCT FROM former THEN
        wanted.known := tstzrange(stamp_after(lower(former.known)), NULL);
        wanted.recorded_by := session_user;
        UPDATE meter_definition AS d SET known = tstzrange(lower(d.known), lower(wanted.known)) WHERE d.item_id = this_item AND upper_inf(d.known);
        INSERT INTO meter_definition VALUES (wanted.*);
    END IF;
    RETURN this_item;
END $$;
COMMENT ON FUNCTION billing.set_meter(text, text, text, text, text[], jsonb, text, int, numeric, text, boolean, text, text, boolean, text, int, interval, text, numeric, text, jsonb, text) IS
'Makes or changes the meter with that key and returns its number. unit: UN/ECE Recommendation 20 code or any word, needed when new. aggregation: sum (default), count, max, min, avg, latest, unique_count, percentile, time_weighted, weighted_sum, increase; doc/metering.md explains each. name: what invoices call it. dimensions: those that make charge lines of their own; ''resource'' stands for the resource. filter: usage counts only where each named dimension has one of the listed values, {"region": ["eu", "us"]}, or keeps conditions, {"memory": {"above": 64}}. rounding (half_up, half_even, up, down) with decimals: of the quantity of a period; rounding '''' = none. percentile: above 0 to 1. unique_dimension: what unique_count counts, '''' = the resource. enabled: false = nothing is charged. operation_dimension: for unique_count, the dimension whose value remove takes away what was added, '''' = none. carried_over: sum, weighted_sum and unique_count go on from earlier periods. prorated (day_inclusive, day_half_open, second, '''' = not): sum and unique_count count with the part of the period from their time on, and graduated and volume prices walk their tiers in time order. proration_decimals: both what was carried over and what came in the period are rounded up there. level_holds: longest time that a time_weighted level holds without a new report. factor: charged units a recorded unit, a number or a fraction such as 1/1048576. offset_by: added to each usage row after the factor. mutate (numbool, notnumbool, floor, ceil, map with mutate_map, '''' = none): what then becomes of each row. hours_in_month (actual, or a number such as 720, 730, 744; '''' = none): unit-hours become unit-months of so many hours. A change holds for every period that is not pinned. Errors: 22023 bad argument, 42704 unknown seller, 55000 another seller''s meter. Volatile.';

CREATE FUNCTION billing.set_fee(
    key text, name text DEFAULT NULL, unit text DEFAULT NULL, in_advance boolean DEFAULT NULL, seller text DEFAULT NULL, proration text DEFAULT NULL,
    price_days int DEFAULT NULL) RETURNS int
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
    wanted.price_days := NULLIF(coalesce(set_fee.price_days, former.price_days), 0);
    IF wanted.price_days NOT BETWEEN 1 AND 36600 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('price_days must be between 1 and 36600, or 0 for none, not %s', wanted.price_days);
    ELSIF wanted.price_days IS NOT NULL AND wanted.proration NOT IN ('day_half_open', 'day_inclusive') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('price_days needs a proration that counts days, not %s', wanted.proration),
            HINT = 'Use day_half_open or day_inclusive, or set price_days to 0.';
    END IF;
    IF wanted IS DISTINCT FROM former THEN
        wanted.known := tstzrange(stamp_after(lower(former.known)), NULL);
        wanted.recorded_by := session_user;
        UPDATE fee_definition AS d SET known = tstzrange(lower(d.known), lower(wanted.known)) WHERE d.item_id = this_item AND upper_inf(d.known);
        INSERT INTO fee_definition VALUES (wanted.*);
    END IF;
    RETURN this_item;
END $$;
COMMENT ON FUNCTION billing.set_fee(text, text, text, boolean, text, text, int) IS
'Makes or changes the recurring fee with that key and returns its number. name: what invoices call it. unit: what the quantity counts, default month. in_advance: true = due at the start of each charge period, false (default) = at its end. proration: how a part of a period is charged, a rule of prorate(): day_half_open (default), by days, the day on which a subscription ends is free; day_inclusive, that day is charged too; second, by elapsed time; month, half_month, day, hour: the price is for one of these and the quantity of each calendar month rounded up as Waldur does. price_days: the price is for so many days instead of for the charge period, where days are counted (365 for an annual price that is charged by the days of each charge period); 0 = for the charge period. A change holds for every period that is not pinned. Errors: 22023 bad argument, 42704 unknown seller, 55000 another seller''s fee. Volatile.';
