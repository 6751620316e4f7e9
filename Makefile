# Proofstream: build, test and run. `make` alone says what there is.
#
# Everything that is built lies in $(PROOFSTREAM_CACHE): the tree stays clean, and another clone or a
# later `make` finds it again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PROOFSTREAM_CACHE ?= $(HOME)/.cache/proofstream
export CARGO_TARGET_DIR ?= $(PROOFSTREAM_CACHE)/target

CARGO ?= cargo
# The real control plane that tests and `make run` use, and a kubectl where there is none.
CONTROL_PLANE ?= etcd kube-apiserver kube-controller-manager $(if $(shell command -v kubectl),,kubectl)

.PHONY: help deps control-plane build test run bench fmt lint

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)$$/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

deps: ## install the Debian packages that are missing
	@e2e/install-packages

control-plane: deps ## build etcd, kube-apiserver and kube-controller-manager (7 minutes, once)
	@e2e/build-control-plane $(CONTROL_PLANE) >/dev/null

build: deps ## build every program
	@$(call first-time)
	$(CARGO) build --workspace --bins

lint: deps ## formatting, clippy and the house rules
	@$(call first-time)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) xtask tidy

test: lint control-plane ## lint, then every test, those on the real API server included
	RUST_LIB_BACKTRACE=0 $(CARGO) test --workspace --no-fail-fast

run: control-plane build ## a real cluster with Proofstream in front of it, and four things to try
	@$(CARGO) run --quiet --bin proofstream-demo

bench: control-plane ## the benchmarks
	$(CARGO) bench --workspace

fmt: ## format the sources
	$(CARGO) fmt --all

define first-time
	[[ -d $(CARGO_TARGET_DIR)/debug ]] || echo "cargo: the first build takes about 10 minutes on two cores" >&2
endef
