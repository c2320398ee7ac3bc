/*-------------------------------------------------------------------------
 *
 * model_matrix.c
 *	  Price model "matrix": the price depends on dimensions of the usage.
 *
 * A cell names one value for every dimension and has a unit price or a tariff
 * of its own.  Usage that no cell matches is priced by "default" or, without
 * one, is an error: it is never free by accident.  Without cells there is just
 * a default: one price for all values, each of which is priced alone.
 *
 * Body: number of dimensions and their names; number of cells, a flag for a
 * default; the offset of each cell, then of the default, from the start of the
 * body; the cells.  A cell is its values, a kind and the unit price or a
 * length and a whole compiled tariff.  Cells are a set: they are stored in
 * the order of their values, so that one is found by binary search.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "tariff/lint.h"
#include "tariff/model.h"

static const char *const matrix_members[] = {"dimensions", "cells", "default", "unmatched", NULL};

/* Kinds of cells, stored. */
#define CELL_UNIT_PRICE 1
#define CELL_TARIFF 2

/* A stored matrix. */
typedef struct Matrix
{
	int			dimension_count;
	TariffText	dimensions[TARIFF_MAX_DIMENSIONS];
	uint32		cell_count;
	bool		has_default;
	const char *body;
	const char *offsets;
} Matrix;

/* A cell while it is read. */
typedef struct MatrixCell
{
	int			index;			/* place in the JSON */
	char	   *values[TARIFF_MAX_DIMENSIONS];
	int			kind;
	Number		unit_price;
	StringInfoData tariff;
} MatrixCell;

/* The whole matrix while it is read. */
typedef struct MatrixReader
{
	int			dimension_count;
	char	   *dimensions[TARIFF_MAX_DIMENSIONS];
	int			cell_count;
	MatrixCell *cells;			/* one more place, for the default */
	bool		has_default;
} MatrixReader;

/* Refuse a name or value that is too long for its stored length. */
static bool
matrix_check_text(const ReaderObject *object, const char *what, const char *text)
{
	if (strlen(text) > TARIFF_MAX_TEXT)
		return reader_fail_range(object->reader, "%s%s is longer than %d bytes",
								 object->path, what, TARIFF_MAX_TEXT);
	return true;
}

/* Read the names of the dimensions, each once. */
static bool
matrix_read_dimensions(const ReaderObject *object, MatrixReader *matrix)
{
	ReaderArray array;
	int			i;
	int			k;

	if (!object_array(object, "dimensions", TARIFF_MAX_DIMENSIONS, &array))
		return false;
	matrix->dimension_count = array.count;
	for (i = 0; i < array.count; i++)
	{
		if (!array_text(&array, i, &matrix->dimensions[i]) ||
			!matrix_check_text(object, "dimensions", matrix->dimensions[i]))
			return false;
		for (k = 0; k < i; k++)
			if (strcmp(matrix->dimensions[i], matrix->dimensions[k]) == 0)
				return reader_fail(object->reader, "%s[%d] and %s[%d] are both \"%s\"",
								   array.path, k, array.path, i, matrix->dimensions[i]);
	}
	return true;
}

/* Read the values that a cell matches: one for each dimension. */
static bool
cell_read_match(const ReaderObject *object, const MatrixReader *matrix, MatrixCell *cell)
{
	ReaderObject match;
	const char *names[TARIFF_MAX_DIMENSIONS + 1];
	int			i;

	for (i = 0; i < matrix->dimension_count; i++)
		names[i] = matrix->dimensions[i];
	names[i] = NULL;
	if (!object_object(object, "match", &match) || !object_only_has(&match, names, NULL, NULL))
		return false;
	for (i = 0; i < matrix->dimension_count; i++)
	{
		if (!object_scalar_text(&match, names[i], &cell->values[i]))
			return false;
		if (cell->values[i] == NULL)
			return reader_fail(object->reader, "%s%s is missing", match.path, names[i]);
		if (!matrix_check_text(&match, names[i], cell->values[i]))
			return false;
	}
	return true;
}

