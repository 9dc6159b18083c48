# `make check` is what CI runs, no more and no less.

FUZZTIME ?= 10s
COUNT    ?= 1
PACKETS  ?= 10000000

.PHONY: check build sbom format vet staticcheck tidy vulncheck test race fuzz bench benchonce benchmodule oracle newcomer docs pictures screencost pgo reproducible cover checks evasion overload packages packagestest packagingmodule

# The profile in cmd/sttwall has all packages built anew for the program and for its
# tests, with -race once more. They test the same code without it.
vet staticcheck vulncheck test race fuzz benchonce oracle screencost docs cover checks packagestest: export GOFLAGS += -pgo=off

check: format vet staticcheck tidy vulncheck race benchonce benchmodule packagingmodule packagestest fuzz newcomer

# Without paths of this machine, and without its C compiler: whoever builds the same
# commit with the same Go gets the same bytes (SECURITY.md).
build:
	CGO_ENABLED=0 go build -trimpath -o sttwall ./cmd/sttwall

# What the program is built of, as CycloneDX 1.6: out of the program itself.
sbom: build
	./sttwall version --sbom >sttwall.cdx.json

# dist/: a deb and an rpm of what is committed (docs/packages.md). VERSION=1.2.3 names them so.
packages:
	./scripts/packages dist

# Installs, upgrades, removes and purges them in a Debian root of their own, as root; a
# minute or two.
packagestest:
	./scripts/packages-test

# The module in packaging/: the manifests in deploy/ are what Kubernetes takes, the image's
# description names what is there.
packagingmodule:
	cd packaging && go vet ./... && go mod tidy -diff && $$(cd .. && go tool -n staticcheck) ./... && go test -count=$(COUNT) ./...

# Builds twice, with nothing kept from the first time, and compares; some minutes.
reproducible:
	./scripts/reproducible

# gofmt prints the files that it would change; there must be none.
format:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi

vet:
	go vet ./...

staticcheck:
	go tool staticcheck ./...

tidy:
	go mod tidy -diff

# Known vulnerabilities in what the program calls. Where the database does not answer,
# that is said; VULNCHECK=required makes a failure of it.
vulncheck:
	./scripts/vulncheck

test:
	go test -count=$(COUNT) ./...

# cmd/sttwall types each command of the docs: with -race, on two busy processors, near the 10 minutes that go test gives a package.
race:
	go test -race -count=$(COUNT) -timeout 20m ./...

# Every fuzz target of every package, with one processor each.
fuzz:
	JOBS=$$(nproc) PARALLEL=1 ./scripts/fuzz $(FUZZTIME)

bench:
	go test -run '^$$' -bench . -benchmem ./...

# Each benchmark once: one that nobody runs breaks and nobody knows.
benchonce:
	go test -timeout 20m -run '^$$' -bench . -benchtime 1x ./...

# The module in bench/, which `go build ./...` here does not see: that it builds, and that
# all who take part in a contest come to the same result. `cd bench && go run .` measures.
benchmodule:
	cd bench && go vet ./... && go mod tidy -diff && $$(cd .. && go tool -n staticcheck) ./... && go test -short -timeout 20m -count=$(COUNT) ./...

# Random packets against plain models, far more than `make test` takes; each prints
# its seed, which -seed repeats.
oracle:
	go test ./policy -count=1 -v -timeout 1h -run TestTheEngineDecidesAndExplainsAsTheDocumentationSays -pairs $(PACKETS)
	go test ./conntrack -count=1 -v -timeout 1h -run TestRandomSequencesAgreeWithTheModel -packets $(PACKETS)
	go test ./firewall -count=1 -v -timeout 1h -run TestRandomSequencesThroughTheCoreAgreeWithTheModels -packets $$(($(PACKETS) / 10))

# What part of the packages that decide about packets is run by tests and fuzz corpora;
# a minute. Below 95 % is a failure. VERBOSE=-v lists what is not run.
cover:
	./scripts/cover $(VERBOSE)

# Switches the safety checks off, one at a time, in a copy; the test of each must notice.
checks:
	go run ./scripts/mutate checks

# All attacks of docs/evasion.md over real queues, on all ways; half a minute.
evasion:
	go run ./cmd/sttwall demo --evasion

# The attacks of docs/overload.md, one endpoint against the others, and their table anew;
# as root, five minutes.
overload:
	go run ./cmd/sttwall flood --write docs/overload.md

# What somebody who watches costs: throughput with 100,000 flows and a client that asks
# what the screens ask once a second, and without, in turn.
screencost:
	STTWALL_SCREEN_ROUNDS=9 go test ./cmd/sttwall -count=1 -v -run 'TestWhatAScreenCosts|TestTheScreenUnderLoad'

# The commands of the README in a fresh clone, as root and as an ordinary user.
newcomer:
	./scripts/newcomer

# cmd/sttwall/default.pgo, from the benchmarks of the core and the program under load, as
# root. To be done where the code that packets take has changed.
pgo:
	./scripts/pgo

# docs/pictures: the live screen of the demo as it is, drawn from a real terminal.
pictures:
	go run ./scripts/pictures

# What is generated: docs/reasons.md from the table of reasons, the reference in
# docs/rules.md from the loader's tables, that in docs/metrics.md from its table,
# docs/evasion.md from the table of cases, docs/checks.md from that of checks,
# docs/doctor.md from that of what doctor looks at.
docs:
	go test ./reason -run TestDocs -update
	go test ./policy -run TestTheReference -update
	go test ./metrics -run TestTheReference -update
	go test ./internal/evasion -run TestTheCatalogue -update
	go test ./scripts/mutate -run TestTheListOfChecks -update
	go test ./doctor -run TestDocs -update
