/*-------------------------------------------------------------------------
 *
 * model_hashmap.c
 *	  Price model "hashmap": CloudKitty's mappings and thresholds.
 *
 * The price of one data point of a service is the sum over the groups of its
 * rules.  In a group the dearest flat cost of the mappings that match counts
 * (at least 0), the rates that match multiply, and of the thresholds only the
 * highest that is reached counts: one of a field adds to the flat cost or
 * multiplies the rate before the quantity, one of the service adds once to
 * the amount or multiplies it.  A rule of a tenant stands in for the general
 * rule of the same value or level.
 *
 * Body: number of services, the offset of each from the start of the body, and
 * the services in the order of their names.  A service is its name, its
 * fields, offsets from its start of its groups, thresholds and fields, and
 * these parts: the mappings without a field; for each field its values in
 * order, with their mappings; for each group its thresholds, highest first;
 * the names of the groups.  A rule is group, type, tenant and cost; rules of
 * a tenant come before the general one that they stand in for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "tariff/hashmap.h"
#include "tariff/lint.h"

static const char *const hashmap_members[] = {"services", NULL};
static const char *const rule_types[] = {NULL, "flat", "rate", ""};

/* One mapping or threshold while it is read. */
typedef struct HashmapRule
{
	bool		threshold;
	int			group;
	int			field;			/* FIELD_SERVICE or index of the field */
	char	   *value;			/* mapping of a field */
	Number		level;			/* threshold */
	char	   *tenant;			/* "" for everybody */
	uint8		type;
	Number		cost;
} HashmapRule;

/* One service while it is read. */
typedef struct HashmapReader
{
	char	   *name;
	int			field_count;
	char	   *fields[HASHMAP_MAX_FIELDS];
	int			group_count;
	char	   *groups[HASHMAP_MAX_GROUPS];
	int			rule_count;
	int			rule_room;
	HashmapRule *rules;
} HashmapReader;

/* What one group has come to. */
typedef struct GroupTotal
{
	Number		flat;
	Number		rate;
	bool		has_rate;
} GroupTotal;

/* The point that is rated. */
typedef struct HashmapPoint
{
	Jsonb	   *dimensions;		/* NULL when not given */
	TariffText	tenant;			/* data NULL when not given */
	bool		found[HASHMAP_MAX_FIELDS];
	JsonbValue	values[HASHMAP_MAX_FIELDS];
} HashmapPoint;

/* Read an optional text that must not be longer than the limit. */
static bool
hashmap_text(const ReaderObject *object, const char *name, bool scalar, char **text)
{
	if (!(scalar ? object_scalar_text(object, name, text) : object_text(object, name, text)))
		return false;
	if (*text != NULL && strlen(*text) > TARIFF_MAX_TEXT)
		return reader_fail_range(object->reader, "%s%s is longer than %d bytes",
								 object->path, name, TARIFF_MAX_TEXT);
	return true;
}

/* Read the field of a rule. */
static bool
rule_read_field(const ReaderObject *object, const HashmapReader *service, HashmapRule *rule)
{
	char	   *name;
	int			i;

	rule->field = FIELD_SERVICE;
	if (!object_text(object, "field", &name))
		return false;
	if (name == NULL)
		return true;
	for (i = 0; i < service->field_count; i++)
		if (strcmp(service->fields[i], name) == 0)
		{
			rule->field = i;
			return true;
		}
	return reader_fail(object->reader, "%sfield \"%s\" is not one of the fields of service \"%s\"",
					   object->path, name, service->name);
}

/* Read one mapping or threshold. */
static bool
rule_read(const ReaderArray *array, int index, const HashmapReader *service, HashmapRule *rule)
{
	static const char *const mapping_members[] = {"field", "value", "tenant", "type", "cost", NULL};
	static const char *const threshold_members[] = {"field", "level", "tenant", "type", "cost", NULL};
	ReaderObject object;

	if (!array_object(array, index, &object) ||
		!object_only_has(&object, rule->threshold ? threshold_members : mapping_members, NULL, NULL) ||
		!rule_read_field(&object, service, rule) ||
		!hashmap_text(&object, "value", true, &rule->value) ||
		!hashmap_text(&object, "tenant", false, &rule->tenant) ||
		(rule->threshold && !object_number(&object, "level", &rule->level)) ||
		!object_choice(&object, "type", rule_types, &rule->type) ||
		!object_number(&object, "cost", &rule->cost))
		return false;
	if (rule->type == 0)
		return reader_fail(object.reader, "%stype is missing", object.path);
	if (!rule->threshold && (rule->value != NULL) != (rule->field != FIELD_SERVICE))
		return reader_fail(object.reader, "%sfield and %svalue must be given together", object.path, object.path);
	if (rule->tenant == NULL)
		rule->tenant = pstrdup("");
	return true;
}

