#!/usr/bin/env bash
# install.sh in three shells: what it would do, every check that can fail with its exit status and its sentence, and that
# a download which was cut runs nothing. In a mount namespace of its own, where /etc is a copy and systemd seems to run.
if [[ -z ${INSTALL_SHELL_NAMESPACE-} ]]; then
  ((EUID == 0)) || { echo 'cannot be run here: only root can mount'; exit 77; }
  INSTALL_SHELL_NAMESPACE=yes exec unshare -m --propagation private bash "$0"
fi
. "$(dirname "$0")/lib.sh"
need dash dash
need shellcheck shellcheck
need openssl openssl
need python3 python3
need mksh mksh
need zsh zsh
script=$(cd "$(dirname "$0")/../.." && pwd)/install.sh

shellcheck "$script" || fail 'shellcheck has something to say'
(($(wc -c <"$script") < 65536)) || fail 'install.sh is larger than 64 KiB'

# A machine that is safe to write to: /etc above the real one, an empty /run/systemd, no package of ours.
mkdir -p "$SCRATCH/etc" "$SCRATCH/fake"
mount -t tmpfs tmpfs "$SCRATCH/etc"
at_exit "umount -l '$SCRATCH/etc'"
mkdir "$SCRATCH/etc/upper" "$SCRATCH/etc/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$SCRATCH/etc/upper,workdir=$SCRATCH/etc/work" /etc ||
  skip 'overlay cannot be mounted'
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/system
rm -f /etc/os-release
printf 'NAME=Alpine\nPRETTY_NAME="Alpine Linux v3.22"\n' >/etc/os-release

mkdir "$SCRATCH/noexec" "$SCRATCH/tiny" "$SCRATCH/small"
mount -t tmpfs -o noexec tmpfs "$SCRATCH/noexec"
mount -t tmpfs -o size=64k tmpfs "$SCRATCH/tiny"
mount -t tmpfs -o size=256k tmpfs "$SCRATCH/small"
at_exit "umount '$SCRATCH/noexec' '$SCRATCH/tiny' '$SCRATCH/small'"

# Programs that stand in for those of a host, and do nothing but succeed.
fake() { printf '#!/bin/sh\n%s\n' "$2" >"$SCRATCH/fake/$1" && chmod 755 "$SCRATCH/fake/$1"; }
real() { rm -f "$SCRATCH/fake/$1"; }
for program in systemctl systemd-tmpfiles systemd-sysusers runuser; do fake "$program" 'exit 0'; done
export PATH=$SCRATCH/fake:$PATH

start_console
strip -o "$SCRATCH/agent" "$BIN/telovix-agent"
"$BIN/telovix-console-stub" binary stage --data-dir "$SCRATCH/console" "$SCRATCH/agent" >/dev/null
make_token --type once >"$SCRATCH/token"
offline=$SCRATCH/offline
mkdir "$offline"
cp "$SCRATCH/agent" "$offline/telovix-agent-amd64"
cp "$SCRATCH/agent" "$offline/telovix-agent-arm64"
(cd "$offline" && sha256sum telovix-agent-* >SHA256SUMS)
other_pin=sha256:$(printf '%064d' 0)

# Runs install.sh in the shell under test: expects a status and a sentence.
try() {
  local status=$1 sentence=$2
  shift 2
  expect "$status" $shell "$script" "$@" <"$SCRATCH/token"
  grep -qE -- "$sentence" "$SCRATCH/out" "$SCRATCH/err" ||
    fail "$shell: no '$sentence' in: $(cat "$SCRATCH/out" "$SCRATCH/err")"
  grep -qF -f "$SCRATCH/token" "$SCRATCH/out" "$SCRATCH/err" && fail "$shell: the token was printed"
  return 0
}
dry() { try "$@" --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --token-stdin --dry-run; }
wet() { try "$@" --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --token-stdin --offline "$offline"; }

