#!/usr/bin/env python3
"""What the audit costs a request: each durability beside a broker that records nothing, in one run.

No setting turns the audit off, so the broker without one is built for this: the same source, but nothing is rendered,
chained or written. Every round goes through all of them at each number of connections; ratios are taken within a round.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from peers import nginx, sidekey
from peers.job import Shape
from peers.load import Load
from peers.process import LOAD_CPU, PROXY_CPU, Program
from peers.side_by_side import ROOT, SIDEKEY, Run, address, lacks, make_job, measure, verify

DURABILITIES = "write,buffered,fsync"
UNAUDITED = ROOT / "target/unaudited"
# What is left out, in how many places: the lines, and the facts that they are rendered from.
LEFT_OUT = {
    "src/audit/core.rs": (1, r"pub\(super\) fn record\(.*?\) -> Kept \{\n", "return Kept::settled(self.clone(), Ok(()));\n"),
    "src/audit/notes.rs": (2, r"fn tell(?:_again)?\(&mut self,.*?\) \{\n", "return;\n"),
}


def build_unaudited() -> str:
    """A broker that records nothing, from a copy of the source."""
    copy = UNAUDITED / "source"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in ("Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "build.rs"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "benches", "link"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("target"))
    for name, (times, place, instead) in LEFT_OUT.items():
        file = copy / name
        text, found = re.subn(place, lambda match: match[0] + instead, file.read_text(), flags=re.DOTALL)
        if found != times:
            raise SystemExit(f"{name} has changed: {place} is found {found} times; mend benches/audit_cost.py")
        file.write_text(text)
    share(ROOT / "target/release", UNAUDITED / "release")
    command = ["cargo", "build", "--release", "--quiet", "--bin", "sidekey", "--target-dir", str(UNAUDITED)]
    subprocess.run(command, cwd=copy, check=True)
    return str(UNAUDITED / "release/sidekey")


def share(built: Path, here: Path) -> None:
    """What other crates were compiled to, if they were: it takes longer than sidekey itself."""
    for name in ("deps", "build", ".fingerprint"):
        if (built / name).exists() and not (here / name).exists():
            shutil.copytree(built / name, here / name, copy_function=os.link)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", default="1,32,256", help="how many, with commas")
    parser.add_argument("--durabilities", default=DURABILITIES, help="which, with commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of one broker in one round")
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary to measure")
    parser.add_argument("--unaudited", default="", help="one that records nothing; built if not given")
    parser.add_argument("--folder", default=None, help="on the file system to measure; the system's for temporary files")
    chosen = parser.parse_args()
    if lacks():
        parser.error(lacks())
    return chosen


def compare(chosen: argparse.Namespace, unaudited: str, connections: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sidekey-audit-", dir=chosen.folder))
    try:
        shape = Shape(connections=connections)
        job = make_job(shape, folder, chosen.sidekey)
        # The number of tokens is what it would be anyway: it only keeps the files of the two apart.
        brokers = {"off": sidekey.prepare(job, unaudited, sidekey.Settings(tokens=shape.teams))}
        for durability in chosen.durabilities.split(","):
            brokers[durability] = sidekey.prepare(job, chosen.sidekey, sidekey.Settings(durability=durability))
        with ExitStack() as running:
            running.enter_context(Program("upstream", nginx.upstream(job), LOAD_CPU, folder)).wait()
            programs = {
                name: running.enter_context(Program(name, start, PROXY_CPU, folder)) for name, start in brokers.items()}
            for name, program in programs.items():
                program.wait()
                verify(name, address(name, program, job), job.callers[0])
            rows = measure(Load(shape, folder), job, programs, Run(rounds=chosen.rounds, seconds=chosen.seconds))
        table(connections, rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(connections: int, rows: dict[str, list[dict]]) -> None:
    print(f"{connections} connections")
    print(f"{'audit':10}{'req/s':>9}{'CPU us/req':>12}{'noise':>8}{'/off':>14}{'p50 us':>9}{'p99 us':>9}")
    for name, rounds in rows.items():
        of = lambda field: [row[field] for row in rounds]
        cpu = statistics.median(of("cpu_us"))
        noise = (max(of("cpu_us")) - min(of("cpu_us"))) / 2 / cpu * 100
        each = [row["cpu_us"] / off["cpu_us"] for row, off in zip(rounds, rows["off"])]
        ratio = f"{statistics.median(each):.3f} ±{(max(each) - min(each)) / 2:.3f}"
        print(f"{name:10}{statistics.median(of('per_second')):9.0f}{cpu:12.2f}{noise:7.1f}%{ratio:>14}"
              f"{statistics.median(of('p50')):9.0f}{statistics.median(of('p99')):9.0f}")
    sys.stdout.flush()


def main() -> None:
    chosen = arguments()
    unaudited = chosen.unaudited or build_unaudited()
    for connections in chosen.connections.split(","):
        compare(chosen, unaudited, int(connections))


if __name__ == "__main__":
    main()
