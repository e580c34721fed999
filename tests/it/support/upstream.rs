//! A sandbox on a thread of its own, and requests to it as this or that credential.

use super::raw::{Answered, ask};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sidekey::sandbox::{KeyKind, Options, Sandbox};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A running sandbox; it ends with this value.
pub struct Upstream {
    /// The sandbox.
    pub sandbox: Sandbox,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A username and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct As(pub String, pub String);

impl As {
    /// The value of `Authorization`.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.0, self.1)))
    }

    /// The key in the answer to its creation.
    #[track_caller]
    pub fn created(answer: &Answered) -> Self {
        let json = answer.json();
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name}: {json}")).to_owned();
        Self(text("sid"), text("secret"))
    }
}

impl Upstream {
    /// Starts one with a random account.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts one.
    pub fn start_with(options: Options) -> Self {
        let (started, starting) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                started.send(Sandbox::start(options).expect("a free port")).expect("the test waits");
                let _ = stopped.await;
            });
        });
        let sandbox = starting.recv().expect("the sandbox starts");
        Self { sandbox, stop: Some(stop), thread: Some(thread) }
    }

    /// The account's path: `/2010-04-01/Accounts/AC…` and `rest`.
    pub fn path(&self, rest: &str) -> String {
        format!("/2010-04-01/Accounts/{}{rest}", self.sandbox.account_sid())
    }

    /// The account with its auth token.
    pub fn owner(&self) -> As {
        let token = self.sandbox.auth_token().expose_str().expect("hex");
        As(self.sandbox.account_sid().to_string(), token.to_owned())
    }

    /// A new key.
    pub fn key(&self, kind: KeyKind) -> As {
        let (sid, secret) = self.sandbox.create_key(kind);
        As(sid.to_string(), secret.expose_str().expect("base62").to_owned())
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, who: &As, target: &str) -> Answered {
        self.send(Some(who), "GET", target, "")
    }

    /// POST of a form.
    #[track_caller]
    pub fn post(&self, who: &As, target: &str, form: &str) -> Answered {
        self.send(Some(who), "POST", target, form)
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&self, who: &As, target: &str) -> Answered {
        self.send(Some(who), "DELETE", target, "")
    }

    /// Any request with a form.
    #[track_caller]
    pub fn send(&self, who: Option<&As>, method: &str, target: &str, form: &str) -> Answered {
        let basic = who.map(As::basic);
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(basic.as_deref().map(|basic| ("authorization", basic)));
        ask(self.sandbox.address(), method, target, &headers, form.as_bytes()).expect("an answer")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
