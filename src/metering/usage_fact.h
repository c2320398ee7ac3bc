/*-------------------------------------------------------------------------
 *
 * usage_fact.h
 *	  One fact of usage on its way in: what the caller wrote, and what is
 *	  wrong with it.
 *
 * Recording never raises for the content of a row.  Each check below returns
 * false and, when the caller asks for words, says which rule was broken, so
 * that the row can be kept aside with the reason while its neighbours go in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_USAGE_FACT_H
#define BILLING_USAGE_FACT_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "monetary/fixed.h"
#include "usage_interval/usage_interval.h"

/* Longest identifier, in bytes: indexes on names must be able to hold it. */
#define USAGE_NAME_SIZE 1000

/* Largest dimensions, in bytes of jsonb. */
#define USAGE_DIMENSIONS_SIZE 8192

/* Longest interval of one fact: ten years. */
#define USAGE_LONGEST (INT64CONST(3653) * USECS_PER_DAY)

/* A string of the input that is not terminated; data is NULL when absent. */
typedef struct UsageText
{
	const char *data;
	int			length;
} UsageText;

/* Which rule a row breaks: a stable word, and a sentence for people. */
typedef struct UsageProblem
{
	const char *reason;
	char	   *detail;
} UsageProblem;

/* What a sound object says.  Strings point into the object. */
typedef struct UsageFact
{
	UsageText	id;
	UsageText	account;
	UsageText	meter;
	UsageText	resource;
	UsageText	sample_type;
	pg_uuid_t  *key;
	UsageInterval *consumed;
	Jsonb	   *dimensions;		/* NULL: none */
} UsageFact;

/* usage_fact.c */
extern bool usage_problem(UsageProblem *problem, const char *reason, const char *format,...) pg_attribute_printf(3, 4);
extern char *usage_quote(UsageText text);
extern bool usage_check_name(UsageText name, const char *member, bool required, UsageProblem *problem);
extern bool usage_read_quantity(UsageText text, Fixed *quantity, UsageProblem *problem);
extern bool usage_read_number(Numeric number, Fixed *quantity, UsageProblem *problem);
extern bool usage_read_span(UsageText starts_at, UsageText ends_at, UsageInterval *consumed, UsageProblem *problem);
extern bool usage_check_dimensions(Jsonb *dimensions, UsageProblem *problem);

/* usage_time.c */

/* Usage of other years is a mistake. */
#define USAGE_FIRST_YEAR 1990
#define USAGE_LAST_YEAR 2200

typedef enum UsageTimeResult
{
	USAGE_TIME_OK,
	USAGE_TIME_SYNTAX,
	USAGE_TIME_NO_ZONE,
	USAGE_TIME_YEAR
} UsageTimeResult;

/*
 * The day of an instant in UTC, counted as type date counts.
 */
static inline int
usage_utc_day(TimestampTz instant)
{
	return (int) (instant / USECS_PER_DAY) - (instant % USECS_PER_DAY < 0);
}

extern UsageTimeResult usage_time_parse(const char *text, int length, TimestampTz *result);

/* usage_key.c */
extern void usage_key_compute(UsageText source, UsageText id, pg_uuid_t *key);
extern int64 usage_payload_compute(int32 meter_id, const UsageInterval *consumed, UsageText resource, Jsonb *dimensions);

/* usage_json.c */
extern bool usage_read_object(Jsonb *input, UsageFact *fact);

#endif							/* BILLING_USAGE_FACT_H */
