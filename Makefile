# make help      what each target does
# Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS ?= examples/handbook
QUESTION ?=
EXAMPLES ?=
# One more than there are cores: while a test waits for a server or a clock, another one has its core.
WORKERS = $$($(BIN)/python -c 'import os; print(os.cpu_count() + 1)')

export HF_HUB_DISABLE_TELEMETRY = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help run install test check sbom audit format bench clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## Install what the program needs into .venv

# torch first, and the CPU build: any other order brings gigabytes of CUDA libraries.
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q 'pip>=23.2'
	@echo "Installing PyTorch (CPU) …"
	$(BIN)/pip install -q torch==2.13.0 $(TORCH_INDEX)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	@echo "Installing Métier …"
	$(BIN)/pip install -q -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@echo "Installing Métier and what its tests need …"
	$(BIN)/pip install -q -e '.[dev]'
	@touch $@ $(VENV)/.installed

run: install ## Index DOCS (the example handbook), ask one question, then serve on http://127.0.0.1:8000
	$(BIN)/metier quickstart $(DOCS) $(if $(QUESTION),--question "$(QUESTION)")

test: $(VENV)/.dev ## Run all tests (EXAMPLES=10000 runs each property test with so many examples)
	HF_HUB_OFFLINE=1 METIER_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.dev ## Lint, types and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

sbom: install ## Write build/sbom.json: everything that is installed, as CycloneDX
	$(BIN)/pip install -q -e '.[supply]'
	@mkdir -p build
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --of JSON -o build/sbom.json

audit: install ## Look for known faults of what is installed (asks a public database)
	$(BIN)/pip install -q -e '.[supply]'
	$(BIN)/pip-audit --local

format: $(VENV)/.dev ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## Print quality and speed tables (needs METIER_DATA, see benchmarks/README.md)
	$(BIN)/python benchmarks/embed.py
	$(BIN)/python benchmarks/quality.py

clean: ## Remove the environment and the local index
	rm -rf $(VENV) .metier build *.egg-info
