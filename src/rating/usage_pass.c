/*-------------------------------------------------------------------------
 *
 * usage_pass.c
 *	  The pass of a billing run over usage: quantities of many accounts at
 *	  once, in one parallel scan.
 *
 * A run has to add up every usage row of a month into the spans of the
 * charges it falls in.  Joins and grouping by the executor cost several times
 * the scan itself, so the spans ("pieces") are packed into one array, which
 * the leader makes once and every parallel worker copies, and an aggregate
 * without GROUP BY adds each row to the pieces of its account and meter.
 * Only sums and counts are made this way; everything else, and everything
 * small, takes the ordinary way, with the same results.
 *
 * Usage comes in the order of recording, so that each row touches memory far
 * from the one before.  What a row needs of a piece is therefore one cache
 * line, and rows are collected in small batches whose memory is asked for
 * ahead of its use: together this is several times faster than one row at a
 * time in a table larger than the processor's cache.
 *
 * Both packed forms are made and read by this file alone, inside one query.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
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
#define PIECES_MAGIC 0x62705032
#define TOTALS_MAGIC 0x62705432

/* Most pieces of one pass: 2^24 need 1 GB, the most that a value can have. */
#define MAX_PIECES ((1 << 24) - 1)

/* A directory that is addressed directly may have this many places a piece. */
#define DIRECT_PLACES 8

/*
 * One span into which usage of an account and meter is added up, and what has
 * been added so far: quantity plus carry times 2^128, because a sum that no
 * price can have must not stop the run for everybody else.  int128 needs
 * memcpy in palloc'd memory.
 */
typedef struct Piece
{
	int64		account;
	TimestampTz from;
	TimestampTz until;
	uint64		quantity_halves[2];
	int64		events;
	int32		meter;
	int32		contract;		/* by these two the caller knows it */
	int32		segment;
	uint32		is_last:1;		/* of its account and meter */
	int32		carry:31;
} Piece;

#define PIECE_SIZE 64

StaticAssertDecl(sizeof(Piece) == PIECE_SIZE, "a piece fills a cache line");

/* Head of the packed pieces, which follow ordered by account, meter and start. */
typedef struct PieceTable
{
	int32		vl_len_;
	uint32		magic;
	int32		pieces;
	int32		unused;
} PieceTable;