/* Read the mappings or the thresholds of one group, if it has any. */
static bool
hashmap_read_rules(const ReaderObject *group, HashmapReader *service, const char *name, bool threshold)
{
	ReaderArray array;
	int			i;

	if (!object_has(group, name))
		return group->reader->sqlstate == 0;
	if (!object_array(group, name, HASHMAP_MAX_RULES - service->rule_count, &array))
		return false;
	if (service->rule_count + array.count > service->rule_room)
	{
		service->rule_room = service->rule_count + array.count + 64;
		service->rules = service->rules == NULL ?
			palloc(sizeof(HashmapRule) * service->rule_room) :
			repalloc(service->rules, sizeof(HashmapRule) * service->rule_room);
	}
	for (i = 0; i < array.count; i++)
	{
		HashmapRule *rule = &service->rules[service->rule_count++];

		CHECK_FOR_INTERRUPTS();
		memset(rule, 0, sizeof(HashmapRule));
		rule->threshold = threshold;
		rule->group = service->group_count - 1;
		if (!rule_read(&array, i, service, rule))
			return false;
	}
	return true;
}

/* Read one group. */
static bool
hashmap_read_group(const ReaderArray *groups, int index, HashmapReader *service)
{
	static const char *const members[] = {"group", "mappings", "thresholds", NULL};
	ReaderObject group;
	char	   *name;
	int			i;

	if (!array_object(groups, index, &group) || !object_only_has(&group, members, NULL, NULL) ||
		!hashmap_text(&group, "group", false, &name))
		return false;
	if (name == NULL)
		name = pstrdup("");
	for (i = 0; i < service->group_count; i++)
		if (strcmp(service->groups[i], name) == 0)
			return reader_fail(group.reader, "%sgroup \"%s\" is there twice", group.path, name);
	service->groups[service->group_count++] = name;
	return hashmap_read_rules(&group, service, "mappings", false) &&
		hashmap_read_rules(&group, service, "thresholds", true);
}

/* Read the fields of a service; their order decides between equal levels. */
static bool
hashmap_read_fields(const ReaderObject *object, HashmapReader *service)
{
	ReaderArray fields;
	int			i;
	int			k;

	if (!object_has(object, "fields"))
		return object->reader->sqlstate == 0;
	if (!object_array(object, "fields", HASHMAP_MAX_FIELDS, &fields))
		return false;
	service->field_count = fields.count;
	for (i = 0; i < fields.count; i++)
	{
		if (!array_text(&fields, i, &service->fields[i]))
			return false;
		if (strlen(service->fields[i]) > TARIFF_MAX_TEXT)
			return reader_fail_range(object->reader, "%s[%d] is longer than %d bytes",
									 fields.path, i, TARIFF_MAX_TEXT);
		for (k = 0; k < i; k++)
			if (strcmp(service->fields[i], service->fields[k]) == 0)
				return reader_fail(object->reader, "%s[%d] and %s[%d] are both \"%s\"",
								   fields.path, k, fields.path, i, service->fields[i]);
	}
	return true;
}

/* Read one service. */
static bool
hashmap_read_service(const ReaderArray *services, int index, HashmapReader *service)
{
	static const char *const members[] = {"service", "fields", "groups", NULL};
	ReaderObject object;
	ReaderArray groups;
	int			i;

	if (!array_object(services, index, &object) || !object_only_has(&object, members, NULL, NULL) ||
		!hashmap_text(&object, "service", false, &service->name))
		return false;
	if (service->name == NULL)
		return reader_fail(object.reader, "%sservice is missing", object.path);
	if (!hashmap_read_fields(&object, service))
		return false;
	if (!object_has(&object, "groups"))
		return object.reader->sqlstate == 0;
	if (!object_array(&object, "groups", HASHMAP_MAX_GROUPS, &groups))
		return false;
	for (i = 0; i < groups.count; i++)
		if (!hashmap_read_group(&groups, i, service))
			return false;
	return true;
}

/* Where a rule applies: rules that compare equal are one rule said twice. */
static int
rule_compare_place(const HashmapRule *x, const HashmapRule *y)
{
	int			result = (int) x->threshold - (int) y->threshold;

	if (result == 0 && x->threshold && (result = x->group - y->group) == 0 &&
		(result = number_compare(y->level, x->level)) == 0)
		result = x->field - y->field;
	if (result == 0 && !x->threshold && (result = x->field - y->field) == 0)
	{
		if (x->field != FIELD_SERVICE)
			result = compare_bytes(x->value, strlen(x->value), y->value, strlen(y->value));
		if (result == 0)
			result = x->group - y->group;
	}
	return result;
}

/* The order of storage: by place, then rules of tenants before the general. */
static int
rule_compare(const void *a, const void *b)
{
	const HashmapRule *x = (const HashmapRule *) a;
	const HashmapRule *y = (const HashmapRule *) b;
	int			result = rule_compare_place(x, y);

	if (result == 0)
		result = (x->tenant[0] == '\0') - (y->tenant[0] == '\0');
	return result != 0 ? result : strcmp(x->tenant, y->tenant);
}

