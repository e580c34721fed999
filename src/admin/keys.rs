//! `/v1/keys`, a team's keys, and their comparison with the upstream's.

use super::Parts;
use super::answer::Answer;
use super::input::{self, KeyOrder};
use super::problem::Problem;
use crate::ids::TeamId;
use crate::keys::view::{Difference, KeyView};
use crate::keys::{DEFAULT_GRACE, Life};

pub(super) async fn list(parts: &Parts, life: &Life, team: Option<&TeamId>) -> Result<Answer, Problem> {
    let now = parts.clock.unix_seconds();
    let keys: Vec<KeyView> = life.store().keys(team).await?.iter().map(|key| KeyView::at(key, now)).collect();
    Ok(Answer::json(200, &keys))
}

pub(super) async fn show(parts: &Parts, life: &Life, sid: &str) -> Result<Answer, Problem> {
    let key = life.store().key(&input::sid(sid)?).await?;
    Ok(Answer::json(200, &KeyView::at(&key, parts.clock.unix_seconds())))
}

pub(super) async fn make(parts: &Parts, life: &Life, team: &str, body: &[u8]) -> Result<Answer, Problem> {
    let (team, order) = (input::team(team)?, input::read::<input::NewKey>(body)?.order()?);
    parts.must_have_effect(&team)?;
    let key = match order {
        KeyOrder::Create => parts.recorded("key.create", team.as_str(), life.create(&team)).await?,
        KeyOrder::Import { sid, secret, restricted } => {
            let subject = format!("{sid} of {team}");
            parts.recorded("key.import", &subject, life.import(&team, sid, &secret, restricted)).await?
        }
    };
    Ok(Answer::json(201, &KeyView::at(&key, parts.clock.unix_seconds())))
}

pub(super) async fn rotate(parts: &Parts, life: &Life, team: &str, body: &[u8]) -> Result<Answer, Problem> {
    let (team, asked) = (input::team(team)?, input::read::<input::Rotation>(body)?);
    let grace = asked.grace.map_or(Ok(DEFAULT_GRACE), |text| input::duration("grace", &text))?;
    parts.must_have_effect(&team)?;
    let (key, _) = parts.recorded("key.rotate", team.as_str(), life.rotate(&team, grace)).await?;
    Ok(Answer::json(200, &KeyView::at(&key, parts.clock.unix_seconds())))
}

pub(super) async fn revoke(parts: &Parts, life: &Life, sid: &str) -> Result<Answer, Problem> {
    let sid = input::sid(sid)?;
    parts.recorded("key.revoke", sid.as_str(), life.revoke(&sid)).await?;
    Ok(Answer::empty())
}

pub(super) async fn reconcile(parts: &Parts, life: &Life, body: &[u8]) -> Result<Answer, Problem> {
    let asked = input::read::<input::Reconciliation>(body)?;
    let work = life.reconcile(asked.delete_orphans);
    let found =
        if asked.delete_orphans { parts.recorded("key.reconcile", "orphans", work).await? } else { work.await? };
    Ok(Answer::json(200, &Difference::from(&found)))
}
