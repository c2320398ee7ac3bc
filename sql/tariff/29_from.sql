-- Importing another product's own price.

CREATE FUNCTION billing.dialects() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT '{lago,openmeter,stripe,flexprice,meteroid,killbill,cloudkitty,waldur}'::text[] $$;
COMMENT ON FUNCTION billing.dialects() IS
'The products whose prices tariff_from() reads. Immutable.';

CREATE FUNCTION billing.tariff_from(dialect text, price jsonb, currency text DEFAULT NULL) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF price IS NULL THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(price) <> 'object' THEN
        RAISE EXCEPTION '% price must be a JSON object', dialect USING ERRCODE = 'invalid_parameter_value';
    END IF;
    CASE dialect
        WHEN 'lago' THEN RETURN billing.import_lago(price, currency);
        WHEN 'openmeter' THEN RETURN billing.import_openmeter(price, currency);
        WHEN 'stripe' THEN RETURN billing.import_stripe(price, currency);
        WHEN 'flexprice' THEN RETURN billing.import_flexprice(price, currency);
        WHEN 'meteroid' THEN RETURN billing.import_meteroid(price, currency);
        WHEN 'killbill' THEN RETURN billing.import_killbill(price, currency);
        WHEN 'cloudkitty' THEN RETURN billing.import_cloudkitty(price, currency);
        WHEN 'waldur' THEN RETURN billing.import_waldur(price, currency);
        ELSE RAISE EXCEPTION 'dialect "%" is not known', dialect USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Known dialects: %s.', array_to_string(billing.dialects(), ', '));
    END CASE;
END $$;
COMMENT ON FUNCTION billing.tariff_from(text, jsonb, text) IS
'A tariff that rates as another product does, from the product''s own price JSON: lago (a charge), openmeter (a price or rate card), stripe (a Price), flexprice (a price), meteroid (usage pricing), killbill (a usage section of the catalog), cloudkitty (the lists of the hashmap module), waldur (unit and unit_price). currency is needed where the price does not say it, and chooses one where it says several. Members that carry no price are ignored; one that is not known and holds a number or whose name speaks of a price, as an amount, rate, minimum or discount, is refused. A null price gives null. Errors: 0A000 names a price member or model that a tariff cannot express; 22023 names what is missing or contradicts itself, or an unknown dialect; 22P02 and 22003 as for a tariff.';

CREATE FUNCTION billing.tariff_from(dialect text, price xml, currency text DEFAULT NULL) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF dialect IS DISTINCT FROM 'killbill' THEN
        RAISE EXCEPTION 'prices of dialect "%" are no XML', dialect USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF price IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT xpath_exists('/usage', price) THEN
        RAISE EXCEPTION 'killbill price must be one usage element of a catalog' USING ERRCODE = 'invalid_parameter_value',
            HINT = CASE WHEN xpath_exists('/*[local-name() = "usage"]', price) THEN 'Take its namespace away: names are read without one.'
                        ELSE 'Give the element that begins with <usage.' END;
    END IF;
    RETURN billing.import_killbill(billing.import_killbill_element(price), currency);
END $$;
COMMENT ON FUNCTION billing.tariff_from(text, xml, text) IS
'The same for the usage element of a Kill Bill catalog. It gives the tariff that the JSON form gives. Errors: as there, and 0A000 when the server was built without XML.';

-- A bare literal fits jsonb and xml alike, and a text fits neither: this form takes both and looks which it is.
CREATE FUNCTION billing.tariff_from(dialect text, price text, currency text DEFAULT NULL) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF price ~ '^\s*<' THEN
        RETURN billing.tariff_from(dialect, xmlparse(CONTENT price), currency);
    END IF;
    RETURN billing.tariff_from(dialect, price::jsonb, currency);
END $$;
COMMENT ON FUNCTION billing.tariff_from(text, text, text) IS
'The same for a price as text: XML where it begins with <, else JSON. Errors: as there, and 22P02 for malformed JSON, 2200N for malformed XML.';
