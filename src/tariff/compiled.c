/*-------------------------------------------------------------------------
 *
 * compiled.c
 *	  Writing and opening the stored form of a tariff.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/compiled.h"

/* Words of the JSON form; the position is what is stored: only append. */
const char *const tariff_dialects[] = {
	NULL, "lago", "openmeter", "stripe", "flexprice", "meteroid", "killbill",
	"cloudkitty", "waldur", ""
};

const char *const tariff_windows[] = {
	NULL, "minute", "hour", "day", "week", "month", "quarter", "year", ""
};

const char *const tariff_roundings[] = {
	NULL, "up", "down", "half_up", "half_even", ""
};

const char *const tariff_on_zero_words[] = {
	NULL, "charge", "nothing", ""
};

const char *const tariff_bill_roundings[] = {
	NULL, "sum", "line", "detail", ""
};

/*
 * Read the head of a tariff and find its parts.  bytes points behind the
 * varlena header and need not be aligned.
 */
void
tariff_open(const char *bytes, Tariff *tariff)
{
	if (unlikely(bytes[0] != TARIFF_FORMAT))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("tariff has unknown stored format %d", (uint8) bytes[0]),
				 errhint("The value was written by a later version of the extension.")));
	memcpy(&tariff->head, bytes, sizeof(TariffHead));
	tariff->numbers = bytes + sizeof(TariffHead);
	tariff->body = tariff->numbers;
	if (tariff->head.members & TARIFF_HAS_NUMBERS)
	{
		uint16		present = tariff->head.members & TARIFF_HAS_NUMBERS;

		for (; present != 0; present &= present - 1)
			tariff->body += 2 + (uint8) tariff->body[0];
	}
}

/* Read one wrapper number; false when the tariff does not have it. */
bool
tariff_number(const Tariff *tariff, uint16 bit, Number *value)
{
	const char *cursor = tariff->numbers;
	uint16		before = tariff->head.members & TARIFF_HAS_NUMBERS & (bit - 1);

	if (!(tariff->head.members & bit))
		return false;
	for (; before != 0; before &= before - 1)
		(void) compiled_get_number(&cursor);
	*value = compiled_get_number(&cursor);
	return true;
}

/* Append bytes as they are. */
void
compiled_put_bytes(StringInfo out, const void *data, int size)
{
	appendBinaryStringInfo(out, data, size);
}

/* Append one mantissa in the width of its column, 8 or 16 bytes. */
static void
compiled_put_mantissa(StringInfo out, int128 mantissa, int size)
{
	int64		small = (int64) mantissa;

	if (size == sizeof(small))
		compiled_put_bytes(out, &small, sizeof(small));
	else
		compiled_put_bytes(out, &mantissa, sizeof(mantissa));
}

/* Append a single number.  A parsed number always fits. */
void
compiled_put_number(StringInfo out, Number value)
{
	bool		put PG_USED_FOR_ASSERTS_ONLY = compiled_put_column(out, &value, 1);

	Assert(put);
}

/*
 * Write numbers at one scale and in one width.  Returns false, with nothing
 * written, when they span more digits than a mantissa has.
 */
bool
compiled_put_column(StringInfo out, const Number *values, int count)
{
	uint8		size = sizeof(int64);
	uint8		scale = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		if (values[i].wide != NULL || values[i].scale > PG_UINT8_MAX)
			return false;
		scale = Max(scale, values[i].scale);
	}
	for (i = 0; i < count; i++)
	{
		Number		value = values[i];

		if (!number_rescale(&value, scale))
			return false;
		if (!number_mantissa_is_small(value.mantissa))
			size = sizeof(int128);
	}
	appendStringInfoChar(out, (char) size);
	appendStringInfoChar(out, (char) scale);
	for (i = 0; i < count; i++)
	{
		Number		value = values[i];

		(void) number_rescale(&value, scale);
		compiled_put_mantissa(out, value.mantissa, size);
	}
	return true;
}

/* Append a text of at most 65,535 bytes with its length. */
void
compiled_put_text(StringInfo out, const char *text, int length)
{
	uint16		size = (uint16) length;

	Assert(length >= 0 && length <= PG_UINT16_MAX);
	compiled_put_bytes(out, &size, sizeof(size));
	compiled_put_bytes(out, text, length);
}
