/*-------------------------------------------------------------------------
 *
 * model_blocks.c
 *	  Price model "blocks": units of several kinds, sold in whole blocks.
 *
 * Kill Bill's usage prices.  A tier holds "max" blocks of "size" units of each
 * kind; a remainder is a whole block.  The policies:
 *
 *	  all_tiers	 the tiers are filled in order; what the last one cannot hold
 *				 costs nothing
 *	  top_tier	 all units at the tier reached, the last one when all are full
 *	  capacity	 the price of the first tier whose limits hold the peaks of all
 *				 units, nothing without usage
 *
 * Body: policy, number of tiers, for capacity the column of their prices,
 * number of units.  Then for each unit its name and a table with a row for
 * each tier that knows it: the tiers' numbers, the columns max (-1 is open)
 * and, unless the policy is capacity, size and price.  So one unit is priced
 * without looking at the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "tariff/dialect.h"
#include "tariff/lint.h"
#include "tariff/model.h"

static const char *const blocks_members[] = {"policy", "tiers", NULL};
static const char *const blocks_policies[] = {NULL, "all_tiers", "top_tier", "capacity", ""};

/* Stored. */
#define POLICY_ALL_TIERS 1
#define POLICY_TOP_TIER 2
#define POLICY_CAPACITY 3

#define BLOCKS_MAX_UNITS 100

/* One block (or limit) of one tier while it is read. */
typedef struct BlockRow
{
	int			tier;
	char	   *unit;
	Number		size;
	Number		max;			/* -1: open */
	Number		price;
} BlockRow;

/* All tiers while they are read. */
typedef struct BlocksReader
{
	uint8		policy;
	int			tier_count;
	Number		prices[TARIFF_MAX_TIERS];	/* capacity only */
	List	   *rows;			/* of BlockRow, in the order of the JSON */
	List	   *units;			/* of C strings, each once */
} BlocksReader;

/* A stored price, open at its first unit. */
typedef struct Blocks
{
	uint8		policy;
	uint16		tier_count;
	uint16		unit_count;
	TariffColumn prices;
	const char *units;
} Blocks;

/* The rows of one unit. */
typedef struct BlockUnit
{
	TariffText	name;
	uint16		count;
	const char *tiers;			/* two bytes each */
	TariffColumn max;
	TariffColumn size;
	TariffColumn price;
} BlockUnit;

/* Remember a unit; false when there are too many. */
static bool
blocks_note_unit(BlocksReader *blocks, const ReaderObject *object, char *unit)
{
	ListCell   *cell;

	foreach(cell, blocks->units)
		if (strcmp((char *) lfirst(cell), unit) == 0)
			return true;
	if (list_length(blocks->units) >= BLOCKS_MAX_UNITS)
		return reader_fail_range(object->reader, "%sunit: more than %d units", object->path, BLOCKS_MAX_UNITS);
	blocks->units = lappend(blocks->units, unit);
	return true;
}

/* Is the unit already named in this tier? */
static bool
blocks_unit_in_tier(const BlocksReader *blocks, const char *unit, int tier)
{
	ListCell   *cell;

	foreach(cell, blocks->rows)
	{
		BlockRow   *row = (BlockRow *) lfirst(cell);

		if (row->tier == tier && strcmp(row->unit, unit) == 0)
			return true;
	}
	return false;
}

/* Read one element of "blocks" or "limits". */
static bool
block_read(const ReaderArray *array, int index, int tier, BlocksReader *blocks)
{
	static const char *const block_members[] = {"unit", "size", "max", "price", NULL};
	static const char *const limit_members[] = {"unit", "max", NULL};
	bool		capacity = blocks->policy == POLICY_CAPACITY;
	BlockRow   *row = palloc0(sizeof(BlockRow));
	ReaderObject object;
	bool		given;

	row->tier = tier;
	if (!array_object(array, index, &object) ||
		!object_only_has(&object, capacity ? limit_members : block_members, NULL, NULL) ||
		!object_text(&object, "unit", &row->unit) ||
		!object_optional_number(&object, "max", &row->max, &given) ||
		(!capacity && !object_number(&object, "size", &row->size)) ||
		(!capacity && !object_number(&object, "price", &row->price)))
		return false;
	if (row->unit == NULL || row->unit[0] == '\0' || strlen(row->unit) > TARIFF_MAX_TEXT)
		return reader_fail(object.reader, "%sunit must be a name of 1 to %d bytes", object.path, TARIFF_MAX_TEXT);
	if (given && number_sign(row->max) < 0)
		return reader_fail(object.reader, "%smax must not be negative, but is %s; leave it out for no limit",
						   object.path, number_to_text(row->max));
	if (!capacity && number_sign(row->size) <= 0)
		return reader_fail(object.reader, "%ssize must be greater than 0, not %s",
						   object.path, number_to_text(row->size));
	if (!given)
		row->max = number_make(-1, 0);
	if (blocks_unit_in_tier(blocks, row->unit, tier))
		return reader_fail(object.reader, "%sunit \"%s\" is named twice in the tier", object.path, row->unit);
	blocks->rows = lappend(blocks->rows, row);
	return blocks_note_unit(blocks, &object, row->unit);
}

