#!/bin/sh
# Installs the Telovix agent on this host as a systemd service and enrolls it, as the one-line command of the Console asks.
#
# All of it is functions, and the last line calls the first one, within braces: a download that was cut runs nothing.
# The token comes on standard input or in a file and goes on to the agent's standard input, unread: it stands in no
# argument list, no environment and no variable. Doing it twice is doing it once.
#
# Exit status: 0 done; 1 interrupted; 2 usage; 3 to 8 as `telovix-agent enroll` ended (3 refused, 4 waiting for approval,
# 5 Console not reached, 7 Console not trusted, 8 local state); and one for each check that failed:
#   10 not root                          16 the checksum of the agent differs
#   11 no agent for this architecture    17 the agent does not run here, or is of another version
#   12 a needed program is missing       18 a file could not be written
#   13 the Console is not reached        19 the user could not be made
#   14 the Console is not trusted        20 no systemd
#   15 the download failed               21 the service does not run, or is not ready in time
set -eu

usage() {
    cat <<'USAGE'
usage: sh install.sh --console-url URL (--ca-fingerprint sha256:HEX | --bootstrap-ca FILE) (--token-stdin | --token-file FILE)
                     [--node-name NAME] [--node-role ROLE] [--cluster-name NAME] [--tags TAG,…] [--flavor standard|telecom]
                     [--version VERSION] [--offline DIR] [--prefix DIR] [--no-start] [--dry-run]
       sh install.sh --uninstall [--purge] [--dry-run]

  --ca-fingerprint  trust the Console whose CA has this fingerprint
  --bootstrap-ca    trust the Console by this CA file; with neither, by the system's roots
  --token-stdin     read the enrollment token from standard input
  --token-file      read it from this file; without a token an enrolled host is upgraded
  --version         take no other version of the agent than this
  --offline         take telovix-agent-ARCH or telovix-agent-linux-ARCH (amd64, arm64) and SHA256SUMS from this directory,
                    downloading nothing
  --prefix          where bin/telovix-agent goes [default: /usr/local]
  --no-start        neither enable nor start the service; without a token, do not enroll either
  --dry-run         check everything and say what would be done, changing nothing
  --uninstall       remove the service and the program; the identity and the configuration stay
  --purge           with --uninstall: retire this node at the Console, and remove the rest as well
USAGE
}

fail() {
    status=$1
    shift
    printf 'install.sh: %s\n' "$*" >&2
    exit "$status"
}

say() {
    printf '%s\n' "$*"
}

need() {
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 || fail 12 "$program is missing; install it and run the command again"
    done
}

# Values end up in agent.toml between quotation marks.
plain() {
    case $2 in
        '') fail 2 "the value of $1 is empty" ;;
        *[\"\\]* | *[[:cntrl:]]*) fail 2 "the value of $1 may hold no quotation mark, backslash or control character" ;;
    esac
}

# Reads the options into variables.
options() {
    console_url='' ca_fingerprint='' bootstrap_ca='' token_stdin=no token_file='' node_name='' node_role=''
    cluster_name='' tags='' flavor=standard version='' offline='' prefix=/usr/local
    start=yes dry_run=no uninstall=no purge=no
    while [ $# -gt 0 ]; do
        case $1 in
            --token-stdin) token_stdin=yes; shift; continue ;;
            --no-start) start=no; shift; continue ;;
            --dry-run) dry_run=yes; shift; continue ;;
            --uninstall) uninstall=yes; shift; continue ;;
            --purge) purge=yes; shift; continue ;;
            --help | -h) usage; exit 0 ;;
            --token | --token=* | tse_*)
                fail 2 "a token on the command line can be read by everyone on this host; use --token-stdin or --token-file" ;;
        esac
        option=$1
        [ $# -ge 2 ] || { usage >&2; fail 2 "unknown option, or its value is missing: $option"; }
        plain "$option" "$2"
        case $option in
            --console-url) console_url=${2%/} ;;
            --ca-fingerprint) ca_fingerprint=$2 ;;
            --bootstrap-ca) bootstrap_ca=$2 ;;
            --token-file) token_file=$2 ;;
            --node-name) node_name=$2 ;;
            --node-role) node_role=$2 ;;
            --cluster-name) cluster_name=$2 ;;
            --tags) tags=$2 ;;
            --flavor) flavor=$2 ;;
            --version) version=$2 ;;
            --offline) offline=$2 ;;
            --prefix) prefix=${2%/} ;;
            *) usage >&2; fail 2 "unknown option: $option" ;;
        esac
        shift 2
    done
    if [ "$uninstall" = yes ]; then
        return
    fi
    coherent
}

