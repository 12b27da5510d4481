# SPDX-License-Identifier: Apache-2.0
"""Native frames for tests: just enough CBOR, and a connection that sends and reads frames."""

import socket
import struct

INIT, ACK, DISCOVER, SUB, CALL, RESPONSE, CLOSE, FEEDBACK, PING, PONG, CONTROL = range(1, 12)
CHAT = "urn:iicp:intent:llm:chat:v1"


def head(major, n):
    for info, form, top in ((None, None, 24), (24, ">B", 1 << 8), (25, ">H", 1 << 16), (26, ">I", 1 << 32), (27, ">Q", 1 << 64)):
        if n < top:
            return bytes([major << 5 | n]) if info is None else bytes([major << 5 | info]) + struct.pack(form, n)
    raise ValueError(n)


def dumps(v):
    if isinstance(v, bool):
        return b"\xf5" if v else b"\xf4"
    if v is None:
        return b"\xf6"
    if isinstance(v, int):
        return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, float):
        return b"\xfb" + struct.pack(">d", v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, (list, tuple)):
        return head(4, len(v)) + b"".join(map(dumps, v))
    pairs = sorted((dumps(k), dumps(x)) for k, x in v.items())
    return head(5, len(pairs)) + b"".join(k + x for k, x in pairs)


def item(b, at):
    major, info = b[at] >> 5, b[at] & 31
    at += 1
    n = info
    if info >= 24:
        size = 1 << (info - 24)
        n = int.from_bytes(b[at:at + size], "big")
        at += size
    if major == 7:
        return {20: False, 21: True, 22: None}.get(info) if info < 25 else \
            struct.unpack({25: ">e", 26: ">f", 27: ">d"}[info], n.to_bytes(1 << (info - 24), "big"))[0], at
    if major < 2:
        return (n if major == 0 else -1 - n), at
    if major < 4:
        piece = b[at:at + n]
        return (piece if major == 2 else piece.decode()), at + n
    if major == 4:
        out = []
        for _ in range(n):
            v, at = item(b, at)
            out.append(v)
        return out, at
    out = {}
    for _ in range(n):
        k, at = item(b, at)
        out[k], at = item(b, at)
    return out, at


def loads(b):
    v, at = item(b, 0)
    assert at == len(b)
    return v


def frame(kind, payload=b"", flags=0):
    if not isinstance(payload, bytes):
        payload = dumps(payload)
    return b"IICP\x01" + bytes([kind, flags, 0]) + struct.pack(">I", len(payload)) + payload


class Native:
    """A connection. With init=None nothing is sent yet."""

    def __init__(self, node, init=b"\xa1\x01\x01", timeout=20, port=None, wrap=None):
        self.s = socket.create_connection((node.host, port or node.port), timeout)
        if wrap:
            self.s = wrap(self.s)
        self.ack = None
        if init is not None:
            self.send(INIT, init)
            kind, self.ack = self.read()
            assert kind == ACK, (kind, self.ack)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def raw(self, data):
        self.s.sendall(data)

    def send(self, kind, payload=b"", flags=0):
        self.s.sendall(frame(kind, payload, flags))

    def exactly(self, n):
        got = b""
        while len(got) < n:
            piece = self.s.recv(n - len(got))
            if not piece:
                raise EOFError(got)
            got += piece
        return got

    def wire(self):
        first = self.exactly(12)
        return first + self.exactly(struct.unpack(">I", first[8:])[0])

    def read(self):
        b = self.wire()
        assert b[:5] == b"IICP\x01" and b[7] == 0
        self.flags = b[6]
        return b[5], (loads(b[12:]) if len(b) > 12 and not b[6] else b[12:] if b[6] else None)

    def rest(self):
        """All that comes until the end."""
        got = b""
        while True:
            piece = self.s.recv(65536)
            if not piece:
                return got
            got += piece

    def call(self, payload=None, **keys):
        """One CALL and what comes back; keys k2=, k15= set or (None) leave out."""
        self.send(CALL, call_of(payload, **keys))
        kind, answer = self.read()
        assert kind == RESPONSE, (kind, answer)
        return answer


def call_of(payload=None, **keys):
    if payload is None:
        payload = b'{"messages":[{"role":"user","content":"hi"}]}'
    m = {2: "call-1", 3: CHAT, 5: payload}
    for k, v in keys.items():
        m[int(k[1:])] = v
    return {k: v for k, v in m.items() if v is not None}


def closed_with(answer):
    """Reason of the CLOSE frame in the bytes that came last."""
    at = answer.rfind(b"IICP\x01\x07")
    return loads(answer[at + 12:]).get(1) if at >= 0 else None
