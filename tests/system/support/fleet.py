#!/usr/bin/env python3
"""Fills a Console's embedded database with a fleet in every state: fleet.py DATABASE SENSORS [RECORDS].

So many sensors, each with a one-time token that it came with, and a few tokens, rules and waiting enrollments beside; and so
many audit records, which are not linked to the chain, so that `audit verify` finds them. Tokens were used lately, or the
Console would forget them. The same arguments give the same fleet, but for the times.
"""
import hashlib
import json
import random
import sqlite3
import sys
import time
import uuid

DAY = 24 * 3600
ROLES = ["generic_linux", "control_plane", "o_du", "o_cu", "o_ru", "gnb", "bgp_router", "amf", "o_cloud"]
CLUSTERS = [None, "ran-east", "ran-west", "core-fra-1", "edge-lab", "a-cluster-with-a-rather-long-name-in-the-far-north.example"]
ACTIONS = ["sensor_enrolled", "auto_certificate_renewal_initiated", "sensor_enrollment_token_created", "user_login"]


def name_of(at, dice):
    if at % 97 == 13:
        return f"worker-{at:06}.rack-{at % 40}.row-7.a-data-centre-with-a-long-name.region-north.example"
    return f"{dice.choice(['edge', 'du', 'cu', 'gnb', 'core', 'amf'])}-{at:06}"


def main():
    path, sensors = sys.argv[1], int(sys.argv[2])
    records = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    dice, now = random.Random(6), int(time.time())

    def unique():
        return str(uuid.UUID(int=dice.getrandbits(128), version=4))

    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("BEGIN IMMEDIATE")
    issuer = db.execute("SELECT id FROM issuers WHERE kind = 'issuing' ORDER BY created_at DESC").fetchone()[0]
    for at in range(sensors):
        made = now - 90 * DAY + at * 90 * DAY // max(sensors, 1)
        mood = dice.random()
        silence = dice.randrange(0, 20) if mood < 0.9 else dice.randrange(30, 900) if mood < 0.98 else dice.randrange(900, 9 * DAY)
        gone = dice.choices([None, "off", "revoked", "retired"], [92, 3, 2, 3])[0]
        age = dice.randrange(0, 20 * DAY) if dice.random() < 0.95 else dice.randrange(20 * DAY, 31 * DAY)
        cluster, sensor, token = dice.choice(CLUSTERS), unique(), unique()
        tags = dice.sample(["prod", "lab", "canary", "rack-7", "<b>bold</b>", "owner=radio-network-team-north", "tier-1"], dice.randrange(0, 4))
        host = {"architecture": "x86_64", "os": "Debian GNU/Linux 12 (bookworm)", "kernel_version": "6.1.0-28-amd64",
                "cpu_count": dice.choice([4, 8, 32]), "memory_bytes": dice.choice([8, 64, 256]) << 30}
        name = name_of(at, dice)
        db.execute(
            "INSERT INTO sensors (id, node_name, cluster_id, role, flavor, tags, sensor_version, host, trust_state, certificate_generation,"
            " created_at, enrolled_at, last_seen_at, disabled_at, revoked_at, decommissioned_at, certificate_issuer, certificate_from,"
            " certificate_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (sensor, name, cluster, dice.choice(ROLES), dice.choice(["standard", "telecom"]), json.dumps(tags), dice.choice(["0.1.0", "0.2.3"]),
             json.dumps(host), dice.choice(["trusted", "trusted", "rotated"]), made, made, now - silence,
             now if gone == "off" else None, now if gone == "revoked" else None, now if gone == "retired" else None,
             issuer, now - age, now - age + 30 * DAY))
        db.execute(
            "INSERT INTO enrollment_tokens (id, token_hash, token_type, status, label, node_count, use_count, created_at, expires_at, used_at)"
            " VALUES (?, ?, 'once', ?, ?, 0, ?, ?, ?, ?)",
            (token, hashlib.sha256(token.encode()).digest(), *(("used", name, 1, made, made + 900, now - at % 70000) if at % 20 else
                                                             ("pending", name, 0, made, now + 3600 + at, None))))
        if at % 20:
            print_of = hashlib.sha256(sensor.encode()).digest()
            db.execute("INSERT INTO enrollments (token_id, spki_sha256, sensor_id, fingerprint, used_at) VALUES (?, ?, ?, ?, ?)",
                       (token, print_of, sensor, print_of, made))
    for at in range(min(sensors // 40, 2500)):
        token = unique()
        db.execute(
            "INSERT INTO enrollment_tokens (id, token_hash, token_type, status, label, cluster_id, max_nodes, node_count, use_count, created_at,"
            " expires_at, reserved_at) VALUES (?, ?, 'cluster', 'pending', ?, ?, ?, ?, ?, ?, ?, ?)",
            (token, hashlib.sha256(token.encode()).digest(), f"cluster token {at}", CLUSTERS[1 + at % 5], 40, at % 41, at % 41, now - at, now + DAY * 300, now))
        db.execute(
            "INSERT INTO approvals (id, token_id, spki_sha256, ruling, node_name, cluster_id, role, host, client_ip, asked_at, last_asked_at,"
            " reason, facts, facts_sha256) VALUES (?, ?, ?, 'waiting', ?, ?, ?, '{}', ?, ?, ?, 'new', '{}', '')",
            (unique(), token, hashlib.sha256(f"{at}".encode()).digest(), name_of(at, dice), CLUSTERS[1 + at % 5], dice.choice(ROLES),
             f"192.0.2.{at % 250}", now - at, now))
    for at in range(min(sensors // 40, 12)):
        db.execute("INSERT INTO approval_rules (id, cluster_id, label, allowed_roles, max_nodes, node_count, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                   (unique(), CLUSTERS[1 + at % 5], f"rule {at} of the radio network's rollout", ",".join(ROLES[:at % 4]),
                    40 if at % 3 else None, at * 3, now - at))
    db.execute("UPDATE counters SET value = (SELECT COUNT(*) FROM sensors WHERE revoked_at IS NULL AND decommissioned_at IS NULL)"
               " WHERE name = 'protected_nodes'")
    last = db.execute("SELECT seq FROM audit_head").fetchone()[0]
    ids = [row[0] for row in db.execute("SELECT id FROM sensors ORDER BY id LIMIT 1000")]
    for at in range(1, records + 1):
        db.execute(
            "INSERT INTO audit (seq, created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, prev_hash, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, 'seeded=true', '192.0.2.1', ?, ?)",
            (last + at, now, dice.choice(ACTIONS), "failure" if at % 50 == 0 else "success", dice.choice([None, "admin@example.com"]),
             dice.choice(ids), bytes(32), bytes(32)))
    db.execute("UPDATE audit_head SET seq = ?", (last + records,))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


main()
