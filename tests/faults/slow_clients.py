"""Hundreds of slow clients, as a process of their own: they must not slow down who measures.

`python -m tests.faults.slow_clients HOW PORT COUNT SECONDS PAUSE` opens COUNT connections and sends
or takes a little on each every PAUSE seconds. It prints a line of JSON when all are open, and after
SECONDS another one; both say how many of them nginx holds open. HOW is `handshake`, `header`,
`body` or `answer`; every connection comes from an address of its own, or with `-alone` behind it
all from one.
"""

import contextlib
import json
import socket
import ssl
import sys
import time
from pathlib import Path

NAME = "atelier.example.com"
NETWORK = "127.0.1."
SMALL = 4096  # bytes that the kernel may keep of an answer, for clients that do not take it
ESTABLISHED = "01"
BEGINNINGS = {
    "handshake": "\x16\x03\x01\x02\x00\x01\x00",  # a ClientHello of 512 bytes begins
    "header": f"GET /v1/jobs HTTP/1.1\r\nHost: {NAME}\r\n",
    "body": f"POST /v1/batches HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 100000\r\n\r\n",
    "answer": f"GET /schema/openapi.json HTTP/1.1\r\nHost: {NAME}\r\n\r\n",  # 200 KB
}
DRIPS = {"handshake": b"\0", "header": b"X-A: b\r\n", "body": b"0"}


def connected(how: str, port: int, address: str) -> socket.socket:
    """A connection that has said nothing yet."""
    sock = socket.socket()
    if how == "answer":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.settimeout(30)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", port))
    return sock if how == "handshake" else trusting().wrap_socket(sock, server_hostname=NAME)


def trusting() -> ssl.SSLContext:
    """No questions asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def drip(how: str, sock: socket.socket) -> None:
    """Go on a little; whoever is no longer wanted need not know it."""
    with contextlib.suppress(OSError):
        sock.settimeout(0)
        if how == "answer":
            sock.recv(256)
        else:
            sock.send(DRIPS[how])


def held_open(port: int) -> int:
    """How many connections of ours the server's side of the kernel calls established.

    A client that hardly reads does not see for a long time that the other side has gone.
    """
    network = socket.inet_aton(f"{NETWORK}0")[::-1].hex().upper()[2:]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(
        local.endswith(f":{port:04X}") and remote[2:8] == network and state == ESTABLISHED
        for _, local, remote, state, *_ in map(str.split, lines)
    )


def main(how: str, port: int, count: int, seconds: float, pause: float) -> None:
    """Open all, then hold them."""
    how, _, alone = how.partition("-")
    numbers = [1 if alone else number % 250 + 1 for number in range(count)]
    socks = []
    for number in numbers:
        socks.append(connected(how, port, f"{NETWORK}{number}"))
        if how == "answer":  # one after the other: to ask much at once is another attack
            socks[-1].sendall(BEGINNINGS[how].encode())
            socks[-1].recv(1)
    if how != "answer":
        for sock in socks:
            sock.sendall(BEGINNINGS[how].encode("latin-1"))
    print(json.dumps({"open": held_open(port)}), flush=True)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        for sock in socks:
            drip(how, sock)
    print(json.dumps({"open": held_open(port)}), flush=True)


if __name__ == "__main__":
    HOW, PORT, COUNT, SECONDS, PAUSE = sys.argv[1:]
    main(HOW, int(PORT), int(COUNT), float(SECONDS), float(PAUSE))
