#!/usr/bin/env bash
# What comes in from outside, against what has to be true of it: every input of the corpora through every target, and
# then a fixed number of new ones from a fixed seed. `tests/system/long/fuzz.sh` goes on for as long as one likes.
#
# Most targets meet the same inputs on every machine: the corpus is read in the order of its names and not in that of the disk,
# and is not shuffled, and no compared value, which can be an address, becomes part of an input. Those whose coverage depends on
# threads, the clock or the order of a hash map (csr, listing, request, settings, signed_call, token_file) still differ from run to run.
. "$(dirname "$0")/lib.sh"
fuzz=$(cd "$(dirname "$0")/../../fuzz" && pwd)
readonly RUNS=${RUNS:-4000} SEED=20261124
need c++ g++
# The order of names is the same everywhere.
export LC_ALL=C

programs=$("$fuzz/build")

printf '%-14s %8s %8s %8s\n' target inputs runs edges
for corpus in "$fuzz"/corpus/*/; do
  target=$(basename "$corpus")
  found=$SCRATCH/$target
  mkdir "$found"
  inputs=$(printf '%s,' "$corpus"*)
  printf '%s' "${inputs%,}" >"$SCRATCH/inputs"
  if ! "$programs/$target" -runs="$RUNS" -seed="$SEED" -shuffle=0 -use_cmp=0 -seed_inputs="@$SCRATCH/inputs" -timeout=30 \
    -rss_limit_mb=2048 -artifact_prefix="$SCRATCH/" "$found" >"$SCRATCH/$target.log" 2>&1; then
    tail -n 60 "$SCRATCH/$target.log"
    fail "$target: put the input above into fuzz/corpus/$target and run fuzz/src/corpus.rs"
  fi
  # A program without coverage finds nothing, and would say so for ever.
  edges=$(sed -nE 's/^#.*DONE.* cov: ([0-9]+) .*/\1/p' "$SCRATCH/$target.log")
  runs=$(sed -nE 's/^Done ([0-9]+) runs.*/\1/p' "$SCRATCH/$target.log")
  [[ -n $edges && $edges -gt 100 && $runs -ge $RUNS ]] || fail "$target ran blind: $(tail -n 3 "$SCRATCH/$target.log")"
  printf '%-14s %8d %8d %8d\n' "$target" "$(find "$corpus" -type f | wc -l)" "$runs" "$edges"
done
