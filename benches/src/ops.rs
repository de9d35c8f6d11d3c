//! Single operations, to be counted: instructions by callgrind, allocations by a counting allocator.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use ferrocket_consumer::{Average, ConsistentHash};
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, RequestHead, Response, encode_request, limits::MAX_FRAME_BYTES,
    message::StoredMessages, request::SendAnswer,
};

use crate::{inputs, loopback, parts};

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Op {
    /// P12: the header of a send, as JSON.
    EncodeJson,
    /// P12 with one more field merged in, as credentials and namespaces are.
    EncodeJsonExtra,
    /// P12: the same, in the binary layout.
    EncodeBinary,
    /// P13: a frame with the JSON answer to a send, from bytes to values.
    DecodeAnswer,
    /// The part of it that cuts the frame.
    DecodeAnswerFrame,
    /// The part of it that reads header and frame.
    DecodeAnswerHeader,
    /// P14: a pulled message of 1 KiB, without its checksum.
    DecodePulled,
    /// P14: the same, with its checksum.
    DecodePulledCrc,
    /// M1: the next queue, all brokers well.
    ChooseQueue,
    /// M2: the next queue past a slow broker and the one that failed.
    ChooseQueueTroubled,
    /// M3: the queue of a sharding key.
    QueueOfKey,
    /// M4: a route, from the body to its queues.
    ReadRoute,
    /// M5: a request over a connection, in the pending table, answered and read.
    Call,
    /// M6: one member's share of 1,000 queues.
    Allocate,
    /// P23: one member's share of 4,096 queues among 64 members.
    AllocateMany,
    /// The same, by consistent hashing.
    AllocateByHash,
    /// M7: a message with its properties.
    BuildMessage,
    /// M8: one property of a stored message.
    FindProperty,
}

impl Op {
    /// Does it this often; allocations of the preparation are not in the way when `ready` is called between both.
    pub fn run(self, times: usize, ready: impl FnOnce()) {
        match self {
            Self::EncodeJson => encode(HeaderFormat::Json, &[], times, ready),
            Self::EncodeJsonExtra => encode(HeaderFormat::Json, &inputs::EXTRA, times, ready),
            Self::EncodeBinary => encode(HeaderFormat::Binary, &[], times, ready),
            Self::DecodeAnswer => answers(times, ready, |frame| {
                let command = Command::read(frame).expect("a good header");
                black_box(SendAnswer::read(command).expect("an answer"));
            }),
            Self::DecodeAnswerFrame => answers(times, ready, |frame| {
                black_box(frame);
            }),
            Self::DecodeAnswerHeader => answers(times, ready, |frame| {
                black_box(Command::read(frame).expect("a good header"));
            }),
            Self::DecodePulled => pulled(times, ready, |messages| StoredMessages::new(messages).without_crc()),
            Self::DecodePulledCrc => pulled(times, ready, |messages| StoredMessages::new(messages)),
            Self::ChooseQueue => parts::choose_queue(false, times, ready),
            Self::ChooseQueueTroubled => parts::choose_queue(true, times, ready),
            Self::QueueOfKey => parts::queue_of_sharding_key(times, ready),
            Self::ReadRoute => parts::read_route(times, ready),
            Self::Call => loopback::calls(times, ready),
            Self::Allocate => parts::allocate(&Average, (10, 100), 8, times, ready),
            Self::AllocateMany => parts::allocate(&Average, (16, 256), 64, times, ready),
            Self::AllocateByHash => parts::allocate(&ConsistentHash::new(), (16, 256), 64, times, ready),
            Self::BuildMessage => parts::build_message(times, ready),
            Self::FindProperty => parts::find_property(times, ready),
        }
    }
}

fn encode(format: HeaderFormat, extra: &[(&'static str, &str)], times: usize, ready: impl FnOnce()) {
    let request = inputs::send();
    let mut out = BytesMut::with_capacity(1 << 16);
    ready();
    for opaque in 0..times {
        out.clear();
        let head = RequestHead::new(black_box(1_000_000 + opaque as i32), format);
        let encoded = encode_request(black_box(&request), &head, extra, &mut out).expect("it fits");
        black_box((encoded.bytes, &out));
    }
}

fn answers(times: usize, ready: impl FnOnce(), read: impl Fn(Frame)) {
    let frame = inputs::send_answer();
    let mut stream = BytesMut::with_capacity(frame.len() * times);
    for _ in 0..times {
        stream.extend_from_slice(&frame);
    }
    ready();
    while let Some(frame) = Frame::decode(&mut stream, MAX_FRAME_BYTES).expect("good lengths") {
        read(frame);
    }
}

fn pulled(times: usize, ready: impl FnOnce(), open: impl Fn(&Bytes) -> StoredMessages<'_>) {
    let messages = inputs::stored(0, inputs::BATCH, 1024);
    // As in a client: a view of a larger buffer that others share.
    let messages = messages.slice(..);
    ready();
    for _ in 0..times / inputs::BATCH {
        for message in open(black_box(&messages)) {
            black_box(message.expect("a message"));
        }
    }
}