/* What was added up for one piece, as it goes from process to process. */
typedef struct PieceTotal
{
	uint64		quantity_halves[2];
	int64		carry;
	int64		events;
	int32		contract;
	int32		segment;
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
typedef struct PieceGathering
{
	Piece	   *pieces;
	int			count;
	int			room;
} PieceGathering;

/*
 * Where the pieces of an account and meter begin.  Numbers of accounts and
 * meters are dense in an ordinary ledger, and the directory has a place for
 * each pair; otherwise it is a hash table with linear probing.  -1 = empty.
 */
typedef struct Directory
{
	int32	   *places;
	bool		is_direct;
	uint64		mask;			/* of the hash table */
	int64		first_account;
	int32		first_meter;
	uint64		accounts;		/* of the direct form */
	uint64		meters;
} Directory;

/* A usage row that waits to be added. */
typedef struct WaitingUsage
{
	int64		account;
	int32		meter;
	int32		first;			/* its first piece, -1 = none */
	const int32 *place;			/* where in the directory to look */
	UsageInterval consumed;
} WaitingUsage;

/* State of the pass in one process: with pieces while it adds, else with totals. */
typedef struct UsagePass
{
	Piece	   *pieces;
	int			count;
	Directory	directory;
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
piece_hash(int64 account, int32 meter)
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
 * pieces_gather(state, account_id, meter_id, from_at, to_at, contract_no,
 * segment_no) collects one piece.  Rows with a NULL are no pieces.
 */
Datum
pieces_gather(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	PieceGathering *gathering = PG_ARGISNULL(0) ? NULL : (PieceGathering *) PG_GETARG_POINTER(0);
	Piece	   *piece;

	if (gathering == NULL)
	{
		gathering = MemoryContextAllocZero(context, sizeof(PieceGathering));
		gathering->room = 1024;
		gathering->pieces = MemoryContextAllocHuge(context, gathering->room * sizeof(Piece));
	}
	for (int i = 1; i <= 6; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_POINTER(gathering);
	if (gathering->count == MAX_PIECES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("more than %d charges in one pass over usage", MAX_PIECES)));
	if (gathering->count == gathering->room)
	{
		gathering->room *= 2;
		gathering->pieces = repalloc_huge(gathering->pieces, gathering->room * sizeof(Piece));
	}
	piece = &gathering->pieces[gathering->count++];
	memset(piece, 0, sizeof(Piece));
	piece->account = PG_GETARG_INT64(1);
	piece->meter = PG_GETARG_INT32(2);
	piece->from = PG_GETARG_TIMESTAMPTZ(3);
	piece->until = PG_GETARG_TIMESTAMPTZ(4);
	piece->contract = PG_GETARG_INT32(5);
	piece->segment = PG_GETARG_INT32(6);
	PG_RETURN_POINTER(gathering);
}

static int
compare_pieces(const void *a, const void *b)
{
	const Piece *left = a;
	const Piece *right = b;

	if (left->account != right->account)
		return left->account < right->account ? -1 : 1;
	if (left->meter != right->meter)
		return left->meter < right->meter ? -1 : 1;
	if (left->from != right->from)
		return left->from < right->from ? -1 : 1;
	return 0;
}

static inline bool
same_usage(const Piece *a, const Piece *b)
{
	return a->account == b->account && a->meter == b->meter;
}

/* pieces_pack(state) returns the packed pieces; NULL when there are none. */
Datum
pieces_pack(PG_FUNCTION_ARGS)
{
	PieceGathering *gathering = PG_ARGISNULL(0) ? NULL : (PieceGathering *) PG_GETARG_POINTER(0);
	Size		size;
	PieceTable *table;

	(void) aggregate_context(fcinfo);
	if (gathering == NULL || gathering->count == 0)
		PG_RETURN_NULL();
	qsort(gathering->pieces, gathering->count, sizeof(Piece), compare_pieces);
	for (int i = 0; i < gathering->count; i++)
	{
		Piece	   *this = &gathering->pieces[i];

		this->is_last = i + 1 == gathering->count || !same_usage(this, this + 1);
	}
	size = sizeof(PieceTable) + gathering->count * sizeof(Piece);
	table = palloc0(size);
	SET_VARSIZE(table, size);
	table->magic = PIECES_MAGIC;
	table->pieces = gathering->count;
	memcpy(table + 1, gathering->pieces, gathering->count * sizeof(Piece));
	PG_RETURN_POINTER(table);
}

/* Whether a packed table is what pieces_pack() makes: ordered, and the last piece of each account and meter says so. */
static bool
pieces_are_valid(const PieceTable *table)
{
	const Piece *pieces = (const Piece *) (table + 1);

	if (VARSIZE(table) < sizeof(PieceTable) || table->magic != PIECES_MAGIC || table->pieces <= 0 || table->pieces > MAX_PIECES ||
		VARSIZE(table) != sizeof(PieceTable) + table->pieces * sizeof(Piece))
		return false;
	for (int i = 0; i + 1 < table->pieces; i++)
		if (compare_pieces(&pieces[i], &pieces[i + 1]) > 0 || pieces[i].is_last != !same_usage(&pieces[i], &pieces[i + 1]))
			return false;
	return pieces[table->pieces - 1].is_last;
}

/* Memory whose beginning and end lie on cache lines. */
static void *
allocate_cache_lines(MemoryContext context, Size size)
{
	return (void *) TYPEALIGN(PIECE_SIZE, MemoryContextAllocHuge(context, size + PIECE_SIZE));
}

static void
make_places(Directory *directory, MemoryContext context, uint64 count)
{
	directory->places = MemoryContextAllocHuge(context, count * sizeof(int32));
	memset(directory->places, 0xFF, count * sizeof(int32));
}

/* Decide the form of the directory, by the span that the numbers of accounts and meters cover. */
static void
begin_directory(Directory *directory, MemoryContext context, const Piece *pieces, int count)
{
	int32		last_meter = pieces[0].meter;
	uint64		account_span;

	directory->first_account = pieces[0].account;
	directory->first_meter = pieces[0].meter;
	for (int i = 1; i < count; i++)
	{
		directory->first_meter = Min(directory->first_meter, pieces[i].meter);
		last_meter = Max(last_meter, pieces[i].meter);
	}
	account_span = (uint64) pieces[count - 1].account - (uint64) pieces[0].account;
	directory->meters = (uint64) ((int64) last_meter - directory->first_meter + 1);
	directory->is_direct = account_span < (uint64) count * DIRECT_PLACES / directory->meters;
	if (directory->is_direct)
	{
		directory->accounts = account_span + 1;
		make_places(directory, context, directory->accounts * directory->meters);
	}
	else
	{
		uint64		size = pg_nextpower2_64((uint64) count * 2);

		directory->mask = size - 1;
		make_places(directory, context, size);
	}
}

/* The place of an account and meter: the one, or where to begin to look; NULL when it can have none. */
static inline int32 *
directory_place(const Directory *directory, int64 account, int32 meter)
{
	uint64		account_no = (uint64) account - (uint64) directory->first_account;
	uint64		meter_no = (uint64) ((int64) meter - directory->first_meter);

	if (!directory->is_direct)
		return &directory->places[piece_hash(account, meter) & directory->mask];
	if (account_no >= directory->accounts || meter_no >= directory->meters)
		return NULL;
	return &directory->places[account_no * directory->meters + meter_no];
}

/* The next place of a hash table. */
static inline const int32 *
directory_next(const Directory *directory, const int32 *place)
{
	return place == directory->places + directory->mask ? directory->places : place + 1;
}

static void
fill_directory(Directory *directory, const Piece *pieces, int count)
{
	for (int i = 0; i < count; i++)
	{
		const int32 *place;

		if (i > 0 && same_usage(&pieces[i], &pieces[i - 1]))
			continue;
		place = directory_place(directory, pieces[i].account, pieces[i].meter);
		while (*place >= 0)
			place = directory_next(directory, place);
		directory->places[place - directory->places] = i;
	}
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
	PieceTable *table = (PieceTable *) PG_DETOAST_DATUM(packed);
	UsagePass  *pass = MemoryContextAllocZero(context, sizeof(UsagePass));

	if (!pieces_are_valid(table))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid table of charges"),
				 errhint("It is made by billing.pack_pieces() in the same query.")));
	pass->count = table->pieces;
	pass->pieces = allocate_cache_lines(context, pass->count * sizeof(Piece));
	memcpy(pass->pieces, table + 1, pass->count * sizeof(Piece));
	begin_directory(&pass->directory, context, pass->pieces, pass->count);
	fill_directory(&pass->directory, pass->pieces, pass->count);
	return pass;
}

