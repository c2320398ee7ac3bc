/*-------------------------------------------------------------------------
 *
 * number.c
 *	  Exact decimals for rating: decoding, printing and the cases that the
 *	  inline operations of number.h leave over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "tariff/number.h"

/*
 * The stored form of a numeric, as every PostgreSQL since 9.1 writes it: a
 * header of two or four bytes, then digits of base 10,000, most significant
 * first.  The server keeps these names to itself.
 */
#define NUMERIC_KIND_MASK		0xC000
#define NUMERIC_KIND_NEGATIVE	0x4000
#define NUMERIC_KIND_SHORT		0x8000
#define NUMERIC_KIND_SPECIAL	0xC000
#define NUMERIC_SHORT_NEGATIVE	0x2000
#define NUMERIC_SHORT_WEIGHT_NEGATIVE 0x0040
#define NUMERIC_SHORT_WEIGHT	0x003F
#define NUMERIC_BASE			10000
#define NUMERIC_BASE_DIGITS		4

/* Base-10,000 digits that surely fit a mantissa: 36 decimal digits. */
#define NUMERIC_MANTISSA_DIGITS 9

/*
 * Bound of what rating accepts as a quantity, in base-10,000 digits on either
 * side of the point.  It keeps every later operation far from the limits of
 * numeric, which would raise.
 */
#define NUMERIC_ACCEPTED_DIGITS 250

/* The largest power of ten within the mantissa's limit. */
#define NUMBER_POWERS 38

/* Powers of ten that fit 64 bits. */
const int64 number_powers[] = {
	INT64CONST(1), INT64CONST(10), INT64CONST(100), INT64CONST(1000),
	INT64CONST(10000), INT64CONST(100000), INT64CONST(1000000),
	INT64CONST(10000000), INT64CONST(100000000), INT64CONST(1000000000),
	INT64CONST(10000000000), INT64CONST(100000000000),
	INT64CONST(1000000000000), INT64CONST(10000000000000),
	INT64CONST(100000000000000), INT64CONST(1000000000000000),
	INT64CONST(10000000000000000), INT64CONST(100000000000000000),
	INT64CONST(1000000000000000000)
};

/* 10^exponent, for 0 <= exponent < NUMBER_POWERS. */
static inline int128
power_of_ten(int exponent)
{
	if (exponent <= 18)
		return number_powers[exponent];
	if (exponent <= 36)
		return (int128) number_powers[18] * number_powers[exponent - 18];
	return (int128) number_powers[18] * number_powers[18] * number_powers[exponent - 36];
}

/* Bits that the magnitude of a mantissa needs. */
static inline int
bit_length(int128 value)
{
	uint64		high;
	uint64		low;

	if (value < 0)
		value = -value;
	high = (uint64) (value >> 64);
	low = (uint64) value;
	if (high != 0)
		return pg_leftmost_one_pos64(high) + 65;
	return low == 0 ? 0 : pg_leftmost_one_pos64(low) + 1;
}

/*
 * Product of two mantissas, or false when it might not fit.  A product on the
 * border may be refused; the caller then goes on with numeric.
 */
static inline bool
mantissa_multiply(int128 a, int128 b, int128 *result)
{
	if (!(number_mantissa_is_small(a) && number_mantissa_is_small(b)) &&
		bit_length(a) + bit_length(b) > 126)
		return false;
	*result = a * b;
	return true;
}

/* Multiply a mantissa by 10^exponent, or return false. */
static inline bool
mantissa_shift(int128 *mantissa, int exponent)
{
	if (exponent == 0 || *mantissa == 0)
		return true;
	if (exponent < 0 || exponent >= NUMBER_POWERS)
		return false;
	return mantissa_multiply(*mantissa, power_of_ten(exponent), mantissa);
}

/* Give a short number a larger scale, or return false. */
bool
number_rescale(Number *a, int scale)
{
	if (a->wide != NULL || !mantissa_shift(&a->mantissa, scale - a->scale))
		return false;
	a->scale = scale;
	return true;
}

