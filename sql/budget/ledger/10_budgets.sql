-- Budgets and alerts: limits per scope and period, looked at set-based, each level told once.

CREATE TABLE billing.budget (
    budget_id      int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key            text NOT NULL UNIQUE CHECK (key <> ''),
    scheme_id      int  REFERENCES billing.allocation_scheme,
    cost_center_id bigint REFERENCES billing.cost_center,
    account_id     bigint REFERENCES billing.account,
    item_id        int  REFERENCES billing.item,
    tag            text,
    value          text,
    measure        text NOT NULL DEFAULT 'billed' CHECK (measure IN ('billed', 'effective', 'list', 'contracted', 'charges')),
    with_tax       boolean NOT NULL DEFAULT true,
    with_credits   boolean NOT NULL DEFAULT true,
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    every          text NOT NULL DEFAULT 'month' CHECK (every IN ('month', 'quarter', 'year', 'total')),
    fiscal_start   int  NOT NULL DEFAULT 1 CHECK (fiscal_start BETWEEN 1 AND 12),
    warning        numeric NOT NULL DEFAULT 80 CHECK (warning > 0 AND warning < 'Infinity'),
    critical       numeric NOT NULL DEFAULT 95 CHECK (critical >= warning AND critical < 'Infinity'),
    on_forecast    boolean NOT NULL DEFAULT false,
    action         text NOT NULL DEFAULT 'notify' CHECK (action IN ('notify', 'block', 'event')),
    endpoint       text,
    recorded_at    timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by    text NOT NULL DEFAULT session_user,
    CHECK (num_nonnulls(cost_center_id, account_id, tag) = CASE WHEN item_id IS NOT NULL AND account_id IS NULL THEN 0 ELSE 1 END),
    CHECK ((cost_center_id IS NULL) = (scheme_id IS NULL) AND (tag IS NULL) = (value IS NULL)),
    CHECK ((account_id IS NOT NULL OR item_id IS NOT NULL) = (measure = 'charges'))
);
COMMENT ON TABLE billing.budget IS 'A limit for what a cost center, an account or a tag may cost in a period; the limit itself is in budget_limit.';
COMMENT ON COLUMN billing.budget.budget_id IS 'The budget.';
COMMENT ON COLUMN billing.budget.scheme_id IS 'Scheme whose shares count, for a cost center.';
COMMENT ON COLUMN billing.budget.cost_center_id IS 'The cost center, with all below it; null = another scope.';
COMMENT ON COLUMN billing.budget.account_id IS 'The account, with all below it; null = another scope.';
COMMENT ON COLUMN billing.budget.item_id IS 'Only charges of this meter, of the account or, without one, of all; null = all meters.';
COMMENT ON COLUMN billing.budget.tag IS 'Cost rows with this tag, under its normalised key; null = another scope.';
COMMENT ON COLUMN billing.budget.value IS 'Value of the tag.';
COMMENT ON COLUMN billing.budget.measure IS 'What counts: billed, effective, list or contracted cost, or charges of the account, billed or not, those of running periods as they would be rated now.';
COMMENT ON COLUMN billing.budget.with_tax IS 'Cost rows of taxes count (gross); charges are net.';
COMMENT ON COLUMN billing.budget.with_credits IS 'Cost rows of credits count (after credits).';
COMMENT ON COLUMN billing.budget.currency IS 'Currency of the limit; other currencies are converted by the rate of the day of the cost.';
COMMENT ON COLUMN billing.budget.every IS 'month, quarter, year, or total: the whole span of its limits.';
COMMENT ON COLUMN billing.budget.fiscal_start IS 'Month in which quarters and years begin to be counted.';
COMMENT ON COLUMN billing.budget.warning IS 'Percent of the limit from which on it warns.';
COMMENT ON COLUMN billing.budget.critical IS 'Percent of the limit from which on it is critical.';
COMMENT ON COLUMN billing.budget.on_forecast IS 'Levels are reached by what the period is expected to come to as well; false: only by what has been spent.';
COMMENT ON COLUMN billing.budget.action IS 'notify; block: may_create() says no while it is critical; event: for the platform to act on.';
COMMENT ON COLUMN billing.budget.endpoint IS 'Endpoint that is told of alerts, see set_endpoint(); null = only NOTIFY and the view.';

