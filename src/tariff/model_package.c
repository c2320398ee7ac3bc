/*-------------------------------------------------------------------------
 *
 * model_package.c
 *	  Price model "package": units are sold in packages of one size.
 *
 *	  round((quantity - free) / size) * amount
 *
 * Body: round (a NumberRounding; 0 means up), size, amount.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/lint.h"
#include "tariff/model.h"

static const char *const package_members[] = {"size", "amount", "round", NULL};
static const char *const package_roundings[] = {NULL, "up", "down", "half_up", ""};

/* Read size, amount and how a part of a package is rounded. */
static bool
package_compile(const ReaderObject *object, StringInfo out)
{
	Number		size;
	Number		amount;
	uint8		rounding;

	if (!object_number(object, "size", &size) ||
		!object_number(object, "amount", &amount) ||
		!object_choice(object, "round", package_roundings, &rounding))
		return false;
	if (number_sign(size) <= 0)
		return reader_fail(object->reader, "%ssize must be greater than 0, not %s",
						   object->path, number_to_text(size));
	if (rounding == NUMBER_ROUND_UP)
		rounding = NUMBER_ROUND_NONE;
	compiled_put_bytes(out, &rounding, sizeof(rounding));
	compiled_put_number(out, size);
	compiled_put_number(out, amount);
	return true;
}

/* Print the members; rounding up is the default and not printed. */
static void
package_print(const Tariff *tariff, StringInfo json)
{
	const char *cursor = tariff->body;
	uint8		rounding;

	compiled_get(&cursor, rounding);
	json_put_number(json, "size", compiled_get_number(&cursor));
	json_put_number(json, "amount", compiled_get_number(&cursor));
	if (rounding != NUMBER_ROUND_NONE)
		json_put_word(json, "round", package_roundings[rounding]);
}

/*
 * Whole packages times their price.  With converted units, size is multiplied
 * by the divisor, so the number of packages is exact.
 */
static bool
package_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	const char *cursor = tariff->body;
	uint8		rounding;
	Number		size;
	Number		price;
	Number		packages;

	if (number_sign(rating->quantity) < 0)
		return rating_fail_negative(rating, "package");
	compiled_get(&cursor, rounding);
	size = compiled_get_number(&cursor);
	price = compiled_get_number(&cursor);
	if (rounding == NUMBER_ROUND_NONE)
		rounding = NUMBER_ROUND_UP;
	packages = number_quotient(rating->quantity, rating_scaled(rating, size), rounding);
	*amount = rating_scaled(rating, number_multiply(packages, price));
	if (rating->steps)
		rating_step(rating, NULL, NULL, rating_scaled(rating, packages), &price, *amount,
					"%s in packages of %s, rounded %s: %s at %s each",
					rating_counted(rating, rating->quantity, "unit"), number_to_text(size),
					rounding == NUMBER_ROUND_HALF_UP ? "half up" : package_roundings[rounding],
					rating_counted(rating, rating_scaled(rating, packages), "package"), number_to_text(price));
	return true;
}

/* Report packages that give units away. */
static void
package_lint(const Tariff *tariff, struct TariffLint *lint)
{
	const char *cursor = tariff->body;
	uint8		rounding;

	compiled_get(&cursor, rounding);
	(void) compiled_get_number(&cursor);
	lint_price_sign(lint, "amount", compiled_get_number(&cursor));
	if (rounding == NUMBER_ROUND_DOWN)
		lint_report(lint, LINT_NOTICE, "package_rounds_down",
					"a package that is not full costs nothing");
}

const TariffModel tariff_package = {
	.name = "package",
	.members = package_members,
	.takes = MODEL_TAKES_CONVERT | MODEL_TAKES_FREE,
	.compile = package_compile,
	.print = package_print,
	.price = package_price,
	.lint = package_lint
};
