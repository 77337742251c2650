#!/usr/bin/env bash
# Kills the agent at every 16th call on disk and network of an enrollment, a renewal and the start after it, and reads what it
# publishes all the while. long/crash.sh takes every one.
. "$(dirname "$0")/lib.sh"
need strace strace
# A kill spares what the kernel holds, so that nothing is proven by a slow disk.
[[ -d /dev/shm && -w /dev/shm ]] && export TMPDIR=/dev/shm
strace -o /dev/null true 2>"$SCRATCH/err" || skip "strace: $(cat "$SCRATCH/err")"
"$BIN/crash-anywhere" --every "${EVERY-16}" --doubles "${DOUBLES-6}" --at-least "${AT_LEAST-90}" ${ALL_CALLS+--all-calls}
