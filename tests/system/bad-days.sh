#!/usr/bin/env bash
# Three of a Console's bad days in simulated time (tests/tests/month), always with the same weather; long/month.sh takes a month
# of another one each time.
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/../.."
cargo test --quiet --locked -p telovix-tests --test simulated -- --ignored month:: --nocapture
