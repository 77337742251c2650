#!/usr/bin/env bash
# A bad network, all of it: each exchange of a daemon with its Console, each harm, both directions, at every kind of place
# of every TLS record (tests/tests/network.rs). Prints how many cases of which kind ran and what came of them. With
# NETWORK=N at every N-th byte besides; NETWORK=1 is every byte.
. "$(dirname "$0")/../lib.sh"
cd "$(dirname "$0")/../../.."
TELOVIX_NETWORK=${NETWORK:-all} cargo test --quiet --locked -p telovix-tests --test simulated -- network:: --nocapture \
  --test-threads 2 | tee "$SCRATCH/table"
ran=$(sed -nE 's/^  ([0-9]+) cases$/\1/p' "$SCRATCH/table" | awk "{ all += \$1 } END { print all }")
echo "$ran cases in all"
((ran > 3000)) || fail "only $ran cases ran"
