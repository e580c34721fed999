//! Teams that a key is of no use to.

use super::error::LifeError;
use super::life::Life;
use crate::config::Kind;
use crate::ids::TeamId;

impl Life {
    /// Says of a key for a master team that nothing uses it.
    pub(super) async fn note_useless(&self, team: &TeamId) -> Result<(), LifeError> {
        if self.store.team(team).await?.kind == Kind::Master {
            tracing::warn!(%team, "a master team acts with [upstream.master]: nothing uses a key of its own");
        }
        Ok(())
    }
}
