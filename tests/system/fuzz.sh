#!/usr/bin/env bash
# What comes in from outside, against what has to be true of it: every input of the corpora through every target, and
# then a fixed number of new ones from a fixed seed. `tests/system/long/fuzz.sh` goes on for as long as one likes.
. "$(dirname "$0")/lib.sh"
fuzz=$(cd "$(dirname "$0")/../../fuzz" && pwd)
readonly RUNS=${RUNS:-4000} SEED=20261124
need c++ g++

programs=$("$fuzz/build")

printf '%-14s %8s %8s %8s\n' target inputs runs edges
for corpus in "$fuzz"/corpus/*/; do
  target=$(basename "$corpus")
  found=$SCRATCH/$target
  mkdir "$found"
  if ! "$programs/$target" -runs="$RUNS" -seed="$SEED" -timeout=30 -rss_limit_mb=2048 -artifact_prefix="$SCRATCH/" \
    "$found" "$corpus" >"$SCRATCH/$target.log" 2>&1; then
    tail -n 60 "$SCRATCH/$target.log"
    fail "$target: put the input above into fuzz/corpus/$target and run fuzz/src/corpus.rs"
  fi
  # A program without coverage finds nothing, and would say so for ever.
  edges=$(sed -nE 's/^#.*DONE.* cov: ([0-9]+) .*/\1/p' "$SCRATCH/$target.log")
  runs=$(sed -nE 's/^Done ([0-9]+) runs.*/\1/p' "$SCRATCH/$target.log")
  [[ -n $edges && $edges -gt 100 && $runs -ge $RUNS ]] || fail "$target ran blind: $(tail -n 3 "$SCRATCH/$target.log")"
  printf '%-14s %8d %8d %8d\n' "$target" "$(find "$corpus" -type f | wc -l)" "$runs" "$edges"
done
