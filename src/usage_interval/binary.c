/*-------------------------------------------------------------------------
 *
 * binary.c
 *	  Binary form of the type usage_interval.
 *
 * 32 bytes, big-endian: start and end as microseconds since 2000-01-01 UTC,
 * like timestamptz, then the quantity in 10^-15 units as a 128-bit two's
 * complement number.  Any client can send any bytes, so that everything that
 * text input refuses is refused here too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/pqformat.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_recv);
PG_FUNCTION_INFO_V1(usage_interval_send);

/*
 * usage_interval_recv(internal) raises 22P03 for an instant that is infinite or
 * out of range, a start after the end and the one 128-bit number that is no
 * quantity, and 08P01 for too few bytes.
 */
Datum
usage_interval_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	UsageInterval *result = palloc(sizeof(UsageInterval));
	uint64		high;
	uint64		low;
	Fixed		quantity;

	result->start = pq_getmsgint64(message);
	result->end = pq_getmsgint64(message);
	high = (uint64) pq_getmsgint64(message);
	low = (uint64) pq_getmsgint64(message);
	quantity = (Fixed) ((uint128) high << 64 | low);

	if (!IS_VALID_TIMESTAMP(result->start) || !IS_VALID_TIMESTAMP(result->end))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("infinite or impossible instant in binary value for type %s", "usage_interval")));
	if (result->start > result->end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("start after end in binary value for type %s", "usage_interval")));
	if (quantity < -FIXED_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("quantity is out of range in binary value for type %s", "usage_interval")));
	usage_interval_set_quantity(result, quantity);
	PG_RETURN_USAGE_INTERVAL_P(result);
}

/*
 * usage_interval_send(usage_interval) puts the 32 bytes on the wire.
 */
Datum
usage_interval_send(PG_FUNCTION_ARGS)
{
	UsageInterval *value = PG_GETARG_USAGE_INTERVAL_P(0);
	uint128		quantity = (uint128) usage_interval_quantity(value);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint64(&message, value->start);
	pq_sendint64(&message, value->end);
	pq_sendint64(&message, (uint64) (quantity >> 64));
	pq_sendint64(&message, (uint64) quantity);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
