-- Accounts: their settings over time, their place in the tree, and what a new account gets.

CREATE FUNCTION billing.overlaid(former billing.account_setting, named billing.account_setting) RETURNS billing.account_setting
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    former.parent_id := NULLIF(coalesce(named.parent_id, former.parent_id), 0);
    former.currency := coalesce(named.currency, former.currency);
    former.time_zone := coalesce(named.time_zone, former.time_zone);
    former.cycle_day := coalesce(named.cycle_day, former.cycle_day, 1);
    former.rounding_mode := coalesce(named.rounding_mode, former.rounding_mode, 'half_up');
    former.on_rating_error := coalesce(named.on_rating_error, former.on_rating_error, 'bill_rest');
    former.grace := coalesce(named.grace, former.grace, '0');
    former.status := coalesce(named.status, former.status, 'open');
    former.legal_name := NULLIF(coalesce(named.legal_name, former.legal_name), '');
    former.address := NULLIF(coalesce(named.address, former.address), '{}');
    former.country := NULLIF(coalesce(named.country, former.country), '');
    former.vat_id := NULLIF(coalesce(named.vat_id, former.vat_id), '');
    former.endpoint_id := NULLIF(coalesce(named.endpoint_id, former.endpoint_id), '');
    former.tax_code := NULLIF(coalesce(named.tax_code, former.tax_code), '');
    RETURN former;
END $$;
COMMENT ON FUNCTION billing.overlaid(billing.account_setting, billing.account_setting) IS
'The former settings of an account with those named put over them: null keeps, empty (parent 0) clears. Immutable.';

CREATE FUNCTION billing.account_settings_in_force(account_id bigint) RETURNS SETOF billing.account_setting
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
    BEGIN ATOMIC
        SELECT s.*
          FROM billing.account_setting AS s
         WHERE s.account_id = account_settings_in_force.account_id
           AND NOT EXISTS (SELECT FROM billing.account_setting AS later
                            WHERE later.account_id = s.account_id AND later.setting_no > s.setting_no AND later.from_date <= s.from_date)
         ORDER BY s.from_date;
    END;
COMMENT ON FUNCTION billing.account_settings_in_force(bigint) IS
'The settings of an account as known now that hold for some day: each from its from_date to that of the next row. Stable.';

CREATE FUNCTION billing.account_setting_on(account_id bigint, day date) RETURNS billing.account_setting
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT s.*
          FROM billing.account_setting AS s
         WHERE s.account_id = account_setting_on.account_id AND s.from_date <= COALESCE(account_setting_on.day, '-infinity')
         ORDER BY s.setting_no DESC LIMIT 1;
    END;
COMMENT ON FUNCTION billing.account_setting_on(bigint, date) IS 'The settings of an account that hold on a day as known now; null stands for the first day there is. Stable.';

CREATE FUNCTION billing.check_account_setting(setting billing.account_setting) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    -- Nothing is called for what was not named: a hundred thousand accounts come through here.
    IF setting.time_zone IS NOT NULL THEN
        PERFORM check_time_zone(setting.time_zone);
    END IF;
    IF setting.cycle_day NOT BETWEEN 1 AND 31 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('cycle_day must be between 1 and 31, not %s', setting.cycle_day),
            HINT = 'In shorter months a late cycle day means the last day.';
    ELSIF setting.grace NOT BETWEEN '0' AND '100 years' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('grace must be between nothing and 100 years, but is %s', setting.grace);
    END IF;
    IF setting.rounding_mode IS NOT NULL OR setting.on_rating_error IS NOT NULL OR setting.status IS NOT NULL THEN
        PERFORM check_word('rounding_mode', setting.rounding_mode, '{half_up,half_even,up,down,ceiling,floor,cash}');
        PERFORM check_word('on_rating_error', setting.on_rating_error, '{bill_rest,hold_account}');
        PERFORM check_word('status', setting.status, '{open,closed}');
    END IF;
    IF setting.address IS NOT NULL OR setting.country <> '' THEN
        PERFORM check_address(setting.address);
        PERFORM check_country(NULLIF(setting.country, ''));
    END IF;
    IF setting.tax_code <> '' AND NOT EXISTS (SELECT FROM tax_rate AS t WHERE t.tax_code = setting.tax_code) THEN
        RAISE undefined_object USING MESSAGE = format('tax code "%s" does not exist', setting.tax_code),
            HINT = 'Make it with billing.set_tax_rate().';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_account_setting(billing.account_setting) IS 'Raises 22023 or 42704 for a setting of an account that makes no sense; null passes. Volatile.';