/* Take trailing zeros off a short number. */
void
number_normalise(Number *a)
{
	while (a->scale > 0 && a->mantissa % 10 == 0)
	{
		a->mantissa /= 10;
		a->scale = a->mantissa == 0 ? 0 : a->scale - 1;
	}
}

/* Bring two short numbers to one scale, or return false. */
static bool
number_align(Number *a, Number *b)
{
	if (a->wide != NULL || b->wide != NULL)
		return false;
	return a->scale < b->scale ? number_rescale(a, b->scale) : number_rescale(b, a->scale);
}

/* A number that keeps a numeric. */
static Number
number_make_wide(Datum numeric)
{
	Number		result = {0, 0, DatumGetNumeric(numeric)};

	return result;
}

/* Any number as a numeric datum. */
static Datum
number_datum(Number a)
{
	return NumericGetDatum(number_to_numeric(a));
}

/* Read one 16-bit word of a numeric, which may lie unaligned. */
static inline uint16
numeric_word(const char *data)
{
	uint16		word;

	memcpy(&word, data, sizeof(word));
	return word;
}

/*
 * The digits of a numeric as a mantissa.  Returns false when they are too many
 * for 128 bits.
 */
static inline bool
numeric_mantissa(const char *digits, int ndigits, int weight, Number *result)
{
	int			exponent = weight + 1 - ndigits;	/* of the last digit */
	uint64		head = 0;
	int128		mantissa;
	int			i;

	if (ndigits == 0)
		exponent = 0;
	if (ndigits > NUMERIC_MANTISSA_DIGITS || exponent < -NUMERIC_MANTISSA_DIGITS)
		return false;
	for (i = 0; i < ndigits && i < 4; i++)
		head = head * NUMERIC_BASE + numeric_word(digits + i * sizeof(int16));
	mantissa = head;
	for (; i < ndigits; i++)
		mantissa = mantissa * NUMERIC_BASE + numeric_word(digits + i * sizeof(int16));
	if (exponent > 0)
	{
		if (!mantissa_shift(&mantissa, exponent * NUMERIC_BASE_DIGITS))
			return false;
		exponent = 0;
	}
	result->mantissa = mantissa;
	result->scale = -exponent * NUMERIC_BASE_DIGITS;
	result->wide = NULL;
	return true;
}

/*
 * Decode a numeric argument without copying it: packed and short-header
 * values are read where they lie.  Only values of more than 36 digits keep a
 * numeric.
 */
NumberDecode
number_from_datum(Datum datum, Number *result)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(datum);
	const char *data = VARDATA_ANY(value);
	int			size = VARSIZE_ANY_EXHDR(value);
	uint16		header = numeric_word(data);
	int			header_size = sizeof(uint16);
	int			weight;
	bool		negative;
	int			ndigits;

	if ((header & NUMERIC_KIND_MASK) == NUMERIC_KIND_SPECIAL)
		return NUMBER_NOT_FINITE;
	if (header & NUMERIC_KIND_SHORT)
	{
		negative = (header & NUMERIC_SHORT_NEGATIVE) != 0;
		weight = header & NUMERIC_SHORT_WEIGHT;
		if (header & NUMERIC_SHORT_WEIGHT_NEGATIVE)
			weight |= ~NUMERIC_SHORT_WEIGHT;
	}
	else
	{
		negative = (header & NUMERIC_KIND_MASK) == NUMERIC_KIND_NEGATIVE;
		weight = (int16) numeric_word(data + sizeof(uint16));
		header_size += sizeof(int16);
	}
	ndigits = (size - header_size) / (int) sizeof(int16);

	if (likely(numeric_mantissa(data + header_size, ndigits, weight, result)))
	{
		if (negative)
			result->mantissa = -result->mantissa;
		return NUMBER_DECODED;
	}
	if (weight > NUMERIC_ACCEPTED_DIGITS || ndigits - weight > NUMERIC_ACCEPTED_DIGITS)
		return NUMBER_TOO_LONG;
	*result = number_make_wide(PointerGetDatum(PG_DETOAST_DATUM(PointerGetDatum(value))));
	return NUMBER_DECODED;
}

