"""Starting programs on one CPU, and what they cost."""

import os
import socket
import subprocess
import time
from pathlib import Path

from .job import Start

PROXY_CPU, LOAD_CPU, BOTH = "0", "1", "0,1"


def pinned(cpu: str, command: list[str]) -> list[str]:
    return ["taskset", "-c", cpu, *command]


class Program:
    """A running program and what it needs beside it, ended with the `with` block."""

    def __init__(self, name: str, start: Start, cpu: str, folder: Path) -> None:
        self.name, self.port = name, start.port
        self._log = open(folder / f"{name}.log", "wb")
        self._beside = [self._spawn(pinned(LOAD_CPU, words), {}) for words in start.beside]
        self._main = self._spawn(pinned(cpu, start.command), start.environment)

    def _spawn(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env={**os.environ, **environment})

    def wait(self, seconds: float = 30) -> None:
        """Returns when the port takes connections; raises with the end of the log if the program ends before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._main.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen on {self.port}; {self.state()}")

    def state(self) -> str:
        """Whether it runs, and the end of its log: for whoever finds it silent."""
        ended = self._main.poll()
        tail = Path(self._log.name).read_text(errors="replace")[-2000:]
        return f"{'running' if ended is None else f'ended with {ended}'}, log: {tail}"

    def processes(self) -> list[int]:
        """The program and its children, at any depth."""
        found = [self._main.pid]
        for pid in found:
            for thread in _listing(f"/proc/{pid}/task"):
                found += [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]
        return found

    def cpu_seconds(self) -> float:
        """User and system time so far, threads that have ended included (a sum over those that live would miss what
        compressed a file and is gone)."""
        return sum(_cpu_seconds(pid) for pid in self.processes())

    def rss_mib(self) -> float:
        """Resident memory; pages that its processes share are counted in each."""
        lines = [line for pid in self.processes() for line in _read(f"/proc/{pid}/status").splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def pss_mib(self, field: str = "Pss") -> float:
        """Resident memory; of a page that its processes share, each counts its part. `Pss_Anon`: without pages of files,
        such as the program's own, which the kernel can take back."""
        lines = [line for pid in self.processes() for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024

    def end(self, seconds: float) -> None:
        """Asks it to end and waits until it has."""
        self._main.terminate()
        self._main.wait(seconds)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._main, *self._beside):
            process.terminate()
        for process in (self._main, *self._beside):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self._log.close()


def _cpu_seconds(pid: int) -> float:
    # The clock of another process, numbered as clock_getcpuclockid(3) does on Linux.
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _read(path: str) -> str:
    # A process or thread may end between two looks.
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _listing(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
