#!/usr/bin/env python3
"""Counts the instructions of one request's decision and fails if they have grown.

Time is too noisy for a check, instructions repeat: `benches/instructions.rs` is run under callgrind, and what the code of
the binary itself took is held against `instructions.json`. Left out is what depends on the machine: the C library
(which copies memory in the way of the CPU) and the digests of AWS-LC (likewise).

  benches/instructions.py            fails where a count is more than 5 % above the baseline
  benches/instructions.py --accept   makes today's counts the baseline; say in the commit what they buy
  benches/instructions.py --functions NAME   what a count is made of
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benches/instructions.json"
# A count's name, and the function within which instructions are counted.
COUNTS = {"decision": "count_decisions", "line": "count_lines"}
SLACK = 0.05
# AWS-LC chooses its digests by the CPU, and names all that is its own like this.
CRYPTO = re.compile(r"^aws_lc_\d|^(sha256|OPENSSL|bcm)_")


def build() -> str:
    """The bench's binary."""
    words = ["cargo", "build", "--locked", "--quiet", "--profile", "count", "--bench", "instructions"]
    made = subprocess.run([*words, "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    told = [json.loads(line) for line in made.stdout.splitlines()]
    return next(one["executable"] for one in told if one.get("target", {}).get("name") == "instructions" and one["executable"])


def functions(profile: str, binary: str) -> Counter:
    """Instructions of each function of the binary, without those that it calls, from callgrind's own format."""
    names: dict[str, str] = {}
    # The compiler may name a function before or within the line that first uses its number.
    def named(kind: str, text: str) -> str:
        number, _, name = text.partition(" ")
        if name:
            names[kind + number] = name
        return names[kind + number]

    took, of, inside, call = Counter(), "", False, False
    for line in profile.splitlines():
        key, found, value = line.partition("=")
        if found and key == "ob":
            inside = named("ob", value) == binary
        elif found and key == "fn":
            of = named("fn", value)
        elif found and key in ("cob", "cfn"):
            named(key[1:], value)
        elif found and key == "calls":
            # The next line is what the call took, and not this function's own.
            call = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if inside and not call:
                took[of] += int(line.split()[1])
            call = False
    return took


def count(binary: str, function: str) -> tuple[int, Counter]:
    """How many requests the bench made, and what its functions took for them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        words = ["valgrind", "--tool=callgrind", "--quiet", "--collect-atstart=no", f"--toggle-collect=*{function}*",
                 f"--callgrind-out-file={out}", binary]
        told = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout
        took = functions(out.read_text(), binary)
    return int(told), Counter({name: cost for name, cost in took.items() if not CRYPTO.search(name)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="make today's counts the baseline")
    parser.add_argument("--functions", choices=COUNTS, help="what a count is made of, instead of a check")
    chosen = parser.parse_args()
    binary = build()
    if chosen.functions:
        requests, took = count(binary, COUNTS[chosen.functions])
        for name, cost in took.most_common(60):
            print(f"{cost / requests:10.1f}  {name}")
        return 0
    machine, known = platform.machine(), json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    now = {}
    for name, function in COUNTS.items():
        requests, took = count(binary, function)
        now[name] = round(took.total() / requests)
    if chosen.accept:
        known[machine] = now
        BASELINE.write_text(json.dumps(known, indent=2) + "\n")
    if machine not in known:
        print(f"no baseline for {machine}: {now}; --accept makes one")
        return 0
    worse = 0
    for name, cost in now.items():
        before = known[machine].get(name, cost)
        change = cost / before - 1
        worse += change > SLACK
        verdict = " TOO MANY" if change > SLACK else ""
        print(f"{name}: {cost} instructions, {change:+.1%} against the baseline of {before}{verdict}")
        if change < -SLACK:
            print(f"{name}: fewer than the baseline knows: --accept keeps it so")
    if worse:
        print("If they are worth it: benches/instructions.py --accept, and say in the commit what they buy.", file=sys.stderr)
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())
