-- What the pipeline asks a tariff before it rates with it.

CREATE FUNCTION billing.currency(billing.tariff) RETURNS pg_catalog.text
    AS 'MODULE_PATHNAME', 'tariff_get_currency' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.currency(billing.tariff) IS
'ISO 4217 code of the currency in which a tariff''s amounts are.';

CREATE FUNCTION billing.model(billing.tariff) RETURNS pg_catalog.text
    AS 'MODULE_PATHNAME', 'tariff_get_model' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.model(billing.tariff) IS
'Price model of a tariff: flat, per_unit, graduated, volume, package, percentage, graduated_percentage, matrix, blocks or hashmap.';

CREATE FUNCTION billing.tariff_grouping(billing.tariff) RETURNS pg_catalog.text[]
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_grouping(billing.tariff) IS
'Names of the dimensions by which usage must be grouped before it is rated, in the tariff''s order; an empty array when there are none.';

CREATE FUNCTION billing.tariff_window(billing.tariff) RETURNS pg_catalog.text
    AS 'MODULE_PATHNAME', 'tariff_get_window' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_window(billing.tariff) IS
'Span of time by which usage must be summed before it is rated, each span for itself and the amounts then added: minute, hour, day, week, month, quarter or year; null when the whole charge period is rated at once.';

CREATE FUNCTION billing.tariff_rounding(billing.tariff) RETURNS pg_catalog.text
    AS 'MODULE_PATHNAME', 'tariff_get_rounding' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_rounding(billing.tariff) IS
'Where a bill rounds what the tariff costs (member rounding): sum, once, the sum of all prices of a charge, as the account rounds; line, each price of a charge by itself; detail, each part of each price (units and flat amount of each tier) by itself. Without the member as the dialect''s product does: detail for openmeter, sum for none and cloudkitty, line for the others.';

CREATE FUNCTION billing.tariff_unit_price(tariff billing.tariff, dimensions pg_catalog.jsonb) RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME', 'tariff_get_unit_price' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_unit_price(billing.tariff, pg_catalog.jsonb) IS
'What one unit of usage with these dimensions costs, where the amount is that times the quantity whatever the quantity is: the unit price of a per_unit tariff, or of the matrix cell that the dimensions choose. Null for every other price, where the tariff converts units or has free units, a discount, a maximum or a minimum, and where no cell matches.';

CREATE FUNCTION billing.carries(billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME', 'tariff_carries' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.carries(billing.tariff) IS
'Do tiers go on counting when the price changes inside a charge period (member carry)? False: they begin anew with each price.';

CREATE FUNCTION billing.needs_events(billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME', 'tariff_needs_events' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.needs_events(billing.tariff) IS
'Must rating know the number of events, because the price charges a fee for each?';

CREATE FUNCTION billing.per_event(billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME', 'tariff_per_event' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.per_event(billing.tariff) IS
'Must every event be given to the aggregate rate_each, because free events, bounds of an event''s fee or a free amount beside such fees depend on the single events? rate raises BL003 then.';
