//! Every codec: round trips, Java's bytes (vectors/messages.json), and bodies that lie (R15).

use ferrocket_compression::{Codec, CompressionError, compress, decompress};
use proptest::prelude::*;

const LIMIT: usize = 16 << 20;
const CODECS: [Codec; 3] = [Codec::Zlib, Codec::Lz4, Codec::Zstd];

#[test]
fn what_java_compressed_is_read() {
    let file: serde_json::Value = serde_json::from_str(include_str!("vectors/messages.json")).unwrap();
    let mut checked = 0;
    for case in file["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "compressed") {
        let codec = match case["in"]["type"].as_str().unwrap() {
            "ZLIB" => Codec::Zlib,
            "LZ4" => Codec::Lz4,
            "ZSTD" => Codec::Zstd,
            other => panic!("unknown kind {other}"),
        };
        let body = match &case["in"]["body"] {
            serde_json::Value::String(text) => hex::decode(text).unwrap(),
            repeated => {
                let byte = hex::decode(repeated["repeat"].as_str().unwrap()).unwrap();
                byte.repeat(repeated["length"].as_u64().unwrap() as usize)
            }
        };
        let compressed = hex::decode(case["out"]["compressed"].as_str().unwrap()).unwrap();
        let read = decompress(codec, &compressed, LIMIT).unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
        assert_eq!(read, body, "{}", case["name"]);
        checked += 1;
    }
    assert_eq!(checked, 25);
}

#[test]
fn r15_a_bomb_stops_at_the_limit() {
    let bomb = vec![0u8; 4 << 20];
    for codec in CODECS {
        let small = compress(codec, 5, &bomb).unwrap();
        assert!(small.len() < 64 << 10, "{codec:?}");
        let error = decompress(codec, &small, 1 << 20).unwrap_err();
        assert!(matches!(error, CompressionError::TooLarge { limit, .. } if limit == 1 << 20), "{codec:?}: {error}");
        assert_eq!(decompress(codec, &small, 4 << 20).unwrap().len(), 4 << 20, "{codec:?}: exactly the limit is fine");
    }
}

#[test]
fn r15_a_truncated_or_foreign_body_is_an_error() {
    for codec in CODECS {
        let whole = compress(codec, 5, &b"hello hello hello hello hello".repeat(100)).unwrap();
        assert!(decompress(codec, &whole[..whole.len() / 2], LIMIT).is_err(), "{codec:?}: truncated");
        for other in CODECS.into_iter().filter(|other| *other != codec) {
            assert!(decompress(other, &whole, LIMIT).is_err(), "{codec:?} read as {other:?}");
        }
    }
}

#[test]
fn r15_a_zstd_window_of_gigabytes_is_refused() {
    // Magic, descriptor without content size, window descriptor of exponent 21 (2 GiB), then one raw empty last block.
    let claim = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    assert!(decompress(Codec::Zstd, &claim, LIMIT).is_err());
}

proptest! {
    #[test]
    fn every_body_survives(body in proptest::collection::vec(any::<u8>(), 0..5_000), level in -1i32..12) {
        for codec in CODECS {
            let small = compress(codec, level, &body).unwrap();
            prop_assert_eq!(decompress(codec, &small, LIMIT).unwrap(), body.clone());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        for codec in CODECS {
            let _ = decompress(codec, &bytes, 10_000);
        }
    }
}
