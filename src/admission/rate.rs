//! How many requests a team may make in a time.

use crate::ids::TeamId;
use dashmap::DashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What a team may save up, in nanoseconds: a second's worth of requests, so that none waits longer than a second.
const SAVED: u64 = 1_000_000_000;

/// The rates of all teams, on all cores together. A reload keeps them.
#[derive(Debug)]
pub struct Rates {
    began: Instant,
    /// When what a team has used will have come back, in nanoseconds after `began` (GCRA's theoretical arrival time).
    teams: DashMap<TeamId, AtomicU64>,
}

impl Rates {
    /// Nothing used yet. `now`: no later than what [`Rates::take`] is told.
    pub fn new(now: Instant) -> Self {
        Self { began: now, teams: DashMap::new() }
    }

    /// Takes a request's part of `per_second`. `false`, and nothing is taken, if the team has used a second's worth.
    #[must_use = "without its part, the request may not go on"]
    pub fn take(&self, team: &TeamId, per_second: NonZeroU32, now: Instant) -> bool {
        let now = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        let part = SAVED / u64::from(per_second.get());
        let back = |at: u64| Some(at.max(now).saturating_add(part)).filter(|back| back - now <= SAVED);
        let take = |used: &AtomicU64| used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back).is_ok();
        // Looked for first: the entry's lock would keep other cores out.
        if let Some(used) = self.teams.get(team) {
            return take(&used);
        }
        take(&self.teams.entry(team.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn team(name: &str) -> TeamId {
        TeamId::parse(name).expect("a name")
    }

    /// How many of many are let through at once.
    fn burst(rates: &Rates, name: &str, per_second: u32, now: Instant) -> usize {
        let per_second = NonZeroU32::new(per_second).expect("not 0");
        (0..10_000).filter(|_| rates.take(&team(name), per_second, now)).count()
    }

    #[test]
    fn a_team_has_a_seconds_worth_and_gets_it_back_as_time_goes_on() {
        let began = Instant::now();
        let rates = Rates::new(began);
        let at = |millis| began + Duration::from_millis(millis);
        assert_eq!(burst(&rates, "billing", 100, at(0)), 100);
        assert_eq!(burst(&rates, "billing", 100, at(250)), 25);
        assert_eq!(burst(&rates, "platform", 100, at(250)), 100, "each team has its own");
        assert_eq!(burst(&rates, "billing", 100, at(60_000)), 100, "no more is saved up");
        assert_eq!(burst(&rates, "alerts", 1, at(0)), 1);
        assert_eq!(burst(&rates, "alerts", 1, at(999)), 0);
        assert_eq!(burst(&rates, "alerts", 1, at(1000)), 1);
    }

    #[test]
    fn cores_that_take_at_once_take_no_more_together() {
        let began = Instant::now();
        let rates = Rates::new(began);
        let taken: usize = std::thread::scope(|scope| {
            let cores: Vec<_> = (0..4).map(|_| scope.spawn(|| burst(&rates, "billing", 1000, began))).collect();
            cores.into_iter().map(|core| core.join().expect("no panic")).sum()
        });
        assert_eq!(taken, 1000);
    }
}
