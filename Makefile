# What one does with Chandler. `make` alone lists the targets.

CARGO ?= cargo
RELEASE := target/release
# A server found or fetched, for what follows in the same recipe; a recipe without one ends here.
REDIS = server=$$(deploy/bin/get-redis.sh) && export CHANDLER_REDIS_SERVER="$$(echo "$$server" | tail -n 1)"
VALKEY = server=$$(deploy/bin/get-redis.sh valkey) && export CHANDLER_VALKEY_SERVER="$$(echo "$$server" | tail -n 1)"

.DEFAULT_GOAL := help
.PHONY: help build demo demo-mnist demo-mnist-grid mnist run test e2e bench bench-train bench-search contract export-check gpu-check openapi lint

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

build: ## Build the two programs, optimised
	$(CARGO) build --release --locked -p api -p trainer --bins

demo: build ## Search a small network on the digits: a Redis, a trainer, a table of the best (a minute)
	@$(REDIS) && $(RELEASE)/chandler run openapi/examples/digits-random.json --require-value 0.95

demo-mnist: build mnist ## The seed's random search on MNIST: 10 trials of 5 epochs
	@$(REDIS) && $(RELEASE)/chandler run openapi/examples/mnist-random.json --require-value 0.975

demo-mnist-grid: build mnist ## The seed's grid on MNIST: 48 points, an epoch each
	@$(REDIS) && $(RELEASE)/chandler run openapi/examples/mnist-grid.json --best 48

mnist: ## Fetch MNIST into chandler-data/datasets/mnist (MNIST=folder takes files at hand)
	@deploy/bin/get-mnist.sh

run: build ## Serve the API on 127.0.0.1:8080, with its own Redis and a trainer
	@$(REDIS) && exec $(RELEASE)/chandler serve

test: ## Run all tests
	@$(REDIS) && $(VALKEY) && $(CARGO) build --locked --workspace --bins && $(CARGO) test --locked --workspace

e2e: ## Run the tests of the whole service alone
	@$(REDIS) && $(VALKEY) && $(CARGO) build --locked --workspace --bins && $(CARGO) test --locked -p tests --test suite e2e

bench: mnist ## Measure: requests/s, enqueue to claim, training steps, a search (PEERS=/path/to/python: peers in turn; ONLY=train: that group)
	$(CARGO) build --release --locked -p api -p trainer -p tests --bins
	@$(REDIS) && $(RELEASE)/chandler-bench $(ONLY)

bench-train: ## Measure training steps: MLPs, CNNs, an LSTM, on one thread (PEERS=/path/to/python: PyTorch in turn)
	@$(MAKE) --no-print-directory bench ONLY=train

bench-search: mnist ## Measure the seed's search on MNIST with two slots (PEERS=/path/to/python: KerasTuner, and Optuna with PyTorch, in turn)
	@$(MAKE) --no-print-directory bench ONLY=search

contract: ## Send what the contract allows and forbids to a running service (PYTHON=/path/to/python with schemathesis; SEED=number; EXAMPLES=number)
	@test -n "$(PYTHON)" || { echo 'contract needs PYTHON=/path/to/python with schemathesis'; exit 1; }
	$(CARGO) build --locked -p api -p trainer --bins
	@$(REDIS) && $(PYTHON) tests/contract/check.py target/debug/chandler $(if $(SEED),--seed $(SEED)) $(if $(EXAMPLES),--examples $(EXAMPLES))

export-check: ## Prove the exports: onnxruntime and Keras compute what the model does (PYTHON=/path/to/python)
	@test -n "$(PYTHON)" || { echo 'export-check needs PYTHON=/path/to/python with keras, tensorflow, onnx and onnxruntime'; exit 1; }
	$(PYTHON) tests/golden/export.py make tests/golden/export
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && cp tests/golden/export/*.safetensors "$$folder" && \
	$(CARGO) run --locked -q -p export --example convert "$$folder" && $(PYTHON) tests/golden/export.py check "$$folder"

gpu-check: ## Type-check the trainer for CUDA and Metal, on a machine without either (ten minutes)
	@deploy/bin/check-gpu.sh

openapi: ## Write openapi/openapi.json anew
	$(CARGO) run --locked -q -p openapi --bin chandler-openapi

lint: ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
