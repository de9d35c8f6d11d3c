//! Half messages, their ends, and the questions about them.

mod client;

use std::time::Duration;

use client::{Client, in_memory, messages, send_request, soon};
use ferrocket_model::{MessageQueue, OffsetId, properties};
use ferrocket_protocol::{
    ReadRequest, RequestCode, ResponseCode,
    message::{StoredMessages, SysFlag},
    request::{CheckTransaction, EndTransaction, GetMaxOffset, SendAnswer, SendMessage, TransactionEnding, Unregister},
};
use ferrocket_testkit::{Call, TestCluster};

type Change<'a> = &'a dyn Fn(&mut EndTransaction);

const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// Stores a half message of the group `payers` in queue 1 of `Orders`.
async fn begin(client: &mut Client, body: &str, more: &str) -> SendAnswer {
    let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}payers\u{2}UNIQ_KEY\u{1}KEY-{body}\u{2}{more}");
    let SendMessage { form, mut header, body } = send_request("Orders", 1, &properties, body);
    header.sys_flag = SysFlag::TRANSACTION_PREPARED;
    client.call(&SendMessage { form, header, body }).await.unwrap()
}

fn end(half: &SendAnswer, ending: TransactionEnding) -> EndTransaction {
    let place = OffsetId::parse(&half.message_id).unwrap().commit_log_offset;
    let table_offset = half.queue_offset as i64;
    EndTransaction::new(place, ending.code(), false, half.transaction_id.as_deref().unwrap(), "payers", table_offset)
}

fn bodies(cluster: &TestCluster, topic: &str) -> Vec<String> {
    let messages = cluster.messages(topic);
    messages.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

/// The next question, and the tries that its message counts.
async fn question(client: &mut Client) -> (CheckTransaction, String) {
    let command = client.read().await.expect("a question");
    assert!(command.code == RequestCode::CHECK_TRANSACTION_STATE.0 && command.is_one_way(), "{command:?}");
    let question = CheckTransaction::read_request(&command).unwrap();
    let stored = StoredMessages::new(&question.body).next().unwrap().unwrap();
    let tries = properties::find(std::str::from_utf8(stored.properties).unwrap(), "TRANSACTION_CHECK_TIMES");
    let tries = tries.unwrap().to_owned();
    (question, tries)
}

/// §3.9: END_TRANSACTION is not idempotent.
#[tokio::test]
async fn a_half_message_is_hidden_until_its_commit_and_every_commit_stores_it_once_more() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let (one, two) = (begin(&mut client, "one", "").await, begin(&mut client, "two", "").await);
    assert_eq!((one.queue_id, one.queue_offset, two.queue_offset), (1, 0, 1), "offsets among half messages");
    assert_eq!(one.transaction_id.as_deref(), Some("KEY-one"));
    assert!(cluster.messages("Orders").is_empty());
    assert_eq!(bodies(&cluster, HALF_TOPIC), ["one", "two"]);
    assert_eq!(cluster.broker("broker-0").open_transactions(), 2);
    client.call(&end(&two, TransactionEnding::Rollback)).await.unwrap();
    client.call(&end(&one, TransactionEnding::Commit)).await.unwrap();
    assert_eq!(cluster.broker("broker-0").open_transactions(), 0);
    assert_eq!(bodies(&cluster, "Orders"), ["one"]);
    client.join("c1", "shop", "Orders", "*").await;
    let mut pull = client::pull_request("shop", "Orders", 0);
    pull.0.queue_id = 1;
    let answer = client.call(&pull).await.unwrap();
    let [stored] = &messages(&answer)[..] else { panic!("one message") };
    assert_eq!(stored.sys_flag.0, SysFlag::TRANSACTION_COMMIT);
    let committed = &cluster.messages("Orders")[0];
    assert_eq!((committed.id().as_str(), committed.queue().id()), ("KEY-one", 1));
    assert_eq!((committed.property("REAL_TOPIC"), committed.property("__transactionId__")), (None, Some("KEY-one")));
    client.call(&end(&one, TransactionEnding::Commit)).await.unwrap();
    client.call(&end(&two, TransactionEnding::Commit)).await.unwrap();
    assert_eq!(bodies(&cluster, "Orders"), ["one", "one", "two"]);
    assert_eq!(cluster.requests(Call::EndTransaction), 4);
}

