/*-------------------------------------------------------------------------
 *
 * fixed.c
 *	  Exact decimal arithmetic at 15 decimals in 128-bit integers.
 *
 * Numeric values are read and written in their on-disk form, which every
 * PostgreSQL release since 9.1 shares and pg_upgrade keeps: going through
 * numeric's own functions would cost more than the arithmetic itself.
 *
 * Only operators that compilers expand or find in libgcc are used on 128-bit
 * values; overflow is checked by hand, because clang turns the checked
 * 128-bit builtins into calls that libgcc lacks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/fixed.h"

/* numeric's on-disk form: a 16-bit header, perhaps a weight, base-10000 digits */
#define NUMERIC_SIGN_BITS			0xC000
#define NUMERIC_SIGN_NEGATIVE		0x4000
#define NUMERIC_FORM_SHORT			0x8000
#define NUMERIC_FORM_SPECIAL		0xC000	/* NaN, Infinity */
#define NUMERIC_SHORT_NEGATIVE		0x2000
#define NUMERIC_SHORT_DSCALE_SHIFT	7
#define NUMERIC_SHORT_DSCALE_BITS	0x1F80
#define NUMERIC_LONG_DSCALE_BITS	0x3FFF
#define NUMERIC_SHORT_WEIGHT_SIGN	0x0040
#define NUMERIC_SHORT_WEIGHT_BITS	0x003F
#define NUMERIC_BASE				10000

/* 10^24 and above cannot be a Fixed */
#define NUMERIC_MAX_WEIGHT			5
#define NUMERIC_MAX_DIGITS			10

#define TEN_TO_16 UINT64CONST(10000000000000000)

/* A numeric taken apart; digits may be unaligned. */
typedef struct NumericParts
{
	bool		negative;
	int			weight;			/* power of 10000 of the first digit */
	int			digits;
	const char *digit_bytes;
} NumericParts;

/*
 * 10^exponent, for 0 to 38.
 */
Fixed
fixed_power_of_ten(int exponent)
{
	Fixed		power = 1;

	Assert(exponent >= 0 && exponent <= 38);
	while (exponent-- > 0)
		power *= 10;
	return power;
}

/*
 * Does rounding move a truncated magnitude one up?  "odd" is the last bit of
 * the truncated quotient, "half" how the remainder compares with half the
 * divisor, "inexact" whether there is a remainder at all.
 */
static inline bool
fixed_rounds_up(FixedRounding rounding, bool negative, bool odd, int half, bool inexact)
{
	switch (rounding)
	{
		case FIXED_ROUND_HALF_UP:
			return half >= 0;
		case FIXED_ROUND_HALF_EVEN:
			return half > 0 || (half == 0 && odd);
		case FIXED_ROUND_UP:
			return inexact;
		case FIXED_ROUND_DOWN:
			return false;
		case FIXED_ROUND_CEILING:
			return inexact && !negative;
		case FIXED_ROUND_FLOOR:
			return inexact && negative;
	}
	return false;
}

/*
 * How a remainder compares with half of its divisor: -1, 0 or 1.
 */
static inline int
fixed_compare_half(uint128 remainder, uint128 divisor)
{
	uint128		rest = divisor - remainder;

	return remainder < rest ? -1 : remainder > rest ? 1 : 0;
}

/*
 * Rounds a quotient of magnitudes and gives it its sign.  Returns false when
 * it is no Fixed.
 */
static inline bool
fixed_finish(uint128 quotient, uint128 remainder, uint128 divisor,
			 bool negative, FixedRounding rounding, Fixed *result)
{
	if (quotient > (uint128) FIXED_MAX)
		return false;
	if (remainder != 0 &&
		fixed_rounds_up(rounding, negative, (quotient & 1) != 0,
						fixed_compare_half(remainder, divisor), true))
		quotient++;
	if (quotient > (uint128) FIXED_MAX)
		return false;
	*result = negative ? -(Fixed) quotient : (Fixed) quotient;
	return true;
}

/* ---- numeric -------------------------------------------------------- */

/*
 * Takes a numeric apart.  Returns false for NaN and the infinities.
 */
