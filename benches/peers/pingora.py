"""Pingora: benches/pingora, a program of some hundred lines that does the job with it."""

from .job import CLOSED, HOST, Job, Start, free_port


def prepare(job: Job, binary: str) -> Start:
    port = free_port()
    (job.folder / "pingora.table").write_text("".join(f"{team.proof}\t{team.key}\n" for team in job.teams))
    (job.folder / "pingora.closed").write_text("\n".join(CLOSED))
    tls_in = [job.path("leaf.pem"), job.path("leaf.key")] if job.tls_in else ["-", "-"]
    tls_out = job.path("ca.pem") if job.tls_out else "-"
    files = [job.path("pingora.table"), job.path("pingora.closed"), job.path("pingora.audit"), *tls_in, tls_out]
    return Start([binary, str(port), str(job.target_port), HOST, *files], port)
