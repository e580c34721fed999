//! The upstream's own Keys API, spoken with the master credential.
//!
//! Standard keys are made through the 2010 API, Restricted ones through iam, which alone knows their permissions; the
//! 2010 API takes a `Policy` silently and makes a Standard key (live tests of Twilio's API).

use super::upstream_answer::{Created, Page, deleted, judge, path_of, refused};
use crate::config;
use crate::directory::Key;
use crate::ids::KeySid;
use crate::secret::Secret;
use crate::upstream::control::{Answer, Call, CallError, Control};
use http::{HeaderValue, Method};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

const API: &str = config::API_HOST;
const IAM: &str = "iam.twilio.com";

/// Keys asked for at once; the most that Twilio takes (Twilio docs, paging).
const PAGE: u32 = 1000;

/// Pages read of one list. Twilio does not say how many keys an account may have; this is a million.
const MAX_PAGES: usize = 1000;

/// Longest secret that is taken, in bytes. Twilio's have 32 (Twilio docs).
const MAX_SECRET: usize = 1024;

/// Waits between tries while the upstream is busy (429: not processed, safe to repeat; Twilio docs, error 20429).
const BUSY_WAITS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Speaks to the Keys API.
#[derive(Debug)]
pub struct UpstreamKeys {
    control: Control,
    master: Key,
}

/// Why the upstream's Keys API did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// No `[upstream.master]`.
    NoMaster,
    /// Certainly not carried out: not sent, or refused with this status and Twilio's code and message.
    NotDone(String),
    /// May have been carried out.
    Unclear(String),
}

/// Whether this can be the secret of a key that was made elsewhere: visible ASCII without blanks.
pub fn is_secret(text: &[u8]) -> bool {
    (1..=MAX_SECRET).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMaster => f.write_str(
                "keys are managed with [upstream.master], and the config has none: add its username and password",
            ),
            Self::NotDone(why) | Self::Unclear(why) => f.write_str(why),
        }
    }
}

impl From<CallError> for KeysError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unsent(why) => Self::NotDone(format!("the upstream can't be reached: {why}")),
            CallError::Unclear(why) => Self::Unclear(format!("the upstream did not answer: {why}")),
        }
    }
}

/// A key as the upstream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its SID.
    pub sid: KeySid,
    /// Its name, if it has one.
    pub friendly_name: Option<String>,
    /// When it was made, in the upstream's own spelling.
    pub date_created: Option<String>,
    /// Whether only iam knows it, or knows it as a Restricted one.
    pub restricted: bool,
}

/// What a harmless call with a key showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The upstream takes the key.
    Good,
    /// The upstream refuses it.
    Refused(String),
    /// It can't be told now.
    Unclear(String),
}

impl UpstreamKeys {
    /// Speaks as `[upstream.master]`.
    ///
    /// # Errors
    /// No master credential, or a CA file that gives no root.
    pub fn new(upstream: &config::Upstream) -> Result<Self, KeysError> {
        let master = upstream.master.as_ref().ok_or(KeysError::NoMaster)?;
        let control = Control::new(upstream).map_err(|error| KeysError::NotDone(format!("upstream.ca: {error}")))?;
        let master = Key::new(&master.username, master.password.clone(), false);
        authorization(&master)?;
        Ok(Self { control, master })
    }

    /// Makes a key; with permissions, a Restricted one.
    ///
    /// # Errors
    /// [`KeysError::NotDone`]: no key was made. [`KeysError::Unclear`]: one may have been.
    pub async fn create(&self, name: &str, permissions: &[String]) -> Result<(KeySid, Secret), KeysError> {
        let (host, target, form) = self.order(name, permissions);
        let answer = self.patiently(host, Method::POST, &target, Some(form)).await?;
        if answer.status != 201 && answer.status != 200 {
            return Err(refused(&answer));
        }
        let made: Created = serde_json::from_slice(&answer.body)
            .map_err(|_| KeysError::Unclear("the upstream made a key and its answer can't be read".to_owned()))?;
        let sid = KeySid::parse(&made.sid)
            .ok_or_else(|| KeysError::Unclear("the upstream made a key with an odd SID".to_owned()))?;
        Ok((sid, Secret::from(made.secret)))
    }

    /// Where and how a key is asked for.
    fn order(&self, name: &str, permissions: &[String]) -> (&'static str, String, String) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("FriendlyName", name);
        if permissions.is_empty() {
            return (API, self.path("/Keys.json"), form.finish());
        }
        let policy = serde_json::json!({ "allow": permissions }).to_string();
        form.append_pair("AccountSid", self.account()).append_pair("KeyType", "restricted");
        form.append_pair("Policy", &policy);
        (IAM, "/v1/Keys".to_owned(), form.finish())
    }

