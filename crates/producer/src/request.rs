//! Request and reply: a message that waits until a consumer has answered it.

use ferrocket_backend::{BoxFuture, SendKind};
use ferrocket_model::{
    Applied, ErrorKind, Failure, Message, Reply,
    properties::{self, name},
};

use crate::{
    job::Job,
    send,
    sending::{Plan, SendError},
};

pub(crate) fn start(plan: Plan, message: Message) -> BoxFuture<'static, Result<Reply, SendError>> {
    Box::pin(async move {
        let mut job = Job::one(plan, message, SendKind::Message);
        let core = job.core.clone();
        let correlation = correlation_id();
        let mut more = String::new();
        properties::push(&mut more, name::CORRELATION_ID, &correlation);
        properties::push(&mut more, name::REPLY_TO_CLIENT, core.stack.backend.client_id());
        properties::push(&mut more, name::TTL, &job.attempts.deadline().as_millis().to_string());
        job.extra().properties = more;
        let refused = if job.message.is_reply() {
            let operation = format!("request of topic {}", job.message.topic());
            Err(Box::new(Failure::invalid_argument(operation, "a reply cannot be a request; `send` it")))
        } else {
            job.intercept()
        };
        if let Err(failure) = refused {
            return Err(job.failed(failure));
        }
        // From here on, so that a reply that overtakes the send's answer is not missed.
        let reply = core.stack.backend.expect_reply(&correlation);
        let stored = async {
            make_known(&mut job).await?;
            let mut ready = job.ready().await?;
            let stored = send::attempt(&mut job, &mut ready).await?;
            let (place, topic) = ready.into_place();
            Ok((stored, place, topic))
        };
        // A request is in flight until its reply is here: it keeps its place, and a shutdown waits for it.
        let (receipt, _place, topic) = match stored.await {
            Ok((stored, place, topic)) => (send::receipt(&mut job, stored), place, topic),
            Err(failure) => return Err(job.failed(failure)),
        };
        let left = job.left();
        match tokio::time::timeout(left, reply).await {
            Ok(Ok(reply)) => {
                job.succeeded(&topic, &[receipt]);
                Ok(reply)
            }
            Ok(Err(failure)) => Err(job.failed(Box::new(failure.with_applied(Applied::Yes)))),
            Err(_) => {
                // Perhaps the broker has lost the way to us, with an old connection: the next request shall have its reply.
                core.stack.backend.renew();
                let timeout = job.attempts.deadline();
                let failure = Failure::new(ErrorKind::NoReply, format!("request of topic {}", job.message.topic()))
                    .with_detail(format!("the request is stored, and no reply came within {timeout:?}"))
                    .with_advice("see that a consumer of the topic runs and replies in time")
                    .with_applied(Applied::Yes);
                Err(job.failed(Box::new(failure)))
            }
        }
    })
}

/// Brokers push replies to clients that they know by heartbeats: those of a topic that is new here must learn of us first
/// (PRO-REQ-01). Once for all requests of a topic, and each waits for half of its time at most: a broker that is silent now is told
/// with the next heartbeat, and must not hold up those that are sent to others.
async fn make_known(job: &mut Job) -> Result<(), Box<Failure>> {
    // Before anybody is asked anything.
    job.check()?;
    let core = job.core.clone();
    let topic = core.topics.of(job.message.topic(), &core.stack.routes);
    if topic.announced.initialized() {
        return Ok(());
    }
    let left = job.left();
    core.stack.routes.route(job.message.topic(), Some(core.options.new_topic_queues), left).await?;
    let left = job.left();
    let announced = topic.announced.get_or_init(|| async {
        let _ = tokio::time::timeout(left / 3, core.stack.backend.announce()).await;
    });
    let _ = tokio::time::timeout(left / 2, announced).await;
    job.now = core.clock();
    Ok(())
}

/// A random UUID, as Java makes one.
fn correlation_id() -> String {
    let random = fastrand::u128(..);
    let hex = format!("{random:032x}");
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    // Version 4, variant 1.
    format!("{a}-{b}-4{}-a{}-{e}", c.get(1..).unwrap_or_default(), d.get(1..).unwrap_or_default())
}
