//! Each stage alone, and the whole decision: from a proof to the head that goes upstream, at four sizes of directory.

mod world;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sidekey::authn::{Authn, Token};
use sidekey::http1::{Framing, RequestHead, parse_request};
use sidekey::inject::inject;
use sidekey::keys::lease;
use sidekey::policy::{Judged, Subject, Target, judge};
use std::hint::black_box;
use std::sync::Arc;
use world::decision::{FIELDS, NOW, PATH, decision, fields, target};
use world::{ACCOUNT, CpuTime, SIZES, World, in_turn, settings, world};

fn by_size(c: &mut Criterion<CpuTime>) {
    sidekey::twilio::operations::prepare();
    for size in SIZES {
        let world = world(size);
        let authn = Authn::new(Arc::clone(&world.directory), None, Arc::default());
        let mut next = in_turn(&world.digests);
        c.benchmark_group("lookup").bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| world.directory.seek(*black_box(next())).see(|entry| entry.expires));
        });
        let mut next = in_turn(&world.proofs);
        c.benchmark_group("authenticate").bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| authn.by_header(black_box(next()), NOW).is_ok());
        });
        let mut next = in_turn(&world.proofs);
        let mut buffer = BytesMut::with_capacity(4096);
        c.benchmark_group("decision").bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                let mut made = decision(&authn, &world, black_box(next()), std::mem::take(&mut buffer));
                made.clear();
                buffer = made;
            });
        });
    }
}

/// Stages that no directory touches.
fn alone(c: &mut Criterion<CpuTime>) {
    let world = world(10);
    let head = FIELDS
        .iter()
        .fold(format!("GET {PATH} HTTP/1.1\r\n"), |head, (name, value)| head + name + ": " + value + "\r\n")
        + "\r\n";
    c.bench_function("parse head", |b| {
        b.iter(|| parse_request(black_box(head.as_bytes()), |head, length| head.fields.len() + length));
    });
    let token = Token::generate();
    c.bench_function("token digest", |b| b.iter(|| Token::parse(black_box(token.show())).map(|token| token.digest())));
    let team = world.directory.teams()[0].load().clone();
    let subject = Subject {
        team: &team.id,
        kind: team.kind,
        accounts: &team.accounts,
        acting: &team.accounts[0],
        policy: &team.policy,
    };
    let judged = |target: &Target<'_>| judge(&subject, target).is_ok();
    c.bench_function("judge, allowed", |b| b.iter(|| judged(black_box(&target()))));
    let keys = format!("/2010-04-01/Accounts/{ACCOUNT}/Keys.json");
    let closed = Target { path: keys.as_bytes(), ..target() };
    c.bench_function("judge, refused", |b| b.iter(|| judged(black_box(&closed))));
    injected(c, &world, &judge(&subject, &target()).expect("a path that is open"));
}

fn injected(c: &mut Criterion<CpuTime>, world: &World, judged: &Judged<'_>) {
    let team = world.directory.teams()[0].load().clone();
    let lease = lease(&judged.grant, &team, &world.directory, NOW).expect("a team with a key");
    let fields = fields(&world.proofs[0]);
    let request = RequestHead { method: "GET", target: PATH, minor: 1, fields: &fields, raw: b"" };
    let mut buffer = BytesMut::with_capacity(4096);
    c.bench_function("inject", |b| {
        b.iter(|| {
            let spare = std::mem::take(&mut buffer);
            let mut made = inject(black_box(&request), judged, &lease, Framing::Length(0), spare).into_buffer();
            made.clear();
            buffer = made;
        });
    });
}

criterion_group! { name = stages; config = settings(); targets = alone, by_size }
criterion_main!(stages);
