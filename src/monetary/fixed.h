/*-------------------------------------------------------------------------
 *
 * fixed.h
 *	  Exact decimal arithmetic at 15 decimals in 128-bit integers.
 *
 * A Fixed is a number of 10^-15 units.  Amounts, prices and quantities are
 * computed in it: canonical (one value, one representation), without
 * allocation, and never through binary floating point.  A product of two is
 * formed in 256 bits and rounded once.
 *
 * Functions that can overflow return false and leave the result undefined;
 * their callers know what to name in the error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_FIXED_H
#define BILLING_FIXED_H

#include "utils/numeric.h"

#include "module/server_version.h"

#ifndef HAVE_INT128
#error "billing needs a compiler with 128-bit integers"
#endif

/* Always between -FIXED_MAX and FIXED_MAX. */
typedef int128 Fixed;

#define FIXED_SCALE 15
#define FIXED_ONE ((Fixed) INT64CONST(1000000000000000))
#define FIXED_MAX ((Fixed) ((((uint128) 1) << 127) - 1))

/* Room for a sign, 24 integer digits, the point, 15 decimals, the terminator. */
#define FIXED_TEXT_SIZE 48

/* How the last digit kept is chosen. */
typedef enum FixedRounding
{
	FIXED_ROUND_HALF_UP,		/* nearest, halves away from zero */
	FIXED_ROUND_HALF_EVEN,		/* nearest, halves to the even neighbour */
	FIXED_ROUND_UP,				/* away from zero */
	FIXED_ROUND_DOWN,			/* towards zero */
	FIXED_ROUND_CEILING,		/* towards positive infinity */
	FIXED_ROUND_FLOOR			/* towards negative infinity */
} FixedRounding;

typedef enum FixedParseResult
{
	FIXED_PARSE_OK,
	FIXED_PARSE_SYNTAX,
	FIXED_PARSE_OUT_OF_RANGE
} FixedParseResult;

/*
 * A signed 256-bit number of 10^-30 units: exact sums of products of Fixed.
 * Two's complement, least significant limb first; all zero is 0.
 */
typedef struct Fixed256
{
	uint64		limb[4];
} Fixed256;

/* A numeric argument that may stay in its short-header form: no copy is made. */
#define FIXED_GETARG_NUMERIC(n) ((Numeric) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(n)))

extern bool fixed_from_numeric(Numeric number, Fixed *result, bool *exact);
extern int	fixed_numeric_scale(Numeric number);
extern Numeric fixed_to_numeric(Fixed value);
extern Numeric fixed_to_numeric_padded(Fixed value, int min_decimals);
extern FixedParseResult fixed_parse(const char *text, size_t length, Fixed *result, bool *exact);
extern int	fixed_format(Fixed value, int min_decimals, char *buffer);
extern bool fixed_mul_div(Fixed a, Fixed b, Fixed c, FixedRounding rounding, Fixed *result);
extern void fixed_mul_divmod(uint128 a, uint128 b, uint128 c, uint128 *quotient, uint128 *remainder);
extern bool fixed_mul_round(Fixed a, Fixed b, Fixed *result);
extern bool fixed_round_to(Fixed value, Fixed quantum, FixedRounding rounding, Fixed *result);
extern Fixed fixed_power_of_ten(int exponent);

extern void fixed256_zero(Fixed256 *sum);
extern bool fixed256_add_product(Fixed256 *sum, Fixed a, Fixed b);
extern bool fixed256_add(Fixed256 *sum, Fixed value);
extern bool fixed256_round(const Fixed256 *sum, Fixed *result);

/* |value|; its own negative for no value, because -2^127 is not a Fixed. */
static inline uint128
fixed_magnitude(Fixed value)
{
	return value < 0 ? -(uint128) value : (uint128) value;
}

/* a + b, false on overflow */
static inline bool
fixed_add(Fixed a, Fixed b, Fixed *result)
{
	uint128		sum = (uint128) a + (uint128) b;

	*result = (Fixed) sum;
	/* both of one sign and the sum of the other, or the one value left out */
	return (((uint128) a ^ sum) & ((uint128) b ^ sum)) >> 127 == 0 &&
		sum != (uint128) 1 << 127;
}

/* a - b, false on overflow */
static inline bool
fixed_sub(Fixed a, Fixed b, Fixed *result)
{
	return fixed_add(a, -b, result);
}

#endif							/* BILLING_FIXED_H */
