use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use bytes::Bytes;
use ferrocket_model::{MessageQueue, Topic, java_string_order};
use serde::Serialize;

use super::{Reader, limit, queues::MAX_QUEUES};
use crate::{Command, DecodeError, Response};

const PERM_READ: i32 = 4;
const PERM_WRITE: i32 = 2;
const PERM_INHERIT: i32 = 1;

/// Where the queues of a topic are, as the name server says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "TopicRouteData")]
pub struct TopicRoute {
    /// The brokers with their addresses.
    pub brokers: Vec<BrokerAddresses>,
    /// The queues that can be read. Their topic is empty in an answer that was read without its request; see
    /// [`subscribe_queues`](Self::subscribe_queues).
    pub queues: Vec<MessageQueue>,
    /// How many queues each broker has, and what may be done with them.
    pub queue_data: Vec<QueueData>,
    /// `broker:queues;broker:queues`, when an operator fixed the order of queues.
    pub order_conf: Option<String>,
    /// Whether there are static (logical) queues, which this client does not resolve.
    pub has_static_queues: bool,
}

/// The addresses of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "BrokerData")]
pub struct BrokerAddresses {
    /// The broker's name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// The master's address (broker id 0).
    pub master: Option<String>,
    /// The others' addresses, by broker id.
    pub slaves: BTreeMap<u64, String>,
}

impl BrokerAddresses {
    /// A broker with a master only.
    pub fn new(name: impl Into<String>, cluster: impl Into<String>, master: impl Into<String>) -> Self {
        Self { name: name.into(), cluster: cluster.into(), master: Some(master.into()), slaves: BTreeMap::new() }
    }

    /// The address of a broker id; for a slave that is away, the next one (as Java does).
    pub fn address(&self, id: u64) -> Option<&str> {
        if id == 0 {
            return self.master.as_deref();
        }
        self.slaves.get(&id).or_else(|| self.slaves.get(&id.checked_add(1)?)).map(String::as_str)
    }

