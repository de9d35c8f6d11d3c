//! Groups of real processes: killed, and stopped and continued by signals (rows R8, R10). The test's own program is the member.
#![cfg(unix)]

mod member;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ferrocket::{Client, MessageQueue};
use ferrocket_testkit::TestCluster;
use member::{Kind, Member, Said, Says};
use tokio::time::Instant;

const QUEUES: u32 = 8;

/// What the members of a group said, in the order in which it arrived here.
struct Group {
    cluster: TestCluster,
    kind: Kind,
    says: Says,
    members: BTreeMap<usize, Member>,
    said: Vec<(usize, Said)>,
    /// How far each queue was committed whenever somebody looked.
    committed: BTreeMap<u32, u64>,
}

impl Group {
    async fn start(kind: Kind, cluster: TestCluster) -> Self {
        let group = Self {
            cluster,
            kind,
            says: Says::new(),
            members: BTreeMap::new(),
            said: Vec::new(),
            committed: BTreeMap::new(),
        };
        let client = Client::connect(group.cluster.name_servers()).await.expect("it connects");
        tokio::spawn(produce(client));
        group
    }

    /// Starts one more member, and waits until it has its share.
    async fn join(&mut self, number: usize) {
        self.members.insert(number, Member::start(self.kind, number, &self.cluster.name_servers(), &self.says));
        self.until("it handles messages", |(member, _)| *member == number).await;
    }

    /// Takes in what members say until one says what is waited for.
    async fn until(&mut self, what: &str, mut is_it: impl FnMut(&(usize, Said)) -> bool) {
        let limit = Instant::now() + Duration::from_secs(100);
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            let said =
                tokio::time::timeout(left, self.says.next()).await.unwrap_or_else(|_| panic!("not in time: {what}"));
            self.look_at_offsets();
            self.said.push(said);
            if is_it(&said) {
                return;
            }
        }
    }

    /// Lets so many listeners end.
    async fn go_on(&mut self, calls: usize) {
        let mut left = calls;
        self.until("listeners end", |(_, said)| {
            left -= usize::from(said.ends);
            left == 0
        })
        .await;
    }

    /// R-I5: what is committed does not go back, whoever owns the queue, but for what crosses on the way when a queue changes hands.
    fn look_at_offsets(&mut self) {
        for id in 0..QUEUES {
            let now = self.cluster.committed_offset(member::GROUP, &queue(id)).unwrap_or(0);
            let before = self.committed.insert(id, now).unwrap_or(0);
            assert!(before <= now, "queue {id} was committed up to {before}, and now up to {now}");
        }
    }

    /// The queues whose last message was handled by this member.
    fn owned_by(&self, number: usize) -> BTreeSet<u32> {
        let owners: BTreeMap<u32, usize> = self.said.iter().map(|(member, said)| (said.queue, *member)).collect();
        owners.into_iter().filter(|(_, member)| *member == number).map(|(queue, _)| queue).collect()
    }

    /// Waits until others have handled something of each of these queues.
    async fn until_taken_over(&mut self, mut queues: BTreeSet<u32>, from: usize) {
        self.until("the others take over", |(member, said)| {
            if *member != from {
                queues.remove(&said.queue);
            }
            queues.is_empty()
        })
        .await;
    }

    /// Waits until everything that is stored has been handled. Nothing may be missing (R-I3).
    async fn until_all_handled(&mut self) {
        let mut open: BTreeSet<(u32, u64)> = BTreeSet::new();
        for id in 0..QUEUES {
            let messages = self.cluster.messages("Orders");
            open.extend(messages.iter().filter(|m| m.queue().id() == id).map(|m| (id, m.offset())));
        }
        assert!(open.len() > 200, "only {} messages were sent", open.len());
        for (_, said) in self.said.iter().filter(|(_, said)| said.ends) {
            open.remove(&(said.queue, said.offset));
        }
        if open.is_empty() {
            return;
        }
        self.until("everything is handled", |(_, said)| {
            if said.ends {
                open.remove(&(said.queue, said.offset));
            }
            open.is_empty()
        })
        .await;
    }
}

fn queue(id: u32) -> MessageQueue {
    MessageQueue::new("Orders", "broker-0", id)
}

