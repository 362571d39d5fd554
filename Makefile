# Set-up, checks and the main job. `make demo` and `make test` need Python 3.11+ and nothing else set up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv dev demo test lint bench fuzz fuzz-readers clean

venv: .venv/.installed
dev: .venv/.installed-dev

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-peers.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt -r requirements-peers.txt
	touch $@

demo: venv
	$(BIN)/rheobase demo

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/pre-commit run --all-files; fi
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# Every benchmark with its goals; all run, and the failures are named at the end. Minutes each: best on an idle machine.
BENCHMARKS := neuron_scan binning readers simulation attention memory train_step engine mcu encoders event_driven

bench: dev
	@failed=; for name in $(BENCHMARKS); do \
	  echo "== $$name"; $(BIN)/python benchmarks/$$name.py --check $(BENCH_OPTIONS) || failed="$$failed $$name"; echo; \
	done; if [ -n "$$failed" ]; then echo "benchmarks that failed or missed a goal:$$failed"; exit 1; fi

# Random graphs of ops, reference against C by every compiler and under sanitizers: `make fuzz N=2000`.
fuzz: dev
	$(BIN)/python tests/program/fuzz_programs.py $(N)

# Damaged and random files for every reader of recordings: `make fuzz-readers N=100000`.
N ?= 10000

fuzz-readers: dev
	$(BIN)/python -X faulthandler tests/events/fuzz_readers.py $(N)

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