# What the options have to be together.
coherent() {
    [ "$purge" = no ] || fail 2 "--purge goes with --uninstall"
    case $console_url in
        https://*) ;;
        '') fail 2 "--console-url is missing" ;;
        *) fail 2 "--console-url has to start with https://" ;;
    esac
    case $flavor in
        standard | telecom) ;;
        *) fail 2 "--flavor can be standard or telecom" ;;
    esac
    case $prefix in
        *[!A-Za-z0-9/._+-]*) fail 2 "--prefix can hold letters, digits and / . _ + - only" ;;
        /*) ;;
        *) fail 2 "--prefix has to be an absolute path" ;;
    esac
    case ${prefix#/}/ in
        home/* | root/* | run/user/*) fail 2 "--prefix: the service does not see $prefix, for it sees nobody's home" ;;
    esac
    if [ -n "$ca_fingerprint" ]; then
        [ -z "$bootstrap_ca" ] || fail 2 "--ca-fingerprint and --bootstrap-ca are two ways to say the same; give one"
        pin=$(printf %s "$ca_fingerprint" | sed -n 's/^sha256://p' | tr -d : | tr A-F a-f)
        case $pin in
            *[!0-9a-f]*) pin='' ;;
        esac
        [ ${#pin} -eq 64 ] || fail 2 "--ca-fingerprint has to be sha256: and 64 hex digits, as the Console shows it"
    elif [ -n "$bootstrap_ca" ]; then
        [ -r "$bootstrap_ca" ] || fail 2 "--bootstrap-ca: $bootstrap_ca cannot be read"
    fi
    if [ -n "$token_file" ]; then
        [ "$token_stdin" = no ] || fail 2 "--token-stdin and --token-file are two sources of one token; give one"
        { [ -r "$token_file" ] && [ -f "$token_file" ]; } || fail 2 "--token-file: $token_file cannot be read"
    fi
    token=no
    [ "$token_stdin" = no ] && [ -z "$token_file" ] || token=yes
}

# Who may go on, and where.
surroundings() {
    [ "$(id -u)" -eq 0 ] || [ "$dry_run" = yes ] || fail 10 "run it as root, for example with sudo"
    if [ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null 2>&1; then
        fail 20 "$(system_name) does not run systemd. In Kubernetes, install the Helm chart telovix-agent; elsewhere put the" \
            "binary in place, run \`telovix-agent enroll\`, and have your service manager run \`telovix-agent run\`"
    fi
    need sed grep tr runuser
    [ "$uninstall" = yes ] || need cut sha256sum mktemp uname systemd-tmpfiles
}

# A directory for what is on the way, where programs may run: many hosts forbid that in /tmp.
workplace() {
    for place in "${TMPDIR:-/tmp}" /var/tmp /run "$prefix"; do
        work=$(mktemp -d "$place/telovix-install.XXXXXX" 2>/dev/null) || continue
        { printf '#!/bin/sh\n' >"$work/probe" && chmod 700 "$work/probe" && "$work/probe"; } 2>/dev/null && return
        [ -s "$work/probe" ] || fail 18 "there is no room in $place; make some, or name another directory in TMPDIR"
        rm -rf "$work"
    done
    fail 18 "programs may be written and run neither in ${TMPDIR:-/tmp} nor in /var/tmp; name another directory in TMPDIR"
}

# The system by its own name (os-release(5)).
system_name() {
    name=''
    for file in /etc/os-release /usr/lib/os-release; do
        [ -r "$file" ] || continue
        name=$(sed -n 's/^PRETTY_NAME=//p' "$file" | tr -d "\"'" | head -n 1)
        break
    done
    printf %s "${name:-this system}"
}

architecture() {
    case $(uname -m) in
        x86_64 | amd64) arch=amd64 ;;
        aarch64 | arm64) arch=arm64 ;;
        *) fail 11 "no agent is built for $(uname -m); there is one for x86_64 and one for aarch64" ;;
    esac
}

# What is here already: a package's files are left to the package manager.
present() {
    packaged=no enrolled=no
    for unit in /usr/lib/systemd/system /lib/systemd/system; do
        [ ! -e "$unit/telovix-agent.service" ] || packaged=yes
    done
    [ ! -e "$state_dir/current" ] || enrolled=yes
    bin=$prefix/bin/telovix-agent
    [ "$packaged" = no ] || bin=/usr/bin/telovix-agent
    if [ "$token$enrolled$start" = nonoyes ]; then
        fail 2 "this host is not enrolled: --token-stdin or --token-file is missing"
    fi
}

# Calls curl, and says what its exit status means (curl(1)); $1 is the status for a failure that is neither of the network
# nor of trust, $2 its sentence.
fetch() {
    otherwise=$1 sentence=$2 code=0
    shift 2
    need curl
    curl -q -fsS --proto =https --connect-timeout 20 --max-time 600 "$@" 2>"$work/curl" || code=$?
    # curl quotes a proxy's address with its password.
    said=$(sed 's|[^ /]*@||g' "$work/curl")
    case $code in
        0) return ;;
        5 | 6 | 7 | 28 | 97) fail 13 "$console_url cannot be reached; check the address, the route and the proxy ($said)" ;;
        23) fail 18 "there is no room in ${work%/*}; make some, or name another directory in TMPDIR ($said)" ;;
        35 | 51 | 58 | 60 | 77 | 83 | 90) fail 14 "$console_url is not trusted; nothing was sent ($said)" ;;
        *) fail "$otherwise" "$sentence ($said)" ;;
    esac
}

# Reads the proxies of the environment as the agent reads them, and leaves them in https_proxy and no_proxy alone, in the
# forms that every curl takes. What would be misread or ignored is refused by name.
proxy_settings() {
    proxy='' from='' bypass=${no_proxy:-${NO_PROXY-}}
    for name in https_proxy HTTPS_PROXY all_proxy ALL_PROXY http_proxy HTTP_PROXY; do
        eval "proxy=\$(printf %s \"\${$name-}\" | sed 's/^[[:space:]]*//; s/[[:space:]]*\$//')"
        [ -z "$proxy" ] || { from=$name; break; }
    done
    [ -n "$proxy" ] || return 0
    problem=$(proxy_problem "$proxy")
    case $problem:$from in
        :*) ;;
        # Every call is https: a bad proxy for http hurts nobody.
        *:http_proxy | *:HTTP_PROXY) say "note: $from $problem (not used)"; proxy=''; return ;;
        *) fail 2 "$from $problem" ;;
    esac
    no_proxy=$(bypasses) || exit $?
    https_proxy=$proxy
    unset HTTPS_PROXY all_proxy ALL_PROXY http_proxy HTTP_PROXY NO_PROXY
    export https_proxy no_proxy
}

