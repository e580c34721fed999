//! Teams, tokens, keys and the feed of changes.

use super::{Place, issue, make_team, on_both, sid, team};
use sidekey::config::Kind;
use sidekey::secret::Secret;
use sidekey::store::{Catchup, Change, KeyState, Position, Store, StoreError, TeamRow};
use std::task::{Context, Poll};
use std::time::Duration;

on_both!(
    teams_live_and_die,
    tokens_are_kept_as_digests_and_die,
    a_deleted_team_takes_its_tokens_along,
    keys_are_imported_opened_and_marked,
    everything_loads_and_changes_follow,
    a_watcher_hears_another_process,
    a_store_that_lost_changes_asks_for_a_reload,
    a_dropped_write_leaves_nothing_behind,
    everything_is_there_after_a_restart,
);

async fn teams_live_and_die(place: Place) {
    let store = place.store().await;
    let mut row = TeamRow::new(team("billing"));
    row.kind = Kind::Master;
    row.key_permissions = vec!["/twilio/messaging/messages/create".to_owned()];
    row.grants = Some(vec!["voice".to_owned()]);
    row.rotate_every = Some(Duration::from_hours(24));
    row.policy.deny = vec!["api:Calls:*".to_owned()];
    let made = store.create_team(row).await.expect("a new team");
    assert_eq!(store.team(&team("billing")).await, Ok(made.clone()));
    assert_eq!(
        store.create_team(TeamRow::new(team("billing"))).await,
        Err(StoreError::duplicate("team", "billing")),
        "a name is taken once"
    );
    make_team(&store, "alerts").await;
    let names: Vec<String> = store.teams().await.expect("teams").iter().map(|row| row.name.to_string()).collect();
    assert_eq!(names, ["alerts", "billing"]);
    assert!(store.set_team_disabled(&team("billing"), true).await.expect("disabled").disabled);
    assert!(store.team(&team("billing")).await.expect("a team").disabled);
    assert!(!store.set_team_disabled(&team("billing"), false).await.expect("enabled").disabled);
    store.delete_team(&team("billing")).await.expect("deleted");
    let gone = Err(StoreError::unknown("team", "billing"));
    assert_eq!(store.team(&team("billing")).await, gone);
    assert_eq!(store.set_team_disabled(&team("billing"), true).await, gone);
    assert_eq!(store.delete_team(&team("billing")).await, gone.map(|_| ()));
}

async fn tokens_are_kept_as_digests_and_die(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    let (row, _) = issue(&store, "billing").await;
    assert_eq!(store.tokens(Some(&team("billing"))).await, Ok(vec![row.clone()]));
    assert_eq!(store.token(&row.id).await, Ok(row.clone()));
    let revoked = store.revoke_token(&row.id).await.expect("revoked");
    assert!(revoked.revoked_at.is_some());
    assert_eq!(store.revoke_token(&row.id).await, Ok(revoked.clone()), "twice does no harm");
    assert_eq!(store.tokens(None).await, Ok(vec![revoked]));
    assert_eq!(store.tokens(Some(&team("nobody"))).await, Err(StoreError::unknown("team", "nobody")));
    let unknown = sidekey::ids::TokenId::new("nothing");
    assert_eq!(store.revoke_token(&unknown).await, Err(StoreError::unknown("token", "nothing")));
}

async fn a_deleted_team_takes_its_tokens_along(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    let (row, _) = issue(&store, "billing").await;
    let before = store.position().await.expect("a position");
    store.delete_team(&team("billing")).await.expect("deleted");
    make_team(&store, "billing").await;
    assert_eq!(store.tokens(None).await, Ok(vec![]), "a new team of this name has no old tokens");
    let changes = changes(&store, before).await;
    assert!(
        changes.iter().any(|change| matches!(change, Change::TokenGone(digest) if *digest == row.sha256)),
        "{changes:?}"
    );
}

async fn keys_are_imported_opened_and_marked(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    make_team(&store, "alerts").await;
    let secret = Secret::from("a-secret-of-32-characters-xxxxxx".to_owned());
    let key = store.import_key(&team("billing"), sid('a'), &secret, false).await.expect("imported");
    assert_eq!((key.state, key.imported), (KeyState::Active, true));
    assert_eq!(store.open_key(&sid('a')).await.expect("a key").secret, secret);
    let again = store.import_key(&team("alerts"), sid('a'), &secret, false).await;
    assert_eq!(again, Err(StoreError::duplicate("key", sid('a'))));
    let second = store.import_key(&team("billing"), sid('b'), &secret, false).await;
    assert!(matches!(second, Err(StoreError::Refused(_))), "{second:?}");
    let refused = store.delete_team(&team("billing")).await;
    assert!(refused.is_err_and(|error| error.to_string().contains(sid('a').as_str())), "the key is named");
    let before = store.position().await.expect("a position");
    assert_eq!(store.mark_key(&sid('a'), KeyState::Rejected).await, Ok(true));
    assert_eq!(store.mark_key(&sid('a'), KeyState::Rejected).await, Ok(false), "no news");
    store.touch_keys(&[(sid('a'), 1_700_000_000)]).await.expect("touched");
    let key = store.key(&sid('a')).await.expect("a key");
    assert_eq!((key.state, key.last_used_at), (KeyState::Rejected, Some(1_700_000_000)));
    assert_eq!(changes(&store, before).await.len(), 1, "one mark is one change, a touch is none");
}

