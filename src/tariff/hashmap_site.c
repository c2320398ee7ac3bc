/*-------------------------------------------------------------------------
 *
 * hashmap_site.c
 *	  Price model "hashmap" for a call site that rates many points.
 *
 * The same rules as in model_hashmap.c, which is the reference, read from an
 * unpacked form: the values of a field are found by hashing, costs and levels
 * are numbers already, and the dimensions of a point are gone through once.
 * Texts stay where they are, in the bytes of the tariff.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "module/server_version.h"
#include "tariff/hashmap.h"

/* A run of rules that belong to one value. */
typedef struct RuleRun
{
	const Rule *rules;
	int			count;
} RuleRun;

/* One value of a field, in a table with open addressing. */
typedef struct SiteValue
{
	uint64		hash;
	TariffText	text;			/* data NULL: free */
	RuleRun		run;
} SiteValue;

typedef struct SiteField
{
	TariffText	name;
	uint64		mask;			/* size of the table less 1 */
	SiteValue  *values;			/* NULL when there are none */
} SiteField;

/* The thresholds of one group, highest first. */
typedef struct SiteGroup
{
	int			count;
	Threshold  *thresholds;
} SiteGroup;

typedef struct SiteService
{
	TariffText	name;
	int			field_count;
	int			group_count;
	bool		names_tenant;
	RuleRun		run;			/* mappings without a field */
	SiteField  *fields;
	SiteGroup  *groups;
} SiteService;

typedef struct Site
{
	int			count;
	SiteService services[FLEXIBLE_ARRAY_MEMBER];
} Site;

/* A point with more dimensions than this is left to model_hashmap.c. */
#define SITE_MAX_KEYS 24

/* Bytes of a datum with a short header, at most. */
#define SITE_SHORT_SIZE 128

/* The dimensions of a point, in the order of jsonb. */
typedef struct SitePoint
{
	int			count;
	const char *base;			/* of keys and values */
	TariffText	keys[SITE_MAX_KEYS];
	JEntry		entries[SITE_MAX_KEYS]; /* of the values */
	uint32		offsets[SITE_MAX_KEYS];
	uint32		lengths[SITE_MAX_KEYS];
	TariffText	tenant;
	int64		buffer[SITE_SHORT_SIZE / sizeof(int64)];	/* for alignment */
} SitePoint;

/* What one group has come to. */
typedef struct SiteTotal
{
	Number		flat;			/* above 0, if has_flat */
	Number		rate;
	bool		has_flat;
	bool		has_rate;
} SiteTotal;

/* A value found in a point. */
typedef struct SiteFound
{
	bool		found;
	bool		has_number;
	JsonbValue	value;
	Number		number;
} SiteFound;

static const uint64 hash_factor = UINT64CONST(0x9E3779B97F4A7C15);

/* Hash a text. */
static inline uint64
text_hash(TariffText text)
{
	uint64		hash = text.length * hash_factor;
	const char *data = text.data;
	int			rest = text.length;
	uint64		part;

	for (; rest >= 8; rest -= 8, data += 8)
	{
		memcpy(&part, data, sizeof(part));
		hash = (hash ^ part) * hash_factor;
		hash ^= hash >> 32;
	}
	for (part = 0; rest > 0; rest--)
		part = part << 8 | (uint8) data[rest - 1];
	hash = (hash ^ part) * hash_factor;
	return hash ^ hash >> 32;
}

