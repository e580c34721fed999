//! Many teams and tokens on a server that is not next door: what is counted is how often it is spoken to.

use super::{Place, team};
use sidekey::config::StoreUrl;
use sidekey::secret::Secret;
use sidekey::store::{Catchup, Change, Store, TOKENS_PAGE, TokenRow};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// More than any of these needs, and less than one for each row.
const FEW: usize = 60;

/// The place's store through a wire that counts what is sent to the server.
async fn counted(place: &mut Place) -> (Store, Arc<AtomicUsize>) {
    let url = place.url.clone().expect("a server");
    let (before, rest) = url.split_once('@').expect("a URL with a user");
    let (server, database) = rest.split_once('/').expect("a URL with a database");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let wire = listener.local_addr().expect("bound");
    place.settings.url = StoreUrl::Postgres(Secret::from(format!("{before}@{wire}/{database}")));
    let (sent, server) = (Arc::new(AtomicUsize::new(0)), server.to_owned());
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((caller, _)) = listener.accept().await {
            let upstream = TcpStream::connect(&server).await.expect("the server");
            let ((mut from, mut to), (mut back, mut home)) = (caller.into_split(), upstream.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut to).await });
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    count.fetch_add(1, Ordering::Relaxed);
                    home.write_all(&buffer[..read]).await.expect("sent");
                }
            });
        }
    });
    (place.store().await, sent)
}

#[tokio::test]
async fn the_keys_of_many_teams_are_loaded_together() {
    let mut place = Place::postgres().await;
    let (store, sent) = counted(&mut place).await;
    place
        .meddle(
            "INSERT INTO teams (name, kind, accounts, policy, key_permissions, created_at)
             SELECT 'team-' || n, 'standard', '[]', '{}', '[]', 0 FROM generate_series(1, 300) AS n",
        )
        .await;
    let secret = Secret::from("s".repeat(32));
    store.import_key(&team("team-7"), super::sid('a'), &secret, false).await.expect("imported");
    let (mut with, mut without) = (0, 0);
    let before = sent.load(Ordering::Relaxed);
    let take = |change| match change {
        Change::Key(_, Some(_)) => with += 1,
        Change::Key(_, None) => without += 1,
        _ => {}
    };
    store.load_all(take).await.expect("loaded");
    assert_eq!((with, without), (1, 299));
    let times = sent.load(Ordering::Relaxed) - before;
    assert!(times < FEW, "the server was spoken to {times} times");
}

#[tokio::test]
async fn a_team_goes_with_all_its_tokens_at_once() {
    let mut place = Place::postgres().await;
    let (store, sent) = counted(&mut place).await;
    super::make_team(&store, "billing").await;
    let (first, _) = super::issue(&store, "billing").await;
    place
        .meddle(
            "INSERT INTO tokens (sha256, id, team, name, created_at)
             SELECT sha256(n::text::bytea), 'id' || n, 'billing', '', 0 FROM generate_series(1, 300) AS n",
        )
        .await;
    let (since, before) = (store.position().await.expect("a position"), sent.load(Ordering::Relaxed));
    store.delete_team(&team("billing")).await.expect("deleted");
    let times = sent.load(Ordering::Relaxed) - before;
    assert!(times < FEW, "the server was spoken to {times} times");
    let Ok(Catchup::Changes { changes, .. }) = store.changes_since(since).await else { panic!("no changes") };
    let gone = changes.iter().filter(|change| matches!(change, Change::TokenGone(_))).count();
    let named = changes.iter().any(|change| matches!(change, Change::TokenGone(digest) if *digest == first.sha256));
    assert!((gone, named) == (301, true) && matches!(changes.last(), Some(Change::TeamGone(_))), "{gone} {named}");
}

#[tokio::test]
async fn many_tokens_are_listed_in_pages_and_in_their_order() {
    let place = Place::postgres().await;
    let store = place.store().await;
    for name in ["alerts", "billing"] {
        super::make_team(&store, name).await;
    }
    place
        .meddle(
            "INSERT INTO tokens (sha256, id, team, name, created_at) SELECT sha256(n::text::bytea), 'id' || n,
             CASE WHEN n % 20 = 0 THEN 'alerts' ELSE 'billing' END, '', n / 7 FROM generate_series(1, 25000) AS n",
        )
        .await;
    let all = store.tokens(None).await.expect("tokens");
    let order = |row: &TokenRow| (row.team.clone(), row.created_at, row.id.to_string());
    assert!(all.is_sorted_by_key(order) && all.len() == 25_000);
    let billing = store.tokens(Some(&team("billing"))).await.expect("tokens");
    assert_eq!(billing, all[1_250..]);
    assert_eq!(store.tokens_page(None, None).await.expect("a page"), all[..TOKENS_PAGE]);
}
