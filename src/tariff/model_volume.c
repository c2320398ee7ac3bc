/*-------------------------------------------------------------------------
 *
 * model_volume.c
 *	  Price model "volume": all units cost what the tier reached says.
 *
 *	  flat + unit_price * quantity, of the one tier the quantity falls in
 *
 * While a period is running, the tier is that of the quantity so far; in the
 * dialect of OpenMeter nothing is due before the period is over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/dialect.h"
#include "tariff/tiers.h"

/* Read the tiers; a volume price needs no offsets. */
static bool
volume_compile(const ReaderObject *object, StringInfo out)
{
	return tiers_compile(object, out, false, false);
}

/* Print the tiers. */
static void
volume_print(const Tariff *tariff, StringInfo json)
{
	tiers_print(tariff, json, false);
}

/* Report the flat and the units of the tier reached. */
static void
volume_steps(const TierTable *table, Rating *rating, int tier, Number quantity, Number flat)
{
	Number		price = column_value(&table->price, tier);
	Number		lower;
	Number		upper;
	bool		bounded;

	tiers_limits(table, tier, &lower, &upper, &bounded);
	if (number_sign(flat) != 0)
		rating_step(rating, &lower, bounded ? &upper : NULL, number_zero(), NULL, flat,
					"tier %d: flat amount", tier + 1);
	rating_step(rating, &lower, bounded ? &upper : NULL, quantity, &price,
				number_multiply(quantity, price),
				"%s%s in tier %d, at %s each", number_compare(quantity, rating_scaled(rating, number_make(1, 0))) == 0 ? "" : "all ",
				rating_counted(rating, quantity, "unit"), tier + 1, number_to_text(price));
}

/* Find the tier, then one multiplication and its flat. */
static bool
volume_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	Number		quantity = rating->quantity;
	int			sign = number_sign(quantity);
	TierTable	table;
	Number		flat;
	int			tier;

	if (unlikely(sign < 0))
		return rating_fail_negative(rating, "volume");
	tiers_open(tariff, &table);
	if (unlikely(!rating->complete && tariff->head.dialect == DIALECT_OPENMETER))
		return openmeter_volume_waits(rating, amount);
	if (unlikely(sign == 0))
		return tiers_zero_price(tariff, &table, rating, amount);
	if (!tiers_locate(&table, rating, &quantity, &tier))
		return false;
	flat = rating_scaled(rating, tiers_flat(&table, tier));
	*amount = number_multiply(quantity, column_value(&table.price, tier));
	if (table.flags & TIERS_HAVE_FLAT)
		*amount = number_add(flat, *amount);
	if (unlikely(rating->steps != NULL))
		volume_steps(&table, rating, tier, quantity, flat);
	return true;
}

/* Prorated units of the events, of which those beyond the end cost nothing. */
static Number
volume_prorated_units(const RatedEvent *events, int count, Number end)
{
	Number		units = number_zero();
	Number		passed = number_zero();
	int			i;

	for (i = 0; i < count; i++)
	{
		Number		next = number_add(passed, events[i].units);
		Number		from = number_compare(passed, end) < 0 ? passed : end;
		Number		to = number_compare(next, end) < 0 ? next : end;

		units = number_add(units, number_multiply(number_subtract(to, from), events[i].fraction));
		passed = next;
	}
	return units;
}

/* The full units decide about the tier, the prorated units are priced. */
static bool
volume_price_each(const Tariff *tariff, Rating *rating,
				  const RatedEvent *events, int count, Number *amount)
{
	Number		quantity = rating->quantity;
	int			sign = number_sign(quantity);
	TierTable	table;
	Number		units;
	int			tier;

	if (sign < 0)
		return rating_fail_negative(rating, "volume");
	tiers_open(tariff, &table);
	if (sign == 0)
		return tiers_zero_price(tariff, &table, rating, amount);
	if (!tiers_locate(&table, rating, &quantity, &tier))
		return false;
	units = number_compare(quantity, rating->quantity) < 0 ?
		volume_prorated_units(events, count, quantity) : rating_prorated_units(events, count);
	*amount = number_add(rating_scaled(rating, tiers_flat(&table, tier)),
						 number_multiply(units, column_value(&table.price, tier)));
	return true;
}

/* Report what the tiers look like, cliffs above all. */
static void
volume_lint(const Tariff *tariff, struct TariffLint *lint)
{
	tiers_lint(tariff, lint, false);
}

const TariffModel tariff_volume = {
	.name = "volume",
	.members = tiers_members,
	.takes = MODEL_TAKES_CONVERT | MODEL_TAKES_FREE | MODEL_TAKES_ON_ZERO,
	.on_zero = TARIFF_ON_ZERO_NOTHING,
	.compile = volume_compile,
	.print = volume_print,
	.price = volume_price,
	.price_each = volume_price_each,
	.lint = volume_lint
};