/* Sort the rules and refuse two for the same place and tenant. */
static bool
hashmap_sort(const ReaderArray *services, int index, HashmapReader *service)
{
	int			i;

	qsort(service->rules, service->rule_count, sizeof(HashmapRule), rule_compare);
	for (i = 1; i < service->rule_count; i++)
	{
		HashmapRule *rule = &service->rules[i];

		if (rule_compare(rule - 1, rule) != 0)
			continue;
		return reader_fail(services->reader, "%s[%d] has two %s of %s \"%s\" in group \"%s\"%s%s",
						   services->path, index, rule->threshold ? "thresholds" : "mappings",
						   rule->field == FIELD_SERVICE ? "service" : "field",
						   rule->field == FIELD_SERVICE ? service->name : service->fields[rule->field],
						   service->groups[rule->group],
						   rule->threshold ? psprintf(" at level %s", number_to_text(rule->level)) :
						   rule->field == FIELD_SERVICE ? "" : psprintf(" for value \"%s\"", rule->value),
						   rule->tenant[0] == '\0' ? "" : psprintf(" for tenant \"%s\"", rule->tenant));
	}
	return true;
}

/* Append one rule. */
static void
rule_put(const HashmapRule *rule, StringInfo out)
{
	uint8		group = rule->group;

	compiled_put_bytes(out, &group, sizeof(group));
	compiled_put_bytes(out, &rule->type, sizeof(rule->type));
	compiled_put_text(out, rule->tenant, strlen(rule->tenant));
	compiled_put_number(out, rule->cost);
}

/* Append the mappings from *index on that belong together; a run of rules. */
static void
mappings_put(const HashmapReader *service, int *index, int field, const char *value, StringInfo out)
{
	uint32		count = 0;
	int			count_at = out->len;

	compiled_put_bytes(out, &count, sizeof(count));
	for (; *index < service->rule_count; (*index)++)
	{
		const HashmapRule *rule = &service->rules[*index];

		if (rule->threshold || rule->field != field || (value && strcmp(rule->value, value) != 0))
			break;
		rule_put(rule, out);
		count++;
	}
	memcpy(out->data + count_at, &count, sizeof(count));
}

/* How many values the mappings of a field name. */
static uint32
field_values(const HashmapReader *service, int index, int field)
{
	uint32		count = 0;
	int			first = index;

	for (; index < service->rule_count; index++)
	{
		const HashmapRule *rule = &service->rules[index];

		if (rule->threshold || rule->field != field)
			break;
		count += index == first || strcmp(rule->value, service->rules[index - 1].value) != 0;
	}
	return count;
}

/* Append the values of a field with their mappings. */
static void
field_put(const HashmapReader *service, int *index, int field, int start, StringInfo out)
{
	uint32		count = field_values(service, *index, field);
	int			offsets_at;
	uint32		i;

	compiled_put_bytes(out, &count, sizeof(count));
	offsets_at = out->len;
	for (i = 0; i < count; i++)
		compiled_put_bytes(out, &count, sizeof(count));
	for (i = 0; i < count; i++)
	{
		const char *value = service->rules[*index].value;
		uint32		offset = out->len - start;

		memcpy(out->data + offsets_at + i * sizeof(offset), &offset, sizeof(offset));
		compiled_put_text(out, value, strlen(value));
		mappings_put(service, index, field, value, out);
	}
}

/* Append the thresholds of one group. */
static void
thresholds_put(const HashmapReader *service, int *index, int group, StringInfo out)
{
	uint32		count = 0;
	int			count_at = out->len;

	compiled_put_bytes(out, &count, sizeof(count));
	for (; *index < service->rule_count && service->rules[*index].group == group; (*index)++)
	{
		int8		field = service->rules[*index].field;

		compiled_put_number(out, service->rules[*index].level);
		compiled_put_bytes(out, &field, sizeof(field));
		rule_put(&service->rules[*index], out);
		count++;
	}
	memcpy(out->data + count_at, &count, sizeof(count));
}

/* Keep where a part of a service begins. */
static void
part_begins(StringInfo out, int start, int offsets_at, int part)
{
	uint32		offset = out->len - start;

	memcpy(out->data + offsets_at + part * sizeof(offset), &offset, sizeof(offset));
}

/* Append one service. */
static void
service_put(const HashmapReader *service, StringInfo out)
{
	uint8		field_count = service->field_count;
	uint8		group_count = service->group_count;
	uint32		offset = 0;
	int			start = out->len;
	int			offsets_at;
	int			index = 0;
	int			i;

	compiled_put_text(out, service->name, strlen(service->name));
	compiled_put_bytes(out, &field_count, sizeof(field_count));
	compiled_put_bytes(out, &group_count, sizeof(group_count));
	for (i = 0; i < field_count; i++)
		compiled_put_text(out, service->fields[i], strlen(service->fields[i]));
	offsets_at = out->len;
	for (i = 0; i < PART_FIELDS + field_count; i++)
		compiled_put_bytes(out, &offset, sizeof(offset));
	mappings_put(service, &index, FIELD_SERVICE, NULL, out);
	for (i = 0; i < field_count; i++)
	{
		part_begins(out, start, offsets_at, PART_FIELDS + i);
		field_put(service, &index, i, start, out);
	}
	part_begins(out, start, offsets_at, PART_THRESHOLDS);
	for (i = 0; i < group_count; i++)
		thresholds_put(service, &index, i, out);
	part_begins(out, start, offsets_at, PART_GROUPS);
	for (i = 0; i < group_count; i++)
		compiled_put_text(out, service->groups[i], strlen(service->groups[i]));
}

