//! What consumers do, as records: one before and one after each message of each call of a listener (CON-TRACE-01, CON-TRACE-02).

use std::time::SystemTime;

use ferrocket_consumer::{ConsumeContext, ConsumeReport, ConsumerInterceptor};
use ferrocket_model::{ReceivedMessage, properties::name};

use crate::{
    SubAfterRecord, SubBeforeRecord, TraceRecord, Tracer,
    tracer::{millis, region, unix_ms},
};

/// How a call ended, as Java counts.
const SUCCESS: i64 = 0;
const TIME_OUT: i64 = 1;
const EXCEPTION: i64 = 2;
const FAILED: i64 = 4;

impl ConsumerInterceptor for Tracer {
    fn before_consume(&self, messages: &[ReceivedMessage], context: &ConsumeContext) {
        let request_id = self.request_id(context.call);
        for message in messages.iter().filter(|message| self.traces(message)) {
            self.put(TraceRecord::SubBefore(SubBeforeRecord {
                time_ms: unix_ms(SystemTime::now()),
                region: region(message.property(name::MSG_REGION)),
                group: context.group.to_string(),
                request_id: request_id.clone(),
                message_id: message.id().to_string(),
                retries: i64::from(message.attempt() - 1),
                keys: message.property(name::KEYS).map(str::to_owned),
            }));
        }
    }

    fn after_consume(&self, messages: &[ReceivedMessage], context: &ConsumeContext, report: &ConsumeReport<'_>) {
        let request_id = self.request_id(context.call);
        // As Java does: each message its share of the time.
        let cost = millis(report.elapsed) / i64::try_from(messages.len()).unwrap_or(i64::MAX).max(1);
        for (index, message) in messages.iter().enumerate().filter(|(_, message)| self.traces(message)) {
            let success = report.outcomes.get(index).is_some_and(|outcome| outcome.is_consumed());
            let code = match report.outcomes.get(index) {
                None => TIME_OUT,
                Some(_) if report.panicked => EXCEPTION,
                Some(_) if success => SUCCESS,
                Some(_) => FAILED,
            };
            self.put(TraceRecord::SubAfter(SubAfterRecord {
                request_id: request_id.clone(),
                message_id: message.id().to_string(),
                cost_ms: cost,
                success,
                keys: message.property(name::KEYS).map(str::to_owned),
                code,
                time_ms: Some(unix_ms(SystemTime::now())),
                group: Some(context.group.to_string()),
            }));
        }
    }
}

impl Tracer {
    /// Pairs the records before and after a call: unique over all consumers of this tracer.
    fn request_id(&self, call: u64) -> String {
        format!("{:016X}{call:016X}", self.run)
    }

    fn traces(&self, message: &ReceivedMessage) -> bool {
        message.topic() != &self.topic && message.property(name::TRACE_ON) != Some("false")
    }
}
