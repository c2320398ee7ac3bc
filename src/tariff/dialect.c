/*-------------------------------------------------------------------------
 *
 * dialect.c
 *	  The lines that the bill of a product shows.
 *
 * rate() is exact in every dialect; only lines are rounded, and where differs
 * from product to product.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/monetary.h"
#include "tariff/dialect.h"

/*
 * Round an amount to the minor unit of the currency, halves away from zero, as
 * all these products do but Waldur, which rounds away from zero to 0.01.  A
 * currency without a minor unit is not rounded.
 */
Fixed
dialect_round(const Tariff *tariff, Fixed amount)
{
	int			decimals = currency_minor_unit(tariff->head.currency);
	Fixed		result;

	if (tariff->head.dialect == DIALECT_WALDUR)
		return fixed_round_to(amount, fixed_power_of_ten(FIXED_SCALE - 2), FIXED_ROUND_UP, &result) ?
			result : amount;
	if (decimals < 0 ||
		!fixed_round_to(amount, fixed_power_of_ten(FIXED_SCALE - decimals), FIXED_ROUND_HALF_UP, &result))
		return amount;
	return result;
}

/*
 * The lines of a rating whose steps were collected.  Without a dialect there
 * is one line with the exact amount, which the invoice rounds by its own rule.
 */
void
dialect_lines(const Tariff *tariff, Rating *rating, Fixed total, DialectLines *lines)
{
	if (tariff->head.dialect == DIALECT_OPENMETER)
	{
		openmeter_lines(tariff, rating, lines);
		return;
	}
	lines->amounts = palloc(sizeof(Fixed));
	lines->count = 1;
	lines->amounts[0] = total;
	if (tariff->head.dialect != DIALECT_NONE && tariff->head.dialect != DIALECT_CLOUDKITTY)
		lines->amounts[0] = dialect_round(tariff, total);
}

/*
 * What a product makes of a quantity below zero, where that differs from a
 * reversal: true when *amount is the result.  Meteroid rates it like 0.
 */
bool
dialect_negative(const Tariff *tariff, Rating *rating, Number *amount)
{
	if (tariff->head.dialect == DIALECT_LAGO)
		return lago_negative(tariff, rating, amount);
	if (tariff->head.dialect == DIALECT_METEROID)
		rating->quantity = number_zero();
	return false;
}
