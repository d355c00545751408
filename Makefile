# Two commands do everything on a fresh Debian with Python >= 3.11: make scenarios, make test.
# Extra arguments for pytest: make scenarios ARGS='-k tenant'

BIN := .venv/bin
ARGS ?=
COVERAGE_GATE := 90

.DEFAULT_GOAL := help
.PHONY: help setup scenarios controls test matrix lint format docs bench doctor clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## Install what is missing, and say what was installed
	@tools/setup.sh

scenarios: setup ## Run the VXLAN experiments, each in namespaces of its own
	$(BIN)/pytest scenarios/ -n auto $(ARGS)

controls: setup ## Run each experiment on its broken lab, where it must fail
	$(BIN)/pytest scenarios/ -n auto --vxlab-controls $(ARGS)

test: setup ## Run vxlab's own tests, and measure how much of it they run
	$(BIN)/pytest tests/ -n auto --cov=vxlab --cov-report=term-missing:skip-covered \
		--cov-fail-under=$(COVERAGE_GATE) $(ARGS)

matrix: setup ## Run the experiments on four kernels with four versions of iproute2
	$(BIN)/vxlab matrix --kernels 5.10,6.1,6.12,7.2 --iproute2 5.10,6.1,6.15,7.3 \
		--results matrix/results.sqlite --junit matrix/junit --html matrix/index.html \
		scenarios/test_e*.py $(ARGS)

lint: setup ## Check style and types, change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p vxlab

format: setup ## Format the code, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## Write docs/behaviours.md and docs/reference.md from the code
	$(BIN)/pytest scenarios/ --vxlab-behaviours docs/behaviours.md -q -q
	$(BIN)/python tools/write_reference.py >docs/reference.md

bench: setup ## Measure speed; prints a table
	$(BIN)/python -m bench $(ARGS)

doctor: setup ## Show what this machine and its kernel can do
	$(BIN)/vxlab doctor

clean: ## Remove what these commands made in this folder, .venv included
	rm -rf .venv build dist matrix bench/build *.egg-info .coverage .coverage.* htmlcov \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