/* Order services by name. */
static int
service_compare(const void *a, const void *b)
{
	const HashmapReader *x = (const HashmapReader *) a;
	const HashmapReader *y = (const HashmapReader *) b;

	return compare_bytes(x->name, strlen(x->name), y->name, strlen(y->name));
}

/* Append all services. */
static void
hashmap_put(const HashmapReader *services, uint16 count, StringInfo out)
{
	int			body = out->len;
	uint32		offset = 0;
	int			offsets_at;
	int			i;

	compiled_put_bytes(out, &count, sizeof(count));
	offsets_at = out->len;
	for (i = 0; i < count; i++)
		compiled_put_bytes(out, &offset, sizeof(offset));
	for (i = 0; i < count; i++)
	{
		part_begins(out, body, offsets_at, i);
		service_put(&services[i], out);
	}
}

/* Read all services. */
static bool
hashmap_compile(const ReaderObject *object, StringInfo out)
{
	HashmapReader *services;
	ReaderArray array;
	int			i;

	if (!object_array(object, "services", HASHMAP_MAX_SERVICES, &array))
		return false;
	services = palloc0(sizeof(HashmapReader) * array.count);
	for (i = 0; i < array.count; i++)
		if (!hashmap_read_service(&array, i, &services[i]) || !hashmap_sort(&array, i, &services[i]))
			return false;
	qsort(services, array.count, sizeof(HashmapReader), service_compare);
	for (i = 1; i < array.count; i++)
		if (service_compare(&services[i - 1], &services[i]) == 0)
			return reader_fail(object->reader, "%s has service \"%s\" twice", array.path, services[i].name);
	hashmap_put(services, array.count, out);
	return true;
}

/* Is the rule for everybody or for the tenant of the point? */
static inline bool
rule_is_for(const Rule *rule, const HashmapPoint *point)
{
	return rule->tenant.length == 0 ||
		(point->tenant.data != NULL && rule->tenant.length == point->tenant.length &&
		 memcmp(rule->tenant.data, point->tenant.data, rule->tenant.length) == 0);
}

/*
 * Apply the mappings of one value.  In a group the first that is for the
 * point's tenant or for everybody counts: that of the tenant comes first.
 */
static void
mappings_apply(const char **cursor, const HashmapPoint *point, GroupTotal *states)
{
	int			done = -1;
	uint32		count;
	Rule		rule;

	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		GroupTotal *state;

		rule_get(cursor, &rule);
		if (rule.group == done || !rule_is_for(&rule, point))
			continue;
		done = rule.group;
		state = &states[rule.group];
		if (rule.type == RULE_FLAT)
		{
			if (number_compare(rule.cost, state->flat) > 0)
				state->flat = rule.cost;
		}
		else
		{
			state->rate = state->has_rate ? number_multiply(state->rate, rule.cost) : rule.cost;
			state->has_rate = true;
		}
	}
}

/* A number as the product writes it, with the decimals that it came with. */
static char *
numeric_text(Numeric numeric)
{
	int32		dscale = DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(numeric)));
	Number		number;

	/* Whole numbers are frequent, and numeric_out is slow. */
	if (dscale == 0 && number_from_datum(NumericGetDatum(numeric), &number) == NUMBER_DECODED &&
		number.wide == NULL && number.scale == 0 && number_mantissa_is_small(number.mantissa))
	{
		char	   *text = palloc(NUMBER_TEXT_SIZE);

		pg_lltoa((int64) number.mantissa, text);
		return text;
	}
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(numeric)));
}

/* The text by which a value is looked up: as the product's str() writes it. */
TariffText
hashmap_value_text(const JsonbValue *value)
{
	TariffText	text = {NULL, 0};
	char	   *copy;

	if (value->type == jbvString)
	{
		text.data = value->val.string.val;
		text.length = value->val.string.len;
		return text;
	}
	if (value->type == jbvNumeric)
		copy = numeric_text(value->val.numeric);
	else if (value->type == jbvBool)
		copy = pstrdup(value->val.boolean ? "True" : "False");
	else
		return text;
	text.data = copy;
	text.length = strlen(copy);
	return text;
}

