-- Subscriptions: from when to when an account takes a fee, and how many of it.

CREATE FUNCTION billing.supersede_subscription_terms(subscription_id bigint, span daterange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((
        SELECT max(lower(t.known)) FROM subscription_term AS t
         WHERE t.subscription_id = supersede_subscription_terms.subscription_id AND t.dates && span AND upper_inf(t.known)));
BEGIN
    WITH closed AS (
        UPDATE subscription_term AS t SET known = tstzrange(lower(t.known), stamp)
         WHERE t.subscription_id = supersede_subscription_terms.subscription_id AND t.dates && span AND upper_inf(t.known)
        RETURNING t.*)
    INSERT INTO subscription_term (subscription_id, dates, quantity, known)
    SELECT c.subscription_id, rest, c.quantity, tstzrange(stamp, NULL)
      FROM closed AS c, unnest(datemultirange(c.dates) - datemultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.supersede_subscription_terms(bigint, daterange) IS
'Ends the belief in the terms of a subscription that overlap the span, writes again what of them lies outside it, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.find_agreement(buyer_id bigint, seller text, key text) RETURNS int
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_seller int := CASE WHEN find_agreement.seller IS NOT NULL THEN find_seller(find_agreement.seller) END;
    agreements  int[] := ARRAY(SELECT a.agreement_id FROM agreement AS a
                                WHERE a.buyer_id = find_agreement.buyer_id AND a.seller_id = coalesce(this_seller, a.seller_id)
                                  AND a.key = coalesce(find_agreement.key, a.key));
    buyer_key   text;
BEGIN
    IF cardinality(agreements) = 1 THEN
        RETURN agreements[1];
    END IF;
    SELECT a.key INTO buyer_key FROM account AS a WHERE a.account_id = find_agreement.buyer_id;
    IF cardinality(agreements) = 0 THEN
        RAISE undefined_object USING MESSAGE = format('account "%s" has no such agreement', buyer_key),
            HINT = 'Make it with billing.set_agreement().';
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = format('account "%s" has several agreements, and none was named', buyer_key),
        HINT = 'Name it: seller => or agreement =>.';
END $$;
COMMENT ON FUNCTION billing.find_agreement(bigint, text, text) IS
'Number of the buyer''s agreement with that seller and key; null stands for the only one. Errors: 42704 if there is none, 22023 if there are several. Stable.';

CREATE FUNCTION billing.check_subscription(key text, quantity numeric, starts_on date) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_key('a subscription', check_subscription.key);
    IF NOT (quantity >= 0 AND quantity < 'Infinity') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the quantity of a subscription must be a number that is not negative, but is %s', quantity);
    ELSIF quantity >= 1e16 OR quantity <> round(quantity, 15) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the quantity of a subscription must be below 10^16 and have at most 15 decimals, but is %s', quantity),
            HINT = 'Round it, or let the fee be of a larger unit.';
    ELSIF NOT isfinite(starts_on) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('starts_on must be a day, not %s', starts_on);
    END IF;
    PERFORM check_day('starts_on', starts_on);
END $$;
COMMENT ON FUNCTION billing.check_subscription(text, numeric, date) IS 'Raises 22023 for a key, quantity or first day of a subscription that makes no sense; null quantity and day pass. Immutable.';

CREATE FUNCTION billing.ensure_subscription(agreement_id int, key text, fee text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_fee          int := CASE WHEN ensure_subscription.fee IS NOT NULL THEN find_item(ensure_subscription.fee, 'fee') END;
    present_fee       int;
    this_subscription bigint;
BEGIN
    SELECT s.subscription_id, s.item_id INTO this_subscription, present_fee FROM subscription AS s
     WHERE s.agreement_id = ensure_subscription.agreement_id AND s.key = ensure_subscription.key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO subscription AS s (agreement_id, item_id, key)
            VALUES (ensure_subscription.agreement_id, coalesce(this_fee, find_item(ensure_subscription.key, 'fee')), ensure_subscription.key)
            ON CONFLICT DO NOTHING RETURNING s.subscription_id INTO this_subscription;
        IF NOT FOUND THEN
            RETURN ensure_subscription(ensure_subscription.agreement_id, ensure_subscription.key, ensure_subscription.fee);
        END IF;
    ELSIF this_fee <> present_fee THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('subscription "%s" is to fee "%s" and cannot change to "%s"', ensure_subscription.key,
                (SELECT i.key FROM item AS i WHERE i.item_id = present_fee), ensure_subscription.fee),
            HINT = 'End it with billing.end_subscription() and begin another one under a key of its own.';
    END IF;
    RETURN this_subscription;
END $$;
COMMENT ON FUNCTION billing.ensure_subscription(int, text, text) IS
'Number of the subscription with that key, locked to the end of the transaction; made if it is new, to the fee of the same key unless another is named. Errors: 42704 unknown fee, 55000 if it is to another fee. Used by set_subscription(). Volatile.';

CREATE FUNCTION billing.find_subscription(buyer_id bigint, key text, seller text, agreement text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_seller   int := CASE WHEN find_subscription.seller IS NOT NULL THEN find_seller(find_subscription.seller) END;
    subscriptions bigint[] := ARRAY(
        SELECT s.subscription_id FROM agreement AS a JOIN subscription AS s USING (agreement_id)
         WHERE a.buyer_id = find_subscription.buyer_id AND a.seller_id = coalesce(this_seller, a.seller_id)
           AND a.key = coalesce(find_subscription.agreement, a.key) AND s.key = find_subscription.key);
BEGIN
    IF cardinality(subscriptions) > 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('there are several subscriptions "%s" under different agreements, and no agreement was named', find_subscription.key),
            HINT = 'Name it: seller => or agreement =>.';
    END IF;
    RETURN subscriptions[1];
END $$;
COMMENT ON FUNCTION billing.find_subscription(bigint, text, text, text) IS
'Number of the buyer''s subscription with that key under any of its agreements, or under the one named; null if there is none. Errors: 22023 if there are several. Stable.';

CREATE FUNCTION billing.move_subscription_end(subscription_id bigint, ends_on date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    last subscription_term;
BEGIN
    SELECT t.* INTO last FROM subscription_term AS t
     WHERE t.subscription_id = move_subscription_end.subscription_id AND upper_inf(t.known)
     ORDER BY t.dates DESC LIMIT 1;
    IF NOT FOUND OR upper(last.dates) = move_subscription_end.ends_on OR upper_inf(last.dates) AND move_subscription_end.ends_on = 'infinity' THEN
        RETURN false;
    ELSIF upper(last.dates) < move_subscription_end.ends_on THEN
        INSERT INTO subscription_term (subscription_id, dates, quantity)
            VALUES (move_subscription_end.subscription_id, daterange(upper(last.dates), NULLIF(move_subscription_end.ends_on, 'infinity')), last.quantity);
    ELSE
        PERFORM supersede_subscription_terms(move_subscription_end.subscription_id, daterange(move_subscription_end.ends_on, NULL));
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.move_subscription_end(bigint, date) IS
'Makes a subscription end before the day, sooner or later than it did (later with its last quantity; infinity = never); returns whether that changed anything. Volatile.';

CREATE FUNCTION billing.write_subscription_term(subscription_id bigint, dates daterange, quantity numeric) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    same    datemultirange;
    missing datemultirange;
    stamp   timestamptz;
BEGIN
    IF NOT upper_inf(write_subscription_term.dates) AND EXISTS (
        SELECT FROM subscription_term AS t
         WHERE t.subscription_id = write_subscription_term.subscription_id AND upper_inf(t.known)
           AND t.dates && daterange(upper(write_subscription_term.dates), NULL))
    THEN
        PERFORM supersede_subscription_terms(write_subscription_term.subscription_id, daterange(upper(write_subscription_term.dates), NULL));
    END IF;
    SELECT range_agg(t.dates) INTO same FROM subscription_term AS t
     WHERE t.subscription_id = write_subscription_term.subscription_id AND upper_inf(t.known) AND t.quantity = write_subscription_term.quantity;
    missing := datemultirange(write_subscription_term.dates) - coalesce(same, '{}');
    IF NOT isempty(missing) THEN
        stamp := supersede_subscription_terms(write_subscription_term.subscription_id, range_merge(missing));
        INSERT INTO subscription_term (subscription_id, dates, quantity, known)
            VALUES (write_subscription_term.subscription_id, range_merge(missing), write_subscription_term.quantity, tstzrange(stamp, NULL));
    END IF;
END $$;
COMMENT ON FUNCTION billing.write_subscription_term(bigint, daterange, numeric) IS
'Makes a subscription take that quantity during the dates and nothing after them; writes only what is new. Used by set_subscription(). Volatile.';

CREATE FUNCTION billing.set_subscription(
    account text, key text, fee text DEFAULT NULL, quantity numeric DEFAULT NULL, starts_on date DEFAULT NULL, ends_on date DEFAULT NULL,
    agreement text DEFAULT NULL, seller text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    buyer             bigint := find_account(set_subscription.account);
    this_subscription bigint;
    this_agreement    int;
    runs              daterange;
    first_day         date;
    former_quantity   numeric;
BEGIN
    PERFORM check_ledger();
    PERFORM check_subscription(set_subscription.key, set_subscription.quantity, set_subscription.starts_on);
    this_subscription := find_subscription(buyer, set_subscription.key, set_subscription.seller, set_subscription.agreement);
    SELECT s.agreement_id INTO this_agreement FROM subscription AS s WHERE s.subscription_id = this_subscription;
    this_subscription := ensure_subscription(
        coalesce(this_agreement, find_agreement(buyer, set_subscription.seller, set_subscription.agreement)), set_subscription.key, set_subscription.fee);
    SELECT range_merge(range_agg(t.dates)) INTO runs FROM subscription_term AS t WHERE t.subscription_id = this_subscription AND upper_inf(t.known);
    first_day := coalesce(set_subscription.starts_on, lower(runs));
    IF first_day IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('from which day on does subscription "%s" run?', set_subscription.key), HINT = 'Say starts_on =>.';
    END IF;
    PERFORM check_dates(first_day, set_subscription.ends_on);
    PERFORM check_account_open(buyer, first_day, 'it cannot subscribe to anything');

    SELECT t.quantity INTO former_quantity FROM subscription_term AS t
     WHERE t.subscription_id = this_subscription AND upper_inf(t.known)
     ORDER BY lower(t.dates) > first_day, CASE WHEN lower(t.dates) <= first_day THEN lower(t.dates) END DESC, lower(t.dates) LIMIT 1;
    IF set_subscription.quantity IS NOT NULL OR former_quantity IS NULL OR first_day >= upper(runs) THEN
        PERFORM write_subscription_term(this_subscription,
            check_dates(first_day, coalesce(set_subscription.ends_on, CASE WHEN upper(runs) > first_day THEN upper(runs) END)),
            coalesce(set_subscription.quantity, former_quantity, 1));
        RETURN this_subscription;
    END IF;
    -- No quantity was said: its history stays, only the first and the last day move.
    IF first_day < lower(runs) THEN
        INSERT INTO subscription_term (subscription_id, dates, quantity) VALUES (this_subscription, daterange(first_day, lower(runs)), former_quantity);
    END IF;
    IF set_subscription.ends_on IS NOT NULL THEN
        PERFORM move_subscription_end(this_subscription, set_subscription.ends_on);
    END IF;
    RETURN this_subscription;
END $$;
COMMENT ON FUNCTION billing.set_subscription(text, text, text, numeric, date, date, text, text) IS
'Makes or changes the subscription of an account with that key and returns its number. fee: what is subscribed to, the fee of the same key unless named. quantity: how many of it, from starts_on on, instead of whatever was said for the time after; 1 when new. starts_on: first day, needed when new. ends_on: first day on which it no longer runs; null keeps the end, infinity takes it away. Days are the buyer''s. agreement, seller: needed where the account has several agreements. Without quantity only the first and last day move. Errors: 22023 bad argument, 42704 unknown key, 55000 another fee or closed account, 40001 run the transaction again. Volatile.';

CREATE FUNCTION billing.end_subscription(account text, key text, ends_on date, agreement text DEFAULT NULL, seller text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    buyer             bigint := find_account(end_subscription.account);
    this_subscription bigint := find_subscription(buyer, end_subscription.key, end_subscription.seller, end_subscription.agreement);
BEGIN
    PERFORM check_ledger();
    IF this_subscription IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('account "%s" has no subscription "%s"', end_subscription.account, end_subscription.key);
    ELSIF end_subscription.ends_on IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'ends_on must not be null', HINT = 'It is the first day on which the subscription no longer runs.';
    END IF;
    PERFORM check_day('ends_on', end_subscription.ends_on);
    PERFORM FROM subscription AS s WHERE s.subscription_id = this_subscription FOR NO KEY UPDATE;
    RETURN move_subscription_end(this_subscription, end_subscription.ends_on);
END $$;
COMMENT ON FUNCTION billing.end_subscription(text, text, date, text, text) IS
'Makes a subscription end: ends_on is the first day on which it no longer runs, sooner or later than the end it had; a day not after its start means that it never was. Returns whether that changed anything. Errors: 22023 null day, 42704 unknown account or subscription, 40001 run the transaction again. Volatile.';
