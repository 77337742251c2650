#!/usr/bin/env bash
# The model of the enrollment protocol with more trouble in each history: three million states, some minutes.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
cd "$(dirname "$0")/../../.."
log=$SCRATCH/model.log
TELOVIX_MODEL=deep cargo test --quiet --locked -p telovix-tests --test suites -- model:: --nocapture >"$log" 2>&1 || fail "$(tail -n 40 "$log")"
grep -E ' states, ' "$log"
