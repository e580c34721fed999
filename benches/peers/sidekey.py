"""sidekey itself, its teams declared in the config file."""

import hashlib
from dataclasses import dataclass

from .job import ACCOUNT, Job, Start, Team, free_port


@dataclass(frozen=True)
class Settings:
    """What may differ between two of a run."""

    # Of the audit.
    durability: str = "write"
    # As many as it may use if 0.
    cores: int = 0
    # All that it knows, those of the teams among them; 0: one a team.
    tokens: int = 0

    @property
    def name(self) -> str:
        """Of the peer, and of its files: one audit has one writer."""
        told = (self.durability if self.durability != "write" else "", f"{self.cores}-cores" if self.cores else "",
                f"{self.tokens}-tokens" if self.tokens else "")
        return "-".join(filter(None, ("sidekey", *told)))


def digests(job: Job, number: int, team: Team, tokens: int) -> str:
    """The tokens of one team: its own, and its share of those that nobody presents."""
    spare = max(tokens - len(job.teams), 0)
    each, more = divmod(spare, len(job.teams))
    idle = (hashlib.sha256(f"{number} {at}".encode()).hexdigest() for at in range(each + (number < more)))
    return ", ".join(f'"{digest}"' for digest in (team.digest, *idle))


def prepare(job: Job, binary: str, settings: Settings = Settings()) -> Start:
    port = free_port()
    name = settings.name
    scheme = "https" if job.tls_out else "http"
    keys = job.folder / "keys"
    if not keys.exists():
        # Once: another sidekey of this run may be reading them.
        keys.mkdir()
        for team in job.teams:
            (keys / team.name).write_text(team.key_secret)
    listen = f'tls = "127.0.0.1:{port}"' if job.tls_in else f'proxy = "127.0.0.1:{port}"'
    parts = [f'[listen]\n{listen}\n']
    if job.tls_in:
        parts.append(f'[tls]\ncert = "{job.path("leaf.pem")}"\nkey = "{job.path("leaf.key")}"\n')
    parts.append(f'[upstream]\naccount_sid = "{ACCOUNT}"\nurl = "{scheme}://127.0.0.1:{job.target_port}"\n')
    if job.tls_out:
        # The certificate is for the host's own name, which is asked for by name wherever it is reached.
        parts.append(f'ca = "{job.path("ca.pem")}"\n')
    parts.append(f'[audit]\nfile = "{job.path(name + ".audit")}"\ndurability = "{settings.durability}"\n')
    parts.append(f"[limits]\ncores = {settings.cores}\n")
    for number, team in enumerate(job.teams):
        parts.append(
            f'[[team]]\nname = "{team.name}"\nkind = "standard"\naccounts = ["{ACCOUNT}"]\n'
            f'token_sha256 = [{digests(job, number, team, settings.tokens)}]\n'
            f'key = {{ sid = "{team.key_sid}", secret = "file:{keys / team.name}" }}\n'
        )
    (job.folder / f"{name}.toml").write_text("".join(parts))
    return Start([binary, "serve", "--config", job.path(f"{name}.toml")], port)
