#!/usr/bin/env bash
# Somebody else's TLS agrees: what the agent stores verifies with plain `openssl verify`, and `openssl s_client` speaks
# to the listener with it, for every type of key.
. "$(dirname "$0")/lib.sh"
need openssl openssl
start_console

for type in p256 ed25519 rsa2048 rsa3072 rsa4096; do
  state=$SCRATCH/host-$type
  expect 0 enroll "$state" "host-$type" --key-type "$type"

  # The leaf alone, against the file that came with it. No -untrusted: a consumer that knows only these two must do.
  expect 0 openssl verify -purpose sslclient -CAfile "$state/console-ca.cert.pem" "$state/client.cert.pem"
  expect 0 openssl verify -x509_strict -purpose sslclient -CAfile "$state/console-ca.cert.pem" "$state/client.cert.pem"
  openssl verify -purpose sslserver -CAfile "$state/console-ca.cert.pem" "$state/client.cert.pem" \
    >"$SCRATCH/out" 2>&1 && fail "a sensor's certificate passes for a server's ($type)"

  openssl pkey -in "$state/client.key.pem" -pubout >"$SCRATCH/of-key"
  openssl x509 -in "$state/client.cert.pem" -noout -pubkey >"$SCRATCH/of-certificate"
  cmp "$SCRATCH/of-key" "$SCRATCH/of-certificate" || fail "key and certificate do not belong together ($type)"
  openssl pkey -pubin -in "$state/policy-signing.pub" -noout -text | grep -q ED25519 || fail 'the policy key is not Ed25519'

  sensor=$(json sensor_id <"$state/sensor-state.json")
  openssl x509 -in "$state/client.cert.pem" -noout -text >"$SCRATCH/text"
  for line in "URI:telovix://sensor/$sensor" 'TLS Web Client Authentication' 'CA:FALSE' "CN *= *host-$type"; do
    grep -qE "$line" "$SCRATCH/text" || fail "no '$line' in the certificate ($type): $(cat "$SCRATCH/text")"
  done

  for version in -tls1_3 -tls1_2; do
    body='{"sensor_version":"openssl"}'
    printf 'POST /api/v1/sensors/self/heartbeat HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s' \
      "$console_address" ${#body} "$body" |
      timeout 20 openssl s_client "$version" -connect "$console_address" -cert "$state/client.cert.pem" \
        -key "$state/client.key.pem" -CAfile "$state/console-ca.cert.pem" -verify_return_error -quiet -ign_eof \
        >"$SCRATCH/answer" 2>"$SCRATCH/err" || true
    grep -q '^HTTP/1.1 200' "$SCRATCH/answer" ||
      fail "the heartbeat by openssl over $version ($type): $(cat "$SCRATCH/answer" "$SCRATCH/err")"
    grep -q "$sensor" "$SCRATCH/answer" || fail "the heartbeat's answer does not name the sensor ($type)"
  done
  echo "$type: verified, heartbeat accepted over TLS 1.3 and 1.2"
done

# And without a certificate the same request is not one of a sensor.
printf 'POST /api/v1/sensors/self/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' |
  timeout 20 openssl s_client -connect "$console_address" -CAfile "$ca_file" -quiet -ign_eof >"$SCRATCH/answer" 2>/dev/null || true
grep -q '^HTTP/1.1 401' "$SCRATCH/answer" || fail "a heartbeat without a certificate: $(cat "$SCRATCH/answer")"
