-- Splitting an amount so that the parts add up to it.

CREATE FUNCTION billing.apportion(total billing.monetary, weight pg_catalog."numeric", tie pg_catalog.anyelement, digits pg_catalog.int4 DEFAULT NULL)
    RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'monetary_apportion' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.apportion(billing.monetary, pg_catalog."numeric", pg_catalog.anyelement, pg_catalog.int4) IS
'Window function: this row''s share of a total, in proportion to its weight. The shares of a partition add up to the total exactly, by the method of the largest remainder: each share is rounded towards zero and the units left go to the rows that lost most, equal losses to the smallest tie. Shares are multiples of the minor unit, or of 10^-digits. total and digits must be the same in all rows of the partition; weights are 0 or more, of up to 38 digits; a weight of 0 gets 0; a negative total splits like a positive one. A null total gives nulls. Errors: 22023 total or digits vary, total has more decimals than the shares, negative or infinite weight, all weights 0 under a total that is not, ties that do not decide, a currency without a minor unit and no digits; 22004 null weight; 22003 weights that need more than 38 digits; 42883 a tie that cannot be sorted; 54000 more than 67 million rows in a partition.';
