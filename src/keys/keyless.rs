//! Teams that a key is of no use to.

use super::error::LifeError;
use super::life::Life;
use crate::config::Kind;
use crate::ids::TeamId;
use crate::store::StoreError;

impl Life {
    /// Refuses a key for a master team: nothing would use it.
    pub(super) async fn must_use_keys(&self, team: &TeamId) -> Result<(), LifeError> {
        if self.store.team(team).await?.kind == Kind::Standard {
            return Ok(());
        }
        let text =
            format!("team {team} is a master team, which acts with [upstream.master] and uses no key of its own");
        Err(StoreError::Refused(text).into())
    }
}
