//! The store: one set of tests for both databases, and what each can suffer alone.

mod faults;
mod journal;
mod many;
mod rows;

use crate::support::postgres;
use sidekey::authn::Token;
use sidekey::authn::token::Issued;
use sidekey::clock::Clock;
use sidekey::config::{RootKey, Store as Settings, StoreUrl};
use sidekey::ids::{KeySid, TeamId};
use sidekey::secret::Secret;
use sidekey::store::{NewToken, Result, Store, TeamRow, TokenRow};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A place for one store, and its settings.
struct Place {
    folder: tempfile::TempDir,
    settings: Settings,
    url: Option<String>,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = StoreUrl::Sqlite(folder.path().join("store.db"));
        let settings = settings(url, &folder.path().join("root.key"));
        Self { folder, settings, url: None }
    }

    async fn postgres() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = postgres::database().await;
        let place = Self {
            settings: settings(StoreUrl::Postgres(Secret::from(url.clone())), &folder.path().join("root.key")),
            folder,
            url: Some(url),
        };
        write_root_key(&place.root_key(), 7);
        place
    }

    fn root_key(&self) -> PathBuf {
        self.folder.path().join("root.key")
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    async fn open(&self) -> Result<Store> {
        Store::open(&self.settings, Clock::system()).await
    }

    async fn store(&self) -> Store {
        self.open().await.expect("the store opens")
    }

    /// Runs a statement behind the store's back.
    async fn meddle(&self, sql: &str) {
        if let Some(url) = &self.url {
            let sql = format!("SET search_path TO sidekey; {sql}");
            postgres::connect(url).await.batch_execute(&sql).await.expect("SQL");
        } else {
            let file = rusqlite::Connection::open(self.database()).expect("a file");
            file.busy_timeout(Duration::from_secs(5)).and_then(|()| file.execute_batch(sql)).expect("SQL");
        }
    }
}

fn settings(url: StoreUrl, root_key: &Path) -> Settings {
    Settings {
        url,
        root_key: RootKey::File(root_key.to_owned()),
        max_staleness: Duration::from_mins(5),
        rotate_every: None,
    }
}

fn write_root_key(path: &Path, byte: u8) {
    use base64::Engine;
    std::fs::write(path, base64::engine::general_purpose::STANDARD.encode([byte; 32])).expect("writable");
}

fn team(name: &str) -> TeamId {
    TeamId::parse(name).expect("a name")
}

fn sid(letter: char) -> KeySid {
    KeySid::parse(&format!("SK{}", letter.to_string().repeat(32))).expect("a SID")
}

async fn make_team(store: &Store, name: &str) -> TeamRow {
    store.create_team(TeamRow::new(team(name))).await.expect("a new team")
}

/// A token's row, and its text.
async fn issue(store: &Store, name: &str) -> (TokenRow, Issued) {
    let token = Token::generate();
    let new = NewToken {
        id: token.id(),
        team: team(name),
        sha256: token.digest(),
        name: "laptop".to_owned(),
        expires_at: None,
    };
    let row = store.add_tokens(vec![new]).await.expect("a new token").remove(0);
    (row, token)
}

/// One test for both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name(crate::store::Place::sqlite()).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(crate::store::Place::postgres().await).await;
            }
        }
    )+};
}
use on_both;
