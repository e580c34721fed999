//! `/v1/teams`.

use super::answer::Answer;
use super::problem::Problem;
use super::{Parts, input};
use crate::audit::Settings;
use crate::keys::Life;
use crate::keys::view::TeamFull;

pub(super) async fn list(life: &Life) -> Result<Answer, Problem> {
    let teams: Vec<TeamFull> = life.store().teams().await?.iter().map(TeamFull::from).collect();
    Ok(Answer::json(200, &teams))
}

pub(super) async fn create(parts: &Parts, life: &Life, body: &[u8]) -> Result<Answer, Problem> {
    let (row, said) = input::read::<input::NewTeam>(body)?.row()?;
    parts.must_have_effect(&row.name)?;
    let team = parts.recorded("team.create", said.as_str(), life.store().create_team(row)).await?;
    Ok(Answer::json(201, &TeamFull::from(&team)))
}

pub(super) async fn show(life: &Life, name: &str) -> Result<Answer, Problem> {
    Ok(Answer::json(200, &TeamFull::from(&life.store().team(&input::team(name)?).await?)))
}

pub(super) async fn change(parts: &Parts, life: &Life, name: &str, body: &[u8]) -> Result<Answer, Problem> {
    let (name, edit) = (input::team(name)?, input::read::<input::TeamChange>(body)?.check()?);
    parts.must_have_effect(&name)?;
    let mut said = Settings::of(&name);
    edit.say(&mut said);
    let work = life.store().change_team(&name, |team| edit.apply(team));
    let team = parts.recorded("team.change", said.as_str(), work).await?;
    Ok(Answer::json(200, &TeamFull::from(&team)))
}

pub(super) async fn delete(parts: &Parts, life: &Life, name: &str) -> Result<Answer, Problem> {
    let name = input::team(name)?;
    parts.recorded("team.delete", name.as_str(), life.delete_team(&name)).await?;
    if parts.declared.contains(&name) {
        tracing::warn!("only the store's team \"{name}\" is deleted: the one that the config file declares stays");
    }
    Ok(Answer::empty())
}
