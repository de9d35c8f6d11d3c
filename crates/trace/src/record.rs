//! The format (PRO-TRC-08): fields with U+0001 between them, and U+0002 behind each record.

use std::fmt::Write;

use ferrocket_model::TransactionState;

const FIELD: char = '\u{1}';
const RECORD: char = '\u{2}';

/// What kind of message a record is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "MessageType")]
pub enum TraceKind {
    /// An ordinary one.
    #[default]
    Normal,
    /// A half message.
    Half,
    /// The end of a transaction.
    Commit,
    /// A delayed one.
    Delay,
    /// An ordered one.
    Order,
}

impl TraceKind {
    fn ordinal(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Half => 1,
            Self::Commit => 2,
            Self::Delay => 3,
            Self::Order => 4,
        }
    }

    fn from_ordinal(ordinal: &str) -> Option<Self> {
        [Self::Normal, Self::Half, Self::Commit, Self::Delay, Self::Order]
            .into_iter()
            .find(|kind| ordinal.parse() == Ok(kind.ordinal()))
    }
}

/// One record of the trace. Texts that are `None` are written as `null`, as Java does; the separators never get into a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "TraceContext")]
#[doc(alias = "TraceBean")]
pub enum TraceRecord {
    /// A message was sent.
    Pub(PubRecord),
    /// A message is about to be consumed.
    SubBefore(SubBeforeRecord),
    /// A message was consumed.
    SubAfter(SubAfterRecord),
    /// A transaction ends.
    EndTransaction(EndRecord),
    /// A timer message was taken back.
    Recall(RecallRecord),
}

/// A message was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PubRecord {
    /// When the send began, Unix milliseconds.
    pub time_ms: i64,
    /// The region.
    pub region: String,
    /// The producer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The message's id.
    pub message_id: String,
    /// The tag.
    pub tag: Option<String>,
    /// The keys, blanks between them.
    pub keys: Option<String>,
    /// The broker's host and port.
    pub store_host: String,
    /// The size of the body as it was sent, compressed or not.
    pub body_bytes: i64,
    /// How long it took, milliseconds.
    pub cost_ms: i64,
    /// What it was.
    pub kind: TraceKind,
    /// The broker's id.
    pub broker_message_id: String,
    /// Whether it is as safe as wanted.
    pub success: bool,
}

/// A message is about to be consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubBeforeRecord {
    /// When, Unix milliseconds.
    pub time_ms: i64,
    /// The region.
    pub region: String,
    /// The consumer group.
    pub group: String,
    /// Pairs it with the record after.
    pub request_id: String,
    /// The message's id.
    pub message_id: String,
    /// How often it was tried before.
    pub retries: i64,
    /// The keys.
    pub keys: Option<String>,
}

/// A message was consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubAfterRecord {
    /// Pairs it with the record before.
    pub request_id: String,
    /// The message's id.
    pub message_id: String,
    /// How long it took, milliseconds.
    pub cost_ms: i64,
    /// Whether it succeeded.
    pub success: bool,
    /// The keys.
    pub keys: Option<String>,
    /// How it ended, as Java counts: 0 success, 1 time out, 2 exception, 3 null, 4 failed.
    pub code: i64,
    /// When, Unix milliseconds; old records have none.
    pub time_ms: Option<i64>,
    /// The consumer group; old records have none.
    pub group: Option<String>,
}

/// A transaction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndRecord {
    /// When, Unix milliseconds.
    pub time_ms: i64,
    /// The region.
    pub region: String,
    /// The producer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The message's id.
    pub message_id: String,
    /// The tag.
    pub tag: Option<String>,
    /// The keys.
    pub keys: Option<String>,
    /// The broker's host and port.
    pub store_host: String,
    /// The transaction.
    pub transaction_id: Option<String>,
    /// How it ends.
    pub state: TransactionState,
    /// Whether a broker asked.
    pub from_check: bool,
}

/// A timer message was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecallRecord {
    /// When, Unix milliseconds.
    pub time_ms: i64,
    /// The region.
    pub region: String,
    /// The producer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The message's id.
    pub message_id: String,
    /// Whether it was.
    pub success: bool,
}

/// Writes the fields of one record.
struct Line<'a> {
    out: &'a mut String,
}

impl Line<'_> {
    fn text(&mut self, text: &str) -> &mut Self {
        self.out.push(FIELD);
        self.out.extend(text.chars().filter(|c| !matches!(*c, FIELD | RECORD)));
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        self.text(text.unwrap_or("null"))
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.out.push(FIELD);
        let _ = write!(self.out, "{number}"); // into a String: it cannot fail
        self
    }

    fn boolean(&mut self, value: bool) -> &mut Self {
        self.text(if value { "true" } else { "false" })
    }
}