CREATE FUNCTION billing.check_account_tree(account_id bigint, parent_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF EXISTS (
        WITH RECURSIVE above (account_id) AS (
            SELECT check_account_tree.parent_id
             UNION
            SELECT s.parent_id FROM above AS a, account_settings_in_force(a.account_id) AS s WHERE s.parent_id IS NOT NULL)
        SELECT FROM above AS a WHERE a.account_id = check_account_tree.account_id)
    THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('account "%s" cannot be the parent of "%s", which is above it or the same',
                (SELECT a.key FROM account AS a WHERE a.account_id = check_account_tree.parent_id),
                (SELECT a.key FROM account AS a WHERE a.account_id = check_account_tree.account_id));
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_account_tree(bigint, bigint) IS 'Raises 22023 if the account is the parent itself or above it on any day, as known now. Stable.';

CREATE FUNCTION billing.open_account(
    key text, named billing.account_setting, starts_on date, seller text, price_list text, invoice_group text, progressive billing.agreement_term) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_account   bigint;
    this_seller    int := find_seller(open_account.seller);
    this_list      int;
    this_group     bigint;
    this_agreement int;
    setting        account_setting;
    term           agreement_term := progressive;
BEGIN
    SELECT s.currency, s.time_zone INTO setting.currency, setting.time_zone
      FROM seller_setting AS s WHERE s.seller_id = this_seller ORDER BY s.setting_no DESC LIMIT 1;
    setting := overlaid(setting, named);
    this_list := CASE WHEN open_account.price_list IS NULL THEN default_price_list(this_seller, setting.currency)
                      ELSE find_price_list(this_seller, open_account.price_list) END;
    term.list_id := this_list;
    term := overlaid(term, NULL);    -- without those that are off
    PERFORM check_term_currency(term, setting.currency);

    PERFORM check_account_start(NULL, open_account.starts_on);
    INSERT INTO account AS a (key, starts_on) VALUES (open_account.key, open_account.starts_on)
        ON CONFLICT DO NOTHING RETURNING a.account_id INTO this_account;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    setting.account_id := this_account;
    setting.setting_no := 1;
    setting.from_date := '-infinity';
    setting.recorded_at := recorded_at();
    setting.recorded_by := session_user;
    INSERT INTO account_setting VALUES (setting.*);
    INSERT INTO invoice_group (payer_id, recorded_at) VALUES (this_account, setting.recorded_at);
    IF open_account.invoice_group <> 'default' AND open_account.invoice_group <> '' THEN
        INSERT INTO invoice_group AS g (payer_id, key) VALUES (this_account, open_account.invoice_group) RETURNING g.invoice_group_id INTO this_group;
    END IF;
    INSERT INTO agreement AS a (seller_id, buyer_id) VALUES (this_seller, this_account) RETURNING a.agreement_id INTO this_agreement;
    INSERT INTO agreement_term (agreement_id, consumer_id, list_id, invoice_group_id, progressive_threshold, progressive_thresholds, progressive_every, known)
        VALUES (this_agreement, this_account, this_list, this_group, term.progressive_threshold, term.progressive_thresholds, term.progressive_every,
                tstzrange(setting.recorded_at, NULL));
    RETURN this_account;
END $$;
COMMENT ON FUNCTION billing.open_account(text, billing.account_setting, date, text, text, text, billing.agreement_term) IS
'Makes an account with its first settings, its invoice group ''default'' and its agreement ''default'' with the seller and the thresholds of progressive; returns its number, or null if an account of that key was made meanwhile. Used by set_account(). Volatile.';

CREATE FUNCTION billing.change_account(account_id bigint, named billing.account_setting, from_date date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    former  account_setting;
    wanted  account_setting;
    last_no int := (SELECT max(s.setting_no) FROM account_setting AS s WHERE s.account_id = change_account.account_id);
    writing boolean := false;
    other_currency boolean := false;
    first_from date := (SELECT max(s.from_date) FROM account_settings_in_force(change_account.account_id) AS s WHERE s.from_date <= change_account.from_date);
BEGIN
    -- What is named holds from from_date on.  A later setting differs in something else and is said again, because the newest
    -- row whose from_date has come holds as a whole.
    FOR former IN SELECT s.* FROM account_settings_in_force(change_account.account_id) AS s WHERE s.from_date >= first_from LOOP
        wanted := overlaid(former, named);
        CONTINUE WHEN NOT writing AND wanted IS NOT DISTINCT FROM former;
        IF wanted.currency <> former.currency THEN
            PERFORM check_currency(wanted.currency);
            other_currency := true;
        END IF;
        writing := true;
        last_no := last_no + 1;
        wanted.setting_no := last_no;
        wanted.from_date := greatest(former.from_date, change_account.from_date);
        wanted.recorded_at := recorded_at();
        wanted.recorded_by := session_user;
        INSERT INTO account_setting VALUES (wanted.*);
    END LOOP;
    RETURN other_currency;
END $$;
COMMENT ON FUNCTION billing.change_account(bigint, billing.account_setting, date) IS
'Writes the settings of an account that hold from from_date on, with those named put over the former ones; nothing where nothing changes. Returns whether the currency became another. Used by set_account(). Volatile.';

CREATE FUNCTION billing.check_account_start(account_id bigint, starts_on date) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_day('starts_on', check_account_start.starts_on);
    IF NOT isfinite(check_account_start.starts_on) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('starts_on must be a day, not %s', check_account_start.starts_on),
            HINT = 'It is the first day whose charges are billed; leave it out, and the first usage or subscription says.';
    ELSIF EXISTS (SELECT FROM account_calendar AS c WHERE c.account_id = check_account_start.account_id) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('account "%s" has charge periods already, so its first day cannot move to %s',
                (SELECT a.key FROM account AS a WHERE a.account_id = check_account_start.account_id), check_account_start.starts_on),
            HINT = 'The borders of charge periods are frozen when they are first stored.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_account_start(bigint, date) IS 'Raises 22023 for a first day that no usage can have, 55000 if charge periods of the account are stored, so that it cannot move any more. Volatile.';

CREATE FUNCTION billing.check_account_lists(account_id bigint, from_date date) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    SELECT l.key, l.currency, account_setting_currency.currency AS account_currency INTO wrong
      FROM agreement AS a
      JOIN agreement_term AS t USING (agreement_id)
      JOIN price_list AS l USING (list_id)
      CROSS JOIN LATERAL (SELECT (account_setting_on(a.buyer_id, greatest(lower(t.valid), check_account_lists.from_date))).currency) AS account_setting_currency
     WHERE a.buyer_id = check_account_lists.account_id AND upper_inf(t.known)
       AND t.valid && daterange(NULLIF(check_account_lists.from_date, '-infinity'), NULL)
       AND l.currency <> account_setting_currency.currency
     LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the account is charged in %s, but by price list "%s", which is in %s', wrong.account_currency, wrong.key, wrong.currency),
            HINT = 'Name a price list in the new currency in the same call: price_list =>.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_account_lists(bigint, date) IS 'Raises 22023 if an agreement of the account that holds after from_date has a price list in another currency than the account. Stable.';

CREATE FUNCTION billing.check_currency_border(account_id bigint, from_date date) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    inside record;
BEGIN
    SELECT p.date_from, p.date_to INTO inside
      FROM billing.periods(check_currency_border.account_id, daterange(check_currency_border.from_date, check_currency_border.from_date, '[]')) AS p
     WHERE p.date_from < check_currency_border.from_date AND p.date_to > check_currency_border.from_date;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the currency of an account cannot change on %s, inside the charge period from %s to %s', check_currency_border.from_date, inside.date_from, inside.date_to),
            HINT = format('A period has one currency: take %s, when the next one begins.', inside.date_to);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_currency_border(bigint, date) IS 'Raises 22023 when an account''s currency is to change inside a charge period, which has one currency. Stable.';
REVOKE ALL ON FUNCTION billing.check_currency_border(bigint, date) FROM PUBLIC;

CREATE FUNCTION billing.set_account(
    key text, currency text DEFAULT NULL, time_zone text DEFAULT NULL, cycle_day int DEFAULT NULL, seller text DEFAULT NULL,
    parent text DEFAULT NULL, starts_on date DEFAULT NULL, from_date date DEFAULT NULL, rounding_mode text DEFAULT NULL,
    on_rating_error text DEFAULT NULL, grace interval DEFAULT NULL, status text DEFAULT NULL, legal_name text DEFAULT NULL,
    address jsonb DEFAULT NULL, country text DEFAULT NULL, vat_id text DEFAULT NULL, endpoint_id text DEFAULT NULL,
    tax_code text DEFAULT NULL, price_list text DEFAULT NULL, invoice_group text DEFAULT NULL,
    progressive_threshold billing.monetary DEFAULT NULL, progressive_thresholds billing.monetary[] DEFAULT NULL, progressive_every billing.monetary DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_account bigint;
    first_day date;
    other_currency boolean;
    stored_to date;
    named account_setting;
    progressive agreement_term;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an account', set_account.key);
    named.currency := set_account.currency;
    named.time_zone := set_account.time_zone;
    named.cycle_day := set_account.cycle_day;
    named.parent_id := CASE WHEN set_account.parent = '' THEN 0 WHEN set_account.parent IS NOT NULL THEN find_account(set_account.parent) END;
    named.rounding_mode := set_account.rounding_mode;
    named.on_rating_error := set_account.on_rating_error;
    named.grace := set_account.grace;
    named.status := set_account.status;
    named.legal_name := set_account.legal_name;
    named.address := set_account.address;
    named.country := set_account.country;
    named.vat_id := set_account.vat_id;
    named.endpoint_id := set_account.endpoint_id;
    named.tax_code := set_account.tax_code;
    PERFORM check_account_setting(named);
    PERFORM check_day('from_date', set_account.from_date);
    progressive.progressive_threshold := set_account.progressive_threshold;
    progressive.progressive_thresholds := set_account.progressive_thresholds;
    progressive.progressive_every := set_account.progressive_every;

    SELECT a.account_id INTO this_account FROM account AS a WHERE a.key = set_account.key;
    IF NOT FOUND THEN
        this_account := open_account(set_account.key, named, set_account.starts_on, set_account.seller, set_account.price_list,
                                     set_account.invoice_group, progressive);
        IF this_account IS NOT NULL THEN
            RETURN this_account;
        END IF;
    END IF;

    IF named.parent_id <> 0 THEN
        PERFORM billing.lock_until_commit(1651076210, 1);    -- one change of the tree at a time
        PERFORM check_account_tree(this_account, named.parent_id);
    END IF;
    SELECT a.account_id, a.starts_on INTO this_account, first_day FROM account AS a WHERE a.key = set_account.key FOR NO KEY UPDATE;
    IF set_account.starts_on IS DISTINCT FROM first_day AND set_account.starts_on IS NOT NULL THEN
        PERFORM check_account_start(this_account, set_account.starts_on);
        UPDATE account AS a SET starts_on = set_account.starts_on WHERE a.account_id = this_account;
    END IF;
    IF set_account.from_date IS NULL AND set_account.status = (account_setting_on(this_account, 'infinity')).status THEN
        named.status := NULL;    -- it is that already
    ELSIF set_account.from_date IS NULL AND set_account.status IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('from which day on is account "%s" %s?', set_account.key, set_account.status),
            HINT = 'Say from_date => with status =>.';
    END IF;
    other_currency := change_account(this_account, named, coalesce(set_account.from_date, '-infinity'));
    SELECT max(p.date_to) INTO stored_to FROM charge_period AS p WHERE p.account_id = this_account AND p.date_to > coalesce(set_account.from_date, '-infinity');
    IF stored_to > current_date AND num_nonnulls(set_account.cycle_day, set_account.time_zone) > 0 THEN
        RAISE NOTICE 'periods of account "%" are stored up to %: a new cycle day or time zone begins there', set_account.key, stored_to;
    END IF;
    IF set_account.seller IS NOT NULL OR set_account.price_list IS NOT NULL OR set_account.invoice_group IS NOT NULL
       OR num_nonnulls(set_account.progressive_threshold, set_account.progressive_thresholds, set_account.progressive_every) > 0
    THEN
        PERFORM set_agreement(set_account.key, seller => set_account.seller, price_list => set_account.price_list,
            valid_from => set_account.from_date, invoice_group => set_account.invoice_group,
            progressive_threshold => set_account.progressive_threshold, progressive_thresholds => set_account.progressive_thresholds,
            progressive_every => set_account.progressive_every);
    END IF;
    IF other_currency THEN
        PERFORM check_currency_border(this_account, set_account.from_date);
        PERFORM check_account_lists(this_account, coalesce(set_account.from_date, '-infinity'));
    END IF;
    RETURN this_account;
END $$;
COMMENT ON FUNCTION billing.set_account(text, text, text, int, text, text, date, date, text, text, interval, text, text, jsonb, text, text, text, text, text, text, billing.monetary, billing.monetary[], billing.monetary) IS
'Makes or changes the account with that key and returns its number. A new account gets the invoice group ''default'' and an agreement ''default'' with the seller (which need not be named while there is only one) by price_list, or by the seller''s list ''default'' or ''default-CUR'' in its currency; currency and time_zone are the seller''s unless named, cycle_day (1 to 31, clamped in short months) is 1. parent: key of the account above. starts_on: first day that can be billed. from_date: first day on which what is named holds, default always; later settings keep what is not named. rounding_mode: half_up, half_even, up, down, ceiling, floor, cash. on_rating_error: bill_rest or hold_account. grace: how long after a period''s end usage may come before it is due. status: open or closed, with from_date. tax_code: overrides that of prices. progressive_threshold, progressive_thresholds, progressive_every: bill running periods, as set_agreement() explains. Null keeps, empty clears. Errors: 22023 bad argument, 42704 unknown seller, parent, list or tax code, 55000 starts_on after the first period. Volatile.';
