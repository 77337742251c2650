#!/usr/bin/env bash
# A month of a Console's bad days in simulated time (tests/tests/month): every act of the chaos mode, and every exchange. DAYS
# and SEED give another one; the seed is printed.
. "$(dirname "$0")/../lib.sh"
cd "$(dirname "$0")/../../.."
TELOVIX_MONTH=${DAYS:-30} TELOVIX_SEED=${SEED:-$RANDOM} cargo test --quiet --locked -p telovix-tests --test simulated -- --ignored month:: --nocapture
