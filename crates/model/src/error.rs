use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use crate::{BrokerName, Topic};

/// Any error, as listeners, interceptors and stores return it.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong. One vocabulary for every operation and every transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "MQClientException")]
pub enum ErrorKind {
    /// A value that cannot work; the text says which and why.
    InvalidArgument,
    /// The transport, or this version of the servers, does not have it.
    Unsupported,
    /// The client, producer or consumer was shut down.
    Closed,
    /// Something of that name is in use already, or belongs to another member by now.
    Conflict,
    /// Your own interceptor or selector said no.
    Rejected,
    /// No place in the window before the deadline.
    Overloaded,
    /// No name server could be reached.
    NameServerUnreachable,
    /// The broker could not be reached, or the connection died.
    #[doc(alias = "RemotingConnectException")]
    BrokerUnreachable,
    /// Name servers answered: no such topic, or no queue with that permission.
    RouteNotFound,
    /// The deadline passed.
    #[doc(alias = "RemotingTimeoutException")]
    Timeout,
    /// The server does not know the credentials.
    Unauthenticated,
    /// The server knows the credentials, and they do not suffice.
    PermissionDenied,
    /// Flow control, or the broker is busy.
    Busy,
    /// The consumer group does not exist.
    GroupNotFound,
    /// The thing asked for does not exist.
    NotFound,
    /// Too late.
    Expired,
    /// The offset is outside of what the queue holds.
    OffsetOutOfRange,
    /// The request was stored, and nobody answered in time.
    NoReply,
    /// Bytes that make no sense.
    Undecodable,
    /// The server said something else; see the code.
    #[doc(alias = "MQBrokerException")]
    Server,
}

impl ErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid argument",
            Self::Unsupported => "not supported",
            Self::Closed => "already shut down",
            Self::Conflict => "already in use",
            Self::Rejected => "rejected",
            Self::Overloaded => "too much in flight",
            Self::NameServerUnreachable => "no name server could be reached",
            Self::BrokerUnreachable => "the broker could not be reached",
            Self::RouteNotFound => "no route to this topic",
            Self::Timeout => "no answer in time",
            Self::Unauthenticated => "credentials refused",
            Self::PermissionDenied => "permission denied",
            Self::Busy => "the broker is busy",
            Self::GroupNotFound => "the consumer group does not exist",
            Self::NotFound => "not found",
            Self::Expired => "too late",
            Self::OffsetOutOfRange => "offset out of range",
            Self::NoReply => "stored, but nobody replied in time",
            Self::Undecodable => "the answer could not be read",
            Self::Server => "the server refused",
        }
    }
}

/// Did the operation take effect?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// Certainly not: nothing of it reached a server, or the server refused it.
    No,
    /// Nobody can say: the request may have arrived, and no answer came.
    Unknown,
    /// It did.
    Yes,
}

/// What would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// Try again later.
    Wait,
    /// Try again on another broker.
    OtherBroker,
    /// Look the topic up again.
    RefreshRoute,
    /// Nothing that a program can do.
    Nothing,
}

/// A number from the server. Its meaning depends on the protocol it came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerCode {
    /// A response code of the remoting protocol.
    Remoting(i32),
    /// A status code of the gRPC protocol.
    Grpc(i32),
}

impl fmt::Display for ServerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remoting(code) | Self::Grpc(code) => code.fmt(f),
        }
    }
}

/// One try of one operation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Whom we asked.
    pub broker: BrokerName,
    /// How long this try took.
    pub elapsed: Duration,
    /// What went wrong; `None` for the try that succeeded.
    pub error: Option<ErrorKind>,
    /// What the server said, if it answered.
    pub code: Option<ServerCode>,
    /// Whether this try took effect.
    pub applied: Applied,
}

impl Attempt {
    /// A try that succeeded.
    pub fn succeeded(broker: BrokerName, elapsed: Duration) -> Self {
        Self { broker, elapsed, error: None, code: None, applied: Applied::Yes }
    }

    /// A try that failed.
    pub fn failed(broker: BrokerName, elapsed: Duration, failure: &Failure) -> Self {
        Self { broker, elapsed, error: Some(failure.kind), code: failure.code, applied: failure.applied }
    }
}

/// The facts behind every error of this library: what was asked, of whom, what came back, how often and how long we
/// tried, whether it was applied, and what helps.
///
/// Transports and layers make one with the constructors and `with_…`; users read it through the error types.
#[derive(Clone, Debug)]
pub struct Failure {
    operation: String,
    kind: ErrorKind,
    applied: Applied,
    remedy: Remedy,
    detail: Option<String>,
    advice: Option<&'static str>,
    code: Option<ServerCode>,
    server_text: Option<String>,
    topic: Option<Topic>,
    broker: Option<BrokerName>,
    address: Option<String>,
    attempts: Vec<Attempt>,
    elapsed: Duration,
    option: Option<&'static str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure of `operation` (a verb phrase such as `send to topic Orders`). Applied and remedy start with what the
    /// kind implies; say otherwise with [`with_applied`](Self::with_applied) and [`with_remedy`](Self::with_remedy).
    #[inline]
    pub fn new(kind: ErrorKind, operation: impl Into<String>) -> Self {
        Self::of(kind, operation.into())
    }

