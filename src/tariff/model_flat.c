/*-------------------------------------------------------------------------
 *
 * model_flat.c
 *	  Price model "flat": a fee for the period, whatever was used.
 *
 *	  amount * fraction
 *
 * Body: the amount.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/model.h"

static const char *const flat_members[] = {"amount", NULL};

/* Read "amount", which may be negative: a credit. */
static bool
flat_compile(const ReaderObject *object, StringInfo out)
{
	Number		amount;

	if (!object_number(object, "amount", &amount))
		return false;
	compiled_put_number(out, amount);
	return true;
}

/* Print "amount". */
static void
flat_print(const Tariff *tariff, StringInfo json)
{
	const char *cursor = tariff->body;

	json_put_number(json, "amount", compiled_get_number(&cursor));
}

/* The quantity does not matter, so a negative one does not either. */
static bool
flat_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	const char *cursor = tariff->body;
	Number		fee = compiled_get_number(&cursor);
	Number		fraction;

	if (!rating_fraction(rating, &fraction))
		return false;
	*amount = rating_scaled(rating, number_multiply(fee, fraction));
	if (rating->steps)
		rating_note(rating, STEP_LINE, *amount, "fee of %s for %s of a period",
					number_to_text(fee), number_to_text(fraction));
	return true;
}

const TariffModel tariff_flat = {
	.name = "flat",
	.members = flat_members,
	.compile = flat_compile,
	.print = flat_print,
	.price = flat_price
};
