//! The Apache RocketMQ remoting protocol: bytes to commands and back, for both sides of the wire. Sans-IO: nothing here
//! awaits, reads a clock or owns a socket, and nothing a peer sends can make it panic or allocate what it claims.
//!
//! This crate does not know connections, retries or groups. Start reading at [`Frame`] (how bytes are cut), then
//! [`Command`] (a header that was read) and [`Request`] (how a typed request is written and its answer read); each
//! request is one small file under `request/`. Stored messages are views of the buffer they came in: [`message`].
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod body;
mod code;
mod command;
mod crc;
mod error;
mod field;
mod frame;
pub mod header;
mod json;
mod language;
pub mod limits;
pub mod message;
pub mod request;
pub mod sign;
mod version;

pub use code::{RequestCode, ResponseCode};
pub use command::{Command, Flags};
pub use crc::body_crc;
pub use error::DecodeError;
pub use field::{FieldSink, FieldValue, Fields, NoFields, WriteFields};
pub use frame::{EncodeError, Encoded, Frame, RequestHead, encode_request, encode_response};
pub use header::HeaderFormat;
pub use json::normalize as normalize_json;
pub use language::Language;
pub use request::{ReadRequest, Request, Response};
pub use version::{VERSION, version_name};
