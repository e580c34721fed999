//! `sidekey key`: the Twilio keys that teams act with.

use super::stored::{Change, table, with_life, with_life_record, with_store};
use super::{Context, Failure, value};
use crate::clock::Clock;
use crate::ids::{KeySid, TeamId};
use crate::keys::view::{Difference, KeyBrief, KeyView, moment};
use crate::keys::{DEFAULT_GRACE, LONGEST_DRAIN, Life, is_secret};
use crate::secret::Secret;
use crate::store::{Entry, Step};
use clap::Subcommand;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest grace that `rotate` itself waits for; a longer one is the broker's to end, or the next key command's.
const PATIENCE: Duration = Duration::from_mins(1);

/// Most bytes that are read of a secret's file: more than any secret has, with room for blanks.
const MAX_FILE: u64 = 2048;

/// `sidekey key …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key at the upstream for a team
    Create {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
    },
    /// Take over a key that exists at the upstream
    Import {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
        /// The key's SID
        #[arg(long, value_name = "SK…")]
        sid: KeySid,
        /// File that holds the key's secret; `-` is stdin
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// It is a Restricted key: it can't sign Access Tokens, and it is managed through iam
        #[arg(long)]
        restricted: bool,
    },
    /// List keys, of one team or of all; secrets are never shown
    List {
        /// Only this team's
        #[arg(value_parser = value::team)]
        team: Option<TeamId>,
    },
    /// Replace a team's key without losing a request
    Rotate {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
        /// How long the old key is kept after the swap [default: 10m]; up to 1m is waited for, a longer one is ended by
        /// a broker that runs, or by the next key command
        #[arg(long, value_name = "DURATION", value_parser = value::duration)]
        grace: Option<Duration>,
    },
    /// Delete a key at the upstream and forget it
    Revoke {
        /// The key's SID
        #[arg(value_name = "SK…")]
        sid: KeySid,
    },
    /// Compare the upstream's keys with the store: orphans, strangers and missing ones
    Reconcile {
        /// Delete the orphans: keys that sidekey made and no team holds
        #[arg(long)]
        delete_orphans: bool,
    },
}

pub(super) fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create { team } => {
            let key = with_life_record(context, Change::new("key.create", team.as_str()).of(&team), async |life| {
                life.retire_due().await?;
                life.create(&team).await
            })?;
            context.print(&KeyBrief::from(&key), || format!("created key {} for team {team}\n", key.sid))
        }
        Command::Import { team, sid, secret_file, restricted } => {
            let secret = read_secret(&secret_file)?;
            let import = async |life: Life| life.import(&team, sid, &secret, restricted).await;
            let subject = format!("{sid} of {team}");
            let key = with_life_record(context, Change::new("key.import", &subject).of(&team), import)?;
            context.print(&KeyBrief::from(&key), || format!("imported key {sid} for team {team}\n"))
        }
        Command::List { team } => list(team.as_ref(), context),
        Command::Rotate { team, grace } => rotate(&team, grace.unwrap_or(DEFAULT_GRACE), context),
        Command::Revoke { sid } => {
            with_life_record(context, Change::new("key.revoke", sid.as_str()), async |life| life.revoke(&sid).await)?;
            let gone = serde_json::json!({ "sid": sid.as_str(), "revoked": true });
            context.print(&gone, || format!("revoked key {sid}\n"))
        }
        Command::Reconcile { delete_orphans } => {
            let found = if delete_orphans {
                with_life_record(context, Change::new("key.reconcile", "orphans"), async |life| {
                    life.retire_due().await?;
                    life.reconcile(true).await
                })?
            } else {
                with_life(context, async |life| life.reconcile(false).await)?
            };
            context.print(&Difference::from(&found), || describe(&Difference::from(&found)))
        }
    }
}

fn rotate(team: &TeamId, grace: Duration, context: &Context) -> Result<(), Failure> {
    let (key, old) = with_life_record(context, Change::new("key.rotate", team.as_str()).of(team), async |life| {
        life.retire_due().await?;
        let (key, entry) = life.rotate(team, grace).await?;
        if grace <= PATIENCE {
            wait_for_the_old_key(&life, &entry, grace).await;
        }
        let end = life.store().now().saturating_add(grace.as_secs());
        Ok((key, entry.old_sid.filter(|_| grace > PATIENCE).map(|old| (old, end))))
    })?;
    context.print(&KeyBrief::from(&key), || {
        let lives = |(old, end)| {
            let end = moment(end);
            format!(
                "key {old} is good until {end}, when a broker that runs deletes it, or the next key command after\n"
            )
        };
        format!("team {team} now uses key {}\n{}", key.sid, old.map_or_else(String::new, lives))
    })
}

/// Waits until the old key is deleted, here or by a broker. The new one is in use whatever comes of it.
async fn wait_for_the_old_key(life: &Life, entry: &Entry, grace: Duration) {
    let clock = Clock::system();
    let until = clock.instant() + grace + LONGEST_DRAIN + Duration::from_secs(5);
    while clock.instant() < until {
        let outcome = async {
            let left = life.retire_due().await?.contains(&entry.id);
            Ok::<_, crate::keys::LifeError>((life.store().entry(entry.id).await?.step, left))
        };
        match outcome.await {
            Ok((Step::Swapped | Step::Deleting, false)) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "the new key is in use; the old one is not deleted yet, and is tried again");
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tracing::warn!("the new key is in use; a broker deletes the old one when no request holds it");
}

fn list(team: Option<&TeamId>, context: &Context) -> Result<(), Failure> {
    let rows = with_store(context, async |store| Ok(store.keys(team).await?))?;
    let now = Clock::system().unix_seconds();
    let all: Vec<KeyView> = rows.iter().map(|row| KeyView::at(row, now)).collect();
    let head = ["SID", "TEAM", "STATE", "KIND", "AGE", "LAST USED"];
    context.print(&all, || table(&head, &all.iter().map(row).collect::<Vec<_>>()))
}

/// Reads a secret from a file, or from stdin; blanks around it go.
fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let name = path.display();
    let mut text = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_FILE).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text))
    };
    read.map_err(|error| Failure::failed(format!("--secret-file {name}: {error}")))?;
    let secret = text.trim_ascii();
    if !is_secret(secret) {
        return Err(Failure::failed(format!("--secret-file {name}: expected the key's secret and nothing else")));
    }
    Ok(Secret::new(secret))
}

fn row(key: &KeyView) -> Vec<String> {
    let used = key.last_used_at.clone().unwrap_or_else(|| "never".to_owned());
    let (brief, kind) = (&key.brief, key.kind.to_owned());
    vec![brief.sid.clone(), brief.team.clone(), brief.state.to_owned(), kind, age(key.age_seconds), used]
}

/// An age in its largest whole unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn describe(found: &Difference) -> String {
    let mut text = String::new();
    for (kind, keys) in [("orphan", &found.orphans), ("stranger", &found.strangers)] {
        for key in keys {
            let name: String = key.friendly_name.as_deref().unwrap_or("").escape_debug().collect();
            let fate = if found.deleted.contains(&key.sid) { " (deleted)" } else { "" };
            // A String takes all that is written to it.
            let _ = writeln!(text, "{kind:9} {} {name}{fate}", key.sid);
        }
    }
    for key in &found.missing {
        let _ = writeln!(text, "missing   {} of team {}: rotate or revoke it", key.sid, key.team);
    }
    if text.is_empty() { "the store and the upstream agree\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_are_said_in_their_largest_unit() {
        assert_eq!([59, 60, 7200, 90_000].map(age), ["59s", "1m", "2h", "1d"]);
    }
}
