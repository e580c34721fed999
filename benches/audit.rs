//! What the audit costs: CPU time per request (its intent and its outcome) on the core and on the thread that writes, and
//! bytes per second of CPU of the readers. CPU time and not wall time: a busy machine does not blur it.
//!
//! `cargo bench --bench audit`. The file is in the page cache of a local disk, as in production.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a share of small counts")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidekey::audit::verify::verify;
use sidekey::audit::{Facts, Guard, Outcome, Peer, Query, Recorder, Trail, search};
use sidekey::clock::Clock;
use sidekey::config::{Audit, AuditMode, Durability};
use sidekey::ids::{AccountSid, KeySid, RequestId, TeamId};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn config(file: &Path, durability: Durability) -> Audit {
    Audit {
        file: Some(file.to_owned()),
        mode: AuditMode::Required,
        durability,
        signing_key: None,
        hash_key: None,
        max_size: u64::MAX,
        max_age: Duration::from_hours(24),
        retention: None,
        ship: Vec::new(),
    }
}

/// What most requests look like.
struct Told {
    team: TeamId,
    account: AccountSid,
    key: KeySid,
}

impl Told {
    fn new() -> Self {
        Self {
            team: TeamId::parse("billing").expect("a name"),
            account: AccountSid::parse("AC00000000000000000000000000000001").expect("a SID"),
            key: KeySid::parse("SK00000000000000000000000000000001").expect("a SID"),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            judged: true,
            team: Some(&self.team),
            proof_id: Some("9f86d081884c7d65"),
            method: b"POST",
            host: b"api.twilio.com",
            path: b"/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
            operation: Some("api:Messages:create"),
            account: Some(&self.account),
            key_sid: Some(&self.key),
        }
    }
}

const OUTCOME: Outcome<'static> = Outcome {
    status: 201,
    reason: None,
    detail: None,
    upstream_request_id: Some(b"RQ00000000000000000000000000000001"),
    bytes_in: 61,
    bytes_out: 812,
    sent: None,
    ended: None,
};

/// What this process has spent on CPUs so far.
fn spent() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).expect("CPU time is not negative")
}

/// One turn of `width` requests that became ready together, and the turn in which they end.
async fn turn(recorder: &Recorder, told: &Told, width: u128) {
    let peer = Peer::Ip("127.0.0.1:50000".parse().expect("an address"));
    let mut guards: Vec<Guard> = (0..width).map(|n| recorder.open(RequestId::new(n), peer)).collect();
    let kept: Vec<_> = guards.iter_mut().map(|guard| guard.intent(&told.facts())).collect();
    for kept in kept {
        kept.await.expect("kept");
    }
    let kept: Vec<_> = guards.into_iter().map(|guard| guard.outcome(&OUTCOME)).collect();
    for kept in kept {
        kept.await.expect("kept");
    }
}

fn writing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let told = Told::new();
    let mut group = criterion.benchmark_group("write");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    for (name, durability, width) in [
        ("1 in a turn", Durability::Write, 1),
        ("8 in a turn", Durability::Write, 8),
        ("32 in a turn", Durability::Write, 32),
        ("32 in a turn, fsync", Durability::Fsync, 32),
        ("256 in a turn, fsync", Durability::Fsync, 256),
    ] {
        let file = folder.path().join(name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let trail = Trail::open(&config(&file, durability), 1, Clock::system()).expect("opens");
        let recorder = local.block_on(&runtime, async { trail.recorder(0) });
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|requests| {
                // The page cache holds one sample at a time; the chain does not care for this bench.
                std::fs::OpenOptions::new().write(true).open(&file).and_then(|f| f.set_len(0)).expect("emptied");
                let turns = requests.div_ceil(u64::try_from(width).expect("small"));
                let began = spent();
                local.block_on(&runtime, async {
                    for _ in 0..turns {
                        turn(&recorder, &told, width).await;
                    }
                });
                let share = requests as f64 / (turns * width as u64) as f64;
                spent().saturating_sub(began).mul_f64(share)
            });
        });
    }
    group.finish();
}

/// A trail of some 70 MB.
fn sample(folder: &Path) -> PathBuf {
    let file = folder.join("audit.jsonl");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let trail = Trail::open(&config(&file, Durability::Write), 1, Clock::system()).expect("opens");
    let told = Told::new();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let recorder = trail.recorder(0);
        for _ in 0..2_000 {
            turn(&recorder, &told, 32).await;
        }
    });
    drop(runtime);
    trail.close();
    file
}

fn reading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let files = [sample(folder.path())];
    let bytes = std::fs::metadata(&files[0]).expect("a file").len();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10).measurement_time(Duration::from_secs(2));
    let count = |query: &Query| {
        let mut found = 0_u64;
        search(None, &files, query, |line| {
            found += u64::from(!black_box(line).is_empty());
            ControlFlow::Continue(())
        })
        .expect("readable");
        found
    };
    let rare = Query { team: TeamId::parse("nobody"), ..Query::default() };
    let cpu = |runs: u64, run: &dyn Fn() -> u64| {
        let began = spent();
        for _ in 0..runs {
            black_box(run());
        }
        spent().saturating_sub(began)
    };
    group.bench_function("query that finds nothing", |b| b.iter_custom(|runs| cpu(runs, &|| count(&rare))));
    let common = Query { team: TeamId::parse("billing"), denied: false, ..Query::default() };
    group.bench_function("query that finds every line", |b| b.iter_custom(|runs| cpu(runs, &|| count(&common))));
    let verified = || verify(&files, &[]).expect("readable").records;
    group.bench_function("verify", |b| b.iter_custom(|runs| cpu(runs, &verified)));
    group.finish();
}

criterion_group!(benches, writing, reading);
criterion_main!(benches);
