//! Over any history: which brokers are avoided, and which queue is next. No runtime: time is a number here.

use std::{collections::BTreeMap, time::Duration};

use ferrocket_model::{BrokerName, MessageQueue};
use ferrocket_route::{FaultTable, LatencyClasses, QueueChooser, queue_of_key};
use proptest::{collection::vec, prelude::*};

const BROKERS: u8 = 4;
/// The longest that a broker is avoided for one event.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Event {
    Succeeded(Duration),
    Failed,
    Unreachable,
    Reachable,
    TimePasses(Duration),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0u64..20_000).prop_map(|ms| Event::Succeeded(Duration::from_millis(ms))),
        Just(Event::Failed),
        Just(Event::Unreachable),
        Just(Event::Reachable),
        (0u64..5_000).prop_map(|ms| Event::TimePasses(Duration::from_millis(ms))),
    ]
}

fn broker(index: u8) -> BrokerName {
    BrokerName::from(format!("broker-{index}"))
}

fn brokers() -> impl Iterator<Item = BrokerName> {
    (0..BROKERS).map(broker)
}

/// With Java's classes, and with somebody who probes or not.
fn table() -> impl Strategy<Value = FaultTable> {
    any::<bool>().prop_map(|is_probed| {
        let table = FaultTable::new(LatencyClasses::default());
        if is_probed { table.probed() } else { table }
    })
}

/// Plays an event at a broker; says by how long time passes.
fn play_one(table: &mut FaultTable, index: u8, event: Event, now: Duration) -> Duration {
    let broker = broker(index);
    match event {
        Event::Succeeded(latency) => table.succeeded(&broker, latency, now),
        Event::Failed => table.failed(&broker, now),
        Event::Unreachable => table.unreachable(&broker, now),
        Event::Reachable => table.reachable(&broker, now),
        Event::TimePasses(time) => return time,
    }
    Duration::ZERO
}

/// Plays events, each at the broker beside it, and returns the time after them.
fn play(table: &mut FaultTable, events: &[(u8, Event)]) -> Duration {
    let mut now = Duration::ZERO;
    for (index, event) in events {
        now += play_one(table, *index, *event, now);
    }
    now
}

fn events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    vec((0..BROKERS, event()), 0..60)
}

fn queues() -> impl Strategy<Value = Vec<MessageQueue>> {
    let queue = (0..BROKERS, 0u32..8).prop_map(|(index, id)| MessageQueue::new("T", broker(index), id));
    proptest::collection::btree_set(queue, 1..20).prop_map(|queues| queues.into_iter().collect())
}

proptest! {
    /// PRO-FLT-03: what slowness has set is only ever extended. A failed attempt counts as 10 s (PRO-FLT-02).
    #[test]
    fn a_broker_is_avoided_at_least_as_long_as_its_slowest_answer_asks_for(events in events(), mut table in table()) {
        let classes = LatencyClasses::default();
        let (mut now, mut until) = (Duration::ZERO, BTreeMap::new());
        for (index, event) in events {
            let avoid = match event {
                Event::Succeeded(latency) => classes.avoid_for(latency),
                Event::Failed => classes.avoid_for(Duration::from_secs(10)),
                _ => Duration::ZERO,
            };
            let held = until.entry(index).or_insert(Duration::ZERO);
            *held = (*held).max(now + avoid);
            now += play_one(&mut table, index, event, now);
            for (index, until) in &until {
                prop_assert!(now >= *until || !table.is_available(&self::broker(*index), now), "broker {}", index);
            }
        }
    }

    /// Also where somebody probes, once a probe succeeds.
    #[test]
    fn every_fault_heals_in_time(events in events(), mut table in table()) {
        let later = play(&mut table, &events) + LONGEST;
        for broker in table.unreachable_brokers(later) {
            table.reachable(&broker, later);
        }
        prop_assert!(brokers().all(|broker| table.is_available(&broker, later) && table.is_reachable(&broker, later)));
        prop_assert!(table.avoided(later).is_empty());
    }

    #[test]
    fn where_nobody_probes_no_broker_stays_unreachable(events in events()) {
        let mut table = FaultTable::new(LatencyClasses::default());
        let later = play(&mut table, &events) + LONGEST;
        prop_assert!(table.unreachable_brokers(later).is_empty());
    }

    #[test]
    fn a_broker_that_answers_can_be_reached_and_one_without_a_fault_is_left_alone(
        events in events(), mut table in table(), index in 0..BROKERS
    ) {
        let now = play(&mut table, &events);
        for broker in brokers() {
            prop_assert_eq!(table.avoided(now).contains(&broker), !table.is_available(&broker, now));
        }
        prop_assert!(!table.is_clean() || brokers().all(|broker| table.is_available(&broker, now)));
        table.succeeded(&broker(index), Duration::from_millis(1), now);
        prop_assert!(table.is_reachable(&broker(index), now));
        prop_assert!(table.is_available(&"unheard-of".into(), now));
    }

    #[test]
    fn a_table_that_is_off_avoids_nobody(events in events()) {
        let mut table = FaultTable::off();
        let now = play(&mut table, &events);
        prop_assert!(table.is_clean() && brokers().all(|broker| table.is_available(&broker, now)));
    }

    /// PRO-FLT-04: an available broker that did not fail just now, else one that can be reached, else another one, else any.
    #[test]
    fn the_choice_is_the_best_that_there_is(
        events in events(),
        mut table in table(),
        queues in queues(),
        last in proptest::option::of(0..BROKERS),
        start in any::<usize>(),
    ) {
        let now = play(&mut table, &events);
        let last = last.map(broker);
        let rank = |queue: &MessageQueue| match queue.broker() {
            broker if last.as_ref() == Some(broker) => 3,
            broker if table.is_available(broker, now) => 0,
            broker if table.is_reachable(broker, now) => 1,
            _ => 2,
        };
        let chooser = QueueChooser::starting_at(start);
        let best = queues.iter().map(rank).min();
        for _ in 0..queues.len() {
            prop_assert_eq!(chooser.choose(&queues, last.as_ref(), &table, now).map(rank), best);
        }
    }

    /// PRO-TPI-02: brokers that are passed over leave no neighbour with their share.
    #[test]
    fn the_queues_that_are_left_get_equal_shares(
        events in events(), mut table in table(), queues in queues(), start in 0usize..1000
    ) {
        let now = play(&mut table, &events);
        let left: Vec<_> = queues.iter().filter(|queue| table.is_available(queue.broker(), now)).collect();
        let chooser = QueueChooser::starting_at(start);
        let mut shares = BTreeMap::new();
        for _ in 0..left.len() * 3 {
            *shares.entry(chooser.choose(&queues, None, &table, now)).or_insert(0) += 1;
        }
        let expected: BTreeMap<_, _> = left.into_iter().map(|queue| (Some(queue), 3)).collect();
        prop_assert_eq!(shares, expected);
    }

    /// PRO-SEL-02
    #[test]
    fn a_key_has_one_queue(queues in queues(), key in ".{0,20}") {
        let queue = queue_of_key(&queues, &key);
        prop_assert!(queue.is_some_and(|queue| queues.contains(queue)));
        prop_assert_eq!(queue, queue_of_key(&queues, &key));
        prop_assert_eq!(queue_of_key(&[], &key), None);
    }
}
