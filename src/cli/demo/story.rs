//! The demo's story, step by step; each step says what is tried, what came back, and whether that is what was promised.

use super::http::{Answer, send};
use super::stage::Stage;
use crate::cli::{Context, Failure};
use http::Method;
use serde::Serialize;
use std::io::Write as _;

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
    teller.tell("the sandbox saw keys, and no team's token", Ok(upstream_saw(stage)))?;
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

fn upstream_saw(stage: &Stage) -> Outcome {
    let (count, seen) = stage.sandbox().requests();
    let known = [Some(stage.key_sid.as_str()), Some(stage.billing.username.as_str())];
    let foreign = seen.iter().filter(|request| !known.contains(&request.sid.as_deref())).count();
    Outcome { held: count > 0 && foreign == 0, told: format!("{count} requests, {foreign} with another credential") }
}
