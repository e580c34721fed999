"""The table of benches/README.md, from what benches/table measured."""

import statistics

from .figures import column, median, noise, ratio

# As people write them, in the order of columns.
NAMES = {"relay": "TCP relay (HAProxy)", "nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "pingora": "Pingora",
         "sidekey": "sidekey", "sidekey-buffered": "sidekey, audit buffered"}
PROXIES = ("nginx", "haproxy", "envoy", "pingora")
FORMS = {
    "plain 32": "plain HTTP, 32 connections", "plain 1": "plain HTTP, 1 connection",
    "plain 256": "plain HTTP, 256 connections", "buffered": "plain HTTP, 32 connections, the audit buffered as the peers' logs are",
    "callers": "plain HTTP, 32 connections, another of 1,000 callers each time",
    "post 1 KiB": "POSTs of 1 KiB", "answer 64 KiB": "answers of 64 KiB", "upload 1 MiB": "uploads of 1 MiB",
    "out": "plain in, TLS out", "both": "TLS in and out, HTTP/1.1", "both h2": "TLS in and out, HTTP/2 from the caller",
}


class Goals:
    """Lines of figure, what was reached, what was to be reached."""

    def __init__(self) -> None:
        self.lines = ["| figure | reached | noise | to reach | |", "|---|---|---|---|---|"]

    def add(self, figure: str, reached: float | None, spread: float, goal: float, least: bool = False, unit: str = "") -> None:
        """`least`: the goal is a lower bound."""
        if reached is None:
            return
        met = reached >= goal if least else reached <= goal
        noise_ = f"±{spread:.2f}" if spread else ""
        bound = f"{'≥' if least else '≤'} {goal:g}{unit}"
        self.lines.append(f"| {figure} | {reached:.2f}{unit} | {noise_} | {bound} | {'met' if met else '**missed**'} |")

    def against(self, rows: dict, row: str, other: str, figure: str, goal: float, field: str = "cpu_us",
                least: bool = False) -> None:
        """A ratio of sidekey's to another peer's."""
        pair = ratio(rows[row], "sidekey", other, field) if row in rows else None
        if pair:
            self.add(figure, pair[0], pair[1], goal, least)

    def best(self, rows: dict, row: str, figure: str, goal: float) -> None:
        """CPU against the best peer's."""
        if row not in rows:
            return
        others = [name for name in PROXIES if name in rows[row]["peers"]]
        other = min(others, key=lambda name: median(rows[row], name, "cpu_us"), default="")
        if other:
            self.against(rows, row, other, f"{figure} ÷ the best peer's ({NAMES[other]})", goal)


def capacity(rows: dict) -> tuple[float, float] | None:
    """Requests that one CPU pays for, against nginx's: what throughput is once the load is not the limit."""
    pair = ratio(rows["plain 32"], "nginx", "sidekey", "cpu_us") if "plain 32" in rows else None
    return pair


def goals(rows: dict) -> list[str]:
    """All that is to be reached."""
    table = Goals()
    table.against(rows, "plain 32", "nginx", "CPU per request ÷ nginx's, 32 connections", 0.80)
    table.against(rows, "plain 32", "relay", "CPU per request ÷ the TCP relay's", 1.05)
    table.against(rows, "callers", "nginx", "the same, heads that differ from one request to the next", 0.80)
    pair = capacity(rows)
    if pair:
        table.add("throughput that one core pays for ÷ nginx's (1 s ÷ CPU per request)", *pair, 1.25, least=True)
    table.against(rows, "plain 32", "nginx", "throughput as measured ÷ nginx's", 1.25, "per_second", least=True)
    for connections in (1, 32, 256):
        for field in ("p50", "p99"):
            for other in ("nginx", "haproxy"):
                figure = f"{field} at {connections} connection{'s' if connections > 1 else ''} ÷ {NAMES[other]}'s"
                table.against(rows, f"plain {connections}", other, figure, 1.0, field)
    for row in ("post 1 KiB", "answer 64 KiB", "upload 1 MiB"):
        table.against(rows, row, "nginx", f"{FORMS[row]}: CPU per request ÷ nginx's", 0.9)
    for row in ("out", "both", "both h2"):
        table.best(rows, row, f"{FORMS[row]}: CPU per request", 0.85)
    cores(table, rows.get("cores", {}))
    if "tokens" in rows:
        many, few = (f"sidekey-{count}-tokens" for count in (1_000_000, 1_000))
        pair = ratio(rows["tokens"], many, few, "cpu_us")
        table.add("1,000,000 tokens ÷ 1,000 tokens, CPU per request", *(pair or (None, 0)), 1.03)
    memory(table, rows.get("memory"))
    for sort, row in rows.get("cold", {}).get("callers", {}).items():
        table.add(f"a cold caller ({sort}) through sidekey ÷ direct, 50 ms away", row["ratio"], row["noise"], 0.55)
    decision(table, rows.get("stages", {}))
    return table.lines