/* Read one tier: its blocks, or its limits and price. */
static bool
blocks_read_tier(const ReaderArray *tiers, int index, BlocksReader *blocks)
{
	static const char *const members[] = {"blocks", NULL};
	static const char *const capacity_members[] = {"limits", "price", NULL};
	bool		capacity = blocks->policy == POLICY_CAPACITY;
	ReaderObject tier;
	ReaderArray array;
	int			i;

	if (!array_object(tiers, index, &tier) ||
		!object_only_has(&tier, capacity ? capacity_members : members, NULL, NULL) ||
		(capacity && !object_number(&tier, "price", &blocks->prices[index])) ||
		!object_array(&tier, capacity ? "limits" : "blocks", BLOCKS_MAX_UNITS, &array))
		return false;
	for (i = 0; i < array.count; i++)
		if (!block_read(&array, i, index, blocks))
			return false;
	return true;
}

/* Append the rows of one unit. */
static bool
blocks_put_unit(const BlocksReader *blocks, const char *unit, StringInfo out)
{
	int			rows = list_length(blocks->rows);
	Number	   *max = palloc(sizeof(Number) * rows);
	Number	   *size = palloc(sizeof(Number) * rows);
	Number	   *price = palloc(sizeof(Number) * rows);
	uint16		count = 0;
	int			count_at;
	ListCell   *cell;

	compiled_put_text(out, unit, strlen(unit));
	count_at = out->len;
	compiled_put_bytes(out, &count, sizeof(count));
	foreach(cell, blocks->rows)
	{
		BlockRow   *row = (BlockRow *) lfirst(cell);
		uint16		tier = row->tier;

		if (strcmp(row->unit, unit) != 0)
			continue;
		compiled_put_bytes(out, &tier, sizeof(tier));
		max[count] = row->max;
		size[count] = row->size;
		price[count++] = row->price;
	}
	memcpy(out->data + count_at, &count, sizeof(count));
	return compiled_put_column(out, max, count) &&
		(blocks->policy == POLICY_CAPACITY ||
		 (compiled_put_column(out, size, count) && compiled_put_column(out, price, count)));
}

/* Append the whole body. */
static bool
blocks_put(const ReaderArray *tiers, BlocksReader *blocks, StringInfo out)
{
	uint16		tier_count = blocks->tier_count;
	uint16		unit_count = list_length(blocks->units);
	bool		put = true;
	ListCell   *cell;

	compiled_put_bytes(out, &blocks->policy, sizeof(blocks->policy));
	compiled_put_bytes(out, &tier_count, sizeof(tier_count));
	if (blocks->policy == POLICY_CAPACITY)
		put = compiled_put_column(out, blocks->prices, tier_count);
	compiled_put_bytes(out, &unit_count, sizeof(unit_count));
	foreach(cell, blocks->units)
		put = put && blocks_put_unit(blocks, (char *) lfirst(cell), out);
	return put || reader_fail_range(tiers->reader,
									"%s: the numbers of all tiers together span more than %d digits",
									tiers->path, NUMBER_MAX_DIGITS);
}

/* Every tier of a capacity price limits every unit, or usage would be free. */
static bool
blocks_check_limits(const ReaderArray *tiers, const BlocksReader *blocks)
{
	ListCell   *cell;
	int			i;

	for (i = 0; i < blocks->tier_count; i++)
		foreach(cell, blocks->units)
			if (!blocks_unit_in_tier(blocks, (char *) lfirst(cell), i))
				return reader_fail(tiers->reader, "%s[%d].limits has no limit of unit \"%s\"",
								   tiers->path, i, (char *) lfirst(cell));
	return true;
}

