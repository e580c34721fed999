#!/usr/bin/env python3
"""Real SDKs through the broker: every version that tests/install put into tests/.env, as each kind of team.

Afterwards the recorders are searched: the key's secret reached no caller and no log, the callers' tokens reached no
upstream. The last line counts: "sdk: N passed, N failed".
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import echo, leaks
from harness.program import default_binary
from harness.world import World

HERE = Path(__file__).resolve().parent
INSTALLED = HERE.parent / ".env/sdk"
KINDS = ("standard", "master")
SUITE_SECONDS = 180


class Count:
    """What passed and what failed; failures are told as they come."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def case(self, name: str, ok: bool, detail: str = "") -> None:
        self.passed += ok
        self.failed += not ok
        if not ok:
            print(f"FAILED {name}\n{detail}", flush=True)


def suites() -> list[tuple[str, list[str], dict[str, str]]]:
    """Name, command and environment of each suite."""
    found = [("urllib", [sys.executable, "challenge.py"], {})]
    for version in listed("python"):
        script = "old.py" if version.name.startswith("5.") else "modern.py"
        found.append((f"twilio-python {version.name}", [sys.executable, script], {"PYTHONPATH": str(version)}))
    for version in listed("node"):
        if version.name.startswith("2."):
            # It has another API altogether; its page (docs/guides/old.md) tries it.
            continue
        found.append((f"twilio-node {version.name}", ["node", "node.js"], {"NODE_PATH": str(version / "node_modules")}))
    return found


def listed(language: str) -> list[Path]:
    """The installed versions, oldest first: exactly those that the repository pins."""
    pinned = {path.stem if path.suffix == ".txt" else path.name for path in (HERE / language).iterdir()}
    folder = INSTALLED / language
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if missing := pinned - there:
        raise SystemExit(f"not installed: twilio {', '.join(sorted(missing))} for {language}; tests/run installs them")
    return [folder / name for name in sorted(pinned, key=lambda name: [int(part) for part in name.split(".")])]


def speaks_through_tunnels(name: str) -> bool:
    """Whether the suite can do without an address: every SDK but the oldest, whose base URL its own suite sets."""
    return name.startswith("twilio-") and not name.startswith("twilio-python 5.")


def with_ca(world: World, folder: str) -> str:
    """twilio-python 6 reads no REQUESTS_CA_BUNDLE: a copy of its own bundle, with the private CA in it, comes first."""
    copy = world.folder / "certifi-of-6"
    if not copy.exists():
        shutil.copytree(Path(folder) / "certifi", copy / "certifi")
        bundle = copy / "certifi/cacert.pem"
        bundle.write_text(bundle.read_text() + world.ca.read_text())
    return f"{copy}:{folder}"


def run_suite(world: World, count: Count, suite: tuple[str, list[str], dict[str, str]], kind: str,
              tunnel: bool = False) -> None:
    name, command, extra = suite
    if tunnel:
        if name.startswith("twilio-python 6."):
            extra = {"PYTHONPATH": with_ca(world, extra["PYTHONPATH"])}
        name += " through a tunnel"
    environment = {**os.environ, **world.environment(kind, tunnel), **extra, "PYTHONDONTWRITEBYTECODE": "1",
                   "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(command, cwd=HERE / "suites", env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SUITE_SECONDS)
    except subprocess.TimeoutExpired as late:
        return count.case(f"{name}, {kind}", False, f"not done after {late.timeout} s: {late.stdout}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for line in lines:
        count.case(f"{name}, {kind}: {line['case']}", line["ok"], line["detail"])
    if done.returncode or not lines:
        count.case(f"{name}, {kind}", False, f"exit {done.returncode}: {done.stderr[-3000:]}")
    print(f"{name}, {kind}: {sum(line['ok'] for line in lines)} of {len(lines)}", flush=True)


def search(world: World, count: Count, echoes: list[tuple[str, bytes]]) -> None:
    """No secret where it must not be; and the search itself finds what is there to be found."""
    audit = [(path.name, path.read_bytes()) for path in world.folder.iterdir() if path.suffix == ".jsonl"]
    told = [("broker's stdout", bytes(world.broker.stdout)), ("broker's stderr", bytes(world.broker.stderr)), *audit]
    answers = [*echoes, *(("an answer", text) for text in world.before.answers)]
    sent = [("a request upstream", text) for text in world.behind.requests]
    echoed = [("an answer from upstream", text) for text in world.behind.answers]
    for name, secret in (("key's secret", world.key_secret), ("account's auth token", world.auth_token)):
        hits = leaks.find(secret, [*told, *answers, ("sandbox's stderr", bytes(world.sandbox.stderr))])
        count.case(f"the {name} stays inside", not hits, "\n".join(hits))
        count.case(f"the search finds the {name} where it belongs", bool(leaks.find(secret, sent)))
        count.case(f"the search finds the {name} in what the upstream echoed", bool(leaks.find(secret, echoed)))
    asked = [("a request to the broker", text) for text in world.before.requests]
    for kind, token in world.tokens.items():
        hits = leaks.find(token, [*told, *sent, *answers])
        count.case(f"the {kind} team's token goes no further", not hits, "\n".join(hits))
        count.case(f"the search finds the {kind} team's token where it belongs", bool(leaks.find(token, asked)))
    count.case("requests were audited", any(text for _, text in audit))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(default_binary()))
    parser.add_argument("--only", default="", help="suites whose name holds this")
    chosen = parser.parse_args()
    count = Count()
    with World(chosen.binary) as world:
        for suite in suites():
            for kind in KINDS:
                if chosen.only in suite[0]:
                    run_suite(world, count, suite, kind)
                    if speaks_through_tunnels(suite[0]):
                        run_suite(world, count, suite, kind, tunnel=True)
        echoes = [answer for kind in KINDS for answer in echo.answers(world, kind)]
        who = {seen["sid"] for seen in world.switch("GET", "requests")}
        count.case("only the team's key and the master's name travel", who == {world.key_sid, world.account}, f"{who}")
        code = world.close()
        count.case("the broker ends in order", code == 0, f"exit {code}")
        search(world, count, echoes)
    print(f"sdk: {count.passed} passed, {count.failed} failed")
    return int(count.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
