#!/bin/bash
# Builds the release binary and runs every benchmark, one after the other. The figures of
# docs/performance.md come from here. Takes about twenty minutes and wants an idle machine. With PEERS
# set to a folder, other tracking servers are installed there and measured as well.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
for bench in cli snapshot endpoint_front; do
    printf '\n== %s\n' "$bench"
    "benches/$bench.py" --binary target/release/aml
done
printf '\n== tracking\n'
benches/tracking.py --binary target/release/aml ${PEERS:+--peers "$PEERS" --install}
benches/tracking.py --binary target/release/aml --only aml --scale
printf '\n== azure\n'
benches/azure.py --binary target/release/aml ${PEERS:+--peers "$PEERS" --install}
benches/azure.py --binary target/release/aml --many 1000000
