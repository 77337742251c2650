#!/usr/bin/env bash
# Fuzzes every target for SECONDS_EACH seconds (300), or those that are named. What breaks a property is kept in
# fuzz/artifacts, and what reaches new code in fuzz/found; MERGE=true takes the smallest set of that into the corpora.
. "$(dirname "$0")/../lib.sh"
fuzz=$(cd "$(dirname "$0")/../../../fuzz" && pwd)
need c++ g++
programs=$("$fuzz/build")
targets=("$@")
if ((${#targets[@]} == 0)); then
  targets=("$fuzz"/corpus/*/)
  targets=("${targets[@]%/}")
  targets=("${targets[@]##*/}")
fi

broken=()
printf '%-14s %10s %8s %8s %8s\n' target runs per-s edges inputs
for target in "${targets[@]}"; do
  corpus=$fuzz/corpus/$target found=$fuzz/found/$target artifacts=$fuzz/artifacts/$target
  [[ -d $corpus ]] || fail "there is no target $target"
  mkdir -p "$found" "$artifacts"
  log=$SCRATCH/$target.log
  "$programs/$target" -max_total_time="${SECONDS_EACH:-300}" -timeout=30 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$artifacts/" "$found" "$corpus" >"$log" 2>&1 || broken+=("$target")
  stat() { sed -nE "s/^stat::$1: *([0-9]+)/\1/p" "$log"; }
  edges=$(sed -nE 's/^#.* cov: ([0-9]+) .*/\1/p' "$log" | tail -n 1)
  [[ -n $edges ]] || fail "$target ran blind: $(tail -n 3 "$log")"
  printf '%-14s %10s %8s %8s %8s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" "$edges" \
    "$(find "$found" -type f | wc -l)"
  if [[ ${MERGE-} == true ]]; then
    "$programs/$target" -merge=1 -timeout=30 "$corpus" "$found" >"$log" 2>&1 || fail "$target: $(tail -n 3 "$log")"
  fi
done
for target in "${broken[@]}"; do
  echo "--- $target"
  grep -aE -A3 'panicked at|ERROR: libFuzzer' "$SCRATCH/$target.log" || true
  for input in "$fuzz/artifacts/$target"/*; do echo "again: $programs/$target $input"; done
done
((${#broken[@]} == 0)) || fail "properties do not hold in: ${broken[*]}"