/* Read what a cell costs: "unit_price" or "tariff". */
static bool
cell_read_price(const ReaderObject *object, MatrixCell *cell)
{
	ReaderObject nested;
	bool		compiled;

	if (object_has(object, "unit_price") == object_has(object, "tariff"))
		return reader_fail(object->reader, "%sunit_price or %stariff must be given, and not both",
						   object->path, object->path);
	if (object_has(object, "unit_price"))
	{
		cell->kind = CELL_UNIT_PRICE;
		return object_number(object, "unit_price", &cell->unit_price);
	}
	cell->kind = CELL_TARIFF;
	if (object->reader->nesting >= TARIFF_MAX_NESTING)
		return reader_fail_range(object->reader, "%stariff is nested more than %d deep",
								 object->path, TARIFF_MAX_NESTING);
	if (!object_object(object, "tariff", &nested))
		return false;
	initStringInfo(&cell->tariff);
	object->reader->nesting++;
	compiled = tariff_compile(&nested, &cell->tariff);
	object->reader->nesting--;
	return compiled;
}

/* Read all cells in the order of the JSON. */
static bool
matrix_read_cells(const ReaderObject *object, MatrixReader *matrix)
{
	static const char *const members[] = {"match", "unit_price", "tariff", NULL};
	ReaderArray array;
	ReaderObject cell;
	int			i;

	/* without cells the default is the price of every value, each alone */
	array.count = 0;
	if ((object_has(object, "cells") || !object_has(object, "default")) &&
		!object_array(object, "cells", TARIFF_MAX_CELLS, &array))
		return false;
	matrix->cell_count = array.count;
	matrix->cells = palloc0(sizeof(MatrixCell) * (array.count + 1));
	for (i = 0; i < array.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		matrix->cells[i].index = i;
		if (!array_object(&array, i, &cell) ||
			!object_only_has(&cell, members, NULL, NULL) ||
			!cell_read_match(&cell, matrix, &matrix->cells[i]) ||
			!cell_read_price(&cell, &matrix->cells[i]))
			return false;
	}
	return true;
}

/* Read "default" and "unmatched", of which one can be said. */
static bool
matrix_read_default(const ReaderObject *object, MatrixReader *matrix)
{
	static const char *const members[] = {"unit_price", "tariff", NULL};
	static const char *const words[] = {NULL, "error", ""};
	ReaderObject cell;
	uint8		unmatched;

	if (!object_choice(object, "unmatched", words, &unmatched))
		return false;
	matrix->has_default = object_has(object, "default");
	if (!matrix->has_default)
		return object->reader->sqlstate == 0;
	if (unmatched != 0)
		return reader_fail(object->reader, "%sdefault and %sunmatched contradict each other",
						   object->path, object->path);
	return object_object(object, "default", &cell) &&
		object_only_has(&cell, members, NULL, NULL) &&
		cell_read_price(&cell, &matrix->cells[matrix->cell_count]);
}

/* Compare two byte strings, shorter first among equal beginnings. */
static int
compare_bytes(const char *a, int a_length, const char *b, int b_length)
{
	int			result = memcmp(a, b, Min(a_length, b_length));

	return result != 0 ? result : a_length - b_length;
}

/* Order cells by their values, dimension by dimension. */
static int
cell_compare(const void *a, const void *b, void *argument)
{
	const MatrixReader *matrix = (const MatrixReader *) argument;
	const MatrixCell *x = (const MatrixCell *) a;
	const MatrixCell *y = (const MatrixCell *) b;
	int			result = 0;
	int			i;

	for (i = 0; i < matrix->dimension_count && result == 0; i++)
		result = compare_bytes(x->values[i], strlen(x->values[i]),
							   y->values[i], strlen(y->values[i]));
	return result;
}

