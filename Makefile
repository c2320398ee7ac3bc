# billing: PGXS makefile.
#
#   make  make install  make installcheck  make dist      PG_CONFIG=… for another server, PROFILE=-Werror for more flags
#   make WITHOUT_WORKER=1 …                               without the background worker, which needs libcurl
#   mkdir b && cd b && make -f ../Makefile install        out of tree; the source tree is only read
#
# The extension script is put together from the readable pieces under sql/:
#   sql/<room>/*.sql          members of the extension (types, operators, pure functions)
#   sql/<room>/ledger/*.sql   what create_ledger() makes; embedded in ledger_definition()
#
# The version stands in META.json alone: the script's name, the installed control file and the library take it from there.

SRC := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
ifeq ($(SRC),)
SRC := .
endif

NAME_OF_EXTENSION = billing
EXTVERSION := $(shell sed -n 's/^   "version": *"\([^"]*\)".*/\1/p' $(SRC)/META.json)
ifeq ($(EXTVERSION),)
$(error META.json: no "version" line found)
endif

# Rooms in the order in which one may use the other.
ROOMS = module monetary usage_interval tariff ledger metering rating invoicing cost allocation worker budget connectors killbill reporting

C_FILES      = $(filter-out src/worker/%,$(sort $(patsubst $(SRC)/%,%,$(wildcard $(SRC)/src/*/*.c))))
C_HEADERS    = $(filter-out %/currency_table.h,$(wildcard $(SRC)/src/*/*.h))
MEMBER_SQL   = $(foreach room,$(ROOMS),$(sort $(wildcard $(SRC)/sql/$(room)/*.sql)))
LEDGER_SQL   = $(foreach room,$(ROOMS),$(sort $(wildcard $(SRC)/sql/$(room)/ledger/*.sql)))
# A folder is newer than its files once one was taken away.
SQL_FOLDERS  = $(wildcard $(addprefix $(SRC)/sql/,$(ROOMS)) $(addsuffix /ledger,$(addprefix $(SRC)/sql/,$(ROOMS))))

SCRIPT         = sql/$(NAME_OF_EXTENSION)--$(EXTVERSION).sql
CONTROL        = sql/$(NAME_OF_EXTENSION).control
CURRENCY_TABLE = src/monetary/currency_table.h

MODULE_big   = $(NAME_OF_EXTENSION)
OBJS         = $(C_FILES:.c=.o)
BITCODE      = $(C_FILES:.c=.bc)
PG_CPPFLAGS  = -Isrc -I$(SRC)/src -DBILLING_VERSION=\"$(EXTVERSION)\"

# Not EXTENSION = billing: that would install the control file as it is tracked, without its version.
MODULEDIR    = extension
DATA_built   = $(SCRIPT) $(CONTROL)
DATA         = $(patsubst $(SRC)/%,%,$(wildcard $(SRC)/sql/$(NAME_OF_EXTENSION)--*--*.sql))
EXTRA_CLEAN  = $(CURRENCY_TABLE) $(DATA_built:=.tmp)

# install.sql comes first: it creates the extension in the regression database.
REGRESS      = install $(filter-out install,$(patsubst $(SRC)/test/sql/%.sql,%,$(sort $(wildcard $(SRC)/test/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(SRC)/test --outputdir=.

# test/specs is test/isolation by the name that the test driver looks for.
ISOLATION      = $(patsubst $(SRC)/test/isolation/%.spec,%,$(sort $(wildcard $(SRC)/test/isolation/*.spec)))
ISOLATION_OPTS = --inputdir=$(SRC)/test --load-extension=btree_gist --load-extension=billing

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS searches the source tree for everything when it builds out of tree, and would take the objects of an earlier build there.
ifneq ($(VPATH),)
srcdir := $(SRC)
override VPATH :=
vpath %.c $(SRC)
endif

$(OBJS) $(BITCODE): $(C_HEADERS) $(CURRENCY_TABLE) | $(sort $(dir $(OBJS)))

$(sort $(dir $(OBJS))):
	mkdir -p $@

# The library and the control file carry the version.
src/module/module.o src/module/module.bc: $(SRC)/META.json

$(SCRIPT): $(MEMBER_SQL) $(LEDGER_SQL) $(SQL_FOLDERS) $(SRC)/META.json $(SRC)/sql/build
	@mkdir -p $(@D)
	sh $(SRC)/sql/build '$(EXTVERSION)' '$(MEMBER_SQL)' '$(LEDGER_SQL)' > $@.tmp
	mv $@.tmp $@

$(CONTROL): $(SRC)/billing.control $(SRC)/META.json
	@mkdir -p $(@D)
	sed "s/^#.*default_version.*/default_version = '$(EXTVERSION)'/" $(SRC)/billing.control > $@.tmp
	mv $@.tmp $@

$(CURRENCY_TABLE): $(SRC)/src/monetary/currencies.tsv $(SRC)/src/monetary/currency_table.awk
	@mkdir -p $(@D)
	awk -f $(SRC)/src/monetary/currency_table.awk $(SRC)/src/monetary/currencies.tsv > $@.tmp
	mv $@.tmp $@

# The background worker is a library of its own, so that this one needs no libcurl.
ifndef WITHOUT_WORKER
WORKER_MAKE = $(MAKE) -f $(SRC)/src/worker/Makefile SRC=$(SRC) PG_CONFIG=$(PG_CONFIG)

all: worker-all
install: worker-install
uninstall: worker-uninstall
clean: worker-clean

worker-all worker-install worker-uninstall worker-clean:
	+$(WORKER_MAKE) $(@:worker-%=%)
worker-install: worker-all

.PHONY: worker-all worker-install worker-uninstall worker-clean
endif

# The archive for PGXN, from the commit that is checked out.
dist: check-meta
	git -C $(SRC) archive --format zip --prefix=$(NAME_OF_EXTENSION)-$(EXTVERSION)/ -o $(CURDIR)/$(NAME_OF_EXTENSION)-$(EXTVERSION).zip HEAD

# META.json is valid, and the places inside it that repeat the version agree.
check-meta:
	python3 $(SRC)/test/lib/check_meta.py $(SRC)

.PHONY: dist check-meta
