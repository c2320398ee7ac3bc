-- Who bears what in cents: the one place where shares are rounded, so that reports and charge-back agree.

CREATE FUNCTION billing.bearer_cents(scheme text, days daterange, by_day boolean)
    RETURNS TABLE (cost_center text, outcome text, currency text, billed numeric, effective numeric, list numeric, contracted numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$
    WITH exact AS (
        SELECT c.cost_center, c.outcome, c.currency, sum(c.billed) AS billed, sum(c.effective) AS effective, sum(c.list) AS list, sum(c.contracted) AS contracted
          FROM billing.cost_shares AS c
         WHERE c.scheme = bearer_cents.scheme AND CASE WHEN bearer_cents.by_day THEN bearer_cents.days @> c.day ELSE c.period = bearer_cents.days END GROUP BY 1, 2, 3),
    -- a bearer is a cost center, or what nobody bears for one reason
    bearer AS (
        SELECT e.currency, e.cost_center, row_number() OVER (PARTITION BY e.currency ORDER BY e.cost_center COLLATE "C" NULLS LAST, min(e.outcome)) AS place, array_agg(e.outcome ORDER BY e.outcome) AS outcomes,
               array_agg(e.billed ORDER BY e.outcome) AS billed, array_agg(e.effective ORDER BY e.outcome) AS effective, array_agg(e.list ORDER BY e.outcome) AS list, array_agg(e.contracted ORDER BY e.outcome) AS contracted,
               sum(e.billed) AS all_billed, sum(e.effective) AS all_effective, sum(e.list) AS all_list, sum(e.contracted) AS all_contracted
          FROM exact AS e GROUP BY e.currency, e.cost_center, CASE WHEN e.cost_center IS NULL THEN e.outcome END),
    unit AS (
        SELECT e.currency, coalesce(minor_unit(e.currency), max(greatest(scale(e.billed), scale(e.effective), scale(e.list), scale(e.contracted)))) AS digits FROM exact AS e GROUP BY e.currency),
    cents AS (
        SELECT u.currency, u.digits, round_shares(array_agg(b.all_billed ORDER BY b.place), u.digits) AS billed, round_shares(array_agg(b.all_effective ORDER BY b.place), u.digits) AS effective,
               round_shares(array_agg(b.all_list ORDER BY b.place), u.digits) AS list, round_shares(array_agg(b.all_contracted ORDER BY b.place), u.digits) AS contracted
          FROM bearer AS b JOIN unit AS u USING (currency) GROUP BY u.currency, u.digits)
    SELECT b.cost_center, p.outcome, b.currency, p.billed, p.effective, p.list, p.contracted
      FROM bearer AS b
      JOIN cents AS c USING (currency)
     CROSS JOIN LATERAL unnest(b.outcomes, round_shares(b.billed, c.digits, c.billed[b.place]), round_shares(b.effective, c.digits, c.effective[b.place]),
                               round_shares(b.list, c.digits, c.list[b.place]), round_shares(b.contracted, c.digits, c.contracted[b.place])) WITH ORDINALITY AS p (outcome, billed, effective, list, contracted, no)
     ORDER BY b.currency, b.place, p.no $$;
COMMENT ON FUNCTION billing.bearer_cents(text, daterange, boolean) IS
'What each cost center bears by a scheme, direct and shared, and what nobody bears (cost center null: excluded, unallocated), in cents that add up to the whole; by_day false: of the division of exactly this period, true: of the charge days in it. A cost center is rounded once among all, then its cents are split into direct and shared (see round_shares(); of equal losses the cost center that is first in byte order gains). Amounts of a currency without minor unit stay exact. Used by report_lines() and charge_back(). Stable.';