CREATE TABLE billing.budget_limit (
    budget_id   int  NOT NULL REFERENCES billing.budget,
    valid       daterange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    "limit"     numeric NOT NULL CHECK ("limit" >= 0 AND "limit" < 'Infinity'),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (budget_id WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.budget_limit IS 'The limit of a budget for periods that begin on these days; facts.';
COMMENT ON COLUMN billing.budget_limit.budget_id IS 'The budget.';
COMMENT ON COLUMN billing.budget_limit."limit" IS 'Limit of one period, in the budget''s currency; 0 allows nothing.';

CREATE TABLE billing.alert (
    alert_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    budget_id int    NOT NULL REFERENCES billing.budget,
    period    daterange NOT NULL,
    level     text   NOT NULL CHECK (level IN ('warning', 'critical', 'uncounted')),
    kind      text   NOT NULL CHECK (kind IN ('fired', 'forecast', 'passed', 'restated')),
    actual    numeric NOT NULL,
    "limit"   numeric NOT NULL,
    forecast  numeric,
    method    text   NOT NULL,
    currency  text   NOT NULL,
    action    text   NOT NULL,
    endpoint  text,
    problem   text,
    fired_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    reset_at  timestamptz
);
CREATE UNIQUE INDEX alert_once ON billing.alert (budget_id, period, level) WHERE reset_at IS NULL;
COMMENT ON TABLE billing.alert IS 'A level of a budget that was crossed, once a period and level until it is reset.';
COMMENT ON COLUMN billing.alert.alert_id IS 'The alert.';
COMMENT ON COLUMN billing.alert.budget_id IS 'The budget.';
COMMENT ON COLUMN billing.alert.period IS 'Period of the budget.';
COMMENT ON COLUMN billing.alert.level IS 'warning, critical; uncounted: some cost is not counted (no exchange rate, or a charge that cannot be rated), so that the budget cannot be judged.';
COMMENT ON COLUMN billing.alert.kind IS 'fired; forecast: the level is expected to be reached; passed: a jump over both levels fired critical and only notes the warning; restated: a period that was looked at after its end has changed since.';
COMMENT ON COLUMN billing.alert.actual IS 'What had been spent.';
COMMENT ON COLUMN billing.alert."limit" IS 'The limit then.';
COMMENT ON COLUMN billing.alert.forecast IS 'What the period was expected to come to; null = too early to say, or over.';
COMMENT ON COLUMN billing.alert.method IS 'How that was forecast: linear = at the average of the days so far; what does not grow with the days (fees; cost of other categories than Usage) counts once.';
COMMENT ON COLUMN billing.alert.currency IS 'Currency of the budget then.';
COMMENT ON COLUMN billing.alert.action IS 'Action of the budget then.';
COMMENT ON COLUMN billing.alert.endpoint IS 'Endpoint that was told, with the idempotency key billing:budget-alert-NUMBER; null = none.';
COMMENT ON COLUMN billing.alert.problem IS 'Why the endpoint could not be told.';
COMMENT ON COLUMN billing.alert.fired_at IS 'When it was told.';
COMMENT ON COLUMN billing.alert.reset_at IS 'When it was armed again; null = it is told no second time.';

CREATE TABLE billing.budget_check (
    budget_id int  NOT NULL REFERENCES billing.budget,
    period    daterange NOT NULL,
    level     text CHECK (level IN ('warning', 'critical')),
    after_end boolean NOT NULL,
    PRIMARY KEY (budget_id, period)
);
COMMENT ON TABLE billing.budget_check IS 'How check_budgets() last found each budget; may_create() reads it.';
COMMENT ON COLUMN billing.budget_check.budget_id IS 'The budget.';
COMMENT ON COLUMN billing.budget_check.period IS 'Period of the budget.';
COMMENT ON COLUMN billing.budget_check.level IS 'Level reached: warning, critical; null = none.';
COMMENT ON COLUMN billing.budget_check.after_end IS 'It was looked at after the period had ended: what crosses a level then is told as restated.';

CREATE FUNCTION billing.find_budget(key text) RETURNS billing.budget
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    found_budget budget;
BEGIN
    SELECT b.* INTO found_budget FROM budget AS b WHERE b.key = find_budget.key;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('budget %s does not exist', coalesce('"' || find_budget.key || '"', 'null')), HINT = 'Make it with billing.set_budget().';
    END IF;
    RETURN found_budget;
END $$;
COMMENT ON FUNCTION billing.find_budget(text) IS 'The budget with that key. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.set_budget_limit(budget text, "limit" numeric, valid_from date DEFAULT NULL, valid_to date DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this  budget := find_budget(set_budget_limit.budget);
    span  daterange := daterange(valid_from, valid_to);
    stamp timestamptz;
BEGIN
    PERFORM check_ledger();
    IF isempty(span) OR set_budget_limit."limit" < 0 OR set_budget_limit."limit" >= 'Infinity' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s is no limit for %s', set_budget_limit."limit", span), HINT = 'A limit is 0 or more, or null for none, for at least one day.';
    END IF;
    PERFORM FROM budget AS b WHERE b.budget_id = this.budget_id FOR NO KEY UPDATE;    -- one change of a budget at a time
    stamp := stamp_after((SELECT max(lower(l.known)) FROM budget_limit AS l WHERE l.budget_id = this.budget_id));
    WITH closed AS (
        UPDATE budget_limit AS l SET known = tstzrange(lower(l.known), stamp) WHERE l.budget_id = this.budget_id AND l.valid && span AND upper_inf(l.known) RETURNING l.*)
    INSERT INTO budget_limit (budget_id, valid, "limit", known)
    SELECT c.budget_id, rest, c."limit", tstzrange(stamp, NULL) FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest
    UNION ALL
    SELECT this.budget_id, span, set_budget_limit."limit", tstzrange(stamp, NULL) WHERE set_budget_limit."limit" IS NOT NULL;
END $$;
COMMENT ON FUNCTION billing.set_budget_limit(text, numeric, date, date) IS
'Sets the limit of a budget for periods that begin from valid_from to valid_to (half-open; null = without border). 0 allows nothing; null ends the budget for these periods: it is no longer looked at and blocks nothing. Errors: 22023 no limit or an empty span, 42704 unknown budget. Volatile.';

CREATE FUNCTION billing.set_budget(key text, "limit" numeric, currency text, scheme text DEFAULT NULL, cost_center text DEFAULT NULL, account text DEFAULT NULL, meter text DEFAULT NULL, tag text DEFAULT NULL, value text DEFAULT NULL,
                                   measure text DEFAULT NULL, every text DEFAULT 'month', fiscal_start int DEFAULT 1, with_tax boolean DEFAULT NULL, with_credits boolean DEFAULT NULL,
                                   warning numeric DEFAULT 80, critical numeric DEFAULT 95, action text DEFAULT 'notify', endpoint text DEFAULT NULL, valid_from date DEFAULT NULL, valid_to date DEFAULT NULL,
                                   on_forecast boolean DEFAULT false) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_charges CONSTANT boolean := num_nonnulls(set_budget.account, set_budget.meter) > 0;
    of_scheme allocation_scheme;
    new_id    int;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a budget', set_budget.key);
    PERFORM check_currency(set_budget.currency);
    PERFORM check_word('measure', set_budget.measure, '{billed,effective,list,contracted,charges}');
    IF set_budget."limit" IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('budget "%s" has no limit', set_budget.key), HINT = 'billing.set_budget_limit() with limit => NULL ends a budget.';
    END IF;
    PERFORM check_word('every', set_budget.every, '{month,quarter,year,total}');
    PERFORM check_word('action', set_budget.action, '{notify,block,event}');
    IF num_nonnulls(set_budget.cost_center, coalesce(set_budget.account, set_budget.meter), set_budget.tag) <> 1 OR (set_budget.tag IS NULL) <> (set_budget.value IS NULL)
       OR coalesce((set_budget.measure = 'charges') <> of_charges, false) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('budget "%s" has no scope', set_budget.key),
            HINT = 'Name a scheme and cost_center, or an account, a meter or both (the measure is charges), or a tag and its value.';
    ELSIF set_budget.every = 'total' AND (valid_from IS NULL OR valid_to IS NULL) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('budget "%s" is for a total, but from when to when?', set_budget.key), HINT = 'Give valid_from and valid_to.';
    END IF;
    IF set_budget.warning IS NULL OR set_budget.critical IS NULL OR NOT (0 < set_budget.warning AND set_budget.warning <= set_budget.critical AND set_budget.critical < 'Infinity') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('budget "%s" cannot warn from %s percent and be critical from %s percent on', set_budget.key, coalesce(set_budget.warning::text, 'null'), coalesce(set_budget.critical::text, 'null')),
            HINT = 'warning is above 0, and critical is not below warning.';
    ELSIF set_budget.fiscal_start IS NULL OR set_budget.fiscal_start NOT BETWEEN 1 AND 12 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('fiscal_start must be a month from 1 to 12, not %s', coalesce(set_budget.fiscal_start::text, 'null'));
    ELSIF of_charges AND (set_budget.with_tax OR NOT set_budget.with_credits) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('budget "%s" is for charges, which are net of tax and after discounts', set_budget.key), HINT = 'Leave with_tax and with_credits away; they are for cost.';
    ELSIF set_budget.endpoint IS NOT NULL THEN
        PERFORM find_endpoint(set_budget.endpoint);
    END IF;
    IF set_budget.cost_center IS NOT NULL THEN
        of_scheme := find_scheme(set_budget.scheme);
    END IF;
    INSERT INTO budget AS b (key, scheme_id, cost_center_id, account_id, item_id, tag, value, measure, with_tax, with_credits, currency, every, fiscal_start, warning, critical, on_forecast, action, endpoint)
        VALUES (set_budget.key, of_scheme.scheme_id, CASE WHEN of_scheme.scheme_id IS NOT NULL THEN find_cost_center(of_scheme.kind, set_budget.cost_center) END,
                CASE WHEN set_budget.account IS NOT NULL THEN find_account(set_budget.account) END, CASE WHEN set_budget.meter IS NOT NULL THEN find_item(set_budget.meter, 'meter') END,
                normal_tag_key(set_budget.tag), set_budget.value, coalesce(set_budget.measure, CASE WHEN of_charges THEN 'charges' ELSE 'billed' END), coalesce(set_budget.with_tax, NOT of_charges), coalesce(set_budget.with_credits, true),
                set_budget.currency, set_budget.every, set_budget.fiscal_start, set_budget.warning, set_budget.critical, coalesce(set_budget.on_forecast, false), set_budget.action, set_budget.endpoint)
        ON CONFLICT ON CONSTRAINT budget_key_key DO UPDATE SET scheme_id = excluded.scheme_id, cost_center_id = excluded.cost_center_id, account_id = excluded.account_id, item_id = excluded.item_id,
            tag = excluded.tag, value = excluded.value, measure = excluded.measure, with_tax = excluded.with_tax, with_credits = excluded.with_credits, currency = excluded.currency, every = excluded.every,
            fiscal_start = excluded.fiscal_start, warning = excluded.warning, critical = excluded.critical, on_forecast = excluded.on_forecast, action = excluded.action, endpoint = excluded.endpoint
        RETURNING b.budget_id INTO new_id;
    PERFORM set_budget_limit(set_budget.key, set_budget."limit", valid_from, valid_to);
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.set_budget(text, numeric, text, text, text, text, text, text, text, text, text, int, boolean, boolean, numeric, numeric, text, text, date, date, boolean) IS
'Makes or replaces the budget with that key and returns its number. limit: of each period, in currency, for periods that begin from valid_from to valid_to (null = without border). Scope: a cost_center of a scheme, or an account (with meter: only its charges), each with all below it, or a meter of all accounts, or a tag with its value. measure: billed (default), effective, list, contracted; of an account or meter charges. every: month, quarter, year, or total (from valid_from to valid_to); fiscal_start: month in which years begin. with_tax, with_credits: whether such cost rows count, true unless said; charges are net of tax and after discounts, and refuse both. warning, critical: percent of the limit; on_forecast: reached by the forecast too, which is then told as kind forecast. action: notify, block (see may_create()), event. endpoint: who is told. Errors: 22023 bad argument, 42704 unknown object or endpoint. Volatile.';

CREATE FUNCTION billing.budget_periods(day date) RETURNS TABLE (budget_id int, period daterange, "limit" numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT b.budget_id, p.period, l."limit"
            FROM billing.budget AS b JOIN billing.budget_limit AS l ON l.budget_id = b.budget_id AND upper_inf(l.known)
           CROSS JOIN LATERAL (SELECT CASE b.every WHEN 'month' THEN 1 WHEN 'quarter' THEN 3 ELSE 12 END AS months) AS m
           CROSS JOIN LATERAL (SELECT (date_trunc('month', day::timestamp) - make_interval(months => (extract(month FROM day)::int - b.fiscal_start + 12) % m.months))::date AS starts) AS s
           CROSS JOIN LATERAL (SELECT CASE b.every WHEN 'total' THEN (SELECT range_merge(range_agg(t.valid)) FROM billing.budget_limit AS t WHERE t.budget_id = b.budget_id AND upper_inf(t.known)) ELSE daterange(s.starts, (s.starts + make_interval(months => m.months))::date) END AS period) AS p
           WHERE CASE b.every WHEN 'total' THEN l.valid @> day ELSE l.valid @> lower(p.period) END $$;
COMMENT ON FUNCTION billing.budget_periods(date) IS 'The period of each budget that holds a day, with its limit: the month, quarter or year of the fiscal calendar that begins in month fiscal_start, or of a total the span of all its limits, with the one that holds on the day. Stable.';

CREATE FUNCTION billing.charges_of_accounts(accounts bigint[], span daterange, day date)
    RETURNS TABLE (account_id bigint, item_id int, day_from date, currency text, amount numeric, fees numeric, failed boolean)
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$
    WITH looked_at AS (   -- to which day runs have looked at each account
        SELECT a.id AS account_id, greatest(lower(span), (SELECT max(p.date_to) FROM billing.charge_period AS p WHERE p.account_id = a.id AND p.looked_known_at IS NOT NULL)) AS until FROM unnest(accounts) AS a (id))
    SELECT c.account_id, c.item_id, c.date_from, c.currency, sum(c.amount), sum(c.amount) FILTER (WHERE c.component = 'fee'), bool_or(c.failed)
      FROM (SELECT k.account_id, k.item_id, k.component, p.date_from, billing.currency(k.looked_owed) AS currency, billing.amount(k.looked_owed) AS amount, false AS failed
              FROM billing.charge_key AS k JOIN billing.charge_period AS p USING (account_id, period_no)
             WHERE k.account_id = ANY (accounts) AND k.looked_owed IS NOT NULL AND p.looked_known_at IS NOT NULL AND span @> p.date_from
            UNION ALL
            SELECT y.account_id, y.item_id, 'usage', p.date_from, NULL, NULL, true
              FROM billing.pending AS q JOIN billing.run_error AS y USING (run_id, account_id, period_no) JOIN billing.charge_period AS p USING (account_id, period_no)
             WHERE q.account_id = ANY (accounts) AND p.looked_known_at IS NOT NULL AND span @> p.date_from
            UNION ALL
            SELECT d.account_id, d.item_id, d.component, d.date_from, billing.currency(d.nothing), CASE WHEN NOT d.failed THEN billing.amount(d.target) END, d.failed
              FROM (SELECT l.until, array_agg(l.account_id) AS accounts FROM looked_at AS l WHERE l.until <= day GROUP BY l.until) AS l
             CROSS JOIN LATERAL billing.rate_accounts(l.accounts, daterange(l.until, charges_of_accounts.day, '[]'), NULL, 'infinity') AS d
             WHERE span @> d.date_from AND d.date_from >= l.until) AS c
     GROUP BY 1, 2, 3, 4 $$;
COMMENT ON FUNCTION billing.charges_of_accounts(bigint[], daterange, date) IS
'What accounts owe by meter or fee for charge periods that begin in a span, up to the one that holds a day, by its first day: periods that a run has looked at as it saw them, later ones as they would be rated now with all usage recorded so far; how much of it is fees, and whether some charge cannot be rated. Used by spending(). Stable.';
REVOKE ALL ON FUNCTION billing.charges_of_accounts(bigint[], daterange, date) FROM PUBLIC;

CREATE FUNCTION billing.spending(day date) RETURNS TABLE (budget_id int, actual numeric, fees numeric, uncounted boolean)
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$
    WITH RECURSIVE wanted AS MATERIALIZED (SELECT b.*, p.period FROM billing.budget_periods(spending.day) AS p JOIN billing.budget AS b USING (budget_id)),
    whole AS (SELECT daterange(min(lower(w.period)), max(upper(w.period))) AS span FROM wanted AS w),
    -- each cost center and account with all that are above it
    center (top, id) AS (SELECT k.cost_center_id, k.cost_center_id FROM billing.cost_center AS k
                         UNION ALL SELECT c.top, k.cost_center_id FROM center AS c JOIN billing.cost_center AS k ON k.parent_id = c.id),
    parent AS (SELECT DISTINCT ON (s.account_id) s.account_id, s.parent_id FROM billing.account_setting AS s WHERE s.from_date <= spending.day ORDER BY s.account_id, s.setting_no DESC),
    below (top, id) AS (SELECT p.account_id, p.account_id FROM parent AS p
                        UNION ALL SELECT b.top, p.account_id FROM below AS b JOIN parent AS p ON p.parent_id = b.id),
    rate AS MATERIALIZED (
        SELECT r.from_currency, r.to_currency, r.valid, r.rate FROM billing.exchange_rate AS r WHERE upper_inf(r.known)
        UNION ALL SELECT DISTINCT w.currency, w.currency, daterange(NULL, NULL), 1::numeric FROM wanted AS w),
    share AS MATERIALIZED (
        SELECT a.scheme_id, s.target_id, s.day, s.currency, s.pool, s.category IS DISTINCT FROM 'Usage' AS once, sum(s.billed) AS billed, sum(s.effective) AS effective, sum(s.list) AS list, sum(s.contracted) AS contracted
          FROM billing.allocation_share AS s JOIN billing.allocation AS a USING (allocation_id), whole AS w
         WHERE a.state IN ('open', 'closed') AND s.outcome IN ('direct', 'shared') AND w.span @> s.day GROUP BY 1, 2, 3, 4, 5, 6),
    -- rolled up the tree once, not once a budget
    rolled AS MATERIALIZED (
        SELECT s.scheme_id, c.top, s.day, s.currency, s.pool, s.once, sum(s.billed) AS billed, sum(s.effective) AS effective, sum(s.list) AS list, sum(s.contracted) AS contracted
          FROM share AS s JOIN center AS c ON c.id = s.target_id GROUP BY 1, 2, 3, 4, 5, 6),
    -- a later window may hold corrections of earlier days
    tagged AS MATERIALIZED (
        SELECT t.*
          FROM (SELECT array_agg(DISTINCT w.tag) AS tags FROM wanted AS w WHERE w.tag IS NOT NULL) AS g, whole AS h
         CROSS JOIN LATERAL (SELECT DISTINCT w.period FROM billing.cost_window AS w WHERE upper(w.period) > lower(h.span) AND g.tags IS NOT NULL) AS p
         CROSS JOIN LATERAL billing.cost_of_tags(p.period, g.tags) AS t WHERE h.span @> t.day),
    -- whose charges count: an account with all below it, or all accounts that use a meter
    payer AS (SELECT w.budget_id, w.period, w.currency, w.item_id, b.id AS account_id FROM wanted AS w JOIN below AS b ON b.top = w.account_id
              UNION ALL
              SELECT w.budget_id, w.period, w.currency, w.item_id, p.account_id FROM wanted AS w CROSS JOIN parent AS p WHERE w.account_id IS NULL AND w.item_id IS NOT NULL),
    charged AS MATERIALIZED (
        SELECT c.*
          FROM (SELECT array_agg(DISTINCT w.account_id) AS accounts FROM payer AS w) AS a, whole AS h
         CROSS JOIN LATERAL billing.charges_of_accounts(a.accounts, h.span, spending.day) AS c WHERE a.accounts IS NOT NULL),
    -- and converted once for all budgets of the same cost center, period and currency
    scope AS (SELECT DISTINCT w.scheme_id, w.cost_center_id, w.period, w.currency FROM wanted AS w WHERE w.scheme_id IS NOT NULL),
    scoped AS MATERIALIZED (
        SELECT x.scheme_id, x.cost_center_id, x.period, x.currency, s.pool, s.once, sum(s.billed * r.rate) AS billed, sum(s.effective * r.rate) AS effective, sum(s.list * r.rate) AS list, sum(s.contracted * r.rate) AS contracted,
               bool_or(r.rate IS NULL) AS uncounted
          FROM scope AS x JOIN rolled AS s ON s.scheme_id = x.scheme_id AND s.top = x.cost_center_id
          LEFT JOIN rate AS r ON r.from_currency = s.currency AND r.to_currency = x.currency AND r.valid @> s.day
         WHERE x.period @> s.day GROUP BY 1, 2, 3, 4, 5, 6),
    spent AS (
        SELECT w.budget_id, m.amount, CASE WHEN s.once THEN m.amount END AS fees, s.uncounted
          FROM wanted AS w JOIN scoped AS s ON s.scheme_id = w.scheme_id AND s.cost_center_id = w.cost_center_id AND s.period = w.period AND s.currency = w.currency
         CROSS JOIN LATERAL (SELECT CASE w.measure WHEN 'billed' THEN s.billed WHEN 'effective' THEN s.effective WHEN 'list' THEN s.list ELSE s.contracted END AS amount) AS m
         WHERE (w.with_tax OR s.pool <> 'tax') AND (w.with_credits OR s.pool <> 'credit')
        UNION ALL
        SELECT w.budget_id, m.amount, CASE WHEN t.category IS DISTINCT FROM 'Usage' THEN m.amount END, r.rate IS NULL
          FROM wanted AS w JOIN tagged AS t ON t.tag = w.tag AND t.value = w.value LEFT JOIN rate AS r ON r.from_currency = t.currency AND r.to_currency = w.currency AND r.valid @> t.day
         CROSS JOIN LATERAL (SELECT r.rate * CASE w.measure WHEN 'billed' THEN t.billed WHEN 'effective' THEN t.effective WHEN 'list' THEN t.list ELSE t.contracted END AS amount) AS m
         WHERE w.period @> t.day AND (w.with_tax OR t.category IS DISTINCT FROM 'Tax') AND (w.with_credits OR t.category IS DISTINCT FROM 'Credit')
        UNION ALL
        SELECT w.budget_id, r.rate * c.amount, r.rate * c.fees, r.rate IS NULL OR c.failed
          FROM payer AS w
          JOIN charged AS c ON c.account_id = w.account_id AND (w.item_id IS NULL OR w.item_id = c.item_id)
          LEFT JOIN rate AS r ON r.from_currency = c.currency AND r.to_currency = w.currency AND r.valid @> c.day_from
         WHERE w.period @> c.day_from)
    SELECT s.budget_id, sum(s.amount), sum(s.fees), bool_or(s.uncounted) FROM spent AS s GROUP BY 1 $$;
COMMENT ON FUNCTION billing.spending(date) IS
'What each budget has spent in its period that holds a day, in its currency: cost in another is converted by the rate of its day; how much of it does not grow with the days (fees; cost of other categories than Usage: purchases, taxes, credits, adjustments); and whether some cost is not counted, because there is no rate or a charge cannot be rated. Stable.';

CREATE FUNCTION billing.budget_status(day date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date)
    RETURNS TABLE (budget text, period daterange, "limit" numeric, actual numeric, percent numeric, forecast numeric, method text, limit_reached_on date, days_until_limit int, level text, uncounted boolean, currency text, budget_id int)
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
    AS $$ SELECT b.key, p.period, p."limit", s.actual, CASE WHEN p."limit" > 0 THEN round(100 * s.actual / p."limit", 2) END,
                 e.forecast, 'linear',
                 CASE WHEN p.period @> f.reached THEN f.reached END, CASE WHEN p.period @> f.reached THEN f.reached - day END,
                 CASE WHEN e.judged <= 0 THEN NULL WHEN e.judged * 100 >= p."limit" * b.critical THEN 'critical' WHEN e.judged * 100 >= p."limit" * b.warning THEN 'warning' END,
                 s.uncounted, b.currency, b.budget_id
            FROM billing.budget_periods(budget_status.day) AS p
            JOIN billing.budget AS b USING (budget_id)
           CROSS JOIN LATERAL (SELECT least(day + 1, upper(p.period)) - lower(p.period) AS elapsed, upper(p.period) - lower(p.period) AS length) AS d
            LEFT JOIN billing.spending(budget_status.day) AS t USING (budget_id)
           CROSS JOIN LATERAL (SELECT coalesce(t.actual, 0) AS actual, coalesce(t.fees, 0) AS fees, coalesce(t.uncounted, false) AS uncounted) AS s
           CROSS JOIN LATERAL (SELECT CASE WHEN d.elapsed > 0 AND d.elapsed < d.length THEN round(s.fees + (s.actual - s.fees) * d.length / d.elapsed, 2) END AS forecast) AS x
           CROSS JOIN LATERAL (SELECT x.forecast, CASE WHEN b.on_forecast THEN greatest(s.actual, x.forecast) ELSE s.actual END AS judged) AS e
           CROSS JOIN LATERAL (SELECT CASE WHEN s.actual >= p."limit" AND s.actual > 0 THEN day
                                           WHEN s.actual > s.fees AND d.elapsed > 0 THEN day + least(ceil((p."limit" - s.actual) * d.elapsed / (s.actual - s.fees)), 36500)::int END AS reached) AS f $$;
COMMENT ON FUNCTION billing.budget_status(date) IS
'How each budget stands on a day: its period, limit, actual, percent, forecast for the period (method linear: at the average of its days so far, what does not grow with the days once; null when over), the day of the period on which the limit is reached at that pace and how many days until then (null: not in this period), the level reached (warning, critical; by the forecast too if the budget says on_forecast), and uncounted: some cost is not counted, because it has no exchange rate or cannot be rated. Stable.';

CREATE FUNCTION billing.try_to_tell(endpoint text, kind text, payload jsonb, idempotency_key text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_open_endpoint(endpoint), write_message(endpoint, kind, payload, idempotency_key);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN    -- one endpoint that is gone must not silence the others
    RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION billing.try_to_tell(text, text, jsonb, text) IS 'Hands a message to an endpoint; returns why that was not possible, or null. Used by check_budgets() and run_reports(). Volatile.';

CREATE FUNCTION billing.judge_budgets(day date, after_end boolean) RETURNS SETOF billing.alert
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH stands AS MATERIALIZED (
              SELECT s.*, b.endpoint, b.action, b.warning, b.critical, judge_budgets.after_end AND coalesce(c.after_end, false) AS restated
                FROM billing.budget_status(judge_budgets.day) AS s JOIN billing.budget AS b USING (budget_id) LEFT JOIN billing.budget_check AS c ON c.budget_id = s.budget_id AND c.period = s.period
               WHERE NOT judge_budgets.after_end OR upper(s.period) = judge_budgets.day + 1),
          outdated AS (   -- of another period: the budget was given other ones, or no limit any more
              DELETE FROM billing.budget_check AS c WHERE NOT judge_budgets.after_end AND c.period @> judge_budgets.day
                 AND NOT EXISTS (SELECT FROM billing.budget_periods(judge_budgets.day) AS p WHERE p.budget_id = c.budget_id AND p.period = c.period)),
          judged AS (
              INSERT INTO billing.budget_check AS c (budget_id, period, level, after_end) SELECT s.budget_id, s.period, s.level, judge_budgets.after_end FROM stands AS s
                  ON CONFLICT ON CONSTRAINT budget_check_pkey DO UPDATE SET level = excluded.level, after_end = c.after_end OR excluded.after_end
                  WHERE (c.level, c.after_end) IS DISTINCT FROM (excluded.level, c.after_end OR excluded.after_end))
          INSERT INTO billing.alert (budget_id, period, level, kind, actual, "limit", forecast, method, currency, action, endpoint)
          SELECT s.budget_id, s.period, l.level, k.kind, s.actual, s."limit", s.forecast, s.method, s.currency, s.action, CASE WHEN k.kind <> 'passed' THEN s.endpoint END
            FROM stands AS s
           CROSS JOIN LATERAL unnest(CASE s.level WHEN 'critical' THEN '{warning,critical}'::text[] WHEN 'warning' THEN '{warning}' ELSE '{}' END || CASE WHEN s.uncounted THEN '{uncounted}'::text[] ELSE '{}' END) AS l (level)
           CROSS JOIN LATERAL (SELECT CASE WHEN l.level = 'warning' AND s.level = 'critical' THEN 'passed'
                                                 WHEN s.actual * 100 < s."limit" * CASE l.level WHEN 'critical' THEN s.critical WHEN 'warning' THEN s.warning END THEN 'forecast'
                                                 WHEN s.restated AND NOT EXISTS (SELECT FROM billing.alert AS a WHERE a.budget_id = s.budget_id AND a.period = s.period AND a.actual = s.actual) THEN 'restated' ELSE 'fired' END AS kind) AS k
          ON CONFLICT DO NOTHING RETURNING * $$;
COMMENT ON FUNCTION billing.judge_budgets(date, boolean) IS
'Keeps how each budget stands on a day, and stores and returns the alerts that are new; after_end: only of periods that ended with that day, which is over. Used by check_budgets(). Volatile.';

CREATE FUNCTION billing.fire_alerts(day date, after_end boolean) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    fired   record;
    payload jsonb;
    failure text;
    told    bigint := 0;
BEGIN
    FOR fired IN
        SELECT a.*, b.key, true AS is_new FROM judge_budgets(fire_alerts.day, fire_alerts.after_end) AS a JOIN budget AS b USING (budget_id) WHERE a.kind <> 'passed'
        UNION ALL    -- once more what an endpoint that was away could not be told
        SELECT a.*, b.key, false FROM alert AS a JOIN budget AS b USING (budget_id) WHERE a.problem IS NOT NULL AND NOT fire_alerts.after_end
         ORDER BY alert_id
    LOOP
        payload := jsonb_build_object('alert', fired.alert_id, 'budget', fired.key, 'period', days_text(fired.period), 'level', fired.level, 'kind', fired.kind, 'actual', fired.actual::text, 'limit', fired."limit"::text,
                                      'forecast', fired.forecast::text, 'method', fired.method, 'currency', fired.currency, 'action', fired.action);
        IF fired.is_new THEN
            PERFORM pg_notify('billing_alert', payload::text);
            told := told + 1;
        END IF;
        IF fired.endpoint IS NOT NULL THEN
            failure := try_to_tell(fired.endpoint, 'budget_alert', payload, 'billing:budget-alert-' || fired.alert_id);
            UPDATE alert AS a SET problem = failure WHERE a.alert_id = fired.alert_id AND a.problem IS DISTINCT FROM failure;
        END IF;
    END LOOP;
    RETURN told;
END $$;
COMMENT ON FUNCTION billing.fire_alerts(date, boolean) IS 'Tells the alerts that judge_budgets() finds; returns how many were told. Used by check_budgets(). Volatile.';

CREATE FUNCTION billing.check_budgets(day date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET enable_nestloop = off SET jit = off
AS $$
DECLARE
    past date;
    told bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM billing.lock_until_commit(1651076214, 0);
    told := fire_alerts(check_budgets.day, false);
    -- The month before may still change, and so may any month whose cost was delivered anew lately: what that crosses is told too.
    FOR past IN
        SELECT (date_trunc('month', check_budgets.day::timestamp) - interval '1 day')::date
        UNION
        SELECT (date_trunc('month', (upper(w.period) - 1)::timestamp) + interval '1 month - 1 day')::date
          FROM cost_load AS l JOIN cost_window_load AS x USING (load_id) JOIN cost_window AS w USING (window_id)
         WHERE l.recorded_at > clock_timestamp() - interval '100 days' AND x.added + x.removed > 0 AND upper(w.period) <= date_trunc('month', check_budgets.day::timestamp)::date
         ORDER BY 1
    LOOP
        told := told + fire_alerts(past, true);
    END LOOP;
    RETURN told;
END $$;
COMMENT ON FUNCTION billing.check_budgets(date) IS
'Looks at every budget on a day and tells each level that is crossed for the first time in its period: as a row of budget_alerts, as NOTIFY billing_alert with JSON, and as a message to the budget''s endpoint. A jump over both levels tells critical and notes the warning as passed. Periods that ended with the month before, or with a month whose cost was delivered anew in the last 100 days, are looked at again; what they cross after they were looked at once since their end is told as restated. Cost that is not counted (see budget_status()) is told once too, as level uncounted. An endpoint that is gone is noted as delivery_problem, stops nothing, and is tried again at the next call. How each budget stands is kept for may_create(). Returns how many were told. Volatile.';

CREATE FUNCTION billing.reset_alert(budget text, level text DEFAULT NULL, day date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this  budget := find_budget(reset_alert.budget);
    armed bigint;
BEGIN
    PERFORM check_word('level', reset_alert.level, '{warning,critical,uncounted}');
    UPDATE alert AS a SET reset_at = clock_timestamp() WHERE a.budget_id = this.budget_id AND a.period @> reset_alert.day AND a.reset_at IS NULL AND a.level = coalesce(reset_alert.level, a.level);
    GET DIAGNOSTICS armed = ROW_COUNT;
    RETURN armed;
END $$;
COMMENT ON FUNCTION billing.reset_alert(text, text, date) IS 'Arms the alerts of a budget again, of one level or of all, in its period that holds a day: only then are they told a second time in it. Returns how many. Errors: 22023 unknown level, 42704 unknown budget. Volatile.';

CREATE FUNCTION billing.may_create(scheme text DEFAULT NULL, cost_center text DEFAULT NULL, account text DEFAULT NULL, day date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date, tag text DEFAULT NULL, value text DEFAULT NULL, meter text DEFAULT NULL) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH RECURSIVE center (id, parent_id) AS (
              SELECT k.cost_center_id, k.parent_id FROM billing.cost_center AS k
               WHERE may_create.cost_center IS NOT NULL AND k.cost_center_id = billing.find_cost_center((billing.find_scheme(may_create.scheme)).kind, may_create.cost_center)
              UNION ALL SELECT k.cost_center_id, k.parent_id FROM center AS c JOIN billing.cost_center AS k ON k.cost_center_id = c.parent_id),
          payer (id) AS (
              SELECT billing.find_account(may_create.account) WHERE may_create.account IS NOT NULL
              UNION ALL SELECT (billing.account_setting_on(p.id, may_create.day)).parent_id FROM payer AS p WHERE p.id IS NOT NULL),
          metered (id) AS (SELECT billing.find_item(may_create.meter, 'meter') WHERE may_create.meter IS NOT NULL)
          SELECT NOT EXISTS (
              SELECT FROM billing.budget_check AS s JOIN billing.budget AS b USING (budget_id)
               WHERE b.action = 'block' AND s.level = 'critical' AND s.period @> may_create.day
                 AND (b.cost_center_id IN (SELECT c.id FROM center AS c) OR b.account_id IN (SELECT p.id FROM payer AS p) AND (b.item_id IS NULL OR may_create.meter IS NULL OR b.item_id IN (SELECT m.id FROM metered AS m))
                      OR b.account_id IS NULL AND b.item_id IN (SELECT m.id FROM metered AS m)
                      OR b.tag = billing.normal_tag_key(may_create.tag) AND b.value = may_create.value)) $$;
COMMENT ON FUNCTION billing.may_create(text, text, text, date, text, text, text) IS
'Whether something new that costs may be made for a cost center of a scheme, for an account, with a tag or for usage of a meter: false while a budget with action block of it or of one above it is critical, as check_budgets() last found; with an account and a meter, budgets of other meters of the account block nothing. Errors: 42704 unknown object. Stable.';

CREATE VIEW billing.budget_alerts AS
SELECT b.key AS budget, a.period, a.level, a.kind, a.actual, a."limit", a.currency, a.forecast, a.method, a.action, a.fired_at, a.reset_at, a.alert_id AS alert, a.endpoint,
       CASE WHEN a.problem IS NOT NULL THEN 'refused' WHEN a.endpoint IS NOT NULL THEN coalesce(m.state, 'finished') END AS delivery, coalesce(a.problem, m.reason) AS delivery_problem
  FROM billing.alert AS a JOIN billing.budget AS b USING (budget_id)
  LEFT JOIN billing.message AS m ON m.endpoint = a.endpoint AND m.idempotency_key = 'billing:budget-alert-' || a.alert_id;
COMMENT ON VIEW billing.budget_alerts IS 'Every alert of every budget.';
COMMENT ON COLUMN billing.budget_alerts.budget IS 'Key of the budget.';
COMMENT ON COLUMN billing.budget_alerts.period IS 'Period of the budget.';
COMMENT ON COLUMN billing.budget_alerts.level IS 'warning, critical, uncounted.';
COMMENT ON COLUMN billing.budget_alerts.kind IS 'fired, forecast, passed, restated.';
COMMENT ON COLUMN billing.budget_alerts.actual IS 'What had been spent.';
COMMENT ON COLUMN billing.budget_alerts."limit" IS 'The limit then.';
COMMENT ON COLUMN billing.budget_alerts.currency IS 'Currency of both.';
COMMENT ON COLUMN billing.budget_alerts.forecast IS 'What the period was expected to come to.';
COMMENT ON COLUMN billing.budget_alerts.method IS 'How that was forecast.';
COMMENT ON COLUMN billing.budget_alerts.action IS 'notify, block, event.';
COMMENT ON COLUMN billing.budget_alerts.fired_at IS 'When it was told.';
COMMENT ON COLUMN billing.budget_alerts.reset_at IS 'When it was armed again.';
COMMENT ON COLUMN billing.budget_alerts.alert IS 'Number of the alert.';
COMMENT ON COLUMN billing.budget_alerts.endpoint IS 'Endpoint that is told; null = none.';
COMMENT ON COLUMN billing.budget_alerts.delivery IS 'How far that is: waiting, queued, sending, delayed, delivered, dead, discarded, as in messages; finished: delivered or discarded, and cleared away since; refused: it could not be handed over.';
COMMENT ON COLUMN billing.budget_alerts.delivery_problem IS 'Why it is not delivered yet, or never.';
