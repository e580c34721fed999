#!/usr/bin/env python3
"""Side by side on loopback: sidekey, nginx, HAProxy, Envoy and a TCP relay do one job in one run.

Every round goes through all of them, so that a slow minute of the machine touches each; figures are medians over the
rounds, and the ratios are taken within a round before their median is. benches/README.md says what the columns mean.
"""

import argparse
import http.client
import os
import shutil
import ssl
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from peers import envoy, haproxy, nginx, sidekey
from peers.job import KEYS, MESSAGES, Job, Start, Team, basic, free_port, make_certificates, make_teams
from peers.load import Load, Result, send
from peers.process import LOAD_CPU, PROXY_CPU, Program

ROOT = Path(__file__).resolve().parent.parent
ENVOY = ROOT / "tests/.env/peers/envoy/_bin/envoy"
WARM_UP_SECONDS = 1


@dataclass(frozen=True)
class Row:
    """One round at one peer."""

    result: Result
    cpu_us: float


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=["plain", "out", "both"], default="plain",
                        help="TLS nowhere, to the upstream only (a sidecar before the real API), or on both sides")
    parser.add_argument("--post", action="store_true", help="POST a form instead of GET")
    parser.add_argument("--h2", action="store_true", help="HTTP/2 from the callers; needs --form both")
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--callers", type=int, default=1, help="how many of the teams call, in turn")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one peer in one round")
    parser.add_argument("--only", default="", help="peers by name, with commas")
    parser.add_argument("--sidekey", default=str(ROOT / "target/release/sidekey"), help="the binary to measure")
    parser.add_argument("--audit", default="write", help="durabilities of sidekey to measure, with commas")
    parser.add_argument("--envoy", default=os.environ.get("ENVOY", str(ENVOY)), help="Envoy's binary")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configs and logs")
    chosen = parser.parse_args()
    if chosen.h2 and chosen.form != "both":
        parser.error("--h2 needs --form both: HTTP/2 is agreed on in TLS")
    missing = [tool for tool in ("nginx", "haproxy", "wrk", "h2load", "openssl", "taskset") if not shutil.which(tool)]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; benches/setup installs them")
    if (os.cpu_count() or 1) < 2:
        parser.error("needs two CPUs: one for the proxy, one for the load and the upstream")
    return chosen


def peers(chosen: argparse.Namespace) -> dict[str, Callable[[Job], Start]]:
    """The peers of this run in the order of its rounds."""
    known: dict[str, Callable[[Job], Start]] = {"nginx": nginx.prepare, "haproxy": haproxy.prepare}
    if Path(chosen.envoy).exists():
        known["envoy"] = lambda job: envoy.prepare(job, chosen.envoy)
    else:
        print("no Envoy: benches/setup installs it", file=sys.stderr)
    if chosen.form == "plain":
        known["relay"] = haproxy.relay
    if Path(chosen.sidekey).exists():
        durabilities = chosen.audit.split(",")
        for durability in durabilities:
            name = "sidekey" if len(durabilities) == 1 else f"sidekey-{durability}"
            known[name] = lambda job, d=durability: sidekey.prepare(job, chosen.sidekey, d)
    else:
        print(f"no sidekey at {chosen.sidekey}: cargo build --release", file=sys.stderr)
    wanted = chosen.only.split(",") if chosen.only else [*known]
    return {name: prepare for name, prepare in known.items() if any(name.startswith(word) for word in wanted)}


def make_job(chosen: argparse.Namespace, folder: Path) -> Job:
    make_certificates(folder)
    binary = chosen.sidekey if Path(chosen.sidekey).exists() else None
    teams = make_teams(chosen.teams, binary)
    middle = len(teams) // 2
    callers = [teams[(middle + at) % len(teams)] for at in range(min(chosen.callers, len(teams)))]
    return Job(folder, teams, callers, tls_in=chosen.form == "both", tls_out=chosen.form != "plain",
               upstream_port=free_port(), upstream_tls_port=free_port())


def ask(url: str, path: str, proof: str) -> int:
    """The status of one request."""
    scheme, _, place = url.partition("://")
    if scheme == "https":
        line = http.client.HTTPSConnection(place, timeout=10, context=ssl._create_unverified_context())
    else:
        line = http.client.HTTPConnection(place, timeout=10)
    line.request("GET", path, headers={"Authorization": proof})
    status = line.getresponse().status
    line.close()
    return status


