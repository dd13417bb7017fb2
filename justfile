# The daily commands, for those who have `just`; each is one line that can be typed without it. `just` lists them.

[private]
default:
    @just --list --unsorted

# All tests, or what the arguments of `cargo test` choose: just test --lib calendar
test *arguments:
    tests/run {{ arguments }}

# One story through the real server, or all of a file, by a part of the name: just story an_event_may_come_before_its_signup, just story faults::
story name *arguments:
    tests/run --test it {{ name }} {{ arguments }}

# Write the files again that tests compare with the code: docs/openapi.json, docs/metrics.md, src/mail/tests/*.txt
goldens:
    UPDATE=1 cargo test --lib -- the_committed_document_is_that_of_the_code the_metrics_document_is_current mails_have_golden_texts
    git status --short docs src/mail/tests

# A picture of every page, on a phone and at a desk, light and dark: just pictures /tmp/pages
pictures directory:
    mkdir -p {{ quote(directory) }}
    COUNTERFOIL_PICTURES={{ quote(absolute_path(directory)) }} tests/run --test it browser::

# Faults in an order that a seed decides; COUNTERFOIL_CHAOS_SEED=N repeats a run, COUNTERFOIL_CHAOS_ROUNDS=N makes it long
chaos *arguments:
    tests/run --test it chaos:: {{ arguments }} -- --nocapture

# The load test: just loadtest ratio, just loadtest night, just loadtest portal, just loadtest payout
loadtest *arguments:
    cargo build --release --bin counterfoil --example loadtest
    target/release/examples/loadtest {{ arguments }}

# The documentation of the code, with warnings as errors
doc *arguments:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items {{ arguments }}

# Format and lints, as CI wants them
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Licenses, sources and versions of dependencies; needs `cargo deny`
deny:
    cargo deny --offline check bans licenses sources

# All that CI runs
ci:
    .ci/run