static bool
fixed_numeric_parts(Numeric number, NumericParts *parts)
{
	const char *data = VARDATA_ANY(number);
	int			size = (int) VARSIZE_ANY_EXHDR(number);
	uint16		header;
	int			header_size = sizeof(header);

	memcpy(&header, data, sizeof(header));
	if ((header & NUMERIC_SIGN_BITS) == NUMERIC_FORM_SPECIAL)
		return false;
	if ((header & NUMERIC_SIGN_BITS) == NUMERIC_FORM_SHORT)
	{
		parts->negative = (header & NUMERIC_SHORT_NEGATIVE) != 0;
		parts->weight = header & NUMERIC_SHORT_WEIGHT_BITS;
		if (header & NUMERIC_SHORT_WEIGHT_SIGN)
			parts->weight -= NUMERIC_SHORT_WEIGHT_BITS + 1;
	}
	else
	{
		int16		weight;

		memcpy(&weight, data + sizeof(header), sizeof(weight));
		header_size += sizeof(weight);
		parts->negative = (header & NUMERIC_SIGN_BITS) == NUMERIC_SIGN_NEGATIVE;
		parts->weight = weight;
	}
	parts->digits = (size - header_size) / (int) sizeof(int16);
	parts->digit_bytes = data + header_size;
	return true;
}

/*
 * Digit number i of a numeric; 0 beyond the stored ones.
 */
static inline int
fixed_numeric_digit(const NumericParts *parts, int i)
{
	int16		digit;

	if (i < 0 || i >= parts->digits)
		return 0;
	memcpy(&digit, parts->digit_bytes + i * sizeof(digit), sizeof(digit));
	return digit;
}

/*
 * Decimals that a finite numeric is shown with.  The argument may have a short
 * varlena header.
 */
int
fixed_numeric_scale(Numeric number)
{
	uint16		header;

	memcpy(&header, VARDATA_ANY(number), sizeof(header));
	if ((header & NUMERIC_SIGN_BITS) == NUMERIC_FORM_SHORT)
		return (header & NUMERIC_SHORT_DSCALE_BITS) >> NUMERIC_SHORT_DSCALE_SHIFT;
	return header & NUMERIC_LONG_DSCALE_BITS;
}

/*
 * Converts a numeric, rounded half to even at 15 decimals; *exact tells
 * whether nothing was rounded away.  Returns false for NaN, the infinities and
 * values outside ±FIXED_MAX.  The argument may have a short varlena header.
 *
 * Digit number weight + 3 stands for 10^-12 units and the next one for 10^-16,
 * one decimal too many: its last decimal is what rounding looks at.
 */
bool
fixed_from_numeric(Numeric number, Fixed *result, bool *exact)
{
	NumericParts parts;
	uint128		value = 0;
	int			last;
	int			split;
	bool		rest;

	if (!fixed_numeric_parts(number, &parts))
		return false;
	if (parts.digits > 0 && parts.weight > NUMERIC_MAX_WEIGHT)
		return false;
	last = parts.weight + 3;
	for (int i = 0; i <= last; i++)
		value = value * NUMERIC_BASE + fixed_numeric_digit(&parts, i);
	split = fixed_numeric_digit(&parts, last + 1);
	if (value > (uint128) FIXED_MAX / 1000)
		return false;
	value = value * 1000 + split / 10;

	/* digits beyond that one can only break a tie */
	rest = last + 2 < parts.digits;
	*exact = split % 10 == 0 && !rest;
	if (split % 10 > 5 || (split % 10 == 5 && (rest || (value & 1) != 0)))
		value++;
	if (value > (uint128) FIXED_MAX)
		return false;
	*result = parts.negative ? -(Fixed) value : (Fixed) value;
	return true;
}

/*
 * Writes the base-10000 digits of an unsigned number below 10^(4 * count).
 */
static void
fixed_put_digits(uint64 value, int count, int16 *digits)
{
	for (int i = count - 1; i >= 0; i--)
	{
		digits[i] = (int16) (value % NUMERIC_BASE);
		value /= NUMERIC_BASE;
	}
}

/*
 * Decimals that a fraction of 16 decimals needs.
 */
static int
fixed_needed_decimals(uint64 fraction)
{
	int			decimals = 16;

	if (fraction == 0)
		return 0;
	while (fraction % 10 == 0)
	{
		fraction /= 10;
		decimals--;
	}
	return decimals;
}

/*
 * Converts to numeric with as many decimals as the value needs.
 */
Numeric
fixed_to_numeric(Fixed value)
{
	return fixed_to_numeric_padded(value, 0);
}

/*
 * Converts to numeric with as many decimals as the value needs, but at least
 * min_decimals, which must not exceed FIXED_SCALE.  The short header always
 * suffices.
 */
