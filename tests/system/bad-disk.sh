#!/usr/bin/env bash
# ENOSPC, EIO and EROFS at every 16th call of the agent on its state directory, and real small file systems that are full or
# read-only under the daemon. long/crash.sh takes every one.
. "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip 'only root can mount'
need strace strace
need mkfs.ext4 e2fsprogs
[[ -d /dev/shm && -w /dev/shm ]] && export TMPDIR=/dev/shm
strace -o /dev/null true 2>"$SCRATCH/err" || skip "strace: $(cat "$SCRATCH/err")"
"$BIN/bad-disk" --every "${EVERY-16}"
