-- Finding objects of the catalog by key, and judging what a caller gave: used by all set_ functions.
--
-- How every set_ function behaves: it is an upsert by key in the caller's transaction.  An argument left out (null) keeps the former
-- value, an empty text clears it.  A change is a new fact; a call that changes nothing writes nothing, so that no run looks at
-- anything without reason.  Writers of one object wait for each other on the row of the object (a row lock, because advisory locks
-- of a hundred thousand accounts would not fit into the lock table).

CREATE FUNCTION billing.find_seller(key text) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    sellers int[];
BEGIN
    IF find_seller.key IS NULL THEN
        sellers := ARRAY(SELECT s.seller_id FROM seller AS s LIMIT 2);
    ELSE
        sellers := ARRAY(SELECT s.seller_id FROM seller AS s WHERE s.key = find_seller.key);
    END IF;
    IF cardinality(sellers) = 1 THEN
        RETURN sellers[1];
    ELSIF find_seller.key IS NOT NULL THEN
        RAISE undefined_object USING MESSAGE = format('seller "%s" does not exist', find_seller.key),
            HINT = 'Make it with billing.set_seller().';
    ELSIF cardinality(sellers) = 0 THEN
        RAISE undefined_object USING MESSAGE = 'this ledger has no seller',
            HINT = 'Make one with billing.set_seller().';
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = 'this ledger has several sellers, and none was named',
        HINT = 'Name the seller: seller => ''key''.';
END $$;
COMMENT ON FUNCTION billing.find_seller(text) IS
'Number of the seller with that key; null stands for the only seller. Errors: 42704 if there is none, 22023 if key is null and there are several. Stable.';

CREATE FUNCTION billing.find_account(key text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    account_id bigint := (SELECT a.account_id FROM account AS a WHERE a.key = find_account.key);
BEGIN
    IF account_id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('account %s does not exist', coalesce('"' || find_account.key || '"', 'null')),
            HINT = 'Make it with billing.set_account().';
    END IF;
    RETURN account_id;
END $$;
COMMENT ON FUNCTION billing.find_account(text) IS 'Number of the account with that key. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.find_item(key text, kind text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    items int[];
BEGIN
    IF find_item.kind NOT IN ('meter', 'fee') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('kind must be meter or fee, not "%s"', find_item.kind);
    END IF;
    items := ARRAY(SELECT i.item_id FROM item AS i
                    WHERE i.key = find_item.key AND i.kind = coalesce(find_item.kind, i.kind));
    IF cardinality(items) = 1 THEN
        RETURN items[1];
    ELSIF cardinality(items) = 0 THEN
        RAISE undefined_object USING
            MESSAGE = format('%s %s does not exist', coalesce(find_item.kind, 'meter or fee'), coalesce('"' || find_item.key || '"', 'null')),
            HINT = 'Make it with billing.set_meter() or billing.set_fee().';
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = format('"%s" is a meter and a fee', find_item.key),
        HINT = 'Say which: kind => ''meter'' or kind => ''fee''.';
END $$;
COMMENT ON FUNCTION billing.find_item(text, text) IS
'Number of the meter or fee with that key; kind (meter or fee) is needed only where both have it. Errors: 42704 if there is none, 22023 if there are two or kind is another word. Stable.';

CREATE FUNCTION billing.find_price_list(seller_id int, key text) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    list_id int := (SELECT l.list_id FROM price_list AS l WHERE l.seller_id = find_price_list.seller_id AND l.key = find_price_list.key);
BEGIN
    IF list_id IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('seller "%s" has no price list "%s"',
                (SELECT s.key FROM seller AS s WHERE s.seller_id = find_price_list.seller_id), find_price_list.key),
            HINT = 'Make it with billing.set_price_list().';
    END IF;
    RETURN list_id;
END $$;
COMMENT ON FUNCTION billing.find_price_list(int, text) IS 'Number of the price list of that seller with that key. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.default_price_list(seller_id int, currency text) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    list_id int := (SELECT l.list_id FROM price_list AS l
                     WHERE l.seller_id = default_price_list.seller_id AND l.currency = default_price_list.currency
                       AND l.key IN ('default', 'default-' || default_price_list.currency)
                     ORDER BY l.key LIMIT 1);
    seller_key text;
