//! The consumer's public parts against the golden vectors of `vectors/`. Each test says how many cases it ran, so that a file that
//! lost its cases cannot pass.
//!
//! Left out: retry policies, back-off and queues of POP. The durations for which a slow broker is avoided are held in
//! `ferrocket-route`; the hash ring of `ConsistentHash` is private, and held beside it.

mod common;

use common::{case, cases, texts};
use ferrocket_consumer::{
    AllocateQueues, Allocation, Average, AverageByCircle, ConsistentHash, Fixed, MachineRoom, MachineRoomNearby,
};
use ferrocket_model::{MessageQueue, SetupError, java_string_order};
use ferrocket_offset_store::OffsetTable;
use serde_json::Value;

// allocation.json

/// The strategy of a case, by its Java name, or what we say where Java takes arguments with which nobody owns anything.
fn strategy(case: &Value) -> Result<Box<dyn AllocateQueues>, SetupError> {
    let options = &case["in"]["options"];
    Ok(match case["strategy"].as_str().expect("a name") {
        "AVG" => Box::new(Average),
        "AVG_BY_CIRCLE" => Box::new(AverageByCircle),
        "CONFIG" if case["name"] == "CONFIG: nothing configured" => Box::new(Fixed::new([])),
        "CONFIG" => Box::new(Fixed::new(texts(&case["out"]["result"]).iter().map(|text| queue(text)))),
        // Cases of odd inputs name no rooms: they are about the inputs, or about queues that are in no room.
        "MACHINE_ROOM" if case["kind"] == "allocateOne" => Box::new(MachineRoom::new(["IDC1"])?),
        "MACHINE_ROOM" => Box::new(MachineRoom::new(texts(&options["rooms"]))?),
        "MACHINE_ROOM_NEARBY-AVG" => Box::new(nearby(Average)),
        "MACHINE_ROOM_NEARBY-AVG_BY_CIRCLE" => Box::new(nearby(AverageByCircle)),
        "CONSISTENT_HASH" if !options["hash"].is_null() => Box::new(ConsistentHash::new().hash(custom_hash)),
        "CONSISTENT_HASH" => {
            let nodes = options["virtualNodes"].as_u64().unwrap_or(10);
            Box::new(ConsistentHash::new().virtual_nodes(usize::try_from(nodes).expect("few"))?)
        }
        other => panic!("no strategy is called {other}"),
    })
}

/// Rooms as the cases have them: the text before the first `-`.
fn nearby(inner: impl AllocateQueues) -> MachineRoomNearby {
    let room = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    MachineRoomNearby::new(inner, move |queue| room(queue.broker().as_str()), room)
}

fn custom_hash(text: &str) -> i64 {
    text.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(131).wrapping_add(byte.into())).into()
}

fn queue(text: &str) -> MessageQueue {
    let (broker, id) = text.split_once(':').expect("broker:queue");
    MessageQueue::new("T", broker, id.parse().expect("a number"))
}

fn share(strategy: &dyn AllocateQueues, client: &str, case: &Value) -> Vec<String> {
    let queues: Vec<_> = texts(&case["in"]["queues"]).iter().map(|text| queue(text)).collect();
    let members = texts(&case["in"]["clients"]);
    let (group, topic) = ("CG".into(), "T".into());
    let share = strategy.allocate(&Allocation::new(&group, &topic, client, &queues, &members));
    share.iter().map(|queue| format!("{}:{}", queue.broker(), queue.id())).collect()
}

// CON-ALLOC-01, 02, 04, 05, 06
#[test]
fn every_member_gets_the_share_that_java_gives_it() {
    let (mut ran, mut refused) = (0, Vec::new());
    for case in cases("allocation", "allocate") {
        let shares = case["out"].as_object().expect("shares");
        let strategy = match strategy(&case) {
            Ok(strategy) => strategy,
            Err(_) => {
                // Java finds out when it allocates: an exception, or nobody owns anything.
                assert!(shares.values().all(|share| share.as_array().is_none_or(Vec::is_empty)), "{}", case["name"]);
                refused.push(case["name"].as_str().expect("a name").to_owned());
                continue;
            }
        };
        assert_eq!(strategy.name(), case["strategy"]);
        for (client, expected) in shares {
            assert_eq!(share(&*strategy, client, &case), texts(expected), "{}: {client}", case["name"]);
        }
        ran += 1;
    }
    assert_eq!(ran, 66);
    assert_eq!(
        refused,
        ["MACHINE_ROOM 9 queues 1 clients rooms unset", "CONSISTENT_HASH 6 queues 3 clients virtual nodes 0"]
    );
}

/// Where Java throws because something is missing, the share is empty: a strategy is asked before anything can be known, and a
/// member that is not in the list owns nothing. Null is empty: our types do not have it. A list of `Fixed` is for one topic where
/// Java's is for all; here the topic is the listed one, and both agree.
#[test]
fn odd_inputs_give_the_share_of_java_or_none() {
    let mut ran = 0;
    for case in cases("allocation", "allocateOne") {
        let strategy = strategy(&case).expect("arguments that we take");
        assert_eq!(strategy.name(), case["strategy"]);
        let client = case["in"]["client"].as_str().unwrap_or_default();
        let expected = texts(&case["out"]["result"]);
        assert_eq!(share(&*strategy, client, &case), expected, "{}", case["name"]);
        ran += 1;
    }
    assert_eq!(ran, 35);
}

/// Members compute their shares from sorted lists, each for itself: a client that sorts otherwise would take queues of others.
#[test]
fn queues_and_members_are_sorted_as_java_sorts_them() {
    let queues = case("allocation", "order", "order of queues");
    let mut sorted: Vec<_> = texts(&queues["in"]).iter().map(|text| spaced(text)).collect();
    sorted.sort();
    assert_eq!(sorted, texts(&queues["out"]).iter().map(|text| spaced(text)).collect::<Vec<_>>());

    let members = case("allocation", "order", "order of client ids (UTF-16 units)");
    let mut sorted = texts(&members["in"]);
    sorted.sort_by(|one, two| java_string_order(one, two));
    assert_eq!(sorted, texts(&members["out"]));
}

/// `topic broker id`
fn spaced(text: &str) -> MessageQueue {
    let parts: Vec<_> = text.split(' ').collect();
    MessageQueue::new(parts[0], parts[1], parts[2].parse().expect("a number"))
}

// retry.json

/// Java's table has a switch that lets an offset go back; ours goes back by `reset` only, so its other scripts do not apply.
#[test]
fn an_offset_of_which_something_is_settled_only_goes_forward_as_in_java() {
    let script = case("retry", "offset", "offset: increase only");
    let (queue, mut table) = (MessageQueue::new("T", "b", 0), OffsetTable::default());
    table.start(queue.clone(), script["in"]["start"].as_u64().unwrap());
    let steps = script["out"].as_array().unwrap();
    for step in steps {
        table.advance(&queue, step["value"].as_u64().unwrap());
        assert_eq!(table.position(&queue), step["offset"].as_u64(), "{step}");
    }
    assert_eq!(steps.len(), 4);
}
