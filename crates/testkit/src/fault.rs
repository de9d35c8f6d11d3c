use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ferrocket_protocol::{Command, RequestCode, ResponseCode};
use parking_lot::Mutex;

use crate::Call;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Nothing special.
    Pass,
    /// The work is not done, and this is the answer.
    Answer(ResponseCode, String),
    /// The work is done at once, and the answer is held back for this long.
    Delay(Duration),
    /// The work is done after this long, and then answered. Requests behind it overtake it, as in the thread pools of real brokers.
    ApplyLater(Duration),
    /// The work is not done, and the connection is closed.
    Disconnect,
    /// The work is done, and the connection is closed instead of an answer.
    ApplyThenDisconnect,
    /// The work is done, and the answer says this code: a message that is stored, and not as safely as wanted.
    ApplyThenAnswer(ResponseCode),
    /// The work is not done, and nobody ever answers.
    DropRequest,
    /// The work is done, so many bytes of the answer are written, and the connection is closed.
    CutAnswerAfter(usize),
    /// The work is not done, and these bytes are written instead of an answer.
    Garbage(Bytes),
}

/// A scripted fault: which requests, how often, and what happens to them.
///
/// A fault without an end ([`times`](Self::times)) goes on until it is removed. When several faults wait for the same
/// request, each counts it for its own [`skip`](Self::skip), and the one that was ordered first acts.
#[derive(Clone, Debug)]
#[must_use = "order it with `TestCluster::fault`"]
pub struct Fault {
    call: Call,
    skip: usize,
    times: usize,
    broker: Option<String>,
    action: Action,
    delay: Option<Duration>,
}

impl Fault {
    /// Waits for requests of this kind. Without anything else it only counts them.
    pub fn on(call: Call) -> Self {
        Self { call, skip: 0, times: usize::MAX, broker: None, action: Action::Pass, delay: None }
    }

    /// Lets so many requests pass first.
    pub fn skip(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Ends after so many hits.
    pub fn times(mut self, requests: usize) -> Self {
        self.times = requests;
        self
    }

    /// Only on this broker.
    pub fn on_broker(mut self, name: impl Into<String>) -> Self {
        self.broker = Some(name.into());
        self
    }

    /// Answers with this code, without doing the work.
    pub fn answer(self, code: ResponseCode, remark: &str) -> Self {
        self.with(Action::Answer(code, remark.to_owned()))
    }

    /// Does the work at once and answers that much later. Together with another action: that action comes that much later.
    pub fn delay(mut self, time: Duration) -> Self {
        self.delay = Some(time);
        self
    }

    /// Does the work that much later, and answers then. Requests behind it overtake it, as in the thread pools of real brokers.
    pub fn apply_later(self, time: Duration) -> Self {
        self.with(Action::ApplyLater(time))
    }

    /// Closes the connection without doing the work.
    pub fn disconnect(self) -> Self {
        self.with(Action::Disconnect)
    }

    /// Does the work, then closes the connection instead of answering.
    pub fn apply_then_disconnect(self) -> Self {
        self.with(Action::ApplyThenDisconnect)
    }

    /// Does the work, and answers as ever, but with this code: 10, 11 and 12 say that a message is stored less safely than wanted.
    pub fn apply_then_answer(self, code: ResponseCode) -> Self {
        self.with(Action::ApplyThenAnswer(code))
    }

    /// Never answers, and does not do the work.
    pub fn drop_request(self) -> Self {
        self.with(Action::DropRequest)
    }

    /// Does the work, writes so many bytes of the answer's frame, and closes the connection.
    pub fn cut_answer_after(self, bytes: usize) -> Self {
        self.with(Action::CutAnswerAfter(bytes))
    }

    /// Writes these bytes instead of an answer, without doing the work.
    pub fn garbage(self, bytes: impl Into<Bytes>) -> Self {
        self.with(Action::Garbage(bytes.into()))
    }

    fn with(mut self, action: Action) -> Self {
        self.action = action;
        self
    }
}

/// A request that is about to be handled, for [`TestCluster::intercept`](crate::TestCluster::intercept).
#[derive(Debug)]
pub struct Intercepted<'a> {
    broker: Option<&'a str>,
    origin: Option<&'a str>,
    command: &'a Command,
}

