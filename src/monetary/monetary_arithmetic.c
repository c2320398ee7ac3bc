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
PG_FUNCTION_INFO_V1(monetary_add);
PG_FUNCTION_INFO_V1(monetary_subtract);
PG_FUNCTION_INFO_V1(monetary_negate);
PG_FUNCTION_INFO_V1(monetary_abs);
PG_FUNCTION_INFO_V1(monetary_sign);
PG_FUNCTION_INFO_V1(monetary_is_zero);
PG_FUNCTION_INFO_V1(monetary_multiply);
PG_FUNCTION_INFO_V1(numeric_multiply_monetary);
PG_FUNCTION_INFO_V1(monetary_divide);
PG_FUNCTION_INFO_V1(monetary_ratio);

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

/* ---- sums -------------------------------------------------------------- */

/*
 * monetary + monetary.  Raises 22023 for two currencies, 22003 out of range.
 */
Datum
monetary_add(PG_FUNCTION_ARGS)
{
	Monetary   *a = PG_GETARG_MONETARY_P(0);
	Monetary   *b = PG_GETARG_MONETARY_P(1);
	CurrencyCode currency = monetary_common_currency(a, b);

	PG_RETURN_MONETARY_P(monetary_new(currency, monetary_amount(a) + monetary_amount(b)));
}

/*
 * monetary - monetary.  Raises 22023 for two currencies, 22003 out of range.
 */
Datum
monetary_subtract(PG_FUNCTION_ARGS)
{
	Monetary   *a = PG_GETARG_MONETARY_P(0);
	Monetary   *b = PG_GETARG_MONETARY_P(1);
	CurrencyCode currency = monetary_common_currency(a, b);

	PG_RETURN_MONETARY_P(monetary_new(currency, monetary_amount(a) - monetary_amount(b)));
}

/*
 * - monetary.  The range is symmetric, so this cannot overflow.
 */
Datum
monetary_negate(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);

	PG_RETURN_MONETARY_P(monetary_new(monetary_currency(value), -monetary_amount(value)));
}

/*
 * abs(monetary)
 */
Datum
monetary_abs(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);

	PG_RETURN_MONETARY_P(monetary_new(monetary_currency(value),
									  (Fixed) fixed_magnitude(monetary_amount(value))));
}

/*
 * sign(monetary): -1, 0 or 1.
 */
Datum
monetary_sign(PG_FUNCTION_ARGS)
{
	Fixed		amount = monetary_amount(PG_GETARG_MONETARY_P(0));

	PG_RETURN_INT32(amount < 0 ? -1 : amount > 0 ? 1 : 0);
}

/*
 * is_zero(monetary): is the amount 0, in whatever currency?
 */
Datum
monetary_is_zero(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(monetary_amount(PG_GETARG_MONETARY_P(0)) == 0);
}

/* ---- products and quotients -------------------------------------------- */

/*
 * A factor or divisor that is no Fixed of its own, made ready for numeric's
 * functions.  Raises 22003 for NaN and the infinities.
 */
