-- What a line changed: the explanation of a charge after it, less that of before.

CREATE FUNCTION billing.line_before(line_id bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT before.line_id
      FROM line AS this
      JOIN line AS before ON before.account_id = this.account_id AND before.key_id = this.key_id AND before.chain_no < this.chain_no
     WHERE this.line_id = line_before.line_id AND this.kind NOT IN ('void', 'cancellation') AND before.kind NOT IN ('void', 'cancellation')
       AND NOT EXISTS (SELECT FROM line AS taken_back
                        WHERE taken_back.account_id = this.account_id AND taken_back.key_id = this.key_id AND taken_back.chain_no BETWEEN before.chain_no AND this.chain_no
                          AND CASE taken_back.kind WHEN 'void' THEN taken_back.invoice_id WHEN 'cancellation' THEN taken_back.corrects_invoice_id END = before.invoice_id)
     ORDER BY before.chain_no DESC LIMIT 1
$$;
COMMENT ON FUNCTION billing.line_before(bigint) IS
'The final line of the same charge whose explanation held when a line was billed: the latest before it that was not taken back by a cancellation or by voiding; null when there is none, or for a line that takes another one back. Stable.';
REVOKE ALL ON FUNCTION billing.line_before(bigint) FROM PUBLIC;

CREATE FUNCTION billing.explain_change(line_id bigint)
    RETURNS TABLE (step int, stage text, what text, tier_from numeric, tier_to numeric, quantity numeric, unit_price numeric, amount billing.monetary)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    before CONSTANT bigint := billing.line_before(explain_change.line_id);
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
        ), shown AS (
            SELECT array_position('{price,proration,rounding,policy,decision}', c.stage) AS place, c.* FROM compared AS c
             WHERE NOT is_zero(c.amount) OR c.quantity <> 0
            UNION ALL
            SELECT 10, 'taken back', 0, 0, 'what cancellations had taken back of it', NULL, NULL, NULL, NULL, l.amount - coalesce(x.total, l.amount - l.amount)
              FROM billing.line AS l CROSS JOIN (SELECT sum(c.amount) AS total FROM compared AS c) AS x
             WHERE l.line_id = explain_change.line_id AND x.total IS DISTINCT FROM l.amount
        )
        SELECT (row_number() OVER (ORDER BY s.place, s.step_now, s.step_any, s.tier_from))::int, s.stage, s.what, s.tier_from, s.tier_to, trim_scale(s.quantity), s.unit_price, s.amount
          FROM shown AS s ORDER BY 1;
END $$;
COMMENT ON FUNCTION billing.explain_change(bigint) IS
'What a final line changed, part by part: the steps of explain_line() after it less those of the line before it that was not taken back; of a first line its own steps. Parts of one tier and unit price are one row, what is no longer charged is negative, parts without change are left out; what a cancellation had taken back of earlier lines is a part of its own. The amounts add up to the line''s amount exactly. Errors: 42704 unknown line. Stable.';
