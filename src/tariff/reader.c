/*-------------------------------------------------------------------------
 *
 * reader.c
 *	  Reading the members of a tariff's JSON, with errors that say where.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "tariff/reader.h"

static void pg_attribute_printf(3, 0)
reader_keep_error(TariffReader *reader, int sqlstate, const char *format, va_list arguments)
{
	char	   *text;
	va_list		copy;
	int			size;

	if (reader->sqlstate != 0)
		return;
	va_copy(copy, arguments);
	size = vsnprintf(NULL, 0, format, copy) + 1;
	va_end(copy);
	text = palloc(size);
	vsnprintf(text, size, format, arguments);
	reader->sqlstate = sqlstate;
	reader->error = text;
}

/* Keep the first error; always false, so that a caller can return it. */
bool
reader_fail(TariffReader *reader, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	reader_keep_error(reader, ERRCODE_INVALID_TEXT_REPRESENTATION, format, arguments);
	va_end(arguments);
	return false;
}

/* The same for a value that is understood but too large. */
bool
reader_fail_range(TariffReader *reader, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	reader_keep_error(reader, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, format, arguments);
	va_end(arguments);
	return false;
}

/* The outermost object; fails when the document is something else. */
void
reader_root(TariffReader *reader, Jsonb *json, ReaderObject *object)
{
	object->reader = reader;
	object->container = &json->root;
	object->path = "";
	if (!JB_ROOT_IS_OBJECT(json))
		reader_fail(reader, "a tariff must be a JSON object");
}

/* Find a member; a JSON null counts as absent. */
static JsonbValue *
object_find(const ReaderObject *object, const char *name, JsonbValue *value)
{
	JsonbValue *found;

	if (object->reader->sqlstate != 0)
		return NULL;
	found = getKeyJsonValueFromContainer(object->container, name, strlen(name), value);
	return found != NULL && found->type == jbvNull ? NULL : found;
}

/* Is a member there, and not null? */
bool
object_has(const ReaderObject *object, const char *name)
{
	JsonbValue	value;

	return object_find(object, name, &value) != NULL;
}

/*
 * Is a member's name, which is not terminated, one of a list that ends with
 * NULL?  The list itself may be NULL.
 */
static bool
name_is_listed(const char *const *names, const char *name, int length)
{
	for (; names != NULL && *names != NULL; names++)
		if ((int) strlen(*names) == length && memcmp(*names, name, length) == 0)
			return true;
	return false;
}

/*
 * Check that the object has no member but the listed ones (lists end with
 * NULL).  model, unless NULL, is named in the error.
 */
bool
object_only_has(const ReaderObject *object, const char *const *names,
				const char *const *more_names, const char *model)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (object->reader->sqlstate != 0)
		return false;
	iterator = JsonbIteratorInit(object->container);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_KEY ||
			name_is_listed(names, value.val.string.val, value.val.string.len) ||
			name_is_listed(more_names, value.val.string.val, value.val.string.len))
			continue;
		if (model != NULL)
			return reader_fail(object->reader, "%s%.*s is not a member of a price of model %s",
							   object->path, value.val.string.len, value.val.string.val, model);
		return reader_fail(object->reader, "%s%.*s is not a known member",
						   object->path, value.val.string.len, value.val.string.val);
	}
	return true;
}

/* Text of a JSON string, number or boolean, as match and dimensions see it. */
char *
reader_scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/*
 * Read a number that may be absent.  Numbers come as JSON numbers or as
 * strings; *given tells whether the member is there.
 */
bool
object_optional_number(const ReaderObject *object, const char *name, Number *value, bool *given)
{
	JsonbValue	found;
	char	   *text;
	bool		too_long;

	*given = false;
	if (object_find(object, name, &found) == NULL)
		return object->reader->sqlstate == 0;
	if (found.type != jbvNumeric && found.type != jbvString)
		return reader_fail(object->reader, "%s%s must be a number", object->path, name);
	text = reader_scalar_text(&found);
	if (!number_parse(text, value, &too_long))
		return reader_fail(object->reader, "%s%s must be a number, not \"%s\"",
						   object->path, name, text);
	if (too_long)
		return reader_fail_range(object->reader, "%s%s has more than %d digits",
								 object->path, name, NUMBER_MAX_DIGITS);
	*given = true;
	return true;
}

/* Read a number that must be there. */
bool
object_number(const ReaderObject *object, const char *name, Number *value)
{
	bool		given;

	if (!object_optional_number(object, name, value, &given))
		return false;
	if (!given)
		return reader_fail(object->reader, "%s%s is missing", object->path, name);
	return true;
}

/* Read a whole number that may be absent; *value is kept then. */
bool
object_integer(const ReaderObject *object, const char *name, int minimum, int maximum, int *value)
{
	Number		number;
	bool		given;

	if (!object_optional_number(object, name, &number, &given))
		return false;
	if (!given)
		return true;
	if (number.scale != 0 || number.mantissa < minimum || number.mantissa > maximum)
		return reader_fail(object->reader, "%s%s must be a whole number from %d to %d",
						   object->path, name, minimum, maximum);
	*value = (int) number.mantissa;
	return true;
}

