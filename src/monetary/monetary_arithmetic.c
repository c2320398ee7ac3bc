/*-------------------------------------------------------------------------
 *
 * monetary_arithmetic.c
 *	  Making monetary values, taking them apart, and arithmetic on them.
 *
 * Amounts of two currencies raise 22023 wherever they meet.  Products and
 * quotients are formed exactly and rounded once, half to even, at 15 decimals.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "monetary/monetary.h"

PG_FUNCTION_INFO_V1(monetary_from_numeric);
PG_FUNCTION_INFO_V1(monetary_get_amount);
PG_FUNCTION_INFO_V1(monetary_get_currency);

/*
 * monetary(numeric, text): an amount and a currency as one value.  Raises
 * 22023 for an unknown currency, 22003 for an amount out of range.
 */
Datum
monetary_from_numeric(PG_FUNCTION_ARGS)
{
	Numeric		number = FIXED_GETARG_NUMERIC(0);
	text	   *code = PG_GETARG_TEXT_PP(1);
	CurrencyCode currency = currency_required(VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code));
	Fixed		amount;
	bool		exact;

	if (!fixed_from_numeric(number, &amount, &exact))
		monetary_range_error(currency);
	PG_RETURN_MONETARY_P(monetary_new(currency, amount));
}

/*
 * amount(monetary): the amount, with at least the decimals of the minor unit.
 */
Datum
monetary_get_amount(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);
	int			decimals = Max(currency_minor_unit(monetary_currency(value)), 0);

	PG_RETURN_NUMERIC(fixed_to_numeric_padded(monetary_amount(value), decimals));
}

/*
 * currency(monetary): the three letters.
 */
Datum
monetary_get_currency(PG_FUNCTION_ARGS)
{
	char		code[CURRENCY_TEXT_SIZE];

	currency_to_text(monetary_currency(PG_GETARG_MONETARY_P(0)), code);
	PG_RETURN_TEXT_P(cstring_to_text(code));
}