static inline bool
text_equal(TariffText a, TariffText b)
{
	return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

/* Unpack the next run of rules. */
static RuleRun
run_unpack(const char **cursor, SiteService *service)
{
	RuleRun		run;
	Rule	   *rules;
	uint32		count;
	uint32		i;

	compiled_get(cursor, count);
	rules = palloc(sizeof(Rule) * Max(count, 1));
	for (i = 0; i < count; i++)
	{
		rule_get(cursor, &rules[i]);
		service->names_tenant |= rules[i].tenant.length > 0;
	}
	run.rules = rules;
	run.count = count;
	return run;
}

/* Unpack the values of a field into a table at most half full. */
static void
field_unpack(const Service *stored, int index, SiteService *service, SiteField *field)
{
	const char *cursor = service_part(stored, PART_FIELDS + index);
	uint64		size = 2;
	uint32		count;

	field->name = stored->fields[index];
	field->values = NULL;
	compiled_get(&cursor, count);
	if (count == 0)
		return;
	while (size < 2 * (uint64) count)
		size *= 2;
	field->mask = size - 1;
	field->values = palloc0(sizeof(SiteValue) * size);
	for (cursor += count * sizeof(uint32); count > 0; count--)
	{
		TariffText	text = compiled_get_text(&cursor);
		uint64		hash = text_hash(text);
		uint64		place = hash & field->mask;

		while (field->values[place].text.data != NULL)
			place = (place + 1) & field->mask;
		field->values[place].hash = hash;
		field->values[place].text = text;
		field->values[place].run = run_unpack(&cursor, service);
	}
}

/* Unpack the thresholds of the next group. */
static void
group_unpack(const char **cursor, SiteService *service, SiteGroup *group)
{
	uint32		count;
	uint32		i;

	compiled_get(cursor, count);
	group->count = count;
	group->thresholds = palloc(sizeof(Threshold) * Max(count, 1));
	for (i = 0; i < count; i++)
	{
		threshold_get(cursor, &group->thresholds[i]);
		service->names_tenant |= group->thresholds[i].rule.tenant.length > 0;
	}
}

/* Unpack one service. */
static void
service_unpack(const char *start, SiteService *service)
{
	Service		stored;
	const char *cursor;
	int			i;

	service_open(start, &stored);
	service->name = stored.name;
	service->field_count = stored.field_count;
	service->group_count = stored.group_count;
	service->names_tenant = false;
	cursor = stored.mappings;
	service->run = run_unpack(&cursor, service);
	service->fields = palloc(sizeof(SiteField) * Max(stored.field_count, 1));
	for (i = 0; i < stored.field_count; i++)
		field_unpack(&stored, i, service, &service->fields[i]);
	service->groups = palloc(sizeof(SiteGroup) * Max(stored.group_count, 1));
	cursor = service_part(&stored, PART_THRESHOLDS);
	for (i = 0; i < stored.group_count; i++)
		group_unpack(&cursor, service, &service->groups[i]);
}

/* The unpacked form of a tariff, in a context of the call site. */
void *
hashmap_unpack(const Tariff *tariff, MemoryContext context)
{
	MemoryContext old_context = MemoryContextSwitchTo(context);
	int			count = hashmap_count(tariff);
	Site	   *site = palloc(offsetof(Site, services) + sizeof(SiteService) * count);
	int			i;

	site->count = count;
	for (i = 0; i < count; i++)
		service_unpack(service_start(tariff, i), &site->services[i]);
	MemoryContextSwitchTo(old_context);
	return site;
}

/* The document of a jsonb, which a short header may have left unaligned. */
static JsonbContainer *
point_container(Datum dimensions, SitePoint *point)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(dimensions);

	if (VARATT_IS_SHORT(stored) && !VARATT_IS_EXTERNAL(stored))
		return memcpy(point->buffer, VARDATA_SHORT(stored), VARSIZE_SHORT(stored) - VARHDRSZ_SHORT);
	return &DatumGetJsonbP(dimensions)->root;
}

/* Go through the dimensions once.  Returns false if there are too many. */
static bool
point_read(Datum dimensions, SitePoint *point)
{
	JsonbContainer *container = point_container(dimensions, point);
	uint32		offset = 0;
	int			i;

	point->tenant.data = NULL;
	point->count = JsonContainerSize(container);
	if (!JsonContainerIsObject(container) || point->count > SITE_MAX_KEYS)
		return false;
	point->base = (const char *) &container->children[point->count * 2];
	for (i = 0; i < point->count * 2; i++)
	{
		JEntry		entry = container->children[i];
		uint32		end = JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) : offset + JBE_OFFLENFLD(entry);
		int			key = i - point->count;

		if (key < 0)
		{
			point->keys[i].data = point->base + offset;
			point->keys[i].length = end - offset;
		}
		else
		{
			point->entries[key] = entry;
			point->offsets[key] = offset;
			point->lengths[key] = end - offset;
		}
		offset = end;
	}
	return true;
}

