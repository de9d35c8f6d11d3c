//! Which brokers are avoided for being slow, as the options say.

use std::time::Duration;

use ferrocket::{Message, producer::FaultTolerance};
use ferrocket_testkit::{Call, Fault};

use crate::common::{SECOND, brokers, soon, wire::connect};

/// Of twenty sends, one every 50 ms, after one to the second broker that took so long: how many go there.
async fn go_there(tolerance: FaultTolerance, took: Duration) -> usize {
    let cluster = brokers(2).topic("Orders", 1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let producer = client.producer("shop").fault_tolerance(tolerance).build().await.expect("it builds");
    let slow = soon(client.queues("Orders")).await.expect("there are two").remove(1);
    assert_eq!(slow.broker(), "broker-1");
    let delay = cluster.fault(Fault::on(Call::Send).on_broker("broker-1").times(1).delay(took));
    soon(producer.send(Message::new("Orders", "slow")).to_queue(&slow)).await.expect("it is stored");
    drop(delay);
    let mut there = 0;
    for _ in 0..20 {
        let receipt = soon(producer.send(Message::new("Orders", "x"))).await.expect("it is stored");
        there += usize::from(receipt.queue() == Some(&slow));
        tokio::time::sleep(SECOND / 20).await;
    }
    there
}

/// PRO-FLT-01, PRO-FLT-02: Java's classes begin to matter at 550 ms. Seen to fail with classes that are not looked at, and with a table
/// that avoids when it is off.
#[tokio::test(start_paused = true)]
async fn a_slow_broker_is_avoided_as_its_latency_class_says_and_never_when_that_is_off() {
    let ms = Duration::from_millis;
    assert_eq!(go_there(FaultTolerance::default(), ms(300)).await, 10, "not slow by Java's classes");
    assert_eq!(go_there(FaultTolerance::default(), ms(700)).await, 0, "avoided for much longer");
    assert_eq!(go_there(FaultTolerance::off(), ms(700)).await, 10);
    let own = || FaultTolerance::default().latency_classes([(ms(200), ms(500))]);
    assert_eq!(go_there(own(), ms(100)).await, 10);
    let there = go_there(own(), ms(300)).await;
    assert!((4..=6).contains(&there), "avoided for half a second, which is half of the time: {there}");
}
