//! What the commands that work on the store share: opening it, and tables for people.

use super::{Context, Failure, process};
use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::{AuditMode, Config};
use crate::ids::TeamId;
use crate::keys::{Life, LifeError};
use crate::store::{Store, StoreError};
use std::fmt::Write as _;

/// Opens the store of the config and runs `work` on it.
pub(super) fn with_store<T>(
    context: &Context,
    work: impl AsyncFnOnce(Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_config(context, async |store, _| work(store).await)
}

/// A change of the store, as the audit names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    action: &'a str,
    subject: &'a str,
    team: Option<&'a TeamId>,
}

impl<'a> Change<'a> {
    pub(super) const fn new(action: &'a str, subject: &'a str) -> Self {
        Self { action, subject, team: None }
    }

    /// It is one of this team, and has no effect where the config file declares the team too, since the file is heard: it is
    /// refused, for nobody is to think a team disabled that is not.
    pub(super) const fn of(self, team: &'a TeamId) -> Self {
        Self { team: Some(team), ..self }
    }

    fn must_have_effect(&self, context: &Context, config: &Config) -> Result<(), Failure> {
        let Some(name) = self.team.filter(|name| declares(config, name)) else { return Ok(()) };
        let file = context.path().display();
        let told = format!("team \"{name}\" is declared in {file} already, which is heard before the store");
        Err(Failure::failed(format!("{told}: change it there")))
    }
}

/// Whether the config file declares this team, so that the store's is not heard.
pub(super) fn declares(config: &Config, name: &TeamId) -> bool {
    config.teams.iter().any(|team| team.name == *name)
}

/// The same with the life of keys: it speaks to the upstream, and records what it does.
pub(super) fn with_life<T>(
    context: &Context,
    work: impl AsyncFnOnce(Life) -> Result<T, LifeError>,
) -> Result<T, Failure> {
    with_config(context, async |store, config| Ok(work(life(store, config)).await?))
}

/// The same, recorded as with [`with_record`].
pub(super) fn with_life_record<T>(
    context: &Context,
    change: Change<'_>,
    work: impl AsyncFnOnce(Life) -> Result<T, LifeError>,
) -> Result<T, Failure> {
    with_config(context, async |store, config| {
        change.must_have_effect(context, config)?;
        recorded(config, change, work(life(store, config))).await
    })
}

/// What changes keys of this store.
pub(super) fn life(store: Store, config: &Config) -> Life {
    let trail = Trail::visit(&config.audit, Clock::system());
    Life::new(store, &config.upstream, Clock::system(), Some(trail))
}

/// Runs `work` on the store and records it in the audit, before and after: what can't be recorded is not done.
pub(super) fn with_record<T>(
    context: &Context,
    change: Change<'_>,
    work: impl AsyncFnOnce(Store, &Config) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    with_config(context, async |store, config| {
        change.must_have_effect(context, config)?;
        recorded(config, change, work(store, config)).await
    })
}

/// Does it, recorded before and after: that it was asked for, and what came of it.
pub(super) async fn recorded<T, E: ToString + Into<Failure>>(
    config: &Config,
    Change { action, subject, .. }: Change<'_>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let trail = Trail::visit(&config.audit, Clock::system());
    let asked = trail.admin_record("", action, subject, "asked").await;
    if asked.is_err() && config.audit.mode == AuditMode::Required {
        return Err(Failure::failed("nothing was done: the audit can't be written (audit.mode is \"required\")"));
    }
    let outcome = work.await;
    let result = outcome.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
    // It has happened, recorded or not.
    let _ = trail.admin_record("", action, subject, &result).await;
    outcome.map_err(Into::into)
}

/// The same with the config at hand.
pub(super) fn with_config<T>(
    context: &Context,
    work: impl AsyncFnOnce(Store, &Config) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = context.load()?;
    let Some(settings) = &config.store else {
        let file = context.path().display();
        return Err(Failure::failed(format!(
            "this command needs [store] in {file}; teams declared in the file are edited there"
        )));
    };
    let runtime = process::runtime()?;
    runtime.block_on(async {
        let store = Store::open(settings, Clock::system()).await?;
        work(store, &config).await
    })
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<LifeError> for Failure {
    fn from(error: LifeError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Columns for people: a head, then rows, padded to the widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row.get(at).map_or(0, |cell| cell.chars().count()));
        cells.chain([head[at].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // A String takes all that is written to it.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_padded() {
        let rows = [vec!["billing".to_owned(), "x".to_owned()], vec!["a".to_owned(), String::new()]];
        assert_eq!(table(&["TEAM", "KEY"], &rows), "TEAM     KEY\nbilling  x\na\n");
    }
}
