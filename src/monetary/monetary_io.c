/*-------------------------------------------------------------------------
 *
 * monetary_io.c
 *	  Text, binary and JSON forms of the type monetary, and its type modifier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "monetary/monetary.h"
#include "monetary/soft_error.h"

/* The outcome of reading a text. */
typedef enum MonetaryParseResult
{
	MONETARY_PARSE_OK,
	MONETARY_PARSE_SYNTAX,
	MONETARY_PARSE_CURRENCY,
	MONETARY_PARSE_OUT_OF_RANGE
} MonetaryParseResult;

PG_FUNCTION_INFO_V1(monetary_in);
PG_FUNCTION_INFO_V1(monetary_out);
PG_FUNCTION_INFO_V1(monetary_recv);
PG_FUNCTION_INFO_V1(monetary_send);
PG_FUNCTION_INFO_V1(monetary_typmod_in);
PG_FUNCTION_INFO_V1(monetary_typmod_out);
PG_FUNCTION_INFO_V1(monetary_coerce);
PG_FUNCTION_INFO_V1(monetary_to_json);
PG_FUNCTION_INFO_V1(monetary_to_jsonb);

static inline bool
monetary_is_letter(char byte)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/*
 * Is this a word of exactly three letters?
 */
static bool
monetary_is_code(const char *text, size_t length)
{
	return length == 3 && monetary_is_letter(text[0]) &&
		monetary_is_letter(text[1]) && monetary_is_letter(text[2]);
}

/*
 * Reads 'AMOUNT CODE' or 'CODE AMOUNT'; blanks around and between are optional.
 */
static MonetaryParseResult
monetary_parse(const char *text, CurrencyCode *currency, Fixed *amount)
{
	const char *start = text;
	const char *end = text + strlen(text);
	const char *code;
	bool		exact;

	while (start < end && scanner_isspace(*start))
		start++;
	while (end > start && scanner_isspace(end[-1]))
		end--;
	if (end - start < 4)
		return MONETARY_PARSE_SYNTAX;
	if (monetary_is_letter(*start))
	{
		code = start;
		start += 3;
	}
	else
	{
		end -= 3;
		code = end;
	}
	if (!monetary_is_code(code, 3))
		return MONETARY_PARSE_SYNTAX;
	while (start < end && scanner_isspace(*start))
		start++;
	while (end > start && scanner_isspace(end[-1]))
		end--;
	switch (fixed_parse(start, end - start, amount, &exact))
	{
		case FIXED_PARSE_SYNTAX:
			return MONETARY_PARSE_SYNTAX;
		case FIXED_PARSE_OUT_OF_RANGE:
			return MONETARY_PARSE_OUT_OF_RANGE;
		case FIXED_PARSE_OK:
			break;
	}
	*currency = currency_lookup(code, 3);
	if (*currency == CURRENCY_NONE)
		return MONETARY_PARSE_CURRENCY;
	return monetary_in_range(*amount) ? MONETARY_PARSE_OK : MONETARY_PARSE_OUT_OF_RANGE;
}

/*
 * Checks a currency against a type modifier; -1 accepts every currency.  Saves
 * an error (22023) and returns false when they differ.
 */
static bool
monetary_check_typmod(CurrencyCode currency, int32 typmod, Node *escontext)
{
	char		code[CURRENCY_TEXT_SIZE];
	char		wanted[CURRENCY_TEXT_SIZE];

	if (typmod < 0 || currency == (CurrencyCode) typmod)
		return true;
	currency_to_text(currency, code);
	currency_to_text((CurrencyCode) typmod, wanted);
	ereturn(escontext, false,
			(errcode(MONETARY_ERRCODE_CURRENCY),
			 errmsg("amount in %s does not fit type monetary('%s')", code, wanted),
			 errhint("Amounts are never converted implicitly; multiply by an exchange rate and name the new currency.")));
}

/*
 * monetary_in(cstring, oid, integer) reads '12.34 EUR' or 'EUR 12.34'.  More
 * than 15 decimals are rounded half to even.  Soft errors: 22P02 syntax or
 * unknown currency, 22003 out of range, 22023 another currency than the type
 * modifier's.
 */
