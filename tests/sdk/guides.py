#!/usr/bin/env python3
"""Does what the guides in docs/guides say, word for word, against a sandbox and a broker.

A fenced block whose info string has a second word is part of the test: ```` ```python send.py ```` is written to that
file, ```` ```sh run ```` is run; the blocks of a page run in one shell, in their order. The addresses and the account
that the pages take for granted are replaced by those of the run. The last line counts: "sdk: N passed, N failed".
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from harness.program import Program, default_binary, run
from run import INSTALLED, Count, listed

GUIDES = Path(__file__).resolve().parents[2] / "docs/guides"
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ACCOUNT = "AC00000000000000000000000000000001"
PAGE_SECONDS = 300
SID, REFUSED = r"SM[0-9a-f]{32}", r"403 20403"
NOT_RUN = {"README.md", "backup.md"}
# `dotnet`, where this machine can have it.
DOTNET = INSTALLED / "dotnet/bin"
CONFIGS = {"kubernetes.md", "systemd.md", "gateway.md"}


@dataclass
class Case:
    """A page, run once."""

    name: str
    page: str
    expected: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    messages: int = 1
    # A page that only sets variables is tried with another page's program: that page, and how it is run.
    borrowed: tuple[str, str] | None = None


class Place:
    """A sandbox, and a broker with every door open."""

    def __init__(self, binary: str) -> None:
        self.binary = binary
        self._folder = tempfile.TemporaryDirectory(prefix="sidekey-guides-")
        self.folder = Path(self._folder.name)
        self.sandbox = Program([binary, "sandbox", "--listen", "127.0.0.1:0", "--account-sid", ACCOUNT, "--output", "json"])
        told = self.sandbox.object()
        self.url = told["url"]
        login = f"{ACCOUNT}:{told['auth_token']}"
        made = subprocess.run(
            ["curl", "-sS", "-u", login, "-d", "FriendlyName=billing", f"{self.url}/2010-04-01/Accounts/{ACCOUNT}/Keys.json"],
            check=True, capture_output=True)
        self.key = json.loads(made.stdout)
        row = json.loads(run([binary, "token", "generate", "--output", "json"]))[0]
        self.token = row["token"]
        run([binary, "ca", "init", str(self.folder / "ca")])
        self.certificate("server")
        config = self.folder / "sidekey.toml"
        config.write_text(self._config(row["sha256"]))
        self.broker = Program([binary, "serve", "--config", str(config)], {"KEY": self.key["secret"]})
        self.proxy = self.broker.find(r"proxy=127\.0\.0\.1:(\d+)")
        self.tls = self.broker.find(r"tls=127\.0\.0\.1:(\d+)")

    def certificate(self, name: str) -> None:
        """A self-signed certificate: NAME.pem and NAME.key."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)

    def _config(self, digest: str) -> str:
        return f"""
[listen]
proxy = "127.0.0.1:0"
tls = "127.0.0.1:0"

[tls]
cert = "server.pem"
key = "server.key"

[intercept]
ca_cert = "ca/ca.pem"
ca_key = "ca/ca.key"

[upstream]
account_sid = "{ACCOUNT}"
url = "{self.url}"

[upstream.hosts]
"messaging.twilio.com" = "{self.url}"

[audit]
file = "audit.jsonl"

[[team]]
name = "billing"
accounts = ["{ACCOUNT}"]
token_sha256 = ["{digest}"]
key = {{ sid = "{self.key['sid']}", secret = "env:KEY" }}
"""

    def here(self, text: str) -> str:
        """The page's own addresses and files as those of this run."""
        for old, new in (
            ("127.0.0.1:8080", f"127.0.0.1:{self.proxy}"), ("127.0.0.1:8443", f"127.0.0.1:{self.tls}"),
            ("localhost:8443", f"localhost:{self.tls}"), ("/etc/sidekey/server.pem", str(self.folder / "server.pem")),
            ("/etc/sidekey/both.pem", str(self.folder / "both.pem")), ('"127.0.0.1", 8080', f'"127.0.0.1", {self.proxy}'),
            ("proxyPort=8080", f"proxyPort={self.proxy}"), ("/etc/sidekey/ca.pem", str(self.folder / "ca/ca.pem")),
        ):
            text = text.replace(old, new)
        return text

    def seen(self) -> list[dict]:
        """What arrived at the sandbox."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/requests") as answer:
            return json.load(answer)

    def close(self) -> None:
        self.broker.stop()
        self.sandbox.stop()
        self._folder.cleanup()


def blocks(page: str) -> list[tuple[str, str]]:
    """The page's named blocks: (name, text)."""
    return [(name, text) for _, name, text in BLOCK.findall((GUIDES / page).read_text())]


