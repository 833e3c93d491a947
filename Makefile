# A thin front: each target says what it runs. `make run` and `make test` need nothing done by hand before.

PREFIX ?= /usr
DESTDIR ?=
CARGO ?= cargo

.PHONY: all run test unit worlds lint bench deny install deps

all: deps
	$(CARGO) build --release --workspace

# A private, unprivileged instance; a message goes through it; it keeps serving until Ctrl-C.
run: deps
	$(CARGO) build --release --workspace
	$(CARGO) run --quiet --release --package xtask -- run

# Everything that runs without Debian's Postfix, then the worlds beside it.
test: deps unit worlds

unit:
	scripts/unit-tests

worlds:
	$(CARGO) build --release --workspace
	scripts/world-tests

lint: deps
	$(CARGO) fmt --all --check
	$(CARGO) xtask arrows
	$(CARGO) xtask support
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: deps
	$(CARGO) build --release --workspace
	scripts/bench

deny:
	$(CARGO) deny check

# Puts what `make all` built in place. Builds nothing: packages and worlds call it where no compiler runs.
install:
	PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) scripts/install

deps:
	@scripts/deps build
