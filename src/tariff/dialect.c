/*-------------------------------------------------------------------------
 *
 * dialect.c
 *	  The lines that the bill of a product shows.
 *
 * rate() is exact in every dialect; only lines are rounded, and where differs
 * from product to product.  The member "rounding" of a tariff says otherwise.
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

/* Where the bill of a product rounds. */
TariffBillRounding
dialect_bill_rounding(uint8 dialect)
{
	switch (dialect)
	{
		case DIALECT_NONE:
		case DIALECT_CLOUDKITTY:
			return TARIFF_BILL_SUM;
		case DIALECT_OPENMETER:
			return TARIFF_BILL_DETAIL;
		default:
			return TARIFF_BILL_LINE;
	}
}

/* Where the bill of a tariff rounds: as it says, or as its dialect does. */
TariffBillRounding
tariff_bill_rounding(const Tariff *tariff)
{
	return tariff->head.bill_rounding != TARIFF_BILL_DEFAULT ?
		tariff->head.bill_rounding : dialect_bill_rounding(tariff->head.dialect);
}

/*
 * The lines of a rating whose steps were collected.  A price that is rounded
 * with the sum of its charge has one line, with the exact amount.
 */
void
dialect_lines(const Tariff *tariff, Rating *rating, Fixed total, DialectLines *lines)
{
	TariffBillRounding rounding = tariff_bill_rounding(tariff);

	if (rounding == TARIFF_BILL_DETAIL)
	{
		detail_lines(tariff, rating, lines);
		return;
	}
	lines->amounts = palloc(sizeof(Fixed));
	lines->count = 1;
	lines->amounts[0] = rounding == TARIFF_BILL_LINE ? dialect_round(tariff, total) : total;
}

/* What all lines add up to; false when that is out of range. */
bool
dialect_lines_total(const DialectLines *lines, Fixed *total)
{
	int			i;

	*total = 0;
	for (i = 0; i < lines->count; i++)
		*total += lines->amounts[i];
	return monetary_in_range(*total);
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
