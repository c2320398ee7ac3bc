-- Conditions of rules: what they may say, what they look at, and the SQL they become.
--
-- A condition is JSON that a person can read aloud:
--     {"column": "ServiceName", "equals": "Amazon S3"}          {"tag": "team", "prefix": "search-"}
--     {"and": [ ... ]}   {"or": [ ... ]}   {"not": { ... }}     {} is always true
-- An operand is a column or a tag, written column:NAME or tag:NAME.  Whoever evaluates conditions first reads every operand that any
-- of them looks at, once, as columns v1, v2 ... of the distinct combinations; condition_sql() speaks of these.
-- A value that is absent makes every comparison false, and so its negation true.

CREATE FUNCTION billing.condition_operands(condition pg_catalog.jsonb) RETURNS pg_catalog.text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE(array_agg(DISTINCT o.operand), '{}')
            FROM (SELECT 'column:' || (c #>> '{}') AS operand FROM jsonb_path_query(condition, 'strict $.**.column') AS c
                  UNION ALL
                  SELECT 'tag:' || (t #>> '{}') FROM jsonb_path_query(condition, 'strict $.**.tag') AS t) AS o $$;
COMMENT ON FUNCTION billing.condition_operands(pg_catalog.jsonb) IS 'The columns (column:NAME) and tags (tag:NAME) that a condition looks at, sorted. Immutable.';

CREATE FUNCTION billing.comparison_sql(operand pg_catalog.text, operator pg_catalog.text, value pg_catalog.jsonb) RETURNS pg_catalog.text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text := value #>> '{}';
BEGIN
    IF jsonb_typeof(value) IS DISTINCT FROM (CASE operator WHEN 'in' THEN 'array' WHEN 'exists' THEN 'boolean' ELSE 'string' END) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('condition "%s" cannot take %s', operator, coalesce(value::text, 'null')),
            HINT = 'equals, contains, prefix and regex take a text, in takes a list of texts, exists takes true or false.';
    END IF;
    CASE operator
        WHEN 'equals' THEN RETURN format('coalesce(%s = %L, false)', operand, word);
        WHEN 'in' THEN RETURN format('coalesce(%s = ANY (%L::text[]), false)', operand, ARRAY(SELECT jsonb_array_elements_text(value)));
        WHEN 'contains' THEN RETURN format('coalesce(strpos(%s, %L) > 0, false)', operand, word);
        WHEN 'prefix' THEN RETURN format('coalesce(starts_with(%s, %L), false)', operand, word);
        WHEN 'exists' THEN RETURN format('(%s IS %s NULL)', operand, CASE WHEN word::boolean THEN 'NOT' ELSE '' END);
        WHEN 'regex' THEN
            IF length(word) > 200 OR word ~ '(^|[^\\])(\\\\)*\\[1-9]' THEN
                RAISE invalid_regular_expression USING MESSAGE = format('regular expression "%s" is not allowed', left(word, 210)),
                    HINT = 'It may have 200 characters and no back-references.';
            END IF;
            PERFORM '' ~ word;
            RETURN format('coalesce(%s ~ %L, false)', operand, word);
        ELSE
            RAISE invalid_parameter_value USING MESSAGE = format('condition "%s" is not known', operator),
                HINT = 'It is one of: equals, in, contains, prefix, regex, exists, and, or, not.';
    END CASE;
END $$;
COMMENT ON FUNCTION billing.comparison_sql(pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
'SQL of one comparison of a condition; operand is SQL. Errors: 22023 unknown comparison or wrong kind of value, 2201B a regular expression that is wrong, longer than 200 characters or has back-references. Immutable.';

CREATE FUNCTION billing.condition_sql(condition pg_catalog.jsonb, operands pg_catalog.text[]) RETURNS pg_catalog.text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words   text[];
    operand text := coalesce('column:' || (condition ->> 'column'), 'tag:' || (condition ->> 'tag'));
BEGIN
    IF jsonb_typeof(condition) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a condition must be a JSON object, not %s', coalesce(condition::text, 'null'));
    END IF;
    words := ARRAY(SELECT k FROM jsonb_object_keys(condition) AS k WHERE k NOT IN ('column', 'tag') ORDER BY k);
    IF words = '{}' AND operand IS NULL THEN
        RETURN 'true';
    ELSIF words IN ('{and}', '{or}') AND operand IS NULL AND jsonb_typeof(condition -> words[1]) = 'array' AND condition -> words[1] <> '[]' THEN
        RETURN (SELECT '(' || string_agg(billing.condition_sql(c, operands), CASE words[1] WHEN 'and' THEN ' AND ' ELSE ' OR ' END ORDER BY place) || ')'
                  FROM jsonb_array_elements(condition -> words[1]) WITH ORDINALITY AS e (c, place));
    ELSIF words = '{not}' AND operand IS NULL THEN
        RETURN format('(NOT %s)', billing.condition_sql(condition -> 'not', operands));
    ELSIF operand IS NULL OR condition ?& '{column,tag}' OR cardinality(words) <> 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('condition %s is not understood', condition),
            HINT = 'Write {"column": "ServiceName", "equals": "…"} or {"tag": "team", "exists": true}, joined by and, or, not.';
    END IF;
    IF ('leaf:' || condition::text) = ANY (operands) THEN
        RETURN 'v' || array_position(operands, 'leaf:' || condition::text);
    END IF;
    RETURN billing.comparison_sql(coalesce('v' || array_position(operands, operand), 'NULL::text'), words[1], condition -> words[1]);
END $$;
COMMENT ON FUNCTION billing.condition_sql(pg_catalog.jsonb, pg_catalog.text[]) IS
'SQL of a condition over columns v1, v2, … that hold the operands in that order; an operand leaf:{…} is a whole comparison, true or false. Errors: 22023 not understood, 2201B a regular expression that is not allowed. Immutable.';

CREATE FUNCTION billing.operand_sql(operand pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE
            WHEN operand LIKE 'leaf:%' THEN (
                SELECT billing.comparison_sql(billing.operand_sql(coalesce('column:' || (l.leaf ->> 'column'), 'tag:' || (l.leaf ->> 'tag'))), w.word, l.leaf -> w.word)
                  FROM (SELECT substr(operand, 6)::jsonb AS leaf) AS l CROSS JOIN LATERAL jsonb_object_keys(l.leaf) AS w (word) WHERE w.word NOT IN ('column', 'tag'))
            WHEN operand LIKE 'tag:%' THEN format('(c.tags ->> %L)', substr(operand, 5))
            ELSE CASE operand
                 WHEN 'column:BillingAccountId' THEN 'c.billing_account' WHEN 'column:ChargeCategory' THEN 'c.category' WHEN 'column:ServiceName' THEN 'c.service'
                 WHEN 'column:ProviderName' THEN 'c.provider' WHEN 'column:SubAccountId' THEN 'c.sub_account' WHEN 'column:ResourceId' THEN 'c.resource'
                 WHEN 'column:BillingCurrency' THEN 'c.currency' WHEN 'column:ChargeDay' THEN 'to_char(c.charge_start AT TIME ZONE ''UTC'', ''YYYY-MM-DD'')' WHEN 'column:Source' THEN 'c.source' WHEN 'column:CostCenter' THEN 'c.cost_center'
                 WHEN 'column:BilledCost' THEN 'c.billed::text' WHEN 'column:EffectiveCost' THEN 'c.effective::text'
                 WHEN 'column:ListCost' THEN 'c.list::text' WHEN 'column:ContractedCost' THEN 'c.contracted::text'
                 WHEN 'column:ChargePeriodStart' THEN 'to_char(c.charge_start AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS"Z"'')'
                 WHEN 'column:ChargePeriodEnd' THEN 'to_char(c.charge_end AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS"Z"'')'
                 WHEN 'column:BillingPeriodStart' THEN 'to_char(lower(c.billing_period)::timestamp, ''YYYY-MM-DD'')' WHEN 'column:BillingPeriodEnd' THEN 'to_char(upper(c.billing_period)::timestamp, ''YYYY-MM-DD'')'
                 ELSE format('(c.attributes ->> %L)', substr(operand, 8)) END END $$;
COMMENT ON FUNCTION billing.operand_sql(pg_catalog.text) IS
'SQL that reads an operand (column:NAME or tag:NAME) from c, a row of cost_rows. A column is any of FOCUS, any other the provider delivered, or Source, the key of the cost source, or CostCenter, that of the cost center of the billing account. Immutable.';