/* Find a dimension; -1 when it is absent or null. */
static inline int
point_find(const SitePoint *point, const char *name, int length)
{
	int			i;

	for (i = 0; i < point->count; i++)
		if (point->keys[i].length == length && memcmp(point->keys[i].data, name, length) == 0)
			return JBE_ISNULL(point->entries[i]) ? -1 : i;
	return -1;
}

/* Read the value of a dimension; what is no scalar becomes jbvBinary. */
static inline void
point_value(const SitePoint *point, int index, JsonbValue *value)
{
	JEntry		entry = point->entries[index];
	const char *data = point->base + point->offsets[index];

	if (likely(JBE_ISSTRING(entry)))
	{
		value->type = jbvString;
		value->val.string.val = unconstify(char *, data);
		value->val.string.len = point->lengths[index];
	}
	else if (JBE_ISNUMERIC(entry))
	{
		value->type = jbvNumeric;
		value->val.numeric = (Numeric) (point->base + INTALIGN(point->offsets[index]));
	}
	else if (JBE_ISBOOL(entry))
	{
		value->type = jbvBool;
		value->val.boolean = JBE_ISBOOL_TRUE(entry);
	}
	else
		value->type = jbvBinary;
}

/* The text of a dimension; data NULL when it has none. */
static TariffText
point_text(const SitePoint *point, const char *name, int length)
{
	TariffText	text = {NULL, 0};
	int			index = point_find(point, name, length);
	JsonbValue	value;

	if (index < 0)
		return text;
	point_value(point, index, &value);
	return hashmap_value_text(&value);
}

/* Is the rule for everybody or for the tenant of the point? */
static inline bool
rule_is_for(const Rule *rule, const SitePoint *point)
{
	return rule->tenant.length == 0 ||
		(point->tenant.data != NULL && text_equal(rule->tenant, point->tenant));
}

/* Apply a run of mappings; in a group the first that is for the tenant counts. */
static inline void
run_apply(const RuleRun *run, const SitePoint *point, SiteTotal *totals)
{
	int			done = -1;
	int			i;

	for (i = 0; i < run->count; i++)
	{
		const Rule *rule = &run->rules[i];
		SiteTotal  *total = &totals[rule->group];

		if (rule->group == done || !rule_is_for(rule, point))
			continue;
		done = rule->group;
		if (rule->type == RULE_RATE)
		{
			total->rate = total->has_rate ? number_multiply(total->rate, rule->cost) : rule->cost;
			total->has_rate = true;
		}
		else if (total->has_flat ? number_compare(rule->cost, total->flat) > 0 : number_sign(rule->cost) > 0)
		{
			total->flat = rule->cost;
			total->has_flat = true;
		}
	}
}

/* Find the mappings of a value; NULL when there are none. */
static inline const RuleRun *
field_find(const SiteField *field, TariffText text)
{
	uint64		hash = text_hash(text);
	uint64		place;

	for (place = hash & field->mask; field->values[place].text.data != NULL; place = (place + 1) & field->mask)
		if (field->values[place].hash == hash && text_equal(field->values[place].text, text))
			return &field->values[place].run;
	return NULL;
}

/* Look up the values of all fields and apply their mappings. */
static void
fields_apply(const SiteService *service, const SitePoint *point, SiteFound *values, SiteTotal *totals)
{
	int			i;

	for (i = 0; i < service->field_count; i++)
	{
		const SiteField *field = &service->fields[i];
		int			index = point_find(point, field->name.data, field->name.length);
		const RuleRun *run;
		TariffText	text;

		values[i].found = index >= 0;
		values[i].has_number = false;
		if (index < 0)
			continue;
		point_value(point, index, &values[i].value);
		if (field->values == NULL)
			continue;
		text = hashmap_value_text(&values[i].value);
		run = text.data == NULL ? NULL : field_find(field, text);
		if (run != NULL)
			run_apply(run, point, totals);
	}
}

/*
 * Find the threshold of a group that counts: the first, which is the highest,
 * that is reached.
 */
