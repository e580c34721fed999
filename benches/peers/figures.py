"""Medians, ratios and noise of what side_by_side measured."""

import statistics


def column(result: dict, name: str, field: str) -> list[float]:
    """A figure of a peer in every round."""
    return [row[field] for row in result["peers"][name]["rounds"]]


def median(result: dict, name: str, field: str) -> float:
    """Its median over the rounds."""
    return statistics.median(column(result, name, field))


def noise(result: dict, name: str, field: str) -> float:
    """Half the range of the rounds, in percent of the median."""
    each = column(result, name, field)
    middle = statistics.median(each)
    return (max(each) - min(each)) / 2 / middle * 100 if middle else 0.0


def ratio(result: dict, name: str, other: str, field: str) -> tuple[float, float] | None:
    """A figure against another peer's in the same round: the median of the rounds' ratios and half their range."""
    if not {name, other} <= result["peers"].keys():
        return None
    pairs = zip(column(result, name, field), column(result, other, field))
    each = [mine / theirs for mine, theirs in pairs if theirs]
    return (statistics.median(each), (max(each) - min(each)) / 2) if each else None


def shown(pair: tuple[float, float] | None) -> str:
    """A ratio for people."""
    return f"{pair[0]:.2f} ±{pair[1]:.2f}" if pair else "-"


def bad(result: dict) -> bool:
    """Whether any request of any round got a wrong answer or none."""
    return any(row["bad"] for peer in result["peers"].values() for row in peer["rounds"])


def text(result: dict) -> str:
    """All of it as a table for a terminal."""
    heads = ("peer", "req/s", "busy", "CPU us/req", "noise", "/nginx", "/relay", "p50 us", "p99 us", "RSS MiB")
    form = "{:24}{:>9}{:>7}{:>12}{:>8}{:>13}{:>13}{:>9}{:>9}{:>9}"
    lines = [f"{result['words']}, {result['rounds']} rounds of {result['seconds']} s", form.format(*heads)]
    for name, peer in result["peers"].items():
        of = lambda field: median(result, name, field)
        against = lambda other: "-" if name == "direct" else shown(ratio(result, name, other, "cpu_us"))
        lines.append(form.format(
            name, f"{of('per_second'):.0f}", "-" if name == "direct" else f"{of('busy'):.0%}", f"{of('cpu_us'):.2f}",
            f"{noise(result, name, 'cpu_us'):.1f}%", against("nginx"), against("relay"), f"{of('p50'):.0f}",
            f"{of('p99'):.0f}", f"{peer['rss_mib']:.1f}"))
    return "\n".join(lines)
