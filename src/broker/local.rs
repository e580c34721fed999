//! `/.sidekey/`: what sidekey answers itself to a proven caller.

use super::prepare::{Granted, Line, OwnAnswer, Stop};
use crate::config::Kind;
use crate::error::Reason;
use serde_json::json;

/// The path under which nothing is Twilio's.
pub const PREFIX: &str = "/.sidekey/";

impl Line<'_, '_, '_> {
    /// Answers a path under [`PREFIX`].
    pub(super) fn local<'h>(&self, path: &str) -> Result<Granted<'h>, Stop> {
        match (self.head.method, path) {
            ("GET", "/.sidekey/whoami") => Ok(Granted::Local(self.whoami())),
            _ => Err(Stop::because(Reason::MalformedRequest, "no such resource under /.sidekey/")),
        }
    }

    fn whoami(&self) -> OwnAnswer {
        let team = self.caller.team();
        let key = match team.kind {
            Kind::Master => self.broker.directory.master(),
            Kind::Standard => team.key.clone(),
        };
        let body = json!({
            "team": team.id.as_str(),
            "kind": team.kind,
            "proof": self.caller.proof().name(),
            "key_sid": key.and_then(|key| key.key_sid()).map(|sid| sid.to_string()),
        });
        OwnAnswer { operation: "sidekey:Whoami:fetch", status: 200, body: body.to_string() }
    }
}