/* Find the mappings of a value; NULL when there are none. */
static const char *
field_search(const Service *service, int field, TariffText value)
{
	const char *cursor = service_part(service, PART_FIELDS + field);
	uint32		low = 0;
	uint32		high;

	compiled_get(&cursor, high);
	while (low < high)
	{
		uint32		middle = (low + high) / 2;
		uint32		offset;
		const char *place;
		TariffText	text;
		int			order;

		memcpy(&offset, cursor + middle * sizeof(offset), sizeof(offset));
		place = service->start + offset;
		text = compiled_get_text(&place);
		order = compare_bytes(value.data, value.length, text.data, text.length);
		if (order == 0)
			return place;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Look up the values of all fields and apply their mappings. */
static void
fields_apply(const Service *service, HashmapPoint *point, GroupTotal *states)
{
	int			i;

	for (i = 0; i < service->field_count; i++)
	{
		TariffText	text;
		const char *mappings;

		point->found[i] = point->dimensions != NULL &&
			getKeyJsonValueFromContainer(&point->dimensions->root, service->fields[i].data,
										 service->fields[i].length, &point->values[i]) != NULL &&
			point->values[i].type != jbvNull;
		if (!point->found[i])
			continue;
		text = hashmap_value_text(&point->values[i]);
		mappings = text.data == NULL ? NULL : field_search(service, i, text);
		if (mappings != NULL)
			mappings_apply(&mappings, point, states);
	}
}

/* The value of a field as a number, for its thresholds. */
bool
hashmap_field_number(TariffText field, const JsonbValue *value, Rating *rating, Number *number)
{
	NumberDecode decode = NUMBER_MALFORMED;

	if (value->type == jbvNumeric)
		decode = number_from_datum(NumericGetDatum(value->val.numeric), number);
	else if (value->type == jbvString)
		decode = number_from_text(pnstrdup(value->val.string.val, value->val.string.len), number);
	else if (value->type == jbvBool)
	{
		*number = number_make(value->val.boolean, 0);
		decode = NUMBER_DECODED;
	}
	if (decode == NUMBER_DECODED)
		return true;
	return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
					   "dimension %.*s has thresholds and must be a number",
					   field.length, field.data);
}

/*
 * Find the threshold of a group that counts: the first, which is the highest,
 * that is reached.  CloudKitty itself never applies one of -1 or below, where
 * its search begins; that is no rule of it, so here every level counts.
 */
static bool
thresholds_search(const Service *service, const char **cursor, const HashmapPoint *point,
				  Rating *rating, Threshold *reached, bool *found)
{
	Threshold	threshold;
	uint32		count;

	*found = false;
	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		Number		value = rating->quantity;
		Number		level;

		threshold_get(cursor, &threshold);
		if (*found || !rule_is_for(&threshold.rule, point) ||
			(threshold.field != FIELD_SERVICE && !point->found[threshold.field]))
			continue;
		if (threshold.field != FIELD_SERVICE)
		{
			level = threshold.level;
			if (!hashmap_field_number(service->fields[threshold.field], &point->values[threshold.field], rating, &value))
				return false;
		}
		else
			level = rating_scaled(rating, threshold.level);
		if (number_compare(value, level) < 0)
			continue;
		*reached = threshold;
		*found = true;
	}
	return true;
}

/* The name of a group, for its steps. */
static char *
group_text(const Service *service, int group)
{
	const char *cursor = service_part(service, PART_GROUPS);
	TariffText	name;

	do
		name = compiled_get_text(&cursor);
	while (group-- > 0);
	return name.length == 0 ? pstrdup("rules without a group") :
		psprintf("group \"%.*s\"", name.length, name.data);
}

/* Report what a group costs. */
static void
group_steps(const Service *service, int group, Rating *rating, Number unit_price, Number cost,
			const Threshold *threshold, Number added)
{
	rating_step(rating, NULL, NULL, rating->quantity, &unit_price, cost, "%s: %s at %s each",
				group_text(service, group), rating_counted(rating, rating->quantity, "unit"),
				number_to_text(unit_price));
	if (threshold != NULL)
		rating_note(rating, STEP_LINE, added, "%s: threshold of the service from %s on, %s %s",
					group_text(service, group), number_to_text(threshold->level),
					rule_types[threshold->rule.type], number_to_text(threshold->rule.cost));
}

/* Add the price of one group. */
static void
group_price(const Service *service, int group, GroupTotal *state, const Threshold *threshold,
			Rating *rating, Number *amount)
{
	Number		unit_price = state->flat;
	bool		of_service = threshold != NULL && threshold->field == FIELD_SERVICE;
	Number		cost;
	Number		added = number_zero();

	if (threshold != NULL && !of_service && threshold->rule.type == RULE_FLAT)
		unit_price = number_add(unit_price, threshold->rule.cost);
	if (state->has_rate)
		unit_price = number_multiply(unit_price, state->rate);
	if (threshold != NULL && !of_service && threshold->rule.type == RULE_RATE)
		unit_price = number_multiply(unit_price, threshold->rule.cost);
	cost = number_multiply(unit_price, rating->quantity);
	if (of_service && threshold->rule.type == RULE_FLAT)
		added = rating_scaled(rating, threshold->rule.cost);
	else if (of_service)
		added = number_multiply(cost, number_subtract(threshold->rule.cost, number_make(1, 0)));
	*amount = number_add(*amount, of_service ? number_add(cost, added) : cost);
	if (unlikely(rating->steps != NULL) && (number_sign(cost) != 0 || of_service))
		group_steps(service, group, rating, unit_price, cost, of_service ? threshold : NULL, added);
}

