#!/usr/bin/env bash
# The whole grid (tests/tests/grid): every bad answer to every call, then an honest Console; and 200 cells on real processes. CELLS
# runs so many of them; UPDATE_DOCS=1 writes the times into docs/self-stabilization.md.
. "$(dirname "$0")/../lib.sh"
cd "$(dirname "$0")/../../.."
TELOVIX_GRID=${CELLS:-all} cargo test --quiet --locked -p telovix-tests --test suites -- grid:: --nocapture