/* Append one cell. */
static void
cell_put(const MatrixReader *matrix, const MatrixCell *cell, StringInfo out)
{
	uint8		kind = cell->kind;
	int			i;

	for (i = 0; i < matrix->dimension_count && cell->values[0] != NULL; i++)
		compiled_put_text(out, cell->values[i], strlen(cell->values[i]));
	compiled_put_bytes(out, &kind, sizeof(kind));
	if (kind == CELL_UNIT_PRICE)
		compiled_put_number(out, cell->unit_price);
	else
		compiled_put_bytes(out, cell->tariff.data, cell->tariff.len);
}

/* Append the whole body. */
static void
matrix_put(const MatrixReader *matrix, StringInfo out)
{
	uint8		dimension_count = matrix->dimension_count;
	uint32		cell_count = matrix->cell_count;
	uint8		has_default = matrix->has_default;
	int			body = out->len;
	int			offsets_at;
	int			stored = cell_count + has_default;
	int			i;

	compiled_put_bytes(out, &dimension_count, sizeof(dimension_count));
	for (i = 0; i < dimension_count; i++)
		compiled_put_text(out, matrix->dimensions[i], strlen(matrix->dimensions[i]));
	compiled_put_bytes(out, &cell_count, sizeof(cell_count));
	compiled_put_bytes(out, &has_default, sizeof(has_default));
	offsets_at = out->len;
	for (i = 0; i < stored; i++)
		compiled_put_bytes(out, &cell_count, sizeof(cell_count));
	for (i = 0; i < stored; i++)
	{
		uint32		offset = out->len - body;

		memcpy(out->data + offsets_at + i * sizeof(offset), &offset, sizeof(offset));
		cell_put(matrix, &matrix->cells[i], out);
	}
}

/* Read the matrix, sort its cells and refuse two that match the same. */
static bool
matrix_compile(const ReaderObject *object, StringInfo out)
{
	MatrixReader matrix;
	int			i;

	memset(&matrix, 0, sizeof(matrix));
	if (!matrix_read_dimensions(object, &matrix) || !matrix_read_cells(object, &matrix) ||
		!matrix_read_default(object, &matrix))
		return false;
	qsort_arg(matrix.cells, matrix.cell_count, sizeof(MatrixCell), cell_compare, &matrix);
	for (i = 1; i < matrix.cell_count; i++)
		if (cell_compare(&matrix.cells[i - 1], &matrix.cells[i], &matrix) == 0)
			return reader_fail(object->reader, "%scells[%d] and %scells[%d] match the same values",
							   object->path, Min(matrix.cells[i - 1].index, matrix.cells[i].index),
							   object->path, Max(matrix.cells[i - 1].index, matrix.cells[i].index));
	matrix_put(&matrix, out);
	return true;
}

/* Find the parts of a stored matrix; nothing is copied. */
static void
matrix_open(const Tariff *tariff, Matrix *matrix)
{
	const char *cursor = tariff->body;
	uint8		count;
	uint8		has_default;
	int			i;

	matrix->body = tariff->body;
	compiled_get(&cursor, count);
	matrix->dimension_count = count;
	for (i = 0; i < count; i++)
		matrix->dimensions[i] = compiled_get_text(&cursor);
	compiled_get(&cursor, matrix->cell_count);
	compiled_get(&cursor, has_default);
	matrix->has_default = has_default;
	matrix->offsets = cursor;
}

/* Where a cell begins; the one after the last is the default. */
static const char *
matrix_cell(const Matrix *matrix, uint32 index)
{
	uint32		offset;

	memcpy(&offset, matrix->offsets + index * sizeof(offset), sizeof(offset));
	return matrix->body + offset;
}

/* Skip the values of a cell; the default has none. */
static const char *
matrix_cell_price(const Matrix *matrix, uint32 index)
{
	const char *cursor = matrix_cell(matrix, index);
	int			i;

	for (i = 0; i < matrix->dimension_count && index < matrix->cell_count; i++)
		(void) compiled_get_text(&cursor);
	return cursor;
}

