/*-------------------------------------------------------------------------
 *
 * dialect_lago.c
 *	  Rules of rating that only Lago has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "tariff/dialect.h"
#include "tariff/tiers.h"

/*
 * A fee is never below 0.  Graduated prices go on with the price of the first
 * range below zero, beside its flat amount; every other model gives 0.  The
 * minimum of the charge comes after that.
 */
bool
lago_negative(const Tariff *tariff, Rating *rating, Number *amount)
{
	*amount = number_zero();
	if (tariff->head.model == TARIFF_MODEL_MATRIX || tariff->head.model == TARIFF_MODEL_FLAT)
		return false;
	if (tariff->head.model == TARIFF_MODEL_GRADUATED ||
		tariff->head.model == TARIFF_MODEL_GRADUATED_PERCENTAGE)
	{
		TierTable	table;
		Number		fee;

		tiers_open(tariff, &table);
		fee = number_add(tiers_flat(&table, 0),
						 number_multiply(rating->quantity, column_value(&table.price, 0)));
		if (number_sign(fee) > 0)
			*amount = fee;
	}
	if (rating->steps)
		rating_note(rating, STEP_LINE, *amount, "negative usage %s: the fee is not below 0",
					number_to_text(rating->quantity));
	return true;
}

/* Read a member of the quantities; false when it is absent or no number. */
static bool
lago_quantity(Jsonb *quantities, const char *name, Rating *rating, Number *value)
{
	JsonbValue	found;

	if (getKeyJsonValueFromContainer(&quantities->root, name, strlen(name), &found) == NULL)
		return rating_fail(rating, ERRCODE_TARIFF_INPUT_MISSING, NULL,
						   "the quantities have no member \"%s\", which a dynamic price needs", name);
	return rating_decode_quantity(rating, &found, value);
}

/*
 * The dynamic charge model: events carry their own price, and the charge is
 * the sum of precise_total_amount_cents, unless the units are 0.
 */
bool
lago_dynamic_units(Jsonb *quantities, Rating *rating)
{
	Number		units;

	if (!lago_quantity(quantities, "units", rating, &units) ||
		!lago_quantity(quantities, "precise_total_amount_cents", rating, &rating->quantity))
		return false;
	if (number_sign(units) == 0)
		rating->quantity = number_zero();
	return true;
}
