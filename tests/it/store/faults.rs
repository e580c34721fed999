//! Wrong keys, newer schemas, damaged files, lost servers; and that nothing secret lies in what is kept.

use super::{Place, issue, make_team, on_both, sid, team, write_root_key};
use crate::support::postgres::{self, Server};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sidekey::clock::Clock;
use sidekey::config::{RootKey, StoreUrl};
use sidekey::secret::Secret;
use sidekey::store::{Catchup, Change, Op, Store, StoreError};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

on_both!(
    a_wrong_root_key_is_refused_and_named,
    a_missing_root_key_is_never_made_for_a_store_that_exists,
    a_lost_data_key_is_told_from_a_wrong_root_key,
    a_newer_schema_is_refused_untouched,
    a_new_root_key_opens_the_store_and_the_old_one_no_longer,
    a_row_moved_to_another_team_does_not_open,
    nothing_secret_lies_in_the_store,
    two_that_start_at_once_make_one_store,
);

const PLANTED: &str = "PlantedSecretOf32CharactersXyz12";

/// A store with one team and a key.
async fn filled(place: &Place) -> Store {
    let store = place.store().await;
    make_team(&store, "billing").await;
    store.import_key(&team("billing"), sid('a'), &Secret::from(PLANTED.to_owned()), false).await.expect("imported");
    store
}

async fn a_wrong_root_key_is_refused_and_named(place: Place) {
    drop(filled(&place).await);
    let right = std::fs::read(place.root_key()).expect("a root key");
    write_root_key(&place.root_key(), 9);
    let error = place.open().await.expect_err("a wrong key");
    assert!(matches!(&error, StoreError::RootKey(text) if text.contains("root.key")), "{error}");
    std::fs::write(place.root_key(), "hunter2").expect("writable");
    let error = place.open().await.expect_err("not a key").to_string();
    assert!(error.contains("root.key") && error.contains("32 bytes") && !error.contains("hunter2"), "{error}");
    std::fs::write(place.root_key(), right).expect("writable");
    assert!(place.store().await.open_key(&sid('a')).await.is_ok(), "the refusals changed nothing");
}

async fn a_missing_root_key_is_never_made_for_a_store_that_exists(place: Place) {
    drop(filled(&place).await);
    std::fs::remove_file(place.root_key()).expect("a root key");
    let error = place.open().await.expect_err("no key");
    assert!(matches!(&error, StoreError::RootKey(text) if text.contains("root.key")), "{error}");
    assert!(!place.root_key().exists(), "it was not made");
}

async fn a_lost_data_key_is_told_from_a_wrong_root_key(place: Place) {
    drop(filled(&place).await);
    place.meddle("DELETE FROM data_keys").await;
    let error = place.open().await.expect_err("no data key");
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("data key is lost")), "{error}");
}

async fn a_newer_schema_is_refused_untouched(place: Place) {
    let store = filled(&place).await;
    let entry = store.begin_key(Op::Rotate, &team("billing"), "me", Duration::ZERO).await.expect("begun");
    drop(store);
    place.meddle("UPDATE schema_version SET version = 99").await;
    assert!(matches!(place.open().await, Err(StoreError::Newer { found: 99, .. })));
    // An older one is brought up to date.
    place.meddle("ALTER TABLE changes DROP COLUMN mark").await;
    place.meddle("ALTER TABLE journal DROP COLUMN grace").await;
    place.meddle(&format!("UPDATE journal SET note = 'grace 7200' WHERE id = {}", entry.id)).await;
    place.meddle("UPDATE schema_version SET version = 1").await;
    let store = place.store().await;
    assert!(store.open_key(&sid('a')).await.is_ok());
    let grace = async |id| store.entry(id).await.expect("an entry").grace;
    assert_eq!(grace(entry.id).await, Duration::from_hours(2), "a grace that stood in the note is kept");
    assert_eq!(grace(entry.id - 1).await, Duration::from_mins(10), "and is the usual one where none did");
    let before = store.position().await.expect("a position");
    store.set_team_disabled(&team("billing"), true).await.expect("changed");
    assert!(matches!(store.changes_since(before).await, Ok(Catchup::Changes { changes, .. }) if changes.len() == 1));
}

