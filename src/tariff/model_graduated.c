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

/* Read the tiers and store their offsets. */
static bool
graduated_compile(const ReaderObject *object, StringInfo out)
{
	return tiers_compile(object, out, false, true);
}

/* Print the tiers. */
static void
graduated_print(const Tariff *tariff, StringInfo json)
{
	tiers_print(tariff, json, false);
}

/* One tier: its units and its flat. */
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
		rating_step(rating, &lower, bounded ? &upper : NULL, units, &price, amount,
					"tier %d: %s at %s each", tier + 1,
					rating_counted(rating, units, "unit"), number_to_text(price));
		if (number_sign(flat) != 0)
			rating_step(rating, &lower, bounded ? &upper : NULL, number_zero(), NULL, flat,
						"tier %d: flat amount", tier + 1);
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

/*
 * The price of going from one running total to another: each tier's units at
 * its price.  Below zero the first tier goes on.
 */
static Number
graduated_way(const TierTable *table, const Rating *rating, Number from, Number to)
{
	bool		back = number_compare(from, to) > 0;
	Number		low = back ? to : from;
	Number		high = back ? from : to;
	Number		amount = number_zero();
	int			i;

	for (i = 0; i < table->count && number_compare(low, high) < 0; i++)
	{
		Number		end = high;

		if (i < table->bounds)
		{
			Number		bound = rating_scaled(rating, column_value(&table->up_to, i));

			if (number_compare(bound, low) <= 0)
				continue;
			if (number_compare(bound, high) < 0)
				end = bound;
		}
		amount = number_add(amount, number_multiply(column_value(&table->price, i),
													number_subtract(end, low)));
		low = end;
	}
	return back ? number_negate(amount) : amount;
}

/* The flats of all tiers up to the highest total ever reached. */
static bool
graduated_flats(const Tariff *tariff, const TierTable *table, Rating *rating, Number highest, Number *amount)
{
	int			last;
	int			i;

	if (number_sign(highest) <= 0)
		return tiers_zero_price(tariff, table, rating, amount);
	if (!tiers_locate(table, rating, &highest, &last))
		return false;
	*amount = number_zero();
	for (i = 0; i <= last; i++)
		*amount = number_add(*amount, rating_scaled(rating, tiers_flat(table, i)));
	return true;
}

/*
 * Prorated tiers: the full units of the events, in time order, decide about
 * the tiers; each part counts by the fraction of its event; the flat amount of
 * every tier ever reached is due once; the total is not below 0.
 */
bool
graduated_price_each(const Tariff *tariff, Rating *rating,
					 const RatedEvent *events, int count, Number *amount)
{
	TierTable	table;
	Number		total = number_zero();
	Number		highest = number_zero();
	Number		parts = number_zero();
	int			i;

	tiers_open(tariff, &table);
	for (i = 0; i < count; i++)
	{
		Number		next = number_add(total, events[i].units);

		parts = number_add(parts, number_multiply(graduated_way(&table, rating, total, next),
												  events[i].fraction));
		total = next;
		if (number_compare(total, highest) > 0)
			highest = total;
	}
	if (!graduated_flats(tariff, &table, rating, highest, amount))
		return false;
	*amount = number_add(*amount, parts);
	if (number_sign(*amount) < 0)
		*amount = number_zero();
	return true;
}

/* Report what the tiers look like; a graduated price has no cliffs. */
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
	.price_each = graduated_price_each,
	.lint = graduated_lint
};