/* Compare values with those of a cell, in the order of storage. */
static int
matrix_compare(const Matrix *matrix, const TariffText *values, uint32 index)
{
	const char *cursor = matrix_cell(matrix, index);
	int			result = 0;
	int			i;

	for (i = 0; i < matrix->dimension_count && result == 0; i++)
	{
		TariffText	text = compiled_get_text(&cursor);

		result = compare_bytes(values[i].data, values[i].length, text.data, text.length);
	}
	return result;
}

/*
 * Read the values of the matrix's dimensions.  A value that is absent, null or
 * no scalar leaves data NULL.
 */
static void
matrix_values(const Matrix *matrix, Rating *rating, TariffText *values)
{
	Jsonb	   *json = DatumGetJsonbP(rating->dimensions);
	JsonbValue	value;
	int			i;

	for (i = 0; i < matrix->dimension_count; i++)
	{
		values[i].data = NULL;
		if (!JB_ROOT_IS_OBJECT(json) ||
			getKeyJsonValueFromContainer(&json->root, matrix->dimensions[i].data,
										 matrix->dimensions[i].length, &value) == NULL)
			continue;
		if (value.type == jbvString)
		{
			values[i].data = value.val.string.val;
			values[i].length = value.val.string.len;
			continue;
		}
		values[i].data = reader_scalar_text(&value);
		if (values[i].data != NULL)
			values[i].length = strlen(values[i].data);
	}
}

/* The values as 'region "eu", provider "aws"'. */
static char *
matrix_values_text(const Matrix *matrix, const TariffText *values)
{
	StringInfoData text;
	int			i;

	initStringInfo(&text);
	for (i = 0; i < matrix->dimension_count; i++)
	{
		appendStringInfo(&text, "%s%.*s ", i > 0 ? ", " : "",
						 matrix->dimensions[i].length, matrix->dimensions[i].data);
		if (values[i].data == NULL)
			appendStringInfoString(&text, "(none)");
		else
			appendStringInfo(&text, "\"%.*s\"", values[i].length, values[i].data);
	}
	return text.data;
}

/* Find the cell of values; cell_count when there is none. */
static uint32
matrix_search(const Matrix *matrix, const TariffText *values)
{
	uint32		low = 0;
	uint32		high = matrix->cell_count;
	int			i;

	for (i = 0; i < matrix->dimension_count; i++)
		if (values[i].data == NULL)
			return matrix->cell_count;
	while (low < high)
	{
		uint32		middle = (low + high) / 2;
		int			order = matrix_compare(matrix, values, middle);

		if (order == 0)
			return middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return matrix->cell_count;
}

/* Find what prices the usage: *price points at the kind byte of its cell. */
static bool
matrix_find(const Tariff *tariff, Rating *rating, const char **price)
{
	Matrix		matrix;
	TariffText	values[TARIFF_MAX_DIMENSIONS];
	uint32		index;

	matrix_open(tariff, &matrix);
	if (rating->dimensions == (Datum) 0)
		return rating_fail(rating, ERRCODE_TARIFF_INPUT_MISSING,
						   "Give the dimensions of the usage as the fourth argument.",
						   "the price depends on dimensions, but they are not given");
	matrix_values(&matrix, rating, values);
	index = matrix_search(&matrix, values);
	if (index == matrix.cell_count && !matrix.has_default)
		return rating_fail(rating, ERRCODE_TARIFF_UNMATCHED_CELL,
						   "Add a cell or a default to the price.",
						   "the price has no cell for %s", matrix_values_text(&matrix, values));
	if (rating->steps)
		rating_note(rating, STEP_NOTE, number_zero(), "%s: %s", matrix_values_text(&matrix, values),
					index == matrix.cell_count ? "default price" : "price of the cell");
	*price = matrix_cell_price(&matrix, index);
	return true;
}

/* Open the tariff of a cell; false for a plain unit price. */
static bool
cell_tariff(const char *price, Tariff *nested, Number *unit_price)
{
	uint8		kind;

	compiled_get(&price, kind);
	if (kind == CELL_TARIFF)
	{
		tariff_open(price, nested);
		return true;
	}
	*unit_price = compiled_get_number(&price);
	return false;
}

/* Price the quantity by the cell that the dimensions choose. */
static bool
matrix_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	const char *price;
	Tariff		nested;
	Number		unit_price;

	if (!matrix_find(tariff, rating, &price))
		return false;
	if (cell_tariff(price, &nested, &unit_price))
		return tariff_price(&nested, rating, amount);
	*amount = number_multiply(rating->quantity, unit_price);
	if (rating->steps)
		rating_step(rating, NULL, NULL, rating->quantity, &unit_price, *amount,
					"%s at %s each",
					rating_counted(rating, rating->quantity, "unit"), number_to_text(unit_price));
	return true;
}

