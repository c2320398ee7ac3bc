/*-------------------------------------------------------------------------
 *
 * usage_pass.c
 *	  The pass of a billing run over usage: quantities of many accounts at
 *	  once, in one parallel scan.
 *
 * A run has to add up every usage row of a month into the spans of the
 * charges it falls in.  Joins and grouping by the executor cost several times
 * the scan itself, so the spans ("pieces") are packed into one hash table,
 * which the leader makes once and every parallel worker reads as it is, and
 * an aggregate without GROUP BY adds each row to the pieces of its account
 * and meter.  Only sums and counts are made this way; everything else, and
 * everything small, takes the ordinary way, with the same results.
 *
 * Usage comes in the order of recording, so that each row touches memory far
 * from the one before.  Rows are therefore collected in small batches, whose
 * memory is asked for ahead of its use: this is three times faster than one
 * row at a time with 100,000 accounts.
 *
 * Both packed forms are made and read by this file alone, inside one query.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "monetary/fixed.h"
#include "usage_interval/usage_interval.h"

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void) 0)
#endif

/* Usage rows that are added up together. */
#define BATCH_SIZE 64

/* First word of both packed forms. */
#define PIECES_MAGIC 0x62705031
#define TOTALS_MAGIC 0x62705431

/* Most pieces of one pass: 2^26 need about 5 GB, which palloc refuses long before. */
#define MAX_PIECES (1 << 26)

/* One span into which usage of an account and meter is added up. */
typedef struct Piece
{
	TimestampTz from;
	TimestampTz until;
	int32		number;			/* by which the caller knows it */
	int32		is_last;		/* of its account and meter */
} Piece;

/* A slot of the hash table: where the pieces of an account and meter begin. */
typedef struct PieceSlot
{
	int64		account;
	int32		meter;
	int32		first;			/* -1 = empty */
} PieceSlot;

/* Head of the packed pieces; the slots and then the pieces follow. */
typedef struct PieceTable
{
	int32		vl_len_;
	uint32		magic;
	int32		slots;			/* a power of two */
	int32		pieces;
} PieceTable;

/* What has been added up for one piece; int128 needs memcpy in palloc'd memory. */
typedef struct PieceTotal
{
	uint64		quantity_halves[2];
	int64		events;
	int32		number;
	int32		unused;
} PieceTotal;

/* Head of packed totals; an array of PieceTotal follows, in the order of the packed pieces. */
typedef struct TotalTable
{
	int32		vl_len_;
	uint32		magic;
	int32		totals;
	int32		unused;
} TotalTable;

/* Pieces while they are gathered. */
typedef struct GatheredPiece
{
	int64		account;
	int32		meter;
	Piece		piece;
} GatheredPiece;

typedef struct PieceGathering
{
	GatheredPiece *pieces;
	int			count;
	int			room;
} PieceGathering;

/* A usage row that waits to be added. */
typedef struct WaitingUsage
{
	int64		account;
	int32		meter;
	int32		first;			/* its first piece, -1 = none */
	const PieceSlot *slot;
	UsageInterval consumed;
} WaitingUsage;

/* State of the pass in one process. */
typedef struct UsagePass
{
	const PieceSlot *slots;
	const Piece *pieces;
	uint64		mask;
	TotalTable *totals;
	int			waiting_count;
	WaitingUsage waiting[BATCH_SIZE];
} UsagePass;

PG_FUNCTION_INFO_V1(pieces_gather);
PG_FUNCTION_INFO_V1(pieces_pack);
PG_FUNCTION_INFO_V1(usage_pass_add);
PG_FUNCTION_INFO_V1(usage_pass_combine);
PG_FUNCTION_INFO_V1(usage_pass_serialize);
PG_FUNCTION_INFO_V1(usage_pass_deserialize);
PG_FUNCTION_INFO_V1(usage_pass_totals);

static inline PieceTotal *
totals_of(TotalTable *table)
{
	return (PieceTotal *) (table + 1);
}

static inline uint64
slot_hash(int64 account, int32 meter)
{
	uint64		hash = ((uint64) account ^ ((uint64) meter << 40)) * UINT64CONST(0x9E3779B97F4A7C15);

	return hash ^ (hash >> 29);
}

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this function belongs to an aggregate and cannot be called alone")));
	return context;
}

/*
 * pieces_gather(state, account_id, meter_id, from_at, to_at, number) collects
 * one piece.  Rows with a NULL are no pieces.
 */
