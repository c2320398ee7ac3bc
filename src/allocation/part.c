/*-------------------------------------------------------------------------
 *
 * part.c
 *	  The part of an amount that falls to a target when a rule splits it.
 *
 * Targets stand in a row, each with its weight.  What falls to all up to one
 * of them is rounded once; a part is the difference of two such sums, so that
 * the parts add up to the amount to the last digit.  A run of allocate() asks
 * for millions of parts: amounts and weights of up to 15 decimals are computed
 * in 128-bit integers, everything else in numeric, with the same result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "monetary/fixed.h"

PG_FUNCTION_INFO_V1(part_of);

/*
 * Digits beyond the last one kept to which a quotient is computed; a quotient
 * that close to the middle between two results lies on it, unless the weights
 * have more digits than that.
 */
#define PART_GUARD_DIGITS 25

/*
 * What falls to a sum of weights, in numeric: amount * weights / total,
 * rounded to a number of decimals, halves away from zero.
 */
static Datum
part_up_to(Datum amount, Datum weights, Datum total, int decimals)
{
	Datum		product = DirectFunctionCall2(numeric_mul, amount, weights);

	/*
	 * A dividend of that many decimals makes a quotient of at least as many;
	 * those of the total more, since it may be as small as its last decimal.
	 */
	product = DirectFunctionCall2(numeric_round, product,
								  Int32GetDatum(decimals + PART_GUARD_DIGITS + fixed_numeric_scale(DatumGetNumeric(total))));
	return DirectFunctionCall2(numeric_round,
							   DirectFunctionCall2(numeric_div, product, total),
							   Int32GetDatum(decimals));
}

/*
 * The part in numeric, for amounts and weights of any size.  Raises 22012 if
 * the total is 0.
 */
static Datum
part_in_numeric(Datum amount, Datum before, Datum weight, Datum total)
{
	Numeric		number = DatumGetNumeric(amount);
	bool		finite = !numeric_is_nan(number) && !numeric_is_inf(number);
	int			decimals = finite ? Max(fixed_numeric_scale(number), FIXED_SCALE) : FIXED_SCALE;
	Datum		up_to = DirectFunctionCall2(numeric_add, before, weight);

	return DirectFunctionCall2(numeric_sub,
							   part_up_to(amount, up_to, total, decimals),
							   part_up_to(amount, before, total, decimals));
}

/*
 * An argument of at most 15 decimals as Fixed; false if it is no such number.
 */
static inline bool
part_take(Datum argument, Fixed *result)
{
	bool		exact;

	return fixed_from_numeric((Numeric) DatumGetPointer(argument), result, &exact) && exact;
}

/*
 * The part in integers.  Returns false where they do not suffice.
 */
static bool
part_in_fixed(Fixed amount, Fixed before, Fixed weight, Fixed total, Fixed *result)
{
	Fixed		up_to;
	Fixed		upper;
	Fixed		lower;

	return !__builtin_add_overflow(before, weight, &up_to) &&
		fixed_mul_div(amount, up_to, total, FIXED_ROUND_HALF_UP, &upper) &&
		fixed_mul_div(amount, before, total, FIXED_ROUND_HALF_UP, &lower) &&
		!__builtin_sub_overflow(upper, lower, result) &&
		*result >= -FIXED_MAX;
}

/*
 * part_of(amount, basis_before, basis, basis_total): the part of an amount
 * that falls to the weights (basis_before, basis_before + basis] of
 * basis_total.  0 is returned as it is.  Raises 22012 if the total is 0.
 */
Datum
part_of(PG_FUNCTION_ARGS)
{
	Datum		argument[4];
	Fixed		number[4];
	Fixed		part;
	bool		fits = true;

	for (int i = 0; i < 4; i++)
	{
		argument[i] = PointerGetDatum(FIXED_GETARG_NUMERIC(i));
		fits = fits && part_take(argument[i], &number[i]);
		if (i == 0 && fits && number[0] == 0)
			PG_RETURN_DATUM(argument[0]);
	}
	if (fits && fixed_numeric_scale((Numeric) DatumGetPointer(argument[0])) <= FIXED_SCALE &&
		part_in_fixed(number[0], number[1], number[2], number[3], &part))
		PG_RETURN_NUMERIC(fixed_to_numeric_padded(part, FIXED_SCALE));
	PG_RETURN_DATUM(part_in_numeric(argument[0], argument[1], argument[2], argument[3]));
}
