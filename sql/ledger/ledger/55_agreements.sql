-- Agreements: why an account is charged, by which prices, on which invoice, and who pays.

CREATE FUNCTION billing.threshold_or_none(threshold billing.monetary) RETURNS billing.monetary
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE WHEN billing.amount(threshold) <> 0 THEN threshold END;
    END;
COMMENT ON FUNCTION billing.threshold_or_none(billing.monetary) IS 'The threshold of progressive billing; 0 stands for none. Immutable.';

CREATE FUNCTION billing.thresholds_or_none(thresholds billing.monetary[]) RETURNS billing.monetary[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT pg_catalog.array_agg(DISTINCT t ORDER BY t) FROM pg_catalog.unnest(thresholds) AS t;
    END;
COMMENT ON FUNCTION billing.thresholds_or_none(billing.monetary[]) IS 'The thresholds of progressive billing, each once, rising; an empty list stands for none. Immutable.';

CREATE FUNCTION billing.check_term_currency(term billing.agreement_term, currency text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    list  price_list;
    wrong record;
BEGIN
    SELECT l.* INTO list FROM price_list AS l WHERE l.list_id = term.list_id;
    IF list.currency <> check_term_currency.currency THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the account is in %s, but price list "%s" is in %s', check_term_currency.currency, list.key, list.currency),
            HINT = format('Name a list in %s: price_list =>.', check_term_currency.currency);
    END IF;
    FOR wrong IN
        SELECT x.what, x.threshold, x.listed
          FROM (SELECT 'progressive_threshold' AS what, term.progressive_threshold AS threshold, false AS listed
                 UNION ALL SELECT 'progressive_every', term.progressive_every, false
                 UNION ALL SELECT 'progressive_thresholds', t, true FROM unnest(term.progressive_thresholds) AS t) AS x
    LOOP
        IF amount(wrong.threshold) < 0 THEN
            RAISE invalid_parameter_value USING MESSAGE = format('%s must not be negative, but is %s', wrong.what, wrong.threshold);
        ELSIF wrong.listed AND coalesce(amount(wrong.threshold), 0) = 0 THEN
            RAISE invalid_parameter_value USING MESSAGE = format('a threshold of %s must be more than 0, but one is %s', wrong.what, coalesce(wrong.threshold::text, 'null'));
        ELSIF amount(wrong.threshold) <> 0 AND currency(wrong.threshold) <> list.currency THEN
            RAISE invalid_parameter_value USING MESSAGE = format('%s is in %s, but price list "%s" is in %s', wrong.what, currency(wrong.threshold), list.key, list.currency);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.check_term_currency(billing.agreement_term, text) IS
'Raises 22023 if the price list of a term is in another currency than the account (currency) or a threshold of progressive billing, or one of those is negative, or null or 0 in a list. Stable.';

CREATE FUNCTION billing.check_account_open(account_id bigint, day date, what text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF (account_setting_on(check_account_open.account_id, check_account_open.day)).status = 'closed' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('account "%s" is closed %s, so %s', (SELECT a.key FROM account AS a WHERE a.account_id = check_account_open.account_id),
                coalesce('on ' || check_account_open.day, 'from the beginning'), what),
            HINT = 'Open it again with billing.set_account(…, status => ''open'', from_date => …).';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_account_open(bigint, date, text) IS 'Raises 55000 if the account is closed on the day; what says what cannot be done. Stable.';

CREATE FUNCTION billing.find_invoice_group(account_id bigint, key text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_group bigint := (
        SELECT g.invoice_group_id FROM invoice_group AS g
         WHERE g.key = find_invoice_group.key
           AND (g.payer_id = find_invoice_group.account_id
                OR g.payer_id IN (SELECT b.payer_id FROM bill_to AS b WHERE b.account_id = find_invoice_group.account_id AND upper_inf(b.known)))
         ORDER BY g.payer_id <> find_invoice_group.account_id LIMIT 1);
BEGIN
    IF this_group IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('account "%s" has no invoice group "%s"', (SELECT a.key FROM account AS a WHERE a.account_id = find_invoice_group.account_id), find_invoice_group.key),
            HINT = 'Make it with billing.set_invoice_group().';
    END IF;
    RETURN this_group;
END $$;
COMMENT ON FUNCTION billing.find_invoice_group(bigint, text) IS 'Number of the invoice group with that key of the account or of one that pays for it. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.supersede_agreement_terms(agreement_id int, span daterange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((
        SELECT max(lower(t.known)) FROM agreement_term AS t
         WHERE t.agreement_id = supersede_agreement_terms.agreement_id AND t.valid && span AND upper_inf(t.known)));
BEGIN
    WITH closed AS (
        UPDATE agreement_term AS t SET known = tstzrange(lower(t.known), stamp)
         WHERE t.agreement_id = supersede_agreement_terms.agreement_id AND t.valid && span AND upper_inf(t.known)
        RETURNING t.*)
    INSERT INTO agreement_term (agreement_id, consumer_id, with_descendants, list_id, invoice_group_id, progressive_threshold, progressive_thresholds, progressive_every, valid, known)
    SELECT c.agreement_id, c.consumer_id, c.with_descendants, c.list_id, c.invoice_group_id, c.progressive_threshold, c.progressive_thresholds, c.progressive_every, rest, tstzrange(stamp, NULL)
      FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.supersede_agreement_terms(int, daterange) IS
'Ends the belief in the terms of an agreement that overlap the span, writes again what of them lies outside it, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.overlaid(former billing.agreement_term, named billing.agreement_term) RETURNS billing.agreement_term
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    former.consumer_id := coalesce(named.consumer_id, former.consumer_id);
    former.with_descendants := coalesce(named.with_descendants, former.with_descendants, false);
    former.list_id := coalesce(named.list_id, former.list_id);
    former.invoice_group_id := NULLIF(coalesce(named.invoice_group_id, former.invoice_group_id), 0);
    former.progressive_threshold := threshold_or_none(coalesce(named.progressive_threshold, former.progressive_threshold));
    former.progressive_thresholds := thresholds_or_none(coalesce(named.progressive_thresholds, former.progressive_thresholds));
    former.progressive_every := threshold_or_none(coalesce(named.progressive_every, former.progressive_every));
    RETURN former;
END $$;
COMMENT ON FUNCTION billing.overlaid(billing.agreement_term, billing.agreement_term) IS
'The former term of an agreement with what is named put over it: null keeps, 0 clears. Immutable.';

-- What an agreement shall say, piece by piece: its terms that overlap the span with what is named put over them, and, where it said
-- nothing, the term before (or after) with what is named put over that.
CREATE FUNCTION billing.wanted_terms(agreement_id int, span daterange, fill_holes boolean, first_term billing.agreement_term, named billing.agreement_term)
    RETURNS SETOF billing.agreement_term
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    term   agreement_term;
    wanted agreement_term;
    hole   daterange;
    said   datemultirange := '{}';
BEGIN
    FOR term IN SELECT t.* FROM agreement_term AS t
                 WHERE t.agreement_id = wanted_terms.agreement_id AND upper_inf(t.known) AND t.valid && span
    LOOP
        said := said + datemultirange(term.valid);
        wanted := overlaid(term, named);
        CONTINUE WHEN wanted IS NOT DISTINCT FROM term;
        wanted.valid := term.valid * span;
        RETURN NEXT wanted;
    END LOOP;
    FOR hole IN SELECT h FROM unnest(datemultirange(span) - said) AS h WHERE fill_holes LOOP
        SELECT t.* INTO term FROM agreement_term AS t
         WHERE t.agreement_id = wanted_terms.agreement_id AND upper_inf(t.known)
         ORDER BY t.valid > hole, CASE WHEN t.valid < hole THEN t.valid END DESC, t.valid LIMIT 1;
        wanted := overlaid(CASE WHEN FOUND THEN term ELSE first_term END, named);
        wanted.valid := hole;
        RETURN NEXT wanted;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.wanted_terms(int, daterange, boolean, billing.agreement_term, billing.agreement_term) IS
'The terms that set_agreement() has to write, without those that are in force already. Stable.';

CREATE FUNCTION billing.set_agreement(
    buyer text, seller text DEFAULT NULL, key text DEFAULT 'default', consumer text DEFAULT NULL, with_descendants boolean DEFAULT NULL,
    price_list text DEFAULT NULL, valid_from date DEFAULT NULL, valid_to date DEFAULT NULL, invoice_group text DEFAULT NULL,
    progressive_threshold billing.monetary DEFAULT NULL, progressive_thresholds billing.monetary[] DEFAULT NULL, progressive_every billing.monetary DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_buyer     bigint := find_account(set_agreement.buyer);
    this_seller    int := find_seller(set_agreement.seller);
    span           daterange := check_dates(set_agreement.valid_from, set_agreement.valid_to);
    this_agreement int;
    is_new         boolean;
    named          agreement_term;
    first_term     agreement_term;
    wanted         agreement_term;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an agreement', set_agreement.key);
    named.consumer_id := CASE WHEN set_agreement.consumer IS NOT NULL THEN find_account(set_agreement.consumer) END;
    named.with_descendants := set_agreement.with_descendants;
    named.list_id := CASE WHEN set_agreement.price_list IS NOT NULL THEN find_price_list(this_seller, set_agreement.price_list) END;
    named.invoice_group_id := CASE WHEN set_agreement.invoice_group = '' THEN 0
                                   WHEN set_agreement.invoice_group IS NOT NULL THEN find_invoice_group(this_buyer, set_agreement.invoice_group) END;
    named.progressive_threshold := set_agreement.progressive_threshold;
    named.progressive_thresholds := set_agreement.progressive_thresholds;
    named.progressive_every := set_agreement.progressive_every;

    INSERT INTO agreement AS a (seller_id, buyer_id, key) VALUES (this_seller, this_buyer, set_agreement.key)
        ON CONFLICT DO NOTHING RETURNING a.agreement_id INTO this_agreement;
    is_new := FOUND;
    IF NOT is_new THEN
        SELECT a.agreement_id INTO this_agreement FROM agreement AS a
         WHERE a.buyer_id = this_buyer AND a.seller_id = this_seller AND a.key = set_agreement.key FOR NO KEY UPDATE;
    END IF;
    first_term.agreement_id := this_agreement;
    first_term.consumer_id := this_buyer;
    IF named.list_id IS NULL AND NOT EXISTS (SELECT FROM agreement_term AS t WHERE t.agreement_id = this_agreement AND upper_inf(t.known)) THEN
        first_term.list_id := default_price_list(this_seller, (account_setting_on(this_buyer, set_agreement.valid_from)).currency);
    END IF;
    FOR wanted IN SELECT w.* FROM wanted_terms(this_agreement, span, is_new OR set_agreement.valid_from IS NOT NULL, first_term, named) AS w LOOP
        PERFORM check_account_open(this_buyer, lower(wanted.valid), 'it cannot be charged');
        PERFORM check_term_currency(wanted, (account_setting_on(this_buyer, lower(wanted.valid))).currency);
        wanted.known := tstzrange(supersede_agreement_terms(this_agreement, wanted.valid), NULL);
        wanted.recorded_by := session_user;
        INSERT INTO agreement_term VALUES (wanted.*);
    END LOOP;
    RETURN this_agreement;
END $$;
COMMENT ON FUNCTION billing.set_agreement(text, text, text, text, boolean, text, date, date, text, billing.monetary, billing.monetary[], billing.monetary) IS
'Makes or changes the agreement with that key between a seller and a buyer, and returns its number. consumer: whose usage is charged, the buyer unless named (a reseller''s customer for wholesale). with_descendants: usage of all accounts below the consumer is charged too. price_list: key of the seller''s list, in the buyer''s currency. invoice_group: of the buyer or its payer, '''' = its group ''default''. progressive_threshold: bill a charge of a running period as soon as it owes that much more than was billed, 0 = off. progressive_thresholds: bill all usage of a running period when all usage of the agreement comes to one of these amounts, {} = off; progressive_every: and at each multiple of this, above the last of them, 0 = off. What is named holds from valid_from to valid_to (days, half-open); without valid_from it holds wherever the agreement holds. Null keeps. Errors: 22023 bad argument or another currency, 42704 unknown key, 55000 closed account, 40001 run the transaction again. Volatile.';

CREATE FUNCTION billing.end_agreement(buyer text, valid_to date, seller text DEFAULT NULL, key text DEFAULT 'default') RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_buyer     bigint := find_account(end_agreement.buyer);
    this_seller    int := find_seller(end_agreement.seller);
    this_agreement int;
    rest           daterange := daterange(NULLIF(end_agreement.valid_to, '-infinity'), NULL);
BEGIN
    PERFORM check_ledger();
    SELECT a.agreement_id INTO this_agreement FROM agreement AS a
     WHERE a.buyer_id = this_buyer AND a.seller_id = this_seller AND a.key = end_agreement.key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('account "%s" has no agreement "%s" with that seller', end_agreement.buyer, end_agreement.key);
    ELSIF NOT EXISTS (SELECT FROM agreement_term AS t WHERE t.agreement_id = this_agreement AND upper_inf(t.known) AND t.valid && rest) THEN
        RETURN false;
    END IF;
    PERFORM supersede_agreement_terms(this_agreement, rest);
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.end_agreement(text, date, text, text) IS
'Ends an agreement: valid_to is the first day on which it no longer holds. Returns whether that changed anything. Errors: 42704 unknown account, seller or agreement, 40001 run the transaction again. Volatile.';

CREATE FUNCTION billing.set_invoice_group(
    account text, key text DEFAULT 'default', payment_days int DEFAULT NULL, purchase_order text DEFAULT NULL,
    buyer_reference text DEFAULT NULL, language text DEFAULT NULL, delivery jsonb DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_payer bigint := find_account(set_invoice_group.account);
    former     invoice_group;
    wanted     invoice_group;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an invoice group', set_invoice_group.key);
    PERFORM check_object('delivery', set_invoice_group.delivery);
    IF set_invoice_group.payment_days NOT BETWEEN 0 AND 3653 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('payment_days must be between 0 and 3653, but is %s', set_invoice_group.payment_days);
    ELSIF set_invoice_group.language !~ '^[a-z]{2,3}(-[A-Z]{2})?$' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('language "%s" is no language tag', set_invoice_group.language), HINT = 'Use a tag such as en or de-AT.';
    END IF;
    INSERT INTO invoice_group (payer_id, key) VALUES (this_payer, set_invoice_group.key) ON CONFLICT DO NOTHING;
    SELECT g.* INTO former FROM invoice_group AS g WHERE g.payer_id = this_payer AND g.key = set_invoice_group.key FOR NO KEY UPDATE;
    wanted := former;
    wanted.payment_days := coalesce(set_invoice_group.payment_days, former.payment_days);
    wanted.purchase_order := NULLIF(coalesce(set_invoice_group.purchase_order, former.purchase_order), '');
    wanted.buyer_reference := NULLIF(coalesce(set_invoice_group.buyer_reference, former.buyer_reference), '');
    wanted.language := coalesce(set_invoice_group.language, former.language);
    wanted.delivery := NULLIF(coalesce(set_invoice_group.delivery, former.delivery), '{}');
    IF wanted IS DISTINCT FROM former THEN
        UPDATE invoice_group AS g
           SET payment_days = wanted.payment_days, purchase_order = wanted.purchase_order, buyer_reference = wanted.buyer_reference,
               language = wanted.language, delivery = wanted.delivery, recorded_at = recorded_at(), recorded_by = session_user
         WHERE g.invoice_group_id = former.invoice_group_id;
    END IF;
    RETURN former.invoice_group_id;
END $$;
COMMENT ON FUNCTION billing.set_invoice_group(text, text, int, text, text, text, jsonb) IS
'Makes or changes the invoice group with that key of a paying account and returns its number: what shall stand on an invoice of its own, with payment_days (null = the seller''s), purchase_order (BT-13), buyer_reference (BT-10), language (en, de-AT …) and delivery (JSON object). Each invoice keeps a copy of what held when it was made. Null keeps, empty clears. Errors: 22023 bad argument, 42704 unknown account. Volatile.';

CREATE FUNCTION billing.check_payer(account_id bigint, payer_id bigint, span daterange) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    other record;
BEGIN
    SELECT a.key AS account, p.key AS payer INTO other
      FROM bill_to AS b JOIN account AS a USING (account_id) JOIN account AS p ON p.account_id = b.payer_id
     WHERE upper_inf(b.known) AND b.valid && span
       AND (b.account_id = check_payer.payer_id OR b.payer_id = check_payer.account_id)
     LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('invoices of account "%s" go to "%s" in that time, and they cannot be passed on', other.account, other.payer),
            HINT = 'An account that pays for others pays for itself: name the last payer for each of them.';
    END IF;
    PERFORM check_account_open(check_payer.payer_id, lower(span), 'it cannot pay');
END $$;
COMMENT ON FUNCTION billing.check_payer(bigint, bigint, daterange) IS 'Raises 22023 if the payer is itself paid for, or the account pays for others, in the span; 55000 if the payer is closed. Stable.';

CREATE FUNCTION billing.supersede_bill_to(account_id bigint, span daterange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((
        SELECT max(lower(b.known)) FROM bill_to AS b WHERE b.account_id = supersede_bill_to.account_id AND b.valid && span AND upper_inf(b.known)));
BEGIN
    WITH closed AS (
        UPDATE bill_to AS b SET known = tstzrange(lower(b.known), stamp)
         WHERE b.account_id = supersede_bill_to.account_id AND b.valid && span AND upper_inf(b.known)
        RETURNING b.*)
    INSERT INTO bill_to (account_id, payer_id, valid, known)
    SELECT c.account_id, c.payer_id, rest, tstzrange(stamp, NULL)
      FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.supersede_bill_to(bigint, daterange) IS
'Ends the belief in who pays for an account during the span, writes again what lies outside it, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.set_bill_to(account text, payer text, valid_from date DEFAULT NULL, valid_to date DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_account bigint := find_account(set_bill_to.account);
    this_payer   bigint := find_account(set_bill_to.payer);
    span         daterange := check_dates(set_bill_to.valid_from, set_bill_to.valid_to);
    present      datemultirange;
    stamp        timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM billing.lock_until_commit(1651076210, 2);    -- one change of payers at a time, so that no chain arises
    IF this_payer = this_account THEN
        IF NOT EXISTS (SELECT FROM bill_to AS b WHERE b.account_id = this_account AND b.valid && span AND upper_inf(b.known)) THEN
            RETURN false;
        END IF;
        PERFORM supersede_bill_to(this_account, span);
        RETURN true;
    END IF;
    SELECT range_agg(b.valid) INTO present FROM bill_to AS b WHERE b.account_id = this_account AND b.payer_id = this_payer AND upper_inf(b.known);
    IF present @> span THEN
        RETURN false;
    END IF;
    PERFORM check_payer(this_account, this_payer, span);
    stamp := supersede_bill_to(this_account, span);
    INSERT INTO bill_to (account_id, payer_id, valid, known) VALUES (this_account, this_payer, span, tstzrange(stamp, NULL));
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_bill_to(text, text, date, date) IS
'Says that the payer gets the invoices of an account that are issued from valid_from to valid_to (days, half-open; null = without border); the account itself as payer ends that. Returns whether that changed anything. Errors: 22023 if the payer is paid for by another or the account pays for others in that time, 42704 unknown account, 55000 closed payer, 40001 run the transaction again. Volatile.';
