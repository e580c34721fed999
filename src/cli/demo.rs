//! `sidekey demo`: a sandbox, a broker and two teams on one machine.

mod command;
mod http;
mod stage;
mod story;

use super::{Context, Failure, process, signals};
use stage::Stage;
use std::fmt::Write as _;
use std::io::Write as _;

/// `sidekey demo`
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Walk the story once, show each step and end; exit 0 only if every step held
    #[arg(long)]
    once: bool,
}

/// Sets the stage; then walks the story, or serves until Ctrl-C.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let runtime = process::runtime()?;
    runtime.block_on(async {
        let mut stop = signals::Stop::listen()?;
        tokio::select! {
            outcome = walk(arguments.once, context) => outcome,
            () = stop.asked() => Ok(()),
        }
    })
}

async fn walk(once: bool, context: &Context) -> Result<(), Failure> {
    let stage = Stage::set().await?;
    if once {
        return story::tell(&stage, context).await;
    }
    show(&stage)?;
    std::future::pending().await
}

/// Prints what to paste.
fn show(stage: &Stage) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(lines(stage).as_bytes())?;
    Ok(stdout.flush()?)
}

fn lines(stage: &Stage) -> String {
    let (url, account) = (stage.url(), &stage.billing.username);
    let (billing, platform) = (&stage.billing.token, &stage.platform.token);
    let mut text = format!(
        "sidekey listens on {url}, in front of a sandbox of Twilio on {}.\n\
         Two teams: `billing` sends messages with a key that it never sees, `platform` (a master team) manages keys.\n\n",
        stage.sandbox_url()
    );
    let messages = format!("{url}/2010-04-01/Accounts/{account}/Messages.json");
    let _ = write!(
        text,
        "# curl: a message, a refusal, and what is closed to others\n\
         curl -u {account}:{billing} {messages} --data-urlencode To=+15005550006 \
         --data-urlencode From=+15005550001 -d Body=hello\n\
         curl -u {account}:{billing} {url}/2010-04-01/Accounts/{account}/Keys.json\n\
         curl -u {account}:{platform} {url}/2010-04-01/Accounts/{account}/Keys.json\n\n"
    );
    let _ = write!(
        text,
        "# Python (pip install twilio)\n\
         from twilio.rest import Client\n\
         client = Client(\"{account}\", \"{billing}\")\n\
         client.api.base_url = \"{url}\"\n\
         print(client.messages.create(to=\"+15005550006\", from_=\"+15005550001\", body=\"hello\").sid)\n\n"
    );
    let _ = write!(
        text,
        "// Node (npm install twilio)\n\
         const client = require(\"twilio\")(\"{account}\", \"{billing}\");\n\
         client.api.baseUrl = \"{url}\";\n\
         client.messages.create({{ to: \"+15005550006\", from: \"+15005550001\", body: \"hello\" }})\
         .then((message) => console.log(message.sid));\n\n"
    );
    let (sidekey, config) = (own_path(), stage.config().display().to_string());
    let _ = write!(
        text,
        "# What an operator does: ask why, replace billing's key, read and verify the audit\n\
         {sidekey} explain billing GET {url}/2010-04-01/Accounts/{account}/Keys.json --config {config}\n\
         {sidekey} key rotate billing --grace 0s --config {config}\n\
         {sidekey} token list --config {config}\n\
         {sidekey} audit query --denied --config {config}\n\
         {sidekey} audit verify {}\n\n\
         Ctrl-C ends all of it and removes {}.\n",
        stage.audit().display(),
        stage.folder().display(),
    );
    text
}

/// How this program is called from anywhere: after `cargo run` no `sidekey` is on the path.
fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "sidekey".to_owned(), |path| path.display().to_string())
}
