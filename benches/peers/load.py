"""The load: wrk for HTTP/1.1, h2load for HTTP/2; closed loop."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .job import MESSAGES, Shape, form
from .process import LOAD_CPU, pinned

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass(frozen=True)
class Result:
    """One round at one peer. Times in microseconds."""

    answered: int
    per_second: float
    p50: float
    p99: float
    bad: str


@dataclass(frozen=True)
class Load:
    """What is sent, to every peer alike, and where from."""

    shape: Shape
    folder: Path
    cpus: str = LOAD_CPU
    threads: int = 1

    def send(self, url: str, proofs: list[str], seconds: float) -> Result:
        """One round: `proofs` in turn, as fast as answers come."""
        return (_h2load if self.shape.h2 else _wrk)(self, f"{url}{MESSAGES}", proofs, max(round(seconds), 1))


def _run(load: Load, command: list[str], seconds: int) -> str:
    done = subprocess.run(pinned(load.cpus, command), capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-1000:]}")
    return done.stdout


def _micros(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * UNITS[unit]


def _wrk(load: Load, url: str, proofs: list[str], seconds: int) -> Result:
    script = load.folder / "load.lua"
    headers = 'headers["Content-Type"] = "application/x-www-form-urlencoded"' if load.shape.body else ""
    method, body = ("POST", f'"{form(load.shape.body)}"') if load.shape.body else ("GET", "nil")
    listed = ", ".join(f'"{proof}"' for proof in proofs)
    # Requests are written out before the load starts, so that the generator costs next to nothing.
    script.write_text(f"""
local headers, ready, turn = {{}}, {{}}, 0
{headers}
function init()
  for at, proof in ipairs({{{listed}}}) do
    headers["Authorization"] = proof
    ready[at] = wrk.format("{method}", nil, headers, {body})
  end
end
function request()
  turn = turn % #ready + 1
  return ready[turn]
end
""")
    words = ["wrk", f"-t{load.threads}", f"-c{load.shape.connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = _run(load, words, seconds)
    times = dict(re.findall(r"(50|99)%\s+([\d.]+\w+)", text))
    bad = re.search(r"Non-2xx.*|Socket errors.*", text)
    return Result(
        answered=int(re.search(r"(\d+) requests in", text).group(1)),
        per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
        p50=_micros(times["50"]), p99=_micros(times["99"]), bad=bad.group() if bad else "",
    )


def _h2load(load: Load, url: str, proofs: list[str], seconds: int) -> Result:
    """Four streams on each of a quarter of the connections. Percentiles from its log of single requests."""
    log = load.folder / "h2load.log"
    log.unlink(missing_ok=True)
    words = ["h2load", f"-t{load.threads}", f"-c{max(load.shape.connections // 4, 1)}", "-m4", f"-D{seconds}", f"--log-file={log}"]
    # h2load knows one set of headers: the first caller speaks for all.
    words += ["-H", f"authorization: {proofs[0]}"]
    if load.shape.body:
        body = load.folder / "body.txt"
        body.write_text(form(load.shape.body))
        words += ["-H", "content-type: application/x-www-form-urlencoded", f"--data={body}"]
    text = _run(load, [*words, url], seconds)
    times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    good = int(re.search(r"(\d+) 2xx", text).group(1))
    wrong = {kind: int(n) for n, kind in re.findall(r"(\d+) (failed|errored|timeout|3xx|4xx|5xx)", text) if int(n)}
    at = lambda share: float(times[min(int(len(times) * share), len(times) - 1)]) if times else 0.0
    return Result(
        answered=good, per_second=good / seconds, p50=at(0.5), p99=at(0.99),
        bad=", ".join(f"{n} {kind}" for kind, n in wrong.items()),
    )
