//! What the benches share: a directory of a given size, and callers who know tokens of it.

// Each bench is a crate of its own and takes what it needs.
#![allow(dead_code, unused_imports, reason = "shared by several crates")]

mod cpu_time;
pub mod decision;
pub mod line;
mod tokens;

pub use cpu_time::{CpuTime, settings};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sidekey::authn::Token;
use sidekey::config::{Kind, TeamPolicy};
use sidekey::directory::{Directory, Key, TeamState, TokenEntry};
use sidekey::ids::{AccountSid, TeamId};
use sidekey::secret::Secret;
use std::sync::Arc;

/// Tokens in the directory, from a small team's sidecar to a big company's gateway.
pub const SIZES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];

/// Most teams in a directory; tokens are spread over them.
const TEAMS: usize = 1_000;

/// Most callers that take turns: enough that their entries don't all stay in the nearest cache.
const CALLERS: usize = 8_192;

/// The account of every team.
pub const ACCOUNT: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// `Basic ` and the base64 of an account SID, a colon and a token.
pub type Proof = [u8; 126];

/// A directory and some who are in it.
pub struct World {
    /// The directory.
    pub directory: Arc<Directory>,
    /// Values of `Authorization`, spread over the directory. One after the other in memory: a head that has just been read
    /// from a socket is in the cache, so a proof must not have to be fetched from afar.
    pub proofs: Vec<Proof>,
    /// SHA-256 of their tokens.
    pub digests: Vec<[u8; 32]>,
}

/// A directory with this many tokens.
pub fn world(tokens: usize) -> World {
    let directory = Arc::new(Directory::default());
    directory.put_teams((0..tokens.min(TEAMS)).map(team));
    let teams = directory.teams();
    let step = tokens.div_ceil(CALLERS);
    let (mut proofs, mut digests) = (Vec::new(), Vec::new());
    let mut entries = Vec::with_capacity(tokens);
    for at in 0..tokens {
        let text = tokens::token(at as u64);
        let token = Token::parse(&text).expect("a token's shape");
        let digest = token.digest();
        if at % step == 0 {
            let pair = STANDARD.encode(format!("{ACCOUNT}:{text}"));
            proofs.push(format!("Basic {pair}").into_bytes().try_into().expect("every proof has one length"));
            digests.push(digest);
        }
        entries.push((digest, TokenEntry::new(&token.id(), Arc::clone(&teams[at % teams.len()]), None)));
    }
    directory.put_tokens(entries);
    World { directory, proofs, digests }
}

fn team(number: usize) -> TeamState {
    TeamState {
        id: TeamId::parse(&format!("team-{number}")).expect("letters, digits and a hyphen"),
        kind: Kind::Standard,
        accounts: [AccountSid::parse(ACCOUNT).expect("an account SID")].into(),
        disabled: false,
        policy: TeamPolicy::default().into_shared(),
        grants: None,
        key: Some(Arc::new(Key::new(&format!("SK{number:032x}"), Secret::from(format!("{number:032x}")), true))),
    }
}

/// Takes turns: the next of `all` at each call.
pub fn in_turn<'a, T>(all: &'a [T]) -> impl FnMut() -> &'a T {
    let mut next = 0;
    move || {
        next = if next + 1 == all.len() { 0 } else { next + 1 };
        &all[next]
    }
}
