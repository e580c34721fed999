"""One shape of load through all peers, round by round, so that a slow minute of the machine touches each of them."""

import http.client
import itertools
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from . import envoy, haproxy, nginx, pingora, sidekey
from .job import KEYS, MESSAGES, Job, Shape, Start, Team, basic, free_port, make_certificates, make_teams
from .load import Load
from .process import LOAD_CPU, PROXY_CPU, Program

ROOT = Path(__file__).resolve().parents[2]
SIDEKEY = str(ROOT / "target/release/sidekey")
ENVOY = os.environ.get("ENVOY", str(ROOT / "tests/.env/peers/envoy/_bin/envoy"))
PINGORA = str(ROOT / "target/pingora/release/pingora-peer")
WARM_UP_SECONDS = 1
# Those that show the caller's own Authorization to the upstream.
BARE = ("direct", "relay")


@dataclass(frozen=True)
class Run:
    """How a comparison is made."""

    rounds: int = 5
    seconds: int = 1
    # Peers by the beginning of their names; none: all.
    only: tuple[str, ...] = ()
    sidekey: str = SIDEKEY
    # Durabilities of sidekey's audit, and how many tokens it knows (0: one a team); each pair is a peer of its own.
    audit: tuple[str, ...] = ("write",)
    tokens: tuple[int, ...] = (0,)
    keep: bool = False


def lacks() -> str:
    """What this machine lacks for any comparison, in words; empty if nothing."""
    missing = [tool for tool in ("nginx", "haproxy", "wrk", "h2load", "openssl", "taskset") if not shutil.which(tool)]
    if missing:
        return f"not installed: {', '.join(missing)}; benches/setup installs them"
    if (os.cpu_count() or 1) < 2:
        return "needs two CPUs: one for the proxy, one for the load and the upstream"
    return ""


def peers(run: Run, shape: Shape) -> dict[str, Callable[[Job], Start]]:
    """The peers of a comparison in the order of its rounds."""
    known: dict[str, Callable[[Job], Start]] = {"nginx": nginx.prepare, "haproxy": haproxy.prepare}
    for name, binary, module in (("envoy", ENVOY, envoy), ("pingora", PINGORA, pingora)):
        if Path(binary).exists():
            known[name] = lambda job, module=module, binary=binary: module.prepare(job, binary)
        else:
            print(f"no {name}: benches/setup installs it", file=sys.stderr)
    if shape.form == "plain":
        known["relay"] = haproxy.relay
    if not Path(run.sidekey).exists():
        raise SystemExit(f"no sidekey at {run.sidekey}: cargo build --release")
    for durability, tokens in itertools.product(run.audit, run.tokens):
        settings = sidekey.Settings(durability=durability, tokens=tokens)
        known[settings.name] = lambda job, settings=settings: sidekey.prepare(job, run.sidekey, settings)
    return {name: prepare for name, prepare in known.items() if not run.only or name.startswith(run.only)}


def make_job(shape: Shape, folder: Path, binary: str = SIDEKEY) -> Job:
    """The fixture of a comparison."""
    make_certificates(folder)
    teams = make_teams(shape.teams, binary)
    # Spread over the table.
    step = max(len(teams) // shape.callers, 1)
    callers = teams[len(teams) // 2::step] + teams[:len(teams) // 2:step]
    return Job(folder, shape, teams, callers[:shape.callers], free_port(), free_port())


def ask(url: str, path: str, proof: str) -> int:
    """The status of one request."""
    scheme, _, place = url.partition("://")
    if scheme == "https":
        line = http.client.HTTPSConnection(place, timeout=60, context=ssl._create_unverified_context())
    else:
        line = http.client.HTTPConnection(place, timeout=60)
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


def address(name: str, program: Program, job: Job) -> str:
    """Where a peer is reached."""
    tls = job.tls_in or (job.tls_out and name == "direct")
    return f"{'https' if tls else 'http'}://127.0.0.1:{program.port}"


def measure(load: Load, job: Job, programs: dict[str, Program], run: Run) -> dict[str, list[dict]]:
    """The rounds of each peer: what the load saw, the proxy's own CPU per request in microseconds, and the share of its
    CPU that it had work for."""
    rows: dict[str, list[dict]] = {name: [] for name in programs}
    for number in range(-1, run.rounds):
        for name, program in programs.items():
            proofs = [team.key if name in BARE else team.proof for team in job.callers]
            before = program.cpu_seconds()
            try:
                result = load.send(address(name, program, job), proofs, WARM_UP_SECONDS if number < 0 else run.seconds)
            except RuntimeError as error:
                raise SystemExit(f"{name}: {error}; {program.state()}") from error
            cpu_us = (program.cpu_seconds() - before) * 1e6 / max(result.answered, 1)
            if number < 0:
                continue
            if result.bad:
                print(f"{name}, round {number + 1}: {result.bad}", file=sys.stderr)
            rows[name].append({**asdict(result), "cpu_us": cpu_us, "busy": cpu_us * result.per_second / 1e6})
    return rows


def compare(shape: Shape, run: Run) -> dict:
    """Starts all peers, makes sure that each does the job, and measures them: figures ready for JSON."""
    folder = Path(tempfile.mkdtemp(prefix="sidekey-loopback-"))
    try:
        job = make_job(shape, folder, run.sidekey)
        with ExitStack() as running:
            start = lambda name, how, cpu: running.enter_context(Program(name, how, cpu, folder))
            programs = {"direct": start("direct", nginx.upstream(job), LOAD_CPU)}
            programs["direct"].wait()
            programs |= {name: start(name, prepare(job), PROXY_CPU) for name, prepare in peers(run, shape).items()}
            for name, program in programs.items():
                program.wait(120)
                if name not in BARE:
                    verify(name, address(name, program, job), job.callers[0])
            rows = measure(Load(shape, folder), job, programs, run)
            rss = {name: program.rss_mib() for name, program in programs.items()}
        peers_ = {name: {"rounds": rows[name], "rss_mib": rss[name]} for name in rows}
        return {"shape": asdict(shape), "words": shape.words(), "rounds": run.rounds, "seconds": run.seconds, "peers": peers_}
    finally:
        if run.keep:
            print(f"configs and logs: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
