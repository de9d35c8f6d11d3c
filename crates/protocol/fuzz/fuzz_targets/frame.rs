//! A stream of frames: what was consumed and what is left are the input, an incomplete or refused frame leaves the buffer as
//! it was, and a frame takes what it declares.
#![no_main]

use bytes::BytesMut;
use ferrocket_protocol::{Command, Frame, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut buffer = BytesMut::from(data);
    let mut consumed = 0;
    loop {
        let before = buffer.clone();
        let missing = Frame::missing(&before);
        let result = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES);
        match result {
            Ok(Some(frame)) => {
                let declared = u32::from_be_bytes(before[..4].try_into().unwrap()) as usize;
                assert_eq!(missing, 0);
                assert_eq!(frame.header.len() + frame.body.len() + 4, declared);
                assert_eq!(buffer.len() + declared + 4, before.len());
                assert_eq!(&before[8..8 + frame.header.len()], &frame.header[..]);
                assert_eq!(&before[8 + frame.header.len()..declared + 4], &frame.body[..]);
                assert_eq!(&before[declared + 4..], &buffer[..]);
                consumed += declared + 4;
                // However it came, the same frame is cut.
                let mut split = BytesMut::from(&before[..declared + 3]);
                assert!(Frame::decode(&mut split, limits::MAX_FRAME_BYTES).unwrap().is_none());
                assert_eq!(Frame::missing(&split), 1);
                split.extend_from_slice(&before[declared + 3..declared + 4]);
                let again = Frame::decode(&mut split, limits::MAX_FRAME_BYTES).unwrap().unwrap();
                assert_eq!((&again.header, &again.body), (&frame.header, &frame.body));
                let _ = Command::read(frame);
            }
            Ok(None) => {
                assert!(missing > 0);
                assert_eq!(buffer, before);
                break;
            }
            Err(_) => {
                assert_eq!(buffer, before);
                break;
            }
        }
    }
    assert_eq!(consumed + buffer.len(), data.len());
});
