# `make run` shows the tour, `make test` checks everything, `make bench` measures everything.
.PHONY: run test lint outside bench

run:
	cargo run --quiet -- dev --tour

test: lint outside
	cargo test --quiet --no-fail-fast

lint:
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo check --quiet --no-default-features

# The client libraries that the tests drive from outside; tests of what is missing say that they were skipped.
outside:
	tests/outside/install

bench:
	benches/run