/* Read "policy" and "tiers". */
static bool
blocks_compile(const ReaderObject *object, StringInfo out)
{
	BlocksReader *blocks = palloc0(sizeof(BlocksReader));
	ReaderArray tiers;
	int			i;

	if (!object_choice(object, "policy", blocks_policies, &blocks->policy))
		return false;
	if (blocks->policy == 0)
		return reader_fail(object->reader, "%spolicy is missing", object->path);
	if (!object_array(object, "tiers", TARIFF_MAX_TIERS, &tiers))
		return false;
	blocks->tier_count = tiers.count;
	for (i = 0; i < tiers.count; i++)
		if (!blocks_read_tier(&tiers, i, blocks))
			return false;
	if (blocks->policy == POLICY_CAPACITY && !blocks_check_limits(&tiers, blocks))
		return false;
	return blocks_put(&tiers, blocks, out);
}

/* Find the parts in front of the units; nothing is copied. */
static void
blocks_open(const Tariff *tariff, Blocks *blocks)
{
	const char *cursor = tariff->body;

	compiled_get(&cursor, blocks->policy);
	compiled_get(&cursor, blocks->tier_count);
	if (blocks->policy == POLICY_CAPACITY)
		blocks->prices = compiled_get_column(&cursor, blocks->tier_count);
	compiled_get(&cursor, blocks->unit_count);
	blocks->units = cursor;
}

/* Find the rows of the next unit. */
static void
blocks_next_unit(const Blocks *blocks, const char **cursor, BlockUnit *unit)
{
	unit->name = compiled_get_text(cursor);
	compiled_get(cursor, unit->count);
	unit->tiers = *cursor;
	*cursor += unit->count * sizeof(uint16);
	unit->max = compiled_get_column(cursor, unit->count);
	if (blocks->policy == POLICY_CAPACITY)
		return;
	unit->size = compiled_get_column(cursor, unit->count);
	unit->price = compiled_get_column(cursor, unit->count);
}

/* The tier of one row of a unit. */
static int
unit_tier(const BlockUnit *unit, int row)
{
	uint16		tier;

	memcpy(&tier, unit->tiers + row * sizeof(tier), sizeof(tier));
	return tier;
}

/* The row of a unit for a tier, or -1. */
static int
unit_row(const BlockUnit *unit, int tier)
{
	int			row;

	for (row = 0; row < unit->count; row++)
		if (unit_tier(unit, row) == tier)
			return row;
	return -1;
}

/*
 * Does a dimension "unit" say of which unit the one quantity is that was
 * given?  The pipeline groups usage by it.
 */
static bool
blocks_named_unit(const Rating *rating, JsonbValue *name)
{
	Jsonb	   *json;

	if (rating->units != (Datum) 0 || rating->dimensions == (Datum) 0)
		return false;
	json = DatumGetJsonbP(rating->dimensions);
	return JB_ROOT_IS_OBJECT(json) &&
		getKeyJsonValueFromContainer(&json->root, "unit", 4, name) != NULL &&
		name->type == jbvString;
}

/* Is this the unit's name? */
static bool
unit_is_named(const BlockUnit *unit, const JsonbValue *name)
{
	return unit->name.length == name->val.string.len &&
		memcmp(unit->name.data, name->val.string.val, unit->name.length) == 0;
}

/* The quantity of one unit as it was given; 0 when it was not. */
static bool
unit_quantity(const Blocks *blocks, const BlockUnit *unit, Rating *rating, Number *quantity)
{
	JsonbValue	value;
	Jsonb	   *json;

	if (blocks_named_unit(rating, &value))
		*quantity = unit_is_named(unit, &value) ? rating->quantity : number_zero();
	else if (rating->units == (Datum) 0)
	{
		*quantity = rating->quantity;
		if (blocks->unit_count != 1)
			return rating_fail(rating, ERRCODE_TARIFF_UNITS, "Give the quantities as a JSON object by unit.",
							   "the price is for %d units, but one quantity is given", blocks->unit_count);
	}
	else
	{
		json = DatumGetJsonbP(rating->units);
		if (getKeyJsonValueFromContainer(&json->root, unit->name.data, unit->name.length, &value) == NULL)
			*quantity = number_zero();
		else if (!rating_decode_quantity(rating, &value, quantity))
			return false;
	}
	if (number_sign(*quantity) < 0)
		return rating_fail(rating, ERRCODE_TARIFF_NEGATIVE_QUANTITY, NULL,
						   "quantity %s of unit \"%.*s\" is negative, which has no meaning for a price of model blocks",
						   number_to_text(*quantity), unit->name.length, unit->name.data);
	return true;
}

