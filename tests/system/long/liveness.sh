#!/usr/bin/env bash
# Random histories, each followed by an honest quarter of an hour that has to end accepted: ten million steps, some minutes.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
cd "$(dirname "$0")/../../.."
log=$SCRATCH/liveness.log
TELOVIX_LIVENESS_STEPS=${STEPS:-10000000} cargo test --quiet --locked -p telovix-agent --lib liveness >"$log" 2>&1 || fail "$(tail -n 40 "$log")"
grep -E 'test result' "$log"
