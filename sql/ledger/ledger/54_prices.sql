-- Price lists and prices.
--
-- A new price supersedes what the list said for its span: the rows that overlap it are no longer known, and what of them lies
-- outside the span is written again as a remainder.  A hole is allowed; usage in it is reported as no_price.

CREATE FUNCTION billing.set_price_list(key text DEFAULT 'default', currency text DEFAULT NULL, seller text DEFAULT NULL, rounding text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_seller   int := find_seller(set_price_list.seller);
    this_list     int;
    this_currency text;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a price list', set_price_list.key);
    PERFORM check_word('rounding', NULLIF(set_price_list.rounding, ''), '{sum,line,detail}');
    SELECT l.list_id, l.currency INTO this_list, this_currency FROM price_list AS l WHERE l.seller_id = this_seller AND l.key = set_price_list.key;
    IF NOT FOUND THEN
        this_currency := coalesce(set_price_list.currency,
            (SELECT s.currency FROM seller_setting AS s WHERE s.seller_id = this_seller ORDER BY s.setting_no DESC LIMIT 1));
        PERFORM check_currency(this_currency);
        INSERT INTO price_list AS l (seller_id, key, currency, rounding) VALUES (this_seller, set_price_list.key, this_currency, NULLIF(set_price_list.rounding, ''))
            ON CONFLICT ON CONSTRAINT price_list_seller_id_key_key DO NOTHING RETURNING l.list_id INTO this_list;
        IF NOT FOUND THEN
            RETURN set_price_list(set_price_list.key, set_price_list.currency, set_price_list.seller, set_price_list.rounding);
        END IF;
    ELSIF set_price_list.currency <> this_currency THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('price list "%s" is in %s and cannot change to %s', set_price_list.key, this_currency, set_price_list.currency),
            HINT = format('Make another list; accounts in %s use the list ''default-%s'' where none is named.', set_price_list.currency, set_price_list.currency);
    ELSIF set_price_list.rounding IS NOT NULL THEN
        UPDATE price_list AS l SET rounding = NULLIF(set_price_list.rounding, '') WHERE l.list_id = this_list AND l.rounding IS DISTINCT FROM NULLIF(set_price_list.rounding, '');
    END IF;
    RETURN this_list;
END $$;
COMMENT ON FUNCTION billing.set_price_list(text, text, text, text) IS
'Makes the price list of a seller with that key unless it exists, and returns its number. currency: ISO 4217, the seller''s unless named; it never changes. Accounts without a list of their own are charged by ''default'' if it is in their currency, otherwise by ''default-'' and the currency code, such as ''default-USD''. rounding: where bills by this list round, sum, line or detail, as the member rounding of a tariff says it; it is given to each tariff that is set from now on and does not say another than its dialect''s default itself; null keeps, empty = each by its dialect. Errors: 22023 bad argument, 42704 unknown seller, 55000 another currency. Volatile.';

CREATE FUNCTION billing.price_list_for(seller_id int, price_list text, account_id bigint, currency text, on_day date) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    lists int[];
BEGIN
    IF price_list_for.price_list IS NOT NULL THEN
        RETURN find_price_list(price_list_for.seller_id, price_list_for.price_list);
    END IF;
    IF price_list_for.account_id <> 0 THEN
        lists := ARRAY(SELECT DISTINCT t.list_id FROM agreement AS a JOIN agreement_term AS t USING (agreement_id)
                        WHERE a.buyer_id = price_list_for.account_id AND a.seller_id = price_list_for.seller_id
                          AND upper_inf(t.known) AND t.valid @> coalesce(price_list_for.on_day, '-infinity'));
        IF cardinality(lists) > 1 THEN
            RAISE invalid_parameter_value USING MESSAGE = 'the account is charged by several price lists, and none was named',
                HINT = 'Name the list: price_list => ''key''.';
        ELSIF cardinality(lists) = 1 THEN
            RETURN lists[1];
        END IF;
    END IF;
    RETURN default_price_list(price_list_for.seller_id, coalesce(price_list_for.currency,
        (SELECT l.currency FROM price_list AS l WHERE l.seller_id = price_list_for.seller_id AND l.key = 'default')));
END $$;
COMMENT ON FUNCTION billing.price_list_for(int, text, bigint, text, date) IS
'Number of the price list that is meant: the one named, or that of the account''s agreement on the day, or the default list in the currency. Errors: 42704 if there is none, 22023 if there are several. Stable.';

CREATE FUNCTION billing.is_in_advance(item_id int) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM billing.fee_definition AS f WHERE f.item_id = $1 AND f.in_advance AND upper_inf(f.known)) $$;
COMMENT ON FUNCTION billing.is_in_advance(int) IS 'Whether an item is a fee that is due at the start of its periods. Stable.';

