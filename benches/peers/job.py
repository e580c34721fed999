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
FORM_BODY = "To=%2B15558675310&From=%2B15017122661&Body="

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
class Shape:
    """What is sent, how, and by how many."""

    # plain: TLS nowhere; out: to the upstream only (a sidecar before the real API); both: on both sides.
    form: str = "plain"
    # HTTP/2 from the callers; needs form both.
    h2: bool = False
    connections: int = 32
    # Bytes of the form that is POSTed; 0: GET.
    body: int = 0
    # Bytes of the answer; 0: one message, about 800.
    answer: int = 0
    teams: int = 1000
    # How many of the teams call, in turn.
    callers: int = 1

    def words(self) -> str:
        """For people."""
        kind = f"HTTP/{'2' if self.h2 else '1.1'} {f'POST of {self.body} bytes' if self.body else 'GET'}"
        answer = f", answers of {self.answer} bytes" if self.answer else ""
        callers = f", {self.callers} callers" if self.callers > 1 else ""
        return f"form {self.form}, {kind}{answer}, {self.connections} connections, {self.teams} teams{callers}"


@dataclass(frozen=True)
class Job:
    """Everything a peer needs to write its config."""

    folder: Path
    shape: Shape
    teams: list[Team]
    callers: list[Team]
    upstream_port: int
    upstream_tls_port: int

    @property
    def tls_in(self) -> bool:
        """Whether callers speak TLS."""
        return self.shape.form == "both"

    @property
    def tls_out(self) -> bool:
        """Whether the upstream is spoken to in TLS."""
        return self.shape.form != "plain"

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


def form(length: int) -> str:
    """A form that sends a message, as long as this."""
    return FORM_BODY + "a" * (length - len(FORM_BODY))


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


def messages(length: int) -> str:
    """A page of messages as Twilio lists them, about this long."""
    one = json.loads(message())
    count = max(length // (len(message()) + 2), 1)
    uri = f"{MESSAGES}?PageSize={count}"
    page = {"end": count - 1, "first_page_uri": f"{uri}&Page=0", "next_page_uri": None, "page": 0, "page_size": count}
    return json.dumps({**page, "previous_page_uri": None, "start": 0, "uri": uri, "messages": [one] * count})
