# What a person does with this folder. Needs Python 3.11-3.13, a C compiler and Rust; everything else goes into .venv.
# Stamps in .venv make a second call quick. Honours PIP_*, CARGO_* and CARGO_TARGET_DIR of the environment.

VENV := .venv
BIN := $(VENV)/bin
export CARGO_TARGET_DIR ?= $(CURDIR)/native/target
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
# A constraints file of the environment stays in force beside ours.
PIP_INSTALL = PIP_CONSTRAINT="$${PIP_CONSTRAINT:+$$PIP_CONSTRAINT }constraints.txt" $(BIN)/python -m pip install --progress-bar off
RUST := $(shell find native \( -path native/target -o -path native/model \) -prune -o -type f \( -name '*.rs' -o -name '*.c' -o -name '*.h' \) -print) \
	native/Cargo.toml native/Cargo.lock pyproject.toml
SHELL_FILES := $(shell find tuning -type f -name '*.sh' 2>/dev/null)
DO := @printf '==> %s\n'
# RUNNER_REQUIRE_ALL=1 (CI) turns "skipped because this machine lacks it" into a failure; see tests/conftest.py.
PYTEST = $(BIN)/python -m pytest
# The PDFium of the pypdfium2 wheel, for the Rust tests that read PDFs.
PDFIUM = $$($(BIN)/python -c 'import importlib.util as u, pathlib as p; print(next(p.Path(u.find_spec("pypdfium2_raw").origin).resolve().parent.glob("libpdfium.*")))')

.PHONY: help run test test-rust test-python lint lint-quick bench torture sanitize fuzz wheel setup clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.native ## set up, then summarise the example corpus with the embedded model (ARGS="job=qa ..." to change it)
	$(DO) 'runner $(ARGS)'
	@$(BIN)/runner $(ARGS)

test: lint-quick test-rust test-python ## everything that must pass: quick lint, Rust tests, Python tests

setup: $(VENV)/.native $(VENV)/.dev ## the virtual environment with the package, editable, and the test tools

test-rust: $(VENV)/.tools
	$(DO) 'cargo test --release'
	@pdfium="$(PDFIUM)" && cd native && RUNNER_PDFIUM="$$pdfium" cargo test --release --locked
	$(DO) 'cargo test --release, the channel under loom and SPIN'
	@cd native/model && cargo test --release --locked

test-python: setup
	$(DO) 'pytest'
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m 'not torture and not network' $(PYTEST_ARGS)

lint-quick: $(VENV)/.dev
	$(DO) 'ruff, mypy, cargo fmt, shellcheck'
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@cd native && cargo fmt --check && cd fuzz && cargo fmt --check
	@$(if $(SHELL_FILES),$(BIN)/shellcheck $(SHELL_FILES) tests/sources.sh .ci/run)

lint: setup lint-quick ## quick lint, and clippy and the type stub against the built module
	$(DO) 'clippy, stubtest'
	@cd native && cargo clippy --release --locked --all-targets -- -D warnings
	@cd native && PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo clippy --release --locked --features python -- -D warnings
	@cd native && CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a cargo clippy --release --locked --manifest-path fuzz/Cargo.toml -- -D warnings
	@$(BIN)/python -m mypy.stubtest runner._native

# BENCH_CORPUS: what is read; BENCH_PYTHON: an interpreter that has the other readers.
bench: setup ## the channel next to its peers, reading (BENCH_CORPUS=FOLDER) next to the readers installed, what watching a run costs
	@$(BIN)/runner bench channel $(ARGS)
	@$(BIN)/runner bench ingest $(or $(BENCH_CORPUS),examples/documents) $(if $(BENCH_PYTHON),--peer-python $(BENCH_PYTHON)) $(ARGS)
	@$(BIN)/runner bench monitoring $(ARGS)

