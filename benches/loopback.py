#!/usr/bin/env python3
"""Side by side on loopback: sidekey, nginx, HAProxy, Envoy, Pingora and a TCP relay do one job in one run.

Every round goes through all of them, so that a slow minute of the machine touches each; figures are medians over the
rounds, and the ratios are taken within a round before their median is. benches/README.md says what the columns mean.
"""

import argparse
import json
import sys
from pathlib import Path

from peers.figures import bad, text
from peers.job import FORM_BODY, Shape
from peers.side_by_side import SIDEKEY, Run, compare, lacks


def arguments() -> tuple[Shape, Run, str]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=["plain", "out", "both"], default="plain",
                        help="TLS nowhere, to the upstream only (a sidecar before the real API), or on both sides")
    parser.add_argument("--h2", action="store_true", help="HTTP/2 from the callers; needs --form both")
    parser.add_argument("--body", type=int, default=0, help="POST a form of so many bytes instead of GET")
    parser.add_argument("--answer", type=int, default=0, help="answers of about so many bytes, not of one message")
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--callers", type=int, default=1, help="how many of the teams call, in turn")
    parser.add_argument("--tokens", default="0", help="how many tokens sidekey knows, with commas: each is measured; "
                                                      "0: one for each team")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one peer in one round")
    parser.add_argument("--only", default="", help="peers by the beginning of their names, with commas")
    parser.add_argument("--sidekey", default=SIDEKEY, help="the binary to measure")
    parser.add_argument("--audit", default="write", help="durabilities of sidekey to measure, with commas")
    parser.add_argument("--json", default="", help="a file for all figures of all rounds")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configs and logs")
    chosen = parser.parse_args()
    if chosen.h2 and chosen.form != "both":
        parser.error("--h2 needs --form both: HTTP/2 is agreed on in TLS")
    if 0 < chosen.body < len(FORM_BODY):
        parser.error(f"--body is at least {len(FORM_BODY)}")
    if chosen.body and chosen.answer:
        parser.error("--body and --answer are for two runs")
    if lacks():
        parser.error(lacks())
    shape = Shape(form=chosen.form, h2=chosen.h2, connections=chosen.connections, body=chosen.body, answer=chosen.answer,
                  teams=chosen.teams, callers=chosen.callers)
    run = Run(rounds=chosen.rounds, seconds=chosen.seconds, only=tuple(filter(None, chosen.only.split(","))),
              sidekey=chosen.sidekey, audit=tuple(chosen.audit.split(",")),
              tokens=tuple(map(int, chosen.tokens.split(","))), keep=chosen.keep)
    return shape, run, chosen.json


def main() -> int:
    shape, run, file = arguments()
    result = compare(shape, run)
    print(text(result))
    if file:
        Path(file).write_text(json.dumps(result, indent=1))
    return int(bad(result))


if __name__ == "__main__":
    sys.exit(main())
