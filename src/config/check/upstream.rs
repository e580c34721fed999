//! `[upstream]`, its hosts and its master credential.

use crate::config::defaults;
use crate::config::origin::Origin;
use crate::config::raw::{Section, Wrong};
use crate::config::types::{API_HOST, Master, Upstream};
use crate::config::{reference, value};
use crate::ids::{AccountSid, KeySid};
use std::collections::BTreeMap;
use std::time::Duration;

/// `[upstream]`
pub(super) fn upstream(root: &mut Section<'_, '_>) -> Option<Upstream> {
    let Some(mut table) = root.section("upstream") else {
        if !root.has("upstream") {
            root.fault(Wrong::new("[upstream] is missing", "add [upstream] with account_sid = \"AC…\""));
        }
        return None;
    };
    let account_sid = table.need("account_sid", value::ACCOUNT, value::account);
    let url = table.get("url", value::origin).or_else(|| Origin::parse(defaults::UPSTREAM_URL));
    let ca = table.get("ca", value::readable);
    let wait = || value::duration_in(Duration::from_millis(10)..=Duration::from_mins(10));
    let connect_timeout = table.or("connect_timeout", defaults::CONNECT_TIMEOUT, wait());
    let response_timeout = table.or("response_timeout", defaults::RESPONSE_TIMEOUT, wait());
    let hosts = hosts(&mut table);
    let master = master(&mut table);
    table.finish();
    Some(Upstream { account_sid: account_sid?, url: url?, ca, connect_timeout, response_timeout, hosts, master })
}

/// `[upstream.hosts]`
fn hosts(upstream: &mut Section<'_, '_>) -> BTreeMap<String, Origin> {
    let mut hosts = BTreeMap::new();
    let Some(table) = upstream.section("hosts") else { return hosts };
    for (name, entry) in table.entries() {
        let host = name.to_ascii_lowercase();
        if host == API_HOST {
            entry.fault(Wrong::new("api.twilio.com does not belong here", "set `url` in [upstream] instead"));
            continue;
        }
        if !is_twilio(&host) {
            entry.fault(Wrong::new(
                format!("`{}` is not a Twilio host", name.escape_debug()),
                "name one such as \"messaging.twilio.com\", without scheme and port",
            ));
            continue;
        }
        match value::origin(&entry) {
            Ok(origin) => {
                if hosts.insert(host, origin).is_some() {
                    entry.fault(Wrong::new("names the same host twice", "keep one; letter case makes no difference"));
                }
            }
            Err(wrong) => entry.fault(wrong),
        }
    }
    hosts
}

/// Whether a lower-case name is below `twilio.com`.
fn is_twilio(host: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    host.strip_suffix(".twilio.com").is_some_and(|labels| labels.split('.').all(label))
}

/// `[upstream.master]`
fn master(upstream: &mut Section<'_, '_>) -> Option<Master> {
    let mut table = upstream.section("master")?;
    let mend = "write the account's SID (AC…) with its auth token, or a Main key's SID (SK…) with its secret";
    let username = table.need("username", mend, |entry| {
        let text = entry.text(mend)?;
        let known = AccountSid::parse(text).is_some() || KeySid::parse(text).is_some();
        known.then(|| text.to_owned()).ok_or_else(|| Wrong::new("is neither an account's nor a key's SID", mend))
    });
    let password = table.need("password", "write password = \"env:NAME\" or \"file:PATH\"", reference::secret);
    table.finish();
    Some(Master { username: username?, password: password? })
}