# RUNNER_PDF_CORPUS=FOLDER[:FOLDER]: the broken PDFs; else those of two Debian source packages (80 MB), fetched once.
# REAL_KEYS=1 (root): also kills while real settings of this machine are changed: huge pages, swappiness, dirty ratio, cpuidle.
torture: setup ## the long fault lane: hundreds of kills, hostile and broken files, loom over the channel's ring; half an hour or more
	@cd native/model && cargo test --release
	@RUNNER_PDF_CORPUS="$${RUNNER_PDF_CORPUS:-$$(tests/sources.sh $(VENV)/corpora pdf.js qpdf)}"; export RUNNER_PDF_CORPUS; \
	  REAL_KEYS="$(REAL_KEYS)" PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m torture -s -rs $(PYTEST_ARGS)

# The runtimes come with the stable toolchain; only the switch is unstable. A folder of its own each: other flags, other objects.
SANITIZED = RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$(1) -Cunsafe-allow-abi-mismatch=sanitizer" CARGO_TARGET_DIR=target/$(1) \
  cargo test --release --locked --target "$$(rustc -vV | sed -n 's/^host: //p')" --lib

sanitize: setup ## AddressSanitizer over the Rust unit tests and the CPU kernels, ThreadSanitizer over the channel's (Linux; builds everything twice)
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/sanitize_kernels.sh $(CURDIR)/$(BIN)/python
	@cd native && $(call SANITIZED,address)
	@cd native && TSAN_OPTIONS="suppressions=$(CURDIR)/native/tsan.supp" $(call SANITIZED,thread) channel::

# The switches of cargo-fuzz, without it: the sanitizer and the counters that guide the engine.
FUZZED = RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/fuzz RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer \
  -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
SECONDS ?= 60

fuzz: setup ## each parser's fuzzing target for SECONDS (60) each; TARGETS="html zip" chooses (Linux; needs a C++ compiler)
	@host="$$(rustc -vV | sed -n 's/^host: //p')" && cd native && \
	  $(FUZZED) cargo build --release --locked --manifest-path fuzz/Cargo.toml --target "$$host" && cd .. && \
	  $(BIN)/python -m tests.fuzz.lane "native/target/fuzz/$$host/release/parsers" native/target/fuzz/lane $(SECONDS) $(TARGETS)

wheel: $(VENV)/.tools ## build the wheel into dist/
	$(DO) 'maturin build --release'
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --out dist

clean: ## remove the environment, the wheel and what cargo built here (never outputs/)
	rm -rf $(VENV) dist native/target runner/_native*.so

# ---- stamps --------------------------------------------------------------------------------------------------------------------

$(VENV)/.made:
	$(DO) 'checking Python, Rust and the C compiler'
	@command -v cargo >/dev/null || { echo 'cargo not found: install Rust 1.89 or newer (your package manager, or rustup), then make again' >&2; exit 2; }
	@command -v cc >/dev/null || { echo 'cc not found: install a C compiler (Debian: build-essential; macOS: xcode-select --install), then make again' >&2; exit 2; }
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    "$$python" -m venv $(VENV) || { echo "$$python cannot make a virtual environment (Debian: install python3-venv)" >&2; exit 2; }; \
	    touch $@; exit 0; \
	  fi; \
	done; echo 'no Python 3.11, 3.12 or 3.13 found: install one, or name it: make PYTHON=/path/to/python3.12' >&2; exit 2

# The requirements are read from pyproject.toml, so that they are written in one place.
$(VENV)/.tools: $(VENV)/.made pyproject.toml constraints.txt
	$(DO) 'installing what the package needs to run'
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print(*p["project"]["dependencies"], *p["build-system"]["requires"], sep="\n")' >$(VENV)/requirements.txt
	@$(PIP_INSTALL) -r $(VENV)/requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.tools
	$(DO) 'installing the test tools'
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print(*p["project"]["optional-dependencies"]["dev"], sep="\n")' >$(VENV)/requirements-dev.txt
	@$(PIP_INSTALL) -r $(VENV)/requirements-dev.txt
	@touch $@

$(VENV)/.native: $(VENV)/.tools $(RUST)
	$(DO) 'building the Rust core and installing the package, editable (the first time takes minutes)'
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin develop --release --locked
	@touch $@