/* An amount or quantity at 15 decimals. */
Number
number_from_fixed(Fixed value)
{
	return number_make(value, FIXED_SCALE);
}

/*
 * Write a short number as a decimal without exponent and without trailing
 * zeros behind the point.  text has NUMBER_TEXT_SIZE bytes.
 */
void
number_print(Number a, char *text)
{
	int128		magnitude;
	int			scale;
	char		reversed[NUMBER_TEXT_SIZE];
	int			length = 0;

	Assert(a.wide == NULL && a.scale >= 0 && a.scale < 2 * NUMBER_POWERS);
	number_normalise(&a);
	magnitude = a.mantissa < 0 ? -a.mantissa : a.mantissa;
	scale = a.scale;
	do
	{
		reversed[length++] = '0' + (int) (magnitude % 10);
		magnitude /= 10;
		if (scale > 0 && length == scale)
			reversed[length++] = '.';
	} while (magnitude != 0 || (scale > 0 && length <= scale + 1));
	if (a.mantissa < 0)
		reversed[length++] = '-';
	while (length > 0)
		*text++ = reversed[--length];
	*text = '\0';
}

/* Any number as text, allocated. */
char *
number_to_text(Number a)
{
	char	   *text;

	if (a.wide != NULL)
		return numeric_normalize(a.wide);
	if (a.scale >= 2 * NUMBER_POWERS)
		return numeric_normalize(number_to_numeric(a));
	text = palloc(NUMBER_TEXT_SIZE);
	number_print(a, text);
	return text;
}

/* A number as a numeric, made by text: only rare paths come here. */
Numeric
number_to_numeric(Number a)
{
	char		text[NUMBER_TEXT_SIZE];
	Datum		result;
	int			shift = 0;

	if (a.wide != NULL)
		return a.wide;
	while (a.scale - shift >= NUMBER_POWERS)
		shift += 30;
	a.scale -= shift;
	number_print(a, text);
	result = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
								 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	for (; shift > 0; shift -= 30)
		result = DirectFunctionCall2(numeric_mul, result,
									 DirectFunctionCall3(numeric_in, CStringGetDatum("0.000000000000000000000000000001"),
														 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	return DatumGetNumeric(result);
}

/* Append one digit; false when they become too many. */
static bool
parse_digit(Number *result, int digit, bool after_point, int *digits)
{
	if (*digits > 0 || digit != 0)
		(*digits)++;
	result->mantissa = result->mantissa * 10 + digit;
	result->scale += after_point;
	return *digits <= NUMBER_MAX_DIGITS;
}

/*
 * Collect the digits of a decimal; false when they are too many.  Zeros at the
 * end of the decimals do not count.
 */
static bool
parse_digits(const char **text, Number *result, bool *any)
{
	bool		after_point = false;
	int			digits = 0;
	int			zeros = 0;

	for (; (**text >= '0' && **text <= '9') || (**text == '.' && !after_point); (*text)++)
	{
		if (**text == '.')
		{
			after_point = true;
			continue;
		}
		*any = true;
		if (after_point && **text == '0')
		{
			zeros++;
			continue;
		}
		for (; zeros > 0; zeros--)
			if (!parse_digit(result, 0, true, &digits))
				return false;
		if (!parse_digit(result, **text - '0', after_point, &digits))
			return false;
	}
	return true;
}

/* Apply an exponent and take off trailing zeros. */
static bool
parse_normalise(Number *result, long exponent)
{
	if (result->mantissa == 0)
	{
		result->scale = 0;
		return true;
	}
	number_normalise(result);
	exponent = result->scale - exponent;
	if (exponent > NUMBER_MAX_DIGITS || exponent < -NUMBER_MAX_DIGITS)
		return false;
	if (exponent < 0)
	{
		if (!mantissa_shift(&result->mantissa, -exponent) ||
			bit_length(result->mantissa) > bit_length(power_of_ten(NUMBER_MAX_DIGITS)))
			return false;
		exponent = 0;
	}
	result->scale = exponent;
	return true;
}

/*
 * Read a decimal of a tariff, with or without exponent, into its shortest
 * form.  Returns false when text is no number, and sets *too_long when it has
 * more digits than a tariff may carry.
 */
bool
number_parse(const char *text, Number *result, bool *too_long)
{
	bool		negative = (*text == '-');
	bool		any = false;
	long		exponent = 0;

	*too_long = false;
	*result = number_zero();
	if (*text == '-' || *text == '+')
		text++;
	if (!parse_digits(&text, result, &any))
	{
		*too_long = true;
		return true;
	}
	if (!any)
		return false;
	if (*text == 'e' || *text == 'E')
	{
		char	   *end;

		errno = 0;
		exponent = strtol(text + 1, &end, 10);
		if (end == text + 1 || (text[1] == ' '))
			return false;
		text = end;
	}
	if (*text != '\0')
		return false;
	if (exponent > 10000 || exponent < -10000 || !parse_normalise(result, exponent))
		*too_long = true;
	if (negative)
		result->mantissa = -result->mantissa;
	return true;
}

/* Is text a decimal, perhaps with an exponent of at most four digits? */
static bool
text_is_decimal(const char *text)
{
	bool		any = false;
	bool		point = false;
	int			exponent_digits = 0;

	if (*text == '-' || *text == '+')
		text++;
	for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++)
	{
		point |= (*text == '.');
		any |= (*text != '.');
	}
	if (any && (*text == 'e' || *text == 'E'))
	{
		text++;
		if (*text == '-' || *text == '+')
			text++;
		for (; *text >= '0' && *text <= '9'; text++)
			exponent_digits++;
		if (exponent_digits == 0 || exponent_digits > 4)
			return false;
	}
	return any && *text == '\0';
}

/* Read a quantity that came as text; it may be as long as a numeric one. */
NumberDecode
number_from_text(const char *text, Number *result)
{
	bool		too_long;

	if (!number_parse(text, result, &too_long))
		return NUMBER_MALFORMED;
	if (!too_long)
		return NUMBER_DECODED;
	if (strlen(text) > 2 * NUMERIC_ACCEPTED_DIGITS * NUMERIC_BASE_DIGITS)
		return NUMBER_TOO_LONG;
	if (!text_is_decimal(text))
		return NUMBER_MALFORMED;
	return number_from_datum(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)),
							 result);
}