static bool
group_threshold(const SiteService *service, const SiteGroup *group, const SitePoint *point,
				SiteFound *values, Rating *rating, const Threshold **reached)
{
	int			i;

	*reached = NULL;
	for (i = 0; i < group->count; i++)
	{
		const Threshold *threshold = &group->thresholds[i];
		SiteFound  *value = &values[Max(threshold->field, 0)];

		if (!rule_is_for(&threshold->rule, point) ||
			(threshold->field != FIELD_SERVICE && !value->found))
			continue;
		if (threshold->field != FIELD_SERVICE && !value->has_number)
		{
			if (!hashmap_field_number(service->fields[threshold->field].name, &value->value, rating, &value->number))
				return false;
			value->has_number = true;
		}
		if ((threshold->field == FIELD_SERVICE ?
			 number_compare(rating->quantity, rating_scaled(rating, threshold->level)) :
			 number_compare(value->number, threshold->level)) >= 0)
		{
			*reached = threshold;
			return true;
		}
	}
	return true;
}

/* What a group costs; false for nothing. */
static bool
group_cost(const SiteTotal *total, const Threshold *threshold, const Rating *rating, Number *cost)
{
	bool		of_service = threshold != NULL && threshold->field == FIELD_SERVICE;
	bool		flat_of_field = threshold != NULL && !of_service && threshold->rule.type == RULE_FLAT;
	Number		unit_price;

	if (!total->has_flat && !flat_of_field)
	{
		*cost = number_zero();
		if (!of_service || threshold->rule.type != RULE_FLAT)
			return false;
	}
	else
	{
		unit_price = !flat_of_field ? total->flat :
			total->has_flat ? number_add(total->flat, threshold->rule.cost) : threshold->rule.cost;
		if (total->has_rate)
			unit_price = number_multiply(unit_price, total->rate);
		if (threshold != NULL && threshold->rule.type == RULE_RATE)
			unit_price = number_multiply(unit_price, threshold->rule.cost);
		*cost = number_multiply(unit_price, rating->quantity);
	}
	if (of_service && threshold->rule.type == RULE_FLAT)
		*cost = number_add(*cost, rating_scaled(rating, threshold->rule.cost));
	return true;
}

/* Price a point by the rules of its service. */
static bool
service_price(const SiteService *service, SitePoint *point, Rating *rating, Number *amount)
{
	SiteTotal	totals[HASHMAP_MAX_GROUPS];
	SiteFound	values[HASHMAP_MAX_FIELDS];
	bool		begun = false;
	int			i;

	if (service->names_tenant)
		point->tenant = point_text(point, "tenant_id", 9);
	for (i = 0; i < service->group_count; i++)
		totals[i].has_flat = totals[i].has_rate = false;
	run_apply(&service->run, point, totals);
	fields_apply(service, point, values, totals);
	for (i = 0; i < service->group_count; i++)
	{
		const Threshold *threshold;
		Number		cost;

		if (!group_threshold(service, &service->groups[i], point, values, rating, &threshold))
			return false;
		if (!group_cost(&totals[i], threshold, rating, &cost))
			continue;
		*amount = begun ? number_add(*amount, cost) : cost;
		begun = true;
	}
	return true;
}

/* Find the service of the point; NULL when the price has no rules for it. */
static const SiteService *
site_service(const Site *site, TariffText wanted)
{
	int			low = 0;
	int			high = site->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const SiteService *service = &site->services[middle];
		int			order = compare_bytes(wanted.data, wanted.length, service->name.data, service->name.length);

		if (order == 0)
			return service;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * Price one data point; *amount is 0 before.  *priced is false where the point
 * is left to model_hashmap.c: without dimensions, with very many, or without a
 * service where there are several.
 */
bool
hashmap_site_price(const void *unpacked, Rating *rating, Number *amount, bool *priced)
{
	const Site *site = unpacked;
	const SiteService *service;
	SitePoint	point;
	TariffText	wanted;

	*priced = rating->dimensions != (Datum) 0 && point_read(rating->dimensions, &point);
	if (!*priced)
		return false;
	wanted = point_text(&point, "service", 7);
	*priced = wanted.data != NULL || site->count == 1;
	if (!*priced)
		return false;
	service = wanted.data != NULL ? site_service(site, wanted) : &site->services[0];
	return service == NULL || service_price(service, &point, rating, amount);
}
