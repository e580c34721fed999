"""nginx: the upstream of every run, and the first peer."""

from .job import CLOSED, HOST, Job, Start, free_port, message, messages

FILES = " ".join(
    f"{kind}_temp_path {{folder}}/{{name}}-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
HEAD = """
user root; worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections {connections}; }}
http {{
  keepalive_requests 1000000000; keepalive_timeout 3600s; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate {folder}/leaf.pem; ssl_certificate_key {folder}/leaf.key;
  map_hash_max_size 4194304; map_hash_bucket_size 256;
""" + FILES


def command(job: Job, name: str) -> list[str]:
    return ["nginx", "-e", job.path(f"{name}.err"), "-c", job.path(f"{name}.conf")]


def write_map(job: Job, name: str, pairs: list[tuple[str, str]]) -> None:
    (job.folder / name).write_text("".join(f'"{left}" "{right}";\n' for left, right in pairs))


def answered(job: Job) -> str:
    """How the upstream answers: at once, from a file, or once it has read the whole of the body."""
    if job.shape.answer:
        (job.folder / "www").mkdir()
        (job.folder / "www/answer.json").write_text(messages(job.shape.answer))
        return f"""
    sendfile on; open_file_cache max=8; root {job.folder}/www;
    location / {{ if ($known = "") {{ return 407; }} rewrite ^ /answer.json break; }}"""
    if job.shape.body:
        # `return` would answer before the body is there. A mirror waits for it; then there is no such file.
        return f"""
    client_max_body_size 0; client_body_buffer_size 2m; log_not_found off; root {job.folder}/nothing;
    location / {{ if ($known = "") {{ return 407; }} mirror /swallowed; error_page 404 405 =200 @answered; }}
    location = /swallowed {{ internal; return 204; }}
    location @answered {{ return 200 '{message()}'; }}"""
    return f"""
    location / {{ if ($known = "") {{ return 407; }} return 200 '{message()}'; }}"""


def upstream(job: Job, cores: int = 1) -> Start:
    """Answers to whoever shows the key of one of the run's callers, and 407 to anyone else."""
    write_map(job, "upstream.map", [(team.key, "1") for team in job.callers])
    head = HEAD.format(folder=job.folder, name="upstream", connections=20000).replace("processes 1", f"processes {cores}")
    (job.folder / "upstream.conf").write_text(head + f"""
  access_log off; default_type application/json;
  map $http_authorization $known {{ default ""; include {job.folder}/upstream.map; }}
  server {{
    listen 127.0.0.1:{job.upstream_port} backlog=4096 reuseport;
    listen 127.0.0.1:{job.upstream_tls_port} ssl http2 backlog=4096 reuseport;
{answered(job)}
  }}
}}
""")
    return Start(command(job, "upstream"), job.target_port)


def prepare(job: Job, connections: int = 20000) -> Start:
    port = free_port()
    write_map(job, "nginx.map", [(team.proof, team.key) for team in job.teams])
    closed = "\n".join(f'    location ~* "{path}" {{ return 403; }}' for path in CLOSED)
    secure = f"""
    proxy_ssl_verify on; proxy_ssl_trusted_certificate {job.folder}/ca.pem; proxy_ssl_name {HOST};
    proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;""" if job.tls_out else ""
    (job.folder / "nginx.conf").write_text(
        HEAD.format(folder=job.folder, name="nginx", connections=connections) + f"""
  log_format audit escape=json '{{"ts":"$time_iso8601","team":"$remote_user","method":"$request_method",'
    '"path":"$uri","status":$status,"bytes":$bytes_sent,"dur":$request_time}}';
  access_log {job.folder}/nginx.audit audit buffer=64k flush=1s;
  client_max_body_size 16m; client_body_buffer_size 128k; proxy_request_buffering off; proxy_buffers 16 16k; proxy_buffer_size 16k;
  map $http_authorization $key {{ default ""; include {job.folder}/nginx.map; }}
  upstream twilio {{ server 127.0.0.1:{job.target_port}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port}{" ssl http2" if job.tls_in else ""} backlog=4096;
{closed}
    location / {{
      if ($key = "") {{ return 401; }}
      proxy_pass {"https" if job.tls_out else "http"}://twilio; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host {HOST}; proxy_set_header Authorization $key;{secure}
    }}
  }}
}}
""")
    return Start(command(job, "nginx"), port)