def cases(folder: Path) -> list[Case]:
    found = [
        Case("go", "go.md", [r"HTTP/2\.0 201 ", r"HTTP/2\.0 403 management_resource"], {"HOME": str(folder)}),
        Case("java", "java.md", [r"HTTP_2 201 ", r"HTTP_2 403 management_resource"]),
        Case("ruby", "ruby.md", [f"201 {SID}", REFUSED]),
        Case("php", "php.md", [f"201 {SID}", REFUSED]),
        Case("curl", "curl.md", [f'"sid": "{SID}"', '"code": 20403', '"messages": ', '"services": ', '"team":"billing"']),
    ]
    found.append(Case("terraform", "terraform.md", [r"HTTP/2\.0 201 ", r"HTTP/2\.0 403 "], {"HOME": str(folder)},
                      borrowed=("go.md", "go run send.go")))
    cli = INSTALLED / "cli/node_modules/.bin"
    found.append(Case("twilio-cli", "cli.md", [SID, r'"body": "Hello"', "exit 20"],
                      {"PATH": f"{cli}:{os.environ['PATH']}", "HOME": str(folder)}))
    if DOTNET.exists():
        found.append(Case("csharp", "csharp.md", [r"^201 ", r"403 management_resource"],
                          {"PATH": f"{DOTNET}:{os.environ['PATH']}", "HOME": str(folder)}))
    else:
        NOT_RUN.add("csharp.md")
    old_python, old_node = listed("python")[0], listed("node")[0]
    found.append(Case("old SDKs", "old.md", [f"{SID}\n403 20403\n{SID}\n\\d+\n{SID}\n403 20403\n{SID}"], {
        "PYTHONPATH": f"{with_our_ca(old_python, folder, 'twilio', 'conf/cacert.pem')}:{old_python}",
        "NODE_PATH": str(old_node / "node_modules")}, 4))
    for version in listed("python"):
        if not version.name.startswith("5."):
            path = str(version)
            if version.name.startswith("6."):
                path = f"{with_our_ca(version, folder, 'certifi', 'cacert.pem')}:{path}"
            found.append(Case(f"twilio-python {version.name}", "python.md", [SID, REFUSED, f"{SID}\n\\d+"], {"PYTHONPATH": path}, 2))
    for version in listed("node"):
        if version == old_node:
            continue
        found.append(Case(f"twilio-node {version.name}", "node.md", [SID, REFUSED, f"{SID}\n\\d+"],
                          {"NODE_PATH": str(version / "node_modules")}, 2))
    return found


def with_our_ca(version: Path, folder: Path, package: str, bundle: str) -> Path:
    """A copy of the package whose bundle twilio-python 5 or 6 reads, with the private CA: the page says how."""
    copy = folder / f"{package}-of-{version.name}"
    shutil.copytree(version / package, copy / package, dirs_exist_ok=True)
    bundle = copy / package / bundle
    bundle.write_text(bundle.read_text() + (folder / "ca/ca.pem").read_text())
    return copy