/* Add a quantity modulo 2^128; returns what is carried, -1, 0 or 1. */
static inline int
add_quantity(uint64 *quantity_halves, Fixed quantity)
{
	uint128		before;
	uint128		sum;

	memcpy(&before, quantity_halves, sizeof(before));
	sum = before + (uint128) quantity;
	memcpy(quantity_halves, &sum, sizeof(sum));
	/* both of one sign and the sum of the other */
	if (likely(((before ^ sum) & ((uint128) quantity ^ sum)) >> 127 == 0))
		return 0;
	return quantity < 0 ? -1 : 1;
}

/* quantity + carry * 2^128 as a number. */
static Numeric
wide_quantity(Fixed quantity, int64 carry)
{
	Datum		step;

	if (likely(carry == 0))
		return fixed_to_numeric(quantity);
	step = DirectFunctionCall3(numeric_in, CStringGetDatum("340282366920938463463374.607431768211456"),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	step = DirectFunctionCall2(numeric_mul, step, NumericGetDatum(int64_to_numeric(carry)));
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, step, NumericGetDatum(fixed_to_numeric(quantity))));
}

/* Add one row to all the pieces it falls in. */
static inline void
add_usage(Piece *piece, const UsageInterval *consumed)
{
	for (;; piece++)
	{
		UsageInterval room;
		const UsageInterval *part = usage_interval_clip(consumed, piece->from, piece->until, &room);

		if (part != NULL)
		{
			piece->carry += add_quantity(piece->quantity_halves, usage_interval_quantity(part));
			piece->events++;
		}
		if (piece->is_last)
			return;
	}
}

/* Where the pieces of a waiting row begin, -1 if it has none. */
static inline int
find_first_piece(const UsagePass *pass, const WaitingUsage *row)
{
	const int32 *place = row->place;

	if (!pass->directory.is_direct)
		while (*place >= 0 && (pass->pieces[*place].account != row->account || pass->pieces[*place].meter != row->meter))
			place = directory_next(&pass->directory, place);
	return *place;
}

