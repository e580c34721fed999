#!/usr/bin/env python3
"""What idle caller connections cost in memory, beside nginx: none, opened and never used, and idle after a request each.

Each program runs alone, on one CPU. Resident memory; where a program has several processes, pages that they share are
counted once (PSS).
"""

import argparse
import json
import resource
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from peers import nginx, sidekey
from peers.job import MESSAGES, Shape, Team
from peers.process import LOAD_CPU, PROXY_CPU, Program
from peers.side_by_side import SIDEKEY, lacks, make_job

# What a program gives back, or still fetches, right after its last request.
SETTLE_SECONDS = 1.5


def request(team: Team) -> bytes:
    return (f"GET {MESSAGES} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: twilio-python/9.13.0 (Linux x86_64) Python/3.11\r\n"
            f"Accept: application/json\r\nAuthorization: {team.proof}\r\n\r\n").encode()


def use(line: socket.socket, head: bytes) -> None:
    """One request and the whole of its answer."""
    line.sendall(head)
    got = b""
    while b"\r\n\r\n" not in got:
        got += more(line)
    front, _, body = got.partition(b"\r\n\r\n")
    if b" 200 " not in front.split(b"\r\n")[0]:
        raise SystemExit(f"answered {front.splitlines()[0]!r}")
    length = next(int(text.split(b":")[1]) for text in front.split(b"\r\n") if text.lower().startswith(b"content-length"))
    while len(body) < length:
        body += more(line)


def more(line: socket.socket) -> bytes:
    got = line.recv(65536)
    if not got:
        raise SystemExit("a connection was closed instead of answered")
    return got


def resident(program: Program) -> float:
    time.sleep(SETTLE_SECONDS)
    return program.pss_mib()


def measure(name: str, program: Program, head: bytes, connections: int) -> dict:
    """MiB at rest, with connections that were never used, and with the same idle after a request each."""
    idle, own = resident(program), program.pss_mib("Pss_Anon")
    lines = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(connections)]
    opened = resident(program)
    for line in lines:
        use(line, head)
    used = resident(program)
    for line in lines:
        line.close()
    per = lambda mib: (mib - idle) * 1024 / connections
    print(f"{name:10}{idle:12.1f}{opened:12.1f}{used:12.1f}{per(opened):12.2f}{per(used):12.2f}", flush=True)
    return {"idle_mib": idle, "idle_own_mib": own, "opened_mib": opened, "used_mib": used, "opened_kib_each": per(opened),
            "used_kib_each": per(used)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary to measure")
    parser.add_argument("--json", default="", help="a file for the figures")
    chosen = parser.parse_args()
    if lacks():
        parser.error(lacks())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < chosen.connections + 1000:
        parser.error(f"a program here may have {hard} files: fewer --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found: dict[str, dict] = {}
    print(f"{chosen.connections} connections, MiB\n{'':10}{'idle':>12}{'opened':>12}{'used':>12}{'KiB/opened':>12}{'KiB/used':>12}")
    for name, teams in (("sidekey", chosen.teams), ("nginx", chosen.teams), ("sidekey, one team", 1)):
        folder = Path(tempfile.mkdtemp(prefix="sidekey-memory-"))
        try:
            job = make_job(Shape(teams=teams), folder, chosen.sidekey)
            # nginx sets memory aside for each connection that it may have, and closes idle ones when few are left.
            start = (nginx.prepare(job, connections=chosen.connections * 9 // 8) if name == "nginx"
                     else sidekey.prepare(job, chosen.sidekey))
            with Program("upstream", nginx.upstream(job), LOAD_CPU, folder) as upstream, \
                    Program(name, start, PROXY_CPU, folder) as program:
                upstream.wait()
                program.wait()
                if teams == 1:
                    found[name] = {"idle_mib": resident(program), "idle_own_mib": program.pss_mib("Pss_Anon")}
                    print(f"{name}: {found[name]['idle_mib']:.1f} idle, {found[name]['idle_own_mib']:.1f} without pages of files")
                else:
                    found[name] = measure(name, program, request(job.callers[0]), chosen.connections)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"connections": chosen.connections, "programs": found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
