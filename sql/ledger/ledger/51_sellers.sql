-- Sellers and what belongs to every seller: its default price list and its number series.

CREATE FUNCTION billing.overlaid(former billing.seller_setting, named billing.seller_setting) RETURNS billing.seller_setting
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    former.legal_name := coalesce(named.legal_name, former.legal_name);
    former.country := coalesce(named.country, former.country);
    former.currency := coalesce(named.currency, former.currency);
    former.time_zone := coalesce(named.time_zone, former.time_zone, 'UTC');
    former.address := NULLIF(coalesce(named.address, former.address), '{}');
    former.tax_ids := NULLIF(coalesce(named.tax_ids, former.tax_ids), '{}');
    former.endpoint_id := NULLIF(coalesce(named.endpoint_id, former.endpoint_id), '');
    former.default_tax_code := NULLIF(coalesce(named.default_tax_code, former.default_tax_code), '');
    former.payment_days := coalesce(named.payment_days, former.payment_days, 14);
    RETURN former;
END $$;
COMMENT ON FUNCTION billing.overlaid(billing.seller_setting, billing.seller_setting) IS
'The former settings of a seller with those named put over them: null keeps, empty clears. Immutable.';

CREATE FUNCTION billing.check_seller_setting(setting billing.seller_setting) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_country(setting.country);
    IF setting.currency IS NOT NULL THEN
        PERFORM check_currency(setting.currency);
    END IF;
    IF setting.time_zone IS NOT NULL THEN
        PERFORM check_time_zone(setting.time_zone);
    END IF;
    PERFORM check_address(setting.address);
    PERFORM check_object('tax_ids', setting.tax_ids);
    IF setting.payment_days NOT BETWEEN 0 AND 3653 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('payment_days must be between 0 and 3653, but is %s', setting.payment_days);
    END IF;
    IF setting.legal_name = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the legal name of a seller must not be empty';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_seller_setting(billing.seller_setting) IS 'Raises 22023 for a setting of a seller that makes no sense; null passes. Volatile.';

CREATE FUNCTION billing.set_seller(
    key text, legal_name text DEFAULT NULL, country text DEFAULT NULL, currency text DEFAULT NULL, time_zone text DEFAULT NULL,
    address jsonb DEFAULT NULL, tax_ids jsonb DEFAULT NULL, endpoint_id text DEFAULT NULL, default_tax_code text DEFAULT NULL,
    payment_days int DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_seller int;
    is_new boolean;
    named  seller_setting;
    former seller_setting;
    wanted seller_setting;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a seller', set_seller.key);
    named.legal_name := set_seller.legal_name;
    named.country := set_seller.country;
    named.currency := set_seller.currency;
    named.time_zone := set_seller.time_zone;
    named.address := set_seller.address;
    named.tax_ids := set_seller.tax_ids;
    named.endpoint_id := set_seller.endpoint_id;
    named.default_tax_code := set_seller.default_tax_code;
    named.payment_days := set_seller.payment_days;
    PERFORM check_seller_setting(named);

    SELECT s.seller_id INTO this_seller FROM seller AS s WHERE s.key = set_seller.key FOR NO KEY UPDATE;
    is_new := NOT FOUND;
    SELECT s.* INTO former FROM seller_setting AS s WHERE s.seller_id = this_seller ORDER BY s.setting_no DESC LIMIT 1;
    wanted := overlaid(former, named);
    IF wanted IS NOT DISTINCT FROM former THEN
        RETURN this_seller;
    ELSIF wanted.legal_name IS NULL OR wanted.country IS NULL OR wanted.currency IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a new seller needs a legal name, a country and a currency, but "%s" has not all of them', set_seller.key),
            HINT = 'Name them: legal_name =>, country =>, currency =>.';
    END IF;
    IF is_new THEN
        INSERT INTO seller AS s (key) VALUES (set_seller.key) RETURNING s.seller_id INTO this_seller;
    END IF;
    wanted.seller_id := this_seller;
    wanted.setting_no := coalesce(former.setting_no, 0) + 1;
    wanted.recorded_at := recorded_at();
    wanted.recorded_by := session_user;
    INSERT INTO seller_setting VALUES (wanted.*);
    IF is_new THEN
        INSERT INTO price_list (seller_id, key, currency) VALUES (this_seller, 'default', wanted.currency);
        INSERT INTO number_series (seller_id, type, prefix) VALUES (this_seller, '380', 'INV-'), (this_seller, '381', 'CN-');
    END IF;
    RETURN this_seller;
END $$;
COMMENT ON FUNCTION billing.set_seller(text, text, text, text, text, jsonb, jsonb, text, text, int) IS
'Makes or changes the seller with that key and returns its number. A new seller needs legal_name, country (ISO 3166-1) and currency (ISO 4217); it gets the price list ''default'' in its currency and the number series of invoices (INV-) and credit notes (CN-). time_zone: default UTC. address: JSON object with line_1, line_2, city, post_code, subdivision. tax_ids: JSON object, such as {"vat": "DE123456789"}. default_tax_code: for prices and accounts that name none. payment_days: until an invoice is due, default 14. Null keeps, empty clears. Errors: 22023 bad argument, 23505 if another session makes the same seller. Volatile.';
