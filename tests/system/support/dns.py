"""A name server whose answers a test changes: `dns.py ADDRESS FOLDER`.

For each question it reads the file FOLDER/NAME, so that what a test writes there counts from the next question on:

    answer ADDRESS        that address
    slow SECONDS ADDRESS  that address, after a while
    servfail, nxdomain    that, at once
    silent                nothing

A name without a file does not exist. What was asked is printed, a line each: the name, the type, what came of it.
"""

import pathlib
import sys
import time

from dnslib import QTYPE, RCODE, RR, A, DNSError
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class Resolver(BaseResolver):
    """Answers as the files say."""

    def __init__(self, folder):
        self.folder = folder

    def resolve(self, request, handler):
        name = str(request.q.qname).rstrip(".").lower()
        kind = QTYPE[request.q.qtype]
        try:
            words = (self.folder / name).read_text().split()
        except FileNotFoundError:
            words = ["nxdomain"]
        print(name, kind, *words, flush=True)
        reply = request.reply()
        match words:
            case ["silent"]:
                # The server says nothing then.
                raise DNSError
            case ["servfail"]:
                reply.header.rcode = RCODE.SERVFAIL
            case ["nxdomain"]:
                reply.header.rcode = RCODE.NXDOMAIN
            case ["answer", address]:
                self.add(reply, request, address)
            case ["slow", seconds, address]:
                time.sleep(float(seconds))
                self.add(reply, request, address)
            case _:
                raise ValueError(f"{name}: {words}")
        return reply

    @staticmethod
    def add(reply, request, address):
        # A name without an IPv6 address exists all the same. Nobody may keep the answer.
        if request.q.qtype == QTYPE.A:
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=0))


def main():
    address, folder = sys.argv[1:]
    logger = DNSLogger(logf=lambda _: None)
    server = DNSServer(Resolver(pathlib.Path(folder)), address=address, port=53, logger=logger)
    print("ready", flush=True)
    server.start()


main()