Numeric
fixed_to_numeric_padded(Fixed value, int min_decimals)
{
	uint128		magnitude = fixed_magnitude(value);
	uint128		integer = magnitude / (uint128) FIXED_ONE;
	uint64		fraction = (uint64) (magnitude % (uint128) FIXED_ONE) * 10;
	int16		digits[NUMERIC_MAX_DIGITS];
	int			first = 0;
	int			end = NUMERIC_MAX_DIGITS;
	int			weight = NUMERIC_MAX_WEIGHT;
	uint16		header = NUMERIC_FORM_SHORT;
	Size		size;
	Numeric		result;

	fixed_put_digits((uint64) (integer / TEN_TO_16), 2, digits);
	fixed_put_digits((uint64) (integer % TEN_TO_16), 4, digits + 2);
	fixed_put_digits(fraction, 4, digits + 6);
	while (first < end && digits[first] == 0)
		first++;
	while (end > first && digits[end - 1] == 0)
		end--;
	weight = first == end ? 0 : weight - first;

	header |= Max(fixed_needed_decimals(fraction), min_decimals) << NUMERIC_SHORT_DSCALE_SHIFT;
	header |= weight & NUMERIC_SHORT_WEIGHT_BITS;
	if (weight < 0)
		header |= NUMERIC_SHORT_WEIGHT_SIGN;
	if (value < 0)
		header |= NUMERIC_SHORT_NEGATIVE;

	size = VARHDRSZ + sizeof(header) + (end - first) * sizeof(int16);
	result = (Numeric) palloc(size);
	SET_VARSIZE(result, size);
	memcpy(VARDATA(result), &header, sizeof(header));
	memcpy(VARDATA(result) + sizeof(header), digits + first, (end - first) * sizeof(int16));
	return result;
}

/* ---- text ----------------------------------------------------------- */

/*
 * Reads an optional exponent, which must reach to the end of the text.
 * Exponents that no Fixed can have are capped.
 */
static bool
fixed_parse_exponent(const char *at, const char *end, int *exponent)
{
	bool		negative = false;
	int			value = 0;

	*exponent = 0;
	if (at == end)
		return true;
	if (*at != 'e' && *at != 'E')
		return false;
	at++;
	if (at < end && (*at == '+' || *at == '-'))
		negative = *at++ == '-';
	if (at == end)
		return false;
	for (; at < end; at++)
	{
		if (*at < '0' || *at > '9')
			return false;
		value = Min(value * 10 + (*at - '0'), 1000000);
	}
	*exponent = negative ? -value : value;
	return true;
}

/*
 * Builds the value of a run of digits, one of them perhaps a point, of which
 * the first "kept" count; fewer digits than that are filled up with zeros.
 * What is not kept is rounded half to even.
 */
static FixedParseResult
fixed_parse_digits(const char *at, const char *end, int64 kept, Fixed *result, bool *exact)
{
	uint128		value = 0;
	int			next = 0;		/* first digit not kept */
	bool		rest = false;

	for (; at < end; at++)
	{
		int			digit = *at - '0';

		if (*at == '.')
			continue;
		if (kept > 0)
		{
			if (value > (uint128) FIXED_MAX / 10)
				return FIXED_PARSE_OUT_OF_RANGE;
			value = value * 10 + digit;
		}
		else if (kept == 0)
			next = digit;
		else if (digit != 0)
			rest = true;
		kept--;
	}
	for (; kept > 0 && value != 0; kept--)
	{
		if (value > (uint128) FIXED_MAX / 10)
			return FIXED_PARSE_OUT_OF_RANGE;
		value *= 10;
	}
	*exact = next == 0 && !rest;
	if (next > 5 || (next == 5 && (rest || (value & 1) != 0)))
		value++;
	if (value > (uint128) FIXED_MAX)
		return FIXED_PARSE_OUT_OF_RANGE;
	*result = (Fixed) value;
	return FIXED_PARSE_OK;
}

/*
 * Reads a decimal number that takes up the whole of a text: sign, digits with
 * an optional point, optional exponent, no blanks.  Rounded half to even at 15
 * decimals; *exact tells whether nothing was rounded away.
 */
FixedParseResult
fixed_parse(const char *text, size_t length, Fixed *result, bool *exact)
{
	const char *at = text;
	const char *end = text + length;
	const char *digits;
	int64		integer_digits = 0;
	int			digit_count = 0;
	bool		point = false;
	bool		negative = false;
	int			exponent;
	FixedParseResult outcome;

	if (at < end && (*at == '+' || *at == '-'))
		negative = *at++ == '-';
	for (digits = at; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !point)); at++)
	{
		if (*at == '.')
			point = true;
		else
		{
			digit_count++;
			integer_digits += !point;
		}
	}
	if (digit_count == 0 || !fixed_parse_exponent(at, end, &exponent))
		return FIXED_PARSE_SYNTAX;
	outcome = fixed_parse_digits(digits, at, integer_digits + exponent + FIXED_SCALE, result, exact);
	if (negative && outcome == FIXED_PARSE_OK)
		*result = -*result;
	return outcome;
}