Datum
pieces_gather(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	PieceGathering *gathering = PG_ARGISNULL(0) ? NULL : (PieceGathering *) PG_GETARG_POINTER(0);
	GatheredPiece *new_piece;

	if (gathering == NULL)
	{
		gathering = MemoryContextAllocZero(context, sizeof(PieceGathering));
		gathering->room = 1024;
		gathering->pieces = MemoryContextAllocHuge(context, gathering->room * sizeof(GatheredPiece));
	}
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
		PG_RETURN_POINTER(gathering);
	if (gathering->count == gathering->room)
	{
		if (gathering->room >= MAX_PIECES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("more than %d charges in one pass over usage", MAX_PIECES)));
		gathering->room *= 2;
		gathering->pieces = repalloc_huge(gathering->pieces, gathering->room * sizeof(GatheredPiece));
	}
	new_piece = &gathering->pieces[gathering->count++];
	new_piece->account = PG_GETARG_INT64(1);
	new_piece->meter = PG_GETARG_INT32(2);
	new_piece->piece.from = PG_GETARG_TIMESTAMPTZ(3);
	new_piece->piece.until = PG_GETARG_TIMESTAMPTZ(4);
	new_piece->piece.number = PG_GETARG_INT32(5);
	PG_RETURN_POINTER(gathering);
}

static int
compare_gathered(const void *a, const void *b)
{
	const GatheredPiece *left = a;
	const GatheredPiece *right = b;

	if (left->account != right->account)
		return left->account < right->account ? -1 : 1;
	if (left->meter != right->meter)
		return left->meter < right->meter ? -1 : 1;
	if (left->piece.from != right->piece.from)
		return left->piece.from < right->piece.from ? -1 : 1;
	return 0;
}

/* Put the pieces of one account and meter, which begin at "first", into the table. */
static void
insert_slot(PieceSlot *slots, uint64 mask, const GatheredPiece *gathered, int first)
{
	uint64		at = slot_hash(gathered->account, gathered->meter) & mask;

	while (slots[at].first >= 0)
		at = (at + 1) & mask;
	slots[at].account = gathered->account;
	slots[at].meter = gathered->meter;
	slots[at].first = first;
}

/*
 * pieces_pack(state) returns the packed hash table; NULL without pieces.
 * Numbers must be 0 to n - 1.
 */
Datum
pieces_pack(PG_FUNCTION_ARGS)
{
	PieceGathering *gathering = PG_ARGISNULL(0) ? NULL : (PieceGathering *) PG_GETARG_POINTER(0);
	int			slot_count = 16;
	Size		size;
	PieceTable *table;
	PieceSlot  *slots;
	Piece	   *pieces;

	(void) aggregate_context(fcinfo);
	if (gathering == NULL || gathering->count == 0)
		PG_RETURN_NULL();
	qsort(gathering->pieces, gathering->count, sizeof(GatheredPiece), compare_gathered);
	while (slot_count < 2 * gathering->count)
		slot_count *= 2;
	size = sizeof(PieceTable) + slot_count * sizeof(PieceSlot) + gathering->count * sizeof(Piece);
	table = palloc(size);
	SET_VARSIZE(table, size);
	table->magic = PIECES_MAGIC;
	table->slots = slot_count;
	table->pieces = gathering->count;
	slots = (PieceSlot *) (table + 1);
	pieces = (Piece *) (slots + slot_count);
	memset(slots, 0xFF, slot_count * sizeof(PieceSlot));
	for (int i = 0; i < gathering->count; i++)
	{
		const GatheredPiece *this = &gathering->pieces[i];
		bool		is_first = i == 0 || this[-1].account != this->account || this[-1].meter != this->meter;

		if (this->piece.number < 0 || this->piece.number >= gathering->count)
			elog(ERROR, "piece number %d is not between 0 and %d", this->piece.number, gathering->count - 1);
		pieces[i] = this->piece;
		pieces[i].is_last = i + 1 == gathering->count || this[1].account != this->account || this[1].meter != this->meter;
		if (is_first)
			insert_slot(slots, slot_count - 1, this, i);
	}
	PG_RETURN_POINTER(table);
}

/* Whether a packed table is what pieces_pack() makes: no index leads outside. */
static bool
pieces_are_valid(const PieceTable *table)
{
	const PieceSlot *slots = (const PieceSlot *) (table + 1);
	const Piece *pieces;
	Size		size = VARSIZE(table);
	int			used = 0;

	if (size < sizeof(PieceTable) || table->magic != PIECES_MAGIC || table->pieces <= 0 || table->pieces > MAX_PIECES ||
		table->slots <= 0 || (table->slots & (table->slots - 1)) != 0 || table->slots > 4 * MAX_PIECES ||
		size != sizeof(PieceTable) + table->slots * sizeof(PieceSlot) + table->pieces * sizeof(Piece))
		return false;
	pieces = (const Piece *) (slots + table->slots);
	for (int i = 0; i < table->slots; i++)
	{
		if (slots[i].first >= table->pieces)
			return false;
		used += slots[i].first >= 0;
	}
	for (int i = 0; i < table->pieces; i++)
		if (pieces[i].number < 0 || pieces[i].number >= table->pieces)
			return false;
	return used < table->slots && pieces[table->pieces - 1].is_last;
}

