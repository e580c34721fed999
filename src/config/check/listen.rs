//! `[listen]`, `[tls]`, `[intercept]` and `[admin]`.

use crate::config::defaults;
use crate::config::raw::{Entry, Section, Wrong};
use crate::config::types::{Admin, Intercept, Listen, Tls};
use crate::config::{reference, value};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Longest path of a Unix socket, in bytes: `sun_path` less its final NUL (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Shortest admin token that is not warned of, in characters: 128 bits in base64 take 22.
const SHORT_ADMIN_TOKEN: usize = 22;

/// `[listen]`; without it, or without a listener for callers and operators, the default proxy address.
pub(super) fn listen(root: &mut Section<'_, '_>) -> Listen {
    let default = Listen { proxy: Some(defaults::PROXY), tls: None, unix: None, admin_unix: None, admin: None };
    let has_admin_token = root.has("admin");
    let Some(mut table) = root.section("listen") else { return default };
    let proxy =
        table.get("proxy", |entry| clear(entry, "carries callers' proofs in clear over the network", "use `tls`"));
    let tls = table.get("tls", value::listen);
    let unix = table.get("unix", socket);
    let admin_unix = table.get("admin_unix", socket);
    // Without a token it answers probes and metrics alone, which carry none.
    let admin = table.get("admin", |entry| {
        if !has_admin_token {
            return value::listen(entry);
        }
        clear(entry, "carries the admin token in clear over the network", "listen on 127.0.0.1")
    });
    let callers = ["proxy", "tls", "unix"].iter().any(|name| table.has(name));
    if !callers {
        table.fault(Wrong::new("names no listener for callers", format!("add proxy = \"{}\"", defaults::PROXY)));
    }
    let addresses = [("proxy", proxy), ("tls", tls), ("admin", admin)];
    for (index, (name, address)) in addresses.iter().enumerate() {
        let same = |other: &&(&str, Option<SocketAddr>)| other.1 == *address && other.1.is_some_and(|a| a.port() != 0);
        if let Some((earlier, _)) = addresses[..index].iter().find(same) {
            table.fault(Wrong::new(
                format!("`{name}` and `{earlier}` are the same address"),
                "give each listener its own port",
            ));
        }
    }
    if admin_unix.is_some() && admin_unix == unix {
        table.fault(Wrong::new("`unix` and `admin_unix` are the same socket", "give each its own path"));
    }
    table.finish();
    Listen { proxy, tls, unix, admin_unix, admin }
}

/// An address for plain HTTP: anything but loopback is warned of.
fn clear(entry: &Entry<'_, '_>, what: &str, mend: &str) -> Result<SocketAddr, Wrong> {
    let address = value::listen(entry)?;
    if !address.ip().is_loopback() {
        entry.warn(Wrong::new(what, mend));
    }
    Ok(address)
}

fn socket(entry: &Entry<'_, '_>) -> Result<PathBuf, Wrong> {
    let path = value::path(entry)?;
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        let mend = format!("choose one of at most {MAX_SOCKET_PATH} bytes, folder included");
        return Err(Wrong::new("is too long for a Unix socket", mend));
    }
    Ok(path)
}

/// `[tls]`
pub(super) fn tls(root: &mut Section<'_, '_>) -> Option<Tls> {
    let mut table = root.section("tls")?;
    let cert =
        table.need("cert", "write cert = \"PATH\": a PEM chain, the server's certificate first", value::readable);
    let key = table.need("key", "write key = \"PATH\": the PEM key of `cert`", value::private);
    let client_ca = table.get("client_ca", value::readable);
    let client_crl = table.get("client_crl", value::readable);
    let words = &[("optional", false), ("required", true)];
    let client_cert_required = table.or("client_cert", false, value::one_of(words));
    if client_cert_required && !table.has("client_ca") {
        table.fault(Wrong::new("`client_cert` needs `client_ca`", "write client_ca = \"PATH\": PEM roots of callers"));
    }
    if client_crl.is_some() && !table.has("client_ca") {
        table.fault(Wrong::new("`client_crl` needs `client_ca`", "write client_ca = \"PATH\": PEM roots of callers"));
    }
    table.finish();
    Some(Tls { cert: cert?, key: key?, client_ca, client_crl, client_cert_required })
}

/// `[intercept]`
pub(super) fn intercept(root: &mut Section<'_, '_>) -> Option<Intercept> {
    let mut table = root.section("intercept")?;
    let mend = "make both with `sidekey ca init DIR`, then write ca_cert = \"DIR/ca.pem\" and ca_key = \"DIR/ca.key\"";
    let ca_cert = table.need("ca_cert", mend, value::readable);
    let ca_key = table.need("ca_key", mend, value::private);
    let proof_inside = table.or("proof", false, value::one_of(&[("proxy", false), ("inside", true)]));
    table.finish();
    Some(Intercept { ca_cert: ca_cert?, ca_key: ca_key?, proof_inside })
}

/// `[admin]`
pub(super) fn admin(root: &mut Section<'_, '_>) -> Option<Admin> {
    let mut table = root.section("admin")?;
    let token = table.need("token", "write token = \"file:admin.token\" or \"env:NAME\"", |entry| {
        let token = reference::text(entry)?;
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Wrong::new("what it refers to can't stand in a header", "use visible ASCII characters only"));
        }
        if token.len() < SHORT_ADMIN_TOKEN {
            entry.warn(Wrong::new("is short enough to guess", "make one with `openssl rand -hex 32`"));
        }
        Ok(reference::boxed(&token))
    });
    table.finish();
    Some(Admin { token: token? })
}

/// What `[listen]` demands of the other tables.
pub(super) fn across(root: &Section<'_, '_>) {
    let tls_listener = root.has_in("listen", "tls");
    if tls_listener && !root.has("tls") && !root.has("intercept") {
        let mend = "add a [tls] table with `cert` and `key`, or [intercept]";
        root.fault_at("listen", "`tls` needs a certificate", mend);
    }
    if !tls_listener && root.has("tls") {
        root.warn_at("tls", "is not used: no `listen.tls`", "add tls = \"ADDRESS:PORT\" to [listen]");
    }
    if root.has("admin") && !root.has_in("listen", "admin") {
        root.warn_at("admin", "is not used: no `listen.admin`", "add admin = \"127.0.0.1:9090\" to [listen]");
    }
}
