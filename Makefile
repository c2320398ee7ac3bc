# billing: PGXS makefile.  Also works out of tree: mkdir build && cd build && make -f ../Makefile
#
# The extension script is put together from the readable pieces under sql/:
#   sql/<room>/*.sql          members of the extension (types, operators, pure functions)
#   sql/<room>/ledger/*.sql   what create_ledger() makes; embedded in ledger_definition()

SRC := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
ifeq ($(SRC),)
SRC := .
endif

EXTENSION  = billing
EXTVERSION = $(shell sed -n 's/^   "version": *"\([^"]*\)".*/\1/p' $(SRC)/META.json)

# Rooms in the order in which one may use the other.
ROOMS = monetary usage_interval tariff ledger metering rating invoicing reporting

C_FILES      = $(sort $(wildcard $(SRC)/src/*/*.c))
C_HEADERS    = $(wildcard $(SRC)/src/*/*.h)
MEMBER_SQL   = $(foreach room,$(ROOMS),$(sort $(wildcard $(SRC)/sql/$(room)/*.sql)))
LEDGER_SQL   = $(foreach room,$(ROOMS),$(sort $(wildcard $(SRC)/sql/$(room)/ledger/*.sql)))

MODULE_big   = billing
OBJS         = $(patsubst $(SRC)/%.c,%.o,$(C_FILES))
PG_CPPFLAGS  = -I$(SRC)/src -Isrc -DBILLING_VERSION=\"$(EXTVERSION)\"
DATA_built   = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA         = $(wildcard $(SRC)/sql/$(EXTENSION)--*--*.sql)
EXTRA_CLEAN  = src/monetary/currency_table.h

# install.sql comes first: it creates the extension in the regression database.
REGRESS      = install $(filter-out install,$(patsubst $(SRC)/test/sql/%.sql,%,$(sort $(wildcard $(SRC)/test/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(SRC)/test --outputdir=.

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

sql/$(EXTENSION)--$(EXTVERSION).sql: $(MEMBER_SQL) $(LEDGER_SQL) $(SRC)/META.json $(SRC)/sql/build
	@mkdir -p $(@D)
	sh $(SRC)/sql/build '$(EXTVERSION)' '$(MEMBER_SQL)' '$(LEDGER_SQL)' > $@.tmp
	mv $@.tmp $@

src/monetary/currency_table.h: $(SRC)/src/monetary/currencies.tsv $(SRC)/src/monetary/currency_table.awk
	@mkdir -p $(@D)
	awk -f $(SRC)/src/monetary/currency_table.awk $(SRC)/src/monetary/currencies.tsv > $@.tmp
	mv $@.tmp $@

$(OBJS) $(OBJS:.o=.bc): $(C_HEADERS) src/monetary/currency_table.h

dist:
	git archive --format zip --prefix=$(EXTENSION)-$(EXTVERSION)/ -o $(EXTENSION)-$(EXTVERSION).zip HEAD

.PHONY: dist
