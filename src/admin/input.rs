//! Bodies of the admin API, read strictly: unknown names are errors, and every error says where.

use super::problem::Problem;
use crate::audit::Settings;
use crate::config::{self, Kind, TeamPolicy};
use crate::ids::{AccountSid, KeySid, TeamId};
use crate::keys::is_secret;
use crate::policy::rules::{self, Idle};
use crate::secret::Secret;
use crate::store::TeamRow;
use crate::twilio::management::GRANTS;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Reads a body; an empty one is `{}`.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    // Of serde's words, none quotes the body's values but for unknown names.
    let read = serde_json::from_slice::<Object<T>>(body);
    read.map(|object| object.0).map_err(|error| Problem::invalid(format!("the body: {error}")))
}

/// A struct from an object alone: serde takes an array of its members too.
#[derive(Debug)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

/// A team's name from a path. What can't be one is not repeated: it may be a token.
pub(super) fn team(text: &str) -> Result<TeamId, Problem> {
    TeamId::parse(text).ok_or_else(|| Problem::new(404, "unknown", "no such team: the path names none"))
}

/// A key's SID from a path.
pub(super) fn sid(text: &str) -> Result<KeySid, Problem> {
    KeySid::parse(text).ok_or_else(|| Problem::new(404, "unknown", "no such key: the path names none"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTeam {
    name: String,
    kind: Option<Kind>,
    accounts: Option<Vec<String>>,
    policy: Option<Object<TeamPolicy>>,
    key_permissions: Option<Vec<String>>,
    #[serde(default)]
    grants: Given<Vec<String>>,
    #[serde(default)]
    rotate_every: Given<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TeamChange {
    disabled: Option<bool>,
    accounts: Option<Vec<String>>,
    policy: Option<Object<TeamPolicy>>,
    key_permissions: Option<Vec<String>>,
    #[serde(default)]
    grants: Given<Vec<String>>,
    #[serde(default)]
    rotate_every: Given<String>,
}

/// A member that may be null, which is not the same as absent.
#[derive(Debug, Default)]
enum Given<T> {
    #[default]
    Absent,
    Null,
    Is(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Null, Self::Is))
    }
}

impl<T> Given<T> {
    /// Puts what was given into `old`.
    fn replace(self, old: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *old = None,
            Self::Is(new) => *old = Some(new),
        }
    }
}

/// A checked change of a team.
#[derive(Debug, Default)]
pub(super) struct Edit {
    disabled: Option<bool>,
    accounts: Option<Vec<AccountSid>>,
    policy: Option<TeamPolicy>,
    key_permissions: Option<Vec<String>>,
    grants: Given<Vec<String>>,
    rotate_every: Given<Duration>,
}

impl NewTeam {
    /// The team that is asked for, and what the audit says of it.
    pub(super) fn row(self) -> Result<(TeamRow, Settings), Problem> {
        let name = TeamId::parse(&self.name);
        let name = name.ok_or_else(|| Problem::invalid(format!("name: {}", TeamId::RULE)))?;
        let mut row = TeamRow::new(name);
        row.kind = self.kind.unwrap_or(Kind::Standard);
        let change = TeamChange {
            disabled: None,
            accounts: self.accounts,
            policy: self.policy,
            key_permissions: self.key_permissions,
            grants: self.grants,
            rotate_every: self.rotate_every,
        };
        let (edit, mut said) = (change.check()?, Settings::of(&row.name));
        if row.kind == Kind::Master {
            said.set("kind", "master");
        }
        edit.say(&mut said);
        edit.apply(&mut row);
        Ok((row, said))
    }
}

impl TeamChange {
    /// The change, if it can be made.
    pub(super) fn check(self) -> Result<Edit, Problem> {
        let account = |text: String| {
            AccountSid::parse(&text)
                .ok_or_else(|| Problem::invalid(format!("accounts: {text:?} is not AC and 32 hex digits")))
        };
        let accounts: Option<Result<Vec<_>, _>> = self.accounts.map(|list| list.into_iter().map(account).collect());
        if let Given::Is(grants) = &self.grants
            && let Some(odd) = grants.iter().find(|grant| !GRANTS.contains(&grant.as_str()))
        {
            return Err(Problem::invalid(format!("grants: {odd:?} is none of {}", GRANTS.join(", "))));
        }
        let policy = self.policy.map(|Object(policy)| policy);
        if let Some(odd) = self.key_permissions.iter().flatten().find(|permission| !rules::is_permission(permission)) {
            return Err(Problem::invalid(format!("key_permissions: {odd:?}: {}", rules::PERMISSION)));
        }
        if let Some(Idle { rule, list, why }) =
            policy.as_ref().and_then(|policy| rules::idle(policy).into_iter().next())
        {
            return Err(Problem::invalid(format!("policy.{list}: {rule:?} {why}; {}", rules::MEND)));
        }
        let rotate_every = match self.rotate_every {
            Given::Is(text) => match whole_seconds("rotate_every", &text)? {
                Duration::ZERO => Given::Null,
                every => Given::Is(every),
            },
            Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        };
        Ok(Edit {
            disabled: self.disabled,
            accounts: accounts.transpose()?,
            policy,
            key_permissions: self.key_permissions,
            grants: self.grants,
            rotate_every,
        })
    }
}

impl Edit {
    /// Says what is named, for the audit.
    pub(super) fn say(&self, said: &mut Settings) {
        if let Some(disabled) = self.disabled {
            said.set("disabled", disabled);
        }
        if let Some(accounts) = &self.accounts {
            said.list("accounts", accounts);
        }
        if let Some(policy) = &self.policy {
            for (name, list) in [("open", &policy.open), ("allow", &policy.allow), ("deny", &policy.deny)] {
                said.list(name, list);
            }
        }
        if let Some(permissions) = &self.key_permissions {
            said.list("key_permissions", permissions);
        }
        match &self.grants {
            Given::Absent => {}
            Given::Null => said.set("grants", "all"),
            Given::Is(grants) => said.list("grants", grants),
        }
        match &self.rotate_every {
            Given::Absent => {}
            Given::Null => said.set("rotate_every", "default"),
            Given::Is(every) => said.set("rotate_every", format_args!("{}s", every.as_secs())),
        }
    }

    /// Makes the change.
    pub(super) fn apply(self, team: &mut TeamRow) {
        team.disabled = self.disabled.unwrap_or(team.disabled);
        replace(&mut team.accounts, self.accounts);
        replace(&mut team.policy, self.policy);
        replace(&mut team.key_permissions, self.key_permissions);
        self.grants.replace(&mut team.grants);
        self.rotate_every.replace(&mut team.rotate_every);
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

/// A duration as the config writes it.
pub(super) fn duration(name: &str, text: &str) -> Result<Duration, Problem> {
    config::duration(text).ok_or_else(|| Problem::invalid(format!("{name}: {}", config::DURATION)))
}

/// The same of what is kept in whole seconds.
pub(super) fn whole_seconds(name: &str, text: &str) -> Result<Duration, Problem> {
    let span = duration(name, text)?;
    let whole = span.subsec_nanos() == 0;
    if whole { Ok(span) } else { Err(Problem::invalid(format!("{name}: write whole seconds, such as 1s or 90d"))) }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewToken {
    pub(super) name: Option<String>,
    pub(super) expires: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewKey {
    sid: Option<String>,
    secret: Option<String>,
    restricted: bool,
}

/// A key to make, or to take in.
#[derive(Debug)]
pub(super) enum KeyOrder {
    Create,
    Import { sid: KeySid, secret: Secret, restricted: bool },
}

impl NewKey {
    pub(super) fn order(self) -> Result<KeyOrder, Problem> {
        let odd = self.secret.as_deref().is_some_and(|secret| !is_secret(secret.as_bytes()));
        let secret = self.secret.map(Secret::from);
        match (self.sid, secret) {
            (None, None) if !self.restricted => Ok(KeyOrder::Create),
            (Some(sid), Some(secret)) => {
                let sid = KeySid::parse(&sid).ok_or_else(|| Problem::invalid("sid: expected SK and 32 hex digits"))?;
                if odd {
                    return Err(Problem::invalid("secret: expected the key's secret and nothing else"));
                }
                Ok(KeyOrder::Import { sid, secret, restricted: self.restricted })
            }
            _ => Err(Problem::invalid("to import a key give `sid` and `secret`; to create one give neither")),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rotation {
    pub(super) grace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reconciliation {
    pub(super) delete_orphans: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_told_from_absent() {
        let mut team = TeamRow::new(TeamId::parse("a").expect("a name"));
        team.grants = Some(vec!["voice".to_owned()]);
        team.rotate_every = Some(Duration::from_secs(5));
        let change = |body: &str| read::<TeamChange>(body.as_bytes()).and_then(TeamChange::check);
        change("").expect("a change").apply(&mut team);
        assert!(team.grants.is_some() && team.rotate_every.is_some());
        change(r#"{"grants":null,"rotate_every":null,"disabled":true}"#).expect("a change").apply(&mut team);
        assert!(team.grants.is_none() && team.rotate_every.is_none() && team.disabled);
    }

    #[test]
    fn errors_say_where_and_quote_no_secret() {
        let said = |body: &str| read::<NewKey>(body.as_bytes()).and_then(NewKey::order).expect_err(body).detail;
        assert!(said(r#"{"sid":"SK1","secret":"hunter2"}"#).starts_with("sid:"));
        assert!(said(r#"{"secret":"hunter2"}"#).contains("`sid` and `secret`"));
        assert!(!said(r#"{"secret":["hunter2"]}"#).contains("hunter2"));
        for secret in ["", "hunter 2", "hunter2\\n"] {
            let body = format!(r#"{{"sid":"SK{}","secret":"{secret}"}}"#, "0".repeat(32));
            assert!(said(&body).starts_with("secret:"), "{body}");
        }
        assert!(said(r#"{"grace":1}"#).contains("unknown field"));
        let team = |body: &str| read::<NewTeam>(body.as_bytes()).and_then(NewTeam::row).expect_err(body).detail;
        assert!(team("").contains("name"));
        assert!(team(r#"{"name":"-"}"#).starts_with("name:"));
        assert!(team(r#"{"name":"a","accounts":["AC1"]}"#).starts_with("accounts:"));
        assert!(team(r#"{"name":"a","grants":["sync"]}"#).starts_with("grants:"));
        assert!(team(r#"{"name":"a","policy":{"deny":["api:Massages:delete"]}}"#).starts_with("policy.deny:"));
        assert!(team(r#"{"name":"a","rotate_every":"soon"}"#).starts_with("rotate_every:"));
        assert!(team(r#"{"name":"a","rotate_every":"1500ms"}"#).starts_with("rotate_every: write whole seconds"));
        assert!(
            team(r#"{"name":"a","key_permissions":["foo"]}"#).starts_with("key_permissions: \"foo\": write /twilio/")
        );
        for list in ["[\"a\"]", r#"{"name":"a","policy":[[],[],[]]}"#] {
            assert!(team(list).contains("expected an object"), "{list}: {}", team(list));
        }
    }
}
