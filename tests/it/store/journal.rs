//! The journal of key changes, the lock, and the replicas' word that an old key is out of use.

use super::{Place, make_team, on_both, sid, team};
use sidekey::ids::KeySid;
use sidekey::secret::Secret;
use sidekey::store::{Entry, KeyState, Op, Step, Store, StoreError};
use std::time::Duration;

on_both!(
    a_key_is_made_and_replaced_in_steps,
    a_failed_key_is_taken_back,
    a_slow_owner_finds_its_step_refused,
    a_revoked_key_is_out_of_use_at_once,
    keys_that_are_gone_upstream_may_be_replaced,
    names_upstream_are_unique_and_short,
    one_process_at_a_time_changes_keys,
    an_old_key_waits_for_every_live_replica,
    a_change_that_is_taken_over_keeps_its_grace,
    a_key_that_is_withdrawn_can_not_be_put_in_use_and_the_other_way_round,
    nothing_is_imported_beside_a_key_that_is_being_made,
    what_the_upstream_refuses_is_never_replaced_by_the_clock,
);

fn secret() -> Secret {
    Secret::from("s".repeat(32))
}

/// Gives the team a key, in all steps.
async fn with_key(store: &Store, name: &str, key: KeySid) -> Entry {
    let entry = store.begin_key(Op::Create, &team(name), "me", Duration::ZERO).await.expect("begun");
    let entry = store.key_created(&entry, key, &secret()).await.expect("created");
    store.key_swapped(&entry).await.expect("swapped")
}

async fn states(store: &Store) -> Vec<(KeySid, KeyState)> {
    store.keys(None).await.expect("keys").iter().map(|key| (key.sid, key.state)).collect()
}

async fn a_key_is_made_and_replaced_in_steps(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    let first = with_key(&store, "billing", sid('a')).await;
    assert_eq!(first.step, Step::Done, "there was nothing to retire");
    let again = store.begin_key(Op::Create, &team("billing"), "me", Duration::ZERO).await;
    assert!(again.is_err_and(|error| error.to_string().contains("rotate")));
    let entry = store.begin_key(Op::Rotate, &team("billing"), "me", Duration::from_mins(10)).await.expect("begun");
    assert_eq!((entry.step, entry.old_sid), (Step::Intended, Some(sid('a'))));
    let entry = store.key_created(&entry, sid('b'), &secret()).await.expect("created");
    assert_eq!(states(&store).await, [(sid('b'), KeyState::Proving), (sid('a'), KeyState::Active)]);
    let before = store.position().await.expect("a position");
    let entry = store.key_swapped(&entry).await.expect("swapped");
    assert_eq!(states(&store).await, [(sid('b'), KeyState::Active), (sid('a'), KeyState::Retiring)]);
    assert_eq!(store.position().await.map(|now| now.id), Ok(before.id + 1), "both keys change in one change");
    assert_eq!(entry.swapped_by, Some(before.id + 1));
    assert!(entry.retire_at >= entry.swapped_at.map(|at| at + 600));
    assert_eq!(store.unfinished_entries().await, Ok(vec![entry.clone()]));
    assert_eq!(store.entry(entry.id).await, Ok(entry.clone()));
    let entry = store.key_deleting(&entry).await.expect("deleting");
    store.key_deleted(&entry).await.expect("deleted");
    assert_eq!(states(&store).await, [(sid('b'), KeyState::Active)]);
    assert_eq!(store.unfinished_entries().await, Ok(vec![]));
    assert_eq!(store.made_here(&sid('a')).await, Ok(true), "the journal remembers");
    assert_eq!(store.made_here(&sid('c')).await, Ok(false));
}

async fn a_failed_key_is_taken_back(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    with_key(&store, "billing", sid('a')).await;
    let entry = store.begin_key(Op::Rotate, &team("billing"), "me", Duration::ZERO).await.expect("begun");
    let entry = store.key_created(&entry, sid('b'), &secret()).await.expect("created");
    store.key_rolled_back(&entry, "the proof failed").await.expect("rolled back");
    assert_eq!(states(&store).await, [(sid('a'), KeyState::Active)]);
    assert_eq!(store.unfinished_entries().await, Ok(vec![]));
    let late = store.key_swapped(&entry).await;
    assert!(matches!(late, Err(StoreError::Refused(_))), "{late:?}");
}