/* Price a point by the rules of its service. */
static bool
service_price(const Service *service, HashmapPoint *point, Rating *rating, Number *amount)
{
	GroupTotal	states[HASHMAP_MAX_GROUPS];
	const char *cursor = service->mappings;
	int			i;

	for (i = 0; i < service->group_count; i++)
	{
		states[i].flat = number_zero();
		states[i].has_rate = false;
	}
	mappings_apply(&cursor, point, states);
	fields_apply(service, point, states);
	cursor = service_part(service, PART_THRESHOLDS);
	for (i = 0; i < service->group_count; i++)
	{
		Threshold	threshold;
		bool		found;

		if (!thresholds_search(service, &cursor, point, rating, &threshold, &found))
			return false;
		group_price(service, i, &states[i], found ? &threshold : NULL, rating, amount);
	}
	return true;
}

/* Read a text of the dimensions; data NULL when it is absent. */
static TariffText
point_text(const HashmapPoint *point, const char *name, int length)
{
	TariffText	text = {NULL, 0};
	JsonbValue	value;

	if (point->dimensions != NULL &&
		getKeyJsonValueFromContainer(&point->dimensions->root, name, length, &value) != NULL)
		text = hashmap_value_text(&value);
	return text;
}

/*
 * Find the service of the point.  It may be left out when there is only one.
 * *start is NULL for a service without rules, which costs nothing.
 */
static bool
hashmap_find_service(const Tariff *tariff, const HashmapPoint *point, Rating *rating, const char **start)
{
	TariffText	wanted = point_text(point, "service", 7);
	int			count = hashmap_count(tariff);
	int			low = 0;
	int			high = count;

	*start = NULL;
	if (wanted.data == NULL && count == 1)
		*start = service_start(tariff, 0);
	if (wanted.data == NULL)
		return count == 1 ||
			rating_fail(rating, ERRCODE_TARIFF_INPUT_MISSING, "Give it as a member of the fourth argument.",
						"the price has %d services, but the dimension service is not given", count);
	while (low < high)
	{
		int			middle = (low + high) / 2;
		const char *place = service_start(tariff, middle);
		const char *cursor = place;
		TariffText	name = compiled_get_text(&cursor);
		int			order = compare_bytes(wanted.data, wanted.length, name.data, name.length);

		if (order == 0)
		{
			*start = place;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return true;
}

/* Price one data point. */
static bool
hashmap_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	HashmapPoint point;
	Service		service;
	const char *start;
	const void *unpacked = rating_unpacked(tariff, rating);
	bool		priced;

	*amount = number_zero();
	if (likely(unpacked != NULL && rating->steps == NULL))
	{
		bool		result = hashmap_site_price(unpacked, rating, amount, &priced);

		if (likely(priced))
			return result;
	}
	point.dimensions = rating->dimensions == (Datum) 0 ? NULL : DatumGetJsonbP(rating->dimensions);
	if (point.dimensions != NULL && !JB_ROOT_IS_OBJECT(point.dimensions))
		return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL, "dimensions must be a JSON object");
	point.tenant = point_text(&point, "tenant_id", 9);
	if (!hashmap_find_service(tariff, &point, rating, &start))
		return false;
	if (start == NULL)
	{
		if (rating->steps)
			rating_note(rating, STEP_NOTE, *amount, "the price has no rules for this service");
		return true;
	}
	service_open(start, &service);
	if (service.field_count > 0 && point.dimensions == NULL)
		return rating_fail(rating, ERRCODE_TARIFF_INPUT_MISSING,
						   "Give the dimensions of the usage as the fourth argument.",
						   "the price depends on dimensions, but they are not given");
	return service_price(&service, &point, rating, amount);
}

/* Print the members that mappings and thresholds share. */
static void
rule_print(const Rule *rule, StringInfo json)
{
	if (rule->tenant.length > 0)
	{
		appendStringInfo(json, "%s\"tenant\":", json->data[json->len - 1] == '{' ? "" : ",");
		json_put_text(json, rule->tenant);
	}
	json_put_word(json, "type", rule_types[rule->type]);
	json_put_number(json, "cost", rule->cost);
	appendStringInfoChar(json, '}');
}

/* Begin a member that is an array, unless it has begun. */
static void
array_print_next(StringInfo json, const char *name, bool *begun)
{
	if (*begun)
		appendStringInfoChar(json, ',');
	else
		appendStringInfo(json, ",\"%s\":[", name);
	*begun = true;
	appendStringInfoChar(json, '{');
}

/* Print those of the mappings of one value that are in a group. */
static void
mappings_print(const Service *service, const char **cursor, int group, int field, TariffText value,
			   bool *begun, StringInfo json)
{
	uint32		count;
	Rule		rule;

	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		rule_get(cursor, &rule);
		if (rule.group != group)
			continue;
		array_print_next(json, "mappings", begun);
		if (field != FIELD_SERVICE)
		{
			appendStringInfoString(json, "\"field\":");
			json_put_text(json, service->fields[field]);
			appendStringInfoString(json, ",\"value\":");
			json_put_text(json, value);
		}
		rule_print(&rule, json);
	}
}