async fn everything_loads_and_changes_follow(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    let (row, _) = issue(&store, "billing").await;
    let secret = Secret::from("s".repeat(32));
    store.import_key(&team("billing"), sid('a'), &secret, false).await.expect("imported");
    let mut loaded = Vec::new();
    let position = store.load_all(|change| loaded.push(change)).await.expect("loaded");
    let [Change::Team(team_row), Change::Token(token), Change::Key(_, Some(key))] = loaded.as_slice() else {
        panic!("a team, a token and a key: {loaded:?}");
    };
    assert_eq!((team_row.name.as_str(), token, key.row.sid), ("billing", &row, sid('a')));
    assert_eq!(key.secret, secret);
    assert!(changes(&store, position).await.is_empty());
    store.revoke_token(&row.id).await.expect("revoked");
    store.set_team_disabled(&team("billing"), true).await.expect("disabled");
    store.set_team_disabled(&team("billing"), false).await.expect("enabled");
    let changes = changes(&store, position).await;
    let [Change::Token(token), Change::Team(team_row)] = changes.as_slice() else {
        panic!("each thing once, as it is now: {changes:?}");
    };
    assert!(token.revoked_at.is_some() && !team_row.disabled);
}

/// All changes after `since`.
async fn changes(store: &Store, mut since: Position) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        match store.changes_since(since).await.expect("changes") {
            Catchup::Changes { changes, through } if through.id > since.id => {
                all.extend(changes);
                since = through;
            }
            Catchup::Changes { .. } => return all,
            Catchup::Reload => panic!("nothing was lost"),
        }
    }
}

async fn a_watcher_hears_another_process(place: Place) {
    let (here, there) = (place.store().await, place.store().await);
    make_team(&here, "billing").await;
    let mut since = here.position().await.expect("a position");
    let mut watch = here.watch();
    for disabled in [true, false, true, false] {
        there.set_team_disabled(&team("billing"), disabled).await.expect("changed");
        let heard = async { while !watch.changed(since).await.expect("the store is there") {} };
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the change is heard");
        let seen = changes(&here, since).await;
        assert!(matches!(seen.as_slice(), [Change::Team(row)] if row.disabled == disabled), "{seen:?}");
        since = here.position().await.expect("a position");
    }
}

async fn a_store_that_lost_changes_asks_for_a_reload(place: Place) {
    let store = place.store().await;
    for name in ["a", "b", "c"] {
        make_team(&store, name).await;
    }
    let newest = store.position().await.expect("a position");
    place.meddle("DELETE FROM changes WHERE id <= 2").await;
    assert!(
        matches!(store.changes_since(Position::default()).await, Ok(Catchup::Reload)),
        "the first changes are gone"
    );
    assert!(matches!(store.changes_since(newest).await, Ok(Catchup::Changes { .. })));
    let newer = Position { id: newest.id + 1, ..newest };
    assert!(matches!(store.changes_since(newer).await, Ok(Catchup::Reload)), "restored from an older copy");
    let other = Position { mark: !newest.mark, ..newest };
    assert!(matches!(store.changes_since(other).await, Ok(Catchup::Reload)), "restored, and changed since");
}

async fn a_dropped_write_leaves_nothing_behind(place: Place) {
    let store = place.store().await;
    make_team(&store, "before").await;
    let since = store.position().await.expect("a position");
    let mut dropped = 0;
    for polls in 1..12 {
        let name = format!("team{polls}");
        let outcome = dropped_after(polls, store.create_team(TeamRow::new(team(&name)))).await;
        let there = store.team(&team(&name)).await.is_ok();
        match outcome {
            Some(done) => assert!(done.is_ok() && there),
            None => dropped += 1,
        }
        // Whatever happened, whole: the team and its change, or neither.
        let changes = changes(&store, since).await;
        let noted = changes.iter().any(|change| matches!(change, Change::Team(row) if row.name.as_str() == name));
        assert_eq!(there, noted, "{name}");
    }
    assert!(dropped > 0, "no write was dropped");
    make_team(&store, "after").await;
}

/// Drops the work when it has waited for the `polls`th time.
async fn dropped_after<T>(mut polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = Box::pin(work);
    let step = |cx: &mut Context<'_>| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => {
            polls -= 1;
            if polls == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    };
    std::future::poll_fn(step).await
}

async fn everything_is_there_after_a_restart(place: Place) {
    let store = place.store().await;
    let instance = store.instance().to_owned();
    make_team(&store, "billing").await;
    let secret = Secret::from("s".repeat(32));
    store.import_key(&team("billing"), sid('a'), &secret, true).await.expect("imported");
    drop(store);
    let store = place.store().await;
    assert_eq!(store.instance(), instance);
    let key = store.open_key(&sid('a')).await.expect("a key");
    assert_eq!((key.secret, key.row.restricted), (secret, true));
}