async fn a_slow_owner_finds_its_step_refused(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    let entry = store.begin_key(Op::Create, &team("billing"), "slow", Duration::ZERO).await.expect("begun");
    let taken = store.take_over(&entry, "quick").await.expect("taken over");
    let late = store.key_created(&entry, sid('a'), &secret()).await;
    assert!(matches!(late, Err(StoreError::Refused(_))), "{late:?}");
    assert_eq!(states(&store).await, [], "the refused step left nothing");
    store.key_rolled_back(&taken, "abandoned").await.expect("rolled back");
}

async fn a_revoked_key_is_out_of_use_at_once(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    with_key(&store, "billing", sid('a')).await;
    let entry = store.begin_revoke(&sid('a'), "me").await.expect("begun");
    assert_eq!((entry.step, entry.old_sid), (Step::Deleting, Some(sid('a'))));
    assert_eq!(states(&store).await, [(sid('a'), KeyState::Revoking)]);
    assert_eq!(store.mark_key(&sid('a'), KeyState::Active).await, Ok(false), "nothing brings it back");
    // Another process that meets the entry may take it over; that the key is gone stays so, whoever says it.
    let taken = store.take_over(&entry, "another").await.expect("taken over");
    store.key_deleted(&entry).await.expect("deleted");
    assert_eq!(states(&store).await, []);
    store.key_deleted(&taken).await.expect("said again");
    let late = store.take_over(&taken, "late").await;
    assert!(matches!(late, Err(StoreError::Refused(_))), "{late:?}");
    assert_eq!(store.begin_revoke(&sid('a'), "me").await, Err(StoreError::unknown("key", sid('a'))));
    let rotate = store.begin_key(Op::Rotate, &team("billing"), "me", Duration::ZERO).await;
    assert!(rotate.is_err_and(|error| error.to_string().contains("create")));
}

async fn keys_that_are_gone_upstream_may_be_replaced(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    with_key(&store, "billing", sid('a')).await;
    store.mark_key(&sid('a'), KeyState::Missing).await.expect("marked");
    let entry = with_key(&store, "billing", sid('b')).await;
    assert_eq!((entry.step, entry.old_sid), (Step::Swapped, Some(sid('a'))));
    assert_eq!(states(&store).await, [(sid('b'), KeyState::Active), (sid('a'), KeyState::Retiring)]);
}

async fn names_upstream_are_unique_and_short(place: Place) {
    let store = place.store().await;
    let long = "x".repeat(63);
    make_team(&store, &long).await;
    let first = store.begin_key(Op::Create, &team(&long), "me", Duration::ZERO).await.expect("begun");
    store.key_rolled_back(&first, "again").await.expect("rolled back");
    let second = store.begin_key(Op::Create, &team(&long), "me", Duration::ZERO).await.expect("begun");
    let head = format!("sidekey:{}:xxx", store.instance());
    for entry in [&first, &second] {
        assert!(entry.friendly_name.starts_with(&head), "{}", entry.friendly_name);
        assert!(entry.friendly_name.len() <= 64, "{}", entry.friendly_name);
    }
    assert_ne!(first.friendly_name, second.friendly_name);
}

async fn one_process_at_a_time_changes_keys(place: Place) {
    let (here, there) = (place.store().await, place.store().await);
    let lock = here.try_keys_lock().await.expect("asked").expect("free");
    assert!(lock.holds());
    assert!(there.try_keys_lock().await.expect("asked").is_none());
    drop(lock);
    // A server frees the lock when it sees the connection end.
    let free = async {
        while there.try_keys_lock().await.expect("asked").is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free).await.expect("the lock is free again");
}

#[tokio::test]
async fn replicas_whose_clocks_differ_share_the_server_s() {
    let place = Place::postgres().await;
    let clocks = [sidekey::clock::Clock::cranked(), sidekey::clock::Clock::cranked()];
    let open = async |seconds, clock: &sidekey::clock::Clock| {
        clock.turn(seconds);
        Store::open(&place.settings, clock.clone()).await.expect("the store opens")
    };
    let (behind, ahead) = (open(-600, &clocks[0]).await, open(600, &clocks[1]).await);
    assert!(behind.now().abs_diff(ahead.now()) <= 2, "{} and {}", behind.now(), ahead.now());
    // One that is set while the store is open changes nothing either, but for what is told in its own terms.
    let (now, at) = (ahead.now(), ahead.own_time(ahead.now()));
    clocks[1].turn(3600);
    assert!(ahead.now().abs_diff(now) <= 2 && ahead.own_time(now).abs_diff(at + 3600) <= 2);
    behind.beat("behind", 4).await.expect("a beat");
    assert_eq!(ahead.drained(5).await, Ok(false), "it is alive, and may hold the old key");
}

