/*-------------------------------------------------------------------------
 *
 * usage_interval.h
 *	  The type usage_interval: a quantity that was used over a span of time.
 *
 * The span is half-open, [start, end), in microseconds; a value whose start
 * and end are equal is a point in time.  The quantity is additive and, inside
 * the span, spread evenly.  Values are canonical: equal values have equal
 * bytes, so that equality, hashing and index deduplication work on images.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_USAGE_INTERVAL_H
#define BILLING_USAGE_INTERVAL_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/rangetypes.h"

#include "module/server_version.h"
#include "monetary/fixed.h"

/*
 * On disk and in memory.  The quantity is a Fixed in two halves: the type is
 * aligned to 8 bytes, and an int128 in its place would have to be at 16.
 */
typedef struct UsageInterval
{
	TimestampTz start;
	TimestampTz end;
	uint64		quantity_halves[2];
} UsageInterval;

StaticAssertDecl(sizeof(UsageInterval) == 32, "usage_interval has 32 bytes without padding");

#define DatumGetUsageIntervalP(datum) ((UsageInterval *) DatumGetPointer(datum))
#define PG_GETARG_USAGE_INTERVAL_P(n) DatumGetUsageIntervalP(PG_GETARG_DATUM(n))
#define PG_RETURN_USAGE_INTERVAL_P(value) PG_RETURN_POINTER(value)

/* Bounds of an unbounded span; every finite instant lies between them. */
#define SPAN_UNBOUNDED_START PG_INT64_MIN
#define SPAN_UNBOUNDED_END PG_INT64_MAX

/* Room for the text of one instant or of a whole value. */
#define INSTANT_TEXT_SIZE 64
#define USAGE_INTERVAL_TEXT_SIZE (2 * INSTANT_TEXT_SIZE + FIXED_TEXT_SIZE + 8)

static inline Fixed
usage_interval_quantity(const UsageInterval *value)
{
	Fixed		quantity;

	memcpy(&quantity, value->quantity_halves, sizeof(quantity));
	return quantity;
}

static inline void
usage_interval_set_quantity(UsageInterval *value, Fixed quantity)
{
	memcpy(value->quantity_halves, &quantity, sizeof(quantity));
}

static inline bool
usage_interval_is_point(const UsageInterval *value)
{
	return value->start == value->end;
}

/* Microseconds from one instant to a later one; may exceed an int64. */
static inline uint64
elapsed_microseconds(TimestampTz from, TimestampTz until)
{
	return (uint64) until - (uint64) from;
}

/* construct.c */
extern UsageInterval *usage_interval_new(TimestampTz start, TimestampTz end, Fixed quantity);
extern bool usage_interval_check_bounds(TimestampTz start, TimestampTz end, Node *escontext);
extern Fixed usage_quantity_from_numeric(Numeric number);
pg_noreturn extern void usage_quantity_range_error(void);

/* text.c */
extern char *usage_interval_format_instant(TimestampTz instant, char *buffer);

/* compare.c */
extern int	usage_interval_compare(const UsageInterval *a, const UsageInterval *b);

/* span.c */
extern bool span_from_range(FunctionCallInfo fcinfo, RangeType *range,
							TimestampTz *from, TimestampTz *until);

/* clip.c */
extern Fixed usage_interval_cumulative(const UsageInterval *value, TimestampTz until);
extern const UsageInterval *usage_interval_clip(const UsageInterval *value,
												TimestampTz from, TimestampTz until,
												UsageInterval *room);

#endif							/* BILLING_USAGE_INTERVAL_H */
