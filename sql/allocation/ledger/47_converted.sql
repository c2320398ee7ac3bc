-- Allocated cost in one currency: the rate of its day stays on the row, and what has none is not hidden.

CREATE FUNCTION billing.cost_in_currency(period daterange, currency text)
    RETURNS TABLE (scheme text, cost_center text, outcome text, from_currency text, rate_valid daterange, rate numeric, billed numeric, effective numeric, converted_billed numeric, converted_effective numeric)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_period(cost_in_currency.period);
    PERFORM check_currency(cost_in_currency.currency);
    RETURN QUERY
        SELECT c.scheme, c.cost_center, c.outcome, c.currency, r.valid, r.rate, sum(c.billed), sum(c.effective), sum(c.billed) * r.rate, sum(c.effective) * r.rate
          FROM (SELECT s.scheme, s.cost_center, s.outcome, s.currency, s.day, sum(s.billed) AS billed, sum(s.effective) AS effective FROM cost_shares AS s WHERE cost_in_currency.period @> s.day GROUP BY 1, 2, 3, 4, 5) AS c
          LEFT JOIN (SELECT x.from_currency, x.valid, x.rate FROM exchange_rate AS x WHERE x.to_currency = cost_in_currency.currency AND upper_inf(x.known)
                     UNION ALL SELECT cost_in_currency.currency, NULL, 1) AS r ON r.from_currency = c.currency AND coalesce(r.valid @> c.day, true)
         GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2 NULLS LAST, 3, 4, 5;
END $$;
COMMENT ON FUNCTION billing.cost_in_currency(daterange, text) IS
'What each cost center of each scheme bears on the charge days of a period, converted into one currency by the rate of the day (set_exchange_rate()): a row for each currency and rate, with the days on which the rate holds, the amount before and, unrounded, after; rate and converted amounts are null where no rate was set. Never add different schemes to each other. Errors: 22023 no period or unknown currency. Stable.';