impl TraceRecord {
    /// Appends the record.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Pub(record) => {
                out.push_str("Pub");
                Line { out }
                    .number(record.time_ms)
                    .text(&record.region)
                    .text(&record.group)
                    .text(&record.topic)
                    .text(&record.message_id)
                    .optional(record.tag.as_deref())
                    .optional(record.keys.as_deref())
                    .text(&record.store_host)
                    .number(record.body_bytes)
                    .number(record.cost_ms)
                    .number(i64::from(record.kind.ordinal()))
                    .text(&record.broker_message_id)
                    .boolean(record.success);
            }
            Self::SubBefore(record) => {
                out.push_str("SubBefore");
                Line { out }
                    .number(record.time_ms)
                    .text(&record.region)
                    .text(&record.group)
                    .text(&record.request_id)
                    .text(&record.message_id)
                    .number(record.retries)
                    .optional(record.keys.as_deref());
            }
            Self::SubAfter(record) => {
                out.push_str("SubAfter");
                let mut line = Line { out };
                line.text(&record.request_id)
                    .text(&record.message_id)
                    .number(record.cost_ms)
                    .boolean(record.success)
                    .optional(record.keys.as_deref())
                    .number(record.code);
                if let (Some(time_ms), Some(group)) = (record.time_ms, &record.group) {
                    line.number(time_ms).text(group);
                }
            }
            Self::EndTransaction(record) => {
                out.push_str("EndTransaction");
                Line { out }
                    .number(record.time_ms)
                    .text(&record.region)
                    .text(&record.group)
                    .text(&record.topic)
                    .text(&record.message_id)
                    .optional(record.tag.as_deref())
                    .optional(record.keys.as_deref())
                    .text(&record.store_host)
                    .number(i64::from(TraceKind::Commit.ordinal()))
                    .optional(record.transaction_id.as_deref())
                    .text(state_name(record.state))
                    .boolean(record.from_check);
            }
            Self::Recall(record) => {
                out.push_str("Recall");
                Line { out }
                    .number(record.time_ms)
                    .text(&record.region)
                    .text(&record.group)
                    .text(&record.topic)
                    .text(&record.message_id)
                    .boolean(record.success);
            }
        }
        out.push(RECORD);
    }

    /// Reads every record of a text. What cannot be read, or is of a kind that nobody knows, is passed over.
    pub fn read_all(text: &str) -> Vec<Self> {
        text.split(RECORD).filter_map(Self::read).collect()
    }

    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(FIELD).collect();
        let text = |at: usize| fields.get(at).map(|text| (*text).to_owned());
        // Java writes "null" where there is nothing, Go an empty text.
        let given = |at: usize| text(at).filter(|text| !text.is_empty() && text != "null");
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        let boolean = |at: usize| fields.get(at).map(|text| text.eq_ignore_ascii_case("true"));
        Some(match *fields.first()? {
            "Pub" => {
                // 13 fields without the broker's id, 14 with it, more from clients that add their host.
                let (broker_message_id, success) = match fields.len() {
                    0..=12 => (String::new(), true),
                    13 => (String::new(), boolean(12)?),
                    _ => (text(12)?, boolean(13)?),
                };
                Self::Pub(PubRecord {
                    time_ms: number(1)?,
                    region: text(2)?,
                    group: text(3)?,
                    topic: text(4)?,
                    message_id: text(5)?,
                    tag: given(6),
                    keys: given(7),
                    store_host: text(8)?,
                    body_bytes: number(9)?,
                    cost_ms: number(10)?,
                    kind: TraceKind::from_ordinal(fields.get(11)?)?,
                    broker_message_id,
                    success,
                })
            }
            "SubBefore" => Self::SubBefore(SubBeforeRecord {
                time_ms: number(1)?,
                region: text(2)?,
                group: text(3)?,
                request_id: text(4)?,
                message_id: text(5)?,
                retries: number(6)?,
                keys: given(7),
            }),
            "SubAfter" => Self::SubAfter(SubAfterRecord {
                request_id: text(1)?,
                message_id: text(2)?,
                cost_ms: number(3)?,
                success: boolean(4)?,
                keys: given(5),
                code: number(6).unwrap_or(0),
                time_ms: number(7),
                group: text(8),
            }),
            "EndTransaction" => Self::EndTransaction(EndRecord {
                time_ms: number(1)?,
                region: text(2)?,
                group: text(3)?,
                topic: text(4)?,
                message_id: text(5)?,
                tag: given(6),
                keys: given(7),
                store_host: text(8)?,
                transaction_id: given(10),
                state: state(fields.get(11)?)?,
                from_check: boolean(12)?,
            }),
            "Recall" => Self::Recall(RecallRecord {
                time_ms: number(1)?,
                region: text(2)?,
                group: text(3)?,
                topic: text(4)?,
                message_id: text(5)?,
                success: boolean(6)?,
            }),
            _ => return None,
        })
    }

    /// By what the record is to be found: the message's id, and its keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let (id, keys) = match self {
            Self::Pub(record) => (&record.message_id, &record.keys),
            Self::SubBefore(record) => (&record.message_id, &record.keys),
            Self::SubAfter(record) => (&record.message_id, &record.keys),
            Self::EndTransaction(record) => (&record.message_id, &record.keys),
            Self::Recall(record) => (&record.message_id, &None),
        };
        let keys = keys.as_deref().unwrap_or_default().split(' ');
        std::iter::once(id.as_str()).chain(keys).filter(|key| !key.is_empty())
    }
}

fn state_name(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Commit => "COMMIT_MESSAGE",
        TransactionState::Rollback => "ROLLBACK_MESSAGE",
        TransactionState::Unknown => "UNKNOW",
    }
}

fn state(name: &str) -> Option<TransactionState> {
    [TransactionState::Commit, TransactionState::Rollback, TransactionState::Unknown]
        .into_iter()
        .find(|state| state_name(*state) == name)
}
