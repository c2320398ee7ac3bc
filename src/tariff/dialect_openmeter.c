/*-------------------------------------------------------------------------
 *
 * dialect_openmeter.c
 *	  Bill lines as OpenMeter rounds them, and tariffs with rounding "detail".
 *
 * Every part of a price is a line of its own and is rounded; then its
 * percentage discount is rounded and taken off; then the lines are cut in
 * order at the rounded maximum; then the minimum adds the rounded difference.
 * Lines of 0 are left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/monetary.h"
#include "tariff/dialect.h"

/* A minimum or maximum for the part of the period, in 10^-15; false if none. */
static bool
detail_limit(const Tariff *tariff, Rating *rating, uint16 bit, Fixed *limit)
{
	Number		number;
	Number		fraction;

	if (!tariff_number(tariff, bit, &number) || !rating_fraction(rating, &fraction))
		return false;
	number = number_multiply(number, fraction);
	return number_to_fixed(&number, NULL, limit);
}

/* Take the rounded percentage discount off a rounded line. */
static Fixed
detail_discounted(const Tariff *tariff, Fixed line)
{
	Number		percent;
	Number		discount;
	Fixed		value;

	if (!tariff_number(tariff, TARIFF_HAS_DISCOUNT, &percent))
		return line;
	percent.scale += 2;
	discount = number_multiply(number_from_fixed(line), percent);
	if (!number_to_fixed(&discount, NULL, &value))
		return line;
	return line - dialect_round(tariff, value);
}

/* The lines of a rating whose steps were collected. */
void
detail_lines(const Tariff *tariff, Rating *rating, DialectLines *lines)
{
	Fixed		maximum = MONETARY_MAX;
	Fixed		minimum = 0;
	Fixed		total = 0;
	ListCell   *cell;

	lines->amounts = palloc(sizeof(Fixed) * (list_length(rating->steps->list) + 1));
	lines->count = 0;
	if (detail_limit(tariff, rating, TARIFF_HAS_MAXIMUM, &maximum))
		maximum = dialect_round(tariff, maximum);
	foreach(cell, rating->steps->list)
	{
		RatingStep *step = (RatingStep *) lfirst(cell);
		Fixed		line;

		if (step->kind != STEP_LINE)
			continue;
		line = detail_discounted(tariff, dialect_round(tariff, step->amount));
		line = Min(line, maximum - total);
		total += line;
		if (line != 0)
			lines->amounts[lines->count++] = line;
	}
	if (rating->complete && detail_limit(tariff, rating, TARIFF_HAS_MINIMUM, &minimum) &&
		minimum > total)
		lines->amounts[lines->count++] = dialect_round(tariff, minimum - total);
}

/* A volume price is not billed before its period is over. */
bool
openmeter_volume_waits(Rating *rating, Number *amount)
{
	*amount = number_zero();
	if (rating->steps)
		rating_note(rating, STEP_NOTE, *amount, "a volume price is not due before the period is over");
	return true;
}