/* -a, for a numeric. */
Number
number_negate_general(const Number *a)
{
	return number_make_wide(DirectFunctionCall1(numeric_uminus, number_datum(*a)));
}

/* Sum of numbers of any scale and size. */
Number
number_add_general(const Number *a, const Number *b)
{
	Number		x = *a;
	Number		y = *b;

	if (number_align(&x, &y))
	{
		int128		sum = x.mantissa + y.mantissa;

		if (number_mantissa_fits(sum))
			return number_make(sum, x.scale);
	}
	return number_make_wide(DirectFunctionCall2(numeric_add, number_datum(*a), number_datum(*b)));
}

/* Product of numbers of any scale and size. */
Number
number_multiply_general(const Number *a, const Number *b)
{
	int128		product;

	if (a->wide == NULL && b->wide == NULL &&
		mantissa_multiply(a->mantissa, b->mantissa, &product))
		return number_make(product, a->scale + b->scale);
	return number_make_wide(DirectFunctionCall2(numeric_mul, number_datum(*a), number_datum(*b)));
}

/* -1, 0, 1 for numbers of any scale and size. */
int
number_compare_general(const Number *a, const Number *b)
{
	Number		x = *a;
	Number		y = *b;

	if (number_align(&x, &y))
		return (x.mantissa > y.mantissa) - (x.mantissa < y.mantissa);
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, number_datum(*a), number_datum(*b)));
}

/* -1, 0 or 1 for a numeric. */
int
number_sign_general(const Number *a)
{
	Number		zero = number_zero();

	return number_compare_general(a, &zero);
}

/*
 * Does an integer quotient, cut toward zero, go one away from zero?
 * twice_remainder_vs_divisor compares 2 * |remainder| with |divisor|.
 */
