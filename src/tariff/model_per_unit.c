/*-------------------------------------------------------------------------
 *
 * model_per_unit.c
 *	  Price model "per_unit": every unit costs the same.
 *
 *	  quantity * unit_price
 *
 * Linear, so a negative quantity is a reversal and gives a negative amount.
 * Body: the unit price.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/lint.h"
#include "tariff/model.h"

static const char *const per_unit_members[] = {"unit_price", NULL};

/* Read "unit_price", which may be negative: a rebate. */
static bool
per_unit_compile(const ReaderObject *object, StringInfo out)
{
	Number		unit_price;

	if (!object_number(object, "unit_price", &unit_price))
		return false;
	compiled_put_number(out, unit_price);
	return true;
}

/* Print "unit_price". */
static void
per_unit_print(const Tariff *tariff, StringInfo json)
{
	const char *cursor = tariff->body;

	json_put_number(json, "unit_price", compiled_get_number(&cursor));
}

/* One multiplication; the most frequent of all prices. */
static bool
per_unit_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	const char *cursor = tariff->body;
	Number		unit_price = compiled_get_number(&cursor);

	*amount = number_multiply(rating->quantity, unit_price);
	if (unlikely(rating->steps != NULL))
		rating_step(rating, NULL, NULL, rating->quantity, &unit_price, *amount,
					"%s at %s each",
					rating_counted(rating, rating->quantity, "unit"),
					number_to_text(unit_price));
	return true;
}

/* Each event counts by its fraction. */
static bool
per_unit_price_each(const Tariff *tariff, Rating *rating pg_attribute_unused(),
					const RatedEvent *events, int count, Number *amount)
{
	const char *cursor = tariff->body;

	*amount = number_multiply(rating_prorated_units(events, count), compiled_get_number(&cursor));
	return true;
}

/* The unit price, by itself. */
static bool
per_unit_unit_price(const Tariff *tariff, Rating *rating pg_attribute_unused(), Number *unit_price)
{
	const char *cursor = tariff->body;

	*unit_price = compiled_get_number(&cursor);
	return true;
}

/* Report a negative price. */
static void
per_unit_lint(const Tariff *tariff, struct TariffLint *lint)
{
	const char *cursor = tariff->body;

	lint_price_sign(lint, "unit_price", compiled_get_number(&cursor));
}

const TariffModel tariff_per_unit = {
	.name = "per_unit",
	.members = per_unit_members,
	.takes = MODEL_TAKES_CONVERT | MODEL_TAKES_FREE,
	.compile = per_unit_compile,
	.print = per_unit_print,
	.price = per_unit_price,
	.price_each = per_unit_price_each,
	.unit_price = per_unit_unit_price,
	.lint = per_unit_lint
};
