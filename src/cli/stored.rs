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

/// The same with the life of keys: it speaks to the upstream, and records what it does. `asked`, action and subject of a
/// change, is recorded before: what can't be recorded is not done.
pub(super) fn with_life<T>(
    context: &Context,
    asked: Option<(&str, &str)>,
    work: impl AsyncFnOnce(Life) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_config(context, async |store, config| {
        let trail = Trail::visit(&config.audit, Clock::system());
        if let Some(asked) = asked {
            record_asked(&trail, config, asked).await?;
        }
        work(Life::new(store, &config.upstream, Clock::system(), Some(trail))).await
    })
}

async fn record_asked(trail: &Trail, config: &Config, (action, subject): (&str, &str)) -> Result<(), Failure> {
    let asked = trail.admin_record("", action, subject, "asked").await;
    if asked.is_err() && config.audit.mode == AuditMode::Required {
        return Err(Failure::failed("nothing was done: the audit can't be written (audit.mode is \"required\")"));
    }
    Ok(())
}

/// Runs `work` on the store and records it in the audit, before and after: what can't be recorded is not done.
pub(super) fn with_record<T>(
    context: &Context,
    action: &str,
    subject: &str,
    work: impl AsyncFnOnce(Store) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    with_config(context, async |store, config| recorded(store, config, (action, subject), work).await)
}

/// The same for a change of a team that has no effect where the config file declares the team too, since the file is
/// heard: it is refused, for nobody is to think a team disabled that is not.
pub(super) fn with_team_record<T>(
    context: &Context,
    action: &str,
    name: &TeamId,
    work: impl AsyncFnOnce(Store) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    with_config(context, async |store, config| {
        if config.teams.iter().any(|team| team.name == *name) {
            let file = context.path().display();
            let told = format!("team \"{name}\" is declared in {file} already, which is heard before the store");
            return Err(Failure::failed(format!("{told}: change it there")));
        }
        recorded(store, config, (action, name.as_str()), work).await
    })
}

/// Does it, recorded before and after.
pub(super) async fn recorded<T>(
    store: Store,
    config: &Config,
    (action, subject): (&str, &str),
    work: impl AsyncFnOnce(Store) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    let trail = Trail::visit(&config.audit, Clock::system());
    record_asked(&trail, config, (action, subject)).await?;
    let outcome = work(store).await;
    let result = outcome.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
    // It has happened, recorded or not.
    let _ = trail.admin_record("", action, subject, &result).await;
    Ok(outcome?)
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