/* Read a string that may be absent; *value is NULL then. */
bool
object_text(const ReaderObject *object, const char *name, char **value)
{
	JsonbValue	found;

	*value = NULL;
	if (object_find(object, name, &found) == NULL)
		return object->reader->sqlstate == 0;
	if (found.type != jbvString)
		return reader_fail(object->reader, "%s%s must be a string", object->path, name);
	*value = reader_scalar_text(&found);
	return true;
}

/* Read a string, number or boolean as text; *value is NULL when absent. */
bool
object_scalar_text(const ReaderObject *object, const char *name, char **value)
{
	JsonbValue	found;

	*value = NULL;
	if (object_find(object, name, &found) == NULL)
		return object->reader->sqlstate == 0;
	*value = reader_scalar_text(&found);
	if (*value == NULL)
		return reader_fail(object->reader, "%s%s must be a string", object->path, name);
	return true;
}

/* All choices as "a, b, c". */
static char *
choices_text(const char *const *choices)
{
	StringInfoData text;
	int			i;

	initStringInfo(&text);
	for (i = 1; *choices[i] != '\0'; i++)
		appendStringInfo(&text, "%s%s", i > 1 ? ", " : "", choices[i]);
	return text.data;
}

/*
 * Read one of the given words into its position, which starts at 1 and ends
 * before ""; absent gives 0.
 */
bool
object_choice(const ReaderObject *object, const char *name, const char *const *choices, uint8 *value)
{
	char	   *text;
	int			i;

	*value = 0;
	if (!object_text(object, name, &text))
		return false;
	if (text == NULL)
		return true;
	for (i = 1; *choices[i] != '\0'; i++)
		if (strcmp(choices[i], text) == 0)
		{
			*value = i;
			return true;
		}
	return reader_fail(object->reader, "%s%s must be one of %s, not \"%s\"",
					   object->path, name, choices_text(choices), text);
}

/* Read a boolean that may be absent; *value is false then. */
bool
object_boolean(const ReaderObject *object, const char *name, bool *value)
{
	JsonbValue	found;

	*value = false;
	if (object_find(object, name, &found) == NULL)
		return object->reader->sqlstate == 0;
	if (found.type != jbvBool)
		return reader_fail(object->reader, "%s%s must be true or false", object->path, name);
	*value = found.val.boolean;
	return true;
}

/* Open an object that must be there. */
bool
object_object(const ReaderObject *object, const char *name, ReaderObject *value)
{
	JsonbValue	found;

	if (object_find(object, name, &found) == NULL)
		return reader_fail(object->reader, "%s%s is missing", object->path, name);
	if (found.type != jbvBinary || !JsonContainerIsObject(found.val.binary.data))
		return reader_fail(object->reader, "%s%s must be an object", object->path, name);
	value->reader = object->reader;
	value->container = found.val.binary.data;
	value->path = psprintf("%s%s.", object->path, name);
	return true;
}

/* Open an array that must be there and must not be empty. */
bool
object_array(const ReaderObject *object, const char *name, int maximum, ReaderArray *value)
{
	JsonbValue	found;

	if (object_find(object, name, &found) == NULL)
		return reader_fail(object->reader, "%s%s is missing", object->path, name);
	if (found.type != jbvBinary || !JsonContainerIsArray(found.val.binary.data))
		return reader_fail(object->reader, "%s%s must be an array", object->path, name);
	value->reader = object->reader;
	value->container = found.val.binary.data;
	value->path = psprintf("%s%s", object->path, name);
	value->count = JsonContainerSize(value->container);
	if (value->count == 0)
		return reader_fail(object->reader, "%s must not be empty", value->path);
	if (value->count > maximum)
		return reader_fail_range(object->reader, "%s has %d elements, more than %d",
								 value->path, value->count, maximum);
	return true;
}

/* Open one element of an array as an object. */
bool
array_object(const ReaderArray *array, int index, ReaderObject *value)
{
	JsonbValue *found = getIthJsonbValueFromContainer(array->container, index);

	if (array->reader->sqlstate != 0)
		return false;
	if (found->type != jbvBinary || !JsonContainerIsObject(found->val.binary.data))
		return reader_fail(array->reader, "%s[%d] must be an object", array->path, index);
	value->reader = array->reader;
	value->container = found->val.binary.data;
	value->path = psprintf("%s[%d].", array->path, index);
	return true;
}

/* Read one element of an array as a string. */
bool
array_text(const ReaderArray *array, int index, char **value)
{
	JsonbValue *found = getIthJsonbValueFromContainer(array->container, index);

	if (array->reader->sqlstate != 0)
		return false;
	if (found->type != jbvString)
		return reader_fail(array->reader, "%s[%d] must be a string", array->path, index);
	*value = reader_scalar_text(found);
	return true;
}
