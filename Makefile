# Tarn.  `make run` to see it work, `make check` to test it, HACKING.md for
# the rest.  Sources are found by folder: a new file needs no change here.

SAN      ?=
BUILD    ?= $(if $(SAN),build/$(SAN),build)
CC       ?= cc
CLANG    ?= clang-14
JOBS     ?= $(shell nproc 2>/dev/null || echo 1)
PREFIX   ?= /usr/local
DESTDIR  ?=
SEEDS    ?= 1000
FUZZ_S   ?= 5
EXTRA_DEFS ?=
OPT      ?= -O2
WERROR   ?= -Werror

ifeq ($(origin CC),default)
CC := gcc
endif

# --- flags -----------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wimplicit-fallthrough -Wundef \
	-Wconversion $(WERROR)
HARDEN := -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection -fPIE
# Only gcc has it without asking twice.
ifeq ($(findstring clang,$(CC)),)
HARDEN += -ftrivial-auto-var-init=zero
endif
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack

ifeq ($(SAN),)
HARDEN += -D_FORTIFY_SOURCE=2
else ifeq ($(SAN),asan)
OPT    := -O1
SANF   := -fsanitize=address,undefined -fno-sanitize-recover=all \
	  -fno-omit-frame-pointer
else ifeq ($(SAN),tsan)
OPT    := -O1
SANF   := -fsanitize=thread -fno-omit-frame-pointer
else ifeq ($(SAN),fuzz)
OPT    := -O1
SANF   := -fsanitize=fuzzer-no-link,address,undefined \
	  -fno-sanitize-recover=all -fno-omit-frame-pointer
else
$(error SAN=$(SAN) is not known: asan, tsan or fuzz)
endif

# Looked up when first used, so that `make run` can install them before.
PKGS = liburing libnbd jansson blkid libisal inih libzstd nettle libxxhash
pc   = $(shell pkg-config $(1) $(PKGS))
PC_CFLAGS = $(eval PC_CFLAGS := $(call pc,--cflags))$(PC_CFLAGS)
PC_LIBS   = $(eval PC_LIBS := $(call pc,--libs))$(PC_LIBS)

BASE_CFLAGS = $(OPT) -g -std=gnu11 -D_GNU_SOURCE -I. $(EXTRA_DEFS) $(WARN) \
	$(HARDEN) $(SANF)
ALL_CFLAGS  = $(BASE_CFLAGS) $(PC_CFLAGS) $(EXTRA) $(CFLAGS)
ALL_LDFLAGS = $(OPT) $(SANF) $(LDHARDEN) $(LDFLAGS)
LIBS        = -Wl,--as-needed $(PC_LIBS)

# --- what there is -----------------------------------------------------------

FLOORS  := base io pool volume snapshot
obj      = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
src      = $(sort $(wildcard $(1)))