def cores(table: Goals, row: dict) -> None:
    if "memory" in row:
        spread = (row["memory"]["highest"] - row["memory"]["lowest"]) / 2
        table.add("two cores ÷ one, throughput in memory", row["memory"]["ratio"], spread, 1.9, least=True)
        table.add("two cores ÷ one, by CPU per request in memory", row["memory"]["by_cpu"], 0, 1.9, least=True)
    if "sockets" in row:
        table.add("two cores ÷ one, by CPU per request on sockets", row["sockets"]["ratio"], row["sockets"]["noise"], 1.9, least=True)


def memory(table: Goals, row: dict | None) -> None:
    if row is None:
        return
    mine, theirs = row["programs"]["sidekey"], row["programs"]["nginx"]
    one = row["programs"].get("sidekey, one team")
    if one:
        table.add("resident when idle, one team", one["idle_mib"], 0, 8, unit=" MiB")
    table.add("resident when idle, 1,000 teams", mine["idle_mib"], 0, 8, unit=" MiB")
    table.add("resident for an idle caller connection", mine["used_kib_each"], 0, 8, unit=" KiB")
    count = f"{row['connections']:,}"
    table.add(f"resident at {count} connections ({mine['used_mib']:.0f} MiB) ÷ nginx's ({theirs['used_mib']:.0f} MiB)",
              mine["used_mib"] / theirs["used_mib"], 0, 1.0)


def decision(table: Goals, row: dict) -> None:
    if "1000000" in row:
        table.add("the decision at 1,000,000 tokens", row["1000000"] / 1000, 0, 1.0, unit=" µs")
        if "1000" in row:
            table.add("the decision at 1,000,000 tokens ÷ at 1,000", row["1000000"] / row["1000"], 0, 2.0)


def load(name: str, row: dict) -> list[str]:
    """One row of load, all peers."""
    lines = [f"\n**{FORMS[name]}** ({row['rounds']} rounds of {row['seconds']} s)\n",
             "| peer | CPU µs/request | noise | ÷ nginx | ÷ relay | requests/s | busy | p50 µs | p99 µs |",
             "|---|---|---|---|---|---|---|---|---|"]
    for peer, words in NAMES.items():
        if peer not in row["peers"]:
            continue
        of = lambda field: median(row, peer, field)
        pairs = [ratio(row, peer, other, "cpu_us") for other in ("nginx", "relay")]
        against = [f"{pair[0]:.2f}" if pair else "" for pair in pairs]
        lines.append(f"| {words} | {of('cpu_us'):.1f} | {noise(row, peer, 'cpu_us'):.0f} % | {against[0]} | {against[1]} | "
                     f"{of('per_second'):,.0f} | {of('busy'):.0%} | {of('p50'):,.0f} | {of('p99'):,.0f} |")
    return lines


def rest(rows: dict) -> list[str]:
    """What has no ratio of its own."""
    lines = []
    if "memory" in rows:
        lines += ["\n**Memory**, MiB\n",
                  "| program | idle | of it not pages of files | connections opened, never used | idle after a request each |",
                  "|---|---|---|---|---|"]
        word = lambda row, field: f"{row[field]:.1f}" if field in row else ""
        fields = ("idle_mib", "idle_own_mib", "opened_mib", "used_mib")
        lines += [f"| {name} | {' | '.join(word(row, field) for field in fields)} |"
                  for name, row in rows["memory"]["programs"].items()]
    if "cold" in rows:
        lines += ["\n**A cold caller**, milliseconds of its process\n", "| caller | direct | through sidekey |", "|---|---|---|"]
        lines += [f"| {name} | {row['direct_ms']:.0f} | {row['sidekey_ms']:.0f} |" for name, row in rows["cold"]["callers"].items()]
    if "stages" in rows:
        told = ", ".join(f"{int(size):,}: {rows['stages'][size]:.0f} ns" for size in sorted(rows["stages"], key=int))
        lines.append(f"\n**The decision** by number of tokens: {told}.")
    if "allocations" in rows:
        lines.append(f"\n**Allocations**: {rows['allocations']['total']:.2f} a request.\n")
        lines += [f"- {count:.2f}: `{place}`" for place, count in rows["allocations"]["places"].items()]
    if "plain 32" in rows:
        bare = statistics.median(column(rows["plain 32"], "direct", "per_second"))
        lines.append(f"\nWithout any proxy the load and the upstream together reach {bare:,.0f} requests/s on their CPU.")
    return lines


def report(results: dict) -> str:
    """All of it, in Markdown."""
    rows = results["rows"]
    lines = [", ".join(f"{name} {value}" for name, value in results.get("machine", {}).items()) + ".\n"]
    lines += goals(rows)
    for name in FORMS:
        if name in rows:
            lines += load(name, rows[name])
    return "\n".join([*lines, *rest(rows)]) + "\n"
