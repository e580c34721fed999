"""The job that every peer does, and the fixture that they share.

A request comes with Basic auth TEAM:TOKEN. The pair is looked up among the teams; its Authorization is replaced by the
team's key; an unknown pair is answered 401, a path of the account or of its keys 403. Connections are kept alive on
both sides. One line for each request is written to a file.
"""

import base64
import json
import random
import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT = "AC" + "a" * 32
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
KEYS = f"/2010-04-01/Accounts/{ACCOUNT}/Keys.json"
HOST = "api.twilio.com"
FORM_BODY = "To=%2B15558675310&From=%2B15017122661&Body=Never+gonna+give+you+up."

# What is refused in every peer's own language: the account itself, its keys and the alias of the keys.
CLOSED = (
    r"^/2010-04-01/Accounts(\.(json|xml|csv))?/?$",
    r"^/2010-04-01/Accounts/[^/.]+(\.(json|xml|csv))?/?$",
    r"^/2010-04-01/Accounts/[^/]+/(Keys|SigningKeys)([./]|$)",
)


@dataclass(frozen=True)
class Team:
    """One row of the table that a peer looks callers up in."""

    name: str
    token: str
    digest: str
    key_sid: str
    key_secret: str

    @property
    def proof(self) -> str:
        """What the caller sends."""
        return basic(self.name, self.token)

    @property
    def key(self) -> str:
        """What the upstream must see."""
        return basic(self.key_sid, self.key_secret)


@dataclass(frozen=True)
class Job:
    """Everything a peer needs to write its config."""

    folder: Path
    teams: list[Team]
    callers: list[Team]
    tls_in: bool
    tls_out: bool
    upstream_port: int
    upstream_tls_port: int

    @property
    def target_port(self) -> int:
        """The upstream's port in this form of the job."""
        return self.upstream_tls_port if self.tls_out else self.upstream_port

    def path(self, name: str) -> str:
        """A file of the run's folder."""
        return str(self.folder / name)


@dataclass
class Start:
    """How a peer is started and where it listens."""

    command: list[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    # Programs that it needs beside it and whose time is not its own (a log receiver).
    beside: list[list[str]] = field(default_factory=list)


def basic(username: str, password: str) -> str:
    """A value of Authorization."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def free_port() -> int:
    """A port of loopback that nobody listens on, for programs that can't say which port 0 became: below the range that
    outgoing connections take, so that none of them takes it in the meantime."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def make_teams(count: int, sidekey: str | None) -> list[Team]:
    """Teams with tokens that sidekey itself made, if there is one: it knows its own tokens by their checksum."""
    if sidekey:
        made = subprocess.run(
            [sidekey, "token", "generate", "--count", str(count), "--output", "json"],
            check=True, capture_output=True, timeout=120,
        )
        tokens = [(row["token"], row["sha256"]) for row in json.loads(made.stdout)]
    else:
        tokens = [("skt" + secrets.token_hex(24), "") for _ in range(count)]
    return [
        Team(f"team-{at:05d}", token, digest, f"SK{at:032x}", secrets.token_hex(16))
        for at, (token, digest) in enumerate(tokens)
    ]


def make_certificates(folder: Path) -> None:
    """A throwaway CA and one leaf that both sides of every peer use."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, cwd=folder, capture_output=True, timeout=60)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench", "-days", "30")
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", f"/CN={HOST}")
    (folder / "leaf.ext").write_text(f"subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1\n")
    openssl(
        "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "leaf.pem", "-days", "30", "-extfile", "leaf.ext",
    )
    (folder / "both.pem").write_text((folder / "leaf.pem").read_text() + (folder / "leaf.key").read_text())


def message() -> str:
    """What the upstream answers: a message as Twilio shows one, about 800 bytes."""
    sid = "SM" + "b" * 32
    return json.dumps({
        "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": "Never gonna give you up.",
        "date_created": "Thu, 30 Jul 2015 20:12:31 +0000", "date_sent": "Thu, 30 Jul 2015 20:12:33 +0000",
        "date_updated": "Thu, 30 Jul 2015 20:12:33 +0000", "direction": "outbound-api", "error_code": None,
        "error_message": None, "from": "+15017122661", "messaging_service_sid": None, "num_media": "0",
        "num_segments": "1", "price": "-0.00750", "price_unit": "USD", "sid": sid, "status": "sent",
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}/Media.json"},
        "to": "+15558675310", "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json",
    })
