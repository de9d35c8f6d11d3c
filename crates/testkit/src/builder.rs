use std::{io, sync::Arc, time::Duration};

use ferrocket_model::Topic;
use futures_core::future::BoxFuture;

use crate::{
    TestCluster,
    broker::{Broker, keep_copying},
    shared::{Settings, Shared},
};

/// Builds a [`TestCluster`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct TestClusterBuilder {
    brokers: usize,
    slaves: bool,
    topics: Vec<(Topic, u32)>,
    batch_topics: Vec<Topic>,
    settings: Settings,
}

impl TestClusterBuilder {
    pub(crate) fn new() -> Self {
        Self {
            brokers: 1,
            slaves: false,
            topics: Vec::new(),
            batch_topics: Vec::new(),
            settings: Settings {
                auto_create_topics: true,
                retry_delay: None,
                delay_divisor: 1,
                recall_messages: true,
                in_memory: false,
                max_message_bytes: 4 * 1024 * 1024,
                region: "DefaultRegion".into(),
                property_filter: true,
                lock_time: Duration::from_secs(60),
                member_expiry: Duration::from_secs(120),
                transaction_timeout: Duration::from_secs(2),
                transaction_check_interval: Duration::from_secs(1),
                transaction_check_max: 15,
            },
        }
    }

    /// How many brokers: `broker-0`, `broker-1` and so on. Default 1.
    pub fn brokers(mut self, count: usize) -> Self {
        self.brokers = count;
        self
    }

    /// Each broker gets a slave, with broker id 1 and an address of its own. It has every message at once, also while its master is
    /// stopped, and answers pulls; it takes the offsets of the groups every 60 s of tokio's clock, has its own members and locks,
    /// and refuses to store messages. Faults know it as `<name>-slave`. See [`BrokerHandle::slave`](crate::BrokerHandle::slave).
    #[doc(alias = "slaveReadEnable")]
    pub fn with_slaves(mut self) -> Self {
        self.slaves = true;
        self
    }

    /// A topic that exists from the start, with so many queues on each broker.
    pub fn topic(mut self, topic: impl Into<Topic>, queues: u32) -> Self {
        self.topics.push((topic.into(), queues));
        self
    }

    /// A topic whose batches are stored whole, as one record that consumers take apart: its `queue.type` is `BatchCQ`. With one
    /// queue on each broker, unless [`topic`](Self::topic) says otherwise.
    pub fn batch_topic(mut self, topic: impl Into<Topic>) -> Self {
        self.batch_topics.push(topic.into());
        self
    }

    /// Whether a first send makes the topic, on the broker it goes to. Default true; then the template topic `TBW102` has a
    /// route with 8 queues per broker.
    pub fn auto_create_topics(mut self, allowed: bool) -> Self {
        self.settings.auto_create_topics = allowed;
        self
    }

