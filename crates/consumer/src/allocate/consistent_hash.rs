use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use ferrocket_model::{MessageQueue, SetupError};

use super::{AllocateQueues, Allocation, refused};

/// Members and queues lie on a ring of hashes; a queue belongs to the next member. When a member comes or goes, only queues of
/// its own change hands; in return shares differ in size, and a member may get none.
///
/// Each member lies on the ring several times ("virtual nodes"), so that shares differ less. Members must agree on their number
/// and on the hash. The result is Java's, so that members of both kinds may be in one group; except with a `legacy_namespace`, where
/// Java's members hash the topic's name with the namespace before it, and ours the name as you wrote it.
#[doc(alias = "AllocateMessageQueueConsistentHash")]
pub struct ConsistentHash {
    virtual_nodes: usize,
    hash: Box<dyn Fn(&str) -> i64 + Send + Sync>,
}

impl ConsistentHash {
    /// The most virtual nodes per member. The ring is built again for each topic at each rebalance.
    pub const MAX_VIRTUAL_NODES: usize = 1000;

    /// Ten virtual nodes per member, and the first four bytes of MD5 as the hash, as in Java.
    pub fn new() -> Self {
        Self { virtual_nodes: 10, hash: Box::new(md5_head) }
    }

    /// How often each member lies on the ring. Default: 10.
    ///
    /// # Errors
    ///
    /// Zero, with which nobody would own anything; and more than [`MAX_VIRTUAL_NODES`](Self::MAX_VIRTUAL_NODES).
    pub fn virtual_nodes(mut self, nodes: usize) -> Result<Self, SetupError> {
        if nodes == 0 || nodes > Self::MAX_VIRTUAL_NODES {
            let detail = format!("{nodes} virtual nodes; allowed are 1 to {}", Self::MAX_VIRTUAL_NODES);
            return Err(refused("virtual_nodes", detail));
        }
        self.virtual_nodes = nodes;
        Ok(self)
    }

    /// Another hash than MD5. Signed, because Java compares it so.
    #[doc(alias = "HashFunction")]
    pub fn hash(mut self, hash: impl Fn(&str) -> i64 + Send + Sync + 'static) -> Self {
        self.hash = Box::new(hash);
        self
    }

    /// Who lies where. A member that is listed twice lies there twice as often; of two with one hash the later counts.
    fn ring<'a>(&self, members: &'a [String]) -> BTreeMap<i64, (&'a str, usize)> {
        let mut ring = BTreeMap::new();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for member in members {
            let first = seen.entry(member).or_default();
            for replica in *first..*first + self.virtual_nodes {
                ring.insert((self.hash)(&format!("{member}-{replica}")), (member.as_str(), replica));
            }
            *first += self.virtual_nodes;
        }
        ring
    }
}

impl Default for ConsistentHash {
    fn default() -> Self {
        Self::new()
    }
}

impl AllocateQueues for ConsistentHash {
    fn name(&self) -> &str {
        "CONSISTENT_HASH"
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        if allocation.place().is_none() {
            return Vec::new();
        }
        let ring = self.ring(allocation.members);
        let owner = |queue: &MessageQueue| {
            let next = ring.range((self.hash)(&key(queue))..).next().or_else(|| ring.first_key_value());
            next.map(|(_, (member, _))| *member)
        };
        allocation.queues.iter().filter(|queue| owner(queue) == Some(allocation.client_id)).cloned().collect()
    }
}

impl fmt::Debug for ConsistentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsistentHash").field("virtual_nodes", &self.virtual_nodes).finish_non_exhaustive()
    }
}

/// A queue's text on the ring: what Java prints of one.
fn key(queue: &MessageQueue) -> String {
    format!("MessageQueue [topic={}, brokerName={}, queueId={}]", queue.topic(), queue.broker(), queue.id())
}

/// The first four bytes of MD5, unsigned.
fn md5_head(text: &str) -> i64 {
    let [one, two, three, four, ..] = md5::compute(text).0;
    u32::from_be_bytes([one, two, three, four]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{cases, texts};

    // CON-ALLOC-06
    #[test]
    fn texts_have_the_hash_that_java_gives_them() {
        let cases = cases("allocation", "hash");
        for case in &cases {
            let hash = md5_head(case["in"]["key"].as_str().expect("a key"));
            assert_eq!(Some(hash), case["out"]["hash"].as_i64(), "{}", case["name"]);
        }
        assert_eq!(cases.len(), 7);
    }

    // CON-ALLOC-06
    #[test]
    fn a_queue_is_hashed_as_java_prints_it() {
        let cases = cases("allocation", "queueKey");
        for case in &cases {
            let given = &case["in"];
            let (topic, broker) =
                (given["topic"].as_str().expect("a topic"), given["brokerName"].as_str().expect("a broker"));
            let id = given["queueId"].as_u64().expect("an id");
            let queue = MessageQueue::new(topic, broker, u32::try_from(id).expect("an id"));
            assert_eq!(Some(&*key(&queue)), case["out"]["key"].as_str());
        }
        assert_eq!(cases.len(), 1);
    }

    // CON-ALLOC-06
    #[test]
    fn members_lie_on_the_ring_where_java_puts_them() {
        let cases = cases("allocation", "ring");
        for case in &cases {
            let nodes = case["in"]["virtualNodes"].as_u64().expect("a number");
            let strategy = ConsistentHash::new().virtual_nodes(usize::try_from(nodes).expect("few")).expect("allowed");
            let members = texts(&case["in"]["clients"]);
            let ring: Vec<_> = strategy.ring(&members).into_iter().collect();
            let expected = case["out"]["ring"].as_array().expect("a ring");
            assert_eq!(ring.len(), expected.len(), "{}", case["name"]);
            for ((hash, (member, replica)), expected) in ring.iter().zip(expected) {
                assert_eq!(Some(*hash), expected["hash"].as_i64(), "{}", case["name"]);
                assert_eq!(Some(&*format!("{member}-{replica}")), expected["node"].as_str(), "{}", case["name"]);
            }
        }
        assert_eq!(cases.len(), 3);
    }

    // CON-ALLOC-06: hashes are compared signed, a queue may meet a member exactly, and of two members in one place the later stays.
    #[test]
    fn a_queue_belongs_to_the_member_at_or_after_its_hash() {
        let owner = |of_queue: i64| {
            let place = move |text: &str| match text {
                "a-0" => -5,
                "b-0" | "c-0" => 7,
                _ => of_queue,
            };
            let strategy = ConsistentHash::new().virtual_nodes(1).expect("allowed").hash(place);
            let members = ["a", "b", "c"].map(String::from);
            let (group, topic, queues) = ("CG".into(), "T".into(), [MessageQueue::new("T", "x", 0)]);
            let owns = |client: &String| {
                !strategy.allocate(&Allocation::new(&group, &topic, client, &queues, &members)).is_empty()
            };
            members.iter().filter(|client| owns(client)).cloned().collect::<String>()
        };
        assert_eq!([-6, -5, -4, 7, 8].map(owner), ["a", "a", "c", "c", "a"]);
    }

    // CON-ALLOC-06: Java takes 0, and then nobody owns anything.
    #[test]
    fn a_ring_without_nodes_or_with_absurdly_many_is_refused() {
        for nodes in [0, ConsistentHash::MAX_VIRTUAL_NODES + 1, usize::MAX] {
            let error = ConsistentHash::new().virtual_nodes(nodes).expect_err("refused");
            assert_eq!(error.option(), Some("virtual_nodes"), "{error}");
        }
    }
}