static TotalTable *
make_totals(MemoryContext context, int count)
{
	Size		size = sizeof(TotalTable) + count * sizeof(PieceTotal);
	TotalTable *table = MemoryContextAllocZero(context, size);

	SET_VARSIZE(table, size);
	table->magic = TOTALS_MAGIC;
	table->totals = count;
	return table;
}

/* Begin a pass: copy the packed pieces to where they live as long as the state. */
static UsagePass *
begin_pass(MemoryContext context, Datum packed)
{
	MemoryContext old_context = MemoryContextSwitchTo(context);
	PieceTable *table = (PieceTable *) PG_DETOAST_DATUM_COPY(packed);
	UsagePass  *pass = palloc0(sizeof(UsagePass));

	MemoryContextSwitchTo(old_context);
	if (!pieces_are_valid(table))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid table of charges"),
				 errhint("It is made by billing.pack_pieces() in the same query.")));
	pass->slots = (const PieceSlot *) (table + 1);
	pass->pieces = (const Piece *) (pass->slots + table->slots);
	pass->mask = table->slots - 1;
	pass->totals = make_totals(context, table->pieces);
	for (int i = 0; i < table->pieces; i++)
		totals_of(pass->totals)[i].number = pass->pieces[i].number;
	return pass;
}

static inline void
add_to_total(PieceTotal *total, Fixed quantity, int64 events)
{
	Fixed		sum;

	memcpy(&sum, total->quantity_halves, sizeof(sum));
	if (unlikely(!fixed_add(sum, quantity, &sum)))
		usage_quantity_range_error();
	memcpy(total->quantity_halves, &sum, sizeof(sum));
	total->events += events;
}

/* Add one row to all the pieces it falls in. */
static inline void
add_usage(UsagePass *pass, int first, const UsageInterval *consumed)
{
	for (int i = first;; i++)
	{
		const Piece *piece = &pass->pieces[i];
		UsageInterval room;
		const UsageInterval *part = usage_interval_clip(consumed, piece->from, piece->until, &room);

		if (part != NULL)
			add_to_total(&totals_of(pass->totals)[i], usage_interval_quantity(part), 1);
		if (piece->is_last)
			return;
	}
}

/* Where the pieces of a waiting row begin, -1 if it has none. */
static inline int
find_first_piece(const UsagePass *pass, const WaitingUsage *row)
{
	const PieceSlot *slot = row->slot;

	while (slot->first >= 0 && (slot->account != row->account || slot->meter != row->meter))
		slot = slot == pass->slots + pass->mask ? pass->slots : slot + 1;
	return slot->first;
}

/* Add the rows that wait: slots first, then pieces and totals, then the sums, each asked for before it is read. */
static void
add_waiting(UsagePass *pass)
{
	WaitingUsage *end = pass->waiting + pass->waiting_count;

	for (WaitingUsage *row = pass->waiting; row < end; row++)
	{
		row->first = find_first_piece(pass, row);
		if (row->first < 0)
			continue;
		PREFETCH(&pass->pieces[row->first]);
		PREFETCH(&totals_of(pass->totals)[row->first]);
	}
	for (WaitingUsage *row = pass->waiting; row < end; row++)
		if (row->first >= 0)
			add_usage(pass, row->first, &row->consumed);
	pass->waiting_count = 0;
}

/* Let a row wait for its batch. */
static inline void
enqueue_usage(UsagePass *pass, int64 account, int32 meter, const UsageInterval *consumed)
{
	WaitingUsage *row = &pass->waiting[pass->waiting_count++];

	row->account = account;
	row->meter = meter;
	row->consumed = *consumed;
	row->slot = &pass->slots[slot_hash(account, meter) & pass->mask];
	PREFETCH(row->slot);
	if (pass->waiting_count == BATCH_SIZE)
		add_waiting(pass);
}

/*
 * usage_pass_add(state, pieces, account_id, meter_id, consumed, recorded_at,
 * known_at, own_at) adds one usage row, if it counts at the watermark.
 */
