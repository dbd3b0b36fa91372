# make train: from a fresh clone to six registered models. make test: the tests. Both install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := pip==26.3
DATA ?= s3://semanir/datasets/builtin
ARGS ?=
PYTEST ?=
MUTANTS ?=
# Tests of the whole stack in one process, those of other servers in another, all else beside them: tests/conftest.py
# says which are which. Servers wait more than they compute: with two processes two cores were idle for a third of the
# time, with three for a sixth, with four hardly ever.
SIDE_BY_SIDE := -n 4 --dist loadgroup --no-loadscope-reorder
IN_STACK := . "$${SEMANIR_STACK_DIR:-.stack}/env" &&

.DEFAULT_GOAL := help
.PHONY: help install constraints up down status data train test test-slow fuzz mutants check lint sbom format bench gpu-report clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the virtual environment and install pinned versions (2 minutes the first time)

# Only a finished install leaves the stamp; an interrupted one is continued. A recent pip resolves twice as fast, and
# byte-compiling apart from it uses every core; what does not compile (templates, old syntax) is in the log and is no error.
# Parts that neither the tests nor the jobs import are compiled by whoever does: a sixth of the whole.
NOT_COMPILED := _?tests?|testing|benchmarks|databricks|fontTools|libcst|llm|mypy|narwhals|pip|rllib|sklearn|sympy/physics|textual
$(STAMP): pyproject.toml constraints.txt $(wildcard semanir/ops/compiled/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $$($(PYTHON) --version) is too old: 3.11 or newer is needed (make PYTHON=python3.12 …)" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "Making the virtual environment in $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing the packages of constraints.txt; the log is $(VENV)/install.log"
	@{ $(BIN)/pip install --disable-pip-version-check --quiet '$(PIP)' && \
	  $(BIN)/pip install --disable-pip-version-check --no-compile -c constraints.txt -e '.[train,serve,video,export,local,sign,dev]'; \
	  } > $(VENV)/install.log 2>&1 || \
	  { tail -n 20 $(VENV)/install.log; echo "error: the install failed; the whole log: $(VENV)/install.log" >&2; exit 1; }
	@$(BIN)/python -m compileall -q -j 0 -x 'site-packages/(.*/)?($(NOT_COMPILED))/' $(VENV)/lib >> $(VENV)/install.log 2>&1 || true
	@touch $@
	@echo "Installed"

constraints: install ## Pin the versions of the current environment
	@sed -n '/^#/p' constraints.txt > constraints.txt.new
	@$(BIN)/pip freeze --exclude-editable | grep -viE '^(triton|nvidia-|cuda-)| @ ' \
	  | sed -E 's/^(torch==[^+]*).*/\1/' >> constraints.txt.new
	@mv constraints.txt.new constraints.txt

up: install ## Start the embedded S3, MLflow and Ray (those that your environment does not name)
	@$(BIN)/python -m infra.local up

down: ## Stop all that `make up` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m infra.local down; fi

status: install ## Show what runs, and where
	@$(BIN)/python -m infra.local status

data: up ## Pack the built-in images into shards, if that was not done
	@$(IN_STACK) python jobs/prepare_data.py --builtin --output $(DATA)

train: data ## Train, evaluate and register a model per task (ARGS="--tasks denoising …" chooses)
	@infra/submit.sh train python jobs/train_all_tasks.py $(ARGS)

test: install ## Run the tests, real S3, MLflow and Ray included (PYTEST="-k order" chooses); over a network as root
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" $(SIDE_BY_SIDE) $(PYTEST)

test-slow: install ## Run the long tests, and those that need a GPU
	@$(BIN)/python -m pytest -m "slow or gpu" $(PYTEST)

fuzz: install ## Alter every kind of input at random and read it (INPUTS=200000, with kept seeds; some minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(or $(INPUTS),200000)

mutants: install ## Alter the pure modules, one slip at a time, and count what the tests see (MUTANTS="order …"; hours)
	@$(BIN)/python -m tests.mutation.run $(MUTANTS)

check: install ## Check style, spelling and types, tests included
	@$(BIN)/codespell -D - -D .ci/spelling.txt
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

lint: check ## Check style, spelling, types, and the pinned packages for known vulnerabilities (asks their index)
	@$(BIN)/python -m infra.audit

sbom: install ## Write sbom.cdx.json: every package of this install, its version and license (CycloneDX, validated)
	@$(BIN)/python -m infra.sbom $(ARGS)

format: install ## Mend what `make lint` can mend by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: install ## Measure speed on this machine
	@$(BIN)/python jobs/benchmark.py $(ARGS)

gpu-report: ## Every figure that needs a GPU, in nine minutes, into pipeline/benchmarks/gpu.md (needs PyTorch alone)
	@python3 -m pipeline.benchmarks.gpu_report $(ARGS)

clean: down ## Stop the embedded stack and remove it, its data, and the virtual environment
	rm -rf .stack $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