async fn a_new_root_key_opens_the_store_and_the_old_one_no_longer(place: Place) {
    let store = filled(&place).await;
    let new = place.folder.path().join("new.key");
    let missing = store.rekey(&place.settings.root_key, &RootKey::File(new.clone())).await;
    assert!(matches!(&missing, Err(StoreError::RootKey(text)) if text.contains("new.key")), "{missing:?}");
    assert!(!new.exists(), "a key is never made for a store that exists");
    let same = store.rekey(&place.settings.root_key, &place.settings.root_key).await;
    assert!(matches!(same, Err(StoreError::Refused(_))), "{same:?}");
    write_root_key(&new, 11);
    store.rekey(&place.settings.root_key, &RootKey::File(new.clone())).await.expect("a new root key");
    assert!(store.open_key(&sid('a')).await.is_ok(), "a broker that runs goes on");
    assert!(matches!(place.open().await, Err(StoreError::RootKey(_))), "the old key opens it no longer");
    let settings = sidekey::config::Store { root_key: RootKey::File(new), ..place.settings.clone() };
    let again = Store::open(&settings, Clock::system()).await.expect("the new key opens it");
    assert_eq!(again.open_key(&sid('a')).await.expect("a key").secret, Secret::from(PLANTED.to_owned()));
}

async fn a_row_moved_to_another_team_does_not_open(place: Place) {
    let store = filled(&place).await;
    make_team(&store, "thief").await;
    place.meddle("UPDATE keys SET team = 'thief'").await;
    let error = store.open_key(&sid('a')).await.expect_err("moved");
    assert!(matches!(&error, StoreError::Sealed(text) if text.contains("thief")), "{error}");
    let mut keys = Vec::new();
    let take = |change| {
        if let Change::Key(team, key) = change {
            keys.push((team.to_string(), key.is_some()));
        }
    };
    store.load_all(take).await.expect("the rest loads");
    keys.sort();
    assert_eq!(keys, [("billing".to_owned(), false), ("thief".to_owned(), false)]);
    place.meddle("UPDATE keys SET team = 'billing', version = version + 1").await;
    assert!(matches!(store.open_key(&sid('a')).await, Err(StoreError::Sealed(_))), "another version");
}

async fn nothing_secret_lies_in_the_store(place: Place) {
    let store = filled(&place).await;
    let (_, token) = issue(&store, "billing").await;
    let mut kept = Vec::new();
    if let Some(url) = &place.url {
        let dump = Command::new("pg_dump").arg(url).output().expect("pg_dump");
        assert!(dump.status.success() && !dump.stdout.is_empty());
        kept.push(dump.stdout);
    } else {
        for file in ["store.db", "store.db-wal"] {
            let path = place.folder.path().join(file);
            assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600, "{file}");
            kept.push(std::fs::read(path).expect("readable"));
        }
    }
    let root = std::fs::read_to_string(place.root_key()).expect("a root key");
    let root = STANDARD.decode(root.trim()).expect("base64");
    let token = token.show().as_bytes().to_vec();
    for secret in [PLANTED.as_bytes().to_vec(), token, root] {
        for spelling in spellings(&secret) {
            let found = kept.iter().any(|bytes| bytes.windows(spelling.len()).any(|window| window == spelling));
            assert!(!found, "a secret lies in the store as {:?}", String::from_utf8_lossy(&spelling));
        }
    }
    // The search itself finds what is there.
    let here = spellings(b"billing").iter().any(|s| kept.iter().any(|bytes| bytes.windows(s.len()).any(|w| w == s)));
    assert!(here, "the search is blind");
}