failures() {
  dry 0 "would enroll this host"
  [[ ! -e /etc/telovix && ! -e /etc/systemd/system/telovix-agent.service ]] || fail 'a dry run wrote something'
  dry 0 'would install telovix-agent .*, standard' --flavor standard --node-name n --node-role o_du --cluster-name c --tags a,b
  try 0 'would enroll' --console-url "$console_url" --bootstrap-ca "$ca_file" --token-file "$SCRATCH/token" --dry-run
  try 0 'would stop and remove' --uninstall --purge --dry-run
  try 0 'usage' --help

  try 2 'console-url is missing' --token-stdin
  try 2 'https://' --console-url http://x --token-stdin
  try 2 'unknown option' --colour red
  try 2 'value is missing' --console-url
  try 2 'can be read by everyone' --token tse_x
  try 2 'can be read by everyone' --token=tse_x
  try 2 'quotation mark' --console-url 'https://x"y'
  try 2 '64 hex digits' --console-url https://x --ca-fingerprint sha256:abc --token-stdin
  try 2 'give one' --console-url https://x --ca-fingerprint "$other_pin" --bootstrap-ca "$ca_file" --token-stdin
  try 2 'give one' --console-url https://x --token-stdin --token-file "$SCRATCH/token"
  try 2 'cannot be read' --console-url https://x --token-file /nowhere
  try 2 'cannot be read' --console-url https://x --bootstrap-ca /nowhere --token-stdin
  try 2 'standard or telecom' --console-url https://x --flavor large --token-stdin
  try 2 'absolute' --console-url https://x --prefix here --token-stdin
  try 2 'letters, digits' --console-url https://x --prefix '/opt/a&b' --token-stdin
  try 2 'does not see' --console-url https://x --prefix /root --token-stdin
  try 2 'goes with --uninstall' --console-url https://x --purge --token-stdin
  local form
  for form in 'http://u:hunter@2@p:1' 'http://u:hunter#2@p:1' 'socks5://u:hunter2@p:1' 'http://u:hunter2@p:99999' 'http:/p'; do
    ALL_PROXY=$form try 2 'ALL_PROXY (holds|names|has|is)' --console-url https://c.example --token-stdin --dry-run
    if grep -q hunter "$SCRATCH/out" "$SCRATCH/err"; then fail "$shell: the password was printed"; fi
  done
  for form in '*.example' 'c.example:443' 'a,*' '"c.example"' 'https://c.example'; do
    HTTPS_PROXY=http://p:1 NO_PROXY=$form try 2 'NO_PROXY: .* is not understood' --console-url https://c.example --token-stdin --dry-run
  done
  for form in '[2001:db8::7]' '[2001:db8::7]:443'; do
    HTTPS_PROXY=http://p:1 NO_PROXY=$form try 2 'NO_PROXY: .* is not understood' --console-url 'https://[2001:db8::7]' --token-stdin --dry-run
  done
  for form in '*' 'localhost. 127.0.0.0/8,::1' 'registry:5000, 127.0.0.1 localhost'; do
    HTTPS_PROXY=http://127.0.0.1:1 NO_PROXY=$form dry 0 'would enroll'
  done
  ALL_PROXY=http://127.0.0.1:1 dry 13 'cannot be reached; check'
  try 2 'not enrolled: --token-stdin' --console-url "$console_url" --ca-fingerprint "$ca_fingerprint"

  fake id 'echo 1000'
  wet 10 'run it as root'
  real id
  fake uname 'echo riscv64'
  dry 11 'no agent is built for riscv64'
  real uname
  try 13 'cannot be reached; check' --console-url https://127.0.0.1:1 --ca-fingerprint "$other_pin" --token-stdin --dry-run
  try 14 'nothing was sent' --console-url "$console_url" --ca-fingerprint "$other_pin" --token-stdin --dry-run
  try 14 'is not trusted; nothing was sent' --console-url "$console_url" --token-stdin --dry-run
  dry 15 'stage one there' --flavor telecom
  dry 15 'SHA256SUMS is missing' --offline /nowhere
  dry 17 'and 7.7.7 is wanted' --version 7.7.7
  dry 0 'would enroll' --offline "$offline"
  cp -r "$offline" "$SCRATCH/spoilt"
  for arch in amd64 arm64; do echo x >>"$SCRATCH/spoilt/telovix-agent-$arch"; done
  dry 16 'checksum of the agent differs' --offline "$SCRATCH/spoilt"
  for arch in amd64 arm64; do printf '#!/bin/sh\nexit 1\n' >"$SCRATCH/spoilt/telovix-agent-$arch"; done
  (cd "$SCRATCH/spoilt" && sha256sum telovix-agent-* >SHA256SUMS)
  dry 17 'does not run on Alpine Linux v3.22' --offline "$SCRATCH/spoilt"
  rm -r "$SCRATCH/spoilt"

  # From here on it does not only say so.
  wet 18 'cannot be written; --prefix' --prefix /etc/hostname
  fake systemd-sysusers 'exit 1'
  wet 19 'user telovix could not be made' --prefix "$SCRATCH/prefix"
  fake systemd-sysusers 'exit 0'
  fake systemctl '[ "$1" != restart ]'
  wet 21 'the service does not start' --prefix "$SCRATCH/prefix"
  fake systemctl 'exit 0'
  fake runuser 'echo refused >&2; exit 3'
  wet 3 'refused' --prefix "$SCRATCH/prefix"
  fake runuser 'exit 0'
  grep -q 'Written by install.sh' /etc/telovix/agent.toml || fail 'no configuration was written'
  wet 0 'start it with' --prefix "$SCRATCH/prefix" --no-start
  try 0 'removed' --uninstall --purge
  [[ ! -e $SCRATCH/prefix/bin/telovix-agent && ! -e /etc/telovix ]] || fail 'something is left'
  rm -rf /etc/systemd/system/telovix* /etc/sysusers.d /etc/tmpfiles.d

  harm
  rmdir /run/systemd/system
  dry 20 'Alpine Linux v3.22 does not run systemd. In Kubernetes, install the Helm chart'
  mkdir /run/systemd/system
  mkdir -p "$SCRATCH/few"
  for program in id sed tr head cat systemctl systemd-tmpfiles runuser grep cut sha256sum mktemp uname cp chmod rm mkdir mv \
    base64 "${shell%% *}"; do
    ln -sf "$(type -P "$program")" "$SCRATCH/few/$program"
  done
  # What needs no download needs no curl.
  local whole=$shell
  shell="env PATH=$SCRATCH/few $whole"
  dry 12 'curl is missing; install it'
  dry 0 'would enroll' --offline "$offline"
  try 0 'would stop and remove' --uninstall --dry-run
  rm "$SCRATCH/few/sha256sum"
  dry 12 'sha256sum is missing; install it' --offline "$offline"
  shell=$whole
}

