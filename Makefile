# The thin front: names for what cmake, ctest and the scripts of tools/ do. CONTRIBUTING.md says how long
# each takes.
#
# One tree serves build, test, check, bench and demo, so that a fresh machine builds once: `release`,
# where MEDLEY_CHECK stays on. For another: make check PRESET=dev

PRESET ?= release
JOBS ?= $(shell nproc)
TIMED = tools/timed $@

.DEFAULT_GOAL := help
.PHONY: help setup configure build test check sanitize fuzz bench arena demo format format-check clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install what is missing: Debian and npm packages, libllama
	@tools/setup.sh

configure: setup
	@mkdir -p build
	@cmake --preset $(PRESET) >build/$(PRESET).log || { cat build/$(PRESET).log; exit 1; }

build: configure ## build/release/medley
	@cmake --build --preset $(PRESET) -j $(JOBS)

test: ## set up, build, run all tests
	@$(TIMED) $(MAKE) -s ctest

check: ## set up, build, run the fast tests (all but those labelled slow)
	@$(TIMED) $(MAKE) -s ctest CTEST_ARGS='-LE slow'

sanitize: ## all tests under ASan and UBSan, then under TSan
	@$(TIMED) $(MAKE) -s ctest PRESET=asan
	@$(TIMED) $(MAKE) -s ctest PRESET=tsan

fuzz: setup ## fuzz the readers of files, FUZZ_SECONDS (300) each; needs clang
	@$(TIMED) tools/fuzz.sh $(FUZZ)

bench: build ## run the benchmarks
	@cmake --build --preset $(PRESET) --target bench

arena: build ## run the whole study of policies, ARENA_SEEDS (11..20); hours
	@tools/arena.py --seeds $(or $(ARENA_SEEDS),11..20)

demo: ## set up, build, do the main job on real input
	@$(TIMED) $(MAKE) -s run-demo

format: ## lay out our C++ with clang-format
	@tools/format.sh

format-check: ## fail where make format would change something
	@tools/format.sh --check

clean: ## remove build/; what setup installed stays
	rm -rf build

# What stands behind the timed targets above.
.PHONY: ctest run-demo
ctest: build
	@ctest --preset $(PRESET) -j $(JOBS) $(CTEST_ARGS)

run-demo: build
	@tools/demo.sh
