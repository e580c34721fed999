"""Our own programs, started on free ports and ended with the run."""

import json
import os
import queue
import re
import subprocess
import threading
import time
from pathlib import Path


class Program:
    """A running `sidekey` command, its output kept."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.name = " ".join(command[1:2])
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.stdout, self.stderr = bytearray(), bytearray()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})})
        pipes = ((self._process.stdout, self.stdout), (self._process.stderr, self.stderr))
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in pipes]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe, into: bytearray) -> None:
        for line in pipe:
            into += line
            self._lines.put(line.decode(errors="replace"))
        self._lines.put(None)

    def find(self, pattern: str, seconds: float = 60) -> str:
        """The first group of `pattern` as soon as a line of either output fits."""
        return self._until(seconds, pattern, lambda line: (m := re.search(pattern, line)) and m.group(1))

    def object(self, seconds: float = 60) -> dict:
        """The JSON object that the program prints, on one line or many."""
        def whole(_: str):
            try:
                return json.loads(self.stdout)
            except ValueError:
                return None
        return self._until(seconds, "a JSON object", whole)

    def _until(self, seconds: float, wanted: str, found):
        end = time.monotonic() + seconds
        open_pipes = 2
        while open_pipes and (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                open_pipes -= 1
            elif result := found(line):
                return result
        raise RuntimeError(f"{self.name} did not say {wanted}: {self.stderr.decode(errors='replace')[-2000:]}")

    def stop(self) -> int:
        """Asks it to end, as a service manager does; its exit code."""
        self._process.terminate()
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait(20)
        for reader in self._readers:
            reader.join(5)
        return code


def run(command: list[str], seconds: float = 60) -> bytes:
    """Runs one of our commands to its end; its stdout."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def default_binary() -> Path:
    """Where cargo puts the program in the profile of the tests."""
    return Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug/sidekey"
