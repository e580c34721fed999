//! The thread that keeps key sets fresh, away from the threads that serve requests: a slow key server, name server or
//! disk delays nobody.

use super::Keys;
use crate::clock::Clock;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Keeps key sets fresh as long as it lives.
#[derive(Debug)]
pub struct Tending {
    /// Dropped with it, which ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Tending {
    /// Starts the thread; `keys` come with a name for the log.
    pub(in crate::authn) fn start(keys: Vec<(String, Arc<Keys>)>, clock: Clock) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tend = move || {
            runtime.block_on(async move {
                let mut tasks = JoinSet::new();
                for (name, keys) in keys {
                    let clock = clock.clone();
                    tasks.spawn(async move { keys.tend(&name, &clock).await });
                }
                // Nothing is sent: the sender is dropped.
                let _ = stopped.await;
            });
            // A name lookup that hangs is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("key-sets".to_owned()).spawn(tend)?;
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::testing::{Signer, set};
    use crate::config;
    use std::io::{Read, Write};
    use std::time::Duration;

    #[test]
    fn a_set_is_fetched_over_the_network_and_the_thread_ends_with_its_owner() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/jwks", server.local_addr().expect("bound"));
        let serving = std::thread::spawn(move || {
            let (mut caller, _) = server.accept().expect("a caller");
            let body = set(&[Signer::p256().jwk]);
            let mut request = [0; 1024];
            assert!(caller.read(&mut request).expect("a request") > 0);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            caller.write_all(&[head.as_bytes(), &body].concat()).expect("heard");
        });
        let jwt = config::Jwt {
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            jwks: config::Jwks::Url(url),
            jwks_ca: None,
            jwks_token_file: None,
            algorithms: Vec::new(),
            team_claim: None,
            subjects: std::collections::BTreeMap::new(),
            leeway: Duration::ZERO,
            max_age: Duration::from_hours(1),
        };
        let keys = Arc::new(Keys::open(&jwt).map_err(|fault| fault.to_string()).expect("opens"));
        let clock = Clock::system();
        let tending = Tending::start(vec![("i".to_owned(), Arc::clone(&keys))], clock.clone()).expect("a thread");
        while keys.current(clock.unix_seconds()).is_none() {
            std::thread::yield_now();
        }
        serving.join().expect("served");
        drop(tending);
        while Arc::strong_count(&keys) > 1 {
            std::thread::yield_now();
        }
    }
}