Datum
usage_pass_add(PG_FUNCTION_ARGS)
{
	UsagePass  *pass = PG_ARGISNULL(0) ? NULL : (UsagePass *) PG_GETARG_POINTER(0);
	TimestampTz recorded_at;

	if (unlikely(pass == NULL))
	{
		MemoryContext context = aggregate_context(fcinfo);

		if (PG_ARGISNULL(1))
			PG_RETURN_NULL();
		pass = begin_pass(context, PG_GETARG_DATUM(1));
	}
	if (PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(5) || PG_ARGISNULL(6))
		PG_RETURN_POINTER(pass);
	recorded_at = PG_GETARG_TIMESTAMPTZ(5);
	if (recorded_at < PG_GETARG_TIMESTAMPTZ(6) || (!PG_ARGISNULL(7) && recorded_at == PG_GETARG_TIMESTAMPTZ(7)))
		enqueue_usage(pass, PG_GETARG_INT64(2), PG_GETARG_INT32(3), PG_GETARG_USAGE_INTERVAL_P(4));
	PG_RETURN_POINTER(pass);
}

/* usage_pass_combine(state, state) adds up the totals of two processes. */
Datum
usage_pass_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	UsagePass  *left = PG_ARGISNULL(0) ? NULL : (UsagePass *) PG_GETARG_POINTER(0);
	UsagePass  *right = PG_ARGISNULL(1) ? NULL : (UsagePass *) PG_GETARG_POINTER(1);
	const PieceTotal *from;

	if (right == NULL)
	{
		if (left == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(left);
	}
	if (left == NULL)
	{
		left = MemoryContextAllocZero(context, sizeof(UsagePass));
		left->totals = make_totals(context, right->totals->totals);
		for (int i = 0; i < right->totals->totals; i++)
			totals_of(left->totals)[i].number = totals_of(right->totals)[i].number;
	}
	add_waiting(left);
	add_waiting(right);
	if (left->totals->totals != right->totals->totals)
		elog(ERROR, "passes over usage of different charges cannot be combined");
	from = totals_of(right->totals);
	for (int i = 0; i < right->totals->totals; i++)
	{
		Fixed		quantity;

		memcpy(&quantity, from[i].quantity_halves, sizeof(quantity));
		add_to_total(&totals_of(left->totals)[i], quantity, from[i].events);
	}
	PG_RETURN_POINTER(left);
}

/* usage_pass_serialize(state), also the final function: the packed totals. */
Datum
usage_pass_serialize(PG_FUNCTION_ARGS)
{
	UsagePass  *pass;

	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	pass = (UsagePass *) PG_GETARG_POINTER(0);
	add_waiting(pass);
	PG_RETURN_POINTER(pass->totals);
}

/* Raises unless the packed totals are what this file makes. */
static TotalTable *
checked_totals(TotalTable *table)
{
	if (VARSIZE(table) < sizeof(TotalTable) || table->magic != TOTALS_MAGIC || table->totals < 0 || table->totals > MAX_PIECES ||
		VARSIZE(table) != sizeof(TotalTable) + table->totals * sizeof(PieceTotal))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid totals of a pass over usage"),
				 errhint("They are made by billing.pass_usage() in the same query.")));
	return table;
}

/* usage_pass_deserialize(totals, internal) is a state without pieces, to be combined. */
Datum
usage_pass_deserialize(PG_FUNCTION_ARGS)
{
	UsagePass  *pass;

	(void) aggregate_context(fcinfo);
	pass = palloc0(sizeof(UsagePass));
	pass->totals = checked_totals((TotalTable *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
	PG_RETURN_POINTER(pass);
}

/* usage_pass_totals(totals) returns a row a piece on which there was usage: its number, quantity and count. */
Datum
usage_pass_totals(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	TotalTable *table;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old_context;

		call = SRF_FIRSTCALL_INIT();
		old_context = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->user_fctx = checked_totals((TotalTable *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
		if (get_call_result_type(fcinfo, NULL, &call->tuple_desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		call->tuple_desc = BlessTupleDesc(call->tuple_desc);
		MemoryContextSwitchTo(old_context);
	}
	call = SRF_PERCALL_SETUP();
	table = call->user_fctx;
	while (call->call_cntr < (uint64) table->totals)
	{
		const PieceTotal *total = &totals_of(table)[call->call_cntr];
		Fixed		quantity;
		Datum		values[3];
		bool		nulls[3] = {false, false, false};

		if (total->events == 0)
		{
			call->call_cntr++;
			continue;
		}
		memcpy(&quantity, total->quantity_halves, sizeof(quantity));
		values[0] = Int32GetDatum(total->number);
		values[1] = NumericGetDatum(fixed_to_numeric(quantity));
		values[2] = Int64GetDatum(total->events);
		SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(call);
}
