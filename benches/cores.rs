//! Two cores against one: requests a second of wall time through the whole line in memory, on threads that share
//! directory, audit and metrics as a broker's cores do. No load generator takes a share of the machine.

mod world;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;
use world::line::{Line, Shared, TURN, head, messages};
use world::{World, world};

/// Of one thread in one round.
const REQUESTS: usize = 200_000;
const ROUNDS: usize = 5;
/// A middling company.
const TOKENS: usize = 10_000;

/// Requests a second of so many cores together.
fn throughput(world: &World, heads: &[Vec<u8>], cores: usize) -> f64 {
    let shared = Shared::new(cores);
    let barrier = Barrier::new(cores + 1);
    let work = |core: usize| {
        let line = Line::new(world, &shared, core);
        // Each begins elsewhere, as callers do.
        let heads = heads.iter().cycle().skip(core * heads.len() / cores);
        barrier.wait();
        line.runtime.block_on(async {
            for (turn, head) in heads.take(REQUESTS).enumerate() {
                black_box(line.prepare(black_box(head)));
                if turn % TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    };
    let mut took = 0.0;
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..cores).map(|core| scope.spawn(move || work(core))).collect();
        barrier.wait();
        let began = Instant::now();
        for thread in working {
            thread.join().expect("no panic");
        }
        took = began.elapsed().as_secs_f64();
    });
    f64::from(u32::try_from(REQUESTS * cores).expect("some hundred thousand")) / took
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    sidekey::twilio::operations::prepare();
    let world = world(TOKENS);
    let heads: Vec<_> = world.proofs.iter().map(|proof| head(&messages(), proof)).collect();
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (throughput(&world, &heads, 1), throughput(&world, &heads, 2))).collect();
    let ratios: Vec<_> = rounds.iter().map(|(one, two)| two / one).collect();
    let spread = ratios.iter().fold((f64::MAX, f64::MIN), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
    println!(
        "{{\"one\": {:.0}, \"two\": {:.0}, \"ratio\": {:.3}, \"lowest\": {:.3}, \"highest\": {:.3}}}",
        median(rounds.iter().map(|round| round.0).collect()),
        median(rounds.iter().map(|round| round.1).collect()),
        median(ratios),
        spread.0,
        spread.1,
    );
}