/* Does the price know a unit? */
static bool
blocks_know(const Blocks *blocks, const JsonbValue *name)
{
	const char *cursor = blocks->units;
	BlockUnit	unit;
	int			i;

	for (i = 0; i < blocks->unit_count; i++)
	{
		blocks_next_unit(blocks, &cursor, &unit);
		if (unit_is_named(&unit, name))
			return true;
	}
	return false;
}

/*
 * Usage of a unit that the price does not know is refused, or it would be free
 * by a typing error.  Kill Bill takes no notice of it, as several usage
 * sections of a plan share the records of one subscription: the steps say so.
 */
static bool
blocks_unknown_unit(const Tariff *tariff, Rating *rating, const JsonbValue *name)
{
	if (tariff->head.dialect != DIALECT_KILLBILL)
		return rating_fail(rating, ERRCODE_TARIFF_UNITS, NULL, "the price has no unit \"%.*s\"",
						   name->val.string.len, name->val.string.val);
	rating_note(rating, STEP_NOTE, number_zero(), "unit \"%.*s\": no tier names it, so it costs nothing",
				name->val.string.len, name->val.string.val);
	return true;
}

/* Look for units that the price does not know. */
static bool
blocks_check_units(const Tariff *tariff, const Blocks *blocks, Rating *rating)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (tariff->head.dialect == DIALECT_KILLBILL && !rating->steps)
		return true;
	if (blocks_named_unit(rating, &value) && !blocks_know(blocks, &value) &&
		!blocks_unknown_unit(tariff, rating, &value))
		return false;
	if (rating->units == (Datum) 0)
		return true;
	iterator = JsonbIteratorInit(&DatumGetJsonbP(rating->units)->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY && !blocks_know(blocks, &value) &&
			!blocks_unknown_unit(tariff, rating, &value))
			return false;
	return true;
}

/* Add what blocks of one row cost, and report it. */
static void
blocks_charge(const BlockUnit *unit, int row, Rating *rating, Number blocks, Number *amount)
{
	Number		price = column_value(&unit->price, row);
	Number		cost = number_multiply(blocks, price);

	*amount = number_add(*amount, cost);
	if (rating->steps && number_sign(blocks) > 0)
		rating_step(rating, NULL, NULL, blocks, &price, cost,
					"tier %d, unit \"%.*s\": %s of %s at %s each", unit_tier(unit, row) + 1,
					unit->name.length, unit->name.data, rating_counted(rating, blocks, "block"),
					number_to_text(column_value(&unit->size, row)), number_to_text(price));
}

/*
 * Fill the tiers in order.  Returns the row reached: count when units are left
 * over.  *rest is the quantity that this row gets.
 */
static int
unit_fill(const BlockUnit *unit, Number quantity, Rating *rating, bool charge, Number *rest, Number *amount)
{
	int			row;

	*rest = quantity;
	for (row = 0; row < unit->count; row++)
	{
		Number		size = column_value(&unit->size, row);
		Number		max = column_value(&unit->max, row);
		Number		blocks = number_quotient(*rest, size, NUMBER_ROUND_UP);

		if (number_sign(max) < 0 || number_compare(blocks, max) <= 0)
		{
			if (charge)
				blocks_charge(unit, row, rating, blocks, amount);
			return row;
		}
		if (charge)
			blocks_charge(unit, row, rating, max, amount);
		*rest = number_subtract(*rest, number_multiply(max, size));
	}
	return row;
}

/* Add the price of one unit. */
static void
unit_price(const Blocks *blocks, const BlockUnit *unit, Number quantity, Rating *rating, Number *amount)
{
	bool		all_tiers = blocks->policy == POLICY_ALL_TIERS;
	Number		rest;
	int			row = unit_fill(unit, quantity, rating, all_tiers, &rest, amount);

	if (!all_tiers)
	{
		row = Min(row, unit->count - 1);
		blocks_charge(unit, row, rating,
					  number_quotient(quantity, column_value(&unit->size, row), NUMBER_ROUND_UP), amount);
	}
	else if (row == unit->count && rating->steps)
		rating_note(rating, STEP_NOTE, number_zero(), "unit \"%.*s\": %s units beyond the last tier cost nothing",
					unit->name.length, unit->name.data, number_to_text(rest));
}

