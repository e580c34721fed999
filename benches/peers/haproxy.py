"""HAProxy: a peer in its HTTP mode, and in its TCP mode the floor for anything that moves bytes between sockets."""

import sys

from .job import CLOSED, HOST, Job, Start, free_port

DEFAULTS = """
global
  nbthread 1
  maxconn 4000
{logs}
defaults
  mode {mode}
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
"""
# HAProxy keeps no file of its own; this stands for the log daemon, and its time is not HAProxy's.
RECEIVER = """
import socket, sys
port, path = sys.argv[1:]
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", int(port)))
with open(path, "ab", 65536) as file:
    while True:
        file.write(receiver.recv(4096) + b"\\n")
"""


def command(job: Job, name: str) -> list[str]:
    return ["haproxy", "-db", "-f", job.path(f"{name}.cfg")]


def prepare(job: Job) -> Start:
    port, log_port = free_port(), free_port()
    (job.folder / "haproxy.map").write_text(
        "".join(f"{team.proof.split()[1]} {team.key.split()[1]}\n" for team in job.teams))
    closed = "\n".join(f"  acl closed path_reg -i {path}" for path in CLOSED)
    tls_in = f" ssl crt {job.folder}/both.pem alpn h2,http/1.1" if job.tls_in else ""
    tls_out = (
        f" ssl verify required ca-file {job.folder}/ca.pem verifyhost {HOST} sni str({HOST}) alpn http/1.1"
        if job.tls_out else ""
    )
    (job.folder / "haproxy.cfg").write_text(
        DEFAULTS.format(mode="http", logs=f"  log 127.0.0.1:{log_port} len 1024 format raw local0") + f"""
  timeout http-keep-alive 3600s
  option http-keep-alive
  http-reuse always
  log global
  log-format '{{"ts":"%t","method":"%HM","path":"%HP","status":%ST,"bytes":%B,"dur":%Ta}}'
frontend callers
  bind 127.0.0.1:{port} backlog 4096{tls_in}
{closed}
  http-request deny deny_status 403 if closed
  http-request set-var(txn.key) req.hdr(authorization),word(2,' '),map_str({job.folder}/haproxy.map)
  http-request deny deny_status 401 if !{{ var(txn.key) -m found }}
  http-request set-header authorization "Basic %[var(txn.key)]"
  http-request set-header host {HOST}
  default_backend twilio
backend twilio
  server twilio 127.0.0.1:{job.target_port} pool-max-conn 512{tls_out}
""")
    receiver = [sys.executable, "-c", RECEIVER, str(log_port), job.path("haproxy.audit")]
    return Start(command(job, "haproxy"), port, beside=[receiver])


def relay(job: Job) -> Start:
    """Bytes from one socket to another, unread: it checks nothing and replaces nothing."""
    port = free_port()
    (job.folder / "relay.cfg").write_text(DEFAULTS.format(mode="tcp", logs="") + f"""
frontend callers
  bind 127.0.0.1:{port} backlog 4096
  default_backend twilio
backend twilio
  server twilio 127.0.0.1:{job.target_port}
""")
    return Start(command(job, "relay"), port)