CREATE FUNCTION billing.pinned_through(list_id int, item_id int, account_id bigint, span tsrange) RETURNS date
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    charged CONSTANT int[] := CASE WHEN pinned_through.account_id <> 0 THEN ARRAY(
        SELECT a.agreement_id FROM agreement AS a WHERE a.buyer_id = pinned_through.account_id) END;
    in_advance CONSTANT boolean := is_in_advance(pinned_through.item_id);
BEGIN
    IF charged IS NOT NULL THEN
        RETURN (SELECT max(p.date_to) FROM charge_period AS p
                 WHERE p.account_id = pinned_through.account_id AND (p.closed_known_at IS NOT NULL OR (in_advance AND p.advance_pinned_at IS NOT NULL)) AND tsrange(p.date_from, p.date_to) && span
                   AND EXISTS (SELECT FROM agreement_term AS t
                                WHERE t.agreement_id = ANY (charged) AND t.list_id = pinned_through.list_id
                                  AND NOT isempty(t.known) AND t.valid && daterange(p.date_from, p.date_to)));
    -- Most prices begin where no account has a stored period yet; then the periods need not be read.
    ELSIF coalesce(lower(span)::date, '-infinity') >= (SELECT max(c.date_to) FROM account_calendar AS c) THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT max(p.date_to)
              FROM charge_period AS p
              JOIN agreement AS a ON a.buyer_id = p.account_id
              JOIN agreement_term AS t USING (agreement_id)
             WHERE (p.closed_known_at IS NOT NULL OR (in_advance AND p.advance_pinned_at IS NOT NULL)) AND tsrange(p.date_from, p.date_to) && span
               AND t.list_id = pinned_through.list_id AND NOT isempty(t.known) AND t.valid && daterange(p.date_from, p.date_to));
END $$;
COMMENT ON FUNCTION billing.pinned_through(int, int, bigint, tsrange) IS
'The greatest end of the pinned charge periods that a price of that item in that list (account 0 = of all accounts) touches with its span: closed ones, and for a fee in advance those whose fees were billed in advance; null = none. Stable.';

CREATE FUNCTION billing.check_applies_to(list_id int, item_id int, account_id bigint, span tsrange, applies_to text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    pinned date;
BEGIN
    -- A first price changes nothing that was billed: where there was none at the pin, the first one known after it holds.
    IF check_applies_to.applies_to IS NOT NULL
       OR NOT EXISTS (SELECT FROM price AS p
                       WHERE p.list_id = check_applies_to.list_id AND p.item_id = check_applies_to.item_id
                         AND p.account_id IN (0, check_applies_to.account_id) AND p.valid && check_applies_to.span AND NOT isempty(p.known))
    THEN
        RETURN;
    END IF;
    pinned := pinned_through(check_applies_to.list_id, check_applies_to.item_id, check_applies_to.account_id, check_applies_to.span);
    IF pinned IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the price from %s on reaches into charge periods that are %s, the latest to %s', coalesce(lower(span)::date, '-infinity'),
                             CASE WHEN is_in_advance(check_applies_to.item_id) THEN 'billed in advance or closed' ELSE 'closed' END, pinned),
            HINT = format('Let it begin on %s or later, or say what is meant: applies_to => ''open'' leaves closed periods at their price (the difference shows in held_corrections), applies_to => ''closed'' rates them again and corrects them.', pinned);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_applies_to(int, int, bigint, tsrange, text) IS