BEGIN
    IF list_id IS NULL THEN
        PERFORM check_currency(default_price_list.currency);
        SELECT s.key INTO seller_key FROM seller AS s WHERE s.seller_id = default_price_list.seller_id;
        RAISE undefined_object USING
            MESSAGE = format('seller "%s" has no default price list in %s', seller_key, default_price_list.currency),
            HINT = format('Make one with billing.set_price_list(''default-%s'', currency => ''%s'', seller => ''%s''), or name another list with price_list =>.',
                default_price_list.currency, default_price_list.currency, seller_key);
    END IF;
    RETURN list_id;
END $$;
COMMENT ON FUNCTION billing.default_price_list(int, text) IS
'Number of the price list that holds where none is named: the seller''s list ''default'' if it is in that currency, otherwise its list ''default-'' followed by the currency code. Errors: 42704 if there is neither, 22023 if the currency cannot be invoiced in. Stable.';

CREATE FUNCTION billing.check_key(what text, key text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF check_key.key IS NULL OR btrim(check_key.key) = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the key of %s must not be %s', what, CASE WHEN check_key.key IS NULL THEN 'null' ELSE 'empty' END);
    ELSIF octet_length(check_key.key) > 1000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the key of %s is %s bytes long, at most 1000 are allowed', what, octet_length(check_key.key));
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_key(text, text) IS 'Raises 22023 if the key of an object (what: "a seller", …) is null, blank or longer than 1000 bytes. Immutable.';

CREATE FUNCTION billing.check_word(argument text, word text, allowed text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF word <> ALL (allowed) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s "%s" is not known', argument, word),
            HINT = format('It is one of: %s.', array_to_string(allowed, ', '));
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_word(text, text, text[]) IS 'Raises 22023 if the word given for an argument is none of those allowed; null passes. Immutable.';

CREATE FUNCTION billing.check_object(argument text, value jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s must be a JSON object, not %s', argument, value);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_object(text, jsonb) IS 'Raises 22023 if the value given for an argument is not a JSON object; null passes. Immutable.';

CREATE FUNCTION billing.check_address(address jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    PERFORM check_object('address', address);
    SELECT m.key, m.value INTO wrong FROM jsonb_each(CASE WHEN address IS NOT NULL THEN address ELSE '{}' END) AS m
     WHERE m.key NOT IN ('line_1', 'line_2', 'line_3', 'city', 'post_code', 'subdivision') OR jsonb_typeof(m.value) <> 'string' OR length(m.value #>> '{}') > 200;
    IF FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format('address cannot hold "%s": %s', wrong.key, left(wrong.value::text, 64)),
            HINT = 'Its members are line_1, line_2, line_3, city, post_code and subdivision, texts of at most 200 characters; the country is an argument of its own.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_address(jsonb) IS 'Raises 22023 if an address is no object of the members that invoices show (EN 16931, BG-5 and BG-8), all texts; null passes. Immutable.';

CREATE FUNCTION billing.check_currency(currency text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    minor_unit smallint;
BEGIN
    SELECT c.minor_unit INTO minor_unit FROM currencies() AS c WHERE c.code = check_currency.currency;
    IF NOT FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format('currency "%s" is not known', check_currency.currency),
            HINT = 'Use a code of ISO 4217 in capital letters, such as EUR; billing.currencies() lists them.';
    ELSIF minor_unit IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('currency "%s" has no minor unit, so nothing can be invoiced in it', check_currency.currency);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_currency(text) IS 'Raises 22023 unless the currency is one of billing.currencies() and has a minor unit to which invoices are rounded. Stable.';

CREATE FUNCTION billing.check_time_zone(time_zone text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    known boolean;
BEGIN
    -- The server also takes abbreviations without daylight saving ('CET') and POSIX rules ('Berlin2') for zones.  A name with a
    -- slash and without digits is neither, and then a look at one zone is enough; other names are looked up in the slow list.
    IF check_time_zone.time_zone ~ '^[A-Za-z_-]+/[A-Za-z_/-]+$' OR check_time_zone.time_zone = 'UTC' THEN
        BEGIN
            PERFORM timezone(check_time_zone.time_zone, now());
            known := true;
        EXCEPTION WHEN invalid_parameter_value THEN
            known := false;
        END;
    ELSE
        known := check_time_zone.time_zone NOT IN ('localtime', 'posixrules') AND EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = check_time_zone.time_zone);
    END IF;
    IF NOT known THEN
        RAISE invalid_parameter_value USING MESSAGE = format('time zone "%s" not recognized', check_time_zone.time_zone),
            HINT = 'Use a name of pg_timezone_names such as Europe/Berlin or UTC.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_time_zone(text) IS 'Raises 22023 unless the time zone has a name of the time zone database, such as Europe/Berlin; abbreviations, POSIX rules and names that mean another zone on another machine (localtime) are refused. Null passes. Volatile, because it traps an error.';

-- ISO 3166-1 alpha-2, with XI (Northern Ireland) and XK (Kosovo), which tax and customs of the European Union use.
CREATE FUNCTION billing.check_country(country text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF check_country.country !~ '^[A-Z]{2}$' OR position(check_country.country IN
        'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH '
        'CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN '
        'GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI '
        'LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM '
        'PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD '
        'TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XI XK YE YT ZA ZM ZW') = 0
    THEN
        RAISE invalid_parameter_value USING MESSAGE = format('country "%s" is not known', check_country.country),
            HINT = 'Use a code of ISO 3166-1 in two capital letters, such as DE.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_country(text) IS 'Raises 22023 unless the country is a two-letter code of ISO 3166-1, XI or XK; null passes. Immutable.';

CREATE FUNCTION billing.check_day(argument text, day date) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF isfinite(day) AND day NOT BETWEEN '1990-01-01' AND '2200-12-31' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s must be a day of the years 1990 to 2200, not %s', argument, day);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_day(text, date) IS
'Raises 22023 if the day given for an argument is in no year that usage can have: a typo there would give somebody centuries of charge periods, or days that cannot be reckoned with. Null and the infinities pass. Immutable.';

CREATE FUNCTION billing.check_dates(span_from date, span_to date) RETURNS daterange
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF span_from = 'infinity' OR span_to = '-infinity' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a span from %s to %s holds never', coalesce(span_from, '-infinity'), coalesce(span_to, 'infinity')),
            HINT = 'Leave the start out for a span without first day, the end for one without last day.';
    ELSIF span_from >= span_to THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the end %s must be after the start %s', span_to, span_from),
            HINT = 'The end is the first day that no longer belongs to the span.';
    ELSIF EXISTS (SELECT FROM unnest(ARRAY[span_from, span_to]) AS border WHERE isfinite(border) AND border NOT BETWEEN '0001-01-01' AND '9999-12-31') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a span from %s to %s is not in the years 1 to 9999', coalesce(span_from, '-infinity'), coalesce(span_to, 'infinity'));
    END IF;
    RETURN daterange(NULLIF(span_from, '-infinity'), NULLIF(span_to, 'infinity'));
END $$;
COMMENT ON FUNCTION billing.check_dates(date, date) IS 'The half-open span of days; null or infinite = without border. Errors: 22023 if it is empty, holds never or leaves the years 1 to 9999. Immutable.';

CREATE FUNCTION billing.stamp_after(superseded timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    is_first boolean := own_stamp() IS NULL;
    stamp timestamptz := recorded_at();
BEGIN
    IF is_first AND stamp <= superseded THEN
        RETURN recording_stamp(superseded);
    ELSIF stamp < superseded THEN
        RAISE serialization_failure USING MESSAGE = 'a transaction that began to record later has changed the same object',
            HINT = 'Run the transaction again.';
    END IF;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.stamp_after(timestamptz) IS
'Stamp of this transaction''s facts, for a fact that supersedes one recorded at the given instant (null = none). Errors: 40001 if this transaction has recorded facts before that instant already; run it again. Volatile.';
