"""Every spelling in which a secret could slip through."""

import base64
import re
import zlib
from collections.abc import Iterable

# The seam between two chunks of a body.
CHUNK = re.compile(rb"\r\n[0-9a-fA-F]{1,8}\r\n")


def spellings(secret: str) -> dict[str, bytes]:
    """Name of a spelling → the bytes to look for."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "hex, upper": raw.hex().upper().encode(),
        "percent": "".join(f"%{byte:02x}" for byte in raw).encode(),
        "percent, upper": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "JSON escapes": "".join(f"\\u{byte:04x}" for byte in raw).encode(),
        "XML references": "".join(f"&#{byte};" for byte in raw).encode(),
        "XML references, hex": "".join(f"&#x{byte:x};" for byte in raw).encode(),
    }
    for shift in range(3):
        # What stands before the secret moves it within its group of three; the outermost characters mix with neighbours.
        text = base64.b64encode(b"\0" * shift + raw)
        core = text[(shift * 8 + 5) // 6:len(text) - 4]
        found[f"base64, shifted by {shift}"] = core
        found[f"base64url, shifted by {shift}"] = core.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def find(secret: str, texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where the secret stands, and in which spelling; looks across chunks and into gzip and deflate too."""
    needles = spellings(secret)
    hits = []
    for place, text in texts:
        whole = CHUNK.sub(b"", text)
        for part in (text, whole, *_unpacked(whole)):
            hits += [f"{place}: {name}" for name, needle in needles.items() if needle in part]
    return hits


def _unpacked(text: bytes) -> Iterable[bytes]:
    """Every gzip or zlib stream that begins anywhere in the text, as far as it can be read."""
    for mark, bits in ((b"\x1f\x8b\x08", 31), (b"\x78\x9c", 15)):
        at = text.find(mark)
        while at >= 0:
            try:
                yield zlib.decompressobj(bits).decompress(text[at:])
            except zlib.error:
                pass
            at = text.find(mark, at + 1)
