#!/usr/bin/env python3
"""What a large store costs a broker: start-up, memory, and one change.

Makes an embedded store with TOKENS tokens of TEAMS teams, starts a broker on it, and prints how long it takes until the
broker listens, what it holds in memory against a broker with an empty store, and how long one change takes until a
request sees it. Only loopback is used; no upstream is asked for anything.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time

CONFIG = """
[listen]
proxy = "127.0.0.1:0"
[upstream]
account_sid = "AC00000000000000000000000000000001"
url = "http://127.0.0.1:1"
[store]
url = "sqlite:store.db"
root_key = "file:root.key"
[audit]
mode = "best_effort"
"""


class Place:
    """A folder with a config and a store."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        pathlib.Path(folder, "sidekey.toml").write_text(CONFIG)

    def run(self, *arguments):
        command = [self.binary, *arguments, "--output", "json"]
        return json.loads(subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout)

    def fill(self, tokens, teams):
        """Teams by command, tokens behind the store's back: a million commands would take hours."""
        for number in range(teams):
            self.run("team", "create", f"team{number}")
        rows = (
            (hashlib.sha256(str(number).encode()).digest(), f"bench{number:07}", f"team{number % teams}", "", 0)
            for number in range(tokens)
        )
        with sqlite3.connect(pathlib.Path(self.folder, "store.db")) as store:
            store.executemany("INSERT INTO tokens (sha256, id, team, name, created_at) VALUES (?, ?, ?, ?, ?)", rows)

    def serve(self):
        """Starts a broker: the process, its address, and the seconds until it listened."""
        start = time.perf_counter()
        process = subprocess.Popen([self.binary, "serve"], cwd=self.folder, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("listening proxy="):
                took = time.perf_counter() - start
                host, port = line.strip().removeprefix("listening proxy=").rsplit(":", 1)
                return process, (host, int(port)), took
        raise SystemExit("the broker did not start")


def memory(process):
    """Resident megabytes."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def seconds(process):
    """Seconds of CPU so far: what a busy machine doesn't distort."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status(address, token):
    """The status of a whoami with this token."""
    basic = base64.b64encode(f"AC:{token}".encode()).decode()
    with socket.create_connection(address) as connection:
        connection.sendall(
            f"GET /.sidekey/whoami HTTP/1.1\r\nHost: sidekey\r\nAuthorization: Basic {basic}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        return int(connection.recv(4096).split()[1])


def change(place, address):
    """Seconds from the end of a command that revokes a token until the broker refuses it."""
    issued = place.run("token", "issue", "team0")
    while status(address, issued["token"]) != 200:
        time.sleep(0.005)
    place.run("token", "revoke", issued["id"])
    start = time.perf_counter()
    while status(address, issued["token"]) != 401:
        time.sleep(0.005)
    return time.perf_counter() - start


def measure(binary, tokens, teams, changes):
    with tempfile.TemporaryDirectory() as folder:
        place = Place(binary, folder)
        place.fill(tokens, teams)
        process, address, took = place.serve()
        try:
            # What loading needed for a moment is given back by the first seconds of idling, or not at all.
            time.sleep(3)
            resident, cpu = memory(process), seconds(process)
            seen = [change(place, address) for _ in range(changes)]
        finally:
            process.terminate()
            process.wait()
    seen.sort()
    print(
        f"{tokens:>9} tokens, {teams} teams: listens after {took:.2f} s ({cpu:.2f} s of CPU), {resident:.0f} MB resident, "
        f"a revocation is live after {statistics.median(seen) * 1000:.0f} ms (worst {seen[-1] * 1000:.0f} ms)"
    )
    return resident


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/release/sidekey")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--teams", type=int, default=100)
    parser.add_argument("--changes", type=int, default=10)
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    empty = measure(binary, 0, arguments.teams, arguments.changes)
    full = measure(binary, arguments.tokens, arguments.teams, arguments.changes)
    print(f"{(full - empty) * 1024 * 1024 / max(arguments.tokens, 1):.0f} bytes a token")


if __name__ == "__main__":
    main()