/*
 * The first tier that holds the peak of one unit, at least *tier.  *used tells
 * whether there is any usage.
 */
static bool
capacity_tier(const Blocks *blocks, const BlockUnit *unit, Rating *rating, int *tier, bool *used)
{
	Number		peak;

	if (!unit_quantity(blocks, unit, rating, &peak))
		return false;
	*used |= number_sign(peak) > 0;
	for (; *tier < blocks->tier_count; (*tier)++)
	{
		Number		limit = column_value(&unit->max, unit_row(unit, *tier));

		if (number_sign(limit) < 0 || number_compare(peak, limit) <= 0)
			return true;
	}
	return rating_fail(rating, ERRCODE_TARIFF_BEYOND_LAST_TIER, NULL,
					   "peak %s of unit \"%.*s\" is beyond the limits of the last tier",
					   number_to_text(peak), unit->name.length, unit->name.data);
}

/*
 * The price of the first tier that holds all peaks.  A unit may fit a lower
 * tier that another one has left behind, so the units are gone through until
 * none moves on.
 */
static bool
capacity_price(const Blocks *blocks, Rating *rating, Number *amount)
{
	int			tier = 0;
	int			before;
	bool		used = false;
	BlockUnit	unit;
	int			i;

	do
	{
		const char *cursor = blocks->units;

		before = tier;
		for (i = 0; i < blocks->unit_count; i++)
		{
			blocks_next_unit(blocks, &cursor, &unit);
			if (!capacity_tier(blocks, &unit, rating, &tier, &used))
				return false;
		}
	} while (tier != before);
	*amount = used ? column_value(&blocks->prices, tier) : number_zero();
	if (rating->steps && used)
		rating_step(rating, NULL, NULL, number_make(1, 0), amount, *amount,
					"tier %d holds the peaks of all units", tier + 1);
	else if (rating->steps)
		rating_note(rating, STEP_NOTE, *amount, "no usage: nothing is charged");
	return true;
}

/* Price all units. */
static bool
blocks_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	const char *cursor;
	Blocks		blocks;
	BlockUnit	unit;
	Number		quantity;
	int			i;

	blocks_open(tariff, &blocks);
	if (!blocks_check_units(tariff, &blocks, rating))
		return false;
	if (blocks.policy == POLICY_CAPACITY)
		return capacity_price(&blocks, rating, amount);
	*amount = number_zero();
	cursor = blocks.units;
	for (i = 0; i < blocks.unit_count; i++)
	{
		blocks_next_unit(&blocks, &cursor, &unit);
		if (!unit_quantity(&blocks, &unit, rating, &quantity))
			return false;
		if (number_sign(quantity) > 0)
			unit_price(&blocks, &unit, quantity, rating, amount);
	}
	return true;
}

/* Print one row. */
static void
block_print(const Blocks *blocks, const BlockUnit *unit, int row, StringInfo json)
{
	Number		max = column_value(&unit->max, row);

	appendStringInfoString(json, json->data[json->len - 1] == '[' ? "{\"unit\":" : ",{\"unit\":");
	json_put_text(json, unit->name);
	if (blocks->policy != POLICY_CAPACITY)
		json_put_number(json, "size", column_value(&unit->size, row));
	if (number_sign(max) >= 0)
		json_put_number(json, "max", max);
	if (blocks->policy != POLICY_CAPACITY)
		json_put_number(json, "price", column_value(&unit->price, row));
	appendStringInfoChar(json, '}');
}

/* Print the policy and the tiers, the units of each in one order. */
static void
blocks_print(const Tariff *tariff, StringInfo json)
{
	Blocks		blocks;
	int			tier;
	int			i;

	blocks_open(tariff, &blocks);
	json_put_word(json, "policy", blocks_policies[blocks.policy]);
	appendStringInfoString(json, ",\"tiers\":[");
	for (tier = 0; tier < blocks.tier_count; tier++)
	{
		const char *cursor = blocks.units;

		appendStringInfo(json, "%s{\"%s\":[", tier > 0 ? "," : "",
						 blocks.policy == POLICY_CAPACITY ? "limits" : "blocks");
		for (i = 0; i < blocks.unit_count; i++)
		{
			BlockUnit	unit;
			int			row;

			blocks_next_unit(&blocks, &cursor, &unit);
			row = unit_row(&unit, tier);
			if (row >= 0)
				block_print(&blocks, &unit, row, json);
		}
		appendStringInfoChar(json, ']');
		if (blocks.policy == POLICY_CAPACITY)
			json_put_number(json, "price", column_value(&blocks.prices, tier));
		appendStringInfoChar(json, '}');
	}
	appendStringInfoChar(json, ']');
}

