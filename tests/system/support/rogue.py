"""A Console that answers an installer as it should not: `rogue.py CERTIFICATE KEY CA_PEM`. Prints its port.

The first part of a path says how: html (a page, with 200), redirect (to an address without TLS), cut (less than was announced),
wrong (another checksum), bare (no checksum). Whom to trust is answered truthfully, but for html
and redirect.
"""

import hashlib
import http.server
import json
import ssl
import sys

certificate, key, ca = sys.argv[1:]
with open(ca) as file:
    trust = json.dumps({"control_plane_ca_certificate_pem": file.read()}).encode()
script = b"#!/bin/sh\necho it ran\n" * 50


class Rogue(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        way, _, path = self.path.lstrip("/").partition("/")
        body, status, headers = script, 200, {}
        if way == "html":
            body, headers = b"<html><body>Sign in, please</body></html>\n", {"Content-Type": "text/html"}
        elif way == "redirect":
            body, status, headers = b"", 302, {"Location": "http://127.0.0.1:1/elsewhere"}
        elif path.endswith("trust-bootstrap"):
            body = trust
        elif way == "wrong":
            headers = {"X-Checksum-Sha256": hashlib.sha256(b"another").hexdigest()}
        announced = len(body)
        if way == "cut" and body is script:
            body = body[: len(body) // 2]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(announced))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rogue)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
