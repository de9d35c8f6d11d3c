//! Everything that can be said of a consumer's options without asking anybody.

use std::time::Duration;

use ferrocket_model::{Failure, Filter, SetupError, Topic, system};

use super::builder::Settings;
use crate::core::Order;

pub(super) fn check(operation: &str, settings: &Settings) -> Result<(), SetupError> {
    let Settings { group, subscriptions, listener, options, .. } = settings;
    let wrong = |option: &'static str, problem: String| -> Result<(), SetupError> {
        Err(Failure::invalid_argument(operation, problem).with_option(option).into())
    };
    if let Err(invalid) = group.check() {
        return wrong("group", format!("{group:?} cannot be used: {invalid}"));
    }
    if *group == system::DEFAULT_CONSUMER {
        return wrong("group", format!("{group:?} is reserved; choose a name of your own"));
    }
    if subscriptions.is_empty() {
        return wrong("subscribe", "there is no subscription; say which topic to consume".to_owned());
    }
    for (topic, filter) in subscriptions {
        check_subscription(operation, topic, filter)?;
    }
    if settings.concurrency == 0 {
        return wrong("concurrency", "0 would never handle a message".to_owned());
    }
    if let [first, second, ..] = settings.stores[..] {
        return wrong(second, format!("`{first}` says already where progress is kept"));
    }
    if !(Duration::from_millis(10)..=Duration::from_secs(30)).contains(&options.suspend) {
        return wrong("suspend", format!("{:?} is outside of 10 ms to 30 s", options.suspend));
    }
    if listener.max() == 0 {
        return wrong(
            if options.order == Order::Kept { "orderly_batch" } else { "concurrent_batch" },
            "a batch of 0 messages would never be handled".to_owned(),
        );
    }
    if options.max_attempts == 0 {
        return wrong("max_attempts", "0 would never deliver; 1 delivers once".to_owned());
    }
    if !(1..=1024).contains(&options.pull_batch) {
        return wrong("pull_batch", format!("{} is outside of 1 to 1024", options.pull_batch));
    }
    if options.pull_interval > Duration::from_secs(65) {
        return wrong("pull_interval", format!("{:?} is longer than 65 s", options.pull_interval));
    }
    for (option, value) in [("queue_buffer", options.queue_buffer), ("queue_buffer_bytes", options.queue_buffer_bytes)]
    {
        if value == 0 {
            return wrong(option, "0 would never pull".to_owned());
        }
    }
    if options.buffer < options.queue_buffer {
        return wrong(
            "buffer",
            format!(
                "{} is less than what one queue may hold ({}, `queue_buffer`)",
                options.buffer, options.queue_buffer
            ),
        );
    }
    if options.buffer_bytes < options.queue_buffer_bytes {
        return wrong(
            "buffer_bytes",
            format!(
                "{} is less than what one queue may hold ({}, `queue_buffer_bytes`)",
                options.buffer_bytes, options.queue_buffer_bytes
            ),
        );
    }
    if options.max_offset_span == 0 {
        return wrong("max_offset_span", "0 would never pull".to_owned());
    }
    if options.commit_interval < Duration::from_millis(100) {
        return wrong("commit_interval", format!("{:?} is less than 100 ms", options.commit_interval));
    }
    if options.handler_timeout.is_zero() {
        return wrong("handler_timeout", "0 leaves no time to handle a message".to_owned());
    }
    Ok(())
}

/// A topic and a filter, for all that can be said without asking anybody.
pub(super) fn check_subscription(operation: &str, topic: &Topic, filter: &Filter) -> Result<(), SetupError> {
    let wrong = |problem: String| -> Result<(), SetupError> {
        Err(Failure::invalid_argument(operation, problem).with_option("subscribe").into())
    };
    if let Err(invalid) = topic.check_for_consuming() {
        return wrong(format!("topic {topic:?} cannot be used: {invalid}"));
    }
    if let Err(problem) = filter.check() {
        return wrong(format!("topic {topic:?}: {problem}"));
    }
    Ok(())
}
