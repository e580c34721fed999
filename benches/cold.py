#!/usr/bin/env python3
"""A cold caller: a new process that makes one request, through a warm sidekey and directly, to an API that is far away.

The upstream speaks TLS behind a relay that delays every byte (peers/delay.py: 50 ms a round trip by default). Directly,
the caller's process pays for connecting, TLS and the request: three round trips. Through sidekey it pays for one. Time is
the whole life of the process. Three sorts of caller: curl, Python's own HTTP, and the Twilio SDK if tests/run has
installed it.
"""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import nginx, sidekey
from peers.job import ACCOUNT, HOST, MESSAGES, Job, Shape, Start, Team, free_port
from peers.process import BOTH, Program
from peers.side_by_side import ROOT, SIDEKEY, lacks, make_job

# Long enough for a handshake over the relay: what a sidecar has had behind it since its start.
WARM_SECONDS = 1.0
STDLIB = """
import base64, http.client, ssl, sys, urllib.parse
scheme, place, path, username, password, ca = sys.argv[1:]
proof = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
if scheme == "https":
    line = http.client.HTTPSConnection(place, context=ssl.create_default_context(cafile=ca))
else:
    line = http.client.HTTPConnection(place)
line.request("GET", path, headers={"Authorization": proof})
answer = line.getresponse()
answer.read()
sys.exit(answer.status != 200)
"""
SDK = """
import sys
from twilio.rest import Client
scheme, place, path, username, password, account = sys.argv[1:]
caller = Client(username, password, account)
caller.api.base_url = f"{scheme}://{place}"
caller.api.account.messages.create(to="+15558675310", from_="+15017122661", body="Never gonna give you up.")
"""


def commands(folder: Path, team: Team, near: int, far: int) -> dict[str, dict[str, list[str]]]:
    """Per sort of caller: the process that asks directly with the key, and the one that asks sidekey with a token."""
    key, proof = (team.key_sid, team.key_secret), (team.name, team.token)
    ca = str(folder / "ca.pem")
    curl = ["curl", "-sSf", "-o", str(folder / "answer")]
    stdlib = [sys.executable, "-c", STDLIB]
    made = {
        "curl": {
            "direct": [*curl, "--cacert", ca, "--resolve", f"{HOST}:{far}:127.0.0.1", "-u", ":".join(key),
                       f"https://{HOST}:{far}{MESSAGES}"],
            "sidekey": [*curl, "-u", ":".join(proof), f"http://127.0.0.1:{near}{MESSAGES}"],
        },
        "Python": {
            "direct": [*stdlib, "https", f"localhost:{far}", MESSAGES, *key, ca],
            "sidekey": [*stdlib, "http", f"127.0.0.1:{near}", MESSAGES, *proof, ca],
        },
    }
    if sdks():
        sdk = [str(ROOT / "tests/.env/python/bin/python3"), "-c", SDK]
        made["Twilio SDK for Python"] = {
            "direct": [*sdk, "https", f"localhost:{far}", MESSAGES, *key, ACCOUNT],
            "sidekey": [*sdk, "http", f"127.0.0.1:{near}", MESSAGES, *proof, ACCOUNT],
        }
    return made


def sdks() -> list[Path]:
    """Where tests/run has installed the newest SDK."""
    return sorted(ROOT.glob("tests/.env/sdk/python/9*"))


def life(command: list[str], folder: Path) -> float:
    """Milliseconds from the start of a process to its end."""
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(folder / "ca.pem")}
    if sdks():
        environment["PYTHONPATH"] = str(sdks()[-1])
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    took = (time.perf_counter() - began) * 1000
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr[-1000:]}")
    return took


def figures(direct: list[float], near: list[float]) -> dict:
    ratios = [mine / theirs for mine, theirs in zip(near, direct)]
    return {"direct_ms": statistics.median(direct), "sidekey_ms": statistics.median(near),
            "ratio": statistics.median(ratios), "noise": (max(ratios) - min(ratios)) / 2}


def measure(job: Job, far: int, folder: Path, binary: str, rounds: int) -> dict[str, dict]:
    # sidekey reaches the upstream where the relay is.
    behind = dataclasses.replace(job, upstream_tls_port=far)
    start = sidekey.prepare(behind, binary)
    found: dict[str, dict] = {}
    with Program("sidekey", start, BOTH, folder) as program:
        program.wait()
        time.sleep(WARM_SECONDS)
        for sort, pair in commands(folder, job.callers[0], start.port, far).items():
            direct, near = [], []
            for _ in range(rounds):
                direct.append(life(pair["direct"], folder))
                near.append(life(pair["sidekey"], folder))
            found[sort] = figures(direct, near)
    direct, near = [], []
    for _ in range(rounds):
        # The first request ever: it finds the connection that was opened beforehand.
        with Program("sidekey", start, BOTH, folder) as program:
            program.wait()
            time.sleep(WARM_SECONDS)
            pair = commands(folder, job.callers[0], start.port, far)["curl"]
            direct.append(life(pair["direct"], folder))
            near.append(life(pair["sidekey"], folder))
    found["curl, first since sidekey's start"] = figures(direct, near)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--round-trip", type=float, default=50.0, help="milliseconds to the upstream and back")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary to measure")
    parser.add_argument("--json", default="", help="a file for the figures")
    chosen = parser.parse_args()
    if lacks() or not shutil.which("curl"):
        parser.error(lacks() or "needs curl")
    folder = Path(tempfile.mkdtemp(prefix="sidekey-cold-"))
    try:
        job = make_job(Shape(form="out", teams=10), folder, chosen.sidekey)
        far = free_port()
        relay = Start([sys.executable, "-m", "peers.delay", str(far), str(job.target_port), str(chosen.round_trip)], far,
                      environment={"PYTHONPATH": str(Path(__file__).resolve().parent)})
        with Program("upstream", nginx.upstream(job), BOTH, folder) as upstream, Program("relay", relay, BOTH, folder) as far_:
            upstream.wait()
            far_.wait()
            found = measure(job, far, folder, chosen.sidekey, chosen.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{chosen.round_trip:.0f} ms of round trip, {chosen.rounds} rounds")
    print(f"{'caller':36}{'direct ms':>11}{'sidekey ms':>12}{'ratio':>14}")
    for sort, row in found.items():
        print(f"{sort:36}{row['direct_ms']:11.0f}{row['sidekey_ms']:12.0f}{row['ratio']:9.2f} ±{row['noise']:.2f}")
    if chosen.json:
        told = {"round_trip_ms": chosen.round_trip, "rounds": chosen.rounds, "callers": found}
        Path(chosen.json).write_text(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
