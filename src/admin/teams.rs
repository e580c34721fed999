//! `/v1/teams`.

use super::answer::Answer;
use super::problem::Problem;
use super::{Parts, input};
use crate::ids::TeamId;
use crate::keys::Life;
use crate::keys::view::TeamFull;

pub(super) async fn list(life: &Life) -> Result<Answer, Problem> {
    let teams: Vec<TeamFull> = life.store().teams().await?.iter().map(TeamFull::from).collect();
    Ok(Answer::json(200, &teams))
}

/// Refuses a change of the store's team that would have no effect, since the config file declares the team too.
fn heard(parts: &Parts, name: &TeamId) -> Result<(), Problem> {
    if !parts.declared.contains(name) {
        return Ok(());
    }
    let told =
        format!("team \"{name}\" is declared in the config file, which is heard before the store: change it there");
    Err(Problem::new(409, "declared", told))
}

pub(super) async fn create(parts: &Parts, life: &Life, body: &[u8]) -> Result<Answer, Problem> {
    let row = input::read::<input::NewTeam>(body)?.row()?;
    heard(parts, &row.name)?;
    parts.record("team.create", row.name.as_str(), "asked").await?;
    Ok(Answer::json(201, &TeamFull::from(&life.store().create_team(row).await?)))
}

pub(super) async fn show(life: &Life, name: &str) -> Result<Answer, Problem> {
    Ok(Answer::json(200, &TeamFull::from(&life.store().team(&input::team(name)?).await?)))
}

pub(super) async fn change(parts: &Parts, life: &Life, name: &str, body: &[u8]) -> Result<Answer, Problem> {
    let (name, edit) = (input::team(name)?, input::read::<input::TeamChange>(body)?.check()?);
    if edit.disables() {
        heard(parts, &name)?;
    }
    parts.record("team.change", name.as_str(), "asked").await?;
    let team = life.store().change_team(&name, |team| edit.apply(team)).await?;
    Ok(Answer::json(200, &TeamFull::from(&team)))
}

pub(super) async fn delete(parts: &Parts, life: &Life, name: &str) -> Result<Answer, Problem> {
    let name = input::team(name)?;
    parts.record("team.delete", name.as_str(), "asked").await?;
    life.delete_team(&name).await?;
    Ok(Answer::empty())
}