async fn an_old_key_waits_for_every_live_replica(place: Place) {
    let clock = sidekey::clock::Clock::cranked();
    let store = Store::open(&place.settings, clock.clone()).await.expect("the store opens");
    assert_eq!(store.drained(5).await, Ok(true), "no replica holds anything");
    store.beat("one", 5).await.expect("a beat");
    store.beat("two", 4).await.expect("a beat");
    assert_eq!(store.drained(5).await, Ok(false));
    assert_eq!(store.drained(4).await, Ok(true));
    store.beat("two", 5).await.expect("a beat");
    assert_eq!(store.drained(5).await, Ok(true));
    store.beat("two", 4).await.expect("a beat");
    store.leave("two").await.expect("left");
    assert_eq!(store.drained(5).await, Ok(true));
    store.beat("three", 0).await.expect("a beat");
    clock.pass(31);
    assert_eq!(store.drained(5).await, Ok(true), "a replica that died is not waited for");
}

async fn a_change_that_is_taken_over_keeps_its_grace(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    with_key(&store, "billing", sid('a')).await;
    let grace = Duration::from_millis(7_199_500);
    let entry = store.begin_key(Op::Rotate, &team("billing"), "me", grace).await.expect("begun");
    let entry = store.key_created(&entry, sid('b'), &secret()).await.expect("created");
    let left = store.entry(entry.id).await.expect("an entry");
    assert_eq!((entry.grace, left.grace), (Duration::from_hours(2), Duration::from_hours(2)), "in whole seconds");
    let taken = store.take_over(&left, "another").await.expect("taken over");
    let swapped = store.key_swapped(&taken).await.expect("swapped");
    assert!(swapped.retire_at >= swapped.swapped_at.map(|at| at + 7200));
}

async fn a_key_that_is_withdrawn_can_not_be_put_in_use_and_the_other_way_round(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    with_key(&store, "billing", sid('a')).await;
    let begin = async || {
        let entry = store.begin_key(Op::Rotate, &team("billing"), "slow", Duration::ZERO).await.expect("begun");
        store.key_created(&entry, sid('b'), &secret()).await.expect("created")
    };
    // Withdrawn first: its secret is gone, and whoever takes over can only delete it.
    let entry = begin().await;
    let withdrawn = store.key_withdrawn(&entry).await.expect("withdrawn");
    let taken = store.take_over(&withdrawn, "quick").await.expect("taken over");
    assert_eq!((taken.step, taken.new_sid), (Step::Intended, Some(sid('b'))));
    assert_eq!(states(&store).await, [(sid('a'), KeyState::Active)]);
    assert!(matches!(store.key_swapped(&taken).await, Err(StoreError::Refused(_))));
    store.key_rolled_back(&taken, "deleted").await.expect("rolled back");
    // Taken over and put in use first: whoever was slow may not delete it.
    let entry = begin().await;
    let taken = store.take_over(&entry, "quick").await.expect("taken over");
    store.key_swapped(&taken).await.expect("swapped");
    assert!(matches!(store.key_withdrawn(&entry).await, Err(StoreError::Refused(_))));
    assert_eq!(states(&store).await, [(sid('b'), KeyState::Active), (sid('a'), KeyState::Retiring)]);
}

async fn nothing_is_imported_beside_a_key_that_is_being_made(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    let entry = store.begin_key(Op::Create, &team("billing"), "me", Duration::ZERO).await.expect("begun");
    let import = async || store.import_key(&team("billing"), sid('c'), &secret(), false).await;
    assert!(matches!(import().await, Err(StoreError::Refused(why)) if why.contains("under way")));
    let entry = store.key_created(&entry, sid('a'), &secret()).await.expect("created");
    assert!(matches!(import().await, Err(StoreError::Refused(_))));
    store.key_swapped(&entry).await.expect("swapped");
    assert_eq!(states(&store).await, [(sid('a'), KeyState::Active)]);
}

async fn what_the_upstream_refuses_is_never_replaced_by_the_clock(place: Place) {
    let store = place.store().await;
    make_team(&store, "billing").await;
    with_key(&store, "billing", sid('a')).await;
    let due = async || store.rotations_due(Some(Duration::ZERO)).await.expect("read").len();
    assert_eq!(due().await, 1);
    for state in [KeyState::Rejected, KeyState::Missing] {
        store.mark_key(&sid('a'), state).await.expect("marked");
        assert_eq!(due().await, 0, "somebody may have deleted it for a reason");
    }
}
