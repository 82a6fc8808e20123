//! Frames as clients send them, and as they never should.

use bytes::{Bytes, BytesMut};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

use super::headers::{Deflater, Inflater};
use super::{Broken, Decoder, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SYN_STREAM, control};

/// A frame that opens a stream.
fn open(deflater: &mut Deflater, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut body = stream.to_be_bytes().to_vec();
    body.extend([0; 6]);
    body.extend(deflater.deflate(headers).unwrap());
    control(SYN_STREAM, &body)
}

fn data(stream: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
    let mut frame = stream.to_be_bytes().to_vec();
    frame.extend((bytes.len() as u32 | u32::from(fin) << 24).to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// All frames in some bytes that come in pieces of a size.
fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Broken> {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

#[test]
fn a_conversation_is_read_in_any_pieces() {
    let mut deflater = Deflater::new();
    let mut bytes = open(&mut deflater, 1, &[("streamtype", "error"), ("port", "80")]);
    bytes.extend(control(4, &[0; 12]));
    bytes.extend(open(&mut deflater, 3, &[("streamType", "data"), ("port", "80")]));
    bytes.extend(control(PING, &7_u32.to_be_bytes()));
    bytes.extend(data(3, b"hello", true));
    bytes.extend(control(RST_STREAM, &[0, 0, 0, 3, 0, 0, 0, 5]));
    bytes.extend(control(GOAWAY, &[0; 8]));
    let opened = |stream, kind: &str| Frame::Open {
        stream,
        headers: vec![("streamtype".into(), kind.into()), ("port".into(), "80".into())],
        fin: false,
    };
    let begin = [opened(1, "error"), Frame::Other, opened(3, "data"), Frame::Ping { id: 7 }];
    let end = [Frame::Reset { stream: 3 }, Frame::GoAway];
    for piece in [1, 2, 7, 64, 4096] {
        let frames = decode(&bytes, piece).unwrap();
        assert_eq!(frames[..4], begin);
        assert_eq!(frames[frames.len() - 2..], end);
        let mut said = Vec::new();
        for frame in &frames[4..frames.len() - 2] {
            let Frame::Data { stream: 3, data, fin } = frame else { panic!("{frame:?}") };
            said.extend_from_slice(data);
            assert_eq!(*fin, said == b"hello");
        }
        assert_eq!(said, b"hello");
    }
}

#[test]
fn what_is_no_spdy_is_refused() {
    let mut old = control(PING, &[0; 4]);
    old[1] = 2;
    assert_eq!(decode(&old, 100), Err(Broken::Version(2)));
    let long = [0x80, 3, 0, 1, 0, 1, 0, 1];
    assert_eq!(decode(&long, 100), Err(Broken::TooLong(0x1_0001)));
    assert_eq!(decode(&control(SYN_STREAM, &[0; 9]), 100), Err(Broken::TooShort(SYN_STREAM)));
    assert_eq!(decode(&control(PING, &[]), 100), Err(Broken::TooShort(PING)));
    assert_eq!(decode(&control(HEADERS, &[0; 40]), 100), Err(Broken::Headers));
    let even = open(&mut Deflater::new(), 2, &[]);
    assert_eq!(decode(&even, 100), Err(Broken::Stream(2)));
}

#[test]
fn headers_that_grow_are_refused() {
    let value = "x".repeat(100_000);
    let packed = Deflater::new().deflate(&[("a", &value)]).unwrap();
    assert!(packed.len() < 1000);
    assert!(matches!(Inflater::default().inflate(&packed), Err(Broken::TooLong(_))));
}

#[test]
fn a_large_data_frame_is_not_gathered() {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    buffer.extend_from_slice(&[0, 0, 0, 1, 1, 0xff, 0xff, 0xff]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    let mut left = 0x00ff_ffff;
    while left > 0 {
        let piece = left.min(1000);
        left -= piece;
        buffer.extend_from_slice(&vec![7; piece]);
        let expected = Frame::Data { stream: 1, data: vec![7; piece].into(), fin: left == 0 };
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(expected)));
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }
}

fn texts() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-z-]{0,20}", ".{0,200}"), 0..20)
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1_usize..50,
    ) {
        let _ = decode(&bytes, piece);
    }

    #[test]
    fn any_control_frame_is_read_without_a_panic(
        kind in 0_u16..12,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode(&control(kind, &body), 33);
    }

    #[test]
    fn headers_come_back_as_they_went(blocks in prop::collection::vec(texts(), 1..5)) {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::default());
        for block in blocks {
            let pairs: Vec<(&str, &str)> =
                block.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let packed = deflater.deflate(&pairs).unwrap();
            prop_assert_eq!(inflater.inflate(&packed).unwrap(), block);
        }
    }

    #[test]
    fn data_comes_back_as_it_went(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
        piece in 1_usize..400,
    ) {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| data(5, part, false)).collect();
        let frames = decode(&bytes, piece).unwrap();
        let back: Vec<Bytes> = frames
            .into_iter()
            .map(|frame| match frame {
                Frame::Data { stream: 5, data, fin: false } => data,
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(back.concat(), parts.concat());
    }
}
