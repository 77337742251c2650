"""Signs every generated call as an operator or an API key would (docs/contract.md section 5)."""

import hashlib
import hmac
import os
import time
import uuid
from urllib.parse import unquote, urlsplit

import requests
import schemathesis

KEY_ID, SECRET = os.environ["API_KEY_ID"], os.environ["API_KEY_SECRET"]
OWN_ACCOUNT = "/users/admin@example.com/"
COOKIE, CSRF = os.environ["SESSION_COOKIE"], os.environ["SESSION_CSRF"]


class Operator(requests.auth.AuthBase):
    """Looks at the call as it goes out: its path and the bytes of its body."""

    def __call__(self, request):
        # The Console closes a connection that idles, and a call that is on its way then would be lost with it.
        request.headers["Connection"] = "close"
        path = urlsplit(request.url).path
        if path.startswith("/api/v2/"):
            body = request.body or b""
            body = body.encode() if isinstance(body, str) else body
            stamp, nonce = str(int(time.time())), uuid.uuid4().hex
            text = "\n".join([request.method, path, stamp, nonce, hashlib.sha256(body).hexdigest()])
            mac = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
            request.headers["X-Telovix-Key-ID"] = KEY_ID
            request.headers["X-Telovix-Timestamp"] = stamp
            request.headers["X-Telovix-Nonce"] = nonce
            request.headers["X-Telovix-Signature"] = "sha256=" + mac
        # A run that learns its own account's name must not end its own session: those calls go out unsigned.
        elif path.startswith("/api/v1/") and OWN_ACCOUNT not in unquote(path):
            request.headers["Cookie"] = COOKIE
            request.headers["X-CSRF-Token"] = CSRF
        return request


schemathesis.auth.set_from_requests(Operator())