# What is wrong with a proxy's address. Never prints it: it may hold a password.
proxy_problem() {
    right='write it as http://proxy.example:3128'
    case $1 in
        [Hh][Tt][Tt][Pp]://*) rest=${1#*://} ;;
        *://*) say "names a proxy of another kind than http, which is not supported; $right"; return ;;
        *) rest=$1 ;;
    esac
    case $rest in
        *:/*) say "is not a proxy's address; $right"; return ;;
    esac
    authority=${rest%%[/?#]*}
    case ${rest#"$authority"}${authority#*@} in
        *@*) say 'holds a user name or password with a raw @, /, ? or #; write these as %40, %2F, %3F and %23'; return ;;
    esac
    host=${authority##*@}
    case $host in
        \[*\] | \[*\]:*) port=${host##*\]} host=${host%%\]*} host=${host#\[} port=${port#:} ;;
        *:*) port=${host#*:} host=${host%%:*} ;;
        *) port='' ;;
    esac
    case $host in
        '') say "names no host; $right"; return ;;
        *[!A-Za-z0-9.:_-]*) say "is not a proxy's address; $right"; return ;;
    esac
    case $port in
        *[!0-9]* | ??????* | 0) say "has an impossible port; $right"; return ;;
    esac
    [ "${port:-1}" -le 65535 ] || { say "has an impossible port; $right"; return; }
    case $authority in
        *[[:space:][:cntrl:]]*) say "is not a proxy's address: it holds white space; $right" ;;
    esac
}

# The entries of NO_PROXY in the forms that every curl takes, separated by commas.
bypasses() {
    bypass=$(printf %s "$bypass" | tr '[:upper:],' '[:lower:] ' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
    [ "$bypass" != '*' ] || { say '*'; return; }
    target=$(printf %s "${console_url#https://}" | tr '[:upper:]' '[:lower:]' | sed 's|/.*||; s|^\[\(.*\)\].*|\1|; t; s|:.*||; s|\.$||')
    list='' unclear='' direct=no
    set -f
    for entry in $(printf '%s\n' "$bypass"); do
        if printf '%s\n' "$entry" | grep -qE -e '^[0-9]{1,3}(\.[0-9]{1,3}){3}(/([1-9]|[12][0-9]|3[0-2]))?$' \
            -e '^[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*(/([1-9][0-9]?|1[01][0-9]|12[0-8]))?$'; then
            [ "$entry" != "$target" ] || direct=yes
        elif printf '%s\n' "$entry" | grep -qE '^[a-z0-9._-]*[a-z_-][a-z0-9_-]*\.?$'; then
            entry=${entry%.} entry=${entry#.}
            ! covered "$entry" || direct=yes
        else
            if meant "$entry"; then unclear=${unclear:-$entry}; else ignored "$entry" '(it does not concern the Console)' >&2; fi
            continue
        fi
        list=$list${list:+,}$entry
    done
    set +f
    [ -z "$unclear" ] || [ "$direct" = yes ] || fail 2 "$(ignored "$unclear")"
    say "$list"
}

ignored() {
    say "NO_PROXY: \"$1\" is not understood; write a host (console.example), a domain (.example), an address (192.0.2.7," \
        "2001:db8::7) or a network (192.0.2.0/24), without a port, brackets or wildcards${2:+ $2}"
}

# Whether a name covers the Console's. A name never covers an address.
covered() {
    case $target in
        *:* | *.[0-9] | *.[0-9][0-9] | *.[0-9][0-9][0-9]) return 1 ;;
        "$1" | *."$1") return 0 ;;
    esac
    return 1
}

# Whether an entry that is not understood may be meant for the Console: with quotes, a scheme, brackets, a port or a wildcard
# taken off, it covers it.
meant() {
    core=$(printf %s "$1" | sed "s|[\"']||g; s|^[a-z]*://||")
    case $core:$target in
        '*':* | */*:*:* | */*:*.[0-9] | */*:*.[0-9][0-9] | */*:*.[0-9][0-9][0-9]) return 0 ;;
    esac
    core=$(printf %s "$core" | sed 's|/.*||; s|^\[\([^]]*\)\].*|\1|; s|^\([^:]*\):[0-9]*$|\1|')
    case $core in
        *[*]*)
            first=${core%%[*]*} last=${core##*[*]}
            case $target in
                "$first"*"$last") return 0 ;;
            esac
            return 1 ;;
    esac
    core=${core#.} core=${core%.}
    [ "$core" = "$target" ] || covered "$core"
}

# Finds out whom to trust. With a fingerprint: fetches the Console's CA over a connection that carries no secret, and
# compares its root with the pin. Leaves a CA file in "$ca", empty for the system's roots.
trust() {
    ca=$bootstrap_ca
    [ -n "$ca_fingerprint" ] || return 0
    need base64
    stranger="$console_url answers, but not as a Console does"
    fetch 13 "$stranger" -k --retry 2 -o "$work/bootstrap.json" \
        "$console_url/api/v1/sensors/trust-bootstrap"
    sed -n 's/.*"control_plane_ca_certificate_pem" *: *"\([^"]*\)".*/\1/p' "$work/bootstrap.json" \
        | sed 's/\\n/\
