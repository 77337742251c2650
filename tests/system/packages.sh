#!/usr/bin/env bash
# The packages: linted, the same when made twice; the deb installed, configured, upgraded, removed and purged on a booted
# host; the rpm installed, upgraded and removed in a root of its own, its scripts' calls looked at.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/support/machine.sh"
((EUID == 0)) || skip 'only root can boot a machine'
source=$(cd "$(dirname "$0")/../.." && pwd)
need readelf binutils
need lintian lintian
need rpm rpm
need rpmlint rpmlint
need dnf dnf
need createrepo_c createrepo-c
debian_roots bookworm
prepared
cd /

# A build and a newer one, whose version has as many letters, so that the binary stays whole.
arch=$(dpkg --print-architecture)
strip -o "$SCRATCH/old" "$BIN/telovix-agent"
LC_ALL=C sed 's/0\.1\.0/0.1.9/g' "$SCRATCH/old" >"$SCRATCH/new"
chmod 755 "$SCRATCH/new"
for build in old new; do
  expect 0 "$source/packaging/package" --binary "$SCRATCH/$build" --out "$SCRATCH/$build-out" --arch "$arch"
done
expect 0 "$source/packaging/package" --binary "$SCRATCH/old" --out "$SCRATCH/again" --arch "$arch"
expect 0 cmp "$SCRATCH/old-out/SHA256SUMS" "$SCRATCH/again/SHA256SUMS"
(cd "$SCRATCH/old-out" && sha256sum --quiet -c SHA256SUMS) || fail 'SHA256SUMS does not hold'
deb=("$SCRATCH"/old-out/*.deb) newer=("$SCRATCH"/new-out/*.deb)

lintian --allow-root "${deb[0]}" >"$SCRATCH/out" 2>&1 || true
grep -q '^E:' "$SCRATCH/out" && fail "lintian: $(cat "$SCRATCH/out")"
rpmlint -c "$source/packaging/rpm/rpmlint.toml" "$SCRATCH"/old-out/*.rpm >"$SCRATCH/out" 2>&1 ||
  fail "rpmlint: $(cat "$SCRATCH/out")"
grep -q '1 packages .* 0 errors' "$SCRATCH/out" || fail "rpmlint: $(cat "$SCRATCH/out")"
echo 'made twice the same; lintian and rpmlint have no error'

# The deb.
make_network
fresh_root bookworm
start_remote_console "$SCRATCH/old"
boot
cp "${deb[0]}" "$root/opt/old.deb"
cp "${newer[0]}" "$root/opt/new.deb"
dpkg_in() { inside env DEBIAN_FRONTEND=noninteractive LC_ALL=C dpkg "$@"; }
service() { inside systemctl show telovix-agent --property "$1" --value; }
is() { [[ $(service "$1") == "$2" ]] || fail "the service has $1=$(service "$1") instead of $2"; }
enabled() { inside systemctl is-enabled telovix-agent 2>/dev/null || true; }
ready() { inside telovix-agent status --ready >/dev/null 2>&1; }
identity() { inside telovix-agent status --output json | json sensor_id; }

expect 0 dpkg_in -i /opt/old.deb
[[ $(enabled) == enabled ]] || fail 'the service is not enabled'
is ActiveState inactive
is Result success
expect 0 inside id telovix
# Every manual page that a page names is there, the completions work, and what an operator edits is his.
zcat "$root"/usr/share/man/man1/telovix-agent*.1.gz | sed -nE 's/^telovix\\-agent\\-(.*)\(1\)$/\1/p' | tr -d '\\' >"$SCRATCH/pages"
(($(wc -l <"$SCRATCH/pages") >= 11)) || fail "the manual names too few pages: $(cat "$SCRATCH/pages")"
while read -r page; do
  [[ -s $root/usr/share/man/man1/telovix-agent-$page.1.gz ]] || fail "there is no telovix-agent-$page(1)"
done <"$SCRATCH/pages"
expect 0 inside bash -c '. /usr/share/bash-completion/completions/telovix-agent && complete -p telovix-agent'
expect 0 inside test -s /usr/share/fish/vendor_completions.d/telovix-agent.fish -a -s /usr/share/zsh/vendor-completions/_telovix-agent
grep -q '^ /etc/default/telovix-agent ' <<<"$(dpkg_in --status telovix-agent)" || fail 'no conffile'
glibc=$(readelf -VW "$SCRATCH/old" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
grep -qF "libc6 (>= ${glibc#GLIBC_})" <<<"$(dpkg_in --status telovix-agent)" || fail 'it can be installed where its C library is too old'
expect 0 inside systemd-analyze verify --man=no /usr/lib/systemd/system/telovix-agent.service
[[ ! -s $SCRATCH/out && ! -s $SCRATCH/err ]] || fail "systemd-analyze verify: $(cat "$SCRATCH/out" "$SCRATCH/err")"
printf 'console_url = "%s"\nca_fingerprint = "%s"\ntoken_file = "/etc/telovix/token/enrollment-token"\n' \
  "$console_url" "$ca_fingerprint" >"$root/etc/telovix/agent.toml"
make_token --type once >"$root/opt/token"
expect 0 inside install -o telovix -g telovix -m 0400 /opt/token /etc/telovix/token/enrollment-token
expect 0 inside systemctl start telovix-agent
await 'ready after the configuration' ready
sensor=$(identity)
# What the packages own is not touched by the other way in; what only it has to do, it does.
cp "$source/install.sh" "$root/opt/install.sh"
expect 17 inside sh -c "exec sh /opt/install.sh --console-url '$console_url' --version 7.7.7 </dev/null"
expect 18 inside sh /opt/install.sh --uninstall
expect 0 inside sh -c "exec sh /opt/install.sh --console-url '$console_url' --ca-fingerprint '$ca_fingerprint' </dev/null"
[[ ! -e $root/usr/local/bin/telovix-agent && $(identity) == "$sensor" ]] || fail 'install.sh went over the package'

echo '# edited' >>"$root/etc/default/telovix-agent"
before=$(service MainPID)
expect 0 dpkg_in -i /opt/new.deb
await 'ready after the upgrade' ready
[[ $(inside telovix-agent --version) == 'telovix-agent 0.1.9' ]] || fail 'it was not upgraded'
[[ $(service MainPID) != "$before" && $(identity) == "$sensor" ]] || fail 'not restarted, or with another identity'
grep -q edited "$root/etc/default/telovix-agent" || fail 'the upgrade took the edited conffile'
expect 0 inside systemctl disable telovix-agent
expect 0 dpkg_in -i /opt/new.deb
[[ $(enabled) == disabled ]] || fail 'an upgrade enabled what the operator had disabled'
expect 0 inside systemctl enable telovix-agent

expect 0 dpkg_in -r telovix-agent
is ActiveState inactive
[[ ! -e $root/usr/bin/telovix-agent ]] || fail 'the program is left'
for path in var/lib/telovix-sensor/current etc/telovix/agent.toml etc/default/telovix-agent; do
  [[ -e $root/$path || -L $root/$path ]] || fail "the removal took $path"
done
expect 0 dpkg_in -i /opt/new.deb
await 'ready after coming back' ready
[[ $(identity) == "$sensor" ]] || fail 'it came back as another'

expect 0 dpkg_in -P telovix-agent
for path in var/lib/telovix-sensor etc/telovix etc/default/telovix-agent usr/bin/telovix-agent; do
  [[ ! -e $root/$path ]] || fail "the purge left $path"
done
[[ -z $(inside systemctl --failed --no-legend --plain) ]] || fail "failed units: $(inside systemctl --failed)"
echo 'deb: installed, configured, upgraded, removed, back, purged'

# The rpm. There is no Fedora here: a package of our own stands in for systemd and /bin/sh, and writes down its calls.
empty=$SCRATCH/rpm-root repo=$SCRATCH/repo
mkdir -p "$empty/dev" "$repo" "$SCRATCH/base"
mknod -m 0666 "$empty/dev/null" c 1 3
cp "$(borrowed busybox-static /bin/busybox)" "$SCRATCH/base/busybox"
for program in systemctl systemd-sysusers systemd-tmpfiles; do
  printf '#!/bin/sh\necho "%s $*" >>/calls\n' "$program" >"$SCRATCH/base/$program"
done
cat >"$SCRATCH/base/nfpm.yaml" <<YAML
name: systemd
arch: all
version: 255.0.0
maintainer: a test <a@test.example>
description: stands in for a base system
provides: [/bin/sh, libc.so.6($glibc)(64bit), libgcc_s.so.1()(64bit)]
contents:
  - {src: busybox, dst: /bin/sh, file_info: {mode: 0755}}
  - {src: systemctl, dst: /usr/bin/systemctl, file_info: {mode: 0755}}
  - {src: systemd-sysusers, dst: /usr/bin/systemd-sysusers, file_info: {mode: 0755}}
  - {src: systemd-tmpfiles, dst: /usr/bin/systemd-tmpfiles, file_info: {mode: 0755}}
  - {dst: /run/systemd/system, type: dir}
YAML
(cd "$SCRATCH/base" && "$source/target/package-tools/bin/nfpm" package --config nfpm.yaml --packager rpm --target "$repo") >/dev/null
cp "$SCRATCH"/old-out/*.rpm "$repo"
in_root() {
  createrepo_c --quiet "$repo"
  dnf --installroot="$empty" --releasever=9 --setopt=reposdir=/nonexistent --setopt=keepcache=0 --repofrompath="l,file://$repo" \
    --nogpgcheck --disableplugin='*' -y -q "$@"
}
calls() { cat "$empty/calls" 2>/dev/null || true; }
called() { calls | grep -qxF "$1" || fail "'$1' was not called, but: $(calls)"; }
expect 0 in_root install telovix-agent
[[ $("$empty/usr/bin/telovix-agent" --version) == 'telovix-agent 0.1.0' ]] || fail 'not installed'
called 'systemd-sysusers telovix-agent.conf'
called 'systemd-tmpfiles --create telovix-agent.conf'
called 'systemctl --no-reload preset telovix-agent.service'
calls | grep -qE 'systemctl (start|restart|enable)' && fail "the rpm starts by itself: $(calls)"
grep -qx /etc/sysconfig/telovix-agent <<<"$(rpm --root "$empty" -q --configfiles telovix-agent)" || fail 'no configuration file'
for file in man/man1/telovix-agent.1.gz man/man1/telovix-agent-token-inspect.1.gz bash-completion/completions/telovix-agent \
  fish/vendor_completions.d/telovix-agent.fish zsh/site-functions/_telovix-agent licenses/telovix-agent/LICENSE; do
  grep -qx "/usr/share/$file" <<<"$(rpm --root "$empty" -ql telovix-agent)" || fail "the rpm has no $file"
done
grep -qxF "libc.so.6($glibc)(64bit)" <<<"$(rpm --root "$empty" -q --requires telovix-agent)" || fail 'it does not say which C library it needs'
rpm --root "$empty" -V telovix-agent || fail 'what was installed is not what was packed'
echo '# edited' >>"$empty/etc/sysconfig/telovix-agent"
mkdir -p "$empty/var/lib/telovix-sensor"
: >"$empty/calls"
cp "$SCRATCH"/new-out/*.rpm "$repo"
expect 0 in_root --refresh upgrade telovix-agent
[[ $("$empty/usr/bin/telovix-agent" --version) == 'telovix-agent 0.1.9' ]] || fail 'not upgraded'
called 'systemctl try-restart telovix-agent.service'
calls | grep -qE 'disable|stop|preset' && fail "an upgrade is not a removal: $(calls)"
grep -q edited "$empty/etc/sysconfig/telovix-agent" || fail 'the upgrade took the edited configuration'
: >"$empty/calls"
expect 0 in_root remove telovix-agent
called 'systemctl --no-reload disable telovix-agent.service'
called 'systemctl stop telovix-agent.service'
[[ ! -e $empty/usr/bin/telovix-agent && -d $empty/var/lib/telovix-sensor ]] || fail 'removed too little, or too much'
[[ -e $empty/etc/sysconfig/telovix-agent.rpmsave ]] || fail 'the edited configuration is gone'
echo 'rpm: installed, upgraded, removed, by stand-ins for systemd'
