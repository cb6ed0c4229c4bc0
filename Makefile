# The entry points for people and CI. Each target sets up what it needs. Outside .venv only the sandbox
# installs anything: Debian packages, which it names, and its builds in ~/.cache/istio-canary and ~/.pulumi.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GO ?= $(shell command -v go || echo /usr/local/go/bin/go)
UV := $(shell command -v uv 2>/dev/null || echo $(VENV)/uv/bin/uv)

.PHONY: setup demo test test-long test-clusters lint unit e2e benchmark images crds lock clean

setup: $(VENV)/.ready ## the Python environment and the `canary` command, in .venv

$(VENV)/.ready: requirements.txt requirements-dev.txt pyproject.toml | $(VENV)/.python
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.txt requirements-dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q canary components kube metrics policies rollout sandbox sdks stacks traffic
	@touch $@
	@echo "ready: $(BIN)/canary"

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version); fix: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/uv uv==0.13.8
	@touch $@

demo: setup ## a cluster, the mesh, two versions, and the measured split
	$(BIN)/canary sandbox up
	$(BIN)/canary up --stack dev --yes
	$(BIN)/canary verify --stack dev

# Files side by side, each whole on one worker, in the order in which they are collected.
SIDE_BY_SIDE := --numprocesses=3 --dist=loadfile --no-loadscope-reorder

test: setup lint ## lint, types, unit tests, and the end-to-end tests on sandboxes of their own
	$(BIN)/python -m pytest -m "under_load and not long" tests/e2e
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not under_load and not long"

test-long: setup ## every end-to-end test at its full size: all pages, 100 rollouts, 500 races, 50 good and 50 bad rollouts left to their gates, thousands of random route tables
	ISTIO_CANARY_LONG=1 $(BIN)/python -m pytest tests/e2e tests/unit/rollout/gates tests/unit/rollout/test_group_model.py

lint: setup $(BIN)/actionlint ## the code, and what the pipelines of GitHub and GitLab run
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck -pyflakes ""
	$(BIN)/shellcheck ci/*.sh
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci .gitlab-ci.yml

# The tool's own module pins it, with all that it is built from.
$(BIN)/actionlint: tests/tools/actionlint/go.mod tests/tools/actionlint/go.sum | $(VENV)/.python
	@test -x "$$(command -v $(GO))" || { echo "Go 1.26 or newer is needed to build actionlint; fix: install it (https://go.dev/doc/install), or name it: make lint GO=/opt/go/bin/go" >&2; exit 1; }
	cd tests/tools/actionlint && CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly $(GO) build -trimpath -o $(abspath $@) tool
	@touch $@

unit: setup
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile tests/unit tests/policies

# Half a gigabyte of SDKs, which no other target needs.
CLOUDS := $(VENV)/clouds
test-clusters: setup ## the clusters of all kinds, with the SDKs of the clouds: types, resources, policies
	@test -x $(CLOUDS)/bin/python || $(PYTHON) -m venv $(CLOUDS)
	@$(UV) pip install --quiet --python $(CLOUDS)/bin/python --requirements requirements.txt --requirements requirements-dev.txt
	@$(UV) pip install --quiet --python $(CLOUDS)/bin/python --no-build-isolation --editable '.[local,gcp,aws,azure]'
	$(CLOUDS)/bin/python -m mypy --cache-dir .mypy_cache/clouds __main__.py components kube stacks
	$(CLOUDS)/bin/python -m pytest tests/unit/components/clusters tests/unit/stacks/test_clusters_of_stacks.py tests/policies/test_cluster_rules.py

e2e: setup
	$(BIN)/python -m pytest -m "under_load and not long" tests/e2e
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not under_load and not long" tests/e2e

benchmark: setup
	$(BIN)/python -m benchmarks

REGISTRY ?= docker.io/istio-canary
PUSH ?= 0
CONTAINERS ?= $(shell command -v docker || command -v podman)
APPS_VERSION := 1.0.0
SERVICES := echo hello-minikube java-service go-service frontend asset-manager asset-bff asset-consumer web-api articles authors

images: $(SERVICES:%=image-%) image-java-service-update image-runner ## the images of apps/ and of runner/, by docker or podman: REGISTRY=registry.example.com/team PUSH=1

image-%: IMAGE = $(REGISTRY:%/=%)/$*:$(APPS_VERSION)
image-java-service-update: IMAGE = $(REGISTRY:%/=%)/java-service:UPDATE2_0
image-runner: BUILD = --file runner/Dockerfile --tag $(IMAGE) .
image-%: BUILD = --build-arg SERVICE=$* --tag $(IMAGE) apps
image-%:
	@test -n "$(CONTAINERS)" || { echo "neither docker nor podman is on PATH; fix: install one, or give its path: make images CONTAINERS=/opt/bin/docker" >&2; exit 1; }
	$(CONTAINERS) build $(BUILD)
	$(if $(filter-out 0 no false,$(PUSH)),$(CONTAINERS) push $(IMAGE))

GO ?= $(shell command -v go || echo /usr/local/go/bin/go)
SANDBOX_ISTIO := $(shell sed -n 's/^ISTIO_VERSION = "\([^"]*\)".*/\1/p' sandbox/builder/go_modules.py)
ISTIO ?=

crds: ## the typed Istio resources in sdks/, of the sandbox's Istio or of another release: ISTIO=1.31.4
	cd sdks/generate && PATH="$(dir $(GO)):$$PATH" CGO_ENABLED=0 GOWORK=off $(GO) run -trimpath . \
		$(if $(ISTIO),-istio $(ISTIO),-istio $(SANDBOX_ISTIO) -pinned ../../sandbox/modules/istio)

lock: $(VENV)/.python ## update requirements*.txt from pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml --output-file requirements.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --group dev --constraints requirements.txt --output-file requirements-dev.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --constraints requirements.txt runner/requirements.in --output-file runner/requirements.txt

clean: ## remove what `setup` created; `canary sandbox down --delete` removes the cluster
	rm -rf $(VENV) *.egg-info
