//! Two cores against one: the whole line in memory, on threads that share directory, audit and metrics as a broker's cores
//! do, with no load generator beside them. By wall time, which shows whoever waits for another; and by the CPU time of the
//! process, which also holds what the audit's own thread does for all cores: on a machine of two CPUs there is none left
//! for it once two cores are busy.

mod world;

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use world::line::{Line, Shared, TURN, head, messages};
use world::{World, world};

/// Of one thread in one round.
const REQUESTS: usize = 100_000;
const ROUNDS: usize = 5;
/// A middling company.
const TOKENS: usize = 10_000;

/// What one round came to.
struct Round {
    /// Requests a second of all cores together.
    per_second: f64,
    /// Microseconds of CPU for a request, the audit's thread included.
    cpu_us: f64,
}

/// CPU time of the process so far.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("CPU time is not negative")
}

/// So many cores at work.
fn round(world: &World, heads: &[Vec<u8>], cores: usize) -> Round {
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
    let (took, cpu) = std::thread::scope(|scope| {
        let working: Vec<_> = (0..cores).map(|core| scope.spawn(move || work(core))).collect();
        barrier.wait();
        let (began, before) = (Instant::now(), spent());
        for thread in working {
            thread.join().expect("no panic");
        }
        (began.elapsed(), spent().saturating_sub(before))
    });
    let requests = f64::from(u32::try_from(REQUESTS * cores).expect("some hundred thousand"));
    Round { per_second: requests / took.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / requests }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    sidekey::twilio::operations::prepare();
    let world = world(TOKENS);
    let heads: Vec<_> = world.proofs.iter().map(|proof| head(&messages(), proof)).collect();
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (round(&world, &heads, 1), round(&world, &heads, 2))).collect();
    let of = |figure: fn(&(Round, Round)) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let ratios = of(|(one, two)| two.per_second / one.per_second);
    let spread = ratios.iter().fold((f64::MAX, f64::MIN), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
    println!(
        "{{\"one\": {:.0}, \"two\": {:.0}, \"one_us\": {:.3}, \"two_us\": {:.3}, \"ratio\": {:.3}, \"by_cpu\": {:.3}, \
         \"lowest\": {:.3}, \"highest\": {:.3}}}",
        median(of(|(one, _)| one.per_second)),
        median(of(|(_, two)| two.per_second)),
        median(of(|(one, _)| one.cpu_us)),
        median(of(|(_, two)| two.cpu_us)),
        median(ratios),
        median(of(|(one, two)| 2.0 * one.cpu_us / two.cpu_us)),
        spread.0,
        spread.1,
    );
}