    /// Counts its addresses to those that were read before.
    fn read(reader: &mut Reader<'_>, addresses: &mut usize) -> Result<Self, DecodeError> {
        let mut broker = Self::default();
        reader.object(&mut |reader, key| {
            match key {
                "brokerName" => broker.name = reader.owned_text()?,
                "cluster" => broker.cluster = reader.owned_text()?,
                "brokerAddrs" => reader.object(&mut |reader, id| {
                    let id: u64 = id.parse().map_err(|_| DecodeError::Body(format!("{id:.40} is no broker id")))?;
                    let Some(address) = reader.text()?.map(Cow::into_owned) else { return Ok(()) };
                    *addresses += 1;
                    limit(*addresses, "addresses of brokers")?;
                    match id {
                        0 => broker.master = Some(address),
                        id => drop(broker.slaves.insert(id, address)),
                    }
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(broker)
    }

    /// The master, or any other.
    pub fn any(&self) -> Option<&str> {
        self.master.as_deref().or_else(|| self.slaves.values().next().map(String::as_str))
    }
}

/// The queues of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueData {
    /// The broker's name.
    pub broker_name: String,
    /// 4 read, 2 write.
    pub perm: i32,
    /// How many queues can be read.
    pub read_queue_nums: u32,
    /// Unit bits.
    pub topic_sys_flag: i32,
    /// How many queues can be written.
    pub write_queue_nums: u32,
}

impl QueueData {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut data = Self::default();
        reader.object(&mut |reader, key| {
            match key {
                "brokerName" => data.broker_name = reader.owned_text()?,
                "perm" => data.perm = reader.number()?,
                "readQueueNums" => data.read_queue_nums = reader.number()?,
                "topicSysFlag" => data.topic_sys_flag = reader.number()?,
                "writeQueueNums" => data.write_queue_nums = reader.number()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(data)
    }
}

impl TopicRoute {
    /// The most queues of one broker that a route may have; more is a mistake, and would be memory for the asking.
    pub const MAX_QUEUES_PER_BROKER: u32 = 65_536;

    /// A route from its parts, for servers.
    pub fn new(brokers: Vec<BrokerAddresses>, queue_data: Vec<QueueData>) -> Self {
        Self { brokers, queue_data, ..Self::default() }
    }

    /// The queues that take messages, in Java's order (INS-RTE-06): those of the order configuration, else the writable queues
    /// of brokers that have a master.
    pub fn publish_queues(&self, topic: &Topic) -> Vec<MessageQueue> {
        if let Some(conf) = self.order_conf.as_deref().filter(|conf| !conf.is_empty()) {
            return conf
                .split(';')
                .filter_map(|part| {
                    // As Java: what follows a second colon means nothing.
                    let mut pieces = part.split(':');
                    let (broker, count) = (pieces.next()?, pieces.next()?);
                    Some((broker, count.trim().parse::<u32>().ok()?.min(Self::MAX_QUEUES_PER_BROKER)))
                })
                .flat_map(|(broker, count)| queues(topic, broker, count))
                .take(MAX_QUEUES)
                .collect();
        }
        let has_master = self.has_master();
        self.sorted_queue_data()
            .into_iter()
            .filter(|data| data.perm & PERM_WRITE != 0 && has_master(&data.broker_name))
            .flat_map(|data| queues(topic, &data.broker_name, data.write_queue_nums))
            .take(MAX_QUEUES)
            .collect()
    }

    /// The queues that `topic` will have when the first send makes it from this template, at most so many per broker: those of
    /// brokers with a master, where the template may be written and inherited (INS-RTE-10).
    pub fn template_queues(&self, topic: &Topic, queues_per_broker: u32) -> Vec<MessageQueue> {
        const NEEDED: i32 = PERM_WRITE | PERM_INHERIT;
        let has_master = self.has_master();
        self.sorted_queue_data()
            .into_iter()
            .filter(|data| data.perm & NEEDED == NEEDED && has_master(&data.broker_name))
            .flat_map(|data| queues(topic, &data.broker_name, queues_per_broker.min(data.read_queue_nums)))
            .take(MAX_QUEUES)
            .collect()
    }

    /// The queues that can be read (INS-RTE-07); no master is needed.
    pub fn subscribe_queues(&self, topic: &Topic) -> Vec<MessageQueue> {
        let mut readable = self.sorted_queue_data();
        readable.retain(|data| data.perm & PERM_READ != 0);
        // Of a broker that is named twice, all queues count; they begin at 0.
        let most = |same: &[&QueueData]| same.iter().map(|data| data.read_queue_nums).max().unwrap_or(0);
        let same_broker = |one: &&QueueData, two: &&QueueData| one.broker_name == two.broker_name;
        let brokers =
            || readable.chunk_by(same_broker).filter_map(|same| Some((&same.first()?.broker_name, most(same))));
        let counts = brokers().map(|(_, count)| count.min(Self::MAX_QUEUES_PER_BROKER) as usize);
        let mut found = Vec::with_capacity(counts.sum::<usize>().min(MAX_QUEUES));
        found.extend(brokers().flat_map(|(broker, count)| queues(topic, broker, count)).take(MAX_QUEUES));
        found
    }

    /// The body of an answer, with quoted keys as for clients of our version.
    pub fn to_body(&self) -> Bytes {
        let broker_datas = self
            .brokers
            .iter()
            .map(|broker| WireBroker {
                broker_addrs: broker
                    .master
                    .iter()
                    .map(|master| (0, master.clone()))
                    .chain(broker.slaves.clone())
                    .collect(),
                broker_name: broker.name.clone(),
                cluster: broker.cluster.clone(),
                enable_acting_master: false,
            })
            .collect();
        super::write(&WireRoute {
            broker_datas,
            filter_server_table: BTreeMap::new(),
            order_topic_conf: self.order_conf.clone(),
            queue_datas: self.queue_data.clone(),
        })
    }

    /// Reads a body: standard JSON, or with bare number keys as old name servers write it.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn read_body(body: &[u8]) -> Result<Self, DecodeError> {
        let (mut route, mut addresses) = (Self::default(), 0);
        Reader::read(body, &mut |reader, key| {
            match key {
                "brokerDatas" => reader.list(&mut |reader| {
                    route.brokers.push(BrokerAddresses::read(reader, &mut addresses)?);
                    limit(route.brokers.len(), "brokers")
                })?,
                "queueDatas" => reader.list(&mut |reader| {
                    route.queue_data.push(QueueData::read(reader)?);
                    limit(route.queue_data.len(), "brokers with queues")
                })?,
                "orderTopicConf" => route.order_conf = reader.text()?.map(Cow::into_owned),
                "topicQueueMappingByBroker" => reader.object(&mut |reader, _| {
                    route.has_static_queues = true;
                    reader.skip()
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(route)
    }

    /// Whether a broker has a master. Few are looked through; many are put into a set, because a body may name as many brokers as
    /// queues.
    fn has_master(&self) -> impl Fn(&str) -> bool + '_ {
        const FEW: usize = 16;
        let masters =
            || self.brokers.iter().filter(|broker| broker.master.is_some()).map(|broker| broker.name.as_str());
        let set: Option<HashSet<&str>> = (self.brokers.len() > FEW).then(|| masters().collect());
        move |broker| match &set {
            Some(set) => set.contains(broker),
            None => masters().any(|master| master == broker),
        }
    }

    fn sorted_queue_data(&self) -> Vec<&QueueData> {
        let mut sorted: Vec<_> = self.queue_data.iter().collect();
        sorted.sort_by(|one, two| java_string_order(&one.broker_name, &two.broker_name));
        sorted
    }
}

fn queues(topic: &Topic, broker: &str, count: u32) -> impl Iterator<Item = MessageQueue> {
    let (topic, broker) = (topic.clone(), ferrocket_model::BrokerName::from(broker));
    (0..count.min(TopicRoute::MAX_QUEUES_PER_BROKER)).map(move |id| MessageQueue::new(&topic, &broker, id))
}

impl Response for TopicRoute {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Self::read_body(command.body())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRoute {
    broker_datas: Vec<WireBroker>,
    filter_server_table: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_topic_conf: Option<String>,
    queue_datas: Vec<QueueData>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireBroker {
    broker_addrs: BTreeMap<u64, String>,
    broker_name: String,
    cluster: String,
    enable_acting_master: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_BODY_ENTRIES;

    /// S4: what a body makes us keep is bounded.
    #[test]
    fn a_route_of_too_many_brokers_is_an_error() {
        for list in ["brokerDatas", "queueDatas"] {
            let of = |count: usize| format!("{{\"{list}\":[{}{{}}]}}", "{},".repeat(count - 1));
            assert!(TopicRoute::read_body(of(MAX_BODY_ENTRIES).as_bytes()).is_ok());
            assert!(TopicRoute::read_body(of(MAX_BODY_ENTRIES + 1).as_bytes()).is_err());
        }
    }

    /// S4: of one broker, and of many together.
    #[test]
    fn a_route_of_too_many_addresses_is_an_error() {
        let broker = |ids: std::ops::Range<usize>| {
            let addresses: Vec<_> = ids.map(|id| format!("{id}:\"a\"")).collect();
            format!("{{\"brokerAddrs\":{{{}}}}}", addresses.join(","))
        };
        let read = |brokers: &[String]| {
            TopicRoute::read_body(format!("{{\"brokerDatas\":[{}]}}", brokers.join(",")).as_bytes())
        };
        assert!(read(&[broker(0..MAX_BODY_ENTRIES)]).is_ok());
        assert!(read(&[broker(0..MAX_BODY_ENTRIES + 1)]).is_err());
        let some = broker(0..64);
        assert!(read(&vec![some.clone(); MAX_BODY_ENTRIES / 64]).is_ok());
        assert!(read(&vec![some; MAX_BODY_ENTRIES / 64 + 1]).is_err());
    }

    /// S4: the largest lists that are read take no time that grows with their product.
    #[test]
    fn the_queues_of_the_largest_route_are_found_soon() {
        let broker = BrokerAddresses::new("x", "c", "127.0.0.1:1");
        let queue = QueueData { broker_name: "y".to_owned(), perm: 7, ..QueueData::default() };
        let mut queues = vec![queue; MAX_BODY_ENTRIES];
        queues.push(QueueData {
            broker_name: "x".to_owned(),
            perm: 7,
            read_queue_nums: 8,
            write_queue_nums: 3,
            ..QueueData::default()
        });
        let route = TopicRoute::new(vec![broker; MAX_BODY_ENTRIES], queues);
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let topic = Topic::from("t");
            let _ = done.send(route.publish_queues(&topic).len() + route.template_queues(&topic, 4).len());
        });
        assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(20)), Ok(3 + 4));
    }

    /// A body without some fields, with others and with nulls is still a route.
    #[test]
    fn missing_unknown_and_null_fields_do_no_harm() {
        let body = r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:1","2":null,3:"10.0.0.3:1"},"brokerName":"a","zone":{"x":[]}},null],
            "queueDatas":null,"orderTopicConf":null,"topicQueueMappingByBroker":{},"filterServerTable":{"a":["b"]}}"#;
        let route = TopicRoute::read_body(body.as_bytes()).expect("a route");
        assert_eq!((route.brokers.len(), route.queue_data.len(), route.has_static_queues), (2, 0, false));
        let first = route.brokers.first().expect("a broker");
        assert_eq!(
            (first.master.as_deref(), first.address(2), first.cluster.as_str()),
            (Some("10.0.0.1:1"), Some("10.0.0.3:1"), "")
        );
        assert!(TopicRoute::read_body(br#"{"brokerDatas":[{"brokerAddrs":{"x":"y"}}]}"#).is_err());
        assert!(TopicRoute::read_body(br#"{"queueDatas":[{"readQueueNums":-1}]}"#).is_err());
    }

    /// INS-RTE-10: only a broker with a master, where the template may be written (2) and inherited (1), gets queues of a new topic.
    #[test]
    fn a_template_gives_queues_where_it_may_be_inherited_and_a_master_is() {
        let data = |name: &str, perm, read_queue_nums| QueueData {
            broker_name: name.to_owned(),
            perm,
            read_queue_nums,
            ..QueueData::default()
        };
        let broker = |name: &str| BrokerAddresses::new(name, "c", "127.0.0.1:1");
        let mut without_master = broker("d");
        without_master.master = None;
        let brokers = vec![broker("a"), broker("b"), broker("c"), without_master];
        let route = TopicRoute::new(brokers, vec![data("d", 7, 8), data("c", 7, 2), data("b", 6, 8), data("a", 7, 8)]);
        let queues = route.template_queues(&Topic::from("New"), 4);
        assert!(queues.iter().all(|queue| queue.topic().as_str() == "New"));
        let found: Vec<_> = queues.iter().map(|queue| (queue.broker().as_str(), queue.id())).collect();
        assert_eq!(found, [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("c", 0), ("c", 1)]);
    }

    /// INS-RTE-07.
    #[test]
    fn queues_to_read_are_sorted_and_a_broker_that_is_named_twice_has_each_queue_once() {
        let data = |broker: &str, queues: u32, perm: u32| {
            format!("{{\"brokerName\":\"{broker}\",\"perm\":{perm},\"readQueueNums\":{queues},\"writeQueueNums\":1}}")
        };
        let lists = [data("b", 1, 6), data("a", 2, 6), data("c", 9, 2), data("a", 3, 4), data("a", 9, 2)].join(",");
        let route = TopicRoute::read_body(format!("{{\"queueDatas\":[{lists}]}}").as_bytes()).expect("a good route");
        let queues = route.subscribe_queues(&Topic::from("t"));
        let found: Vec<_> = queues.iter().map(|queue| (queue.broker().as_str(), queue.id())).collect();
        assert_eq!(found, [("a", 0), ("a", 1), ("a", 2), ("b", 0)]);
        let lists = [data("\u{FF01}", 1, 4), data("\u{1F600}", 1, 4)].join(",");
        let route = TopicRoute::read_body(format!("{{\"queueDatas\":[{lists}]}}").as_bytes()).expect("a good route");
        assert!(route.subscribe_queues(&Topic::from("t")).is_sorted(), "as Java compares texts");
    }
}