/// A secret as it is, reversed, in hex, and in base64 at each of the three offsets.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![secret.to_vec(), secret.iter().rev().copied().collect()];
    all.push(hex::encode(secret).into_bytes());
    all.push(hex::encode_upper(secret).into_bytes());
    for offset in 0..3_usize {
        let padded = [vec![0; offset], secret.to_vec()].concat();
        // Characters that bits of a neighbour could change are left out.
        let from = (offset * 8).div_ceil(6);
        let until = padded.len() * 8 / 6;
        all.push(STANDARD.encode(&padded).as_bytes()[from..until].to_vec());
        all.push(URL_SAFE.encode(&padded).as_bytes()[from..until].to_vec());
    }
    let wide: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
    all.push(wide);
    all
}

async fn two_that_start_at_once_make_one_store(place: Place) {
    let (one, two) = tokio::join!(place.open(), place.open());
    let (one, two) = (one.expect("opens"), two.expect("opens"));
    assert_eq!(one.instance(), two.instance());
    make_team(&one, "billing").await;
    assert_eq!(two.teams().await.expect("teams").len(), 1);
}

#[tokio::test]
async fn a_new_embedded_store_makes_its_root_key_for_its_owner_alone() {
    let place = Place::sqlite();
    drop(filled(&place).await);
    let mode = std::fs::metadata(place.root_key()).expect("a root key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut files: Vec<_> = std::fs::read_dir(place.folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| !name.contains('-'))
        .collect();
    files.sort();
    assert_eq!(files, ["root.key", "store.db"], "no draft is left");
}

#[tokio::test]
async fn a_root_key_that_was_there_first_is_taken() {
    let place = Place::sqlite();
    write_root_key(&place.root_key(), 3);
    let before = std::fs::read(place.root_key()).expect("a root key");
    drop(filled(&place).await);
    assert_eq!(std::fs::read(place.root_key()).expect("a root key"), before);
}

#[tokio::test]
async fn a_server_never_gets_a_root_key_made() {
    let place = Place::postgres().await;
    std::fs::remove_file(place.root_key()).expect("a root key");
    assert!(matches!(place.open().await, Err(StoreError::RootKey(_))));
    assert!(!place.root_key().exists());
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_refused_untouched() {
    let place = Place::sqlite();
    write_root_key(&place.root_key(), 3);
    std::fs::write(place.database(), "This is not a database, and it is longer than a header. ".repeat(40))
        .expect("writable");
    let before = std::fs::read(place.database()).expect("readable");
    let error = place.open().await.expect_err("not a database");
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("store.db")), "{error}");
    assert_eq!(std::fs::read(place.database()).expect("readable"), before);
    std::fs::remove_file(place.database()).expect("removable");
    place.meddle("CREATE TABLE somebody_elses (x)").await;
    assert!(matches!(place.open().await, Err(StoreError::Corrupt(_))), "another program's tables are left alone");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let mut place = Place::sqlite();
    let path = place.folder.path().join("nowhere").join("store.db");
    place.settings.url = StoreUrl::Sqlite(path);
    let error = place.open().await.expect_err("no folder");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_named() {
    let place = Place::postgres().await;
    let store = filled(&place).await;
    let url = place.url.clone().expect("a server");
    let name = url.rsplit('/').next().expect("a database");
    let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    postgres::connect(&url).await.batch_execute(&sql).await.expect("SQL");
    let again = place.store().await;
    let error = again.set_team_disabled(&team("billing"), true).await.expect_err("read-only");
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    assert!(again.team(&team("billing")).await.is_ok(), "reading goes on");
    drop(store);
}

#[tokio::test]
async fn a_lost_server_is_an_error_and_then_forgotten() {
    let mut server = Server::start().await;
    let mut place = Place::sqlite();
    write_root_key(&place.root_key(), 3);
    place.settings.url = StoreUrl::Postgres(Secret::from(server.url()));
    place.url = Some(server.url());
    let store = filled(&place).await;
    let mut watch = store.watch();
    let since = store.position().await.expect("a position");
    server.down();
    for _ in 0..2 {
        let error = store.team(&team("billing")).await.expect_err("no server");
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        assert!(watch.changed(since).await.is_err());
    }
    server.up().await;
    assert!(store.team(&team("billing")).await.is_ok(), "a new connection is made");
    store.set_team_disabled(&team("billing"), true).await.expect("writing goes on");
    assert_eq!(watch.changed(since).await, Ok(true));
}

#[tokio::test]
async fn a_server_is_reached_over_tls_and_verified() {
    let mut server = Server::start().await;
    server.down();
    let root = server.with_tls();
    server.up().await;
    let named = server.url().replace("127.0.0.1", "localhost");
    let mut place = Place::sqlite();
    write_root_key(&place.root_key(), 3);
    let mut open = async |query: String| {
        place.settings.url = StoreUrl::Postgres(Secret::from(format!("{named}?{query}")));
        place.open().await
    };
    let untrusted = open("sslmode=require".to_owned()).await.expect_err("nobody vouches for it");
    assert!(
        matches!(&untrusted, StoreError::Unreachable(text) if text.to_lowercase().contains("certificate")),
        "{untrusted}"
    );
    let store = open(format!("sslmode=verify-full&sslrootcert={}", root.display())).await.expect("trusted");
    make_team(&store, "billing").await;
    let admin = postgres::connect(&server.url()).await;
    let rows = admin.query(
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'sidekey'",
        &[],
    );
    assert_eq!(rows.await.expect("SQL")[0].get::<_, i64>(0), 1, "the connection is encrypted");
    let missing = open("sslmode=require&sslrootcert=/nowhere.pem".to_owned()).await.expect_err("no such file");
    assert!(missing.to_string().contains("/nowhere.pem"), "{missing}");
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_it_lacks() {
    let mut place = Place::postgres().await;
    drop(filled(&place).await);
    let url = place.url.clone().expect("a server");
    let owner = postgres::connect(&url).await;
    let name = format!("role_{}", url.rsplit('/').next().expect("a database"));
    let sql = async |sql: String| owner.batch_execute(&sql).await.expect("SQL");
    sql(format!("CREATE ROLE {name} LOGIN")).await;
    let (_, rest) = url.split_once('@').expect("a URL with a user");
    place.settings.url = StoreUrl::Postgres(Secret::from(format!("postgres://{name}@{rest}")));
    let lacks = async |what: &str| {
        let said = place.open().await.err().map_or_else(String::new, |error| error.to_string());
        assert!(said.contains(what) && said.contains("grant it USAGE on the schema and SELECT"), "{said}");
    };
    lacks("permission denied for schema sidekey").await;
    sql(format!("GRANT USAGE ON SCHEMA sidekey TO {name}")).await;
    lacks("permission denied for table schema_version").await;
    sql(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sidekey TO {name}")).await;
    make_team(&place.store().await, "alerts").await;
    sql(format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
}

#[tokio::test]
async fn an_empty_file_is_never_taken_for_a_new_store() {
    let place = Place::sqlite();
    for with_key in [true, false] {
        if with_key {
            write_root_key(&place.root_key(), 3);
        } else {
            std::fs::remove_file(place.root_key()).expect("a root key");
        }
        std::fs::write(place.database(), "").expect("writable");
        for outcome in [place.open().await.map(drop), Store::check(&place.settings).await] {
            let error = outcome.expect_err("empty");
            assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("store.db is empty")), "{error}");
        }
        assert_eq!(std::fs::metadata(place.database()).expect("a file").len(), 0, "it was filled");
        assert_eq!(place.root_key().exists(), with_key, "a key was made beside a file that exists");
    }
    // Without a table, too, it is a file that exists.
    place.meddle("PRAGMA journal_mode=WAL").await;
    assert!(matches!(place.open().await, Err(StoreError::RootKey(_))));
    assert!(!place.root_key().exists());
}
