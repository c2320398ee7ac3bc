/*-------------------------------------------------------------------------
 *
 * monetary.c
 *	  What every other file of the type builds on: making a value, its errors
 *	  and its text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/monetary.h"

/*
 * Raises 22003: an amount is larger than the type can hold.
 */
void
monetary_range_error(CurrencyCode currency)
{
	char		code[CURRENCY_TEXT_SIZE];

	currency_to_text(currency, code);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("amount in %s is out of range for type %s", code, "monetary"),
			 errdetail("Amounts reach from -10000000000000000 to 10000000000000000 units.")));
}

/*
 * Raises 22023: two currencies where there must be one.
 */
void
monetary_currency_error(CurrencyCode a, CurrencyCode b)
{
	char		a_code[CURRENCY_TEXT_SIZE];
	char		b_code[CURRENCY_TEXT_SIZE];

	currency_to_text(a, a_code);
	currency_to_text(b, b_code);
	ereport(ERROR,
			(errcode(MONETARY_ERRCODE_CURRENCY),
			 errmsg("cannot combine amounts in %s and %s", a_code, b_code),
			 errhint("Convert one of them with an explicit exchange rate, or group by billing.currency(...).")));
}

/*
 * Stores a currency and an amount; raises 22003 when the amount is out of
 * range.
 */
void
monetary_make(CurrencyCode currency, Fixed amount, Monetary *result)
{
	if (!monetary_in_range(amount))
		monetary_range_error(currency);
	monetary_store(currency, amount, result);
}

/*
 * Like monetary_make, in memory of the current context.
 */
Monetary *
monetary_new(CurrencyCode currency, Fixed amount)
{
	Monetary   *result = (Monetary *) palloc(sizeof(Monetary));

	monetary_make(currency, amount, result);
	return result;
}

/*
 * The currency of two values; raises 22023 when they differ.
 */
CurrencyCode
monetary_common_currency(const Monetary *a, const Monetary *b)
{
	CurrencyCode currency = monetary_currency(a);

	if (currency != monetary_currency(b))
		monetary_currency_error(currency, monetary_currency(b));
	return currency;
}

/*
 * Writes '12.34 EUR' with at least the decimals of the minor unit into a
 * buffer of MONETARY_TEXT_SIZE bytes.  Returns the length.
 */
int
monetary_format(const Monetary *value, char *buffer)
{
	CurrencyCode currency = monetary_currency(value);
	int			length = fixed_format(monetary_amount(value),
									  Max(currency_minor_unit(currency), 0), buffer);

	buffer[length++] = ' ';
	currency_to_text(currency, buffer + length);
	return length + CURRENCY_TEXT_SIZE - 1;
}

/*
 * Total order over all values: by currency, then by amount.  Negative, 0 or
 * positive.  Flipping the sign bit makes the two's complement amounts compare
 * as unsigned numbers.
 */
int
monetary_compare(const Monetary *a, const Monetary *b)
{
	uint64		a_high = monetary_high(a) ^ MONETARY_HIGH_SIGN_BIT;
	uint64		b_high = monetary_high(b) ^ MONETARY_HIGH_SIGN_BIT;

	if (a_high == b_high)
	{
		a_high = monetary_low(a);
		b_high = monetary_low(b);
	}
	return a_high < b_high ? -1 : a_high > b_high ? 1 : 0;
}