/// §12.1.
#[tokio::test(start_paused = true)]
async fn mistakes_at_the_end_are_answered_as_by_a_real_broker_and_unknown_not_at_all() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let half = begin(&mut client, "one", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}60\u{2}").await;
    let plain = client.send("Orders", 0, "", "plain").await.unwrap();
    let right = end(&half, TransactionEnding::Commit);
    let refused = async |client: &mut Client, change: Change<'_>| {
        let mut wrong = right.clone();
        change(&mut wrong);
        client.answer(&wrong).await.unwrap()
    };
    let place = OffsetId::parse(&plain.message_id).unwrap().commit_log_offset;
    let cases: [(Change<'_>, &str); 5] = [
        (&|end| end.commit_log_offset += 1, "Find prepared transaction message failed"),
        (&|end| end.commit_log_offset = place, "no half message"),
        (&|end| end.group = "others".into(), "The producer group wrong"),
        (&|end| end.table_offset = 7, "The transaction state table offset wrong"),
        (&|end| end.ending = 4, "commitOrRollback"),
    ];
    for (change, text) in cases {
        let answer = refused(&mut client, change).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR, "{text}");
        assert!(answer.remark().unwrap_or_default().contains(text), "{answer:?}");
    }
    client.write(&end(&half, TransactionEnding::Unknown)).await;
    let next = client.write(&GetMaxOffset::new(MessageQueue::new("Orders", "broker-0", 0))).await;
    assert_eq!(client.read().await.unwrap().opaque, next, "the request before it has no answer");
    cluster.advance(Duration::from_secs(61));
    let late = refused(&mut client, &|_| ()).await;
    assert_eq!(late.response_code(), ResponseCode::ILLEGAL_OPERATION);
    assert_eq!(bodies(&cluster, "Orders"), ["plain"]);
    let from_check = refused(&mut client, &|end| end.from_check = true).await;
    assert_eq!(from_check.response_code(), ResponseCode::SUCCESS);
    assert_eq!(bodies(&cluster, "Orders"), ["plain", "one"]);
}

/// §12.4: half messages are stored again for every check. Vector `session-transaction`.
#[tokio::test(start_paused = true)]
async fn producers_are_asked_about_old_half_messages_until_the_broker_gives_up() {
    let cluster = TestCluster::builder().in_memory().topic("Orders", 2).transaction_check_max(2);
    let cluster = cluster.start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    client.announce("p1", "payers").await;
    assert_eq!(cluster.producers("payers"), ["p1"]);
    let half = begin(&mut client, "one", "").await;
    let began = tokio::time::Instant::now();
    let (first, tries) = question(&mut client).await;
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!((tries.as_str(), first.header.table_offset), ("1", 1));
    assert_eq!(first.header.topic.as_ref().map(|topic| topic.as_str()), Some(HALF_TOPIC));
    assert_eq!(first.header.transaction_id, half.transaction_id.as_deref().map(str::to_owned));
    let stored = StoredMessages::new(&first.body).next().unwrap().unwrap();
    assert_eq!((stored.topic, stored.queue_id, stored.queue_offset, stored.sys_flag.0), ("Orders", 1, 1, 0));
    assert_eq!(stored.commit_log_offset, first.header.commit_log_offset);
    let (_, tries) = question(&mut client).await;
    assert_eq!(tries, "2");
    soon(cluster.until(|cluster| cluster.messages("TRANS_CHECK_MAX_TIME_TOPIC").len() == 1)).await;
    assert_eq!(cluster.broker("broker-0").open_transactions(), 0);
    let mut answer = end(&half, TransactionEnding::Commit);
    (answer.commit_log_offset, answer.table_offset) = (first.header.commit_log_offset, first.header.table_offset);
    answer.from_check = true;
    client.call(&answer).await.unwrap();
    assert_eq!(bodies(&cluster, "Orders"), ["one"], "a late commit succeeds");
}