/* Units that a full row holds. */
static Number
row_units(const BlockUnit *unit, int row)
{
	return number_multiply(column_value(&unit->max, row), column_value(&unit->size, row));
}

/* Does a unit cost less where the next tier begins?  Only top_tier can. */
static void
blocks_lint_cliff(const BlockUnit *unit, int row, Number end, struct TariffLint *lint)
{
	Number		at_end = number_multiply(column_value(&unit->price, row),
										 number_quotient(end, column_value(&unit->size, row), NUMBER_ROUND_UP));
	Number		blocks = number_add(number_quotient(end, column_value(&unit->size, row + 1), NUMBER_ROUND_DOWN),
									number_make(1, 0));
	Number		above = number_multiply(column_value(&unit->price, row + 1), blocks);

	if (number_compare(above, at_end) < 0)
		lint_report(lint, LINT_WARNING, "cliff",
					"%s units of \"%.*s\" cost %s, but a little more costs only %s: using more makes the bill smaller",
					number_to_text(end), unit->name.length, unit->name.data,
					number_to_text(at_end), number_to_text(above));
}

/* Report what looks wrong in the rows of one unit. */
static void
blocks_lint_unit(const Blocks *blocks, const BlockUnit *unit, struct TariffLint *lint)
{
	Number		end = number_zero();
	int			last = unit->count - 1;
	int			row;

	for (row = 0; row < unit->count; row++)
	{
		bool		open = number_sign(column_value(&unit->max, row)) < 0;

		lint_price_sign(lint, psprintf("tiers[%d].blocks: price of \"%.*s\"", unit_tier(unit, row),
									   unit->name.length, unit->name.data), column_value(&unit->price, row));
		if (open && row < last)
			lint_report(lint, LINT_WARNING, "unreachable_tier",
						"tiers[%d] has no max for \"%.*s\": no unit reaches the tiers behind it",
						unit_tier(unit, row), unit->name.length, unit->name.data);
		if (open)
			return;
		end = number_add(end, row_units(unit, row));
		if (row < last && blocks->policy == POLICY_TOP_TIER)
			blocks_lint_cliff(unit, row, end, lint);
	}
	if (blocks->policy == POLICY_ALL_TIERS)
		lint_report(lint, LINT_WARNING, "free_beyond", "units of \"%.*s\" above %s cost nothing",
					unit->name.length, unit->name.data, number_to_text(end));
}

/* A capacity price that ends cannot rate a greater peak. */
static void
blocks_lint_limits(const Blocks *blocks, const BlockUnit *unit, struct TariffLint *lint)
{
	Number		limit = column_value(&unit->max, unit_row(unit, blocks->tier_count - 1));

	if (number_sign(limit) >= 0)
		lint_report(lint, LINT_NOTICE, "error_beyond", "a peak of \"%.*s\" above %s cannot be rated",
					unit->name.length, unit->name.data, number_to_text(limit));
}

/* Report units that fall out at the end or are not known, and cliffs. */
static void
blocks_lint(const Tariff *tariff, struct TariffLint *lint)
{
	const char *cursor;
	Blocks		blocks;
	BlockUnit	unit;
	int			i;

	blocks_open(tariff, &blocks);
	if (tariff->head.dialect == DIALECT_KILLBILL)
		lint_report(lint, LINT_NOTICE, "unknown_units_free",
					"usage of a unit that no tier names costs nothing, as in Kill Bill");
	cursor = blocks.units;
	for (i = 0; i < blocks.unit_count; i++)
	{
		blocks_next_unit(&blocks, &cursor, &unit);
		if (blocks.policy == POLICY_CAPACITY)
			blocks_lint_limits(&blocks, &unit, lint);
		else
			blocks_lint_unit(&blocks, &unit, lint);
	}
}

/* Usage comes by unit. */
static void
blocks_describe(const Tariff *tariff, TariffFacts *facts)
{
	TariffText	unit_name = {"unit", 4};

	facts_add_dimension(facts, unit_name);
}

const TariffModel tariff_blocks = {
	.name = "blocks",
	.members = blocks_members,
	.takes = MODEL_TAKES_UNITS,
	.compile = blocks_compile,
	.print = blocks_print,
	.price = blocks_price,
	.describe = blocks_describe,
	.lint = blocks_lint
};
