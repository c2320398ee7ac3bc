/*-------------------------------------------------------------------------
 *
 * usage_key.c
 *	  Identity of a fact, and the hash that tells a retry from a conflict.
 *
 * Both are kept for years and compared across servers: they are computed from
 * bytes in a fixed order and do not depend on the machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "metering/usage_fact.h"

/* Stands between source and id, so that "a" + "bc" is not "ab" + "c". */
static const uint8 separator = 1;

/*
 * The value of a hexadecimal digit, or -1.
 */
static inline int
usage_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Reads a UUID in its usual form of 8-4-4-4-12 hexadecimal digits; the other
 * spellings that the type uuid knows are ids like any other.
 */
static bool
usage_key_from_uuid(UsageText id, pg_uuid_t *key)
{
	int			at = 0;

	if (id.length != 36)
		return false;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			high;
		int			low;

		if (at == 8 || at == 13 || at == 18 || at == 23)
			if (id.data[at++] != '-')
				return false;
		high = usage_hex_value(id.data[at++]);
		low = usage_hex_value(id.data[at++]);
		if (high < 0 || low < 0)
			return false;
		key->data[i] = (unsigned char) (high << 4 | low);
	}
	return true;
}

/*
 * The first 128 bits of sha256(source || 0x01 || id).
 */
static void
usage_key_hashed(UsageText source, UsageText id, pg_uuid_t *key)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	if (pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) source.data, source.length) < 0 ||
		pg_cryptohash_update(context, &separator, 1) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) id.data, id.length) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-256: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);
	memcpy(key->data, digest, UUID_LEN);
}

/*
 * The key of an id as its source gave it.  A UUID without a source is its own
 * key: it is unique already, and time-ordered ones keep inserts local.
 */
void
usage_key_compute(UsageText source, UsageText id, pg_uuid_t *key)
{
	if (source.data == NULL)
		source.data = "";
	if (source.length == 0 && usage_key_from_uuid(id, key))
		return;
	usage_key_hashed(source, id, key);
}

/* ---- the payload ------------------------------------------------------- */

/*
 * The lowest bits of a payload are the month in which the fact ends, so that
 * its rows are found without a look into every partition: a column of its own
 * would cost eight bytes a key.  The bits above are the hash.
 */
#define PAYLOAD_MONTH_BITS	12
#define PAYLOAD_MONTH_MASK	((UINT64CONST(1) << PAYLOAD_MONTH_BITS) - 1)
#define PAYLOAD_FIRST_YEAR	1970

/*
 * Adds a word to a 64-bit hash: the finaliser of SplitMix64, in which every
 * bit of the input reaches every bit of the result.
 */
