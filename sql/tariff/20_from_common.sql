-- What the importers of other products' prices share.

CREATE FUNCTION billing.import_absent(member jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE($1, 'null') IN ('null', 'false', '""', '[]', '{}') OR $1 #>> '{}' ~ '^0*[.]?0*$' $$;
COMMENT ON FUNCTION billing.import_absent(jsonb) IS
'Behind tariff_from: whether a member says nothing: it is not there, null, false, zero or empty.';

CREATE FUNCTION billing.import_refuse(dialect text, price jsonb, VARIADIC members text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found text;
BEGIN
    SELECT m.name INTO found
      FROM unnest(members) AS m(name)
     WHERE NOT billing.import_absent(price -> m.name)
     LIMIT 1;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION '% price has %, which a tariff cannot express', dialect, found
            USING ERRCODE = 'feature_not_supported', DETAIL = format('%s is %s.', found, price -> found);
    END IF;
END $$;
COMMENT ON FUNCTION billing.import_refuse(text, jsonb, text[]) IS
'Behind tariff_from: raises 0A000 that names the first of the members which the price has; a null, false, zero or empty member counts as absent.';

-- A product may add a price member at any time.  A list of refused members would lose it in silence, and a list of allowed ones would refuse
-- every new name or date.  So an importer names what it reads and what the product documents as no price; any other member is judged by what it
-- holds: a number, or a name with a word of prices, is refused.

CREATE FUNCTION billing.import_words(member text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT regexp_split_to_array(lower(regexp_replace($1, '([a-z0-9])([A-Z])', '\1_\2', 'g')), '[^a-z0-9]+') $$;
COMMENT ON FUNCTION billing.import_words(text) IS
'Behind tariff_from: the words of a member''s name in lower case, as {min,quantity} of minQuantity and of min_quantity.';

CREATE FUNCTION billing.import_speaks_of_price(member text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT w.words && '{price,prices,pricing,amount,amounts,cents,cost,costs,fee,fees,rate,rates,min,minimum,minimums,max,maximum,maximums,cap,caps,commit,commitment,commitments,
                        discount,discounts,coupon,coupons,credit,credits,free,included,allowance,overage,surcharge,markup,margin,percent,percentage,multiplier,tier,tiers}'::text[]
           AND w.words[1] <> 'display'
           AND w.words[cardinality(w.words)] <> ALL ('{id,ids,name,names,code,codes,key,keys,type,at,date,currency,description,cadence,period,policy,status,mode,url,version}'::text[])
      FROM billing.import_words($1) AS w(words)
    $$;
COMMENT ON FUNCTION billing.import_speaks_of_price(text) IS
'Behind tariff_from: whether the name of a member has a word of prices, as minQuantity and flat_discount have; price_id, amount_currency and display_amount, which only tell of one, have not.';

CREATE FUNCTION billing.import_only_tells(member text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT w.words[cardinality(w.words)] = ANY ('{id,ids,uuid,name,names,code,codes,key,keys,sku,slug,type,at,on,date,time,timestamp,created,updated,currency,title,description,
                                                  label,reference,ref,cadence,policy,status,mode,url,uri,href,link,version,revision,position}'::text[])
           AND NOT w.words && '{per,each,every}'
      FROM billing.import_words($1) AS w(words)
    $$;
COMMENT ON FUNCTION billing.import_only_tells(text) IS
'Behind tariff_from: whether the last word of a member''s name says that a number there counts nothing, as those of external_id, createdAt and version do; per_key says no such thing.';

CREATE FUNCTION billing.import_is_number(member jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT jsonb_typeof($1) = 'number' OR jsonb_typeof($1) = 'string'
             AND $1 #>> '{}' ~ '^[^[:alnum:]]*([A-Z]{3})?[^[:alnum:]]*[0-9][0-9., _'']*([eE][-+]?[0-9]+)?[^[:alnum:]]*([A-Z]{3})?[^[:alnum:]]*$' $$;
COMMENT ON FUNCTION billing.import_is_number(jsonb) IS
'Behind tariff_from: whether a member is a number, or text that is one, also with a sign of a currency or a percent sign, as "5", "1,000.50 USD" and "10 %"; dates and identifiers are none.';

CREATE FUNCTION billing.import_unknown_price(member text, value jsonb, depth int DEFAULT 0) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    inner_member text;
    inner_value  jsonb;
    found        text;
BEGIN
    IF billing.import_absent(value) THEN
        RETURN NULL;
    ELSIF billing.import_speaks_of_price(member) OR depth > 16 THEN
        RETURN member;
    END IF;
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            FOR inner_member, inner_value IN SELECT m.key, m.value FROM jsonb_each(value) AS m LOOP
                found := COALESCE(found, member || '.' || billing.import_unknown_price(inner_member, inner_value, depth + 1));
            END LOOP;
        WHEN 'array' THEN
            FOR inner_value IN SELECT e.value FROM jsonb_array_elements(value) AS e LOOP
                found := COALESCE(found, billing.import_unknown_price(member, inner_value, depth + 1));
            END LOOP;
        ELSE
            found := CASE WHEN billing.import_is_number(value) AND NOT billing.import_only_tells(member) THEN member END;
    END CASE;
    RETURN found;
END $$;
COMMENT ON FUNCTION billing.import_unknown_price(text, jsonb, int) IS
'Behind tariff_from: which part of a member that is not known may be a price, as extra.surcharge; null when none: nothing below it is a number or is named like a price. What is nested more than 16 deep counts as one. depth: how deep the member itself is.';

CREATE FUNCTION billing.import_refuse_unknown(dialect text, price jsonb, place text, VARIADIC known text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other text;
    value jsonb;
BEGIN
    IF jsonb_typeof(price) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION '% of the % price must be an object', rtrim(place, '.'), dialect
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', left(price::text, 200));
    END IF;
    SELECT u.path, m.value INTO other, value
      FROM jsonb_each(price) AS m
     CROSS JOIN LATERAL billing.import_unknown_price(m.key, m.value) AS u(path)
     WHERE m.key <> ALL (known) AND m.key <> 'metadata' AND u.path IS NOT NULL
     LIMIT 1;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION '% price has %, which a tariff cannot express', dialect, place || other
            USING ERRCODE = 'feature_not_supported', DETAIL = format('%s is %s.', place || other, left(value::text, 200)),
                  HINT = 'Take it out of the price if it does not change what is charged.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.import_refuse_unknown(text, jsonb, text, text[]) IS
'Behind tariff_from: raises 0A000 that names a member beside the known ones which holds a number or is named like a price, so that no price is lost in silence. known: the members that are read, and those that the product documents as no price. metadata and other text, true, false and empty members are ignored. place: what stands before the name, as tiers[0]., or nothing. 22023 when price is no object.';

CREATE FUNCTION billing.import_refuse_inclusive(dialect text, price jsonb, VARIADIC path text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lower(price #>> path) = 'inclusive' THEN
        RAISE EXCEPTION '% price has % inclusive, which a tariff cannot express', dialect, array_to_string(path, '.')
            USING ERRCODE = 'feature_not_supported', HINT = 'A tariff is net of tax: import the price without the tax it contains.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.import_refuse_inclusive(text, jsonb, text[]) IS
'Behind tariff_from: raises 0A000 when the member at the path says that amounts contain their tax.';

CREATE FUNCTION billing.import_object(dialect text, price jsonb, VARIADIC path text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb := COALESCE(NULLIF(price #> path, 'null'), '{}');
BEGIN
    IF jsonb_typeof(found) <> 'object' THEN
        RAISE EXCEPTION '% of the % price must be an object', array_to_string(path, '.'), dialect
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', found);
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION billing.import_object(text, jsonb, text[]) IS
'Behind tariff_from: the object at the path, empty when it is absent or null; 22023 names one that is something else, whose members would be lost in silence.';

CREATE FUNCTION billing.import_text(dialect text, price jsonb, VARIADIC path text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF price #>> path IS NULL THEN
        RAISE EXCEPTION '% price has no %', dialect, array_to_string(path, '.') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN price #>> path;
END $$;
COMMENT ON FUNCTION billing.import_text(text, jsonb, text[]) IS
'Behind tariff_from: the member at the path as text, or 22023 that names it when it is absent or null.';

CREATE FUNCTION billing.import_number(dialect text, price jsonb, VARIADIC path text[]) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number numeric;
BEGIN
    number := price #>> path;
    IF number IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE invalid_text_representation;
    ELSIF abs(number) >= 1e36 OR scale(trim_scale(number)) > 36 THEN
        RAISE numeric_value_out_of_range;
    END IF;
    RETURN number;
EXCEPTION WHEN numeric_value_out_of_range THEN
    RAISE EXCEPTION '% of the % price has more than 36 digits', array_to_string(path, '.'), dialect USING ERRCODE = 'numeric_value_out_of_range';
WHEN invalid_text_representation THEN
    RAISE EXCEPTION '% of the % price must be a number, not "%"', array_to_string(path, '.'), dialect, price #>> path
        USING ERRCODE = 'invalid_parameter_value';
END $$;
COMMENT ON FUNCTION billing.import_number(text, jsonb, text[]) IS
'Behind tariff_from: the member at the path as an exact number, null when it is absent; 22023 names a member that is none, 22003 one of more than 36 digits.';

CREATE FUNCTION billing.import_amount(dialect text, price jsonb, VARIADIC path text[]) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN billing.import_text($1, $2, VARIADIC $3) IS NOT NULL THEN billing.import_number($1, $2, VARIADIC $3) END $$;
COMMENT ON FUNCTION billing.import_amount(text, jsonb, text[]) IS
'Behind tariff_from: the member at the path as an exact number; 22023 names one that is absent, null or none.';

CREATE FUNCTION billing.import_one(dialect text, member text, VARIADIC spellings numeric[]) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found numeric[] := (SELECT array_agg(DISTINCT s.value) FROM unnest(spellings) AS s(value) WHERE s.value IS NOT NULL);
BEGIN
    IF cardinality(found) > 1 THEN
        RAISE EXCEPTION '% price says both % and % for %', dialect, found[1], found[2], member USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN found[1];
END $$;
COMMENT ON FUNCTION billing.import_one(text, text, numeric[]) IS
'Behind tariff_from: the value of a member that a price may spell in several ways or places, null without any; 22023 when they contradict each other.';

CREATE FUNCTION billing.import_array(dialect text, price jsonb, VARIADIC path text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    position bigint;
    element  jsonb;
BEGIN
    IF jsonb_typeof(price #> path) IS DISTINCT FROM 'array' OR price #> path = '[]' THEN
        RAISE EXCEPTION '% of the % price must be an array that is not empty', array_to_string(path, '.'), dialect
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR position, element IN SELECT e.position - 1, e.value FROM jsonb_array_elements(price #> path) WITH ORDINALITY AS e(value, position) LOOP
        IF jsonb_typeof(element) <> 'object' THEN
            RAISE EXCEPTION '%[%] of the % price must be an object', array_to_string(path, '.'), position, dialect
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', element);
        END IF;
    END LOOP;
    RETURN price #> path;
END $$;
COMMENT ON FUNCTION billing.import_array(text, jsonb, text[]) IS
'Behind tariff_from: the array of objects at the path; 22023 names one that is absent, empty or no array, and an element that is no object.';

CREATE FUNCTION billing.import_currency(dialect text, own text, given text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF own IS NULL AND given IS NULL THEN
        RAISE EXCEPTION '% price has no currency', dialect
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give it as the third argument of tariff_from.';
    END IF;
    IF upper(own) <> upper(given) THEN
        RAISE EXCEPTION 'currency of the % price is %, not %', dialect, upper(own), upper(given) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN upper(COALESCE(own, given));
END $$;
COMMENT ON FUNCTION billing.import_currency(text, text, text) IS
'Behind tariff_from: the currency, which the price says itself (own) or the caller (given); 22023 when neither says it or they contradict each other.';

CREATE FUNCTION billing.import_minor_unit(dialect text, currency text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digits int;
BEGIN
    SELECT c.minor_unit INTO digits FROM billing.currencies() AS c WHERE c.code = $2;
    IF digits IS NULL THEN
        RAISE EXCEPTION '% price counts minor units, but currency "%" has none', dialect, $2 USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN ('1e-' || digits)::numeric;
END $$;
COMMENT ON FUNCTION billing.import_minor_unit(text, text) IS
'Behind tariff_from: the value of one minor unit, 0.01 for a cent; 22023 for a currency without one.';

CREATE FUNCTION billing.import_tariff(dialect text, currency text, members jsonb) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong text;
BEGIN
    RETURN (jsonb_strip_nulls(members) || jsonb_build_object('dialect', dialect, 'currency', currency))::billing.tariff;
EXCEPTION WHEN invalid_text_representation OR numeric_value_out_of_range THEN
    GET STACKED DIAGNOSTICS wrong = PG_EXCEPTION_DETAIL;
    RAISE EXCEPTION '% price gives no tariff: %', dialect, COALESCE(NULLIF(wrong, ''), SQLERRM) USING ERRCODE = SQLSTATE, DETAIL = left(members::text, 1000);
END $$;
COMMENT ON FUNCTION billing.import_tariff(text, text, jsonb) IS
'Behind tariff_from: the tariff with these members, null ones left out. Errors: those of a tariff''s input, 22P02 and 22003, which name its member.';
