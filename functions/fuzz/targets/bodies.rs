//! A body that any sender could sign: the first line names the sender, the rest is the body.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    let name = String::from_utf8_lossy(&data[..end]);
    let body = data[end + 1..].to_vec();
    let secret = Some(functions::fuzzing::SECRET);
    let Some(delivery) = functions::fuzzing::delivery(&name, body, secret) else {
        return Corpus::Reject;
    };
    fuzz::send(delivery);
    Corpus::Keep
});