def follow(place: Place, case: Case, count: Count) -> None:
    """Runs a page and looks at what it printed, and at what arrived upstream."""
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        script = []
        for name, text in blocks(case.page):
            if name == "run":
                script.append(place.here(text))
            else:
                (Path(folder) / name).write_text(place.here(text))
        if case.borrowed:
            page, command = case.borrowed
            for name, text in blocks(page):
                if name != "run":
                    (Path(folder) / name).write_text(place.here(text))
            script.append(command)
        before = len(place.seen())
        environment = {**clean(), "SIDEKEY_TOKEN": place.token, **case.environment}
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(script)], cwd=folder, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PAGE_SECONDS)
    told = f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    count.case(f"{case.name}: runs", done.returncode == 0, told)
    for pattern in case.expected:
        count.case(f"{case.name}: prints {pattern!r}", bool(re.search(pattern, done.stdout)), told)
    new = place.seen()[before:]
    sent = [seen for seen in new if seen["method"] == "POST" and seen["path"].endswith("/Messages.json")]
    count.case(f"{case.name}: its messages arrive", len(sent) == case.messages, f"{len(sent)} of {case.messages}\n{told}")
    count.case(f"{case.name}: all with the team's key", {seen["sid"] for seen in new} == {place.key["sid"]}, f"{new}")
    print(f"{case.name}: {case.page}", flush=True)


def clean() -> dict[str, str]:
    """The environment without what a page may set, so that nothing else makes it work."""
    drop = re.compile(r"(?i)^(https?|no|all)_proxy$|^(TWILIO|SSL_CERT|REQUESTS|NODE_|CURL)_|^(JAVA_TOOL_OPTIONS|PYTHONPATH)$")
    kept = {name: value for name, value in os.environ.items() if not drop.search(name)}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}


def check(place: Place, page: str, count: Count) -> None:
    """A page's config is good: the files that it names are there, and `sidekey check` takes it without a warning."""
    root = place.folder / page
    for name, text in (("etc/sidekey/key/secret", place.key["secret"]), ("etc/sidekey/master/password", "0" * 32),
                       ("etc/sidekey/admin.token", "0123456789abcdef0123456789abcdef"),
                       ("etc/sidekey/audit/hash_key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
                       ("var/run/secrets/kubernetes.io/serviceaccount/token", "x")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o600)
    for source, to in (("ca", "etc/sidekey/ca"), ("server.pem", "etc/sidekey/tls/server.pem"),
                       ("server.key", "etc/sidekey/tls/server.key"), ("ca/ca.pem", "etc/sidekey/tls/clients.pem"),
                       ("ca/ca.pem", "var/run/secrets/kubernetes.io/serviceaccount/ca.crt")):
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (place.folder / source).is_dir() else shutil.copy
        copy(place.folder / source, root / to)
    text = dict(blocks(page))["sidekey.toml"]
    for top in ("/etc/sidekey", "/var/", "/run/"):
        text = text.replace(f'"{top}', f'"{root}{top}').replace(f":{top}", f":{root}{top}")
    config = root / "sidekey.toml"
    config.write_text(text)
    done = subprocess.run([place.binary, "check", "--config", str(config)], capture_output=True, text=True, timeout=60)
    count.case(f"{page}: its config is good", done.returncode == 0, f"{done.stdout}\n{done.stderr}")
    count.case(f"{page}: its config has no warning", done.stderr == "", done.stderr)
    print(f"config: {page}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(default_binary()))
    parser.add_argument("--only", default="", help="cases whose name holds this")
    chosen = parser.parse_args()
    count = Count()
    place = Place(str(Path(chosen.binary).resolve()))
    try:
        every = cases(place.folder)
        pages = {path.name for path in GUIDES.glob("*.md")}
        known = {case.page for case in every} | NOT_RUN | CONFIGS
        count.case("every page is known here", pages == known, f"{pages ^ known}")
        for case in every:
            if chosen.only in case.name:
                follow(place, case, count)
        for page in sorted(CONFIGS):
            if chosen.only in page:
                check(place, page, count)
    finally:
        place.close()
    print(f"sdk: {count.passed} passed, {count.failed} failed")
    return int(count.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
