//! A whole request, from its first line to its body.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some(request) = fuzz::request(data) else { return Corpus::Reject };
    fuzz::send(request);
    Corpus::Keep
});
