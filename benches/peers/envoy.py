"""Envoy: the lookup and the refusals are a Lua filter, as its users write such things."""

import json

from .job import HOST, Job, Start, free_port

TYPES = "type.googleapis.com/envoy.extensions"
FILTERS = f"{TYPES}.filters"
MANY = 20000
# %f[…] is Lua's frontier: the name ends here. Envoy has normalised the path.
FILTER = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  if path:find("^/2010%-04%-01/Accounts/?%f[%z.?]") or path:find("^/2010%-04%-01/Accounts/%w+/?%f[%z.?]")
    or path:find("^/2010%-04%-01/Accounts/%w+/Keys%f[%z./?]")
    or path:find("^/2010%-04%-01/Accounts/%w+/SigningKeys%f[%z./?]") then
    handle:respond({[":status"] = "403"}, "")
    return
  end
  local key = keys[headers:get("authorization") or ""]
  if key == nil then
    handle:respond({[":status"] = "401"}, "")
    return
  end
  headers:replace("authorization", key)
end
"""


def typed(name: str, kind: str, **values: object) -> dict:
    return {"name": name, "typed_config": {"@type": kind, **values}}


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(job: Job, port: int) -> dict:
    log = typed(
        "file", f"{TYPES}.access_loggers.file.v3.FileAccessLog", path=job.path("envoy.audit"),
        log_format={"json_format": {
            "ts": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
            "bytes": "%BYTES_SENT%", "dur": "%DURATION%",
        }},
    )
    route = {"match": {"prefix": "/"}, "route": {"cluster": "twilio", "host_rewrite_literal": HOST}}
    manager = typed(
        "http", f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="callers", normalize_path=True, merge_slashes=True, access_log=[log],
        http_filters=[
            typed("lua", f"{FILTERS}.http.lua.v3.Lua", default_source_code={"filename": job.path("envoy.lua")}),
            typed("router", f"{FILTERS}.http.router.v3.Router"),
        ],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    )
    chain: dict = {"filters": [manager]}
    if job.tls_in:
        certificate = {
            "certificate_chain": {"filename": job.path("leaf.pem")}, "private_key": {"filename": job.path("leaf.key")},
        }
        chain["transport_socket"] = typed(
            "tls", f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate]},
        )
    return {"address": address(port), "filter_chains": [chain]}


def cluster(job: Job) -> dict:
    ceilings = {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY}
    endpoint = {"endpoint": {"address": address(job.target_port)}}
    made: dict = {
        "name": "twilio", "type": "STATIC", "connect_timeout": "5s", "circuit_breakers": {"thresholds": [ceilings]},
        "load_assignment": {"cluster_name": "twilio", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if job.tls_out:
        made["transport_socket"] = typed(
            "tls", f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext", sni=HOST,
            common_tls_context={"validation_context": {"trusted_ca": {"filename": job.path("ca.pem")}}},
        )
    return made


def prepare(job: Job, binary: str) -> Start:
    port = free_port()
    table = "".join(f'["{team.proof}"]="{team.key}",\n' for team in job.teams)
    (job.folder / "envoy.lua").write_text("local keys = {\n" + table + "}\n" + FILTER)
    config = {"static_resources": {"listeners": [listener(job, port)], "clusters": [cluster(job)]}}
    (job.folder / "envoy.json").write_text(json.dumps(config, indent=1))
    words = ["-c", job.path("envoy.json"), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return Start([binary, *words], port)
