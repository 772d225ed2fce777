# Two commands matter: `make lab` opens the course, `make test` checks all of it. Both start from a bare clone.
# README.md spells the same commands out for Windows, where make is rare.

# The first Python of these that is new enough; `make PYTHON=/path/to/python lab` chooses another.
NEW_ENOUGH := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(shell \
	$(p) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(p))))
VENV ?= .venv
PY := $(VENV)/bin/python
# JupyterLab asks root, as in a container, to say so.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
GPU := $(shell nvidia-smi >/dev/null 2>&1 && echo ,gpu)
ARGS ?=
ONLY ?=

.PHONY: help lab test check notebooks assignments bench all doctor clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

lab: $(VENV)/.lab-installed  ## open JupyterLab on the first lecture (ARGS=--no-browser without a screen)
	$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(AS_ROOT) $(ARGS)

test: $(VENV)/.dev-installed  ## unit tests, doctests, coverage and strict nbval over every lecture
	$(PY) tools/test_all.py $(ARGS)

check: $(VENV)/.dev-installed  ## lint and fast tests, about two minutes
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest -q -n 2 --dist=loadgroup -m "not slow" $(ARGS)

notebooks: $(VENV)/.dev-installed  ## run every lecture and store its outputs (ONLY=07 for one)
	$(PY) tools/run_notebooks.py $(ONLY)

assignments: $(VENV)/.dev-installed  ## make the student versions of the assignments anew
	for folder in assignments/*/; do $(PY) -m course_cnn release $$folder --out $$folder/starter || exit 1; done

bench: $(VENV)/.dev-installed  ## one table of ratios, measured in one run
	$(PY) -m benchmarks $(ARGS)

doctor: $(VENV)/.lab-installed  ## what this machine has: versions, GPU, data sets
	$(PY) -m course_cnn doctor

all: check notebooks test bench  ## everything, in the order of a release

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage

# The stamp is written last: an interrupted installation is taken up again by the next make.
$(VENV)/.%-installed: pyproject.toml
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "course-cnn needs Python 3.11, 3.12 or 3.13; $(or $(PYTHON),no Python found here) is not one of them." \
		"Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "Making the virtual environment $(VENV) with $$($(PYTHON) --version)"; \
		"$(PYTHON)" -m venv --clear $(VENV); }
	@echo "Installing course-cnn[$*$(GPU)] into $(VENV): a few minutes the first time"
	$(PY) -m pip install --progress-bar off --quiet -e ".[$*$(GPU)]"
	@touch $@
