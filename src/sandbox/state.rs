//! Everything the sandbox knows: accounts with their keys, and the rows of every other resource.

use super::permission::Policy;
use super::resource::{Resource, Row};
use super::shelf::Shelf;
use super::sid::{self, Sid};
use crate::ids::AccountSid;
use crate::secret::Secret;
use std::collections::HashMap;
use std::sync::Arc;

/// Most subaccounts of one account (Twilio docs; error 21480).
const MAX_SUBACCOUNTS: usize = 1000;

/// Whether an account may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In use.
    Active,
    /// Refused until its parent says otherwise.
    Suspended,
    /// Refused for ever.
    Closed,
}

impl Status {
    /// The word, or the number that old callers send.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "closed" | "0" => Some(Self::Closed),
            "suspended" | "1" => Some(Self::Suspended),
            "active" | "2" => Some(Self::Active),
            _ => None,
        }
    }

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

/// An account or a subaccount.
#[derive(Debug)]
pub struct Account {
    /// `AC…`
    pub sid: Sid,
    /// The parent; itself for the main account.
    pub owner: Sid,
    /// The auth token.
    pub token: Secret,
    /// At most 64 characters.
    pub friendly_name: String,
    /// Whether it may be used.
    pub status: Status,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub updated: i64,
    /// Its API keys, by the time of their last update.
    pub keys: Shelf<Key>,
}

impl Account {
    fn new(sid: Sid, owner: Sid, token: Secret, friendly_name: String, now: i64) -> Self {
        let (status, keys) = (Status::Active, Shelf::default());
        Self { sid, owner, token, friendly_name, status, created: now, updated: now, keys }
    }

    /// Whether this is the account that owns the others.
    pub fn is_main(&self) -> bool {
        self.owner == self.sid
    }
}

/// What a key may do.
#[derive(Clone, Debug)]
pub enum Power {
    /// Everything, accounts and keys included. Made in Twilio's console only.
    Main,
    /// Everything but accounts and keys.
    Standard,
    /// What its policy asserts.
    Restricted(Arc<Policy>),
}

/// An API key.
#[derive(Clone, Debug)]
pub struct Key {
    /// `SK…`
    pub sid: Sid,
    /// Shown once, at creation.
    pub secret: Secret,
    /// At most 64 characters; `None` where none was given.
    pub friendly_name: Option<String>,
    /// What it may do.
    pub power: Power,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub updated: i64,
}

/// Names one collection: whose it is, and below which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShelfId {
    /// The resource's path, which is unique.
    pub resource: &'static str,
    /// The account that owns the rows.
    pub account: Sid,
    /// The row that they are below.
    pub parent: Option<Sid>,
}

/// All of it. One lock is around it, held for no longer than one answer takes to make.
#[derive(Debug, Default)]
pub struct State {
    /// The accounts, the newest first.
    pub accounts: Shelf<Account>,
    key_owners: HashMap<Sid, Sid>,
    rows: HashMap<ShelfId, Shelf<Row>>,
    places: u64,
}

impl State {
    /// A state with one main account.
    pub fn new(sid: AccountSid, token: Secret, now: i64) -> Self {
        let mut state = Self::default();
        let sid = Sid::parse(sid.as_str(), AccountSid::PREFIX).expect("both types read the same shape");
        state.add(Account::new(sid, sid, token, "Sidekey sandbox".to_owned(), now));
        state
    }

    fn add(&mut self, account: Account) {
        let place = self.next_place();
        self.accounts.insert(place, account.sid, account);
    }

    /// Makes a subaccount; `None` if there are too many.
    pub fn create_subaccount(&mut self, owner: Sid, friendly_name: String, now: i64) -> Option<Sid> {
        if self.accounts.len() > MAX_SUBACCOUNTS {
            return None;
        }
        let sid = Sid::fresh("AC");
        self.add(Account::new(sid, owner, Secret::from(sid::hex32()), friendly_name, now));
        Some(sid)
    }

    /// The next higher place.
    pub fn next_place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    /// Makes a key. The account must exist.
    pub fn create_key(&mut self, account: Sid, friendly_name: Option<String>, power: Power, now: i64) -> Key {
        let (sid, secret) = (Sid::fresh("SK"), Secret::from(sid::base62()));
        let key = Key { sid, secret, friendly_name, power, created: now, updated: now };
        let place = self.next_place();
        if let Some(account) = self.accounts.get_mut(&account) {
            if let Some((evicted, _)) = account.keys.insert(place, sid, key.clone()) {
                self.key_owners.remove(&evicted);
            }
            self.key_owners.insert(sid, account.sid);
        }
        key
    }

    /// A key and its account.
    pub fn key(&self, sid: &Sid) -> Option<(&Account, &Key)> {
        let account = self.accounts.get(self.key_owners.get(sid)?)?;
        Some((account, account.keys.get(sid)?))
    }

    /// Changes a key and moves it to the head of the list, which is sorted by `DateUpdated`.
    pub fn update_key(&mut self, account: &Sid, sid: &Sid, now: i64, change: impl FnOnce(&mut Key)) {
        let place = self.next_place();
        if let Some(account) = self.accounts.get_mut(account)
            && let Some(key) = account.keys.get_mut(sid)
        {
            change(key);
            key.updated = now;
            account.keys.move_to(place, sid);
        }
    }

    /// Deletes a key: from here on it proves nothing.
    pub fn delete_key(&mut self, account: &Sid, sid: &Sid) {
        if let Some(account) = self.accounts.get_mut(account)
            && account.keys.remove(sid).is_some()
        {
            self.key_owners.remove(sid);
        }
    }

    /// Whether the account and its parent are active.
    pub fn is_active(&self, account: &Account) -> bool {
        let parent = self.accounts.get(&account.owner);
        account.status == Status::Active && parent.is_some_and(|parent| parent.status == Status::Active)
    }

    /// A collection, if it has ever had a row.
    pub fn shelf(&self, id: &ShelfId) -> Option<&Shelf<Row>> {
        self.rows.get(id)
    }

    /// A collection, made when it is not there.
    pub fn shelf_mut(&mut self, id: ShelfId) -> &mut Shelf<Row> {
        self.rows.entry(id).or_default()
    }

    /// Forgets everything below a row that has gone.
    pub fn drop_below(&mut self, resource: &Resource, account: Sid, parent: Sid) {
        for child in resource.children {
            self.rows.remove(&ShelfId { resource: child, account, parent: Some(parent) });
        }
    }
}
