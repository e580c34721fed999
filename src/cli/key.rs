//! `sidekey key`: the Twilio keys that teams act with.

use super::stored::{moment, table, with_life, with_store};
use super::{Context, Failure, value};
use crate::clock::Clock;
use crate::ids::{KeySid, TeamId};
use crate::keys::{DEFAULT_GRACE, LONGEST_DRAIN, Life, Listed, Reconciled};
use crate::secret::Secret;
use crate::store::{Entry, KeyRow, Step};
use clap::Subcommand;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest grace that `rotate` itself waits for; a longer one is the broker's to end, or the next key command's.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longest secret that is read, in bytes. Twilio's have 32 (Twilio docs).
const MAX_SECRET: u64 = 1024;

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
            let key = with_life(context, async |life| {
                life.retire_due().await?;
                Ok(life.create(&team).await?)
            })?;
            context.print(&Brief::of(&key), || format!("created key {} for team {team}\n", key.sid))
        }
        Command::Import { team, sid, secret_file, restricted } => {
            let secret = read_secret(&secret_file)?;
            let import = async |life: Life| Ok(life.import(&team, sid, &secret, restricted).await?);
            let key = with_life(context, import)?;
            context.print(&Brief::of(&key), || format!("imported key {sid} for team {team}\n"))
        }
        Command::List { team } => list(team.as_ref(), context),
        Command::Rotate { team, grace } => rotate(&team, grace.unwrap_or(DEFAULT_GRACE), context),
        Command::Revoke { sid } => {
            with_life(context, async |life| Ok(life.revoke(&sid).await?))?;
            let gone = serde_json::json!({ "sid": sid.as_str(), "revoked": true });
            context.print(&gone, || format!("revoked key {sid}\n"))
        }
        Command::Reconcile { delete_orphans } => {
            let found = with_life(context, async |life| {
                if delete_orphans {
                    life.retire_due().await?;
                }
                Ok(life.reconcile(delete_orphans).await?)
            })?;
            context.print(&Difference::of(&found), || Difference::of(&found).text())
        }
    }
}

fn rotate(team: &TeamId, grace: Duration, context: &Context) -> Result<(), Failure> {
    let key = with_life(context, async |life| {
        life.retire_due().await?;
        let (key, entry) = life.rotate(team, grace).await?;
        if grace <= PATIENCE {
            wait_for_the_old_key(&life, &entry, grace).await;
        }
        Ok(key)
    })?;
    context.print(&Brief::of(&key), || format!("team {team} now uses key {}\n", key.sid))
}

/// Waits until the old key is deleted, here or by a broker. The new one is in use whatever comes of it.
async fn wait_for_the_old_key(life: &Life, entry: &Entry, grace: Duration) {
    let clock = Clock::system();
    let until = clock.instant() + grace + LONGEST_DRAIN + Duration::from_secs(5);
    while clock.instant() < until {
        let outcome = async {
            life.retire_due().await?;
            Ok::<_, crate::keys::LifeError>(life.store().entry(entry.id).await?.step)
        };
        match outcome.await {
            Ok(Step::Swapped | Step::Deleting) => {}
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
    let all: Vec<Full> = rows.iter().map(|row| Full::of(row, now)).collect();
    let head = ["SID", "TEAM", "STATE", "KIND", "AGE", "LAST USED"];
    context.print(&all, || table(&head, &all.iter().map(Full::row).collect::<Vec<_>>()))
}

/// Reads a secret from a file, or from stdin; blanks around it go.
fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let name = path.display();
    let mut text = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_SECRET + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut text))
    };
    read.map_err(|error| Failure::failed(format!("--secret-file {name}: {error}")))?;
    let secret = text.trim_ascii();
    if secret.is_empty() || text.len() as u64 > MAX_SECRET || !secret.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::failed(format!("--secret-file {name}: expected the key's secret and nothing else")));
    }
    Ok(Secret::new(secret))
}

/// A key after a change.
#[derive(Serialize)]
struct Brief {
    sid: String,
    team: String,
    state: &'static str,
    created_at: String,
}

impl Brief {
    fn of(key: &KeyRow) -> Self {
        Self {
            sid: key.sid.to_string(),
            team: key.team.to_string(),
            state: key.state.name(),
            created_at: moment(key.created_at),
        }
    }
}

/// A key in a list.
#[derive(Serialize)]
struct Full {
    #[serde(flatten)]
    brief: Brief,
    kind: &'static str,
    imported: bool,
    friendly_name: Option<String>,
    age_seconds: u64,
    last_used_at: Option<String>,
}

impl Full {
    fn of(key: &KeyRow, now: u64) -> Self {
        Self {
            brief: Brief::of(key),
            kind: if key.restricted { "restricted" } else { "standard" },
            imported: key.imported,
            friendly_name: key.friendly_name.clone(),
            age_seconds: now.saturating_sub(key.created_at),
            last_used_at: key.last_used_at.map(moment),
        }
    }

    fn row(&self) -> Vec<String> {
        let used = self.last_used_at.clone().unwrap_or_else(|| "never".to_owned());
        let brief = &self.brief;
        let (state, kind) = (brief.state.to_owned(), self.kind.to_owned());
        vec![brief.sid.clone(), brief.team.clone(), state, kind, age(self.age_seconds), used]
    }
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

/// What `reconcile` found.
#[derive(Serialize)]
struct Difference {
    orphans: Vec<Other>,
    strangers: Vec<Other>,
    missing: Vec<Missing>,
    deleted: Vec<String>,
}

/// A key that no team holds.
#[derive(Serialize)]
struct Other {
    sid: String,
    friendly_name: Option<String>,
    created_at: Option<String>,
}

/// A key that the upstream doesn't list.
#[derive(Serialize)]
struct Missing {
    sid: String,
    team: String,
}

impl Difference {
    fn of(found: &Reconciled) -> Self {
        let other = |key: &Listed| Other {
            sid: key.sid.to_string(),
            friendly_name: key.friendly_name.clone(),
            created_at: key.date_created.clone(),
        };
        let missing = |(sid, team): &(KeySid, TeamId)| Missing { sid: sid.to_string(), team: team.to_string() };
        Self {
            orphans: found.orphans.iter().map(other).collect(),
            strangers: found.strangers.iter().map(other).collect(),
            missing: found.missing.iter().map(missing).collect(),
            deleted: found.deleted.iter().map(ToString::to_string).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (kind, keys) in [("orphan", &self.orphans), ("stranger", &self.strangers)] {
            for key in keys {
                let name: String = key.friendly_name.as_deref().unwrap_or("").escape_debug().collect();
                let fate = if self.deleted.contains(&key.sid) { " (deleted)" } else { "" };
                // A String takes all that is written to it.
                let _ = writeln!(text, "{kind:9} {} {name}{fate}", key.sid);
            }
        }
        for key in &self.missing {
            let _ = writeln!(text, "missing   {} of team {}: rotate or revoke it", key.sid, key.team);
        }
        if text.is_empty() { "the store and the upstream agree\n".to_owned() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_are_said_in_their_largest_unit() {
        assert_eq!([59, 60, 7200, 90_000].map(age), ["59s", "1m", "2h", "1d"]);
    }
}
