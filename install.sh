#!/bin/sh
# Installs the Telovix agent on this host and enrolls it, as the one-line command of the Console asks for.
#
# All of it is functions, and the last line calls the first one: a download that was cut runs nothing. The token comes
# on standard input, so that it never stands in an argument list. Exit status: 2 usage, 10 not root, 11 architecture,
# 12 a needed program is missing, 13 the Console cannot be reached, 14 its CA is not the pinned one, 15 the download
# failed or its checksum differs, 16 not installed; otherwise that of `telovix-agent enroll`.
set -eu

usage() {
    cat <<'USAGE'
usage: sh install.sh --console-url URL --ca-fingerprint sha256:HEX --token-stdin
                     [--node-name NAME] [--node-role ROLE] [--cluster-name NAME] [--tags TAG,…]
                     [--flavor standard|telecom] [--prefix DIR] [--dry-run]
USAGE
}

fail() {
    status=$1
    shift
    printf 'install.sh: %s\n' "$*" >&2
    exit "$status"
}

need() {
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 || fail 12 "$program is missing; install it and run the command again"
    done
}

# Reads the options into variables; those for `enroll` are passed on in "$enroll_*".
options() {
    console_url='' ca_fingerprint='' token_stdin=no flavor=standard prefix=/usr/local dry_run=no
    node_name='' node_role='' cluster_name='' tags=''
    while [ $# -gt 0 ]; do
        case $1 in
            --token-stdin) token_stdin=yes; shift; continue ;;
            --dry-run) dry_run=yes; shift; continue ;;
            --help | -h) usage; exit 0 ;;
            --token | --token=*) fail 2 "a token on the command line can be read by everyone on this host; use --token-stdin" ;;
        esac
        [ $# -ge 2 ] || { usage >&2; fail 2 "unknown option, or its value is missing: $1"; }
        case $1 in
            --console-url) console_url=${2%/} ;;
            --ca-fingerprint) ca_fingerprint=$2 ;;
            --node-name) node_name=$2 ;;
            --node-role) node_role=$2 ;;
            --cluster-name) cluster_name=$2 ;;
            --tags) tags=$2 ;;
            --flavor) flavor=$2 ;;
            --prefix) prefix=$2 ;;
            *) usage >&2; fail 2 "unknown option: $1" ;;
        esac
        shift 2
    done
    case $console_url in
        https://*) ;;
        '') fail 2 "--console-url is missing" ;;
        *) fail 2 "--console-url has to start with https://" ;;
    esac
    case $ca_fingerprint in
        sha256:*) ;;
        *) fail 2 "--ca-fingerprint is missing; the Console's page shows it as sha256: and 64 hex digits" ;;
    esac
    [ "$token_stdin" = yes ] || fail 2 "--token-stdin is missing: the token comes on standard input"
}

architecture() {
    case $(uname -m) in
        x86_64 | amd64) arch=amd64 ;;
        aarch64 | arm64) arch=arm64 ;;
        *) fail 11 "no agent is built for $(uname -m)" ;;
    esac
}

# Fetches the Console's CA over a connection that carries no secret, and compares the root with the pin.
trust() {
    curl -fsS -k --proto =https -o "$work/bootstrap.json" "$console_url/api/v1/sensors/trust-bootstrap" \
        || fail 13 "$console_url cannot be reached; check the address, the route and HTTPS_PROXY"
    sed -n 's/.*"control_plane_ca_certificate_pem" *: *"\([^"]*\)".*/\1/p' "$work/bootstrap.json" \
        | sed 's/\\n/\
/g' >"$work/ca.pem"
    sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/{p;/-----END/q;}' "$work/ca.pem" >"$work/root.pem"
    found=$(grep -v -e '-----' "$work/root.pem" | base64 -d 2>/dev/null | sha256sum | cut -d ' ' -f 1)
    wanted=$(printf %s "${ca_fingerprint#sha256:}" | tr -d : | tr A-F a-f)
    [ "$found" = "$wanted" ] \
        || fail 14 "the CA of $console_url has fingerprint sha256:$found, but $ca_fingerprint is pinned; nothing was sent"
}

# Downloads the agent over a connection that the pinned CA vouches for.
download() {
    curl -fsS --proto =https --cacert "$work/root.pem" -D "$work/head" -o "$work/telovix-agent" \
        "$console_url/api/v1/sensors/binary/$arch?flavor=$flavor" \
        || fail 15 "the Console has no agent for $arch ($flavor); stage one there with: telovix-console-stub binary stage FILE"
    wanted=$(tr -d '\r' <"$work/head" | sed -n 's/^[Xx]-[Cc]hecksum-[Ss]ha256: *//p')
    found=$(sha256sum "$work/telovix-agent" | cut -d ' ' -f 1)
    [ -n "$wanted" ] && [ "$found" = "$wanted" ] || fail 15 "the checksum of the downloaded agent differs"
    chmod 755 "$work/telovix-agent"
    "$work/telovix-agent" --version >/dev/null || fail 15 "the downloaded agent does not run on this host"
}

# The new binary is whole under another name before one rename puts it in its place.
install_binary() {
    mkdir -p "$prefix/bin" || fail 16 "cannot create $prefix/bin"
    cp "$work/telovix-agent" "$prefix/bin/.telovix-agent.new" || fail 16 "cannot write to $prefix/bin"
    mv "$prefix/bin/.telovix-agent.new" "$prefix/bin/telovix-agent" || fail 16 "cannot write to $prefix/bin"
}

enroll() {
    set -- enroll --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --token-stdin --flavor "$flavor"
    [ -z "$node_name" ] || set -- "$@" --node-name "$node_name"
    [ -z "$node_role" ] || set -- "$@" --node-role "$node_role"
    [ -z "$cluster_name" ] || set -- "$@" --cluster-name "$cluster_name"
    [ -z "$tags" ] || set -- "$@" --tags "$tags"
    if [ "$dry_run" = yes ]; then
        printf 'would run: %s/bin/telovix-agent %s\n' "$prefix" "$*"
        return
    fi
    "$prefix/bin/telovix-agent" "$@"
}

main() {
    options "$@"
    [ "$(id -u)" -eq 0 ] || [ "$dry_run" = yes ] || fail 10 "run it as root, for example with sudo"
    need curl sed grep base64 sha256sum mktemp
    architecture
    umask 022
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    trust
    download
    [ "$dry_run" = yes ] || install_binary
    enroll
}

main "$@"
