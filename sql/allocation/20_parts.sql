-- The part of an amount that falls to a target.

CREATE FUNCTION billing.part_of(amount pg_catalog."numeric", basis_before pg_catalog."numeric", basis pg_catalog."numeric", basis_total pg_catalog."numeric") RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME', 'part_of' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.part_of(pg_catalog."numeric", pg_catalog."numeric", pg_catalog."numeric", pg_catalog."numeric") IS
'The part of an amount that falls to the weights (basis_before, basis_before + basis] of basis_total: round(amount * weights up to the end / basis_total) - round(amount * weights before / basis_total), halves away from zero, with the decimals of the amount and at least 15; an amount of 0 is returned as it is. Parts of adjoining weights add up to the amount exactly. Errors: 22012 basis_total is 0. Immutable.';
