//! `sidekey team`: who owns callers, tokens and keys.

use super::stored::{Change, declares, life, recorded, table, with_config, with_record};
use super::{Context, Failure, value};
use crate::audit;
use crate::config::{Config, Kind, TeamPolicy};
use crate::ids::{AccountSid, TeamId};
use crate::keys::view::{TeamBrief, TeamFull};
use crate::policy::rules::{self, Idle};
use crate::store::{Store, TeamRow};
use crate::twilio::management::GRANTS;
use clap::Subcommand;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

/// `sidekey team …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a team
    Create {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
        /// Create a master team: it may manage accounts and keys, and acts with [upstream.master]
        #[arg(long)]
        master: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a team's settings; what is not named stays
    Set {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
        #[command(flatten)]
        settings: Settings,
    },
    /// List teams
    List,
    /// Show one team
    Show {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
    /// Refuse a team's callers until it is enabled again
    Disable {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
    /// Let a disabled team's callers in again
    Enable {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
    /// Delete a team, its tokens, and (at the upstream) the keys that sidekey made for it
    Delete {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
}

/// Not a doc comment: it names a setting as it is written.
const ACCOUNT_HELP: &str = "An account the team is pinned to; repeatable; with none, or with '', a standard team has \
    upstream.account_sid and a master team all";

/// What a team may be given beside its name and kind. An empty value (`--allow ''`) clears a list.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Settings {
    #[arg(long = "account", value_name = "AC…", value_parser = value::account, help = ACCOUNT_HELP)]
    accounts: Vec<String>,
    /// Policy: if given, only these operations, as `explain` prints them; a trailing * matches any rest; repeatable; ''
    /// clears
    #[arg(long, value_name = "OPERATION")]
    allow: Vec<String>,
    /// Policy: never these operations; repeatable; '' clears
    #[arg(long, value_name = "OPERATION")]
    deny: Vec<String>,
    /// Policy: a credential operation that is closed by default; repeatable; '' clears
    #[arg(long, value_name = "OPERATION")]
    open: Vec<String>,
    /// A permission of the team's keys, which makes them Restricted keys; repeatable; '' clears; takes effect with
    /// the next key
    #[arg(long = "key-permission", value_name = "/twilio/…", value_parser = value::permission)]
    key_permissions: Vec<String>,
    /// A grant that the team's Access Tokens may carry; repeatable; with none, or with '', all
    #[arg(long = "grant", value_name = "GRANT", value_parser = grant)]
    grants: Vec<String>,
    /// Rotate the team's key this often; 0s: as `store.rotate_every` says
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    rotate_every: Option<Duration>,
}

impl Settings {
    /// Refuses a rule that can have no effect: nobody is to think something denied that is not.
    fn check(&self) -> Result<(), Failure> {
        let given = |list: &[String]| list.iter().filter(|rule| !rule.is_empty()).cloned().collect();
        let policy = TeamPolicy { open: given(&self.open), allow: given(&self.allow), deny: given(&self.deny) };
        let told: Vec<String> =
            rules::idle(&policy).iter().map(|Idle { rule, list, why }| format!("--{list} '{rule}' {why}")).collect();
        if told.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!("nothing was done: {}; {}", told.join("; "), rules::MEND)))
    }

    /// Says what is named, for the audit.
    fn say(&self, said: &mut audit::Settings) {
        let lists = [
            ("accounts", &self.accounts),
            ("open", &self.open),
            ("allow", &self.allow),
            ("deny", &self.deny),
            ("key_permissions", &self.key_permissions),
            ("grants", &self.grants),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            said.list(name, list.iter().filter(|item| !item.is_empty()));
        }
        if let Some(every) = self.rotate_every {
            said.set("rotate_every", format_args!("{}s", every.as_secs()));
        }
    }

    /// Whether nothing is named.
    fn is_empty(&self) -> bool {
        let Self { accounts, allow, deny, open, key_permissions, grants, rotate_every } = self;
        [accounts, allow, deny, open, key_permissions, grants].iter().all(|list| list.is_empty())
            && rotate_every.is_none()
    }

    /// Puts what is named into a team.
    fn apply(&self, team: &mut TeamRow) {
        if !self.accounts.is_empty() {
            team.accounts = self.accounts.iter().filter_map(|account| AccountSid::parse(account)).collect();
            let mut seen = HashSet::new();
            team.accounts.retain(|account| seen.insert(*account));
        }
        replace(&mut team.policy.allow, &self.allow);
        replace(&mut team.policy.deny, &self.deny);
        replace(&mut team.policy.open, &self.open);
        replace(&mut team.key_permissions, &self.key_permissions);
        if !self.grants.is_empty() {
            let mut grants = Vec::new();
            replace(&mut grants, &self.grants);
            team.grants = if grants.is_empty() { None } else { Some(grants) };
        }
        if let Some(every) = self.rotate_every {
            team.rotate_every = Some(every).filter(|every| !every.is_zero());
        }
    }
}

fn replace(list: &mut Vec<String>, given: &[String]) {
    if !given.is_empty() {
        *list = given.iter().filter(|item| !item.is_empty()).cloned().collect();
    }
}

fn grant(text: &str) -> Result<String, String> {
    let known = text.is_empty() || GRANTS.contains(&text);
    if known { Ok(text.to_owned()) } else { Err(format!("expected one of {}", GRANTS.join(", "))) }
}

pub(super) fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create { name, master, settings } => {
            settings.check()?;
            let mut team = TeamRow::new(name);
            team.kind = if master { Kind::Master } else { Kind::Standard };
            settings.apply(&mut team);
            let name = team.name.clone();
            let mut said = audit::Settings::of(&name);
            if master {
                said.set("kind", "master");
            }
            settings.say(&mut said);
            let change = Change::new("team.create", said.as_str()).of(&name);
            let made = with_record(context, change, async |store, config| {
                if master && config.upstream.master.is_none() {
                    tracing::warn!(
                        "a master team acts with [upstream.master], which the config has not: no_key until then"
                    );
                }
                store.create_team(team).await
            })?;
            context.print(&TeamBrief::from(&made), || format!("created team {}\n", made.name))
        }
        Command::Set { name, settings } => {
            if settings.is_empty() {
                return Err(Failure::Usage("team set: name what to change; --help lists the settings".to_owned()));
            }
            settings.check()?;
            let work = async |store: Store, config: &Config| {
                let team = store.change_team(&name, |team| settings.apply(team)).await?;
                Ok((team, config.upstream.account_sid))
            };
            let mut said = audit::Settings::of(&name);
            settings.say(&mut said);
            let (team, own) = with_record(context, Change::new("team.change", said.as_str()).of(&name), work)?;
            context.print(&TeamFull::from(&team), || describe(&TeamFull::from(&team), own))
        }
        Command::List => list(context),
        Command::Show { name } => {
            let work =
                async |store: Store, config: &Config| Ok((store.team(&name).await?, config.upstream.account_sid));
            let (team, own) = with_config(context, work)?;
            context.print(&TeamFull::from(&team), || describe(&TeamFull::from(&team), own))
        }
        Command::Disable { name } => disable(&name, true, context),
        Command::Enable { name } => disable(&name, false, context),
        Command::Delete { name } => delete(&name, context),
    }
}

