//! Whether the members of the group want the same. Brokers keep one subscription per group and topic, the newest word of any member:
//! who wants something else gets other messages than it asked for, or none, without an error (CON-SUB-10, CON-BUG-06).

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferrocket_backend::{GroupView, Subscription};
use ferrocket_model::Filter;
use tokio::time::Instant;

use crate::core::Core;

/// How often a broker is asked. What differs twice in a row is no change on its way.
const EVERY: Duration = Duration::from_secs(30);

const EVICTED: &str = "brokers forget again and again what this consumer subscribes to: another member of the group wants other topics, and \
                       all members must subscribe to the same";

/// Asks again and again, and says loudly what differs. When the group gets smaller, the one who differed may be gone, and brokers go by
/// its word still: then this member says its own anew. It never does so before, because two who differ would outbid each other for ever.
pub(crate) async fn watch(core: Arc<Core>) {
    let mut before = BTreeSet::new();
    let mut was_evicted = false;
    let mut members = 0;
    let mut next = Instant::now() + EVERY;
    loop {
        tokio::time::sleep_until(next).await;
        next += EVERY;
        let Some(topic) = core.subscriptions.topics().into_iter().find(|topic| !topic.is_retry()) else { continue };
        // When nobody can say, nothing is said: that brokers are away is reported elsewhere.
        let Ok(view) = core.backend.group_view(&core.group, &topic).await else { continue };
        let differs = differences(&core.subscriptions.listed(), core.options.is_broadcast, &view);
        let mut sure: BTreeSet<_> = differs.intersection(&before).cloned().collect();
        // Who is told again and again hides from the question that brokers forget again and again.
        // Once, it may be a start, or the restart of a broker.
        let is_evicted = core.evictions.swap(0, Ordering::Relaxed) > 0;
        if is_evicted && was_evicted {
            sure.insert(EVICTED.to_owned());
        }
        was_evicted = is_evicted;
        before = differs;
        let known = core.warn("subscription", sure.clone());
        for text in sure.difference(&known) {
            tracing::error!(group = %core.group, "{text}");
        }
        let now = core.members.load(Ordering::Acquire);
        if !sure.is_empty() && now < members {
            core.subscriptions.say_again();
            core.backend.resubscribe(&core.group, core.subscriptions.listed()).await;
            core.queues.lock().values().for_each(|queue| queue.interrupt.notify_one());
        }
        members = now;
    }
}

/// What servers take the group for, and this member is not. Sans-IO.
fn differences(ours: &[Subscription], is_broadcast: bool, view: &GroupView) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if view.is_broadcast != is_broadcast {
        let model = |is_broadcast| if is_broadcast { "broadcasting" } else { "clustering" };
        let (here, there) = (model(is_broadcast), model(view.is_broadcast));
        found.insert(format!("another member of the group is {there}, this one is {here}: use two groups"));
    }
    for wanted in ours.iter().filter(|wanted| !wanted.topic.is_retry()) {
        let topic = &wanted.topic;
        match view.subscriptions.iter().find(|(known, _)| known == topic) {
            Some((_, filter)) if same(filter, &wanted.filter) => {}
            Some((_, filter)) => drop(found.insert(format!(
                "another member of the group wants {:?} of topic {topic}, this one wants {:?}, and brokers heed the newest only: \
                 all members must want the same",
                filter.expression(),
                wanted.filter.expression()
            ))),
            None => drop(found.insert(format!(
                "another member of the group does not subscribe to topic {topic}, and has made brokers forget it: all members must \
                 subscribe to the same topics"
            ))),
        }
    }
    found
}

/// Whether two filters say the same, whatever the order of tags.
fn same(one: &Filter, two: &Filter) -> bool {
    let tags = |filter: &Filter| filter.tag_list().into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    one.kind() == two.kind()
        && (one.expression() == two.expression() || !tags(one).is_empty() && tags(one) == tags(two))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(filter: &str) -> Vec<Subscription> {
        ["T", "%RETRY%g"].map(|topic| Subscription { topic: topic.into(), filter: filter.into(), version: 1 }).into()
    }

    fn view(topic: &str, filter: impl Into<Filter>) -> GroupView {
        GroupView { subscriptions: vec![(topic.into(), filter.into())], is_broadcast: false }
    }

    #[test]
    fn only_what_really_differs_is_said() {
        let count = |ours: &[Subscription], view: &GroupView| differences(ours, false, view).len();
        assert_eq!(count(&ours("a || b"), &view("T", "b||a")), 0, "the order of tags says nothing");
        assert_eq!(count(&ours("*"), &view("T", "*")), 0);
        assert_eq!(count(&ours("*"), &view("T", "a")), 1);
        assert_eq!(count(&ours("a"), &view("T", Filter::sql("a"))), 1);
        assert_eq!(count(&ours("a"), &view("U", "a")), 1, "the topic was forgotten");
        assert_eq!(differences(&ours("a"), true, &view("T", "a")).len(), 1);
    }
}