# Disks that are full or forbid programs, a hand that interrupts, a service that runs already.
harm() {
  TMPDIR=$SCRATCH/noexec dry 0 'would enroll'
  [[ -z $(ls -A "$SCRATCH/noexec") ]] || fail "$shell left $(ls -A "$SCRATCH/noexec")"
  TMPDIR=$SCRATCH/tiny dry 18 'no room in .*/tiny.*TMPDIR'
  wet 18 'cannot be written; --prefix' --prefix "$SCRATCH/small"
  [[ -z $(ls -A "$SCRATCH/small/bin") ]] || fail "$shell left on a full disk: $(ls -A "$SCRATCH/small/bin")"

  # A password of the proxy is readable for nobody else, not even while it is written.
  : >"$SCRATCH/modes"
  # shellcheck disable=SC2016
  fake cat 'echo "$(stat -L -c %a /proc/$$/fd/1) $(readlink /proc/$$/fd/1)" >>'"$SCRATCH/modes"'; exec /bin/cat "$@"'
  HTTPS_PROXY=http://user:password@127.0.0.1:1 wet 0 'start it with' --prefix "$SCRATCH/prefix" --no-start
  real cat
  grep -q '^600 /etc/default/telovix-agent' "$SCRATCH/modes" || fail "$shell: $(cat "$SCRATCH/modes")"
  grep -q 'user:password' /etc/default/telovix-agent || fail 'the proxy was not written down'

  # The service that had to let go of the state runs again, whatever came in between.
  : >"$SCRATCH/calls"
  # shellcheck disable=SC2016
  fake systemctl 'echo "$@" >>'"$SCRATCH/calls"
  # shellcheck disable=SC2016
  fake runuser 'kill -TERM $PPID; exit 0'
  wet 1 'interrupted; run it again' --prefix "$SCRATCH/prefix"
  grep -A9 '^stop telovix-agent' "$SCRATCH/calls" | grep -q '^start telovix-agent' || fail "$shell: interrupted, it left the service stopped"
  fake runuser 'exit 0'
  : >"$SCRATCH/calls"
  wet 0 'start it with' --prefix "$SCRATCH/prefix" --no-start
  grep -A9 '^stop telovix-agent' "$SCRATCH/calls" | grep -q '^start telovix-agent' || fail "$shell: --no-start stopped the service"
  fake systemctl 'exit 0'
  try 0 'removed' --uninstall --purge
  rm -rf /etc/systemd/system/telovix* /etc/sysusers.d /etc/tmpfiles.d
}

