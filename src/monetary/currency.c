/*-------------------------------------------------------------------------
 *
 * currency.c
 *	  The table of currencies and its look-ups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "monetary/currency.h"

static const CurrencyFacts currency_table[] = {
#include "monetary/currency_table.h"
};

PG_FUNCTION_INFO_V1(currency_list);

/*
 * The facts of a currency, or NULL when the code is not in the table.
 */
const CurrencyFacts *
currency_facts(CurrencyCode code)
{
	int			low = 0;
	int			high = lengthof(currency_table) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const CurrencyFacts *facts = &currency_table[middle];

		if (facts->code == code)
			return facts;
		if (facts->code < code)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/*
 * The code written in three letters of either case, or CURRENCY_NONE when
 * that is no currency.
 */
CurrencyCode
currency_lookup(const char *letters, size_t length)
{
	CurrencyCode code = 0;

	if (length != 3)
		return CURRENCY_NONE;
	for (size_t i = 0; i < 3; i++)
	{
		unsigned char letter = (unsigned char) letters[i];

		if (letter >= 'a' && letter <= 'z')
			letter -= 'a' - 'A';
		code = (code << 8) | letter;
	}
	return currency_facts(code) == NULL ? CURRENCY_NONE : code;
}

/*
 * Like currency_lookup, for arguments that must name a currency: raises 22023
 * when they do not.
 */
CurrencyCode
currency_required(const char *letters, size_t length)
{
	CurrencyCode code = currency_lookup(letters, length);

	if (code == CURRENCY_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown currency \"%.*s\"",
						pg_mbcliplen(letters, (int) Min(length, 64), 64), letters),
				 errhint("Use a three-letter ISO 4217 code; billing.currencies() lists them.")));
	return code;
}

/*
 * Decimals of the minor unit, or -1 when the currency has none.
 */
int
currency_minor_unit(CurrencyCode code)
{
	const CurrencyFacts *facts = currency_facts(code);

	return facts == NULL ? -1 : facts->minor_unit;
}

/*
 * Has ISO 4217 withdrawn the code?
 */
bool
currency_is_withdrawn(CurrencyCode code)
{
	const CurrencyFacts *facts = currency_facts(code);

	return facts != NULL && facts->withdrawn != NULL;
}

/*
 * Writes the three letters and a terminator: CURRENCY_TEXT_SIZE bytes.
 */
void
currency_to_text(CurrencyCode code, char *text)
{
	text[0] = (char) (code >> 16 & 0xFF);
	text[1] = (char) (code >> 8 & 0xFF);
	text[2] = (char) (code & 0xFF);
	text[3] = '\0';
}

/*
 * One row of currencies().
 */
static void
currency_put_row(ReturnSetInfo *result, const CurrencyFacts *facts)
{
	Datum		values[6];
	bool		nulls[6] = {false};
	char		code[CURRENCY_TEXT_SIZE];
	char		numeric_code[16];

	currency_to_text(facts->code, code);
	snprintf(numeric_code, sizeof(numeric_code), "%03d", facts->numeric_code);
	values[0] = CStringGetTextDatum(code);
	values[1] = CStringGetTextDatum(numeric_code);
	nulls[1] = facts->numeric_code < 0;
	values[2] = Int16GetDatum(facts->minor_unit);
	nulls[2] = facts->minor_unit < 0;
	values[3] = NumericGetDatum(fixed_to_numeric(facts->cash_increment));
	nulls[3] = facts->cash_increment == 0;
	values[4] = CStringGetTextDatum(pg_any_to_server(facts->name, strlen(facts->name), PG_UTF8));
	values[5] = CStringGetTextDatum(facts->withdrawn == NULL ? "" : facts->withdrawn);
	nulls[5] = facts->withdrawn == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * currencies() returns every currency known to the type, sorted by code.
 */
Datum
currency_list(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < lengthof(currency_table); i++)
		currency_put_row((ReturnSetInfo *) fcinfo->resultinfo, &currency_table[i]);
	return (Datum) 0;
}