Datum
monetary_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Node	   *escontext = fcinfo->context;
	CurrencyCode currency;
	Fixed		amount;

	switch (monetary_parse(text, &currency, &amount))
	{
		case MONETARY_PARSE_SYNTAX:
			ereturn(escontext, (Datum) 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type %s: \"%s\"", "monetary", text),
					 errhint("Write an amount and a three-letter currency code, like \"12.34 EUR\".")));
		case MONETARY_PARSE_CURRENCY:
			ereturn(escontext, (Datum) 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("unknown currency in value for type %s: \"%s\"", "monetary", text),
					 errhint("Use a three-letter ISO 4217 code; billing.currencies() lists them.")));
		case MONETARY_PARSE_OUT_OF_RANGE:
			ereturn(escontext, (Datum) 0,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("value \"%s\" is out of range for type %s", text, "monetary"),
					 errdetail("Amounts reach from -10000000000000000 to 10000000000000000 units.")));
		case MONETARY_PARSE_OK:
			break;
	}
	if (!monetary_check_typmod(currency, typmod, escontext))
		return (Datum) 0;
	PG_RETURN_MONETARY_P(monetary_new(currency, amount));
}

/*
 * monetary_out(monetary) writes '12.34 EUR', which monetary_in reads back to
 * the same bytes.
 */
Datum
monetary_out(PG_FUNCTION_ARGS)
{
	char	   *buffer = palloc(MONETARY_TEXT_SIZE);

	monetary_format(PG_GETARG_MONETARY_P(0), buffer);
	PG_RETURN_CSTRING(buffer);
}

/*
 * monetary_recv(internal, oid, integer) takes the 16 bytes of a value from the
 * wire, as strictly as monetary_in takes text: 22P03 for an unknown currency or
 * an amount out of range, 22023 for another currency than the type modifier's.
 */
Datum
monetary_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	Monetary   *result = (Monetary *) palloc(sizeof(Monetary));

	memcpy(result->bytes, pq_getmsgbytes(message, sizeof(result->bytes)), sizeof(result->bytes));
	if (currency_facts(monetary_currency(result)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unknown currency in binary value for type %s: 0x%06X",
						"monetary", monetary_currency(result))));
	if (!monetary_in_range(monetary_amount(result)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("binary value is out of range for type %s", "monetary")));
	monetary_check_typmod(monetary_currency(result), typmod, NULL);
	PG_RETURN_MONETARY_P(result);
}

/*
 * monetary_send(monetary) puts the 16 bytes of a value on the wire.
 */
Datum
monetary_send(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendbytes(&message, (char *) value->bytes, sizeof(value->bytes));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * monetary_typmod_in(cstring[]) turns the 'EUR' of monetary('EUR') into a type
 * modifier: the code itself.  Raises 22023.
 */
Datum
monetary_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elements;
	int			count;
	char	   *code;

	deconstruct_array(array, CSTRINGOID, -2, false, TYPALIGN_CHAR, &elements, NULL, &count);
	if (count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("type monetary takes one type modifier, a currency, as in monetary('EUR')")));
	code = DatumGetCString(elements[0]);
	PG_RETURN_INT32((int32) currency_required(code, strlen(code)));
}

/*
 * monetary_typmod_out(integer) writes ('EUR').  The quotes are needed: some
 * codes, such as ALL, are reserved words of SQL.
 */
Datum
monetary_typmod_out(PG_FUNCTION_ARGS)
{
	char		code[CURRENCY_TEXT_SIZE];

	currency_to_text((CurrencyCode) PG_GETARG_INT32(0), code);
	PG_RETURN_CSTRING(psprintf("('%s')", code));
}

/*
 * monetary(monetary, integer, boolean) is the cast of the type to itself that
 * enforces the type modifier: it passes a value on or raises 22023.
 */
Datum
monetary_coerce(PG_FUNCTION_ARGS)
{
	Monetary   *value = PG_GETARG_MONETARY_P(0);

	monetary_check_typmod(monetary_currency(value), PG_GETARG_INT32(1), NULL);
	PG_RETURN_MONETARY_P(value);
}

/*
 * Writes {"amount":"12.34","currency":"EUR"}.  The amount is a string because
 * many readers of JSON turn numbers into binary floating point.
 */
static char *
monetary_json_text(const Monetary *value)
{
	CurrencyCode currency = monetary_currency(value);
	char		amount[FIXED_TEXT_SIZE];
	char		code[CURRENCY_TEXT_SIZE];

	fixed_format(monetary_amount(value), Max(currency_minor_unit(currency), 0), amount);
	currency_to_text(currency, code);
	return psprintf("{\"amount\":\"%s\",\"currency\":\"%s\"}", amount, code);
}

/*
 * json(monetary): the cast to json, which to_json and row_to_json also use.
 */
Datum
monetary_to_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(monetary_json_text(PG_GETARG_MONETARY_P(0))));
}

/*
 * jsonb(monetary): the cast to jsonb.
 */
Datum
monetary_to_jsonb(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(monetary_json_text(PG_GETARG_MONETARY_P(0))));
}
