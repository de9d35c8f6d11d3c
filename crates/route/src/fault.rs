use std::{collections::HashMap, time::Duration};

use ferrocket_model::BrokerName;

/// How long a broker is avoided after an answer that took this long: the highest class that fits counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "latencyMax")]
#[doc(alias = "notAvailableDuration")]
pub struct LatencyClasses(Vec<(Duration, Duration)>);

impl Default for LatencyClasses {
    /// Java's table (PRO-FLT-02).
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self(vec![
            (ms(50), ms(0)),
            (ms(100), ms(0)),
            (ms(550), ms(2_000)),
            (ms(1_800), ms(5_000)),
            (ms(3_000), ms(6_000)),
            (ms(5_000), ms(10_000)),
            (ms(15_000), ms(30_000)),
        ])
    }
}

impl LatencyClasses {
    /// Classes of (from this latency, avoid for this long).
    ///
    /// # Errors
    ///
    /// When the latencies do not ascend.
    pub fn new(classes: impl IntoIterator<Item = (Duration, Duration)>) -> Result<Self, &'static str> {
        let classes: Vec<_> = classes.into_iter().collect();
        if classes.is_sorted_by(|one, two| one.0 < two.0) {
            Ok(Self(classes))
        } else {
            Err("the latencies of the classes must ascend")
        }
    }

    /// How long to avoid a broker that took this long.
    pub fn avoid_for(&self, latency: Duration) -> Duration {
        self.0.iter().rev().find(|(from, _)| latency >= *from).map_or(Duration::ZERO, |(_, avoid)| *avoid)
    }
}

/// How long a broker is avoided that could not be reached, unless something succeeds there before.
const UNREACHABLE_FOR: Duration = Duration::from_millis(500);
/// What a failed attempt counts as, when it says nothing of the latency (PRO-FLT-02).
const FAILURE_LATENCY: Duration = Duration::from_secs(10);

/// Which brokers are slow or away. Sans-IO: `now` is the time since any fixed moment.
///
/// A connect failure is not a latency: it ends as soon as anything succeeds there, and soon by itself. Never used against a
/// queue that the caller chose.
#[derive(Debug, Default)]
#[doc(alias = "LatencyFaultTolerance")]
pub struct FaultTable {
    classes: Option<LatencyClasses>,
    /// Somebody looks whether brokers that are away come back, and says so.
    is_probed: bool,
    brokers: HashMap<BrokerName, Fault>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    slow_until: Duration,
    unreachable_until: Duration,
}

impl FaultTable {
    /// A table in which no broker has a fault.
    pub fn new(classes: LatencyClasses) -> Self {
        Self { classes: Some(classes), is_probed: false, brokers: HashMap::new() }
    }

    /// A broker that is away stays avoided until [`reachable`](Self::reachable) or a success says that it is back, because
    /// somebody probes the [`unreachable_brokers`](Self::unreachable_brokers).
    pub fn probed(mut self) -> Self {
        self.is_probed = true;
        self
    }

    /// A table that avoids nobody.
    pub fn off() -> Self {
        Self::default()
    }

    /// A broker answered, and this is how long it took. Only ever extends what slowness has set (PRO-FLT-03).
    pub fn succeeded(&mut self, broker: &BrokerName, latency: Duration, now: Duration) {
        let Some(classes) = &self.classes else { return };
        let avoid = classes.avoid_for(latency);
        if avoid.is_zero() && !self.brokers.contains_key(broker) {
            return; // the usual case: nothing to remember
        }
        let fault = self.entry(broker, now);
        fault.unreachable_until = Duration::ZERO;
        fault.slow_until = fault.slow_until.max(now.saturating_add(avoid));
        if fault.slow_until <= now {
            self.brokers.remove(broker);
        }
    }

    /// A broker answered with an error, or not in time.
    pub fn failed(&mut self, broker: &BrokerName, now: Duration) {
        let Some(classes) = &self.classes else { return };
        let avoid = classes.avoid_for(FAILURE_LATENCY);
        let fault = self.entry(broker, now);
        fault.slow_until = fault.slow_until.max(now.saturating_add(avoid));
    }

    /// A broker could not be reached.
    pub fn unreachable(&mut self, broker: &BrokerName, now: Duration) {
        if self.classes.is_some() {
            let until = if self.is_probed { Duration::MAX } else { now.saturating_add(UNREACHABLE_FOR) };
            self.entry(broker, now).unreachable_until = until;
        }
    }

    /// The faults of a broker. Those of others that are over are forgotten meanwhile: of a broker that left the cluster, no
    /// success will ever do it.
    fn entry(&mut self, broker: &BrokerName, now: Duration) -> &mut Fault {
        self.brokers.retain(|known, fault| known == broker || now < fault.slow_until.max(fault.unreachable_until));
        self.brokers.entry(broker.clone()).or_default()
    }

    /// A broker can be reached again: a connection or a probe has succeeded, or nobody knows it any more (PRO-FLT-06).
    pub fn reachable(&mut self, broker: &BrokerName, now: Duration) {
        if let Some(fault) = self.brokers.get_mut(broker) {
            fault.unreachable_until = Duration::ZERO;
            if fault.slow_until <= now {
                self.brokers.remove(broker);
            }
        }
    }

    /// The brokers that could not be reached when they were tried last.
    pub fn unreachable_brokers(&self, now: Duration) -> Vec<BrokerName> {
        self.brokers.keys().filter(|broker| !self.is_reachable(broker, now)).cloned().collect()
    }

    /// Whether a broker should be used. One that was never heard of should.
    pub fn is_available(&self, broker: &BrokerName, now: Duration) -> bool {
        self.brokers.get(broker).is_none_or(|fault| now >= fault.slow_until && now >= fault.unreachable_until)
    }

    /// Whether a broker could be reached when it was tried last, or that was long enough ago.
    pub fn is_reachable(&self, broker: &BrokerName, now: Duration) -> bool {
        self.brokers.get(broker).is_none_or(|fault| now >= fault.unreachable_until)
    }

    /// Whether every broker is available, so that nobody needs to ask one by one.
    pub fn is_clean(&self) -> bool {
        self.brokers.is_empty()
    }

    /// The brokers that are avoided now.
    pub fn avoided(&self, now: Duration) -> Vec<BrokerName> {
        self.brokers.keys().filter(|broker| !self.is_available(broker, now)).cloned().collect()
    }
}
