//! A project's values file, and the Secret that is made of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime::project::{Project, values};

fuzz_target!(|data: &[u8]| {
    let Ok(yaml) = std::str::from_utf8(data) else { return };
    let Ok((project, _warnings)) = values::read(yaml, "default") else { return };
    let secret = project.secret();
    let again = Project::from_secret(&secret).expect("what is written can be read");
    assert_eq!(again.secret(), secret, "what is read is what was written");
});
