# Two commands for a fresh machine with Rust: `make demo` and `make test`. The rest is for developers.

.PHONY: demo test lint fuzz soak bench reference fix install

# Builds, runs the purchases job on the real CSV, then purchases and orders live for about a minute.
demo:
	@./testkit/demo.sh

# Everything: format, lints, unit, property, golden and timed tests, a short run of each fuzzer.
test:
	@./testkit/test.sh

# Formats, and applies what clippy can mend itself.
fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# Writes the generated pages under docs/reference/ anew.
reference:
	cargo run --quiet --package purlin -- reference docs/reference

# Each fuzzer for a minute (make test runs them for a few thousand inputs).
fuzz:
	PURLIN_FUZZ_SECONDS=60 cargo test --quiet --package purlin --test fuzz -- --nocapture
	PURLIN_FUZZ_SECONDS=60 cargo test --quiet --package purlin-expr --package purlin-connectors fuzz -- --nocapture

# Ten thousand simulated worlds that fail, then twenty kills of the real thing under 5,000 orders a second.
soak:
	cargo build --quiet --workspace --tests
	PURLIN_SIM_SEEDS=10000 cargo test --quiet --workspace --test it -- simulator
	testkit/ledger/run.py $${CARGO_TARGET_DIR:-target}/debug/purlin --kills 20 --rate 5000 --seconds 60

# Speed and memory of seven jobs, beside DuckDB or CPython, with one lane and two, and as the data grows; then the broker,
# and jobs that read and write it. Every result is checked. `make bench JOBS="w1 join" LINES=1000000 REPEATS=5` measures less or more (docs/performance.md).
bench:
	@./bench/run.sh
	@LINES=$${LINES:-2000000} JOBS=$${JOBS:-w1 w2 join} ./bench/lanes.sh
	@SIZES="$${SIZES:-1000000 10000000 100000000}" ./bench/growth.sh
	@./bench/broker.sh
	@LINES=$${LIVE_LINES:-2000000} ./bench/live.sh
	@./bench/latency.sh
	@./bench/recover.sh

# Installs the release build for this user.
install:
	cargo install --locked --path crates/app
