//! Queue choice and the fault table against the golden vectors of `vectors/`. Each test says how many cases it ran, so that a file
//! that lost its cases cannot pass.

use std::time::Duration;

use ferrocket_model::{BrokerName, MessageQueue};
use ferrocket_route::{FaultTable, LatencyClasses, QueueChooser};
use serde_json::Value;

/// The cases of one kind; the file must hold as many cases as it says.
fn cases(file: &str, kind: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut file: Value = serde_json::from_str(&text).expect("vectors are JSON");
    let Value::Array(cases) = file["cases"].take() else { panic!("{path} has no cases") };
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64), "{path} is not whole");
    cases.into_iter().filter(|case| case["kind"] == kind).collect()
}

fn milliseconds(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().expect("a time"))
}

fn all_milliseconds(value: &Value) -> Option<Vec<Duration>> {
    Some(value.as_array()?.iter().map(milliseconds).collect())
}

/// PRO-FLT-02, with Java's table and with a table of one's own.
#[test]
fn a_slow_broker_is_avoided_for_as_long_as_in_java() {
    let (mut ran, mut negative) = (0, 0);
    for case in cases("retry", "notAvailable") {
        let input = &case["in"];
        let Some(latency) = input["latency"].as_u64() else {
            negative += 1; // a time that is below zero; ours cannot be
            continue;
        };
        let classes = match all_milliseconds(&input["latencyMax"]) {
            Some(from) => {
                LatencyClasses::new(from.into_iter().zip(all_milliseconds(&input["notAvailableDuration"]).unwrap()))
            }
            None => Ok(LatencyClasses::default()),
        };
        let avoid = classes.unwrap().avoid_for(Duration::from_millis(latency));
        assert_eq!(avoid, milliseconds(&case["out"]["duration"]), "{}", case["name"]);
        ran += 1;
    }
    assert_eq!((ran, negative), (32, 1));
}

#[test]
fn the_default_classes_are_those_of_java() {
    let tables = cases("retry", "table");
    let table = &tables.iter().find(|case| case["name"] == "fault tables").unwrap()["out"];
    let from = all_milliseconds(&table["latencyMax"]).unwrap();
    let avoid = all_milliseconds(&table["notAvailableDuration"]).unwrap();
    assert_eq!(LatencyClasses::new(from.into_iter().zip(avoid)).unwrap(), LatencyClasses::default());
}

fn queue(text: &str) -> MessageQueue {
    let (broker, id) = text.split_once(':').expect("broker:queue");
    MessageQueue::new("T", broker, id.parse().expect("a number"))
}

/// PRO-TPI-02, PRO-TPI-03, PRO-FLT-04: the same queue at every turn, also behind brokers that are passed over.
#[test]
fn the_queues_of_a_topic_are_taken_in_the_order_of_java() {
    let mut ran = 0;
    for case in cases("routing", "selection") {
        let input = &case["in"];
        let queues: Vec<_> =
            input["queues"].as_array().unwrap().iter().map(|text| queue(text.as_str().unwrap())).collect();
        let mut faults =
            if input["latencyFault"] == true { FaultTable::new(LatencyClasses::default()) } else { FaultTable::off() };
        if let Some(broker) = input["notAvailable"].as_str() {
            faults.succeeded(&BrokerName::from(broker), Duration::from_secs(10), Duration::ZERO);
        }
        let chooser = QueueChooser::starting_at(0);
        for (index, turn) in case["out"].as_array().unwrap().iter().enumerate() {
            let last = turn["lastBroker"].as_str().map(BrokerName::from);
            let chosen = chooser.choose(&queues, last.as_ref(), &faults, Duration::from_secs(1)).unwrap();
            assert_eq!(*chosen, queue(turn["chosen"].as_str().unwrap()), "{} {index}", case["name"]);
        }
        ran += 1;
    }
    assert_eq!(ran, 6);
}