    /// Compiled once, and told to be rare, as are its like below: what leads to failures is kept short then.
    #[cold]
    #[inline(never)]
    fn of(kind: ErrorKind, operation: String) -> Self {
        let (applied, remedy) = match kind {
            ErrorKind::Overloaded | ErrorKind::Busy => (Applied::No, Remedy::Wait),
            ErrorKind::NameServerUnreachable => (Applied::No, Remedy::Wait),
            ErrorKind::BrokerUnreachable => (Applied::No, Remedy::OtherBroker),
            ErrorKind::RouteNotFound => (Applied::No, Remedy::RefreshRoute),
            ErrorKind::Timeout => (Applied::Unknown, Remedy::Wait),
            ErrorKind::NoReply => (Applied::Yes, Remedy::Nothing),
            ErrorKind::Undecodable | ErrorKind::Server => (Applied::Unknown, Remedy::Nothing),
            _ => (Applied::No, Remedy::Nothing),
        };
        Self {
            operation,
            kind,
            applied,
            remedy,
            detail: None,
            advice: None,
            code: None,
            server_text: None,
            topic: None,
            broker: None,
            address: None,
            attempts: Vec::new(),
            elapsed: Duration::ZERO,
            option: None,
            source: None,
        }
    }

    /// A value that cannot work, with the reason.
    pub fn invalid_argument(operation: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, operation).with_detail(detail)
    }

    /// Replaces the phrase that says what was asked.
    pub fn with_operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = operation.into();
        self
    }

    /// The reason in words, instead of the kind's general one.
    #[inline]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        self.detailed(detail.into())
    }

    #[cold]
    #[inline(never)]
    fn detailed(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// One sentence on what the reader can do now.
    pub fn with_advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Whether it took effect.
    pub fn with_applied(mut self, applied: Applied) -> Self {
        self.applied = applied;
        self
    }

    /// What would help.
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    /// What the server answered.
    pub fn with_answer(mut self, code: ServerCode, text: impl Into<String>) -> Self {
        self.code = Some(code);
        self.server_text = Some(text.into());
        self
    }

    /// Which topic it was about.
    #[cold]
    #[inline(never)]
    pub fn with_topic(mut self, topic: &Topic) -> Self {
        self.topic = Some(topic.clone());
        self
    }

    /// Which broker was asked.
    #[cold]
    #[inline(never)]
    pub fn with_broker(mut self, broker: &BrokerName) -> Self {
        self.broker = Some(broker.clone());
        self
    }

    /// Which address was asked.
    #[inline]
    pub fn with_address(self, address: impl Into<String>) -> Self {
        self.at(address.into())
    }

    #[cold]
    #[inline(never)]
    fn at(mut self, address: String) -> Self {
        self.address = Some(address);
        self
    }

    /// All tries and the time they took together.
    #[cold]
    #[inline(never)]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>, elapsed: Duration) -> Self {
        self.attempts = attempts;
        self.elapsed = elapsed;
        self
    }

    /// The option or argument that is wrong.
    pub fn with_option(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    /// The error underneath.
    #[inline]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.because_of(source.into())
    }

    #[cold]
    #[inline(never)]
    fn because_of(mut self, source: BoxError) -> Self {
        self.source = Some(Arc::from(source));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it took effect.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// What would help.
    pub fn remedy(&self) -> Remedy {
        self.remedy
    }

    /// The server's code.
    pub fn code(&self) -> Option<ServerCode> {
        self.code
    }

    /// The server's text.
    pub fn server_text(&self) -> Option<&str> {
        self.server_text.as_deref()
    }

    /// The topic it was about.
    pub fn topic(&self) -> Option<&Topic> {
        self.topic.as_ref()
    }

    /// The broker that was asked.
    pub fn broker(&self) -> Option<&BrokerName> {
        self.broker.as_ref()
    }

    /// The address that was asked.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Every try.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How long it took until we gave up.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The option or argument that is wrong.
    pub fn option(&self) -> Option<&'static str> {
        self.option
    }

    /// The reason in words.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The error underneath.
    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: ", self.operation)?;
        if let Some(option) = self.option {
            write!(f, "option `{option}`: ")?;
        }
        f.write_str(self.detail.as_deref().unwrap_or(self.kind.text()))?;
        match (&self.broker, &self.address) {
            (Some(broker), Some(address)) => write!(f, "; broker {broker} at {address}")?,
            (Some(broker), None) => write!(f, "; broker {broker}")?,
            (None, Some(address)) => write!(f, "; at {address}")?,
            (None, None) => {}
        }
        if let Some(code) = self.code {
            write!(f, "; it answered {code}")?;
            if let Some(text) = self.server_text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
                write!(f, " \"{line}\"")?;
            }
        }
        match self.attempts.len() {
            0 => {}
            1 => write!(f, "; 1 attempt in {:.1?}", self.elapsed)?,
            n => write!(f, "; {n} attempts in {:.1?}", self.elapsed)?,
        }
        if self.applied == Applied::Unknown {
            f.write_str("; outcome unknown: it may have been applied")?;
        }
        if let Some(advice) = self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// Several lines of explanation as one source: one cause per address, say.