static Numeric
monetary_finite_factor(Numeric number)
{
	Numeric		factor = DatumGetNumeric(NumericGetDatum(number));

	if (numeric_is_nan(factor) || numeric_is_inf(factor))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("cannot multiply or divide an amount by %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(factor))))));
	return factor;
}

/*
 * 10^exponent as numeric.
 */
static Numeric
monetary_numeric_power_of_ten(int exponent)
{
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("1e%d", exponent)),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * amount * factor for a factor that is no Fixed: numeric multiplies exactly,
 * the conversion rounds.  Returns false when the product is out of range.
 */
static bool
monetary_multiply_slowly(Fixed amount, Numeric factor, Fixed *product)
{
	bool		exact;
	Datum		wide = DirectFunctionCall2(numeric_mul, NumericGetDatum(fixed_to_numeric(amount)),
										   NumericGetDatum(monetary_finite_factor(factor)));

	return fixed_from_numeric(DatumGetNumeric(wide), product, &exact);
}

/*
 * monetary times a numeric: the product is exact, then rounded once, half to
 * even, at 15 decimals.  Raises 22003 out of range and for NaN.
 */
static Monetary *
monetary_times(const Monetary *value, Numeric factor)
{
	Fixed		amount = monetary_amount(value);
	Fixed		product;
	Fixed		fixed_factor;
	bool		exact;
	bool		fits;

	if (fixed_from_numeric(factor, &fixed_factor, &exact) && exact)
		fits = fixed_mul_round(amount, fixed_factor, &product);
	else
		fits = monetary_multiply_slowly(amount, factor, &product);
	if (!fits)
		monetary_range_error(monetary_currency(value));
	return monetary_new(monetary_currency(value), product);
}

/*
 * monetary * numeric
 */
Datum
monetary_multiply(PG_FUNCTION_ARGS)
{
	PG_RETURN_MONETARY_P(monetary_times(PG_GETARG_MONETARY_P(0), FIXED_GETARG_NUMERIC(1)));
}

/*
 * numeric * monetary
 */
Datum
numeric_multiply_monetary(PG_FUNCTION_ARGS)
{
	PG_RETURN_MONETARY_P(monetary_times(PG_GETARG_MONETARY_P(1), FIXED_GETARG_NUMERIC(0)));
}

/*
 * amount / divisor for a divisor that is no Fixed.  Both are made integers by
 * the same power of ten, so that numeric's quotient and remainder are exact;
 * the remainder then decides the rounding.  Returns false when the quotient is
 * out of range.
 */
static bool
monetary_divide_slowly(Fixed amount, Numeric divisor, Fixed *quotient)
{
	Datum		factor = NumericGetDatum(monetary_finite_factor(divisor));
	int			scale = DatumGetInt32(DirectFunctionCall1(numeric_scale, factor));
	Datum		dividend;
	Datum		whole;
	Datum		rest;
	Fixed		result;
	bool		exact;
	int			half;

	dividend = DirectFunctionCall2(numeric_mul, NumericGetDatum(fixed_to_numeric((Fixed) fixed_magnitude(amount))),
								   NumericGetDatum(monetary_numeric_power_of_ten(scale + FIXED_SCALE)));
	factor = DirectFunctionCall2(numeric_mul, factor, NumericGetDatum(monetary_numeric_power_of_ten(scale)));
	whole = DirectFunctionCall2(numeric_div_trunc, dividend, DirectFunctionCall1(numeric_abs, factor));
	rest = DirectFunctionCall2(numeric_mod, dividend, factor);
	half = DatumGetInt32(DirectFunctionCall2(numeric_cmp, DirectFunctionCall2(numeric_add, rest, rest),
											 DirectFunctionCall1(numeric_abs, factor)));
	whole = DirectFunctionCall2(numeric_mul, whole, NumericGetDatum(monetary_numeric_power_of_ten(-FIXED_SCALE)));
	if (!fixed_from_numeric(DatumGetNumeric(whole), &result, &exact))
		return false;
	if (half > 0 || (half == 0 && (result & 1) != 0))
		result++;
	if ((amount < 0) != (DatumGetInt32(DirectFunctionCall2(numeric_cmp, factor,
														   NumericGetDatum(fixed_to_numeric(0)))) < 0))
		result = -result;
	*quotient = result;
	return true;
}

/*
 * monetary / numeric: the quotient is exact, then rounded once, half to even,
 * at 15 decimals.  Raises 22012 for 0, 22003 out of range and for NaN.
 */
Datum
monetary_divide(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);
	Numeric		divisor = FIXED_GETARG_NUMERIC(1);
	Fixed		amount = monetary_amount(value);
	Fixed		fixed_divisor;
	Fixed		quotient;
	bool		exact;
	bool		fits;

	if (fixed_from_numeric(divisor, &fixed_divisor, &exact) && exact)
	{
		if (fixed_divisor == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DIVISION_BY_ZERO),
					 errmsg("division by zero")));
		fits = fixed_mul_div(amount, FIXED_ONE, fixed_divisor, FIXED_ROUND_HALF_EVEN, &quotient);
	}
	else
		fits = monetary_divide_slowly(amount, divisor, &quotient);
	if (!fits)
		monetary_range_error(monetary_currency(value));
	PG_RETURN_MONETARY_P(monetary_new(monetary_currency(value), quotient));
}

/*
 * monetary / monetary: the numeric quotient of the two amounts, with the
 * decimals that numeric division chooses (at least 16 significant digits).
 * Raises 22023 for two currencies, 22012 for an amount of 0.
 */
Datum
monetary_ratio(PG_FUNCTION_ARGS)
{
	Monetary   *a = PG_GETARG_MONETARY_P(0);
	Monetary   *b = PG_GETARG_MONETARY_P(1);

	(void) monetary_common_currency(a, b);
	return DirectFunctionCall2(numeric_div, NumericGetDatum(fixed_to_numeric(monetary_amount(a))),
							   NumericGetDatum(fixed_to_numeric(monetary_amount(b))));
}