async fn produce(client: Client) {
    let producer = client.producer("shop").build().await.expect("it builds");
    for number in 0_u64.. {
        if let Err(error) = producer.send(ferrocket::Message::new("Orders", number.to_string())).await {
            println!("the producer ends: {error}"); // as it does when the test is over
            return;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// R8: kill -9, six times. Nothing is lost, only what the killed one had not committed is handled again, and its queues are taken
/// over within half a second of its end.
#[tokio::test(flavor = "multi_thread")]
async fn r8_what_killed_members_leave_is_taken_over_at_once_and_nothing_is_lost() {
    let cluster = TestCluster::builder().topic("Orders", QUEUES).start().await.expect("it starts");
    let mut group = Group::start(Kind::Concurrent, cluster).await;
    for number in 0..3 {
        group.join(number).await;
    }
    let (mut took, mut ends) = (Vec::new(), BTreeMap::new());
    group.go_on(200).await;
    for victim in 0..6 {
        let queues = group.owned_by(victim);
        drop(group.members.remove(&victim).expect("it lives"));
        let killed = Instant::now();
        group.look_at_offsets();
        ends.insert(victim, group.committed.clone());
        group.until_taken_over(queues, victim).await;
        took.push(killed.elapsed());
        group.join(victim + 3).await;
        group.go_on(200).await;
    }
    group.until_all_handled().await;

    let mut first = BTreeMap::new();
    let (mut again, mut handled) = (0, BTreeMap::<_, u64>::new());
    for (member, said) in group.said.iter().filter(|(_, said)| said.ends) {
        let earlier = *first.entry((said.queue, said.offset)).or_insert(*member);
        again += u64::from(earlier != *member);
        let handled = handled.entry((*member, said.queue)).or_default();
        *handled = (said.offset + 1).max(*handled);
    }
    let unstored = |(victim, committed): (&usize, &BTreeMap<u32, u64>)| -> u64 {
        (0..QUEUES).filter_map(|id| Some(handled.get(&(*victim, id))?.saturating_sub(committed[&id]))).sum()
    };
    // What the killed had handled and not stored, and what is in listeners when a queue moves to one of the nine that joined.
    let bound = ends.iter().map(unstored).sum::<u64>() + 9 * member::WORKERS as u64;
    assert!(again <= bound, "{again} came again, where {bound} may");
    took.sort();
    println!("{} handled, {again} of them again ({bound} may); taken over within {took:?}", first.len());
    // The middle one, for this machine may be busy with something else.
    assert!(took[3] <= Duration::from_millis(500), "{took:?}");
}

/// R10: a process stands still until the others have its queues, and goes on. Nobody tells it; it must see it by the clock, before
/// it stores anything (`Group::look_at_offsets`). Seen to fail without that look.
#[tokio::test(flavor = "multi_thread")]
async fn r10_a_member_that_stood_still_stores_nothing_where_others_are_further() {
    let expiry = Duration::from_secs(3);
    let cluster =
        TestCluster::builder().topic("Orders", QUEUES).member_expiry(expiry).start().await.expect("it starts");
    let (_, stale) = stands_still(Kind::Concurrent, cluster).await;
    // What its four workers had in hand, and perhaps took up in that moment.
    assert!(stale <= 8, "{stale}");
}

/// R10: the lock ends a minute after it was renewed for the last time, and with it the time of the one who had it.
#[tokio::test(flavor = "multi_thread")]
async fn r10_a_member_that_stood_still_takes_its_locks_again_before_it_delivers_in_order() {
    let expiry = Duration::from_secs(3);
    let cluster =
        TestCluster::builder().topic("Orders", QUEUES).member_expiry(expiry).start().await.expect("it starts");
    let (group, stale) = stands_still(Kind::Orderly, cluster).await;
    assert_eq!(stale, 0);
    let mut next = BTreeMap::<u32, u64>::new();
    for (member, said) in group.said.iter().filter(|(_, said)| !said.ends) {
        let expected = next.insert(said.queue, said.offset + 1).unwrap_or(0);
        // What the listener held when the process stopped is handled again, and nothing else.
        let again = expected.saturating_sub(said.offset);
        assert!(said.offset <= expected && again <= 1, "{member} began {said:?} where {expected} was next");
    }
}

/// How long a member must stand still to lose what it has: longer than a lock holds.
const STANDS_STILL: Duration = Duration::from_secs(65);

/// Gives back the group, and how many messages the member has begun that others were done with.
async fn stands_still(kind: Kind, cluster: TestCluster) -> (Group, usize) {
    let mut group = Group::start(kind, cluster).await;
    group.join(0).await;
    group.join(1).await;
    group.go_on(400).await;
    let queues = group.owned_by(0);
    assert!(!queues.is_empty());
    group.members[&0].signal("STOP");
    let stopped = Instant::now();
    group.until_taken_over(queues, 0).await;
    group.until("the time is over", |_| stopped.elapsed() > STANDS_STILL).await;
    let before = group.said.len();
    let mut most = BTreeMap::<u32, u64>::new();
    for (_, said) in &group.said {
        let most = most.entry(said.queue).or_default();
        *most = said.offset.max(*most);
    }
    group.members[&0].signal("CONT");
    group.until("it has a share again", |(member, said)| *member == 0 && most[&said.queue] < said.offset).await;
    group.go_on(400).await;
    group.until_all_handled().await;
    let begun = group.said[before..].iter().filter(|(member, said)| *member == 0 && !said.ends);
    let stale = begun.filter(|(_, said)| said.offset <= most[&said.queue]).count();
    (group, stale)
}