static inline uint64
payload_add(uint64 hash, uint64 word)
{
	hash = (hash ^ word) + UINT64CONST(0x9e3779b97f4a7c15);
	hash = (hash ^ (hash >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	hash = (hash ^ (hash >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return hash ^ (hash >> 31);
}

/*
 * Adds bytes, eight to a word, least significant first on every machine; the
 * length goes first, so that neighbouring strings cannot flow into each other.
 */
static uint64
payload_add_bytes(uint64 hash, const char *data, int length)
{
	hash = payload_add(hash, (uint64) length);
	for (int at = 0; at < length; at += 8)
	{
		uint64		word = 0;

		for (int i = Min(8, length - at) - 1; i >= 0; i--)
			word = word << 8 | (unsigned char) data[at + i];
		hash = payload_add(hash, word);
	}
	return hash;
}

static uint64
payload_add_fixed(uint64 hash, Fixed value)
{
	hash = payload_add(hash, (uint64) (uint128) value);
	return payload_add(hash, (uint64) ((uint128) value >> 64));
}

/*
 * Adds one value of the dimensions.  Numbers count by value: 1.0 is 1.
 */
static uint64
payload_add_dimension(uint64 hash, const JsonbValue *value)
{
	Fixed		number = 0;
	bool		exact;

	hash = payload_add(hash, (uint64) value->type);
	switch (value->type)
	{
		case jbvString:
			return payload_add_bytes(hash, value->val.string.val, value->val.string.len);
		case jbvNumeric:
			(void) fixed_from_numeric(value->val.numeric, &number, &exact);
			return payload_add_fixed(hash, number);
		case jbvBool:
			return payload_add(hash, value->val.boolean ? 1 : 0);
		default:
			return hash;
	}
}

/*
 * Adds dimensions, whose members jsonb keeps in one order.  Those that
 * usage_check_dimensions() refuses do not come here.
 */
static uint64
payload_add_dimensions(uint64 hash, Jsonb *dimensions)
{
	JsonbIterator *iterator = JsonbIteratorInit(&dimensions->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			hash = payload_add_bytes(hash, value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			hash = payload_add_dimension(hash, &value);
	}
	return hash;
}

/*
 * Months from January 1970 to the one of an instant; raises outside the years
 * that usage may have, give or take an offset from UTC.
 */
static int
payload_months(TimestampTz instant)
{
	int			year;
	int			month;
	int			day;

	j2date(usage_utc_day(instant) + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (year < USAGE_FIRST_YEAR - 1 || year > USAGE_LAST_YEAR + 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("usage at %s is out of range", timestamptz_to_str(instant)),
				 errhint("Usage is recorded for the years %d to %d.", USAGE_FIRST_YEAR, USAGE_LAST_YEAR)));
	return (year - PAYLOAD_FIRST_YEAR) * MONTHS_PER_YEAR + month - 1;
}

/*
 * A hash with the month of an interval's end in place of its lowest bits.
 */
static int64
payload_in_month(uint64 hash, const UsageInterval *consumed)
{
	if (consumed->start != consumed->end)
		(void) payload_months(consumed->start);
	if (consumed->end - consumed->start > USAGE_LONGEST)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("usage from %s on is longer than ten years", timestamptz_to_str(consumed->start))));
	return (int64) ((hash & ~PAYLOAD_MONTH_MASK) | (uint64) payload_months(consumed->end));
}

/*
 * Hash of what a fact says, with its month.  An absent resource differs from
 * every present one; empty dimensions are absent ones.
 */
int64
usage_payload_compute(int32 meter_id, const UsageInterval *consumed, UsageText resource, Jsonb *dimensions)
{
	uint64		hash = payload_add(0, (uint64) (uint32) meter_id);

	hash = payload_add(hash, (uint64) consumed->start);
	hash = payload_add(hash, (uint64) consumed->end);
	hash = payload_add_fixed(hash, usage_interval_quantity(consumed));
	if (resource.data != NULL)
		hash = payload_add_bytes(hash, resource.data, resource.length);
	if (dimensions != NULL && JB_ROOT_COUNT(dimensions) > 0)
		hash = payload_add_dimensions(payload_add(hash, 1), dimensions);
	return payload_in_month(hash, consumed);
}

PG_FUNCTION_INFO_V1(usage_payload);
PG_FUNCTION_INFO_V1(usage_payload_moved);
PG_FUNCTION_INFO_V1(usage_payload_month);
PG_FUNCTION_INFO_V1(usage_payload_same);

/*
 * usage_payload(meter_id int, consumed usage_interval, resource text,
 * dimensions jsonb); null for a null meter or interval.
 */
Datum
usage_payload(PG_FUNCTION_ARGS)
{
	UsageText	resource = {NULL, 0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
	{
		text	   *argument = PG_GETARG_TEXT_PP(2);

		resource.data = VARDATA_ANY(argument);
		resource.length = VARSIZE_ANY_EXHDR(argument);
	}
	PG_RETURN_INT64(usage_payload_compute(PG_GETARG_INT32(0), PG_GETARG_USAGE_INTERVAL_P(1), resource,
										  PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3)));
}

/*
 * usage_payload_moved(payload int8, consumed usage_interval): the same hash with
 * the month of another interval, for a fact whose time was corrected.
 */
Datum
usage_payload_moved(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(payload_in_month((uint64) PG_GETARG_INT64(0), PG_GETARG_USAGE_INTERVAL_P(1)));
}

/*
 * usage_payload_month(payload int8): first day of its month in UTC.
 */
Datum
usage_payload_month(PG_FUNCTION_ARGS)
{
	int			months = (int) ((uint64) PG_GETARG_INT64(0) & PAYLOAD_MONTH_MASK);

	PG_RETURN_DATEADT(date2j(PAYLOAD_FIRST_YEAR + months / MONTHS_PER_YEAR, months % MONTHS_PER_YEAR + 1, 1) - POSTGRES_EPOCH_JDATE);
}

/*
 * usage_payload_same(int8, int8): whether the hashes agree, whatever the months.
 */
Datum
usage_payload_same(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL((((uint64) PG_GETARG_INT64(0) ^ (uint64) PG_GETARG_INT64(1)) & ~PAYLOAD_MONTH_MASK) == 0);
}
