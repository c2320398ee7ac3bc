/*-------------------------------------------------------------------------
 *
 * compile.c
 *	  From the JSON of a tariff to its stored form: the members that all
 *	  models share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/currency.h"
#include "tariff/dialect.h"
#include "tariff/model.h"

static const char *const common_members[] = {
	"model", "currency", "dialect", "convert", "free", "discount_percent",
	"minimum", "maximum", "on_zero", "window", "carry", "rounding", NULL
};

/* Names of the wrapper numbers, in the order of the TARIFF_HAS bits. */
static const char *const wrapper_names[] = {
	"multiply_by", "divide_by", "free", "discount_percent", "maximum", "minimum"
};

#define WRAPPER_NUMBERS 6

/* The wrapper members while they are read. */
typedef struct Wrappers
{
	TariffHead	head;
	Number		number[WRAPPER_NUMBERS];
} Wrappers;

/* Find the model by its name, into head->model. */
static bool
compile_model(const ReaderObject *object, TariffHead *head)
{
	char	   *name;
	int			i;

	if (!object_text(object, "model", &name))
		return false;
	if (name == NULL)
		return reader_fail(object->reader, "%smodel is missing", object->path);
	for (i = 1; i < TARIFF_MODEL_COUNT; i++)
		if (strcmp(tariff_models[i]->name, name) == 0)
		{
			head->model = i;
			return true;
		}
	return reader_fail(object->reader, "%smodel is not known: \"%s\"", object->path, name);
}

/* The currency is required outside and inherited by nested tariffs. */
static bool
compile_currency(const ReaderObject *object, TariffHead *head)
{
	TariffReader *reader = object->reader;
	char	   *code;

	if (!object_text(object, "currency", &code))
		return false;
	if (reader->nesting > 0 && code == NULL)
	{
		head->currency = reader->currency;
		return true;
	}
	if (code == NULL)
		return reader_fail(reader, "%scurrency is missing", object->path);
	head->currency = currency_lookup(code, strlen(code));
	if (head->currency == CURRENCY_NONE)
		return reader_fail(reader, "%scurrency \"%s\" is not an ISO 4217 code", object->path, code);
	if (reader->nesting > 0 && head->currency != reader->currency)
		return reader_fail(reader, "%scurrency must be that of the whole tariff, not %s",
						   object->path, code);
	reader->currency = head->currency;
	return true;
}

/* What the pipeline does around rating is said once, outside. */
static bool
compile_pipeline(const ReaderObject *object, TariffHead *head)
{
	static const char *const outer_only[] = {"window", "carry", "dialect", "rounding"};
	bool		carry;
	size_t		i;

	for (i = 0; i < lengthof(outer_only) && object->reader->nesting > 0; i++)
		if (object_has(object, outer_only[i]))
			return reader_fail(object->reader, "%s%s can only be said of the whole tariff",
							   object->path, outer_only[i]);
	if (!object_choice(object, "dialect", tariff_dialects, &head->dialect) ||
		!object_choice(object, "window", tariff_windows, &head->window) ||
		!object_choice(object, "rounding", tariff_bill_roundings, &head->bill_rounding) ||
		!object_boolean(object, "carry", &carry))
		return false;
	if (head->bill_rounding == dialect_bill_rounding(head->dialect))
		head->bill_rounding = TARIFF_BILL_DEFAULT;
	if (carry)
		head->members |= TARIFF_HAS_CARRY;
	return true;
}

/*
 * Read one wrapper number into its place, unless it has its default.
 * least: 0 not below 0, 1 above 0.
 */
static bool
compile_wrapper(const ReaderObject *object, int position, int least, int64 default_value, Wrappers *wrappers)
{
	Number	   *value = &wrappers->number[position];
	bool		given;

	if (!object_optional_number(object, wrapper_names[position], value, &given))
		return false;
	if (!given)
		return true;
	if (number_sign(*value) < least)
		return reader_fail(object->reader, "%s%s must %s, but is %s",
						   object->path, wrapper_names[position],
						   least > 0 ? "be greater than 0" : "not be negative",
						   number_to_text(*value));
	if (default_value >= 0 && number_compare(*value, number_make(default_value, 0)) == 0)
		return true;
	wrappers->head.members |= 1 << position;
	return true;
}