/* Add the rows that wait: places first, then pieces, each asked for before it is read. */
static void
add_waiting(UsagePass *pass)
{
	WaitingUsage *end = pass->waiting + pass->waiting_count;

	for (WaitingUsage *row = pass->waiting; row < end; row++)
	{
		row->first = find_first_piece(pass, row);
		if (row->first >= 0)
			PREFETCH(&pass->pieces[row->first]);
	}
	for (WaitingUsage *row = pass->waiting; row < end; row++)
		if (row->first >= 0)
			add_usage(&pass->pieces[row->first], &row->consumed);
	pass->waiting_count = 0;
}

/* Let a row wait for its batch, unless its account or meter has no pieces at all. */
static inline void
enqueue_usage(UsagePass *pass, int64 account, int32 meter, const UsageInterval *consumed)
{
	const int32 *place = directory_place(&pass->directory, account, meter);
	WaitingUsage *row = &pass->waiting[pass->waiting_count];

	if (place == NULL)
		return;
	PREFETCH(place);
	row->account = account;
	row->meter = meter;
	row->place = place;
	row->consumed = *consumed;
	if (++pass->waiting_count == BATCH_SIZE)
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

/* The totals of a pass, whichever form its state has; of one that adds they are made anew. */
static TotalTable *
totals_of_pass(UsagePass *pass, MemoryContext context)
{
	TotalTable *table;

	if (pass->pieces == NULL)
		return pass->totals;
	add_waiting(pass);
	table = make_totals(context, pass->count);
	for (int i = 0; i < pass->count; i++)
	{
		const Piece *piece = &pass->pieces[i];
		PieceTotal *total = &totals_of(table)[i];

		memcpy(total->quantity_halves, piece->quantity_halves, sizeof(total->quantity_halves));
		total->carry = piece->carry;
		total->events = piece->events;
		total->contract = piece->contract;
		total->segment = piece->segment;
	}
	return table;
}

/* A state that holds only totals, in memory of its own. */
static UsagePass *
make_total_pass(MemoryContext context, const TotalTable *totals)
{
	UsagePass  *pass = MemoryContextAllocZero(context, sizeof(UsagePass));

	pass->totals = make_totals(context, totals->totals);
	memcpy(totals_of(pass->totals), totals + 1, totals->totals * sizeof(PieceTotal));
	return pass;
}

/* usage_pass_combine(state, state) adds up the totals of two processes. */
Datum
usage_pass_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	UsagePass  *left = PG_ARGISNULL(0) ? NULL : (UsagePass *) PG_GETARG_POINTER(0);
	TotalTable *from;
	TotalTable *to;

	if (PG_ARGISNULL(1))
	{
		if (left == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(left);
	}
	from = totals_of_pass((UsagePass *) PG_GETARG_POINTER(1), CurrentMemoryContext);
	if (left == NULL)
		PG_RETURN_POINTER(make_total_pass(context, from));
	if (left->pieces != NULL)
		left = make_total_pass(context, totals_of_pass(left, CurrentMemoryContext));
	to = left->totals;
	if (from->totals != to->totals)
		elog(ERROR, "passes over usage of different charges cannot be combined");
	for (int i = 0; i < from->totals; i++)
	{
		Fixed		quantity;

		memcpy(&quantity, totals_of(from)[i].quantity_halves, sizeof(quantity));
		totals_of(to)[i].carry += totals_of(from)[i].carry + add_quantity(totals_of(to)[i].quantity_halves, quantity);
		totals_of(to)[i].events += totals_of(from)[i].events;
	}
	PG_RETURN_POINTER(left);
}

/* usage_pass_serialize(state), also the final function: the packed totals. */
Datum
usage_pass_serialize(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(totals_of_pass((UsagePass *) PG_GETARG_POINTER(0), CurrentMemoryContext));
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

/* usage_pass_totals(totals) returns a row a piece on which there was usage: its numbers, quantity and count. */
Datum
usage_pass_totals(PG_FUNCTION_ARGS)
{
	TotalTable *table = checked_totals((TotalTable *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0)));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < table->totals; i++)
	{
		const PieceTotal *total = &totals_of(table)[i];
		Fixed		quantity;
		Datum		values[4];
		bool		nulls[4] = {false, false, false, false};

		if (total->events == 0)
			continue;
		memcpy(&quantity, total->quantity_halves, sizeof(quantity));
		values[0] = Int32GetDatum(total->contract);
		values[1] = Int32GetDatum(total->segment);
		values[2] = NumericGetDatum(wide_quantity(quantity, total->carry));
		values[3] = Int64GetDatum(total->events);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		pfree(DatumGetPointer(values[2]));
	}
	return (Datum) 0;
}