/* The same for single events: one cell prices all events of a group. */
static bool
matrix_price_each(const Tariff *tariff, Rating *rating,
				  const RatedEvent *events, int count, Number *amount)
{
	const char *price;
	Tariff		nested;
	Number		unit_price;

	if (!matrix_find(tariff, rating, &price))
		return false;
	if (cell_tariff(price, &nested, &unit_price))
		return tariff_price_each(&nested, rating, events, count, amount);
	*amount = number_multiply(rating_prorated_units(events, count), unit_price);
	return true;
}

/* The unit price of the cell that the dimensions choose. */
static bool
matrix_unit_price(const Tariff *tariff, Rating *rating, Number *unit_price)
{
	const char *price;
	Tariff		nested;

	if (!matrix_find(tariff, rating, &price))
		return false;
	return !cell_tariff(price, &nested, unit_price) ||
		tariff_unit_price(&nested, rating, unit_price);
}

/* Print what a cell costs. */
static void
cell_print(const char *price, StringInfo json)
{
	Tariff		nested;
	Number		unit_price;

	if (!cell_tariff(price, &nested, &unit_price))
	{
		json_put_number(json, "unit_price", unit_price);
		return;
	}
	appendStringInfo(json, "%s\"tariff\":", json->data[json->len - 1] == '{' ? "" : ",");
	tariff_print(&nested, json);
}

/* Print dimensions, cells in their stored order, and the default. */
static void
matrix_print(const Tariff *tariff, StringInfo json)
{
	Matrix		matrix;
	uint32		i;
	int			k;

	matrix_open(tariff, &matrix);
	appendStringInfoString(json, ",\"dimensions\":[");
	for (k = 0; k < matrix.dimension_count; k++)
	{
		appendStringInfoString(json, k > 0 ? "," : "");
		json_put_text(json, matrix.dimensions[k]);
	}
	appendStringInfoChar(json, ']');
	for (i = 0; i < matrix.cell_count; i++)
	{
		const char *cursor = matrix_cell(&matrix, i);

		appendStringInfoString(json, i > 0 ? ",{\"match\":" : ",\"cells\":[{\"match\":");
		for (k = 0; k < matrix.dimension_count; k++)
		{
			appendStringInfoChar(json, k > 0 ? ',' : '{');
			json_put_text(json, matrix.dimensions[k]);
			appendStringInfoChar(json, ':');
			json_put_text(json, compiled_get_text(&cursor));
		}
		appendStringInfoChar(json, '}');
		cell_print(cursor, json);
		appendStringInfoString(json, i + 1 < matrix.cell_count ? "}" : "}]");
	}
	if (matrix.has_default)
	{
		appendStringInfoString(json, ",\"default\":{");
		cell_print(matrix_cell_price(&matrix, matrix.cell_count), json);
		appendStringInfoChar(json, '}');
	}
}

