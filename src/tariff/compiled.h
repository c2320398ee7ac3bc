/*-------------------------------------------------------------------------
 *
 * compiled.h
 *	  The stored form of a tariff, which is also the form that is evaluated.
 *
 * After the varlena header comes a TariffHead, then the numbers of the
 * wrapper members that are present, in the order of the TARIFF_HAS bits, then
 * the body of the price model.  Nothing is aligned: values are read with
 * memcpy, so that packed and short-header datums need no copy.
 *
 * A number is a size byte (8 or 16), a scale byte and the mantissa.  A column
 * is the same with one mantissa for each of its rows.  A text is a two-byte
 * length and the bytes.
 *
 * The bytes follow from the canonical JSON and the other way round, so two
 * tariffs are equal when their bytes are.  Every released format stays
 * readable for ever: a change of anything below is a new format byte.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_COMPILED_H
#define BILLING_TARIFF_COMPILED_H

#include "lib/stringinfo.h"

#include "tariff/number.h"

#define TARIFF_FORMAT 1

/* Numbers on disk: never renumber. */
typedef enum TariffModelId
{
	TARIFF_MODEL_FLAT = 1,
	TARIFF_MODEL_PER_UNIT = 2,
	TARIFF_MODEL_GRADUATED = 3,
	TARIFF_MODEL_VOLUME = 4,
	TARIFF_MODEL_PACKAGE = 5,
	TARIFF_MODEL_PERCENTAGE = 6,
	TARIFF_MODEL_GRADUATED_PERCENTAGE = 7,
	TARIFF_MODEL_MATRIX = 8,
	TARIFF_MODEL_BLOCKS = 9,
	TARIFF_MODEL_HASHMAP = 10
} TariffModelId;

#define TARIFF_MODEL_COUNT 11	/* with the unused 0 */

/* Which members a tariff has.  The first block has a number each. */
#define TARIFF_HAS_MULTIPLY		0x0001	/* convert.multiply_by */
#define TARIFF_HAS_DIVIDE		0x0002	/* convert.divide_by */
#define TARIFF_HAS_FREE			0x0004
#define TARIFF_HAS_DISCOUNT		0x0008	/* discount_percent */
#define TARIFF_HAS_MAXIMUM		0x0010
#define TARIFF_HAS_MINIMUM		0x0020
#define TARIFF_HAS_NUMBERS		0x003F
/* The others are their own value. */
#define TARIFF_HAS_CARRY		0x0040
#define TARIFF_IS_NESTED		0x0080	/* the price of a matrix cell */

/* Zero usage; 0 is the default of the model. */
typedef enum TariffOnZero
{
	TARIFF_ON_ZERO_DEFAULT = 0,
	TARIFF_ON_ZERO_CHARGE = 1,
	TARIFF_ON_ZERO_NOTHING = 2
} TariffOnZero;

/* Where a bill rounds; 0 is the way of the dialect. */
typedef enum TariffBillRounding
{
	TARIFF_BILL_DEFAULT = 0,
	TARIFF_BILL_SUM = 1,		/* the sum of all prices of a charge, once */
	TARIFF_BILL_LINE = 2,		/* each price by itself */
	TARIFF_BILL_DETAIL = 3		/* each part of each price by itself */
} TariffBillRounding;

typedef struct TariffHead
{
	uint8		format;			/* TARIFF_FORMAT; always the first byte */
	uint8		model;			/* TariffModelId */
	uint16		members;		/* TARIFF_HAS bits */
	uint32		currency;		/* CurrencyCode */
	uint8		dialect;		/* index in tariff_dialects */
	uint8		window;			/* index in tariff_windows */
	uint8		on_zero;		/* TariffOnZero */
	uint8		convert_round;	/* NumberRounding */
	uint8		convert_decimals;
	uint8		bill_rounding;	/* TariffBillRounding; 0 before it had a meaning */
	uint8		reserved[2];	/* 0 */
} TariffHead;

/* A tariff being read: its head, and where its parts lie. */
typedef struct Tariff
{
	TariffHead	head;
	const char *numbers;		/* wrapper numbers */
	const char *body;			/* of the price model */
} Tariff;

typedef struct TariffColumn
{
	const char *data;
	uint8		size;
	uint8		scale;
} TariffColumn;

typedef struct TariffText
{
	const char *data;
	int			length;
} TariffText;

extern const char *const tariff_dialects[];
extern const char *const tariff_windows[];
extern const char *const tariff_roundings[];
extern const char *const tariff_on_zero_words[];
extern const char *const tariff_bill_roundings[];

extern void tariff_open(const char *bytes, Tariff *tariff);
extern bool tariff_number(const Tariff *tariff, uint16 bit, Number *value);
extern void compiled_put_bytes(StringInfo out, const void *data, int size);
extern void compiled_put_number(StringInfo out, Number value);
extern bool compiled_put_column(StringInfo out, const Number *values, int count);
extern void compiled_put_text(StringInfo out, const char *text, int length);

#define compiled_get(cursor, variable) \
	(memcpy(&(variable), *(cursor), sizeof(variable)), *(cursor) += sizeof(variable))

/* A mantissa of 8 or 16 bytes, wherever it lies. */
static inline int128
compiled_mantissa(const char *data, int size)
{
	if (likely(size == sizeof(int64)))
	{
		int64		mantissa;

		memcpy(&mantissa, data, sizeof(mantissa));
		return mantissa;
	}
	else
	{
		int128		mantissa;

		memcpy(&mantissa, data, sizeof(mantissa));
		return mantissa;
	}
}

/* Read a number and move the cursor behind it. */
static inline Number
compiled_get_number(const char **cursor)
{
	int			size = (uint8) (*cursor)[0];
	int			scale = (uint8) (*cursor)[1];
	Number		result = number_make(compiled_mantissa(*cursor + 2, size), scale);

	*cursor += 2 + size;
	return result;
}

/* Find a column of count rows and move the cursor behind it. */
static inline TariffColumn
compiled_get_column(const char **cursor, int count)
{
	TariffColumn column;

	column.size = (*cursor)[0];
	column.scale = (*cursor)[1];
	column.data = *cursor + 2;
	*cursor += 2 + column.size * count;
	return column;
}

/* One row of a column. */
static inline Number
column_value(const TariffColumn *column, int row)
{
	return number_make(compiled_mantissa(column->data + row * column->size, column->size),
					   column->scale);
}

/* Find a text and move the cursor behind it; nothing is copied. */
static inline TariffText
compiled_get_text(const char **cursor)
{
	TariffText	text;
	uint16		length;

	compiled_get(cursor, length);
	text.data = *cursor;
	text.length = length;
	*cursor += length;
	return text;
}

#endif							/* BILLING_TARIFF_COMPILED_H */
