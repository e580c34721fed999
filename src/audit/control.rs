//! The trail's own records: opening, checkpoints, closing, recovery, and what admins and keys do.
//!
//! Those that open, check or close carry `heads`, where every writer's chain stands at this very place in the file, and
//! a signature if there is a key: `[[writer, seq, "digest", end], …]`.

use super::batch::{Batch, Kind, NOBODY};
use super::chain::Head;
use super::line::{self, MAX_PATH, MAX_TEXT, Stamp, key};
use crate::secret::Secret;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::io;

/// What a signature covers begins with this, so that it can't be taken for one over anything else.
pub(super) const SIGNED_PREFIX: &[u8] = b"sidekey audit v1\n";

/// Names a trail: 32 random hex digits, the same through restarts and rotations.
pub(super) type TrailId = [u8; 32];

/// Renders the trail's own records.
pub(super) struct Control {
    pub(super) trail: TrailId,
    signer: Option<Ed25519KeyPair>,
    stamp: Stamp,
    /// Chains of cores that an earlier run had and this one has not.
    pub(super) retired: Vec<Head>,
    /// Why the file that is open begins, and what was mended in it, until its opening record is in it.
    pub(super) unopened: Option<(Why, Mended)>,
}

/// What a start has mended in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// Bytes of a torn last line that were taken off.
    pub(super) cut: u64,
    /// Torn pieces in the middle that were blanked: where, and how long.
    pub(super) blanked: Vec<(u64, u64)>,
}

/// Why a file begins, or a run goes on in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There was nothing before.
    New,
    /// The process was restarted; the file goes on.
    Restart,
    /// The file before was rotated.
    Rotated,
    /// Somebody renamed the file before.
    Renamed,
    /// Somebody removed the file before.
    Removed,
}

impl Why {
    const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Restart => "restart",
            Self::Rotated => "rotated",
            Self::Renamed => "renamed",
            Self::Removed => "removed",
        }
    }
}

/// The public key, in hex, of a signing key; `None` if it is not a 32-byte seed.
pub fn public_key(seed: &Secret) -> Option<String> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok()?;
    Some(hex::encode(pair.public_key().as_ref()))
}

impl Control {
    /// Errors if the signing key is not 32 bytes.
    pub(super) fn new(trail: TrailId, key: Option<&Secret>) -> io::Result<Self> {
        let signer = key
            .map(|seed| Ed25519KeyPair::from_seed_unchecked(seed.expose()))
            .transpose()
            .map_err(|_| io::Error::other("[audit] signing_key is not a 32-byte Ed25519 seed"))?;
        Ok(Self { trail, signer, stamp: Stamp::default(), retired: Vec::new(), unopened: None })
    }

    /// The record that begins a file or a run.
    pub(super) fn opening(&mut self, now: u64, why: Why, heads: &[Head], mended: &Mended) -> Batch {
        self.with_heads(now, heads, |out, trail| {
            line::plain(out, key!("phase"), Some(b"open"));
            line::number(out, key!("version"), 1);
            line::text(out, key!("trail"), Some(trail), MAX_TEXT);
            line::plain(out, key!("why"), Some(why.name().as_bytes()));
            if mended.cut > 0 {
                line::number(out, key!("mended_bytes"), mended.cut);
            }
            blanked_field(out, &mended.blanked);
        })
    }

    /// The record that fixes where every chain stands; `phase` is `checkpoint` or `close`.
    pub(super) fn checkpoint(&mut self, now: u64, phase: &str, heads: &[Head]) -> Batch {
        self.with_heads(now, heads, |out, trail| {
            line::plain(out, key!("phase"), Some(phase.as_bytes()));
            line::text(out, key!("trail"), Some(trail), MAX_TEXT);
        })
    }

    /// The record that ends a time in which nothing could be kept.
    pub(super) fn resumption(&mut self, now: u64, why: &str, counts: &[(&str, u64)], blanked: &[(u64, u64)]) -> Batch {
        self.plain(now, |out| {
            line::plain(out, key!("phase"), Some(b"resume"));
            line::plain(out, key!("why"), Some(why.as_bytes()));
            for (name, count) in counts {
                line::number(out, &format!(",\"{name}\":\""), *count);
            }
            blanked_field(out, blanked);
        })
    }

    /// The record of an admin action or of a step in a key's life.
    pub(super) fn admin(&mut self, now: u64, fields: &[(&str, &str)]) -> Batch {
        self.plain(now, |out| {
            line::plain(out, key!("phase"), Some(b"admin"));
            for (name, value) in fields {
                line::text(out, &format!(",\"{name}\":\""), Some(value.as_bytes()), MAX_PATH);
            }
        })
    }

    fn plain(&mut self, now: u64, render: impl FnOnce(&mut Vec<u8>)) -> Batch {
        let mut batch = Batch::default();
        self.stamp.begin(batch.buffer(), now);
        render(batch.buffer());
        batch.seal(Kind::Outcome, NOBODY);
        batch
    }

    fn with_heads(&mut self, now: u64, heads: &[Head], render: impl FnOnce(&mut Vec<u8>, &TrailId)) -> Batch {
        let mut batch = Batch::default();
        let out = batch.buffer();
        self.stamp.begin(out, now);
        render(out, &self.trail);
        let heads = heads.iter().chain(&self.retired).filter(|head| head.seq > 0);
        out.extend_from_slice(b",\"heads\":[");
        for (n, head) in heads.enumerate() {
            let comma = if n > 0 { "," } else { "" };
            // Digests are hex.
            let digest = String::from_utf8_lossy(&head.digest);
            let text = format!("{comma}[{},{},\"{digest}\",{}]", head.writer, head.seq, head.end);
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b']');
        if let Some(signer) = &self.signer {
            let message = [SIGNED_PREFIX, out].concat();
            let signature = STANDARD.encode(signer.sign(&message).as_ref());
            let key = hex::encode(signer.public_key().as_ref());
            line::plain(out, key!("key"), Some(key.as_bytes()));
            line::plain(out, key!("sig"), Some(signature.as_bytes()));
        }
        batch.seal(Kind::Outcome, NOBODY);
        batch
    }
}

fn blanked_field(out: &mut Vec<u8>, blanked: &[(u64, u64)]) {
    if !blanked.is_empty() {
        out.extend_from_slice(b",\"blanked\":");
        out.extend_from_slice(serde_json::json!(blanked).to_string().as_bytes());
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({})", String::from_utf8_lossy(&self.trail))
    }
}
