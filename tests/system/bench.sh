#!/usr/bin/env bash
# The benchmarks' short run: everything is measured once, counted, put into tables and drawn. No time is judged.
. "$(dirname "$0")/lib.sh"
readonly ROOT=$(cd "$(dirname "$0")/../.." && pwd)
need python3 python3

out=$SCRATCH/out
BIN=$BIN "$ROOT/tests/bench" --quick --out "$out" >"$SCRATCH/log" 2>&1 || fail "$(cat "$SCRATCH/log")"
python3 - "$out/report.json" <<'PY' || fail "the report is not as it should be: $(cat "$out/report.json")"
import json
import sys

report = json.load(open(sys.argv[1]))
assert report["quick"] is True
works = {(contest["work"], contest["engine"]) for contest in report["contests"]}
engines = {engine for _, engine in works}
assert "SQLite" in engines, engines
assert works == {(work, engine) for work in ("enroll", "renew", "heartbeat") for engine in engines}, works
turns = [turn[side] for part in ("contests", "half_load") for contest in report[part] for turn in contest["rounds"]
         for side in ("console", "ceiling")]
assert len(turns) == 2 * 2 * len(works), len(turns)
# The ceiling that checks requests, where that makes a difference.
checking = [turn["checking"] for contest in report["contests"] if contest["work"] != "heartbeat" for turn in contest["rounds"]]
assert len(checking) == 2 * len(engines), len(checking)
for turn in turns + checking:
    assert turn["calls"] > 0 and turn["failed"] == 0, turn
    assert turn["per_second"] > 0 and 0 < turn["p50_ms"] <= turn["p99_ms"] <= turn["p999_ms"], turn
curves = {(curve["picture"], curve["name"]) for curve in report["by_clients"]}
assert curves == {(f"{work}-by-clients", name) for work in ("enroll", "heartbeat") for name in {"ceiling"} | engines}, curves
assert all(point["y"] > 0 for curve in report["by_clients"] + report["by_rows"] for point in curve["points"])
assert {row["work"] for row in report["rows"]} == {"enroll", "heartbeat", "renew", "list of sensors", "list of tokens"}
agent = report["agent"]
assert len(agent["enroll_ms"]) == len(agent["start_ms"]) > 0 and len(agent["recovery_ms"]) > 0
assert min(agent["enroll_ms"] + agent["start_ms"] + agent["recovery_ms"]) > 0
assert all(idle["resident_bytes"] >= idle["own_bytes"] > 0 for idle in agent["idle"]) and agent["idle"]
assert all(size["bytes"] > 0 for size in report["sizes"]) and len(report["sizes"]) >= 2
PY
for picture in enroll-by-clients heartbeat-by-clients time-by-rows share-of-the-ceiling; do
  grep -q '^<svg' "$out/$picture.svg" || fail "no picture: $picture"
done
grep -q '^### Console and ceiling' "$out/tables.md" || fail "no tables: $(cat "$out/tables.md")"
if pgrep -P $$ >/dev/null; then fail 'something was left running'; fi
