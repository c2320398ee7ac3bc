-- What a line changed: the explanation of a charge after it, less that of before.

CREATE FUNCTION billing.explain_change(line_id bigint)
    RETURNS TABLE (step int, stage text, what text, tier_from numeric, tier_to numeric, quantity numeric, unit_price numeric, amount billing.monetary)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    this   billing.line := (SELECT l FROM billing.line AS l WHERE l.line_id = explain_change.line_id);
    -- after a line that took everything back a charge begins anew
    before bigint := (SELECT l.line_id FROM billing.line AS l
                       WHERE l.account_id = this.account_id AND l.key_id = this.key_id AND l.chain_no = this.prev_no
                         AND l.kind NOT IN ('void', 'cancellation') AND this.kind NOT IN ('void', 'cancellation'));
BEGIN
    RETURN QUERY
        WITH part AS (
            SELECT e.*, true AS is_now FROM billing.explain_line(explain_change.line_id) AS e
            UNION ALL
            SELECT e.*, false FROM billing.explain_line(before) AS e WHERE before IS NOT NULL
        ), compared AS (
            SELECT p.stage, min(p.step) FILTER (WHERE p.is_now) AS step_now, min(p.step) AS step_any,
                   coalesce(min(p.what) FILTER (WHERE p.is_now), 'no longer: ' || min(p.what)) AS what, p.tier_from, p.tier_to, p.unit_price,
                   sum(CASE WHEN p.is_now THEN p.quantity ELSE - p.quantity END) AS quantity,
                   sum(CASE WHEN p.is_now THEN p.amount ELSE - p.amount END) AS amount
              FROM part AS p
             WHERE p.amount IS NOT NULL AND p.stage <> 'billed before'
             -- decisions are told apart by their words; the words of other stages hold quantities
             GROUP BY p.stage, p.tier_from, p.tier_to, p.unit_price, p.quantity IS NULL, CASE p.stage WHEN 'decision' THEN p.what END
        )
        SELECT (row_number() OVER (ORDER BY array_position('{usage,price,proration,rounding,policy,decision}', c.stage), coalesce(c.step_now, 1000000), c.step_any, c.tier_from))::int,
               c.stage, c.what, c.tier_from, c.tier_to, trim_scale(c.quantity), c.unit_price, c.amount
          FROM compared AS c
         WHERE NOT is_zero(c.amount) OR c.quantity <> 0
         ORDER BY 1;
END $$;
COMMENT ON FUNCTION billing.explain_change(bigint) IS
'What a final line changed, part by part: the steps of explain_line() after it less those of the line before it in its chain; of a first line its own steps. Parts of one tier and unit price are one row, what is no longer charged is negative, parts without change are left out. The amounts add up to the line''s amount exactly. Errors: 42704 unknown line. Stable.';
