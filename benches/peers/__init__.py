"""The peers of the loopback benchmark: each module writes one peer's config for the job and says how to start it."""