SERVER_SRC := $(filter-out %_main.c,$(call src,server/*.c))
TARN_SRC   := $(call src,tools/tarn/*.c)
CHECK_SRC  := $(call src,tools/check/*.c)
DUMP_SRC   := $(call src,tools/dump/*.c)
SIM_SRC    := $(call src,tests/sim/*.c)
STAMP_SRC  := $(call src,tests/stamp/*.c)
UNIT_SRC   := $(call src,tests/unit/test_*.c)
SRVT_SRC   := $(call src,tests/server/test_*.c)
BENCH_SRC  := $(call src,tests/bench/*.c)
FUZZ_SRC   := $(call src,tests/fuzz/fuzz_*.c)
# Shared by test programs: the kit, and what is beside them and is no test.
KIT_SRC    := $(call src,tests/lib/*.c) \
	$(filter-out $(UNIT_SRC),$(call src,tests/unit/*.c)) \
	$(filter-out $(SRVT_SRC),$(call src,tests/server/*.c)) \
	$(filter-out $(FUZZ_SRC),$(call src,tests/fuzz/*.c))

lib      = $(BUILD)/lib$(1).a
# Top to bottom: an archive may only need what stands to its right.
CORE     := $(foreach f,snapshot volume pool io base,$(call lib,$(f)))
prog     = $(if $(2),$(BUILD)/$(1))

PROGRAMS := $(if $(wildcard server/tarnd_main.c),$(BUILD)/tarnd) \
	$(if $(wildcard server/diskd_main.c),$(BUILD)/tarn-diskd) \
	$(call prog,tarn,$(TARN_SRC)) \
	$(call prog,tarn-check,$(CHECK_SRC)) \
	$(call prog,tarn-dump,$(DUMP_SRC))
SIM      := $(call prog,tarn-sim,$(SIM_SRC))
STAMP    := $(call prog,tarn-stamp,$(STAMP_SRC))
UNIT     := $(patsubst %.c,$(BUILD)/%,$(UNIT_SRC))
SRVT     := $(patsubst %.c,$(BUILD)/%,$(SRVT_SRC))
BENCHP   := $(patsubst %.c,$(BUILD)/%,$(BENCH_SRC))
FUZZ     := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SRC))

.PHONY: all tests bench-programs fuzz-programs check check-asan \
	check-layers check-headers check-style check-docs sim \
	fuzz bench canaries install deps run run-clean clean FORCE
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(PROGRAMS)
tests: all $(SIM) $(STAMP) $(UNIT) $(SRVT) $(BUILD)/tests/fake_clock.so
bench-programs: all $(STAMP) $(BENCHP)
fuzz-programs: $(FUZZ)

# --- how it is built ---------------------------------------------------------

# Anything that changes how objects are made makes them anew.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@echo '$(CC) $(BASE_CFLAGS) $(CFLAGS) $(LDFLAGS)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILD)/obj/tests/%.o: EXTRA = -Wno-conversion
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

define library
$(call lib,$(1)): $(call obj,$(2))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach f,$(FLOORS),$(eval $(call library,$(f),$(call src,$(f)/*.c))))
$(eval $(call library,server,$(SERVER_SRC)))
$(eval $(call library,check,$(CHECK_SRC)))
$(eval $(call library,sim,$(SIM_SRC)))
$(eval $(call library,kit,$(KIT_SRC)))

link = @mkdir -p $(@D); echo "  LD   $@"; \
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

$(BUILD)/tarnd: $(call obj,server/tarnd_main.c) $(call lib,server) $(CORE)
	$(link)
$(BUILD)/tarn-diskd: $(call obj,server/diskd_main.c) $(call lib,server) $(CORE)
	$(link)
# Of the floors above base it takes the stream's format only.
$(BUILD)/tarn: $(call obj,$(TARN_SRC)) $(CORE)
	$(link)
# For LD_PRELOAD; no sanitizer in it, or the program's would come second.
$(BUILD)/tests/fake_clock.so: tests/lib/preload/fake_clock.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -fPIC -shared -o $@ $<
# main() is in the archive; it is found there like anything else.
$(BUILD)/tarn-check: $(call lib,check) $(CORE)
	$(link)
$(BUILD)/tarn-dump: $(call obj,$(DUMP_SRC)) $(call lib,check) $(CORE)
	$(link)
$(BUILD)/tarn-sim: $(call lib,sim) $(call lib,check) $(CORE)
	$(link)
$(BUILD)/tarn-stamp: $(call obj,$(STAMP_SRC)) $(call lib,base)
	$(link)
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(call lib,kit) \
		$(call lib,sim) $(call lib,check) $(CORE)
	$(link) -lcmocka
$(BUILD)/tests/server/%: $(BUILD)/obj/tests/server/%.o $(call lib,kit) \
		$(call lib,sim) $(call lib,server) $(CORE)
	$(link) -lcmocka
$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(call lib,kit) \
		$(call lib,server) $(CORE)
	$(link)
$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(call lib,kit) \
		$(call lib,sim) $(call lib,check) $(call lib,server) $(CORE)
	$(link) -fsanitize=fuzzer

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- what one asks for -------------------------------------------------------

# As many at once as there are processors, unless -j was given.
sub = +@$(MAKE) --no-print-directory \
	$(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
export BUILD

deps:
	@tools/deps.sh all

check:
	@tools/deps.sh all
	$(sub) tests
	$(sub) check-fuzz-build
	@tests/run-tests.sh $(BUILD) all

check-asan:
	@tools/deps.sh all
	$(sub) BUILD=$(BUILD)/asan SAN=asan tests
	@tests/run-tests.sh $(BUILD)/asan asan

# The fuzz targets need clang; without it the runner says that it skipped.
.PHONY: check-fuzz-build
check-fuzz-build:
ifneq ($(FUZZ_SRC),)
	@command -v $(CLANG) > /dev/null || exit 0; \
	$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz SAN=fuzz \
		CC=$(CLANG) fuzz-programs
endif

check-layers:
	@tests/scripts/check-layers.sh $(BUILD)
check-headers:
	@tests/scripts/check-headers.sh '$(CC) $(filter-out $(HARDEN), \
		$(BASE_CFLAGS)) $(PC_CFLAGS)'
check-style: check-layers check-headers check-docs
	@tests/scripts/check-style.sh '$(PC_CFLAGS)'
check-docs:
	@tests/scripts/check-docs.sh $(BUILD)
	@tests/scripts/check-names.sh

# make sim [SEEDS=n] [SEED=s]: many seeds, or one again, with its trace.
sim: $(SIM)
	@$(if $(SEED),$(BUILD)/tarn-sim --seed $(SEED), \
		$(BUILD)/tarn-sim --seeds $(SEEDS) --jobs $(JOBS)) $(SIMFLAGS)

# make fuzz [FUZZER=name] [FUZZ_S=seconds]
fuzz: check-fuzz-build
	@tests/run-tests.sh --fuzz-seconds $(FUZZ_S) $(BUILD) \
		$(if $(FUZZER),fuzz/fuzz_$(FUZZER:fuzz_%=%),fuzz)

# make canaries [SEEDS=n] [CANARY=name]
canaries:
	+@SEEDS=$(SEEDS) tests/sim/canaries.sh $(CANARY)

bench: deps
	$(sub) bench-programs
	@tests/bench/bench.sh $(BUILD)
	@tests/bench/snapshots.sh $(BUILD)
	@tests/bench/cleaner.sh $(BUILD)
	@tests/bench/rebuild.sh $(BUILD)

run:
	@tools/deps.sh run
	$(sub) all
	@tools/run-demo.sh $(BUILD)
run-clean:
	@tools/run-demo.sh --clean $(BUILD)

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin
	for p in $(notdir $(PROGRAMS)); do \
		case $$p in tarnd | tarn-diskd) d=sbin ;; *) d=bin ;; esac; \
		install -m 755 $(BUILD)/$$p $(DESTDIR)$(PREFIX)/$$d/ || exit 1; \
	done
	for n in 1 5 8; do \
		for f in $$(find docs tools server -name "*.$$n"); do \
			install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/man/man$$n/$${f##*/} || \
				exit 1; \
		done; \
	done

clean:
	rm -rf $(BUILD)