    /// Deletes a key; one that is gone already is as good as deleted, where Twilio itself says so (404 with code 20404;
    /// Twilio docs). The 404 of anything else on the way says nothing about the key, which may live on.
    ///
    /// # Errors
    /// [`KeysError`]: the key may live on.
    pub async fn delete(&self, sid: &KeySid, restricted: bool) -> Result<(), KeysError> {
        if self.is_master(sid) {
            return Err(KeysError::NotDone(format!("{sid} is the key of [upstream.master] itself")));
        }
        let answer = if restricted {
            self.patiently(IAM, Method::DELETE, &format!("/v1/Keys/{sid}"), None).await?
        } else {
            self.patiently(API, Method::DELETE, &self.path(&format!("/Keys/{sid}.json")), None).await?
        };
        if deleted(&answer) { Ok(()) } else { Err(refused(&answer)) }
    }

    /// Every key of the account; through iam too, if Restricted keys may be among them.
    ///
    /// # Errors
    /// [`KeysError`]: the list can't be had, or not all of it.
    pub async fn list(&self, with_iam: bool) -> Result<Vec<Listed>, KeysError> {
        let mut found = BTreeMap::new();
        self.pages(API, self.path(&format!("/Keys.json?PageSize={PAGE}")), &mut found).await?;
        if with_iam {
            self.pages(IAM, format!("/v1/Keys?AccountSid={}&PageSize={PAGE}", self.account()), &mut found).await?;
        }
        Ok(found.into_values().collect())
    }

    /// Whether the upstream takes this key: a harmless GET, which costs nothing and changes nothing.
    pub async fn prove(&self, sid: &KeySid, secret: &Secret) -> Proof {
        let key = Key::new(sid.as_str(), secret.clone(), false);
        let target = self.path("/IncomingPhoneNumbers.json?PageSize=1");
        match self.ask(&key, API, Method::GET, (&target, None)).await {
            Ok(answer) => judge(&answer),
            Err(KeysError::NotDone(why)) if authorization(&key).is_err() => Proof::Refused(why),
            Err(error) => Proof::Unclear(error.to_string()),
        }
    }

    /// Calls with this key. What an upstream says is told and recorded, so that it must not give back what it was sent.
    async fn ask(
        &self,
        key: &Key,
        host: &str,
        method: Method,
        (target, form): (&str, Option<String>),
    ) -> Result<Answer, KeysError> {
        let authorization = authorization(key)?;
        let mut answer = self.control.call(Call { host, method, target, authorization, form }).await?;
        key.spellings().mask(&mut answer.body);
        Ok(answer)
    }

    /// Calls as the master; waits and tries again while the upstream is busy.
    async fn patiently(
        &self,
        host: &str,
        method: Method,
        target: &str,
        form: Option<String>,
    ) -> Result<Answer, KeysError> {
        let mut waits = BUSY_WAITS.iter();
        loop {
            let answer = self.ask(&self.master, host, method.clone(), (target, form.clone())).await?;
            match (answer.status, waits.next()) {
                (429, Some(wait)) => tokio::time::sleep(*wait).await,
                _ => return Ok(answer),
            }
        }
    }

    async fn pages(
        &self,
        host: &str,
        mut target: String,
        found: &mut BTreeMap<KeySid, Listed>,
    ) -> Result<(), KeysError> {
        for _ in 0..MAX_PAGES {
            let answer = self.patiently(host, Method::GET, &target, None).await?;
            if answer.status != 200 {
                return Err(refused(&answer));
            }
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|_| KeysError::NotDone("the upstream's list of keys can't be read".to_owned()))?;
            for row in page.keys {
                let Some(sid) = KeySid::parse(&row.sid) else { continue };
                let flagged = row.flags.is_some_and(|flags| !flags.iter().any(|flag| flag == "signing"));
                let restricted = host == IAM && (flagged || !found.contains_key(&sid));
                let listed = found.entry(sid).or_insert(Listed {
                    sid,
                    friendly_name: row.friendly_name,
                    date_created: row.date_created,
                    restricted,
                });
                listed.restricted |= restricted;
            }
            match page.next_page_uri.or(page.meta.and_then(|meta| meta.next_page_url)) {
                Some(next) => path_of(&next).clone_into(&mut target),
                None => return Ok(()),
            }
        }
        Err(KeysError::NotDone("the upstream's list of keys has no end".to_owned()))
    }

    /// Whether this is the key that everything here is done with.
    pub fn is_master(&self, sid: &KeySid) -> bool {
        self.control.upstream().master.as_ref().is_some_and(|master| master.username.eq_ignore_ascii_case(sid.as_str()))
    }

    /// How long a call that is not waited for any more may still be carried out, at most: by then whoever answers within
    /// the time that is waited for has long done so.
    pub fn landing(&self) -> Duration {
        self.control.upstream().response_timeout * 2
    }

    fn account(&self) -> &str {
        self.control.upstream().account_sid.as_str()
    }

    fn path(&self, rest: &str) -> String {
        format!("/2010-04-01/Accounts/{}{rest}", self.account())
    }
}

fn authorization(key: &Key) -> Result<HeaderValue, KeysError> {
    let odd = |_| KeysError::NotDone("a credential that no header can carry".to_owned());
    let mut value = HeaderValue::from_bytes(key.authorization().expose()).map_err(odd)?;
    value.set_sensitive(true);
    Ok(value)
}
