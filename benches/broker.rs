//! What the whole line costs in memory, allowed and refused.

mod world;

use criterion::measurement::Measurement;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use world::line::{Line, Shared, TURN, head, messages};
use world::{ACCOUNT, CpuTime, in_turn, settings, world};

/// A middling company.
const TOKENS: usize = 10_000;

fn bench(line: &Line, c: &mut Criterion<CpuTime>, name: &str, heads: &[Vec<u8>], allowed: bool) {
    assert_eq!(line.runtime.block_on(async { line.prepare(&heads[0]) }), allowed, "{name}");
    let mut next = in_turn(heads);
    c.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            line.runtime.block_on(async {
                let began = CpuTime.start();
                for round in 0..rounds {
                    black_box(line.prepare(black_box(next())));
                    if round % TURN as u64 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                CpuTime.end(began)
            })
        });
    });
}

fn broker(c: &mut Criterion<CpuTime>) {
    sidekey::twilio::operations::prepare();
    let world = world(TOKENS);
    let shared = Shared::new(1);
    let line = Line::new(&world, &shared, 0);
    let all = |path: &str| world.proofs.iter().map(|proof| head(path, proof)).collect::<Vec<_>>();
    bench(&line, c, "allowed", &all(&messages()), true);
    bench(&line, c, "refused: keys", &all(&format!("/2010-04-01/Accounts/{ACCOUNT}/Keys.json")), false);
    bench(&line, c, "refused: host", &all("/example.com/v1/Services"), false);
    bench(&line, c, "refused: no proof", &[head(&messages(), b"")], false);
}

criterion_group! { name = line_in_memory; config = settings(); targets = broker }
criterion_main!(line_in_memory);
