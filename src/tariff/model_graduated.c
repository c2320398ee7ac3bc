/*-------------------------------------------------------------------------
 *
 * model_graduated.c
 *	  Price model "graduated": every tier that is entered is paid by itself.
 *
 *	  sum over the tiers entered of flat + unit_price * units in the tier
 *
 * Inside a tier that is a straight line whose offset is stored, so one binary
 * search and one multiplication are enough.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/tiers.h"

static bool
graduated_compile(const ReaderObject *object, StringInfo out)
{
	return tiers_compile(object, out, false, true);
}

static void
graduated_print(const Tariff *tariff, StringInfo json)
{
	tiers_print(tariff, json, false);
}

/* Report one tier: its flat and its units. */
static Number
graduated_step(const TierTable *table, Rating *rating, int tier, Number units)
{
	Number		price = column_value(&table->price, tier);
	Number		flat = rating_scaled(rating, tiers_flat(table, tier));
	Number		amount = number_multiply(units, price);
	Number		lower;
	Number		upper;
	bool		bounded;

	if (rating->steps != NULL)
	{
		tiers_limits(table, tier, &lower, &upper, &bounded);
		if (number_sign(flat) != 0)
			rating_step(rating, &lower, bounded ? &upper : NULL, number_zero(), NULL, flat,
						"tier %d: flat amount", tier + 1);
		rating_step(rating, &lower, bounded ? &upper : NULL, units, &price, amount,
					"tier %d: %s units at %s each", tier + 1,
					rating_quantity_text(rating, units), number_to_text(price));
	}
	return number_add(flat, amount);
}

/* The sum, tier by tier: for steps, and when the offsets are not stored. */
static Number
graduated_walk(const TierTable *table, Rating *rating, Number quantity, int last)
{
	Number		amount = number_zero();
	Number		lower = number_zero();
	int			i;

	for (i = 0; i <= last; i++)
	{
		Number		upper = i == last ? quantity :
			rating_scaled(rating, column_value(&table->up_to, i));

		amount = number_add(amount, graduated_step(table, rating, i, number_subtract(upper, lower)));
		lower = upper;
	}
	return amount;
}

/* Also the price of graduated_percentage, whose quantity is an amount. */
bool
graduated_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	Number		quantity = rating->quantity;
	int			sign = number_sign(quantity);
	TierTable	table;
	int			tier;

	if (unlikely(sign < 0))
		return rating_fail_negative(rating, tariff_model(tariff)->name);
	tiers_open(tariff, &table);
	if (unlikely(sign == 0))
		return tiers_zero_price(tariff, &table, rating, amount);
	if (!tiers_locate(&table, rating, &quantity, &tier))
		return false;
	if (unlikely(rating->steps != NULL || !(table.flags & TIERS_HAVE_OFFSET)))
	{
		*amount = graduated_walk(&table, rating, quantity, tier);
		return true;
	}
	*amount = number_add(number_multiply(column_value(&table.price, tier), quantity),
						 rating_scaled(rating, column_value(&table.offset, tier)));
	return true;
}

static void
graduated_lint(const Tariff *tariff, struct TariffLint *lint)
{
	tiers_lint(tariff, lint, true);
}

const TariffModel tariff_graduated = {
	.name = "graduated",
	.members = tiers_members,
	.takes = MODEL_TAKES_CONVERT | MODEL_TAKES_FREE | MODEL_TAKES_ON_ZERO,
	.on_zero = TARIFF_ON_ZERO_NOTHING,
	.compile = graduated_compile,
	.print = graduated_print,
	.price = graduated_price,
	.lint = graduated_lint
};
