#!/usr/bin/env python3
"""Two cores against one, in two ways, since two CPUs that also carry the load can't show twice the throughput.

In memory (`benches/cores.rs`): requests a second of wall time through the whole line, by one thread and by two that share
directory, audit and metrics. Nothing else runs, so this is throughput itself, but without sockets.

On sockets: sidekey with `limits.cores` 1 and 2, both free to run on either CPU beside the same load, by turns. Two cores
hold as much as twice the CPU can pay for: 2 × CPU per request of one core ÷ CPU per request of two. What cores do to each
other (locks, lines of the cache that travel) shows as CPU per request; waiting without work does not, and is left to the
first way.
"""

import argparse
import json
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
from peers.process import BOTH, Program
from peers.side_by_side import ROOT, SIDEKEY, lacks, make_job, verify



def in_memory() -> dict:
    """What `benches/cores.rs` says."""
    words = ["cargo", "bench", "--locked", "--quiet", "--bench", "cores"]
    return json.loads(subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def on_sockets(binary: str, connections: int, rounds: int, seconds: int) -> dict:
    """CPU per request in microseconds with each number of cores, and what two hold against one."""
    folder = Path(tempfile.mkdtemp(prefix="sidekey-cores-"))
    each: dict[int, list[dict]] = {1: [], 2: []}
    try:
        shape = Shape(connections=connections)
        job = make_job(shape, folder, binary)
        load = Load(shape, folder, cpus=BOTH, threads=2)
        with ExitStack() as running:
            upstream = running.enter_context(Program("upstream", nginx.upstream(job, cores=2), BOTH, folder))
            upstream.wait()
            programs = {}
            for cores in each:
                start = sidekey.prepare(job, binary, sidekey.Settings(cores=cores))
                programs[cores] = running.enter_context(Program(f"sidekey-{cores}", start, BOTH, folder))
                programs[cores].wait()
                verify(f"sidekey on {cores}", f"http://127.0.0.1:{start.port}", job.callers[0])
            for number in range(-1, rounds):
                for cores, program in programs.items():
                    before = program.cpu_seconds()
                    result = load.send(f"http://127.0.0.1:{program.port}", [job.callers[0].proof], seconds)
                    if result.bad:
                        raise SystemExit(f"{cores} cores: {result.bad}")
                    cpu_us = (program.cpu_seconds() - before) * 1e6 / max(result.answered, 1)
                    if number >= 0:
                        each[cores].append({"cpu_us": cpu_us, "per_second": result.per_second})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratios = [2 * one["cpu_us"] / two["cpu_us"] for one, two in zip(each[1], each[2])]
    of = lambda cores, field: statistics.median(row[field] for row in each[cores])
    return {
        "one_us": of(1, "cpu_us"), "two_us": of(2, "cpu_us"), "one_per_second": of(1, "per_second"),
        "two_per_second": of(2, "per_second"), "ratio": statistics.median(ratios),
        "noise": (max(ratios) - min(ratios)) / 2,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary to measure")
    parser.add_argument("--no-build", action="store_true", help="on sockets only: cargo is not asked for anything")
    parser.add_argument("--json", default="", help="a file for the figures")
    chosen = parser.parse_args()
    if lacks():
        parser.error(lacks())
    found = {} if chosen.no_build else {"memory": in_memory()}
    found["sockets"] = on_sockets(chosen.sidekey, chosen.connections, chosen.rounds, chosen.seconds)
    if "memory" in found:
        memory = found["memory"]
        print(f"in memory: {memory['one']:,.0f} requests/s on one core, {memory['two']:,.0f} on two: {memory['ratio']:.2f} "
              f"({memory['lowest']:.2f} to {memory['highest']:.2f}); {memory['one_us']:.2f} us of CPU a request on one, "
              f"{memory['two_us']:.2f} on two: {memory['by_cpu']:.2f}")
    sockets = found["sockets"]
    print(f"on sockets: {sockets['one_us']:.2f} us of CPU a request on one core, {sockets['two_us']:.2f} on two: two cores "
          f"hold {sockets['ratio']:.2f} ±{sockets['noise']:.2f} of one")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