static inline bool
rounds_away(NumberRounding rounding, bool has_remainder,
			int twice_remainder_vs_divisor, bool quotient_is_odd)
{
	switch (rounding)
	{
		case NUMBER_ROUND_UP:
			return has_remainder;
		case NUMBER_ROUND_HALF_UP:
			return twice_remainder_vs_divisor >= 0;
		case NUMBER_ROUND_HALF_EVEN:
			return twice_remainder_vs_divisor > 0 ||
				(twice_remainder_vs_divisor == 0 && quotient_is_odd);
		case NUMBER_ROUND_NONE:
		case NUMBER_ROUND_DOWN:
			break;
	}
	return false;
}

/* a / b as a rounded integer, for mantissas of one scale. */
static int128
mantissa_quotient(int128 a, int128 b, NumberRounding rounding)
{
	int128		quotient;
	int128		remainder;
	int128		size;
	int			half;

	if (number_mantissa_is_small(a) && number_mantissa_is_small(b) && b != -1)
	{
		quotient = (int64) a / (int64) b;
		remainder = (int64) a % (int64) b;
	}
	else
	{
		quotient = a / b;
		remainder = a % b;
	}
	if (remainder < 0)
		remainder = -remainder;
	size = b < 0 ? -b : b;
	half = (remainder > size - remainder) - (remainder < size - remainder);
	if (rounds_away(rounding, remainder != 0, half, (quotient & 1) != 0))
		quotient += ((a < 0) != (b < 0)) ? -1 : 1;
	return quotient;
}

/* The same for numerics. */
static Number
numeric_quotient(Number a, Number b, NumberRounding rounding)
{
	Datum		divisor = number_datum(b);
	Datum		quotient = DirectFunctionCall2(numeric_div_trunc, number_datum(a), divisor);
	Number		result = number_make_wide(quotient);
	Number		remainder;
	int			half;
	bool		odd;

	remainder = number_subtract(a, number_multiply(result, b));
	if (number_sign(remainder) < 0)
		remainder = number_negate(remainder);
	half = number_compare(number_add(remainder, remainder),
						  number_sign(b) < 0 ? number_negate(b) : b);
	odd = number_sign(number_make_wide(DirectFunctionCall2(numeric_mod, quotient,
														   number_datum(number_make(2, 0))))) != 0;
	if (rounds_away(rounding, number_sign(remainder) != 0, half, odd))
		result = number_add(result, number_make(number_sign(a) == number_sign(b) ? 1 : -1, 0));
	return result;
}

/* a / b rounded to an integer; b is not zero. */
Number
number_quotient(Number a, Number b, NumberRounding rounding)
{
	Number		x = a;
	Number		y = b;

	if (number_align(&x, &y))
		return number_make(mantissa_quotient(x.mantissa, y.mantissa, rounding), 0);
	return numeric_quotient(a, b, rounding);
}

/*
 * An amount, divided by *divisor unless that is NULL, rounded once, half even,
 * to the 15 decimals of a fixed.  Returns false when it is out of range of
 * 128 bits.
 */
bool
number_to_fixed(const Number *a, const Number *divisor, Fixed *result)
{
	Number		rounded;
	int128		mantissa = a->mantissa;

	if (likely(divisor == NULL && a->wide == NULL))
	{
		if (likely(a->scale <= FIXED_SCALE))
		{
			if (!mantissa_shift(&mantissa, FIXED_SCALE - a->scale))
				return false;
			*result = mantissa;
			return true;
		}
		if (a->scale - FIXED_SCALE < NUMBER_POWERS)
		{
			*result = mantissa_quotient(mantissa, power_of_ten(a->scale - FIXED_SCALE),
										NUMBER_ROUND_HALF_EVEN);
			return true;
		}
	}
	rounded = number_quotient(number_multiply(*a, number_make(power_of_ten(FIXED_SCALE), 0)),
							  divisor ? *divisor : number_make(1, 0),
							  NUMBER_ROUND_HALF_EVEN);
	if (rounded.wide != NULL)
	{
		bool		too_long;
		char	   *text = numeric_normalize(rounded.wide);

		if (!number_parse(text, &rounded, &too_long) || too_long)
			return false;
	}
	Assert(rounded.scale == 0);
	*result = rounded.mantissa;
	return true;
}
