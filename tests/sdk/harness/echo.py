"""An upstream that hands the credential back: the sandbox is told to, in every way it can, and the broker must not."""

import http.client
import itertools
import zlib
from urllib.parse import urlsplit

from .world import World

UNPACK = {None: bytes, "gzip": lambda body: zlib.decompress(body, 31), "deflate": zlib.decompress}


def answers(world: World, kind: str) -> list[tuple[str, bytes]]:
    """What a caller of this kind gets from each echo: its name, and head and body in one, unpacked."""
    found = []
    for encoding, chunk, trailers in itertools.product((None, "gzip", "deflate"), (None, 1, 7), (False, True)):
        fault = {"mode": "echo", "trailers": str(trailers).lower()}
        fault |= {"encoding": encoding} if encoding else {}
        fault |= {"chunk": str(chunk)} if chunk else {}
        world.switch("POST", "fail", fault)
        name = f"echo to {kind}, {encoding or 'identity'}, chunk {chunk or 'whole'}{', trailers' if trailers else ''}"
        found.append((name, _ask(world, kind)))
    return found


def _ask(world: World, kind: str) -> bytes:
    line = http.client.HTTPConnection(urlsplit(world.before.url).netloc, timeout=30)
    path = f"/2010-04-01/Accounts/{world.account}/Messages.json"
    headers = {"Authorization": world.proof(kind), "Accept-Encoding": "gzip, deflate", "TE": "trailers"}
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    head = str(answer.headers).encode()
    body = answer.read()
    line.close()
    if answer.status != 200:
        raise RuntimeError(f"the echo was answered {answer.status}: {body[:500]!r}")
    return head + UNPACK[answer.headers.get("Content-Encoding")](body)