/* Its own dimensions, and what the tariffs of its cells need. */
static void
matrix_describe(const Tariff *tariff, TariffFacts *facts)
{
	Matrix		matrix;
	uint32		i;
	int			k;

	matrix_open(tariff, &matrix);
	for (k = 0; k < matrix.dimension_count; k++)
		facts_add_dimension(facts, matrix.dimensions[k]);
	for (i = 0; i < matrix.cell_count + matrix.has_default; i++)
	{
		Tariff		nested;
		Number		unit_price;

		if (cell_tariff(matrix_cell_price(&matrix, i), &nested, &unit_price))
			tariff_describe(&nested, facts);
	}
}

/* Order texts like the values of cells. */
static int
text_compare(const void *a, const void *b)
{
	const TariffText *x = (const TariffText *) a;
	const TariffText *y = (const TariffText *) b;

	return compare_bytes(x->data, x->length, y->data, y->length);
}

/* How many values of one dimension the cells name. */
static uint64
matrix_distinct(const Matrix *matrix, int dimension)
{
	TariffText *texts = palloc(sizeof(TariffText) * matrix->cell_count);
	uint64		distinct = 1;
	uint32		i;

	for (i = 0; i < matrix->cell_count; i++)
	{
		const char *cursor = matrix_cell(matrix, i);
		int			k;

		for (k = 0; k <= dimension; k++)
			texts[i] = compiled_get_text(&cursor);
	}
	qsort(texts, matrix->cell_count, sizeof(TariffText), text_compare);
	for (i = 1; i < matrix->cell_count; i++)
		distinct += text_compare(&texts[i - 1], &texts[i]) != 0;
	pfree(texts);
	return distinct;
}

/* How many combinations of the values that occur have no cell. */
static uint64
matrix_holes(const Matrix *matrix)
{
	uint64		combinations = 1;
	int			k;

	if (matrix->cell_count == 0)
		return 0;
	for (k = 0; k < matrix->dimension_count; k++)
		if (pg_mul_u64_overflow(combinations, matrix_distinct(matrix, k), &combinations))
			combinations = PG_UINT64_MAX;
	return combinations - matrix->cell_count;
}

/* Report combinations without a cell, and what is wrong inside the cells. */
static void
matrix_lint(const Tariff *tariff, struct TariffLint *lint)
{
	Matrix		matrix;
	const char *outer = lint->path;
	uint64		holes;
	uint32		i;

	matrix_open(tariff, &matrix);
	holes = matrix_holes(&matrix);
	if (holes > 0)
		lint_report(lint, matrix.has_default ? LINT_NOTICE : LINT_WARNING, "missing_cells",
					"combinations of the values that occur without a cell: " UINT64_FORMAT "; they %s",
					holes, matrix.has_default ? "take the default" : "cannot be rated");
	if (!matrix.has_default)
		lint_report(lint, LINT_NOTICE, "no_default",
					"usage with a value that no cell names cannot be rated");
	for (i = 0; i < matrix.cell_count + matrix.has_default; i++)
	{
		Tariff		nested;
		Number		unit_price;

		lint->path = i < matrix.cell_count ? psprintf("%scells[%u]: ", outer, i) :
			psprintf("%sdefault: ", outer);
		if (cell_tariff(matrix_cell_price(&matrix, i), &nested, &unit_price))
			tariff_lint_all(&nested, lint);
		else
			lint_price_sign(lint, "unit_price", unit_price);
	}
	lint->path = outer;
}

const TariffModel tariff_matrix = {
	.name = "matrix",
	.members = matrix_members,
	.takes = MODEL_TAKES_CONVERT | MODEL_TAKES_FREE,
	.compile = matrix_compile,
	.print = matrix_print,
	.price = matrix_price,
	.price_each = matrix_price_each,
	.unit_price = matrix_unit_price,
	.describe = matrix_describe,
	.lint = matrix_lint
};