/*
 * Writes a value with as many decimals as it needs, at least min_decimals (at
 * most FIXED_SCALE).  The buffer has FIXED_TEXT_SIZE bytes.  Returns the length.
 */
int
fixed_format(Fixed value, int min_decimals, char *buffer)
{
	uint128		magnitude = fixed_magnitude(value);
	char		digits[FIXED_TEXT_SIZE];
	int			at = 0;
	int			decimals = FIXED_SCALE;
	int			length = 0;

	/* digits come out last first */
	while (magnitude != 0 || at <= FIXED_SCALE)
	{
		uint64		chunk = (uint64) (magnitude % (uint128) FIXED_ONE);

		magnitude /= (uint128) FIXED_ONE;
		for (int i = 0; i < FIXED_SCALE && (chunk != 0 || magnitude != 0 || at <= FIXED_SCALE); i++)
		{
			digits[at++] = (char) ('0' + chunk % 10);
			chunk /= 10;
		}
	}
	while (decimals > min_decimals && digits[FIXED_SCALE - decimals] == '0')
		decimals--;
	if (value < 0)
		buffer[length++] = '-';
	while (at > FIXED_SCALE)
		buffer[length++] = digits[--at];
	if (decimals > 0)
		buffer[length++] = '.';
	for (int i = 0; i < decimals; i++)
		buffer[length++] = digits[--at];
	buffer[length] = '\0';
	return length;
}

/* ---- products and quotients ----------------------------------------- */

/*
 * Product of two 128-bit magnitudes in four limbs.
 */
static inline void
fixed_multiply_wide(uint128 a, uint128 b, uint64 *limb)
{
	uint64		a_low = (uint64) a;
	uint64		a_high = (uint64) (a >> 64);
	uint64		b_low = (uint64) b;
	uint64		b_high = (uint64) (b >> 64);
	uint128		low = (uint128) a_low * b_low;
	uint128		middle;
	uint128		cross;
	uint128		high;

	if ((a_high | b_high) == 0)
	{
		limb[0] = (uint64) low;
		limb[1] = (uint64) (low >> 64);
		limb[2] = limb[3] = 0;
		return;
	}
	middle = (uint128) a_high * b_low + (uint64) (low >> 64);
	cross = (uint128) a_low * b_high + (uint64) middle;
	high = (uint128) a_high * b_high + (uint64) (middle >> 64) + (uint64) (cross >> 64);
	limb[0] = (uint64) low;
	limb[1] = (uint64) cross;
	limb[2] = (uint64) high;
	limb[3] = (uint64) (high >> 64);
}

/*
 * Divides four limbs by a 64-bit number, in place; returns the remainder.
 */
static inline uint64
fixed_divide_short(uint64 *limb, uint64 divisor)
{
	uint128		rest = 0;

	for (int i = 3; i >= 0; i--)
	{
		rest = rest << 64 | limb[i];
		if (rest < divisor)
		{
			limb[i] = 0;
			continue;
		}
		limb[i] = (uint64) (rest / divisor);
		rest -= (uint128) limb[i] * divisor;
	}
	return (uint64) rest;
}

/*
 * Divides four limbs by a number below 2^127, in place, one bit at a time;
 * returns the remainder.
 */
static uint128
fixed_divide_long(uint64 *limb, uint128 divisor)
{
	uint128		rest = 0;

	for (int i = 255; i >= 0; i--)
	{
		int			word = i / 64;
		int			bit = i % 64;

		rest = rest << 1 | (limb[word] >> bit & 1);
		limb[word] &= ~(UINT64CONST(1) << bit);
		if (rest >= divisor)
		{
			rest -= divisor;
			limb[word] |= UINT64CONST(1) << bit;
		}
	}
	return rest;
}

/*
 * Divides four limbs by a number from 1 to FIXED_MAX, in place; returns the
 * remainder.
 */
static inline uint128
fixed_divide_wide(uint64 *limb, uint128 divisor)
{
	uint128		low = (uint128) limb[1] << 64 | limb[0];
	uint128		quotient;

	if (divisor >> 64 == 0)
		return fixed_divide_short(limb, (uint64) divisor);
	if ((limb[2] | limb[3]) != 0)
		return fixed_divide_long(limb, divisor);
	quotient = low / divisor;
	limb[0] = (uint64) quotient;
	limb[1] = (uint64) (quotient >> 64);
	return low - quotient * divisor;
}

