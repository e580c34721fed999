//! What the targets share: one standard team, and inputs that come in pieces.

use sidekey::config::{Kind, TeamPolicy};
use sidekey::directory::{Directory, Key, TeamState};
use sidekey::ids::{AccountSid, TeamId};
use sidekey::secret::Secret;

/// The team's one account.
pub const ACCOUNT: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The secret of its key.
pub const SECRET: &str = "Zs3cr3t+of/the+k3y0123456789abcd";

/// A standard team with one account and a key.
///
/// # Panics
/// Never: its names are good.
pub fn team() -> TeamState {
    TeamState {
        id: TeamId::parse("billing").expect("letters"),
        kind: Kind::Standard,
        accounts: [AccountSid::parse(ACCOUNT).expect("an account SID")].into(),
        disabled: false,
        policy: TeamPolicy::default().into_shared(),
        grants: None,
        key: Some(Key::new(&format!("SK{:032x}", 7), Secret::from(SECRET.to_owned()), true).into()),
    }
}

/// A directory that holds it, and nobody's token.
pub fn directory() -> Directory {
    let directory = Directory::default();
    directory.put_team(team());
    directory
}

/// Cuts `bytes` where `cuts` says: each of its bytes is the length of a piece. What is left is the last piece.
pub fn pieces<'a>(mut bytes: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &cut in cuts {
        let (piece, rest) = bytes.split_at(usize::from(cut).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

/// Splits an input into how it is cut (up to eight cuts) and what it says.
pub fn cuts(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((&count, rest)) = input.split_first() else { return (&[], input) };
    rest.split_at(usize::from(count % 9).min(rest.len()))
}