# Cut anywhere, it runs no program at all; whole, it does.
cuts() {
  local size at
  size=$(wc -c <"$script")
  mkdir -p "$SCRATCH/traps"
  rm -f "$SCRATCH/ran"
  for program in id sed tr head cat systemctl grep mkdir mktemp uname curl rm; do
    printf '#!/bin/sh\necho %s >>"%s"\n' "$program" "$SCRATCH/ran" >"$SCRATCH/traps/$program"
    chmod 755 "$SCRATCH/traps/$program"
  done
  local interpreter words=("$@")
  interpreter=$(command -v "${words[0]}")
  cut_at() {
    head -c "$1" "$script" >"$SCRATCH/cut"
    PATH=$SCRATCH/traps "$interpreter" "${words[@]:1}" "$SCRATCH/cut" --console-url https://127.0.0.1:1 --token-stdin \
      </dev/null >"$SCRATCH/out" 2>&1
  }
  for ((at = 0; at < size - 1; at += at < size - 120 ? 211 : 1)); do
    cut_at "$at" || true
    [[ ! -e $SCRATCH/ran ]] || fail "$*: the first $at of $size bytes ran $(tr '\n' ' ' <"$SCRATCH/ran")"
  done
  cut_at "$size" || true
  [[ -e $SCRATCH/ran ]] || fail "$*: the whole script ran nothing, so that this proves nothing"
}

# A Console that is trusted and answers as none does.
start_rogue() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=rogue \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$SCRATCH/rogue.key" -out "$SCRATCH/rogue.pem" 2>/dev/null
  rogue_ca=sha256:$(openssl x509 -in "$SCRATCH/rogue.pem" -outform DER | sha256sum | cut -d ' ' -f 1)
  rogue_pin=$(openssl x509 -in "$SCRATCH/rogue.pem" -pubkey -noout | openssl pkey -pubin -outform DER |
    openssl dgst -sha256 -binary | base64)
  python3 "$(dirname "$script")/tests/system/support/rogue.py" "$SCRATCH/rogue.pem" "$SCRATCH/rogue.key" "$SCRATCH/rogue.pem" \
    >"$SCRATCH/rogue.port" 2>"$SCRATCH/rogue.log" &
  at_exit "kill $!; wait $!"
  local end=$((SECONDS + 30))
  until [[ -s $SCRATCH/rogue.port ]]; do
    ((SECONDS < end)) || fail "the rogue did not start: $(cat "$SCRATCH/rogue.log")"
    sleep 0.1
  done
  rogue=https://127.0.0.1:$(cat "$SCRATCH/rogue.port")
}
hostile() {
  hostile_answer() { try "$2" "$3" --console-url "$rogue/$1" --ca-fingerprint "$rogue_ca" --token-stdin --dry-run; }
  hostile_answer html 13 'answers, but not as a Console does'
  hostile_answer redirect 13 'answers, but not as a Console does'
  hostile_answer cut 15 'the download broke off'
  hostile_answer wrong 16 'the checksum of the agent differs'
  hostile_answer bare 15 'without a checksum'
  # Trusted by a file, the first answer that is looked at is the binary's.
  try 15 'without a checksum' --console-url "$rogue/html" --bootstrap-ca "$SCRATCH/rogue.pem" --token-stdin --dry-run
  try 15 'without a checksum' --console-url "$rogue/redirect" --bootstrap-ca "$SCRATCH/rogue.pem" --token-stdin --dry-run
}