fn delete(name: &TeamId, context: &Context) -> Result<(), Failure> {
    with_config(context, async |store, config| {
        let life = life(store, config);
        recorded(config, Change::new("team.delete", name.as_str()), life.delete_team(name)).await?;
        if declares(config, name) {
            let file = context.path().display();
            tracing::warn!("only the store's team \"{name}\" is deleted: the one that {file} declares stays");
        }
        Ok(())
    })?;
    let gone = serde_json::json!({ "name": name.as_str(), "deleted": true });
    context.print(&gone, || format!("deleted team {name}\n"))
}

fn list(context: &Context) -> Result<(), Failure> {
    let work = async |store: Store, config: &Config| Ok((store.teams().await?, config.upstream.account_sid));
    let (teams, own) = with_config(context, work)?;
    let all: Vec<TeamBrief> = teams.iter().map(TeamBrief::from).collect();
    let rows = || all.iter().map(|team| row(team, own)).collect::<Vec<_>>();
    context.print(&all, || table(&["TEAM", "KIND", "ACCOUNTS", "STATE"], &rows()))
}

fn disable(name: &TeamId, disabled: bool, context: &Context) -> Result<(), Failure> {
    let (action, word) = if disabled { ("team.disable", "disabled") } else { ("team.enable", "enabled") };
    let work = async |store: Store, _: &Config| store.set_team_disabled(name, disabled).await;
    let team = with_record(context, Change::new(action, name.as_str()).of(name), work)?;
    context.print(&TeamBrief::from(&team), || format!("{word} team {name}\n"))
}

/// `own` is the account of a standard team that was given none.
fn row(team: &TeamBrief, own: AccountSid) -> Vec<String> {
    let accounts = match (team.accounts.is_empty(), team.kind) {
        (false, _) => team.accounts.join(" "),
        (true, Kind::Standard) => own.to_string(),
        (true, Kind::Master) => "all".to_owned(),
    };
    let kind = if team.kind == Kind::Master { "master" } else { "standard" };
    let state = if team.disabled { "disabled" } else { "enabled" };
    vec![team.name.clone(), kind.to_owned(), accounts, state.to_owned()]
}

fn describe(team: &TeamFull, own: AccountSid) -> String {
    let row = row(&team.brief, own);
    let mut text = format!("team      {}\nkind      {}\naccounts  {}\nstate     {}\n", row[0], row[1], row[2], row[3]);
    let policy = &team.policy;
    let lists = [
        ("allow     ", &policy.allow),
        ("deny      ", &policy.deny),
        ("open      ", &policy.open),
        ("key may   ", &team.key_permissions),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        // A String takes all that is written to it.
        let _ = writeln!(text, "{name}{}", list.join(" "));
    }
    if let Some(grants) = &team.grants {
        let _ = writeln!(text, "grants    {}", grants.join(" "));
    }
    if let Some(every) = &team.rotate_every {
        let _ = writeln!(text, "rotate    every {every}");
    }
    let _ = writeln!(text, "created   {}", team.created_at);
    text
}
