//! What the accumulator brings against a real broker, where a request costs the broker much more than its messages do.

use std::time::Duration;

use anyhow::{Context, Result};
use ferrocket::producer::AutoBatch;

use crate::{
    child::Asked,
    compare::{self, Figure, Spec},
    load::Kind,
    report::Row,
    sample::Sample,
};

/// Where the address comes from; `cargo xtask broker run` sets it.
const NAME_SERVER: &str = "FERROCKET_NAME_SERVER";
/// Many in flight show the rate, and one in flight shows the latency of nobody to wait for but the clock.
const MANY: usize = 256;

/// Measures single sends and gathered ones in turn, and judges both.
///
/// # Errors
///
/// When there is no broker, or a send fails.
pub fn accumulator(rounds: usize, length: Duration) -> Result<Vec<Row>> {
    let address = std::env::var(NAME_SERVER).with_context(|| {
        format!("{NAME_SERVER} is not set: run this with `cargo xtask broker run -- COMMAND`, see benches/README.md")
    })?;
    let mut rows = Vec::new();
    for in_flight in [MANY, 1] {
        let mut clients = [Kind::Gathered, Kind::Send]
            .map(|kind| Spec::new(kind, in_flight).unpinned().start(&address))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        // The broker's compiler has to see the work first.
        turns(&mut clients, rounds.div_ceil(2), length)?;
        let [gathered, single] = turns(&mut clients, rounds, length)?;
        if in_flight == MANY {
            let what = format!("accumulator : single sends, {MANY} in flight, rate");
            rows.push(compare::judge("RB1", &what, Figure::Rate, &gathered, &single, 1.0 / 3.0));
        }
        let added = gathered.iter().zip(&single).map(|(gathered, single)| (gathered.p50_us() - single.p50_us()) / 1e3);
        let bar = AutoBatch::default().max_delay.as_secs_f64() * 1e3 + 1.0;
        let what = format!("what it adds to the p50, {in_flight} in flight");
        rows.push(Row::at_most("RB2", what, compare::median(added.collect()), bar, "ms"));
        for (name, samples) in [("accumulator", &gathered), ("single sends", &single)] {
            let figures = [Figure::Cpu, Figure::Rate, Figure::P50].map(|figure| compare::middle(figure, samples));
            rows.push(Row::reported(
                "RB3",
                format!("{name}, {in_flight} in flight: CPU, rate, p50"),
                figures.join(", "),
            ));
        }
    }
    Ok(rows)
}

/// Each client in turn, in the other order every other round.
fn turns(clients: &mut [Asked], rounds: usize, length: Duration) -> Result<[Vec<Sample>; 2]> {
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let mut take = |index: usize| -> Result<()> {
            if let (Some(client), Some(samples)) = (clients.get_mut(index), samples.get_mut(index)) {
                samples.push(compare::measure(client, length)?);
            }
            Ok(())
        };
        take(round % 2)?;
        take(1 - round % 2)?;
    }
    Ok(samples)
}
