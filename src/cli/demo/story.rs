//! The demo's story, step by step; each step says what is tried, what came back, and whether that is what was promised.

use super::command;
use super::http::{Answer, Caller, send};
use super::stage::Stage;
use crate::cli::{Context, Failure};
use crate::clock::Clock;
use http::Method;
use serde::Serialize;
use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;

/// One step, told.
#[derive(Serialize)]
struct Step {
    #[serde(rename = "step")]
    name: &'static str,
    held: bool,
    told: String,
}

/// Tells the story; a failure if a step did not hold.
pub(super) async fn tell(stage: &Stage, context: &Context) -> Result<(), Failure> {
    let mut teller = Teller { steps: Vec::new(), aloud: !context.is_json() };
    teller.tell("billing sends a message with its own token", message(stage).await)?;
    teller.tell("without a proof nothing is done", without_proof(stage).await)?;
    teller.tell("billing is refused on keys", refused_on_keys(stage).await)?;
    teller.tell("platform, a master team, creates a key and deletes it", create_and_delete(stage).await)?;
    let mut keys = vec![stage.key_sid.clone(), stage.billing.username.clone()];
    teller.tell("billing's key is rotated under load, and no request is lost", rotate(stage, &mut keys).await)?;
    teller.tell("the old key is gone at the upstream", old_key_is_gone(stage).await)?;
    teller.tell("a revoked token is refused within a second", revoke(stage).await)?;
    teller.tell("the sandbox saw known keys only, and no team's token", Ok(upstream_saw(stage, &keys)))?;
    teller.tell("the audit trail is whole", audit(stage).await)?;
    let failed = teller.steps.iter().filter(|step| !step.held).count();
    context.print(&teller.steps, || match failed {
        0 => format!("all {} steps held\n", teller.steps.len()),
        _ => String::new(),
    })?;
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} of the steps did not hold"))) }
}

/// Keeps what was told, and says it as it happens.
struct Teller {
    steps: Vec<Step>,
    aloud: bool,
}

impl Teller {
    fn tell(&mut self, name: &'static str, outcome: Result<Outcome, Failure>) -> Result<(), Failure> {
        let Outcome { held, told } = match outcome {
            Ok(outcome) => outcome,
            Err(failure) => Outcome { held: false, told: failure.to_string().trim_end().to_owned() },
        };
        if self.aloud {
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "{}  {name}\n      {told}", if held { "ok  " } else { "FAIL" })?;
            stdout.flush()?;
        }
        self.steps.push(Step { name, held, told });
        Ok(())
    }
}

/// What a step came to.
struct Outcome {
    held: bool,
    told: String,
}

/// An answer that is to have this status and this refusal (empty: none).
fn expect(asked: &str, answer: &Answer, status: u16, refusal: &str) -> Outcome {
    let held = answer.status == status && answer.refusal() == refusal;
    let said = match answer.refusal() {
        "" => answer.text("sid"),
        refusal => format!("Sidekey-Error: {refusal}"),
    };
    Outcome { held, told: format!("{asked} → {} {said}", answer.status.as_u16()).trim_end().to_owned() }
}

async fn message(stage: &Stage) -> Result<Outcome, Failure> {
    let path = format!("/2010-04-01/Accounts/{}/Messages.json", stage.billing.username);
    let form = "To=%2B15005550006&From=%2B15005550001&Body=hello";
    let answer = send(stage.broker(), Some(&stage.billing), Method::POST, &path, Some(form)).await?;
    Ok(expect("POST …/Messages.json", &answer, 201, ""))
}

async fn without_proof(stage: &Stage) -> Result<Outcome, Failure> {
    let path = format!("/2010-04-01/Accounts/{}/Messages.json", stage.billing.username);
    let answer = send(stage.broker(), None, Method::GET, &path, None).await?;
    Ok(expect("GET …/Messages.json", &answer, 401, "unauthenticated"))
}

async fn refused_on_keys(stage: &Stage) -> Result<Outcome, Failure> {
    let path = format!("/2010-04-01/Accounts/{}/Keys.json", stage.billing.username);
    let answer = send(stage.broker(), Some(&stage.billing), Method::GET, &path, None).await?;
    Ok(expect("GET …/Keys.json", &answer, 403, "management_resource"))
}