/*
 * a * b / c of magnitudes, with the product exact.  The caller knows that c is
 * from 1 to FIXED_MAX and that the quotient fits.
 */
void
fixed_mul_divmod(uint128 a, uint128 b, uint128 c, uint128 *quotient, uint128 *remainder)
{
	uint64		limb[4];

	fixed_multiply_wide(a, b, limb);
	*remainder = fixed_divide_wide(limb, c);
	Assert((limb[2] | limb[3]) == 0);
	*quotient = (uint128) limb[1] << 64 | limb[0];
}

/*
 * a * b / c as integers: the product exact, the quotient rounded once.
 * Returns false on overflow and when c is 0.
 */
bool
fixed_mul_div(Fixed a, Fixed b, Fixed c, FixedRounding rounding, Fixed *result)
{
	uint64		limb[4];
	uint128		divisor = fixed_magnitude(c);
	uint128		remainder;

	if (c == 0)
		return false;
	fixed_multiply_wide(fixed_magnitude(a), fixed_magnitude(b), limb);
	remainder = fixed_divide_wide(limb, divisor);
	if ((limb[2] | limb[3]) != 0)
		return false;
	return fixed_finish((uint128) limb[1] << 64 | limb[0], remainder, divisor,
						(a < 0) ^ (b < 0) ^ (c < 0), rounding, result);
}

/*
 * Product of two Fixed, rounded once, half to even.  False on overflow.
 */
bool
fixed_mul_round(Fixed a, Fixed b, Fixed *result)
{
	return fixed_mul_div(a, b, FIXED_ONE, FIXED_ROUND_HALF_EVEN, result);
}

/*
 * Rounds to a multiple of a positive quantum.  False on overflow.
 */
bool
fixed_round_to(Fixed value, Fixed quantum, FixedRounding rounding, Fixed *result)
{
	uint128		magnitude = fixed_magnitude(value);
	uint128		remainder = magnitude % (uint128) quantum;
	Fixed		count;

	if (!fixed_finish(magnitude / (uint128) quantum, remainder, (uint128) quantum,
					  value < 0, rounding, &count))
		return false;
	if (fixed_magnitude(count) > (uint128) FIXED_MAX / (uint128) quantum)
		return false;
	*result = count * quantum;
	return true;
}

/* ---- exact sums of products ------------------------------------------ */

/*
 * Sets a sum to 0.
 */
void
fixed256_zero(Fixed256 *sum)
{
	memset(sum, 0, sizeof(*sum));
}

/*
 * Replaces a 256-bit number by its negative.
 */
static inline void
fixed256_negate(uint64 *limb)
{
	uint128		carry = 1;

	for (int i = 0; i < 4; i++)
	{
		carry += (uint64) ~limb[i];
		limb[i] = (uint64) carry;
		carry >>= 64;
	}
}

/*
 * Adds the exact product of two Fixed.  Returns false when the sum leaves the
 * 256-bit range.
 */
bool
fixed256_add_product(Fixed256 *sum, Fixed a, Fixed b)
{
	uint64		product[4];
	uint64		sign_before = sum->limb[3] >> 63;
	uint128		carry = 0;

	fixed_multiply_wide(fixed_magnitude(a), fixed_magnitude(b), product);
	if ((a < 0) != (b < 0))
		fixed256_negate(product);
	for (int i = 0; i < 4; i++)
	{
		carry += (uint128) sum->limb[i] + product[i];
		sum->limb[i] = (uint64) carry;
		carry >>= 64;
	}
	return sign_before != product[3] >> 63 || sum->limb[3] >> 63 == sign_before;
}

/*
 * Adds a Fixed.  Returns false when the sum leaves the 256-bit range.
 */
bool
fixed256_add(Fixed256 *sum, Fixed value)
{
	return fixed256_add_product(sum, value, FIXED_ONE);
}

/*
 * The sum at 15 decimals, rounded once, half to even.  False on overflow.
 */
bool
fixed256_round(const Fixed256 *sum, Fixed *result)
{
	uint64		limb[4];
	bool		negative = sum->limb[3] >> 63 != 0;
	uint64		remainder;

	memcpy(limb, sum->limb, sizeof(limb));
	if (negative)
		fixed256_negate(limb);
	remainder = fixed_divide_short(limb, (uint64) FIXED_ONE);
	if ((limb[2] | limb[3]) != 0)
		return false;
	return fixed_finish((uint128) limb[1] << 64 | limb[0], remainder, (uint128) FIXED_ONE,
						negative, FIXED_ROUND_HALF_EVEN, result);
}
