//! What is wrong inside the files that a config names: certificates, keys, revocation lists, key sets.

use crate::authn::jwt::Jwts;
use crate::clock::Clock;
use crate::config::{Fault, Named};
use crate::tls::Error;
use crate::tls::files::{add_roots, certificates, private_key, revocation_lists};
use crate::tls::leaf::Leaves;
use crate::tls::server::ServerTls;
use rustls::RootCertStore;
use std::path::Path;
use std::slice;

/// Looks into each file by itself, then at those that must go together. `config` is the file that names them.
pub(super) fn faults(named: &Named<'_>, config: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut note = |at: &str, outcomes: Vec<Result<(), Error>>| {
        for error in outcomes.into_iter().filter_map(Result::err) {
            let mend = format!("see [{at}] in {}", config.display());
            let file = error.path.unwrap_or_else(|| config.to_owned());
            faults.push(Fault { file, line: None, at: at.to_owned(), what: error.problem, mend });
        }
    };
    if let Some(files) = named.intercept {
        let together = || Leaves::open(files, |_| false, Clock::system()).map(drop);
        note("intercept", each(vec![pem(&files.ca_cert), private_key(&files.ca_key).map(drop)], together));
    }
    if let Some(files) = named.tls {
        let client_ca = files.client_ca.as_deref().map(roots);
        let client_crl = files.client_crl.as_deref().map(|path| revocation_lists(path).map(drop));
        let alone = [Some(pem(&files.cert)), Some(private_key(&files.key).map(drop)), client_ca, client_crl];
        note("tls", each(alone.into_iter().flatten().collect(), || ServerTls::open(Some(files), None).map(drop)));
    }
    note("upstream", named.upstream_ca.map(roots).into_iter().collect());
    note("jwt", named.jwt.iter().map(|jwt| Jwts::open(slice::from_ref(jwt), None).map(drop)).collect());
    faults
}

/// What is wrong with each file alone, else with all of them together.
fn each(mut alone: Vec<Result<(), Error>>, together: impl FnOnce() -> Result<(), Error>) -> Vec<Result<(), Error>> {
    if alone.iter().all(Result::is_ok) {
        alone.push(together());
    }
    alone
}

fn pem(path: &Path) -> Result<(), Error> {
    certificates(path).map(drop)
}

fn roots(path: &Path) -> Result<(), Error> {
    add_roots(&mut RootCertStore::empty(), path)
}
