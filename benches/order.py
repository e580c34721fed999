#!/usr/bin/env python3
"""Writes link/used.ld anew: the functions that a broker runs at its start, for requests, and with TLS.

sidekey runs under valgrind's callgrind, which knows every function that was called. To be repeated when memory at rest
grows: a function of a new name is not among those that lie together until then.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from peers import nginx, sidekey
from peers.job import FORM_BODY, MESSAGES, Shape
from peers.process import BOTH, LOAD_CPU, Program
from peers.side_by_side import SIDEKEY, make_job

OUT = Path(__file__).parent.parent / "link" / "used.ld"

# Many functions can share a name but for its hash. If those of a name that are never called have more bytes than this,
# the name stands last, and beyond the second number it is left out.
WASTE, TOO_MUCH = 8_000, 150_000

HEAD = """/* Functions that a broker runs, so that the linker lays them side by side (build.rs says why).
   Made by benches/order.py; hashes in names are left open, since they change with every compiler. */
SECTIONS {
  .text.used : {
"""


def ask(port: int, scheme: str, proof: str, *more: str) -> None:
    """The same request four times by curl, on one connection, each of which must be answered 200 or 201: what comes again
    goes a shorter way than what comes first."""
    command = ["curl", "-sk", "-w", "%{http_code} ", "-H", f"Authorization: {proof}", *more]
    times = ["-o", "/dev/null", f"{scheme}://127.0.0.1:{port}{MESSAGES}"] * 4
    told = subprocess.run([*command, *times], capture_output=True, text=True, check=True)
    if not set(told.stdout.split()) <= {"200", "201"}:
        raise SystemExit(f"answered {told.stdout}")


def called(binary: str, form: str, requests: bool) -> list[str]:
    """The names of all functions that were called until the broker is idle, or idle again."""
    folder = Path(tempfile.mkdtemp(prefix="sidekey-order-"))
    try:
        job = make_job(Shape(form=form, teams=3), folder, binary)
        out = folder / "calls"
        start = sidekey.prepare(job, binary)
        start.command = ["valgrind", "--tool=callgrind", "--demangle=no", "--compress-strings=no", "--compress-pos=no",
                         f"--callgrind-out-file={out}", *start.command]
        with Program("upstream", nginx.upstream(job), LOAD_CPU, folder) as upstream, \
                Program("sidekey", start, BOTH, folder) as program:
            upstream.wait()
            program.wait(120)
            time.sleep(3)
            versions = ("--http1.1", "--http2") if form == "both" else ("--http1.1",)
            for version in versions if requests else ():
                for more in ((), ("-d", FORM_BODY + "x")):
                    for _ in range(3):
                        ask(program.port, "https" if form == "both" else "http", job.callers[0].proof, version, *more)
            time.sleep(2)
            # Before it is told to end: how it ends is not what it does.
            subprocess.run(["callgrind_control", "-d", str(program.processes()[0])], check=True, capture_output=True)
            time.sleep(3)
        lines = (folder / "calls.1").read_text(errors="replace").splitlines()
        names = (line.partition("=")[2] for line in lines if line.startswith(("fn=", "cfn=")))
        return list(dict.fromkeys(re.sub(r"'\d+$", "", name.strip()) for name in names))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_ended(name: str) -> str:
    """A pattern for a symbol whatever the hashes in it."""
    name = re.sub(r"17h[0-9a-f]{16}E(\.llvm\.\d+)?$", "17h*", name)
    return re.sub(r"Cs[0-9A-Za-z]+_(?=\d)", "Cs*_", name)


def sizes(binary: str) -> dict[str, int]:
    """Bytes of every function."""
    rows = subprocess.run(["nm", "-S", "--defined-only", binary], capture_output=True, text=True, check=True).stdout
    cells = (row.split() for row in rows.splitlines())
    return {cell[3]: int(cell[1], 16) for cell in cells if len(cell) == 4 and cell[2] in "tTwW"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary, built from the present source")
    binary = parser.parse_args().sidekey
    known = sizes(binary)
    start = called(binary, "plain", requests=False)
    used = called(binary, "plain", requests=True)
    # What a start needs first, and what only requests need behind it: a broker at rest has the one in memory without the other.
    names = start + used + called(binary, "both", requests=True)
    names = [name for name in dict.fromkeys(names) if name in known]
    idle = Counter()
    for name, size in known.items():
        idle[open_ended(name)] += size
    for name in names:
        idle[open_ended(name)] -= known[name]
    patterns = [pattern for pattern in dict.fromkeys(map(open_ended, names)) if idle[pattern] <= TOO_MUCH]
    patterns.sort(key=lambda pattern: idle[pattern] > WASTE)
    lines = "".join(f"    *(.text*.{pattern})\n" for pattern in patterns)
    OUT.write_text(f"{HEAD}{lines}  }}\n}}\nINSERT BEFORE .text;\n")
    size = sum(known[name] for name in names) + sum(idle[pattern] for pattern in patterns)
    print(f"{len(patterns)} names, {size / 1024:.0f} KiB of {sum(known.values()) / 1024:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