# The line that `token create` prints, in the shells that people type it into: `lines SHELL`. What stands in for the programs
# writes down what it was given; a `printf` or `echo` that is no part of the shell would have the token among its arguments.
lines() {
  local word=$*
  mkdir -p "$SCRATCH/line"
  stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"$SCRATCH/line/$1" && chmod 755 "$SCRATCH/line/$1"; }
  for program in printf echo [ test; do stand_in "$program" "/bin/echo '$program' \"\$@\" >>'$SCRATCH/argv'; exec '$(type -P "$program")' \"\$@\""; done
  # shellcheck disable=SC2016
  stand_in curl 'while [ $# -gt 1 ]; do [ "$1" = -o ] && to=$2; shift; done; cp "$SCRATCH/payload" "$to"'
  # shellcheck disable=SC2016
  stand_in sudo 'echo "$@" >"$SCRATCH/sudo"; exec "$@"'
  export SCRATCH
  # shellcheck disable=SC2016
  printf 'cat >"$SCRATCH/got"\nexit 7\n' >"$SCRATCH/payload"
  "$BIN/telovix-console-stub" token create --data-dir "$SCRATCH/console" --type once --output json >"$SCRATCH/made.json"
  { printf "alias sudo='sudo -E '\n" && json install_command <"$SCRATCH/made.json" | sed 's/\\"/"/g; s/\\\\/\\/g'; } >"$SCRATCH/the-line"
  type_in() {
    rm -f "$SCRATCH/argv" "$SCRATCH/sudo" "$SCRATCH/got"
    # shellcheck disable=SC2086
    PATH=$SCRATCH/line:$PATH expect 7 $word "$SCRATCH/the-line"
    [[ $(cat "$SCRATCH/got") == "$(json token <"$SCRATCH/made.json")" ]] || fail "$word: the token did not arrive: $(cat "$SCRATCH/got")"
    if grep -s tse_ "$SCRATCH/argv"; then fail "$word: the token stands in an argument list"; fi
  }
  stand_in id 'echo 0'
  type_in
  [[ ! -e $SCRATCH/sudo ]] || fail "$word: root was sent through sudo"
  stand_in id 'echo 1000'
  type_in
  grep -qE '^sh .* --token-stdin$' "$SCRATCH/sudo" || fail "$word: not by sudo: $(cat "$SCRATCH/sudo")"
}
# With the real curl: what is no script does not run, and what is sent elsewhere is not followed to where no key is pinned.
line_from_rogue() {
  sed "1d; s|sha256//[^']*|sha256//$rogue_pin|; s|$console_url/install.sh|$rogue/$1/install.sh|" "$SCRATCH/the-line" >"$SCRATCH/rogue-line"
  expect "$2" sh "$SCRATCH/rogue-line"
  if grep -q 'it ran' "$SCRATCH/out"; then fail "$1: a download that failed ran"; fi
  [[ -s $SCRATCH/err ]] || fail "$1: it says nothing"
}

# Not the static one, which prefers its own programs to those that stand in for the host's.
busybox=$(borrowed busybox /bin/busybox)
mkdir "$SCRATCH/shells"
ln -s "$busybox" "$SCRATCH/shells/busybox"
export PATH=$SCRATCH/shells:$PATH
# Somebody who types the token is asked for it.
expect 0 script -qec "'$BIN/telovix-agent' token inspect --token-stdin" /dev/null <"$SCRATCH/token"
grep -q '^Enrollment token: ' "$SCRATCH/out" || fail "nobody asked for the token: $(tr -d '\r' <"$SCRATCH/out" | sed 's/tse_.*/…/')"

start_rogue
for shell in dash 'busybox sh' 'bash -O expand_aliases' mksh 'zsh -o aliases'; do
  # shellcheck disable=SC2086
  lines $shell
done
line_from_rogue cut 18
line_from_rogue redirect 1
echo 'the line: in five shells, with and without sudo, the token in no argument list'
for shell in dash 'busybox sh' bash; do
  failures
  hostile
  # shellcheck disable=SC2086
  cuts $shell
  echo "$shell: every check fails as it should; cut anywhere, it runs nothing"
done
