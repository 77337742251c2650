#!/usr/bin/env bash
# A real PostgreSQL server: the Console's wire suite on it, three instances on one database under load and through a
# restart of the server, TLS to it, and a dump that restores.
. "$(dirname "$0")/lib.sh"
readonly ROOT=$(cd "$(dirname "$0")/../.." && pwd)
((EUID == 0)) || skip 'only root can run the server as its own user'

need_postgres
need openssl openssl

# The server's folder, which its user has to reach; not below SCRATCH, which is root's alone.
home=$(mktemp -d "${TMPDIR:-/tmp}/telovix-postgres-XXXXXX")
at_exit "rm -rf '$home'"
as_postgres() { runuser -u postgres -- "$@"; }

# A certification authority for the server, and one that knows nothing of it.
for name in ca stranger; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$name" \
    -addext basicConstraints=critical,CA:TRUE -keyout "$home/$name.key" -out "$home/$name.pem" 2>/dev/null
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=db -keyout "$home/server.key" \
  -out "$home/server.csr" 2>/dev/null
openssl x509 -req -in "$home/server.csr" -CA "$home/ca.pem" -CAkey "$home/ca.key" -CAcreateserial -days 2 \
  -extfile <(echo 'subjectAltName=IP:127.0.0.1') -out "$home/server.pem" 2>/dev/null
chown -R postgres "$home"
chmod 755 "$home"
chmod 600 "$home"/*.key

as_postgres initdb --no-sync --auth=trust --encoding=UTF8 --locale=C.UTF-8 --pgdata="$home/data" >/dev/null
# postgres may do anything, without a password; telovix comes by TLS and with one, or not at all.
cat >"$home/data/pg_hba.conf" <<EOF
local   all postgres              trust
host    all postgres 127.0.0.1/32 trust
hostssl all telovix  127.0.0.1/32 scram-sha-256
EOF
cat >>"$home/data/postgresql.conf" <<EOF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$home'
max_connections = 200
# What is tested are the rules, not the disk.
fsync = off
ssl = on
ssl_cert_file = '$home/server.pem'
ssl_key_file = '$home/server.key'
EOF
start=false
for _ in 1 2 3 4 5; do
  port=$((20000 + RANDOM % 20000))
  sed -i '/^port = /d' "$home/data/postgresql.conf"
  echo "port = $port" >>"$home/data/postgresql.conf"
  if as_postgres pg_ctl -D "$home/data" -l "$home/log" -w start >/dev/null; then
    start=true
    break
  fi
done
$start || fail "the server did not start: $(cat "$home/log")"
at_exit "runuser -u postgres -- '$(command -v pg_ctl)' -D '$home/data' -m immediate stop >/dev/null"
sql() { psql -qAtX -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres -d "${2:-postgres}" -c "$1"; }
admin=postgres://postgres@127.0.0.1:$port/postgres

# The contract suite, each test in a database of its own. The same build as the gate's: nothing is compiled again.
(cd "$ROOT" && TELOVIX_TEST_DATABASE_URL=$admin cargo test --quiet --workspace --locked --test wire)
left=$(sql "SELECT count(*) FROM pg_database WHERE datname LIKE 'telovix_test_%'")
[[ $left == 0 ]] || fail "$left test databases were left behind"

# Three instances on one database.
sql 'CREATE DATABASE fleet'
pg_ctl=$(command -v pg_ctl)
TELOVIX_TEST_DATABASE_URL=postgres://postgres@127.0.0.1:$port/fleet "$BIN/instances" \
  "runuser -u postgres -- $pg_ctl -D $home/data -m fast -w stop >/dev/null" \
  "runuser -u postgres -- $pg_ctl -D $home/data -l $home/log -w start >/dev/null"
# What the server itself holds, whatever the Console says of it.
found=$(sql "SELECT (SELECT value FROM counters WHERE name = 'protected_nodes'),
  (SELECT count(*) FROM sensors), (SELECT count(*) FROM sensors WHERE cluster_id = 'west'),
  (SELECT count(*) FROM sensors WHERE cluster_id = 'north'), (SELECT count(*) FROM sensors WHERE cluster_id = 'east'),
  (SELECT max(node_count) FROM approval_rules), (SELECT max(use_count) FROM enrollment_tokens WHERE token_type = 'once')" fleet)
[[ $found == '160|160|10|100|25|25|1' ]] || fail "the database holds $found"

# A password and TLS: by a file that only its owner reads, to a server that the right authority vouches for.
sql "CREATE ROLE telovix LOGIN PASSWORD 'p/w?d&'"
sql 'CREATE DATABASE console OWNER telovix'
address=postgres://telovix:p%2Fw%3Fd%26@127.0.0.1:$port/console
(umask 077 && echo "$address?sslmode=verify-full&sslrootcert=$home/ca.pem" >"$SCRATCH/url")
echo 'correct horse battery staple' >"$SCRATCH/password"
stub() { "$BIN/telovix-console-stub" "$@" --data-dir "$SCRATCH/console"; }
expect 0 stub setup --database-url-file "$SCRATCH/url" --admin-email a@example.com \
  --admin-password-file "$SCRATCH/password"
expect 0 stub token create --label kept --database-url-file "$SCRATCH/url"
# Refused, and why: another authority; the system's; no TLS; a mode that verifies nothing; a wrong password.
refused() {
  local why=$1 url=$2
  TELOVIX_DATABASE_URL=$url expect 1 stub token list
  grep -qi -- "$why" "$SCRATCH/err" || fail "no word of $why: $(cat "$SCRATCH/err")"
  ! grep -qF -e 'p/w?d' -e 'p%2Fw' "$SCRATCH/err" || fail "the password: $(cat "$SCRATCH/err")"
}
refused certificate "$address?sslmode=verify-full&sslrootcert=$home/stranger.pem"
refused 'certif' "$address?sslmode=require"
refused 'pg_hba.conf' "$address"
refused 'verify-full' "$address?sslmode=prefer"
refused 'password authentication failed' "${address/p%2F/x}?sslmode=verify-full&sslrootcert=$home/ca.pem"

# PostgreSQL's own tool copies it, and the copy is a Console.
expect 1 stub backup "$SCRATCH/copy" --database-url-file "$SCRATCH/url"
grep -q pg_dump "$SCRATCH/err" || fail "no word of pg_dump: $(cat "$SCRATCH/err")"
sql 'CREATE DATABASE restored'
pg_dump --format=custom -h 127.0.0.1 -p "$port" -U postgres --file="$SCRATCH/dump" console
pg_restore -h 127.0.0.1 -p "$port" -U postgres --no-owner -d restored --exit-on-error "$SCRATCH/dump"
export TELOVIX_DATABASE_URL=postgres://postgres@127.0.0.1:$port/restored
expect 0 stub audit verify
stub token list | grep -q kept || fail 'the restored database has lost the token'
if sql 'DELETE FROM audit' restored 2>"$SCRATCH/err"; then fail 'the restored audit trail can be changed'; fi
grep -q append-only "$SCRATCH/err" || fail "$(cat "$SCRATCH/err")"
