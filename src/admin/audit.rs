//! `/v1/audit`: the trail, searched.

use super::Parts;
use super::answer::Answer;
use super::problem::Problem;
use crate::audit::{Query, files, moment, search};
use crate::clock::Clock;
use crate::config::Audit;
use crate::ids::{AccountSid, KeySid, TeamId};
use serde_json::{Value, json};
use std::io;
use std::ops::ControlFlow;

/// Records in an answer unless it is told.
const DEFAULT_LIMIT: usize = 100;

/// Most records in an answer: about half a megabyte. More is what `sidekey audit query` is for.
const MAX_LIMIT: usize = 1_000;

/// What may be asked, and how the document says it.
const PARAMETERS: [(&str, &str); 9] = [
    ("team", "only this team's"),
    ("since", "not before: RFC 3339, or a duration before now such as 1h"),
    ("until", "not after: RFC 3339, or a duration before now"),
    ("denied", "true: only refused requests"),
    ("operation", "such as api:Messages:create; a final * stands for any rest"),
    ("account", "only requests for this account"),
    ("key", "only requests that went upstream with this key"),
    ("id", "only this request: the Sidekey-Request-Id of its answer"),
    ("limit", "the newest so many, at most 1000; 100 without it"),
];

/// The query's parameters, for the OpenAPI document.
pub(super) fn parameters() -> Value {
    let one = |(name, description): (&str, &str)| json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string" } });
    PARAMETERS.into_iter().map(one).collect()
}

/// The newest records that match, oldest first.
pub(super) async fn find(parts: &Parts, query: &str) -> Result<Answer, Problem> {
    let query = read(query, &parts.clock)?;
    let audit = parts.audit.clone();
    let found = tokio::task::spawn_blocking(move || gather(&audit, &query)).await;
    let failed = |why: String| Problem::new(503, "audit_unavailable", format!("the audit can't be read: {why}"));
    match found {
        Ok(Ok(body)) => Ok(Answer::raw_json(body)),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn gather(audit: &Audit, query: &Query) -> io::Result<Vec<u8>> {
    let path = audit.file.as_deref().ok_or_else(|| io::Error::other("audit.file is stdout"))?;
    let mut body = b"[".to_vec();
    search(Some(audit), &files(path)?, query, |line| {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(line.trim_ascii());
        ControlFlow::Continue(())
    })?;
    body.push(b']');
    Ok(body)
}

fn read(text: &str, clock: &Clock) -> Result<Query, Problem> {
    let mut query = Query { limit: Some(DEFAULT_LIMIT), ..Query::default() };
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let odd = |wanted: &str| Problem::invalid(format!("{name}: expected {wanted}"));
        let when = |text: &str| moment(text, clock).map_err(|mend| Problem::invalid(format!("{name}: {mend}")));
        match &*name {
            "team" => query.team = Some(TeamId::parse(&value).ok_or_else(|| odd("a team's name"))?),
            "since" => query.since = Some(when(&value)?),
            "until" => query.until = Some(when(&value)?),
            "denied" => query.denied = value.parse().map_err(|_| odd("true or false"))?,
            "operation" => query.operation = Some(value.into_owned()),
            "account" => query.account = Some(AccountSid::parse(&value).ok_or_else(|| odd("AC and 32 hex digits"))?),
            "key" => query.key = Some(KeySid::parse(&value).ok_or_else(|| odd("SK and 32 hex digits"))?),
            "id" => query.id = Some(value.into_owned()),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                query.limit = Some(limit.ok_or_else(|| odd("1 to 1000"))?);
            }
            _ => return Err(Problem::invalid(format!("{name:?} is no parameter of this search"))),
        }
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read_and_no_other() {
        let clock = Clock::system();
        let account = format!("AC{}", "0".repeat(32));
        let key = format!("SK{}", "0".repeat(32));
        for (name, _) in PARAMETERS {
            let value = match name {
                "since" | "until" => "1h",
                "denied" => "true",
                "account" => &account,
                "key" => &key,
                "limit" => "5",
                _ => "x",
            };
            assert!(read(&format!("{name}={value}"), &clock).is_ok(), "{name}");
        }
        assert!(read("since=2026-05-01T00:00:00Z", &clock).is_ok());
        for bad in ["since=soon", "denied=1", "limit=0", "limit=1001", "account=AC1", "colour=blue"] {
            assert_eq!(read(bad, &clock).expect_err(bad).status, 400);
        }
    }
}