    /// How long a message that a consumer gave back waits for its next try, whatever its delay level. Default: as long as the
    /// level lasts on a real broker, 1 s, 5 s, 10 s, 30 s, 1 min and so on up to 2 h.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.settings.retry_delay = Some(delay);
        self
    }

    /// Makes delays shorter: delay levels and timers last one n-th of their time, those of given back messages too unless
    /// [`retry_delay`](Self::retry_delay) is set. Default 1; 0 means 1.
    #[doc(alias = "messageDelayLevel")]
    pub fn delays_divided_by(mut self, divisor: u32) -> Self {
        self.settings.delay_divisor = divisor.max(1);
        self
    }

    /// Whether timer messages can be taken back. Default true; real brokers refuse it unless they are told otherwise.
    #[doc(alias = "recallMessageEnable")]
    pub fn recall_messages(mut self, allowed: bool) -> Self {
        self.settings.recall_messages = allowed;
        self
    }

    /// No sockets: clients connect through [`TestCluster::connector`]. Works under tokio's paused clock.
    pub fn in_memory(mut self) -> Self {
        self.settings.in_memory = true;
        self
    }

    /// The region that brokers write into messages and answers. Default `DefaultRegion`.
    #[doc(alias = "regionId")]
    pub fn region(mut self, region: &str) -> Self {
        self.settings.region = region.into();
        self
    }

    /// The longest body that is stored. Default 4 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_message_bytes = bytes;
        self
    }

    /// Whether consumers may filter by SQL. Default true; real brokers refuse it unless they are told otherwise.
    #[doc(alias = "enablePropertyFilter")]
    pub fn property_filter(mut self, allowed: bool) -> Self {
        self.settings.property_filter = allowed;
        self
    }

    /// How old a half message is when the broker first asks its producers about it, unless the message has a time of its own
    /// (`CHECK_IMMUNITY_TIME_IN_SECONDS`). Default 2 s; real brokers wait 6 s.
    #[doc(alias = "transactionTimeOut")]
    pub fn transaction_timeout(mut self, age: Duration) -> Self {
        self.settings.transaction_timeout = age;
        self
    }

    /// How often brokers look for half messages to ask about. Default 1 s; real brokers look every 30 s.
    #[doc(alias = "transactionCheckInterval")]
    pub fn transaction_check_interval(mut self, interval: Duration) -> Self {
        self.settings.transaction_check_interval = interval;
        self
    }

    /// How many rounds of checks one half message stays in; then it goes to the topic `TRANS_CHECK_MAX_TIME_TOPIC`. Default 15. In
    /// each of them its producers are asked, or its immunity time lasts and it is only stored once more: both count.
    #[doc(alias = "transactionCheckMax")]
    pub fn transaction_check_max(mut self, checks: u32) -> Self {
        self.settings.transaction_check_max = checks;
        self
    }

    /// How long after its last heartbeat a client is a member of its groups; then its connection is closed, and the other members
    /// are not told, as by a real broker. Default 120 s, of tokio's clock.
    #[doc(alias = "channelExpiredTimeout")]
    pub fn member_expiry(mut self, silence: Duration) -> Self {
        self.settings.member_expiry = silence;
        self
    }

    /// How long a queue stays locked after its holder asked for the lock last. Default 60 s, of tokio's clock.
    #[doc(alias = "lockMaxLiveTime")]
    pub fn lock_time(mut self, time: Duration) -> Self {
        self.settings.lock_time = time;
        self
    }

    /// Starts everything, in the tokio runtime that awaits this.
    ///
    /// # Errors
    ///
    /// When a port cannot be opened.
    pub fn start(self) -> BoxFuture<'static, io::Result<TestCluster>> {
        Box::pin(async move {
            let shared = Arc::new(Shared::new(self.settings));
            // Stops what was started already, should a later step fail.
            let guard = shared.life.clone().drop_guard();
            let brokers: Vec<_> = (0..self.brokers).map(|index| Arc::new(Broker::new(index, shared.clone()))).collect();
            for broker in &brokers {
                for (topic, queues) in &self.topics {
                    broker.create_topic(topic.as_str(), *queues);
                }
                for topic in &self.batch_topics {
                    broker.keep_batches(topic.as_str());
                }
                broker.clone().start(None).await?;
            }
            let schedule = shared.schedule.clone();
            tokio::spawn(shared.life.clone().run_until_cancelled_owned(schedule.run()));
            let mut slaves = Vec::new();
            for (index, master) in brokers.iter().enumerate().filter(|_| self.slaves) {
                let slave = Arc::new(Broker::slave_of(master.clone(), index));
                slave.clone().start(None).await?;
                let copying = keep_copying(Arc::downgrade(&slave));
                tokio::spawn(shared.life.clone().run_until_cancelled_owned(copying));
                slaves.push(slave);
            }
            let cluster = TestCluster::new(shared, brokers, slaves);
            cluster.name_server_restart().await?;
            guard.disarm();
            Ok(cluster)
        })
    }
}