/* Read "convert". */
static bool
compile_convert(const ReaderObject *object, Wrappers *wrappers)
{
	static const char *const members[] = {"multiply_by", "divide_by", "round", "decimals", NULL};
	ReaderObject convert;
	int			decimals = 0;

	if (!object_has(object, "convert"))
		return object->reader->sqlstate == 0;
	if (!object_object(object, "convert", &convert) ||
		!object_only_has(&convert, members, NULL, NULL) ||
		!compile_wrapper(&convert, 0, 1, 1, wrappers) ||
		!compile_wrapper(&convert, 1, 1, 1, wrappers) ||
		!object_choice(&convert, "round", tariff_roundings, &wrappers->head.convert_round) ||
		!object_integer(&convert, "decimals", 0, 15, &decimals))
		return false;
	if (object_has(&convert, "decimals") && wrappers->head.convert_round == NUMBER_ROUND_NONE)
		return reader_fail(object->reader, "%sdecimals has no meaning without %sround",
						   convert.path, convert.path);
	wrappers->head.convert_decimals = decimals;
	return true;
}

/*
 * Read all members that stand around the model, and refuse those that mean
 * nothing to it.
 */
static bool
compile_wrappers(const ReaderObject *object, const TariffModel *model, Wrappers *wrappers)
{
	static const char *const restricted[] = {"convert", "free", "on_zero"};
	size_t		i;

	for (i = 0; i < lengthof(restricted); i++)
		if (!(model->takes & (1 << i)) && object_has(object, restricted[i]))
			return reader_fail(object->reader, "%s%s has no meaning for a price of model %s",
							   object->path, restricted[i], model->name);
	if (!compile_convert(object, wrappers) ||
		!compile_wrapper(object, 2, 0, 0, wrappers) ||
		!compile_wrapper(object, 3, 0, 0, wrappers) ||
		!compile_wrapper(object, 4, 0, -1, wrappers) ||
		!compile_wrapper(object, 5, 0, 0, wrappers) ||
		!object_choice(object, "on_zero", tariff_on_zero_words, &wrappers->head.on_zero))
		return false;
	if (number_compare(wrappers->number[3], number_make(100, 0)) > 0)
		return reader_fail(object->reader, "%sdiscount_percent must not be greater than 100, but is %s",
						   object->path, number_to_text(wrappers->number[3]));
	if (wrappers->head.on_zero == model->on_zero)
		wrappers->head.on_zero = TARIFF_ON_ZERO_DEFAULT;
	return true;
}

/*
 * Append the stored form of a tariff object.  Returns false when something is
 * wrong; the reader then knows what.
 */
bool
tariff_compile(const ReaderObject *object, StringInfo out)
{
	Wrappers	wrappers;
	const TariffModel *model;
	int			i;

	memset(&wrappers, 0, sizeof(wrappers));
	wrappers.head.format = TARIFF_FORMAT;
	if (object->reader->nesting > 0)
		wrappers.head.members |= TARIFF_IS_NESTED;
	if (object->reader->sqlstate != 0 || !compile_model(object, &wrappers.head))
		return false;
	model = tariff_models[wrappers.head.model];
	if (!object_only_has(object, common_members, model->members, model->name) ||
		!compile_currency(object, &wrappers.head) ||
		!compile_pipeline(object, &wrappers.head) ||
		!compile_wrappers(object, model, &wrappers))
		return false;
	compiled_put_bytes(out, &wrappers.head, sizeof(wrappers.head));
	for (i = 0; i < WRAPPER_NUMBERS; i++)
		if (wrappers.head.members & (1 << i))
			compiled_put_number(out, wrappers.number[i]);
	return model->compile(object, out);
}
