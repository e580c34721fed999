//! Requests in a row, for a tool that counts instructions; `benches/instructions` runs it and compares the count.

mod world;

use bytes::BytesMut;
use sidekey::authn::Authn;
use std::hint::black_box;
use std::sync::Arc;
use world::decision::decision;
use world::line::{Line, Shared, TURN, head, messages};
use world::{Proof, World, world};

/// What is counted, by this name: from a proof to the head that goes upstream. Nothing in it depends on chance.
#[inline(never)]
fn count_decisions(authn: &Authn, world: &World, proofs: &[Proof], mut buffer: BytesMut) -> BytesMut {
    for proof in proofs {
        buffer = decision(authn, world, black_box(proof), buffer);
        buffer.clear();
    }
    buffer
}

/// The same for the whole line in memory: parsed, decided and recorded. No turn of the runtime is within it.
#[inline(never)]
fn count_lines(line: &Line, heads: &[Vec<u8>]) {
    for head in heads {
        black_box(line.prepare(black_box(head)));
    }
}

/// The first round, on which what is made on first use is made.
fn warm_up(line: &Line, heads: &[Vec<u8>]) {
    for head in heads {
        black_box(line.prepare(head));
    }
}

fn main() {
    sidekey::twilio::operations::prepare();
    let world = world(1_000);
    let authn = Authn::new(Arc::clone(&world.directory), None, Arc::default());
    let mut buffer = BytesMut::with_capacity(4096);
    // Once around unseen: what is made on first use is no part of a decision.
    for proof in &world.proofs {
        buffer = decision(&authn, &world, proof, buffer);
        buffer.clear();
    }
    black_box(count_decisions(&authn, &world, &world.proofs, buffer));
    let shared = Shared::new(1);
    let line = Line::new(&world, &shared, 0);
    let heads: Vec<_> = world.proofs.iter().map(|proof| head(&messages(), proof)).collect();
    line.runtime.block_on(async {
        for turn in heads.chunks(TURN) {
            warm_up(&line, turn);
            tokio::task::yield_now().await;
        }
        for turn in heads.chunks(TURN) {
            count_lines(&line, turn);
            tokio::task::yield_now().await;
        }
    });
    println!("{}", world.proofs.len());
}
