#!/usr/bin/env bash
# A disk that is really full: the agent says so, leaves nothing half-done, and the same command enrolls once there is room.
. "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip 'only root can mount'

# Mounts a small file system, or gives up politely where mounting is not allowed.
mount_small() {
  mkdir -p "$1"
  mount -t tmpfs -o "$2" tmpfs "$1" 2>"$SCRATCH/err" || skip "mount: $(cat "$SCRATCH/err")"
  at_exit "umount '$1'"
}

start_console

# Full of bytes: a filler takes all but nothing of 64 KiB.
disk=$SCRATCH/bytes
mount_small "$disk" size=64k,mode=0700
state=$disk/state
mkdir -m 0700 "$state"
dd if=/dev/zero of="$disk/filler" bs=4k count=100 2>/dev/null || true
make_token --type once >"$SCRATCH/token"
attempt() {
  agent "$state" enroll --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name disk \
    --token-file "$SCRATCH/token" --timeout 20s
}
expect 8 attempt
grep -q "$state" "$SCRATCH/err" || fail "the message does not name the file: $(cat "$SCRATCH/err")"
grep -qi 'no space left' "$SCRATCH/err" || fail "the message does not name the cause: $(cat "$SCRATCH/err")"
[[ ! -e $state/client.cert.pem && ! -e $state/.sensor-ready ]] || fail 'a full disk left an identity behind'
[[ -s $SCRATCH/token ]] || fail 'the token file was deleted although nothing was enrolled'
rm "$disk/filler"
expect 0 attempt
expect 0 agent "$state" status --ready
echo 'bytes: refused with status 8, enrolled after making room'

# Full of names: no inode is left.
disk=$SCRATCH/inodes
mount_small "$disk" size=1m,nr_inodes=12,mode=0700
state=$disk/state
mkdir -m 0700 "$state"
for n in {1..20}; do : 2>/dev/null >"$disk/filler-$n" || break; done
make_token --type once >"$SCRATCH/token"
expect 8 attempt
grep -qi 'no space left' "$SCRATCH/err" || fail "the message does not name the cause: $(cat "$SCRATCH/err")"
rm "$disk"/filler-*
mount -o remount,nr_inodes=200 "$disk"
expect 0 attempt
expect 0 agent "$state" status --ready
echo 'inodes: refused with status 8, enrolled after making room'

# Not to be written at all.
disk=$SCRATCH/readonly
mount_small "$disk" size=1m,mode=0700
state=$disk/state
mkdir -m 0700 "$state"
mount -o remount,ro "$disk"
make_token --type once >"$SCRATCH/token"
expect 8 attempt
grep -qi 'read-only' "$SCRATCH/err" || fail "the message does not name the cause: $(cat "$SCRATCH/err")"
mount -o remount,rw "$disk"
expect 0 attempt
echo 'read-only: refused with status 8, enrolled after the remount'