impl<'a> Intercepted<'a> {
    pub(crate) fn new(broker: Option<&'a str>, origin: Option<&'a str>, command: &'a Command) -> Self {
        Self { broker, origin, command }
    }

    /// The broker that got it; `None` for a name server.
    pub fn broker(&self) -> Option<&'a str> {
        self.broker
    }

    /// Who sent it: the [name](crate::Connector::named) of the connector that opened its connection, if it has one.
    pub fn origin(&self) -> Option<&'a str> {
        self.origin
    }

    /// Its kind, if it has one.
    pub fn call(&self) -> Option<Call> {
        Call::of(self.code())
    }

    /// Its code.
    pub fn code(&self) -> RequestCode {
        RequestCode(self.command.code)
    }

    /// The whole of it.
    pub fn command(&self) -> &'a Command {
        self.command
    }
}

/// A fault that was ordered. Dropping the handle leaves the fault in force.
#[derive(Clone)]
pub struct FaultHandle {
    id: usize,
    hits: Arc<AtomicUsize>,
    faults: Arc<Faults>,
}

impl FaultHandle {
    /// How many requests it acted on.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// Takes the fault back.
    pub fn remove(self) {
        self.faults.table.lock().ordered.retain(|ordered| ordered.id != self.id);
    }
}

impl fmt::Debug for FaultHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultHandle").field("hits", &self.hits()).finish_non_exhaustive()
    }
}

type Hook = Arc<dyn Fn(&Intercepted<'_>) -> Action + Send + Sync>;

/// All faults in force.
#[derive(Default)]
pub(crate) struct Faults {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next_id: usize,
    ordered: Vec<Ordered>,
    hooks: Vec<Hook>,
}

struct Ordered {
    id: usize,
    fault: Fault,
    seen: usize,
    hits: Arc<AtomicUsize>,
}

/// What is to be done with one request.
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pub(crate) delay: Option<Duration>,
}

impl Faults {
    pub(crate) fn order(self: &Arc<Self>, fault: Fault) -> FaultHandle {
        let mut table = self.table.lock();
        table.next_id += 1;
        let (id, hits) = (table.next_id, Arc::new(AtomicUsize::new(0)));
        table.ordered.push(Ordered { id, fault, seen: 0, hits: hits.clone() });
        FaultHandle { id, hits, faults: self.clone() }
    }

    pub(crate) fn hook(&self, hook: Hook) {
        self.table.lock().hooks.push(hook);
    }

    pub(crate) fn judge(&self, request: &Intercepted<'_>) -> Verdict {
        let hooks = {
            let mut table = self.table.lock();
            if let Some(verdict) = table.ordered_action(request) {
                return verdict;
            }
            table.hooks.clone()
        };
        // Hooks are users' code: not under the lock.
        let action = hooks.iter().map(|hook| hook(request)).find(|action| *action != Action::Pass);
        match action {
            Some(Action::Delay(time)) => Verdict { action: Action::Pass, delay: Some(time) },
            Some(action) => Verdict { action, delay: None },
            None => Verdict { action: Action::Pass, delay: None },
        }
    }
}

impl Table {
    fn ordered_action(&mut self, request: &Intercepted<'_>) -> Option<Verdict> {
        let call = request.call()?;
        let mut verdict = None;
        for ordered in &mut self.ordered {
            let fault = &ordered.fault;
            let elsewhere = fault.broker.as_deref().is_some_and(|name| request.broker() != Some(name));
            if fault.call != call || elsewhere {
                continue;
            }
            ordered.seen += 1;
            let spent = ordered.hits.load(Ordering::SeqCst) >= fault.times;
            if verdict.is_none() && ordered.seen > fault.skip && !spent {
                ordered.hits.fetch_add(1, Ordering::SeqCst);
                verdict = Some(Verdict { action: fault.action.clone(), delay: fault.delay });
            }
        }
        verdict
    }
}