def verify(name: str, url: str, team: Team) -> None:
    """A peer that doesn't do the job is not measured: the upstream answers 200 to the team's key alone."""
    stranger = basic(team.name, team.token[:-1] + "_")
    for path, proof, want in ((MESSAGES, team.proof, 200), (KEYS, team.proof, 403), (MESSAGES, stranger, 401)):
        status = ask(url, path, proof)
        if status != want:
            raise SystemExit(f"{name} answers {status} for {path}, not {want}: it does another job")


def address(name: str, program: Program, chosen: argparse.Namespace) -> str:
    tls = chosen.form == "both" or (chosen.form == "out" and name == "direct")
    return f"{'https' if tls else 'http'}://127.0.0.1:{program.port}"


def measure(chosen: argparse.Namespace, job: Job, programs: dict[str, Program]) -> dict[str, list[Row]]:
    load = Load(job.folder, chosen.connections, chosen.post, chosen.h2)
    rows: dict[str, list[Row]] = {name: [] for name in programs}
    for number in range(-1, chosen.rounds):
        for name, program in programs.items():
            # Two peers show the caller's own header to the upstream, so the caller brings the key.
            bare = name in ("direct", "relay")
            proofs = [team.key if bare else team.proof for team in job.callers]
            url = address(name, program, chosen)
            before = program.cpu_seconds()
            try:
                result = send(load, url, proofs, WARM_UP_SECONDS if number < 0 else chosen.seconds)
            except RuntimeError as error:
                raise SystemExit(f"{name}: {error}; {program.state()}") from error
            spent = program.cpu_seconds() - before
            if number < 0:
                continue
            if result.bad:
                print(f"{name}, round {number + 1}: {result.bad}", file=sys.stderr)
            rows[name].append(Row(result, spent * 1e6 / max(result.answered, 1)))
    return rows


def ratio(rows: dict[str, list[Row]], name: str, other: str) -> str:
    """CPU per request against another peer's: the median of the rounds' ratios and half their range."""
    if other not in rows or name == "direct":
        return "-"
    each = [mine.cpu_us / theirs.cpu_us for mine, theirs in zip(rows[name], rows[other]) if theirs.cpu_us]
    return f"{statistics.median(each):.2f} ±{(max(each) - min(each)) / 2:.2f}" if each else "-"


def table(chosen: argparse.Namespace, rows: dict[str, list[Row]], programs: dict[str, Program]) -> None:
    kind = f"{'HTTP/2' if chosen.h2 else 'HTTP/1.1'} {'POST' if chosen.post else 'GET'}"
    print(f"form {chosen.form}, {kind}, {chosen.connections} connections, {chosen.teams} teams, "
          f"{chosen.rounds} rounds of {chosen.seconds} s")
    heads = ("peer", "req/s", "CPU us/req", "noise", "/nginx", "/relay", "p50 us", "p99 us", "RSS MiB")
    print("{:18}{:>9}{:>12}{:>8}{:>13}{:>13}{:>9}{:>9}{:>9}".format(*heads))
    for name, program in programs.items():
        of = lambda read: [read(row) for row in rows[name]]
        cpu = of(lambda row: row.cpu_us)
        middle = statistics.median(cpu)
        noise = (max(cpu) - min(cpu)) / 2 / middle * 100 if middle else 0
        print(f"{name:18}{statistics.median(of(lambda row: row.result.per_second)):9.0f}{middle:12.2f}{noise:7.1f}%"
              f"{ratio(rows, name, 'nginx'):>13}{ratio(rows, name, 'relay'):>13}"
              f"{statistics.median(of(lambda row: row.result.p50)):9.0f}"
              f"{statistics.median(of(lambda row: row.result.p99)):9.0f}{program.rss_mib():9.1f}")


def main() -> int:
    chosen = arguments()
    folder = Path(tempfile.mkdtemp(prefix="sidekey-loopback-"))
    try:
        job = make_job(chosen, folder)
        with ExitStack() as running:
            start = lambda name, how, cpu: running.enter_context(Program(name, how, cpu, folder))
            programs = {"direct": start("direct", nginx.upstream(job), LOAD_CPU)}
            programs["direct"].wait()
            programs |= {name: start(name, prepare(job), PROXY_CPU) for name, prepare in peers(chosen).items()}
            for name, program in programs.items():
                program.wait()
                if name not in ("direct", "relay"):
                    verify(name, address(name, program, chosen), job.callers[0])
            rows = measure(chosen, job, programs)
            table(chosen, rows, programs)
        return int(any(row.result.bad for each in rows.values() for row in each))
    finally:
        if chosen.keep:
            print(f"configs and logs: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
