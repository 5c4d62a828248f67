#!/bin/bash
# Builds the release binary and runs every benchmark, one after the other. The figures of
# docs/performance.md come from here. Takes about five minutes and wants an idle machine.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
for bench in cli snapshot endpoint_front; do
    printf '\n== %s\n' "$bench"
    "benches/$bench.py" --binary target/release/aml
done
