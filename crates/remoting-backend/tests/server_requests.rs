//! What servers ask clients (R18): notices, questions, codes of the future, and garbage. The server is made by hand, so that it
//! can say what no broker would; after each case the connection must still carry calls.

use std::{future::poll_fn, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ferrocket_backend::{
    ConsumerGroups, ConsumerMember, DirectEnding, DirectVerdict, EventStream, Member, MemberKind, Membership, Replies,
    ServerEvent, Subscription,
};
use ferrocket_model::{ConsumeFrom, Filter, Group, Topic, TransactionState};
use ferrocket_protocol::{
    Command, FieldSink, Frame, HeaderFormat, NoFields, Request, RequestCode, RequestHead, ResponseCode, WriteFields,
    body::{DirectOutcome, DirectResult},
    encode_request, encode_response, limits,
    message::{StoredParts, SysFlag, write_stored},
};
use ferrocket_remoting_backend::{Config, RemotingBackend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

const SECOND: Duration = Duration::from_secs(1);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(300 * SECOND, future).await.expect("it should have happened by now")
}

/// Any request of a server. Fields in the order of their names.
#[derive(Clone, Default)]
struct Question {
    code: i32,
    fields: Vec<(&'static str, String)>,
    body: Bytes,
}

impl WriteFields for Question {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.fields.iter().for_each(|(name, value)| sink.text(name, value));
    }
}

impl Request for Question {
    const CODE: RequestCode = RequestCode::HEART_BEAT;
    type Response = ();

    fn code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// The server's end of the client's connection.
struct Server {
    stream: DuplexStream,
    buffer: BytesMut,
    next_opaque: i32,
}

impl Server {
    /// The next frame of the client; `None` when it closed.
    async fn next(&mut self) -> Option<Command> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.buffer, limits::MAX_FRAME_BYTES).expect("a frame") {
                return Some(Command::read(frame).expect("a header"));
            }
            match soon(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("the client is there");
    }

    /// Asks, and gives back the client's answer, which must be the next that it says.
    async fn ask(&mut self, question: &Question) -> Command {
        self.next_opaque += 1;
        self.tell(question, RequestHead::new(self.next_opaque, HeaderFormat::Json)).await;
        let answer = self.next().await.expect("the connection stays open");
        assert!(answer.is_response(), "an answer, and nothing else: {answer:?}");
        assert_eq!(answer.opaque, self.next_opaque);
        answer
    }

    async fn tell(&mut self, question: &Question, head: RequestHead) {
        let mut out = BytesMut::new();
        let encoded = encode_request(question, &head, &[], &mut out).expect("it fits");
        out.extend_from_slice(&encoded.body.unwrap_or_default());
        self.write(&out).await;
    }

    /// Answers a request of the client with this code.
    async fn answer(&mut self, request: &Command, code: ResponseCode) {
        let mut out = BytesMut::new();
        let encoded =
            encode_response(request.opaque, code, None, &NoFields, Bytes::new(), HeaderFormat::Json, &mut out)
                .expect("it fits");
        out.extend_from_slice(&encoded.body.unwrap_or_default());
        self.write(&out).await;
    }

    /// The client's next request must be the question of `ready`: nothing else was sent before it.
    async fn serve_one(&mut self) {
        let request = self.next().await.expect("the connection stays open");
        assert_eq!(RequestCode(request.code), RequestCode::GET_ROUTEINFO_BY_TOPIC, "{request:?}");
        self.answer(&request, ResponseCode::TOPIC_NOT_EXIST).await;
    }

    /// One call of the client, over the connection that is there.
    async fn is_usable(&mut self, backend: &RemotingBackend) {
        let (ready, ()) = tokio::join!(backend.ready(3 * SECOND), self.serve_one());
        ready.expect("the connection carries calls");
        assert_eq!(backend.health().stats.opened, 1, "the connection is the first one");
    }
}

/// A client that has one connection, to a server by hand.
async fn connected() -> (RemotingBackend, Server) {
    let (sender, mut dialed) = mpsc::channel(4);
    let dialer = move |_: String| {
        let (ours, stream) = tokio::io::duplex(64 * 1024);
        let _ = sender.try_send(Server { stream, buffer: BytesMut::new(), next_opaque: 1000 });
        async move { Ok::<_, io::Error>(ours) }
    };
    let mut config = Config::new(vec!["by-hand:9876".to_owned()], "c");
    config.dialer = Some(Arc::new(dialer));
    let backend = RemotingBackend::start(config).expect("options that work");
    let serving = async {
        let mut server: Server = soon(dialed.recv()).await.expect("a dial");
        server.serve_one().await;
        server
    };
    let (ready, server) = tokio::join!(backend.ready(3 * SECOND), serving);
    ready.expect("the server answers");
    (backend, server)
}

/// As consumers do it.
async fn join(backend: &RemotingBackend, group: &str, kind: MemberKind) -> EventStream {
    if matches!(kind, MemberKind::Consumer(_)) {
        backend.answer_administrators();
    }
    soon(backend.join(Member { group: Group::from(group), kind })).await.expect("it joins").events
}

fn consuming() -> MemberKind {
    let subscription = Subscription { topic: Topic::from("Orders"), filter: Filter::all(), version: 1 };
    MemberKind::Consumer(ConsumerMember {
        subscriptions: vec![subscription],
        is_broadcast: false,
        consume_from: ConsumeFrom::Earliest,
    })
}

async fn event(events: &mut EventStream) -> ServerEvent {
    soon(poll_fn(|cx| events.as_mut().poll_next(cx))).await.expect("an event")
}

/// Whether no event waits now. One that does is taken.
async fn is_silent(events: &mut EventStream) -> bool {
    poll_fn(|cx| std::task::Poll::Ready(events.as_mut().poll_next(cx).is_pending())).await
}

fn question(code: RequestCode, fields: &[(&'static str, &str)], body: impl Into<Bytes>) -> Question {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Question { code: code.0, fields, body: body.into() }
}

/// A half message as brokers ask about it.
fn half_message(group: &str) -> Bytes {
    let mut out = BytesMut::new();
    let host = "127.0.0.1:10911".parse().expect("an address");
    let parts = StoredParts {
        queue_id: 1,
        flag: 0,
        queue_offset: 7,
        commit_log_offset: 700,
        sys_flag: SysFlag(4),
        born_ms: 1,
        born_host: host,
        stored_ms: 2,
        store_host: host,
        reconsume_times: 0,
        prepared_offset: 0,
        body: b"half",
        topic: "Orders",
        properties: &format!("PGROUP\u{1}{group}\u{2}UNIQ_KEY\u{1}id-1\u{2}TRAN_MSG\u{1}true\u{2}"),
    };
    write_stored(&parts, &mut out);
    out.freeze()
}

fn check(body: impl Into<Bytes>) -> Question {
    let fields = [("bname", "broker-a"), ("commitLogOffset", "700"), ("tranStateTableOffset", "3")];
    question(RequestCode::CHECK_TRANSACTION_STATE, &fields, body)
}

/// R18: also when the code is none at all. The Java client answers the same.
#[tokio::test(start_paused = true)]
async fn r18_a_code_that_the_client_does_not_know_is_answered_as_not_supported() {
    let (backend, mut server) = connected().await;
    for code in [40_000, 0, -1, i32::MIN, i32::MAX, RequestCode::SEND_MESSAGE.0] {
        let answer = server.ask(&question(RequestCode(code), &[("a", "b")], "what?")).await;
        assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED, "code {code}");
        assert_eq!(answer.remark().as_deref(), Some(&*format!("request type {code} not supported")));
    }
    server.is_usable(&backend).await;
}

/// R18: who asks one-way gets no answer, whatever was asked.
#[tokio::test(start_paused = true)]
async fn r18_nothing_that_was_asked_one_way_is_answered() {
    let (backend, mut server) = connected().await;
    for question in [
        question(RequestCode(40_000), &[], ""),
        question(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &[], "garbage"),
        question(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, &[], "garbage"),
        check("garbage"),
    ] {
        server.tell(&question, RequestHead::new(5, HeaderFormat::Json).one_way()).await;
    }
    // The client's next frame is its own request.
    server.is_usable(&backend).await;
}

/// R18: a notice without a group, or with one that nobody here is in.
#[tokio::test(start_paused = true)]
async fn r18_a_garbled_notice_is_answered_with_an_error_and_a_good_one_still_arrives() {
    let (backend, mut server) = connected().await;
    let mut events = join(&backend, "billing", consuming()).await;
    let changed = RequestCode::NOTIFY_CONSUMER_IDS_CHANGED;
    let answer = server.ask(&question(changed, &[("consumerGruppe", "billing")], "\u{0}garbage")).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().is_some_and(|remark| remark.contains("consumerGroup")), "{:?}", answer.remark());
    let answer = server.ask(&question(changed, &[("consumerGroup", "somebody else")], "")).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert!(is_silent(&mut events).await, "neither was for this group");
    let answer = server.ask(&question(changed, &[("consumerGroup", "billing")], "")).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert!(matches!(event(&mut events).await, ServerEvent::MembersChanged));
    server.is_usable(&backend).await;
}

/// R18: more notices than anybody reads. They are all the same one, so nothing grows and nothing blocks.
#[tokio::test(start_paused = true)]
async fn r18_a_flood_of_notices_that_nobody_reads_blocks_nothing() {
    let (backend, mut server) = connected().await;
    let mut events = join(&backend, "billing", consuming()).await;
    for _ in 0..1_000 {
        let notice = question(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &[("consumerGroup", "billing")], "");
        assert_eq!(server.ask(&notice).await.response_code(), ResponseCode::SUCCESS);
    }
    server.is_usable(&backend).await;
    let mut waiting = 0;
    while !is_silent(&mut events).await {
        waiting += 1;
    }
    assert!((1..200).contains(&waiting), "{waiting} of a thousand equal notices wait");
}

const REPLY_FIELDS: [(&str, &str); 10] = [
    ("bornHost", "/127.0.0.1:1"),
    ("bornTimestamp", "1"),
    ("flag", "0"),
    ("producerGroup", "prices"),
    ("properties", "CORRELATION_ID\u{1}nobody\u{2}"),
    ("queueId", "0"),
    ("storeHost", "/127.0.0.1:2"),
    ("storeTimestamp", "2"),
    ("sysFlag", "0"),
    ("topic", "C_REPLY_TOPIC"),
];

/// R18, R17: brokers are told that all is well, since nothing they could do would help.
#[tokio::test(start_paused = true)]
async fn r18_a_reply_for_nobody_is_taken_counted_and_dropped() {
    let (backend, mut server) = connected().await;
    let push = question(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, &REPLY_FIELDS, "42.00");
    for count in 1..=3 {
        assert_eq!(server.ask(&push).await.response_code(), ResponseCode::SUCCESS);
        assert_eq!(backend.health().unwanted_replies, count);
    }
    // One that is waited for is not counted, and its double is.
    let waiting = backend.expect_reply("nobody");
    server.ask(&push).await;
    server.ask(&push).await;
    assert_eq!(soon(waiting).await.expect("a reply").body(), &b"42.00"[..]);
    assert_eq!(backend.health().unwanted_replies, 4);
    server.is_usable(&backend).await;
}

/// R18, R15: numbers that are none, properties that are none, and bodies that do not decompress.
#[tokio::test(start_paused = true)]
async fn r18_a_garbled_reply_harms_nobody() {
    let (backend, mut server) = connected().await;
    let push = RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT;
    for (name, value, code) in [
        ("bornTimestamp", "yesterday", ResponseCode::SYSTEM_ERROR),
        ("queueId", "99999999999999999999", ResponseCode::SYSTEM_ERROR),
        ("queueId", "-7", ResponseCode::SUCCESS),
        ("properties", "\u{1}\u{2}\u{1}\u{1}CORRELATION_ID", ResponseCode::SUCCESS),
        ("bornHost", "nowhere", ResponseCode::SUCCESS),
    ] {
        let mut fields = REPLY_FIELDS;
        fields.iter_mut().filter(|(known, _)| *known == name).for_each(|field| field.1 = value);
        assert_eq!(server.ask(&question(push, &fields, "x")).await.response_code(), code, "{name}: {value:?}");
    }
    assert_eq!(server.ask(&question(push, &[], "x")).await.response_code(), ResponseCode::SYSTEM_ERROR);
    // It says zlib and is not: who waits for it learns that.
    let waiting = backend.expect_reply("nobody");
    let mut fields = REPLY_FIELDS;
    fields.iter_mut().filter(|(name, _)| *name == "sysFlag").for_each(|field| field.1 = "1");
    assert_eq!(server.ask(&question(push, &fields, "not zlib")).await.response_code(), ResponseCode::SUCCESS);
    let failure = soon(waiting).await.expect_err("the body cannot be read");
    assert_eq!(failure.kind(), ferrocket_model::ErrorKind::Undecodable);
    server.is_usable(&backend).await;
}

/// R18: cut at every byte, and stretched by lengths that lie.
#[tokio::test(start_paused = true)]
async fn r18_a_question_about_a_garbled_half_message_is_answered_with_an_error_and_asks_nobody() {
    let (backend, mut server) = connected().await;
    let mut events = join(&backend, "shop", MemberKind::Producer).await;
    let good = half_message("shop");
    for length in 0..good.len() {
        let answer = server.ask(&check(good.slice(..length))).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR, "cut at {length}");
    }
    for position in 0..good.len() {
        // Lengths, hosts, flags, names: every byte once at its largest. What comes of it may be readable, but never a panic.
        let mut bad = good.to_vec();
        bad[position] = 0xff;
        server.ask(&check(bad)).await;
        while !is_silent(&mut events).await {}
    }
    for garbage in [&b"garbage"[..], &[0xff; 300], &[0; 300]] {
        assert_eq!(server.ask(&check(garbage)).await.response_code(), ResponseCode::SYSTEM_ERROR);
    }
    let headless = Question { fields: Vec::new(), ..check(good) };
    assert_eq!(server.ask(&headless).await.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(is_silent(&mut events).await);
    server.is_usable(&backend).await;
}

/// R18: the broker asks somebody else later; a guess would end a transaction that nobody here knows.
#[tokio::test(start_paused = true)]
async fn r18_a_question_for_a_group_without_a_checker_sends_nothing() {
    let (backend, mut server) = connected().await;
    let mut events = join(&backend, "shop", MemberKind::Producer).await;
    server.tell(&check(half_message("another shop")), RequestHead::new(9, HeaderFormat::Json).one_way()).await;
    server.tell(&check(half_message("")), RequestHead::new(10, HeaderFormat::Json).one_way()).await;
    // The next thing that the client says is a call of its own.
    server.is_usable(&backend).await;
    assert!(is_silent(&mut events).await);
}

/// R18: the good case, so that the silence above means something.
#[tokio::test(start_paused = true)]
async fn r18_a_question_for_a_group_with_a_checker_is_answered_with_what_was_asked() {
    let (backend, mut server) = connected().await;
    let mut events = join(&backend, "shop", MemberKind::Producer).await;
    server.tell(&check(half_message("shop")), RequestHead::new(9, HeaderFormat::Json).one_way()).await;
    let ServerEvent::CheckTransaction(check) = event(&mut events).await else { panic!("another event") };
    assert_eq!(check.half.body(), &b"half"[..]);
    let serving = async {
        let end = server.next().await.expect("an answer to the question");
        assert_eq!(RequestCode(end.code), RequestCode::END_TRANSACTION);
        for (name, value) in [
            ("commitLogOffset", "700"),
            ("tranStateTableOffset", "3"),
            ("fromTransactionCheck", "true"),
            ("msgId", "id-1"),
        ] {
            let found = end.fields().find(name).expect("readable");
            assert_eq!(found.as_deref(), Some(value), "{name}");
        }
        server.answer(&end, ResponseCode::SUCCESS).await;
    };
    let (answered, ()) = tokio::join!((check.answer)(TransactionState::Commit), serving);
    answered.expect("the server confirmed it");
    server.is_usable(&backend).await;
}

/// CON-ADM-03. Seen to fail with an answer that does not say how the listener ended.
#[tokio::test(start_paused = true)]
async fn a_message_to_be_consumed_directly_reaches_the_consumer_and_its_verdict_the_broker() {
    let (backend, mut server) = connected().await;
    let mut events = join(&backend, "billing", consuming()).await;
    let fields = [("consumerGroup", "billing"), ("clientId", "c"), ("brokerName", "broker-a")];
    let endings = [
        (DirectEnding::Consumed, DirectOutcome::Success, None),
        (DirectEnding::Failed("no".to_owned()), DirectOutcome::Later, Some("no")),
        (DirectEnding::Panicked("oh".to_owned()), DirectOutcome::Exception, Some("oh")),
    ];
    for (ending, expected, remark) in endings {
        let asked = question(RequestCode::CONSUME_MESSAGE_DIRECTLY, &fields, half_message("any"));
        let consuming = async {
            let ServerEvent::ConsumeDirectly(direct) = event(&mut events).await else { panic!("another event") };
            assert_eq!(
                (direct.message.body().as_ref(), direct.message.queue().broker().as_str()),
                (&b"half"[..], "broker-a")
            );
            (direct.answer)(DirectVerdict { is_orderly: true, ending, took: 5 * SECOND });
        };
        let (answer, ()) = tokio::join!(server.ask(&asked), consuming);
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        let result = DirectResult::read_body(answer.body()).expect("a result");
        assert_eq!((result.outcome, result.remark.as_deref()), (expected, remark), "{result:?}");
        assert_eq!((result.order, result.spent_ms), (true, 5_000), "{result:?}");
    }
}

/// R18, CON-ADM-01: whoever asks is answered, also where nobody is there to answer, or drops the question.
#[tokio::test(start_paused = true)]
async fn r18_administrators_are_always_answered() {
    let (backend, mut server) = connected().await;
    let early = question(RequestCode::GET_CONSUMER_RUNNING_INFO, &[("consumerGroup", "billing")], Bytes::new());
    let code = server.ask(&early).await.response_code();
    assert_eq!(code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, "no consumer was ever here");
    let mut events = join(&backend, "billing", consuming()).await;
    let about = |group| [("consumerGroup", group), ("clientId", "c")];
    let running_info = |group| question(RequestCode::GET_CONSUMER_RUNNING_INFO, &about(group), Bytes::new());
    let refused = server.ask(&running_info("another group")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    let status =
        question(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &[("group", "none"), ("topic", "T")], Bytes::new());
    assert_eq!(server.ask(&status).await.response_code(), ResponseCode::SUCCESS, "CON-ADM-06: it is nowhere");
    let dropping = async { drop(event(&mut events).await) };
    let asked = running_info("billing");
    let (refused, ()) = tokio::join!(server.ask(&asked), dropping);
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    for code in [
        RequestCode::GET_CONSUMER_RUNNING_INFO,
        RequestCode::CONSUME_MESSAGE_DIRECTLY,
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT,
        RequestCode::RESET_CONSUMER_CLIENT_OFFSET,
    ] {
        let garbled = server.ask(&question(code, &[("x", "y")], "}{")).await;
        assert_eq!(garbled.response_code(), ResponseCode::SYSTEM_ERROR, "{code}");
    }
    drop(events);
    let refused = server.ask(&running_info("billing")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR, "nobody listens any more");
    server.is_usable(&backend).await;
}
