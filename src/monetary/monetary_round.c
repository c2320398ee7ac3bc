/*-------------------------------------------------------------------------
 *
 * monetary_round.c
 *	  Rounding of monetary values: to the minor unit, to a number of decimals,
 *	  to what can be paid in cash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "monetary/monetary_round.h"

/* Decimals that round(monetary, integer, text) accepts, either way. */
#define MONETARY_MAX_DIGITS FIXED_SCALE

static const struct
{
	const char *name;
	FixedRounding rounding;
	bool		cash;
}			rounding_modes[] =
{
	{"half_up", FIXED_ROUND_HALF_UP, false},
	{"half_even", FIXED_ROUND_HALF_EVEN, false},
	{"up", FIXED_ROUND_UP, false},
	{"down", FIXED_ROUND_DOWN, false},
	{"ceiling", FIXED_ROUND_CEILING, false},
	{"floor", FIXED_ROUND_FLOOR, false},
	{"cash", FIXED_ROUND_HALF_UP, true},
};

PG_FUNCTION_INFO_V1(monetary_round);
PG_FUNCTION_INFO_V1(monetary_round_digits);

/*
 * The rounding that a mode's name stands for; *cash tells whether it is the
 * mode for cash.  Raises 22023 for an unknown name.
 */
FixedRounding
monetary_rounding_mode(const char *name, size_t length, bool *cash)
{
	for (size_t i = 0; i < lengthof(rounding_modes); i++)
		if (strlen(rounding_modes[i].name) == length &&
			memcmp(rounding_modes[i].name, name, length) == 0)
		{
			*cash = rounding_modes[i].cash;
			return rounding_modes[i].rounding;
		}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown rounding mode \"%.*s\"",
					pg_mbcliplen(name, (int) Min(length, 64), 64), name),
			 errhint("Modes are half_up, half_even, up, down, ceiling, floor and cash.")));
}

/*
 * The minor unit of a currency in 10^-15.  Raises 22023 when it has none.
 */
Fixed
monetary_minor_quantum(CurrencyCode currency)
{
	int			decimals = currency_minor_unit(currency);
	char		code[CURRENCY_TEXT_SIZE];

	if (decimals < 0)
	{
		currency_to_text(currency, code);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("currency %s has no minor unit", code),
				 errhint("Give the number of decimals explicitly.")));
	}
	return fixed_power_of_ten(FIXED_SCALE - decimals);
}

/*
 * The step of a number of decimals, negative ones left of the point, in
 * 10^-15.  Raises 22023 outside -15 to 15.
 */
Fixed
monetary_digits_quantum(int digits)
{
	if (digits < -MONETARY_MAX_DIGITS || digits > MONETARY_MAX_DIGITS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of decimals %d is out of range", digits),
				 errhint("Use a number from %d to %d.", -MONETARY_MAX_DIGITS, MONETARY_MAX_DIGITS)));
	return fixed_power_of_ten(FIXED_SCALE - digits);
}

/*
 * Rounds to a multiple of the quantum; raises 22003 out of range.
 */
static Monetary *
monetary_round_to(const Monetary *value, Fixed quantum, FixedRounding rounding)
{
	CurrencyCode currency = monetary_currency(value);
	Fixed		rounded;

	if (!fixed_round_to(monetary_amount(value), quantum, rounding, &rounded))
		monetary_range_error(currency);
	return monetary_new(currency, rounded);
}

/*
 * round(monetary, mode): to the minor unit, in mode cash to the smallest
 * amount payable in cash.  Raises 22023 for an unknown mode and for a currency
 * without a minor unit.
 */
Datum
monetary_round(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);
	text	   *mode = PG_GETARG_TEXT_PP(1);
	CurrencyCode currency = monetary_currency(value);
	bool		cash;
	FixedRounding rounding = monetary_rounding_mode(VARDATA_ANY(mode), VARSIZE_ANY_EXHDR(mode), &cash);
	Fixed		quantum = monetary_minor_quantum(currency);

	if (cash && currency_facts(currency)->cash_increment != 0)
		quantum = currency_facts(currency)->cash_increment;
	PG_RETURN_MONETARY_P(monetary_round_to(value, quantum, rounding));
}

/*
 * round(monetary, digits, mode): to a number of decimals.  Raises 22023 for an
 * unknown mode, for cash, and for digits outside -15 to 15.
 */
Datum
monetary_round_digits(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);
	Fixed		quantum = monetary_digits_quantum(PG_GETARG_INT32(1));
	text	   *mode = PG_GETARG_TEXT_PP(2);
	bool		cash;
	FixedRounding rounding = monetary_rounding_mode(VARDATA_ANY(mode), VARSIZE_ANY_EXHDR(mode), &cash);

	if (cash)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rounding mode \"cash\" does not take a number of decimals"),
				 errhint("Use round(amount, 'cash').")));
	PG_RETURN_MONETARY_P(monetary_round_to(value, quantum, rounding));
}
