//! `/v1/teams`.

use super::answer::Answer;
use super::problem::Problem;
use super::{Parts, input};
use crate::keys::Life;
use crate::keys::view::TeamFull;

pub(super) async fn list(life: &Life) -> Result<Answer, Problem> {
    let teams: Vec<TeamFull> = life.store().teams().await?.iter().map(TeamFull::from).collect();
    Ok(Answer::json(200, &teams))
}

pub(super) async fn create(parts: &Parts, life: &Life, body: &[u8]) -> Result<Answer, Problem> {
    let row = input::read::<input::NewTeam>(body)?.row()?;
    parts.record("team.create", row.name.as_str(), "asked").await?;
    Ok(Answer::json(201, &TeamFull::from(&life.store().create_team(row).await?)))
}

pub(super) async fn show(life: &Life, name: &str) -> Result<Answer, Problem> {
    Ok(Answer::json(200, &TeamFull::from(&life.store().team(&input::team(name)?).await?)))
}

pub(super) async fn change(parts: &Parts, life: &Life, name: &str, body: &[u8]) -> Result<Answer, Problem> {
    let (name, edit) = (input::team(name)?, input::read::<input::TeamChange>(body)?.check()?);
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
