-- What the importers of other products' prices share.

CREATE FUNCTION billing.import_refuse(dialect text, price jsonb, VARIADIC members text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found text;
BEGIN
    SELECT m.name INTO found
      FROM unnest(members) AS m(name)
     WHERE COALESCE(price -> m.name, 'null') NOT IN ('null', 'false', '""', '[]', '{}') AND price ->> m.name !~ '^0*[.]?0*$'
     LIMIT 1;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION '% price has %, which a tariff cannot express', dialect, found
            USING ERRCODE = 'feature_not_supported', DETAIL = format('%s is %s.', found, price -> found);
    END IF;
END $$;
COMMENT ON FUNCTION billing.import_refuse(text, jsonb, text[]) IS
'Behind tariff_from: raises 0A000 that names the first of the members which the price has; a null, false, zero or empty member counts as absent.';

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
BEGIN
    RETURN (price #>> path)::numeric;
EXCEPTION WHEN invalid_text_representation THEN
    RAISE EXCEPTION '% of the % price must be a number, not "%"', array_to_string(path, '.'), dialect, price #>> path
        USING ERRCODE = 'invalid_parameter_value';
END $$;
COMMENT ON FUNCTION billing.import_number(text, jsonb, text[]) IS
'Behind tariff_from: the member at the path as an exact number, null when it is absent; 22023 names a member that is none.';

CREATE FUNCTION billing.import_array(dialect text, price jsonb, VARIADIC path text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(price #> path) IS DISTINCT FROM 'array' OR price #> path = '[]' THEN
        RAISE EXCEPTION '% of the % price must be an array that is not empty', array_to_string(path, '.'), dialect
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN price #> path;
END $$;
COMMENT ON FUNCTION billing.import_array(text, jsonb, text[]) IS
'Behind tariff_from: the array at the path; 22023 names one that is absent, empty or no array.';

CREATE FUNCTION billing.import_currency(dialect text, own text, given text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF own IS NULL AND given IS NULL THEN
        RAISE EXCEPTION '% price has no currency', dialect
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give it as the third argument of tariff_from.';
    END IF;
    IF upper(own) <> upper(given) THEN
        RAISE EXCEPTION '% price is in %, not in %', dialect, upper(own), upper(given) USING ERRCODE = 'invalid_parameter_value';
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
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT (jsonb_strip_nulls($3) || jsonb_build_object('dialect', $1, 'currency', $2))::billing.tariff $$;
COMMENT ON FUNCTION billing.import_tariff(text, text, jsonb) IS
'Behind tariff_from: the tariff with these members, null ones left out. Errors: those of a tariff''s input, 22P02 and 22003.';
