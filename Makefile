# Every target works in a fresh clone with nothing activated: the first one run makes .venv.
# Another interpreter: make PYTHON=python3.12 test
# One recipe alone: make quickstart RECIPES=image_text
PYTHON = python3
BIN = .venv/bin
STAMP = .venv/.installed
# A file's tests stay together: what they share is made once.
ON_TWO_CORES = -n 2 --dist loadfile

# What the caller has activated or set must not leak into .venv.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX
export PYTHONNOUSERSITE = 1

.DEFAULT_GOAL = help
.PHONY: help quickstart test test-all test-floors lint bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(STAMP) ## pretrain tiny models without a download and show what they are worth
	@$(BIN)/hf-unlab quickstart $(RECIPES)

test: $(STAMP) ## the fast tests and the doctests
	@$(BIN)/python -m pytest $(ON_TWO_CORES) -m "not slow and not gpu"

test-all: $(STAMP) ## every test, whole runs included
	@$(BIN)/python -m pytest $(ON_TWO_CORES)

# Made anew each time: uv keeps an installed version that is newer than the floor.
test-floors: ## the fast tests with the oldest versions that pyproject.toml allows
	@rm -rf .venv-floors && $(PYTHON) -m venv .venv-floors
	@.venv-floors/bin/python -m pip install -q uv
	@.venv-floors/bin/uv pip install -q --no-config --python .venv-floors/bin/python \
	  --resolution lowest-direct -e '.[all,dev]'
	@.venv-floors/bin/python -m pytest $(ON_TWO_CORES) -m "not slow and not gpu"

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check . || { echo "Mend with: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy --no-error-summary

bench: $(STAMP) ## measure the fast paths against their slow twins
	@$(BIN)/python -m tests.benchmarks

clean: ## remove .venv, caches and build outputs
	@rm -rf .venv .venv-floors build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew whenever the dependencies change. pip's output is shown only when it fails.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "'$(PYTHON)' is missing or older than Python 3.11; name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@echo "Installing into .venv (about 6 GB; takes a couple of minutes the first time)"
	@mkdir -p .venv
	@{ $(PYTHON) -m venv .venv && \
	   $(BIN)/python -m pip install -q -c constraints.txt -e '.[all,dev]'; } > .venv/install.log 2>&1 || { \
	  cat .venv/install.log >&2; echo "The installation failed; the log is .venv/install.log" >&2; exit 1; }
	@touch $@
