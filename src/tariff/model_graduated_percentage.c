/*-------------------------------------------------------------------------
 *
 * model_graduated_percentage.c
 *	  Price model "graduated_percentage": graduated, on an amount of money.
 *
 *	  sum over the tiers entered of flat + percent / 100 * money in the tier
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/tiers.h"

/* Read the tiers, whose price is "percent", and store their offsets. */
static bool
graduated_percentage_compile(const ReaderObject *object, StringInfo out)
{
	return tiers_compile(object, out, true, true);
}

/* Print the tiers with "percent". */
static void
graduated_percentage_print(const Tariff *tariff, StringInfo json)
{
	tiers_print(tariff, json, true);
}

/* Report what the tiers look like. */
static void
graduated_percentage_lint(const Tariff *tariff, struct TariffLint *lint)
{
	tiers_lint(tariff, lint, true);
}

const TariffModel tariff_graduated_percentage = {
	.name = "graduated_percentage",
	.members = tiers_members,
	.takes = MODEL_TAKES_FREE | MODEL_TAKES_ON_ZERO,
	.on_zero = TARIFF_ON_ZERO_NOTHING,
	.compile = graduated_percentage_compile,
	.print = graduated_percentage_print,
	.price = graduated_price,
	.price_each = graduated_price_each,
	.lint = graduated_percentage_lint
};
