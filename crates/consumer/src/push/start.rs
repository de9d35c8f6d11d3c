//! From checked options to a running consumer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::SystemTime,
};

use ferrocket_backend::{ConsumerMember, Ending, Managed, Member, MemberKind, Rates, Subscription};
use ferrocket_model::{ErrorKind, Filter, FilterKind, SetupError};
use ferrocket_offset_store::{BrokerOffsets, Progress};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{builder::Settings, check::check};
use crate::{
    buffered::Buffered,
    commit,
    core::{Core, Order},
    deliver::{
        Ready, Workers,
        retry::{self, Retries},
    },
    inspection,
    listener::AnyListener,
    rebalance::{self, agreement, locks},
    stats::Stats,
    subscription::Subscriptions,
};

/// Checks, joins the group, starts the tasks.
pub(super) async fn core(settings: Box<Settings>) -> Result<Arc<Core>, SetupError> {
    let operation = format!("build consumer {}", settings.group);
    let mut settings = *settings;
    let options = &mut settings.options;
    options.max_attempts = settings.max_attempts.unwrap_or(match (options.is_broadcast, options.order) {
        (true, _) => 3,
        (false, Order::Kept) => u32::MAX,
        (false, Order::Any) => 17,
    });
    check(&operation, &settings)?;
    let Settings { stack, backend, group, mut subscriptions, strategy, concurrency, listener, store, options, .. } =
        settings;
    if !options.is_broadcast {
        subscriptions.push((group.retry_topic(), Filter::all()));
    }
    let progress = match store {
        Some(store) => Progress::in_one_place(group.clone(), store),
        None => Progress::new(group.clone(), Arc::new(BrokerOffsets::new(backend.clone()))),
    };
    let core = Arc::new(Core {
        progress,
        buffered: Buffered::new(options.buffer, options.buffer_bytes, stack.budget.clone()),
        stack,
        backend,
        group,
        options,
        subscriptions: Subscriptions::new(subscriptions),
        strategy,
        listener,
        ready: Ready::default(),
        retries: Retries::default(),
        stats: Stats::default(),
        queues: Mutex::default(),
        leaving: Mutex::default(),
        missing: Mutex::default(),
        members: AtomicUsize::new(0),
        evictions: AtomicUsize::new(0),
        warnings: Mutex::default(),
        rebalance: Notify::new(),
        doubt: Notify::new(),
        pulse: rebalance::standstill::Pulse::new(),
        started: SystemTime::now(),
        rates: Rates::new(Instant::now()),
        running: AtomicUsize::new(0),
        idle: Notify::new(),
        ending: CancellationToken::new(),
        abort: CancellationToken::new(),
        tasks: watch::Sender::default(),
        workers: Workers::default(),
        paused: AtomicBool::new(false),
        shutdown: Ending::new(),
    });
    join(&core).await?;
    if !matches!(core.listener, AnyListener::Stream) {
        core.set_concurrency(concurrency);
    }
    core.stack.scope.add(&(core.clone() as Arc<dyn Managed>));
    Ok(core)
}

async fn join(core: &Arc<Core>) -> Result<(), SetupError> {
    // Brokers are told of us when their addresses are known, so the topics are looked up first.
    for topic in core.subscriptions.topics().iter().filter(|topic| !topic.is_retry()) {
        let timeout = core.stack.request_timeout;
        if let Err(failure) = core.stack.routes.route(topic, None, timeout).await {
            if failure.kind() == ErrorKind::Closed {
                return Err(failure.into());
            }
            tracing::warn!(%topic, %failure, "subscribed to a topic without a route; it is waited for");
        }
    }
    for subscription in core.subscriptions.listed() {
        check_by_broker(core, &subscription).await?;
    }
    let member = ConsumerMember {
        subscriptions: core.subscriptions.listed(),
        is_broadcast: core.options.is_broadcast,
        consume_from: core.options.consume_from,
    };
    let member = Member { group: core.group.clone(), kind: MemberKind::Consumer(member) };
    let joining = Joining { core: Some(core) };
    core.backend.answer_administrators();
    let joined = core.stack.backend.join(member).await;
    let events = match joined {
        Ok(joined) => joined.events,
        Err(failure) => {
            // A conflict is about somebody else's membership: it stays.
            std::mem::forget(joining);
            return Err(failure.into());
        }
    };
    joining.done();
    core.spawn(Box::pin(inspection::listen(core.clone(), events)));
    // To its end, because a round that is dropped between the lock and the queue would leave the lock behind.
    core.spawn_to_its_end(Box::pin(rebalance::run(core.clone())));
    core.spawn(Box::pin(rebalance::standstill::watch(core.clone())));
    for topic in core.subscriptions.topics() {
        core.spawn(Box::pin(rebalance::watch(core.clone(), topic)));
    }
    if core.needs_locks() {
        // To its end, because listeners that may finish need their locks until then.
        core.spawn_to_its_end(Box::pin(locks::keep(core.clone())));
    }
    core.spawn(Box::pin(retry::run(core.clone())));
    core.spawn(Box::pin(agreement::watch(core.clone())));
    core.spawn_to_its_end(Box::pin(commit::regularly(core.clone())));
    Ok(())
}

/// A filter that brokers compile is shown to one first, so that a mistake in it is an error here and not a consumer that gets nothing
/// (CON-SUB-07). When none can be asked, it is tried as it is.
pub(super) async fn check_by_broker(core: &Core, subscription: &Subscription) -> Result<(), SetupError> {
    if subscription.filter.kind() != FilterKind::Sql {
        return Ok(());
    }
    match core.backend.check_filter(&core.group, subscription).await {
        Err(failure) if failure.code().is_some() || failure.kind() == ErrorKind::Closed => {
            Err(failure.with_option("subscribe").into())
        }
        Err(failure) => {
            tracing::warn!(topic = %subscription.topic, %failure, "no broker could be asked about a filter; it is used unchecked");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Takes the membership back when `build` is dropped while it joins.
struct Joining<'a> {
    core: Option<&'a Core>,
}

impl Joining<'_> {
    fn done(mut self) {
        self.core = None;
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if let Some(core) = self.core {
            core.stack.backend.forget(&core.group, true);
        }
    }
}
