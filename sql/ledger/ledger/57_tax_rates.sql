-- Tax codes of a seller and their rates over time.

CREATE FUNCTION billing.checked_tax_rate(rate billing.tax_rate) RETURNS billing.tax_rate
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    taxed boolean := rate.category IN ('S', 'L', 'M');
    code  text := CASE rate.category WHEN 'AE' THEN 'VATEX-EU-AE' WHEN 'K' THEN 'VATEX-EU-IC' WHEN 'G' THEN 'VATEX-EU-G' WHEN 'O' THEN 'VATEX-EU-O' END;
BEGIN
    PERFORM check_key('a tax rate', rate.tax_code);
    PERFORM check_word('category', rate.category, '{S,Z,E,AE,K,G,O,L,M}');
    rate.rate := coalesce(rate.rate, CASE WHEN NOT taxed THEN 0 END);
    IF rate.rate IS NULL OR NOT (rate.rate >= 0 AND rate.rate <= 1000) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the rate of tax code "%s" must be a percentage from 0 to 1000, not %s', rate.tax_code, coalesce(rate.rate::text, 'null'));
    ELSIF NOT taxed AND rate.rate <> 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('tax category %s allows no rate but 0, not %s', rate.category, rate.rate);
    ELSIF rate.category = 'S' AND rate.rate = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('tax code "%s" of category S must have a rate above 0', rate.tax_code),
            HINT = 'Use category Z (zero rated), E (exempt), AE (reverse charge), K (within the EU), G (export) or O (outside the scope).';
    ELSIF rate.category IN ('S', 'Z', 'L', 'M') AND (rate.exemption_code IS NOT NULL OR rate.exemption_reason IS NOT NULL) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('tax category %s allows no exemption', rate.category);
    ELSIF rate.category = 'E' AND rate.exemption_code IS NULL AND rate.exemption_reason IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('tax code "%s" of category E needs exemption_code or exemption_reason', rate.tax_code);
    END IF;
    IF rate.exemption_code IS NULL AND rate.exemption_reason IS NULL THEN
        rate.exemption_code := code;
        rate.exemption_reason := CASE rate.category
            WHEN 'AE' THEN 'Reverse charge' WHEN 'K' THEN 'Intra-community supply' WHEN 'G' THEN 'Export outside the EU' WHEN 'O' THEN 'Not subject to VAT' END;
    END IF;
    RETURN rate;
END $$;
COMMENT ON FUNCTION billing.checked_tax_rate(billing.tax_rate) IS
'The tax rate with what its category implies (rate 0, exemption of EN 16931). Errors: 22023 for what the business rules BR-S, BR-Z, BR-E, BR-AE, BR-IC, BR-G and BR-O of EN 16931 forbid. Immutable.';

CREATE FUNCTION billing.supersede_tax_rates(seller_id int, tax_code text, span daterange) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz := stamp_after((
        SELECT max(lower(t.known)) FROM tax_rate AS t
         WHERE t.seller_id = supersede_tax_rates.seller_id AND t.tax_code = supersede_tax_rates.tax_code AND t.valid && span AND upper_inf(t.known)));
BEGIN
    WITH closed AS (
        UPDATE tax_rate AS t SET known = tstzrange(lower(t.known), stamp)
         WHERE t.seller_id = supersede_tax_rates.seller_id AND t.tax_code = supersede_tax_rates.tax_code AND t.valid && span AND upper_inf(t.known)
        RETURNING t.*)
    INSERT INTO tax_rate (seller_id, tax_code, category, rate, exemption_code, exemption_reason, valid, known)
    SELECT c.seller_id, c.tax_code, c.category, c.rate, c.exemption_code, c.exemption_reason, rest, tstzrange(stamp, NULL)
      FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest;
    RETURN stamp;
END $$;
COMMENT ON FUNCTION billing.supersede_tax_rates(int, text, daterange) IS
'Ends the belief in the rates of a tax code that overlap the span, writes again what of them lies outside it, and returns the stamp for what comes instead. Volatile.';

CREATE FUNCTION billing.set_tax_rate(
    tax_code text, rate numeric DEFAULT NULL, category text DEFAULT 'S', exemption_code text DEFAULT NULL, exemption_reason text DEFAULT NULL,
    valid_from date DEFAULT NULL, valid_to date DEFAULT NULL, seller text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_seller int := find_seller(set_tax_rate.seller);
    span        daterange := check_dates(set_tax_rate.valid_from, set_tax_rate.valid_to);
    wanted      tax_rate;
    same        datemultirange;
BEGIN
    PERFORM check_ledger();
    wanted.seller_id := this_seller;
    wanted.tax_code := set_tax_rate.tax_code;
    wanted.rate := set_tax_rate.rate;
    wanted.category := coalesce(set_tax_rate.category, 'S');
    wanted.exemption_code := NULLIF(set_tax_rate.exemption_code, '');
    wanted.exemption_reason := NULLIF(set_tax_rate.exemption_reason, '');
    wanted := checked_tax_rate(wanted);
    PERFORM FROM seller AS s WHERE s.seller_id = this_seller FOR NO KEY UPDATE;
    SELECT range_agg(t.valid) INTO same FROM tax_rate AS t
     WHERE t.seller_id = this_seller AND t.tax_code = wanted.tax_code AND upper_inf(t.known)
       AND (t.category, t.rate, t.exemption_code, t.exemption_reason)
           IS NOT DISTINCT FROM (wanted.category, wanted.rate, wanted.exemption_code, wanted.exemption_reason);
    IF same @> span THEN
        RETURN false;
    END IF;
    wanted.valid := range_merge(datemultirange(span) - coalesce(same, '{}'));
    wanted.known := tstzrange(supersede_tax_rates(this_seller, wanted.tax_code, wanted.valid), NULL);
    wanted.recorded_by := session_user;
    INSERT INTO tax_rate VALUES (wanted.*);
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_tax_rate(text, numeric, text, text, text, date, date, text) IS
'Says what a tax code of a seller means for tax points from valid_from to valid_to (days, half-open; null = without border); returns whether that was new. rate: percent. category: UNCL 5305 code of EN 16931 (BT-151): S standard, Z zero rated, E exempt, AE reverse charge, K within the EU, G export, O outside the scope, L and M Canary Islands, Ceuta and Melilla. exemption_code, exemption_reason: needed for E, given by the category for AE, K, G and O. A correction keeps the rate of the line it corrects. Errors: 22023 bad argument, 42704 unknown seller, 40001 run the transaction again. Volatile.';