#[tokio::test]
async fn one_producer_of_the_group_is_asked_on_demand_and_none_that_left() {
    let cluster = in_memory().await;
    let (mut one, mut two) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    one.announce("p1", "payers").await;
    two.announce("p2", "payers").await;
    let broker = cluster.broker("broker-0");
    assert_eq!(broker.check_transactions_now(), 0);
    begin(&mut one, "x", "").await;
    assert_eq!((broker.check_transactions_now(), broker.check_transactions_now()), (1, 1));
    let (first, second) = (question(&mut one).await, question(&mut two).await);
    assert_ne!(first.0.header.table_offset, second.0.header.table_offset, "each in turn, each at a new place");
    let mut leave = Unregister::new("p1");
    leave.producer_group = Some("payers".into());
    one.call(&leave).await.unwrap();
    assert_eq!(cluster.producers("payers"), ["p2"]);
    assert_eq!((broker.check_transactions_now(), broker.check_transactions_now()), (1, 1));
    assert_eq!((question(&mut two).await.1.as_str(), question(&mut two).await.1.as_str()), ("3", "4"));
    drop(two);
    soon(cluster.until(|cluster| cluster.producers("payers").is_empty())).await;
    assert_eq!(broker.check_transactions_now(), 1, "asked, though nobody hears");
    assert_eq!(broker.open_transactions(), 1);
}

/// Measured on 5.5.0: rounds inside the immunity time count as checks, and make copies; so a message with little of both is given
/// up unasked. An end of its first record is refused afterwards, one that answers a check is not.
#[tokio::test(start_paused = true)]
async fn rounds_inside_the_immunity_time_count_as_checks_though_nobody_is_asked() {
    let cluster = TestCluster::builder().in_memory().topic("Orders", 2).transaction_check_max(3);
    let cluster = cluster.start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    client.announce("p1", "payers").await;
    let ended = begin(&mut client, "ended", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}60\u{2}").await;
    let half = begin(&mut client, "one", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}4\u{2}").await;
    soon(cluster.until(|cluster| cluster.messages(HALF_TOPIC).len() == 4)).await;
    client.call(&end(&ended, TransactionEnding::Commit)).await.unwrap();
    assert_eq!(cluster.broker("broker-0").open_transactions(), 1, "the copy is ended with the first record");
    soon(cluster.until(|cluster| cluster.messages("TRANS_CHECK_MAX_TIME_TOPIC").len() == 1)).await;
    cluster.advance(Duration::from_secs(1));
    let copies = cluster.messages(HALF_TOPIC);
    let of_one = copies.iter().filter(|copy| copy.property("TRAN_PREPARED_QUEUE_OFFSET") == Some("1"));
    assert_eq!(of_one.map(|copy| copy.property("TRANSACTION_CHECK_TIMES").unwrap()).collect::<String>(), "123");
    let late = client.answer(&end(&half, TransactionEnding::Rollback)).await.unwrap();
    assert_eq!((late.code, late.is_response()), (ResponseCode::ILLEGAL_OPERATION.0, true), "no question before it");
}

/// Measured on 5.5.0.
#[tokio::test]
async fn half_messages_with_a_delay_and_those_that_only_have_the_flag_are_acknowledged_and_lost() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    for wish in ["DELAY\u{1}1\u{2}", "TIMER_DELAY_SEC\u{1}1\u{2}"] {
        let half = begin(&mut client, "delayed", wish).await;
        client.call(&end(&half, TransactionEnding::Commit)).await.unwrap();
    }
    let mut flagged = send_request("Orders", 0, "PGROUP\u{1}payers\u{2}", "flagged");
    flagged.header.sys_flag = SysFlag::TRANSACTION_PREPARED;
    client.call(&flagged).await.unwrap();
    cluster.advance(Duration::from_secs(3600));
    assert_eq!((bodies(&cluster, "Orders"), cluster.broker("broker-0").open_transactions()), (Vec::new(), 0));
    let unflagged = send_request("Orders", 0, "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}payers\u{2}", "half");
    client.call(&unflagged).await.unwrap();
    assert_eq!(cluster.broker("broker-0").open_transactions(), 1, "the property makes a half message");
}

/// Measured on 5.5.0: the newer record of a check that crosses a commit stays open, and its commit delivers once more.
#[tokio::test]
async fn a_commit_that_crosses_a_check_leaves_the_newer_record_open() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.announce("p1", "payers").await;
    let half = begin(&mut client, "one", "").await;
    assert_eq!(cluster.broker("broker-0").check_transactions_now(), 1);
    let (check, _) = question(&mut client).await;
    client.call(&end(&half, TransactionEnding::Commit)).await.unwrap();
    assert_eq!(cluster.broker("broker-0").open_transactions(), 1);
    let mut answer = end(&half, TransactionEnding::Commit);
    (answer.commit_log_offset, answer.table_offset) = (check.header.commit_log_offset, check.header.table_offset);
    client.call(&answer).await.unwrap();
    assert_eq!((bodies(&cluster, "Orders").len(), cluster.broker("broker-0").open_transactions()), (2, 0));
}
