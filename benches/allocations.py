#!/usr/bin/env python3
"""Allocations of one request on the whole line, by where they are made.

sidekey runs under valgrind's dhat twice, with few and with many requests on one connection that stays open; what differs,
over the requests that differ, is what a request costs. Its debug lines (profile `release` has them) name the places.
"""

import argparse
import json
import re
import shutil
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path

from memory import use
from peers import nginx, sidekey
from peers.job import FORM_BODY, MESSAGES, Job, Shape, Team, form
from peers.process import BOTH, LOAD_CPU, Program
from peers.side_by_side import SIDEKEY, make_job

FEW, MANY = 200, 1200
def request(team: Team, body: int) -> bytes:
    head = (f"{'POST' if body else 'GET'} {MESSAGES} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {team.proof}\r\n"
            "User-Agent: twilio-python/9.13.0 (Linux x86_64) Python/3.11\r\nAccept: application/json\r\n")
    if body:
        head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {body}\r\n"
    return (head + "\r\n" + (form(body) if body else "")).encode()


def places(file: Path) -> Counter:
    """Blocks by place: the innermost frame of sidekey's own, or the innermost at all."""
    told = json.loads(file.read_text())
    blocks: Counter = Counter()
    for point in told["pps"]:
        # Without the address, and without where this checkout lies.
        frames = [re.sub(r"^0x[0-9A-F]+: | \(in .*\)$", "", told["ftbl"][at]) for at in point["fs"]]
        ours = [frame for frame in frames if "sidekey::" in frame]
        # A closure of sidekey's within the standard library is found by where it stands in sidekey.
        own = [frame for frame in ours if "(library/" not in frame]
        blocks[(own or ours or frames)[0]] += point["tbk"]
    return blocks


def run(job: Job, binary: str, body: int, requests: int) -> Counter:
    """All blocks of a run with so many requests."""
    start = sidekey.prepare(job, binary, sidekey.Settings(cores=1))
    out = job.folder / f"dhat-{requests}"
    start.command = ["valgrind", "--tool=dhat", f"--dhat-out-file={out}", *start.command]
    with Program(f"sidekey-{requests}", start, BOTH, job.folder) as program:
        program.wait(180)
        with socket.create_connection(("127.0.0.1", start.port)) as line:
            line.settimeout(60)
            for _ in range(requests):
                use(line, request(job.callers[0], body))
        program.end(60)
    return places(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary to look at")
    parser.add_argument("--body", type=int, default=0, help="POST a form of so many bytes instead of GET")
    parser.add_argument("--json", default="", help="a file for the figures")
    chosen = parser.parse_args()
    if not shutil.which("valgrind"):
        parser.error("needs valgrind: benches/setup installs it")
    if 0 < chosen.body < len(FORM_BODY):
        parser.error(f"--body is at least {len(FORM_BODY)}")
    folder = Path(tempfile.mkdtemp(prefix="sidekey-allocations-"))
    try:
        job = make_job(Shape(teams=10, body=chosen.body), folder, chosen.sidekey)
        with Program("upstream", nginx.upstream(job), LOAD_CPU, folder) as upstream:
            upstream.wait()
            few, many = (run(job, chosen.sidekey, chosen.body, requests) for requests in (FEW, MANY))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    each = {place: (many[place] - few[place]) / (MANY - FEW) for place in many}
    shown = {place: count for place, count in sorted(each.items(), key=lambda one: -one[1]) if count >= 0.005}
    print(f"{sum(shown.values()):.2f} allocations a request")
    for place, count in shown.items():
        print(f"{count:7.2f}  {place}")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"total": sum(shown.values()), "places": shown}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
