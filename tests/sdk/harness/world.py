"""A sandbox with things to list, a broker with a standard and a master team, recorders before and behind the broker."""

import base64
import json
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

from .program import Program, run
from .recorder import Recorder

# More than two pages of the default size.
SEEDS = 120
PRODUCTS = ("messaging", "iam")


class World:
    """Everything between an SDK and the sandbox. Ends with the `with` block."""

    def __init__(self, binary: str) -> None:
        self.binary = binary
        self._folder = tempfile.TemporaryDirectory(prefix="sidekey-sdk-")
        self.folder = Path(self._folder.name)
        self.sandbox = Program([binary, "sandbox", "--listen", "127.0.0.1:0", "--output", "json"])
        told = self.sandbox.object()
        self.account, self.auth_token, self.sandbox_url = told["account_sid"], told["auth_token"], told["url"]
        key = self.ask("POST", f"/2010-04-01/Accounts/{self.account}/Keys.json", {"FriendlyName": "billing"})
        self.key_sid, self.key_secret = key["sid"], key["secret"]
        self._seed()
        self.behind = Recorder(self.sandbox_url)
        tokens = json.loads(run([binary, "token", "generate", "--count", "2", "--output", "json"]))
        self.tokens = {"standard": tokens[0]["token"], "master": tokens[1]["token"]}
        run([binary, "ca", "init", str(self.folder / "ca")])
        self.ca = self.folder / "ca/ca.pem"
        config = self.folder / "sidekey.toml"
        config.write_text(self._config([row["sha256"] for row in tokens]))
        secrets = {"BILLING_KEY_SECRET": self.key_secret, "MASTER_PASSWORD": self.auth_token}
        self.broker = Program([binary, "serve", "--config", str(config)], secrets)
        self.before = Recorder("http://" + self.broker.find(r"proxy=(127\.0\.0\.1:\d+)"))

    def _config(self, digests: list[str]) -> str:
        hosts = "\n".join(f'"{product}.twilio.com" = "{self.behind.url}"' for product in PRODUCTS)
        return f"""
[listen]
proxy = "127.0.0.1:0"

[intercept]
ca_cert = "{self.ca}"
ca_key = "{self.ca.with_suffix('.key')}"

[upstream]
account_sid = "{self.account}"
url = "{self.behind.url}"

[upstream.hosts]
{hosts}

[upstream.master]
username = "{self.account}"
password = "env:MASTER_PASSWORD"

[audit]
file = "{self.folder / 'audit.jsonl'}"

[[team]]
name = "billing"
kind = "standard"
accounts = ["{self.account}"]
token_sha256 = ["{digests[0]}"]
key = {{ sid = "{self.key_sid}", secret = "env:BILLING_KEY_SECRET" }}

[[team]]
name = "platform"
kind = "master"
token_sha256 = ["{digests[1]}"]
"""

    def _seed(self) -> None:
        for number in range(SEEDS):
            message = {"To": "+15558675310", "From": "+15017122661", "Body": f"seed {number}"}
            self.ask("POST", f"/2010-04-01/Accounts/{self.account}/Messages.json", message)
            self.ask("POST", "/messaging.twilio.com/v1/Services", {"FriendlyName": f"seed {number}"})

    def ask(self, method: str, path: str, form: dict[str, str] | None = None):
        """A request straight to the sandbox, as the account itself; the JSON of its answer."""
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(self.sandbox_url + path, data=body, method=method)
        pair = base64.b64encode(f"{self.account}:{self.auth_token}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def switch(self, method: str, name: str, form: dict[str, str] | None = None):
        """One of the sandbox's own switches."""
        return self.ask(method, f"/_sandbox/{name}", form)

    def proof(self, kind: str) -> str:
        """What a caller of this kind sends."""
        return "Basic " + base64.b64encode(f"{self.account}:{self.tokens[kind]}".encode()).decode()

    def environment(self, kind: str, tunnel: bool = False) -> dict[str, str]:
        """What a service of a team of this kind is given: the address and a token where Twilio's auth token goes, or a
        proxy with the token, and the private CA."""
        proxy = self.before.url.replace("//", f"//team:{self.tokens[kind]}@")
        way = {
            "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "REQUESTS_CA_BUNDLE": str(self.ca), "NODE_EXTRA_CA_CERTS": str(self.ca),
            "TWILIO_AUTH_TOKEN": "sidekey",
        } if tunnel else {"TWILIO_AUTH_TOKEN": self.tokens[kind], "SIDEKEY_URL": self.before.url}
        return way | {
            "TWILIO_ACCOUNT_SID": self.account,
            "TEAM_KIND": kind,
            "SEEDS": str(SEEDS),
            "KEY_SID": self.key_sid,
        }

    def close(self) -> int:
        """Ends both; the broker's exit code."""
        code = self.broker.stop()
        self.sandbox.stop()
        return code

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._folder.cleanup()
