//! What is compared with what, and the bars.

use crate::{
    compare::{Figure, Spec},
    load::Kind,
};

/// Two clients whose figures are compared.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The bar's id.
    pub id: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Ours.
    pub ours: Spec,
    /// What it is compared with.
    pub base: Spec,
    /// A bar on our own figure, in microseconds of CPU.
    pub cpu_us: Option<f64>,
    /// Whether the rates are shown, too.
    pub rate: bool,
    figure: Figure,
    bar: f64,
    also: Option<(&'static str, Figure, f64)>,
}

impl Pair {
    const fn new(id: &'static str, what: &'static str, figure: Figure, ours: Spec, base: Spec, bar: f64) -> Self {
        Self { id, what, ours, base, cpu_us: None, rate: false, figure, bar, also: None }
    }

    const fn cpu_us(mut self, bar: f64) -> Self {
        self.cpu_us = Some(bar);
        self
    }

    const fn also(mut self, what: &'static str, figure: Figure, bar: f64) -> Self {
        self.also = Some((what, figure, bar));
        self
    }

    const fn rate(mut self) -> Self {
        self.rate = true;
        self
    }

    /// What is compared, and the bar of the ratio; an infinite one only reports.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, Figure, f64)> {
        [Some((self.what, self.figure, self.bar)), self.also].into_iter().flatten()
    }
}

const fn send(in_flight: usize) -> Spec {
    Spec::new(Kind::Send, in_flight)
}

const fn echo(in_flight: usize) -> Spec {
    Spec::new(Kind::Echo, in_flight)
}

/// A consumer of 4 queues has 4 pulls in flight.
const ECHO_PULL: Spec = Spec::new(Kind::EchoPull, 4);
const PUSH_BATCH: Spec = Spec::new(Kind::PushBatch, 4);
const PUSH: Spec = Spec::new(Kind::Push, 4);
const PUSH_ORDERLY: Spec = Spec::new(Kind::PushOrderly, 4);

const fn push_batch(queues: u32) -> Spec {
    Spec::new(Kind::PushBatch, queues as usize).queues(queues)
}

/// All of them, in the order in which they are measured.
pub const PAIRS: [Pair; 19] = [
    Pair::new("P1", "sync send, 64 in flight : null echo, CPU", Figure::Cpu, send(64), echo(64), 4.0).cpu_us(2.8),
    Pair::new("P1b", "the same, binary headers", Figure::Cpu, send(64).binary(), echo(64), 4.0),
    Pair::new(
        "P1i",
        "sync send, 64 in flight, an interceptor that does nothing : without, CPU",
        Figure::Cpu,
        Spec::new(Kind::Intercepted, 64),
        send(64),
        1.05,
    ),
    Pair::new(
        "P1k",
        "64 sharding keys, 64 in flight, 4 queues : without keys, CPU (no bar)",
        Figure::Cpu,
        Spec::new(Kind::Keyed, 64),
        send(64),
        f64::INFINITY,
    )
    .rate(),
    Pair::new("P2", "sync send, 256 in flight : null echo, CPU", Figure::Cpu, send(256), echo(256), 7.0).cpu_us(2.4),
    Pair::new(
        "P2a",
        "accumulator, 256 in flight : sync send, CPU (no bar of its own)",
        Figure::Cpu,
        Spec::new(Kind::Gathered, 256),
        send(256),
        f64::INFINITY,
    )
    .cpu_us(1.2)
    .rate(),
    Pair::new(
        "P3",
        "sync send, 64 in flight, 2 workers : null echo, rate",
        Figure::Rate,
        send(64).free(),
        echo(64).unpinned(),
        4.0,
    ),
    Pair::new(
        "P3",
        "sync send, 256 in flight, 2 workers : null echo, rate",
        Figure::Rate,
        send(256).free(),
        echo(256).unpinned(),
        4.0,
    ),
    Pair::new("P4", "one in flight : ping-pong, p50", Figure::P50, send(1).unpinned(), echo(1).unpinned(), 1.3),
    Pair::new("P4w", "one in flight, 2 workers : ping-pong, p50", Figure::P50, send(1).free(), echo(1).unpinned(), 1.3),
    Pair::new(
        "P5",
        "open loop at half of the own maximum (64 in flight) : null echo at half of its own, p99",
        Figure::P99,
        send(64).open(),
        echo(64).open(),
        2.0,
    )
    .also("the same, p99.9", Figure::P999, 3.0)
    .rate(),
    Pair::new(
        "P6",
        "batches of 32, 4 in flight : sync send, 64 in flight, CPU",
        Figure::Cpu,
        Spec::new(Kind::Batch, 4),
        send(64),
        1.0 / 3.0,
    )
    .cpu_us(0.9)
    .rate(),
    Pair::new("P7", "one-way : sync send, CPU", Figure::Cpu, Spec::new(Kind::OneWay, 64), send(64), 0.5).cpu_us(1.2),
    Pair::new(
        "P8",
        "push consumer, handlers of 32 : null echo of pulls, rate",
        Figure::Rate,
        PUSH_BATCH,
        ECHO_PULL,
        3.0,
    )
    .cpu_us(1.0),
    Pair::new("P8c", "the same, CPU (no bar of its own)", Figure::Cpu, PUSH_BATCH, ECHO_PULL, f64::INFINITY),
    Pair::new("P9", "push consumer, handlers of 1 : handlers of 32, CPU", Figure::Cpu, PUSH, PUSH_BATCH, f64::INFINITY)
        .cpu_us(1.5),
    Pair::new("P9r", "the same, rate : null echo of pulls", Figure::Rate, PUSH, ECHO_PULL, f64::INFINITY),
    Pair::new("P10", "orderly consumer, handlers of 1 : in no order, CPU", Figure::Cpu, PUSH_ORDERLY, PUSH, 1.2).rate(),
    Pair::new(
        "P19",
        "push consumer, handlers of 32, 4,096 queues : 16 queues, CPU",
        Figure::Cpu,
        push_batch(4_096),
        push_batch(16),
        1.3,
    )
    .rate(),
];
