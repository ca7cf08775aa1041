# xvip: verbs. `make demo` and `make test` are all a newcomer needs.
SHELL    := /bin/bash
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
# What the tests use from Debian: the BPF toolchain, real peers, tools.
PACKAGES := clang frr iputils-ping llvm libbpf-dev ipvsadm iproute2 keepalived kmod nftables prometheus psmisc procps qemu-system-x86 tcpdump util-linux
FUZZTIME ?= 30s
SEEDS    ?= 100000

.PHONY: build test demo bench generate check-generated lint fuzz simulate deps unit vm clean

build: bin/xvip

# Go itself knows what is out of date.
.PHONY: bin/xvip
bin/xvip:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/xvip

test: deps build lint check-generated unit vm

# The tests of whole daemons measure failovers: they do not share the kernel's
# network lock with the other packages.
E2E = ./internal/e2e
unit:
	$(GO) test -count=1 -timeout 15m -skip '^TestVM' $$($(GO) list ./... | grep -v /internal/e2e)
	$(GO) test -count=1 -timeout 15m -skip '^TestVM' $(E2E)

# The tests that start virtual machines, apart from those that watch the clock.
vm:
	$(GO) test -count=1 -timeout 20m -p 1 -run '^TestVM' ./...

demo: build
	./bin/xvip demo $(DEMOFLAGS)

bench: build
	./bin/xvip bench $(BENCHFLAGS)
	./bin/xvip bench path
	./bin/xvip bench config
	./bin/xvip bench routers
	./bin/xvip bench failover
	XVIP_BENCH=1 $(GO) test -count=1 -timeout 60m -run '^TestBench' -v ./internal/vm/rung

generate:
	$(GO) generate ./...

# The committed BPF objects and documents are what the sources give.
check-generated:
	@.ci/check-generated

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt is needed on:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool depguard ./...

fuzz:
	@set -e; for t in $$(git grep -lE '^func Fuzz' -- '*_test.go'); do \
	  for f in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$t); do \
	    echo "$$(dirname $$t) $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./$$(dirname $$t); done; done

# Elections of many routers on a lossy, delaying, partitioning link.
simulate:
	$(GO) test ./vrrp -run Simulation -sim.seeds $(SEEDS) -timeout 60m

deps:
	@.ci/install-packages $(PACKAGES)

clean:
	rm -rf bin