async fn create_and_delete(stage: &Stage) -> Result<Outcome, Failure> {
    let keys = format!("/2010-04-01/Accounts/{}/Keys", stage.platform.username);
    let form = Some("FriendlyName=demo");
    let made = send(stage.broker(), Some(&stage.platform), Method::POST, &format!("{keys}.json"), form).await?;
    let create = expect("POST …/Keys.json", &made, 201, "");
    let path = format!("{keys}/{}.json", made.text("sid"));
    let gone = send(stage.broker(), Some(&stage.platform), Method::DELETE, &path, None).await?;
    let delete = expect("DELETE …/Keys/SK….json", &gone, 204, "");
    Ok(Outcome { held: create.held && delete.held, told: format!("{}, {}", create.told, delete.told) })
}

fn upstream_saw(stage: &Stage, keys: &[String]) -> Outcome {
    let (count, seen) = stage.sandbox().requests();
    let known = |sid: &str| keys.iter().any(|key| key == sid);
    let foreign = seen.iter().filter(|request| !request.sid.as_deref().is_some_and(known)).count();
    Outcome { held: count > 0 && foreign == 0, told: format!("{count} requests, {foreign} with another credential") }
}

/// Rotates while requests flow; `keys` gets the new key.
async fn rotate(stage: &Stage, keys: &mut Vec<String>) -> Result<Outcome, Failure> {
    let config = stage.config();
    let mut rotation = pin!(command::run(&["key", "rotate", "billing", "--grace", "0s"], &config));
    let (mut sent, mut lost) = (0, 0);
    let rotated = loop {
        tokio::select! {
            rotated = &mut rotation => break rotated?,
            answer = list(stage, &stage.billing) => {
                sent += 1;
                lost += u32::from(answer?.status != 200);
            }
        }
    };
    let sid = command::word(&rotated, "sid")?;
    for _ in 0..5 {
        sent += 1;
        lost += u32::from(list(stage, &stage.billing).await?.status != 200);
    }
    let told = format!(
        "`sidekey key rotate billing` → {} became {sid}; {sent} requests meanwhile, {lost} lost",
        stage.key_sid
    );
    let held = lost == 0 && sid != stage.key_sid;
    keys.push(sid);
    Ok(Outcome { held, told })
}

/// The upstream must no longer know the key that was replaced; the broker deletes it once no request holds it.
async fn old_key_is_gone(stage: &Stage) -> Result<Outcome, Failure> {
    let path = format!("/2010-04-01/Accounts/{}/Keys/{}.json", stage.platform.username, stage.key_sid);
    let waited = until(stage, &stage.platform, &path, 404).await?;
    Ok(Outcome { held: true, told: format!("GET …/Keys/{}.json → 404 after {waited:?}", stage.key_sid) })
}

/// Issues a token, uses it, revokes it, and asks until it is refused.
async fn revoke(stage: &Stage) -> Result<Outcome, Failure> {
    let config = stage.config();
    let issued = command::run(&["token", "issue", "billing", "--name", "leaked"], &config).await?;
    let (id, token) = (command::word(&issued, "id")?, command::word(&issued, "token")?);
    let leaked = Caller { username: stage.billing.username.clone(), token };
    let path = messages(&leaked);
    let taken = until(stage, &leaked, &path, 200).await?;
    command::run(&["token", "revoke", &id], &config).await?;
    let refused = until(stage, &leaked, &path, 401).await?;
    let told = format!("issued and taken after {taken:?}; `sidekey token revoke {id}` → refused after {refused:?}");
    Ok(Outcome { held: refused <= Duration::from_secs(1), told })
}

/// How long it takes until this caller's requests are answered so; ten seconds at most.
async fn until(stage: &Stage, caller: &Caller, path: &str, status: u16) -> Result<Duration, Failure> {
    let clock = Clock::system();
    let start = clock.instant();
    loop {
        let answer = send(stage.broker(), Some(caller), Method::GET, path, None).await?;
        let waited = clock.instant() - start;
        if answer.status == status {
            return Ok(waited);
        }
        if waited > Duration::from_secs(10) {
            return Err(Failure::failed(format!("still {} after {waited:?}", answer.status)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn messages(caller: &Caller) -> String {
    format!("/2010-04-01/Accounts/{}/Messages.json?PageSize=1", caller.username)
}

async fn list(stage: &Stage, caller: &Caller) -> Result<Answer, Failure> {
    send(stage.broker(), Some(caller), Method::GET, &messages(caller), None).await
}

async fn audit(stage: &Stage) -> Result<Outcome, Failure> {
    let file = stage.audit();
    let file = file.to_string_lossy();
    command::run(&["audit", "verify", &file], &stage.config()).await?;
    let lines = tokio::fs::read_to_string(&*file).await?.lines().count();
    Ok(Outcome { held: lines > 0, told: format!("`sidekey audit verify` → {lines} lines verified") })
}
