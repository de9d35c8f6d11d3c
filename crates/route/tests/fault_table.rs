//! Which brokers are avoided, and for how long. No clock: time is passed in.

use std::time::Duration;

use ferrocket_model::BrokerName;
use ferrocket_route::{FaultTable, LatencyClasses};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn broker(name: &str) -> BrokerName {
    BrokerName::from(name)
}

fn table() -> FaultTable {
    FaultTable::new(LatencyClasses::default())
}

/// PRO-FLT-02: the latency says for how long, and a quick answer is nothing to remember.
#[test]
fn a_slow_answer_avoids_the_broker_as_long_as_its_latency_class_says() {
    for (latency, avoided) in [(0, 0), (99, 0), (550, 2_000), (1_799, 2_000), (3_000, 6_000), (20_000, 30_000)] {
        let mut faults = table();
        faults.succeeded(&broker("a"), ms(latency), ms(1_000));
        assert_eq!(faults.is_clean(), avoided == 0, "{latency}");
        assert!(faults.is_available(&broker("a"), ms(1_000 + avoided)), "{latency}");
        if avoided > 0 {
            assert!(!faults.is_available(&broker("a"), ms(999 + avoided)), "{latency}");
        }
    }
}

/// PRO-FLT-03: a quick answer does not forgive slowness early, and slowness is no reason to call it away.
#[test]
fn a_quick_answer_does_not_shorten_what_a_slow_one_has_set() {
    let mut faults = table();
    faults.succeeded(&broker("a"), ms(600), ms(0));
    faults.succeeded(&broker("a"), ms(1), ms(100));
    assert!(!faults.is_available(&broker("a"), ms(1_999)));
    assert!(faults.is_reachable(&broker("a"), ms(1_999)));
    assert!(faults.is_available(&broker("a"), ms(2_000)));
}

#[test]
fn a_broker_that_is_away_is_avoided_until_a_probe_or_a_success_where_somebody_probes() {
    let mut faults = table().probed();
    faults.unreachable(&broker("a"), ms(0));
    assert_eq!(faults.unreachable_brokers(ms(1_000_000)), [broker("a")]);
    faults.reachable(&broker("a"), ms(1_000_000));
    assert!(faults.is_clean());
    faults.unreachable(&broker("a"), ms(0));
    faults.succeeded(&broker("a"), ms(1), ms(10));
    assert!(faults.is_clean());
}

#[test]
fn where_nobody_probes_an_unreachable_broker_is_tried_again_soon() {
    let mut faults = table();
    faults.unreachable(&broker("a"), ms(0));
    assert!(!faults.is_reachable(&broker("a"), ms(499)));
    assert!(faults.is_reachable(&broker("a"), ms(500)));
}

/// PRO-FLT-06: being back does not make it quick.
#[test]
fn a_probe_forgives_being_away_and_not_being_slow() {
    let mut faults = table().probed();
    faults.succeeded(&broker("a"), ms(600), ms(0));
    faults.unreachable(&broker("a"), ms(10));
    faults.reachable(&broker("a"), ms(20));
    assert!(faults.is_reachable(&broker("a"), ms(20)));
    assert!(!faults.is_available(&broker("a"), ms(20)));
}

#[test]
fn latency_classes_must_ascend() {
    assert!(LatencyClasses::new([(ms(100), ms(1)), (ms(50), ms(2))]).is_err());
}

/// A broker that left the cluster answers never again.
#[test]
fn faults_that_are_over_are_forgotten_at_the_next_fault() {
    let mut faults = table();
    faults.failed(&broker("gone"), ms(0));
    faults.unreachable(&broker("away"), ms(0));
    faults.unreachable(&broker("b"), ms(20_000));
    faults.reachable(&broker("b"), ms(20_001));
    assert!(faults.is_clean(), "{faults:?}");
}

#[test]
fn a_class_may_avoid_a_broker_for_ever() {
    let classes = LatencyClasses::new([(ms(1_000), Duration::MAX)]).expect("they ascend");
    let mut faults = FaultTable::new(classes);
    faults.succeeded(&broker("a"), ms(2_000), ms(5));
    faults.failed(&broker("b"), ms(5));
    assert!(
        !faults.is_available(&broker("a"), ms(1_000_000_000)) && !faults.is_available(&broker("b"), ms(1_000_000_000))
    );
}