'Raises 55000 if a change of prices reaches into pinned charge periods that had a price, for a fee in advance also into those billed in advance, and applies_to is not said. Used by set_price() and remove_price(). Stable.';

CREATE FUNCTION billing.supersede_prices(list_id int, item_id int, account_id bigint, span tsrange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((
        SELECT max(lower(p.known)) FROM price AS p
         WHERE p.list_id = supersede_prices.list_id AND p.item_id = supersede_prices.item_id
           AND p.account_id = supersede_prices.account_id AND p.valid && span AND upper_inf(p.known)));
BEGIN
    -- A row made by this same transaction was never known to anybody; its remainders are remainders of what it was made from.
    WITH closed AS (
        UPDATE price AS p SET known = tstzrange(lower(p.known), stamp)
         WHERE p.list_id = supersede_prices.list_id AND p.item_id = supersede_prices.item_id
           AND p.account_id = supersede_prices.account_id AND p.valid && span AND upper_inf(p.known)
        RETURNING p.*)
    INSERT INTO price (list_id, item_id, account_id, tariff, chain, tax_code, valid, known, remainder_of)
    SELECT c.list_id, c.item_id, c.account_id, c.tariff, c.chain, c.tax_code, rest, tstzrange(stamp, NULL),
           CASE WHEN isempty(c.known) THEN c.remainder_of ELSE c.price_id END
      FROM closed AS c, unnest(tsmultirange(c.valid) - tsmultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.supersede_prices(int, int, bigint, tsrange) IS
'Ends the belief in the prices of an item that overlap the span, writes what of them lies outside it as remainders, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.report_lint(tariff billing.tariff) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    finding record;
BEGIN
    FOR finding IN SELECT l.severity, l.code, l.detail FROM lint(report_lint.tariff) AS l LOOP
        IF finding.severity IN ('warning', 'error') THEN
            RAISE WARNING '%', finding.detail USING HINT = format('billing.lint() calls this %s.', finding.code);
        ELSE
            RAISE NOTICE '%', finding.detail USING HINT = format('billing.lint() calls this %s.', finding.code);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.report_lint(billing.tariff) IS 'Raises what lint() finds in a tariff as warnings and notices. Stable.';

CREATE FUNCTION billing.local_span(valid_from timestamp, valid_to timestamp) RETURNS tsrange
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF valid_from = 'infinity' OR valid_to = '-infinity' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a span from %s to %s holds never', coalesce(valid_from, '-infinity'), coalesce(valid_to, 'infinity')),
            HINT = 'Leave valid_from out for a span without first moment, valid_to for one without end.';
    ELSIF valid_from >= valid_to THEN
        RAISE invalid_parameter_value USING MESSAGE = format('valid_to %s must be after valid_from %s', valid_to, valid_from),
            HINT = 'valid_to is the first moment that no longer belongs to the span.';
    END IF;
    PERFORM check_dates(valid_from::date, NULL), check_dates(NULL, valid_to::date);
    RETURN tsrange(NULLIF(valid_from, '-infinity'), NULLIF(valid_to, 'infinity'));
END $$;
COMMENT ON FUNCTION billing.local_span(timestamp, timestamp) IS 'The half-open span of local time; null or infinite = without border. Errors: 22023 if it is empty or holds never. Immutable.';

CREATE FUNCTION billing.check_price(tariff billing.tariff, list_id int, tax_code text, applies_to text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    list price_list;
BEGIN
    SELECT l.* INTO list FROM price_list AS l WHERE l.list_id = check_price.list_id;
    IF currency(check_price.tariff) <> list.currency THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the tariff is in %s, but price list "%s" is in %s', currency(check_price.tariff), list.key, list.currency),
            HINT = format('Name a list in %s: price_list =>.', currency(check_price.tariff));
    ELSIF check_price.tax_code <> '' AND NOT EXISTS (SELECT FROM tax_rate AS t WHERE t.seller_id = list.seller_id AND t.tax_code = check_price.tax_code) THEN
        RAISE undefined_object USING MESSAGE = format('tax code "%s" does not exist', check_price.tax_code),
            HINT = 'Make it with billing.set_tax_rate().';
    END IF;
    PERFORM check_word('applies_to', check_price.applies_to, '{open,closed}');
END $$;
COMMENT ON FUNCTION billing.check_price(billing.tariff, int, text, text) IS 'Raises 22023 for a tariff in another currency than the list or an applies_to that is no word for it, 42704 for an unknown tax code. Stable.';

CREATE FUNCTION billing.rounded_as_list(tariff billing.tariff, list_id int) RETURNS billing.tariff
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT CASE WHEN l.rounding IS NULL OR j.said ? 'rounding' THEN $1 ELSE (j.said || jsonb_build_object('rounding', l.rounding))::text::billing.tariff END
      FROM billing.price_list AS l, (SELECT $1::text::jsonb AS said) AS j WHERE l.list_id = $2
$$;
COMMENT ON FUNCTION billing.rounded_as_list(billing.tariff, int) IS 'The tariff with the rounding of a price list, unless it says its own. Stable.';

CREATE FUNCTION billing.write_price(
    item text, tariff billing.tariff, chain jsonb, valid_from timestamp, valid_to timestamp, price_list text,
    seller text, account text, tax_code text, kind text, applies_to text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_item    int := find_item(write_price.item, write_price.kind);
    this_seller  int := find_seller(write_price.seller);
    this_account bigint := CASE WHEN write_price.account IS NULL THEN 0 ELSE find_account(write_price.account) END;
    span         tsrange := local_span(write_price.valid_from, write_price.valid_to);
    said         tsrange := span;
    this_list    int;
    code         text;
    same         tsmultirange;
    this_price   bigint;
    stamp        timestamptz;
BEGIN
    PERFORM check_ledger();
    IF write_price.tariff IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the tariff of "%s" must not be null', write_price.item),
            HINT = 'Use billing.remove_price() to take a price away.';
    END IF;
    this_list := price_list_for(this_seller, write_price.price_list, this_account, currency(write_price.tariff), write_price.valid_from::date);
    PERFORM check_price(write_price.tariff, this_list, write_price.tax_code, write_price.applies_to);
    tariff := rounded_as_list(write_price.tariff, this_list);
    PERFORM FROM item AS i WHERE i.item_id = this_item FOR NO KEY UPDATE;

    code := NULLIF(coalesce(write_price.tax_code, (
        SELECT p.tax_code FROM price AS p
         WHERE p.list_id = this_list AND p.item_id = this_item AND p.account_id IN (0, this_account)
           AND p.valid @> coalesce(lower(span), '-infinity') AND upper_inf(p.known)
         ORDER BY p.account_id DESC LIMIT 1)), '');
    SELECT range_agg(p.valid), max(p.price_id) INTO same, this_price
      FROM price AS p
     WHERE p.list_id = this_list AND p.item_id = this_item AND p.account_id = this_account AND p.valid && span AND upper_inf(p.known)
       AND p.tariff = write_price.tariff AND p.chain IS NOT DISTINCT FROM write_price.chain AND p.tax_code IS NOT DISTINCT FROM code;
    IF same @> span THEN
        -- Said before, but perhaps not for closed periods.
        IF write_price.applies_to = 'closed' AND pinned_through(this_list, this_item, this_account, said) IS NOT NULL THEN
            INSERT INTO pin_advance (list_id, item_id, account_id, valid, reason)
                VALUES (this_list, this_item, this_account, said, 'price set for closed periods');
        END IF;
        RETURN this_price;
    END IF;
    -- Only what is new is written: equal neighbours at both ends stay as they are.
    span := range_merge(tsmultirange(span) - coalesce(same, '{}'));
    PERFORM check_applies_to(this_list, this_item, this_account, span, write_price.applies_to);
    PERFORM report_lint(write_price.tariff);

    stamp := supersede_prices(this_list, this_item, this_account, span);
    INSERT INTO price AS p (list_id, item_id, account_id, tariff, chain, tax_code, valid, known)
        VALUES (this_list, this_item, this_account, write_price.tariff, write_price.chain, code, span, tstzrange(stamp, NULL)) RETURNING p.price_id INTO this_price;
    IF write_price.applies_to = 'closed' THEN
        INSERT INTO pin_advance (list_id, item_id, account_id, valid, reason, recorded_at)
            VALUES (this_list, this_item, this_account, said, 'price set for closed periods', stamp);
    END IF;
    RETURN this_price;
END $$;
COMMENT ON FUNCTION billing.write_price(text, billing.tariff, jsonb, timestamp, timestamp, text, text, text, text, text, text) IS
'Behind set_price() and apply_rating_rules(), which explain the arguments; chain: the rating modules that price each usage row, null = none. Volatile.';

CREATE FUNCTION billing.set_price(
    item text, tariff billing.tariff, valid_from timestamp, valid_to timestamp DEFAULT NULL, price_list text DEFAULT NULL,
    seller text DEFAULT NULL, account text DEFAULT NULL, tax_code text DEFAULT NULL, kind text DEFAULT NULL,
    applies_to text DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT billing.write_price($1, $2, NULL, $3, $4, $5, $6, $7, $8, $9, $10) $$;
COMMENT ON FUNCTION billing.set_price(text, billing.tariff, timestamp, timestamp, text, text, text, text, text, text) IS
'Says what a meter or fee costs from valid_from to valid_to (half-open, local time of each buyer; null = without end) and returns the number of the price. It supersedes what the list said for that span; what is in force already is not written again, but applies_to => ''closed'' counts for it too. price_list: key of the list; unless named it is that of the account''s agreement, or ''default'' or ''default-CUR'' in the tariff''s currency. account: the price is for this buyer alone and goes before that of all. tax_code: null keeps that of the price before, '''' = the seller''s default. kind: meter or fee, where both have the key. applies_to: needed when a price that reaches into charge periods that are closed, or for a fee in advance billed, changes; ''open'' leaves them as they are (the difference is held), ''closed'' rates them again. What billing.lint() finds is raised as a warning or notice. Errors: 22023 bad argument or another currency, 42704 unknown key, 55000 applies_to is missing, 40001 run the transaction again. Volatile.';

CREATE FUNCTION billing.remove_price(
    item text, valid_from timestamp DEFAULT NULL, valid_to timestamp DEFAULT NULL, price_list text DEFAULT NULL,
    seller text DEFAULT NULL, account text DEFAULT NULL, kind text DEFAULT NULL, applies_to text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_item    int := find_item(remove_price.item, remove_price.kind);
    this_seller  int := find_seller(remove_price.seller);
    this_account bigint := CASE WHEN remove_price.account IS NULL THEN 0 ELSE find_account(remove_price.account) END;
    span         tsrange := local_span(remove_price.valid_from, remove_price.valid_to);
    said         tsrange := span;
    this_list    int;
    priced       tsmultirange;
    stamp        timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('applies_to', remove_price.applies_to, '{open,closed}');
    this_list := price_list_for(this_seller, remove_price.price_list, this_account, NULL, remove_price.valid_from::date);
    PERFORM FROM item AS i WHERE i.item_id = this_item FOR NO KEY UPDATE;
    SELECT range_agg(p.valid * span) INTO priced
      FROM price AS p
     WHERE p.list_id = this_list AND p.item_id = this_item AND p.account_id = this_account AND p.valid && span AND upper_inf(p.known);
    IF priced IS NULL THEN
        RETURN false;
    END IF;
    span := range_merge(priced);
    PERFORM check_applies_to(this_list, this_item, this_account, span, remove_price.applies_to);
    stamp := supersede_prices(this_list, this_item, this_account, span);
    IF remove_price.applies_to = 'closed' THEN
        INSERT INTO pin_advance (list_id, item_id, account_id, valid, reason, recorded_at)
            VALUES (this_list, this_item, this_account, said, 'price removed for closed periods', stamp);
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.remove_price(text, timestamp, timestamp, text, text, text, text, text) IS
'Takes the price of a meter or fee away from valid_from to valid_to (half-open, local time of each buyer; null = without border); returns whether there was one. Usage of that span is then reported as no_price; after the removal of an account''s own price it takes that of all. Arguments as for set_price(). Errors: 22023 bad argument, 42704 unknown key, 55000 applies_to is missing, 40001 run the transaction again. Volatile.';