/* Print all mappings of a group. */
static void
group_print_mappings(const Service *service, int group, StringInfo json)
{
	const char *cursor = service->mappings;
	TariffText	value = {NULL, 0};
	bool		begun = false;
	int			field;

	mappings_print(service, &cursor, group, FIELD_SERVICE, value, &begun, json);
	for (field = 0; field < service->field_count; field++)
	{
		uint32		count;

		cursor = service_part(service, PART_FIELDS + field);
		compiled_get(&cursor, count);
		for (cursor += count * sizeof(uint32); count > 0; count--)
		{
			value = compiled_get_text(&cursor);
			mappings_print(service, &cursor, group, field, value, &begun, json);
		}
	}
	appendStringInfoString(json, begun ? "]" : "");
}

/* Print the thresholds of a group. */
static void
group_print_thresholds(const Service *service, const char **cursor, StringInfo json)
{
	Threshold	threshold;
	bool		begun = false;
	uint32		count;

	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		threshold_get(cursor, &threshold);
		array_print_next(json, "thresholds", &begun);
		if (threshold.field != FIELD_SERVICE)
		{
			appendStringInfoString(json, "\"field\":");
			json_put_text(json, service->fields[threshold.field]);
		}
		json_put_number(json, "level", threshold.level);
		rule_print(&threshold.rule, json);
	}
	appendStringInfoString(json, begun ? "]" : "");
}

/* Print one service. */
static void
service_print(const Service *service, StringInfo json)
{
	const char *groups = service_part(service, PART_GROUPS);
	const char *thresholds = service_part(service, PART_THRESHOLDS);
	int			i;

	appendStringInfoString(json, "{\"service\":");
	json_put_text(json, service->name);
	for (i = 0; i < service->field_count; i++)
	{
		appendStringInfoString(json, i == 0 ? ",\"fields\":[" : ",");
		json_put_text(json, service->fields[i]);
	}
	appendStringInfoString(json, service->field_count > 0 ? "]" : "");
	for (i = 0; i < service->group_count; i++)
	{
		appendStringInfoString(json, i == 0 ? ",\"groups\":[{\"group\":" : ",{\"group\":");
		json_put_text(json, compiled_get_text(&groups));
		group_print_mappings(service, i, json);
		group_print_thresholds(service, &thresholds, json);
		appendStringInfoChar(json, '}');
	}
	appendStringInfoString(json, service->group_count > 0 ? "]}" : "}");
}

/* Print all services. */
static void
hashmap_print(const Tariff *tariff, StringInfo json)
{
	Service		service;
	int			i;

	appendStringInfoString(json, ",\"services\":[");
	for (i = 0; i < hashmap_count(tariff); i++)
	{
		appendStringInfoString(json, i > 0 ? "," : "");
		service_open(service_start(tariff, i), &service);
		service_print(&service, json);
	}
	appendStringInfoChar(json, ']');
}

/* Does any rule from a cursor on name a tenant? */
static bool
rules_name_tenant(const char **cursor)
{
	bool		result = false;
	uint32		count;
	Rule		rule;

	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		rule_get(cursor, &rule);
		result |= rule.tenant.length > 0;
	}
	return result;
}

/* Does any rule of a service name a tenant? */
static bool
service_names_tenant(const Service *service)
{
	const char *cursor = service->mappings;
	bool		result = rules_name_tenant(&cursor);
	Threshold	threshold;
	uint32		count;
	int			i;

	for (i = 0; i < service->field_count; i++)
	{
		cursor = service_part(service, PART_FIELDS + i);
		compiled_get(&cursor, count);
		for (cursor += count * sizeof(uint32); count > 0; count--)
		{
			(void) compiled_get_text(&cursor);
			result |= rules_name_tenant(&cursor);
		}
	}
	cursor = service_part(service, PART_THRESHOLDS);
	for (i = 0; i < service->group_count; i++)
	{
		compiled_get(&cursor, count);
		for (; count > 0; count--)
		{
			threshold_get(&cursor, &threshold);
			result |= threshold.rule.tenant.length > 0;
		}
	}
	return result;
}

/* The fields, the service where there are several, the tenant where named. */
static void
hashmap_describe(const Tariff *tariff, TariffFacts *facts)
{
	TariffText	service_name = {"service", 7};
	TariffText	tenant_name = {"tenant_id", 9};
	Service		service;
	int			i;
	int			k;

	if (hashmap_count(tariff) > 1)
		facts_add_dimension(facts, service_name);
	for (i = 0; i < hashmap_count(tariff); i++)
	{
		service_open(service_start(tariff, i), &service);
		for (k = 0; k < service.field_count; k++)
			facts_add_dimension(facts, service.fields[k]);
		if (service_names_tenant(&service))
			facts_add_dimension(facts, tenant_name);
	}
}

/* What the mappings of a service do in each group. */
typedef struct GroupFacts
{
	bool		flat[HASHMAP_MAX_GROUPS];
	bool		rate[HASHMAP_MAX_GROUPS];
} GroupFacts;