/g' >"$work/ca.pem"
    sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/{p;/-----END/q;}' "$work/ca.pem" >"$work/root.pem"
    [ -s "$work/root.pem" ] || fail 13 "$stranger; check the address, and what stands between"
    found=$(grep -v -e '-----' "$work/root.pem" | base64 -d 2>/dev/null | sha256sum | cut -d ' ' -f 1)
    for other in "file (as sha256sum prints it)=$(sha256sum <"$work/root.pem")" "public key=$(public_key "$work/root.pem" | sha256sum)"; do
        [ "$found" = "$pin" ] || [ "$(printf %s "${other#*=}" | cut -d ' ' -f 1)" != "$pin" ] \
            || fail 14 "sha256:$pin is the SHA-256 of the CA's ${other%%=*}, not of the certificate, whose fingerprint is sha256:$found; pin that one"
    done
    [ "$found" = "$pin" ] \
        || fail 14 "the CA of $console_url has fingerprint sha256:$found, but sha256:$pin is pinned; nothing was sent"
    ca=$work/root.pem
}

# The public key of a certificate in DER, where there is openssl to take it out.
public_key() {
    { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform der; } 2>/dev/null || :
}

# Gets the agent into "$work", from the Console or from a directory, with the checksum that came with it.
obtain() {
    if [ -n "$offline" ]; then
        [ -r "$offline/SHA256SUMS" ] || fail 15 "$offline/SHA256SUMS is missing"
        for name in "telovix-agent-$arch" "telovix-agent-linux-$arch"; do
            wanted=$(sed -n "s/^\([0-9a-f]*\) [ *]\(\.\/\)\{0,1\}$name\$/\1/p" "$offline/SHA256SUMS")
            [ -z "$wanted" ] || break
        done
        [ -n "$wanted" ] || fail 15 "$offline/SHA256SUMS names neither telovix-agent-$arch nor telovix-agent-linux-$arch"
        [ -r "$offline/$name" ] || fail 15 "$offline/$name cannot be read"
        cp "$offline/$name" "$work/telovix-agent" || fail 18 "there is no room in ${work%/*}; make some, or name another directory in TMPDIR"
    else
        fetch 15 "the Console has no agent for $arch ($flavor), or the download broke off; stage one there with: telovix-console-stub binary stage FILE" \
            ${ca:+--cacert "$ca"} -D "$work/head" -o "$work/telovix-agent" \
            "$console_url/api/v1/sensors/binary/$arch?flavor=$flavor"
        wanted=$(tr -d '\r' <"$work/head" | sed -n 's/^[Xx]-[Cc]hecksum-[Ss][Hh][Aa]256: *//p' | tail -n 1)
        [ -n "$wanted" ] || fail 15 "$console_url answers without a checksum, and so not as a Console does"
    fi
    found=$(sha256sum "$work/telovix-agent" | cut -d ' ' -f 1)
    [ "$found" = "$wanted" ] || fail 16 "the checksum of the agent differs: it is $found, and should be $wanted"
    chmod 755 "$work/telovix-agent"
    offered=$("$work/telovix-agent" --version 2>"$work/curl" </dev/null) \
        || fail 17 "the agent does not run on $(system_name): $(head -n 1 "$work/curl")"
    acceptable offered
}

# What `--version` prints is in "$offered": leaves the version there, if it is the one that is wanted.
acceptable() {
    offered=${offered#telovix-agent }
    [ -z "$version" ] || [ "$offered" = "$version" ] || fail 17 "the agent $1 is version $offered, and $version is wanted"
}

# Writes standard input to a file with a mode, whole or not at all; nobody else reads it before it has that mode.
put() {
    { mkdir -p "${2%/*}" && (umask 077 && cat >"$2.new") && chmod "$1" "$2.new" && mv -f "$2.new" "$2"; } \
        || { rm -f "$2.new"; fail 18 "$2 cannot be written"; }
}

install_files() {
    { mkdir -p "$prefix/bin" && cp "$work/telovix-agent" "$bin.new" && chmod 755 "$bin.new" && mv -f "$bin.new" "$bin"; } \
        || { rm -f "$bin.new" 2>/dev/null; fail 18 "$bin cannot be written; --prefix names another place"; }
    unit | sed "s|/usr/bin/telovix-agent|$bin|" | put 644 /etc/systemd/system/telovix-agent.service
    sysusers | put 644 /etc/sysusers.d/telovix-agent.conf
    tmpfiles | put 644 /etc/tmpfiles.d/telovix-agent.conf
    if command -v systemd-sysusers >/dev/null 2>&1; then
        systemd-sysusers /etc/sysusers.d/telovix-agent.conf || fail 19 "the user telovix could not be made"
    elif ! id telovix >/dev/null 2>&1; then
        useradd --system --user-group --home-dir "$state_dir" --no-create-home --shell /usr/sbin/nologin telovix \
            || fail 19 "the user telovix could not be made"
    fi
    systemd-tmpfiles --create /etc/tmpfiles.d/telovix-agent.conf || fail 18 "the directories in /etc/telovix and /var/lib could not be made; look at the disk"
    systemctl daemon-reload
}

# The configuration is the installer's until the host is enrolled, then the operator's: it is never touched again.
configure() {
    if [ -e "$config" ] && { [ "$enrolled" = yes ] || ! grep -q "^$mark" "$config"; }; then
        say "kept $config"
        grep -qF "\"$console_url\"" "$config" \
            || say "note: $config does not name $console_url; edit it if that is the Console to use from now on"
        return
    fi
    if [ -n "$bootstrap_ca" ]; then
        put 644 /etc/telovix/console-ca.pem <"$bootstrap_ca"
    fi
    settings | put 644 "$config"
}

settings() {
    say "$mark; \`telovix-agent --help\` lists what else it can hold."
    say "console_url = \"$console_url\""
    [ -z "$ca_fingerprint" ] || say "ca_fingerprint = \"$ca_fingerprint\""
    [ -z "$bootstrap_ca" ] || say 'bootstrap_ca = "/etc/telovix/console-ca.pem"'
    [ -z "$node_name" ] || say "node_name = \"$node_name\""
    [ -z "$node_role" ] || say "node_role = \"$node_role\""
    [ -z "$cluster_name" ] || say "cluster_name = \"$cluster_name\""
    [ -z "$tags" ] || say "tags = \"$tags\""
    say "flavor = \"$flavor\""
    say 'token_file = "/etc/telovix/token/enrollment-token"'
    proxies
}

# A service does not see the proxies of the shell that installed it. They may hold a password.
proxies() {
    { [ -n "$proxy" ] && [ ! -e /etc/default/telovix-agent ]; } || return 0
    {
        printf 'HTTPS_PROXY="%s"\n' "$(printf %s "$proxy" | sed 's/[\\"$`]/\\&/g')"
        printf 'NO_PROXY="%s"\n' "$no_proxy"
    } | put 600 /etc/default/telovix-agent
}

# Hands the token to the agent, which runs as its own user. While it enrolls the daemon has to let go of the state.
enroll() {
    [ "$token" = yes ] || return 0
    set -- enroll --token-stdin
    if [ "$enrolled" = no ]; then
        set -- "$@" --console-url "$console_url" --flavor "$flavor"
        [ -z "$ca_fingerprint" ] || set -- "$@" --ca-fingerprint "$ca_fingerprint"
        [ -z "$bootstrap_ca" ] || set -- "$@" --bootstrap-ca /etc/telovix/console-ca.pem
        [ -z "$node_name" ] || set -- "$@" --node-name "$node_name"
        [ -z "$node_role" ] || set -- "$@" --node-role "$node_role"
        [ -z "$cluster_name" ] || set -- "$@" --cluster-name "$cluster_name"
        [ -z "$tags" ] || set -- "$@" --tags "$tags"
    fi
    code=0
    ! systemctl -q is-active telovix-agent.service || { ran=yes; systemctl stop telovix-agent.service; }
    runuser -u telovix -- "$bin" "$@" <&3 3<&- || code=$?
    [ "$code" -eq 0 ] || exit "$code"
}

# However this ends: nothing stays in "$work", and a service that had to make way runs again.
# shellcheck disable=SC2317,SC2329 # A trap calls it, which not every version of shellcheck sees.
leave() {
    [ -z "$work" ] || rm -rf "$work"
    [ "$ran" = no ] || systemctl start telovix-agent.service || :
}

# Starts the service, waits until it is ready, and shows how it stands.
start() {
    if [ "$start" = no ]; then
        say "installed telovix-agent $offered; start it with: systemctl enable --now telovix-agent"
        return
    fi
    # Starts before this one, and their failures, do not count against it.
    systemctl reset-failed telovix-agent.service 2>/dev/null || :
    { systemctl -q enable telovix-agent.service 2>/dev/null && systemctl restart telovix-agent.service; } \
        || { ran=no; fail 21 "the service does not start; see: journalctl -u telovix-agent"; }
    ran=no
    tries=0
    until "$bin" status --ready >/dev/null 2>&1 </dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || { "$bin" status </dev/null || :; fail 21 "the service runs and is not ready; see: telovix-agent doctor"; }
        sleep 1
    done
    "$bin" status </dev/null
    say "telovix-agent $offered runs and is ready"
}

# systemd/telovix-agent.service, word for word; a test compares them.
unit() {
    cat <<'UNIT'
# The daemon that keeps this host enrolled. Every key here is known to systemd 247; what differs on a host goes into a
# drop-in (systemctl edit telovix-agent), see docs/operations.md.
[Unit]
Description=Telovix agent
Documentation=man:telovix-agent(1)
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target nss-lookup.target
# A host that nobody has configured yet is no failure.
ConditionPathExistsGlob=|/etc/telovix/agent.toml
ConditionPathExistsGlob=|/etc/telovix/agent.toml.d/*.toml
# Restarted without a limit: a disk or a clock may recover when nobody is there to start the agent.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/telovix-agent run
# A stop is not a removal: no decommission here, for a reboot is a stop too.
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=2min
TimeoutStartSec=2min
TimeoutStopSec=30s
Restart=on-failure
RestartSec=10s
# A wrong configuration stays wrong however often it is tried.
RestartPreventExitStatus=2

# Proxies and other variables; none has to be there.
EnvironmentFile=-/etc/default/telovix-agent
EnvironmentFile=-/etc/sysconfig/telovix-agent
# A token that the machine was given: /etc/credstore (systemd 251 and later), or what a hypervisor or container manager
# handed to the service manager. The name is relative, and so it may be missing on systemd 250 and later.
LoadCredential=telovix.enrollment-token:telovix.enrollment-token
# What it is where there is none, for systemd 247 would not start otherwise; a blank one is no token.
SetCredential=telovix.enrollment-token:\n

User=telovix
Group=telovix
UMask=0077
StateDirectory=telovix-sensor
StateDirectoryMode=0700
RuntimeDirectory=telovix-agent
RuntimeDirectoryMode=0755
ConfigurationDirectory=telovix
# The directory of token files: a one-time token's file is deleted once it is used up.
ReadWritePaths=-/etc/telovix/token

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
SecureBits=noroot-locked
PrivateUsers=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Its own bounds, in place of everybody's.
LimitNOFILE=1024
LimitCORE=0
TasksMax=64
MemoryMax=256M

[Install]
WantedBy=multi-user.target
UNIT
}

# systemd/telovix-agent.sysusers.conf, likewise.
sysusers() {
    cat <<'SYSUSERS'
# Installed as /usr/lib/sysusers.d/telovix-agent.conf. The user of the agent owns the identity and nothing else.
u telovix - "Telovix agent" /var/lib/telovix-sensor
SYSUSERS
}

# systemd/telovix-agent.tmpfiles.conf, likewise.
tmpfiles() {
    cat <<'TMPFILES'
# Installed as /usr/lib/tmpfiles.d/telovix-agent.conf. The directory for token files has to be the agent's own: it deletes
# the file of a one-time token that it has used up.
d /etc/telovix 0755 root root -
d /etc/telovix/token 0700 telovix telovix -
d /var/lib/telovix-sensor 0700 telovix telovix -
TMPFILES
}

plan() {
    if [ "$uninstall" = yes ]; then
        say "would stop and remove the service and $bin"
        [ "$purge" = no ] || say "would retire this node, and remove $state_dir, /etc/telovix and the user telovix"
        return
    fi
    if [ "$packaged" = yes ]; then
        say "would leave $bin to its package"
    else
        say "would install telovix-agent $offered ($arch, $flavor) as $bin, its service and its user telovix"
    fi
    if [ "$enrolled" = yes ]; then
        say "would keep the identity in $state_dir and $config"
    else
        say "would write $config for $console_url"
        [ "$token" = no ] || say "would enroll this host"
    fi
    [ "$start" = no ] || say "would enable and start telovix-agent.service, and wait until it is ready"
}

# Removes what was installed; with --purge also what the agent and the operator made.
remove() {
    for unit in /usr/lib/systemd/system /lib/systemd/system; do
        [ ! -e "$unit/telovix-agent.service" ] \
            || fail 18 "telovix-agent came as a package; remove it with the package manager (apt-get purge, dnf remove)"
    done
    bin=$prefix/bin/telovix-agent
    installed=$(sed -n 's/^ExecStart=\(.*\) run$/\1/p' /etc/systemd/system/telovix-agent.service 2>/dev/null || :)
    bin=${installed:-$bin}
    if [ "$dry_run" = yes ]; then
        plan
        return
    fi
    systemctl -q disable --now telovix-agent.service 2>/dev/null || :
    if [ "$purge" = yes ] && [ -e "$state_dir/current" ]; then
        # A Console that cannot be told must not keep anybody from removing an agent.
        { [ -x "$bin" ] && runuser -u telovix -- "$bin" decommission </dev/null; } \
            || say "the Console was not told; delete the sensor there"
    fi
    rm -f "$bin" /etc/systemd/system/telovix-agent.service /etc/sysusers.d/telovix-agent.conf \
        /etc/tmpfiles.d/telovix-agent.conf || fail 18 "not everything could be removed"
    systemctl daemon-reload
    systemctl reset-failed telovix-agent.service 2>/dev/null || :
    if [ "$purge" = no ]; then
        say "removed; the identity in $state_dir and the configuration in /etc/telovix stay (--purge removes them)"
        return
    fi
    rm -rf "$state_dir" /run/telovix-agent /etc/telovix /etc/default/telovix-agent \
        /etc/systemd/system/telovix-agent.service.d || fail 18 "not everything could be removed"
    ! id telovix >/dev/null 2>&1 || userdel telovix || fail 19 "the user telovix could not be removed"
    say "removed, with the identity and the configuration"
}

main() {
    state_dir=/var/lib/telovix-sensor
    config=/etc/telovix/agent.toml
    mark='# Written by install.sh until this host is enrolled'
    options "$@"
    surroundings
    if [ "$uninstall" = yes ]; then
        remove
        return
    fi
    # From here on the token waits on descriptor 3, where no other program looks for input.
    if [ -n "$token_file" ]; then exec 3<"$token_file"; else exec 3<&0; fi
    exec </dev/null
    architecture
    proxy_settings
    umask 022
    present
    work='' ran=no
    trap leave EXIT
    trap 'fail 1 "interrupted; run it again"' HUP INT TERM
    if [ "$packaged" = no ]; then
        workplace
        [ -n "$offline" ] || trust
        obtain
    else
        offered=$("$bin" --version </dev/null) || fail 17 "the installed agent does not run on $(system_name)"
        acceptable installed
    fi
    if [ "$dry_run" = yes ]; then
        plan
        return
    fi
    [ "$packaged" = yes ] || install_files
    configure
    enroll
    start
}

{ main "$@"; exit; }