#[derive(Debug)]
pub struct Lines(pub Vec<String>);

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl StdError for Lines {}

/// The questions that every error answers, written once, for a struct with a field `failure: Box<Failure>`.
#[doc(hidden)]
#[macro_export]
macro_rules! error_questions {
    ($name:ident) => {
        impl $name {
            /// What went wrong.
            pub fn kind(&self) -> $crate::ErrorKind {
                self.failure.kind()
            }
            /// Whether the operation took effect.
            pub fn applied(&self) -> $crate::Applied {
                self.failure.applied()
            }
            /// What would help.
            pub fn remedy(&self) -> $crate::Remedy {
                self.failure.remedy()
            }
            /// Whether trying again can help.
            pub fn is_retryable(&self) -> bool {
                self.failure.remedy() != $crate::Remedy::Nothing
            }
            /// The server's code, if a server answered.
            pub fn code(&self) -> ::std::option::Option<$crate::ServerCode> {
                self.failure.code()
            }
            /// The server's text, if a server answered.
            pub fn server_text(&self) -> ::std::option::Option<&str> {
                self.failure.server_text()
            }
            /// The topic it was about.
            pub fn topic(&self) -> ::std::option::Option<&$crate::Topic> {
                self.failure.topic()
            }
            /// The broker that was asked last.
            pub fn broker(&self) -> ::std::option::Option<&$crate::BrokerName> {
                self.failure.broker()
            }
            /// The address that was asked last.
            pub fn address(&self) -> ::std::option::Option<&str> {
                self.failure.address()
            }
            /// Every try, in order.
            pub fn attempts(&self) -> &[$crate::Attempt] {
                self.failure.attempts()
            }
            /// How long it took until we gave up.
            pub fn elapsed(&self) -> ::std::time::Duration {
                self.failure.elapsed()
            }
            /// The facts behind this error.
            #[doc(hidden)]
            pub fn failure(&self) -> &$crate::Failure {
                &self.failure
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.failure, f)
            }
        }

        impl ::std::error::Error for $name {
            fn source(&self) -> ::std::option::Option<&(dyn ::std::error::Error + 'static)> {
                self.failure.source()
            }
        }
    };
}
/// Defines the error of one operation.
#[doc(hidden)]
#[macro_export]
macro_rules! operation_error {
    ($(#[$doc:meta])* $name:ident { $($field:ident : $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            failure: ::std::boxed::Box<$crate::Failure>,
            $($field: $type,)*
        }

        $crate::error_questions!($name);

        impl ::std::convert::From<$name> for $crate::Error {
            fn from(error: $name) -> Self {
                $crate::Error::from_failure(error.failure)
            }
        }
    };
}

/// An error of one operation that carries nothing of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! plain_error_from_failure {
    ($($name:ident),*) => {$(
        impl ::std::convert::From<$crate::Failure> for $name {
            fn from(failure: $crate::Failure) -> Self {
                Self { failure: ::std::boxed::Box::new(failure) }
            }
        }
        impl ::std::convert::From<::std::boxed::Box<$crate::Failure>> for $name {
            fn from(failure: ::std::boxed::Box<$crate::Failure>) -> Self {
                Self { failure }
            }
        }
    )*};
}

/// Any error of this library, for `main` and for layers that do not care which operation failed. Every error type of ours
/// converts into it, and it answers the same questions.
#[derive(Debug)]
pub struct Error {
    failure: Box<Failure>,
}

impl Error {
    #[doc(hidden)]
    pub fn from_failure(failure: Box<Failure>) -> Self {
        Self { failure }
    }
}

error_questions!(Error);

operation_error! {
    /// `connect`, `build`, run-time `subscribe` and `assign`, or reading a name: something could not be set up.
    SetupError {}
}

operation_error! {
    /// A question about the cluster could not be answered.
    LookupError {}
}

plain_error_from_failure!(SetupError, LookupError);

impl SetupError {
    /// The option or argument that is wrong, if one is.
    pub fn option(&self) -> Option<&'static str> {
        self.failure.option()
    }
}