/* Take in the mappings of one value, and report flats that never count. */
static void
mappings_lint(const char **cursor, GroupFacts *facts, struct TariffLint *lint)
{
	uint32		count;
	Rule		rule;

	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		rule_get(cursor, &rule);
		if (rule.type == RULE_RATE)
			facts->rate[rule.group] = true;
		else
			facts->flat[rule.group] = true;
		if (rule.type == RULE_FLAT && number_sign(rule.cost) < 0)
			lint_report(lint, LINT_WARNING, "negative_flat",
						"a flat cost of %s never counts: a group costs at least 0", number_to_text(rule.cost));
	}
}

/* Report that the price falls at a threshold. */
static void
cliff_lint(const Service *service, int group, const Threshold *threshold, struct TariffLint *lint)
{
	if (threshold->field == FIELD_SERVICE)
		lint_report(lint, LINT_WARNING, "cliff",
					"%s: the threshold at %s lowers the price of all units: using a little more makes the bill smaller",
					group_text(service, group), number_to_text(threshold->level));
	else
		lint_report(lint, LINT_WARNING, "cliff",
					"%s: the threshold of field \"%.*s\" at %s lowers the price: a greater value makes the bill smaller",
					group_text(service, group), service->fields[threshold->field].length,
					service->fields[threshold->field].data, number_to_text(threshold->level));
}

/* Does the price fall at the lowest threshold of a field or the service? */
static bool
falls_from_nothing(const Threshold *lowest)
{
	return lowest->rule.type == RULE_RATE ?
		number_compare(lowest->rule.cost, number_make(1, 0)) < 0 : number_sign(lowest->rule.cost) < 0;
}

/*
 * Report thresholds at which the price falls, each field and the service for
 * itself, and levels that CloudKitty would skip.  Thresholds come from the
 * highest to the lowest; those of a tenant are left out of the former.
 */
static void
thresholds_lint(const Service *service, const char **cursor, int group, GroupFacts *facts,
				struct TariffLint *lint)
{
	Threshold	higher[HASHMAP_MAX_FIELDS + 1];
	bool		has_higher[HASHMAP_MAX_FIELDS + 1] = {false};
	uint32		count;
	int			i;

	compiled_get(cursor, count);
	for (; count > 0; count--)
	{
		Threshold	threshold;

		threshold_get(cursor, &threshold);
		i = threshold.field - FIELD_SERVICE;
		if (threshold.rule.type == RULE_RATE)
			facts->rate[group] = true;
		else
			facts->flat[group] = true;
		if (number_compare(threshold.level, number_make(-1, 0)) <= 0)
			lint_report(lint, LINT_WARNING, "skipped_level",
						"%s: level %s counts here, but CloudKitty skips levels of -1 and below",
						group_text(service, group), number_to_text(threshold.level));
		if (threshold.rule.tenant.length > 0)
			continue;
		if (has_higher[i] && higher[i].rule.type == threshold.rule.type &&
			number_compare(higher[i].rule.cost, threshold.rule.cost) < 0)
			cliff_lint(service, group, &higher[i], lint);
		higher[i] = threshold;
		has_higher[i] = true;
	}
	for (i = 0; i <= service->field_count; i++)
		if (has_higher[i] && falls_from_nothing(&higher[i]))
			cliff_lint(service, group, &higher[i], lint);
}

/* Report what looks wrong in one service. */
static void
service_lint(const Service *service, struct TariffLint *lint)
{
	const char *cursor = service->mappings;
	GroupFacts	facts;
	uint32		count;
	int			i;

	memset(&facts, 0, sizeof(facts));
	mappings_lint(&cursor, &facts, lint);
	for (i = 0; i < service->field_count; i++)
	{
		cursor = service_part(service, PART_FIELDS + i);
		compiled_get(&cursor, count);
		for (cursor += count * sizeof(uint32); count > 0; count--)
		{
			(void) compiled_get_text(&cursor);
			mappings_lint(&cursor, &facts, lint);
		}
	}
	cursor = service_part(service, PART_THRESHOLDS);
	for (i = 0; i < service->group_count; i++)
	{
		thresholds_lint(service, &cursor, i, &facts, lint);
		if (facts.rate[i] && !facts.flat[i])
			lint_report(lint, LINT_WARNING, "rate_without_flat",
						"%s has rates but no flat cost: it costs nothing", group_text(service, i));
	}
}

/* Report what looks wrong, service by service. */
static void
hashmap_lint(const Tariff *tariff, struct TariffLint *lint)
{
	const char *outer = lint->path;
	Service		service;
	int			i;

	for (i = 0; i < hashmap_count(tariff); i++)
	{
		service_open(service_start(tariff, i), &service);
		lint->path = psprintf("%sservice \"%.*s\": ", outer, service.name.length, service.name.data);
		service_lint(&service, lint);
	}
	lint->path = outer;
}

const TariffModel tariff_hashmap = {
	.name = "hashmap",
	.members = hashmap_members,
	.takes = MODEL_TAKES_CONVERT,
	.compile = hashmap_compile,
	.print = hashmap_print,
	.price = hashmap_price,
	.unpack = hashmap_unpack,
	.describe = hashmap_describe,
	.lint = hashmap_lint
};
