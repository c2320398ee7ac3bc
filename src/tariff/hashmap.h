/*-------------------------------------------------------------------------
 *
 * hashmap.h
 *	  The stored form of price model "hashmap", and what its two ways of
 *	  pricing a point share.
 *
 * The body of such a tariff is described in model_hashmap.c, which reads it as
 * it lies; hashmap_site.c keeps it unpacked for a call site that rates many
 * points with one tariff.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_HASHMAP_H
#define BILLING_TARIFF_HASHMAP_H

#include "utils/jsonb.h"

#include "tariff/model.h"

/* Stored. */
#define RULE_FLAT 1
#define RULE_RATE 2

#define HASHMAP_MAX_SERVICES 1000
#define HASHMAP_MAX_FIELDS 32
#define HASHMAP_MAX_GROUPS 64
#define HASHMAP_MAX_RULES 50000

/* The field of a rule that has none. */
#define FIELD_SERVICE (-1)

/* A stored service. */
typedef struct Service
{
	const char *start;
	TariffText	name;
	uint8		field_count;
	uint8		group_count;
	TariffText	fields[HASHMAP_MAX_FIELDS];
	const char *offsets;		/* of groups, thresholds, then each field */
	const char *mappings;		/* those without a field */
} Service;

/* Positions in Service.offsets. */
enum
{
	PART_GROUPS, PART_THRESHOLDS, PART_FIELDS
};

/* A stored rule. */
typedef struct Rule
{
	uint8		group;
	uint8		type;
	TariffText	tenant;
	Number		cost;
} Rule;

/* A threshold and where it stands. */
typedef struct Threshold
{
	Number		level;
	int8		field;
	Rule		rule;
} Threshold;

/* Compare two byte strings, shorter first among equal beginnings. */
static inline int
compare_bytes(const char *a, int a_length, const char *b, int b_length)
{
	int			result = memcmp(a, b, Min(a_length, b_length));

	return result != 0 ? result : a_length - b_length;
}

/* How many services there are. */
static inline int
hashmap_count(const Tariff *tariff)
{
	uint16		count;

	memcpy(&count, tariff->body, sizeof(count));
	return count;
}

/* Where a service begins. */
static inline const char *
service_start(const Tariff *tariff, int index)
{
	uint32		offset;

	memcpy(&offset, tariff->body + sizeof(uint16) + index * sizeof(offset), sizeof(offset));
	return tariff->body + offset;
}

/* Find the parts of a service; nothing is copied. */
static inline void
service_open(const char *start, Service *service)
{
	const char *cursor = start;
	int			i;

	service->start = start;
	service->name = compiled_get_text(&cursor);
	compiled_get(&cursor, service->field_count);
	compiled_get(&cursor, service->group_count);
	for (i = 0; i < service->field_count; i++)
		service->fields[i] = compiled_get_text(&cursor);
	service->offsets = cursor;
	service->mappings = cursor + (PART_FIELDS + service->field_count) * sizeof(uint32);
}

/* Where a part of a service begins. */
static inline const char *
service_part(const Service *service, int part)
{
	uint32		offset;

	memcpy(&offset, service->offsets + part * sizeof(offset), sizeof(offset));
	return service->start + offset;
}

/* Read the next rule. */
static inline void
rule_get(const char **cursor, Rule *rule)
{
	compiled_get(cursor, rule->group);
	compiled_get(cursor, rule->type);
	rule->tenant = compiled_get_text(cursor);
	rule->cost = compiled_get_number(cursor);
}

/* Read the next threshold. */
static inline void
threshold_get(const char **cursor, Threshold *threshold)
{
	threshold->level = compiled_get_number(cursor);
	compiled_get(cursor, threshold->field);
	rule_get(cursor, &threshold->rule);
}

/* model_hashmap.c */
extern TariffText hashmap_value_text(const JsonbValue *value);
extern bool hashmap_field_number(TariffText field, const JsonbValue *value, Rating *rating, Number *number);

/* hashmap_site.c */
extern void *hashmap_unpack(const Tariff *tariff, MemoryContext context);
extern bool hashmap_site_price(const void *unpacked, Rating *rating, Number *amount, bool *priced);

#endif							/* BILLING_TARIFF_HASHMAP_H */
