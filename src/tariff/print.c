/*-------------------------------------------------------------------------
 *
 * print.c
 *	  From the stored form of a tariff to its canonical JSON.
 *
 * One value has one text: fixed order of members, numbers as strings without
 * exponent and trailing zeros, no member that has its default.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/json.h"

#include "tariff/model.h"

/* Append a member's name, after a comma unless it is the first. */
static void
json_put_name(StringInfo json, const char *name)
{
	char		last = json->len > 0 ? json->data[json->len - 1] : '{';

	appendStringInfo(json, "%s\"%s\":", last == '{' ? "" : ",", name);
}

/* A member whose value is a number, printed as a string. */
void
json_put_number(StringInfo json, const char *name, Number value)
{
	char		text[NUMBER_TEXT_SIZE];

	number_print(value, text);
	json_put_name(json, name);
	appendStringInfo(json, "\"%s\"", text);
}

/* A member whose value is one of our own words. */
void
json_put_word(StringInfo json, const char *name, const char *word)
{
	json_put_name(json, name);
	appendStringInfo(json, "\"%s\"", word);
}

/* A string of the user. */
void
json_put_text(StringInfo json, TariffText text)
{
	escape_json(json, pnstrdup(text.data, text.length));
}

/* Append the wrapper numbers and the words of the head. */
static void
print_wrappers(const Tariff *tariff, StringInfo json)
{
	const char *cursor = tariff->numbers;
	uint16		members = tariff->head.members;

	if ((members & (TARIFF_HAS_MULTIPLY | TARIFF_HAS_DIVIDE)) || tariff->head.convert_round)
	{
		json_put_name(json, "convert");
		appendStringInfoChar(json, '{');
		if (members & TARIFF_HAS_MULTIPLY)
			json_put_number(json, "multiply_by", compiled_get_number(&cursor));
		if (members & TARIFF_HAS_DIVIDE)
			json_put_number(json, "divide_by", compiled_get_number(&cursor));
		if (tariff->head.convert_round)
			json_put_word(json, "round", tariff_roundings[tariff->head.convert_round]);
		if (tariff->head.convert_decimals)
			json_put_number(json, "decimals", number_make(tariff->head.convert_decimals, 0));
		appendStringInfoChar(json, '}');
	}
	if (members & TARIFF_HAS_FREE)
		json_put_number(json, "free", compiled_get_number(&cursor));
	if (members & TARIFF_HAS_DISCOUNT)
		json_put_number(json, "discount_percent", compiled_get_number(&cursor));
	if (members & TARIFF_HAS_MAXIMUM)
		json_put_number(json, "maximum", compiled_get_number(&cursor));
	if (members & TARIFF_HAS_MINIMUM)
		json_put_number(json, "minimum", compiled_get_number(&cursor));
}

/* Append a tariff as canonical JSON. */
void
tariff_print(const Tariff *tariff, StringInfo json)
{
	const TariffModel *model = tariff_model(tariff);

	appendStringInfoChar(json, '{');
	json_put_word(json, "model", model->name);
	if (!(tariff->head.members & TARIFF_IS_NESTED))
	{
		char		currency[CURRENCY_TEXT_SIZE];

		currency_to_text(tariff->head.currency, currency);
		json_put_word(json, "currency", currency);
	}
	if (tariff->head.dialect)
		json_put_word(json, "dialect", tariff_dialects[tariff->head.dialect]);
	model->print(tariff, json);
	print_wrappers(tariff, json);
	if (tariff->head.on_zero)
		json_put_word(json, "on_zero", tariff_on_zero_words[tariff->head.on_zero]);
	if (tariff->head.window)
		json_put_word(json, "window", tariff_windows[tariff->head.window]);
	if (tariff->head.bill_rounding)
		json_put_word(json, "rounding", tariff_bill_roundings[tariff->head.bill_rounding]);
	if (tariff->head.members & TARIFF_HAS_CARRY)
	{
		json_put_name(json, "carry");
		appendStringInfoString(json, "true");
	}
	appendStringInfoChar(json, '}');
}
