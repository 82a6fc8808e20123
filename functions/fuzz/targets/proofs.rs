//! Headers that claim to prove a body: whoever does not know the secret proves nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime::signature::{self, Legacy, Secrets};
use secrecy::SecretString;

fuzz_target!(|data: &[u8]| {
    let Some(request) = fuzz::request(data) else { return };
    let headers = request.headers();
    // Nobody can guess this one, so that nothing proves anything.
    let unknown = SecretString::from("4d0c2a9e-neither-in-a-seed-nor-in-a-dictionary");
    for secrets in [Secrets::of(&unknown), Secrets::default()] {
        for legacy in [Legacy::Refuse, Legacy::Accept] {
            assert!(signature::verify_github(&secrets, headers, data, legacy).is_err());
        }
        if let Ok(token) = signature::authorization(headers) {
            assert!(signature::verify_token(&secrets, token.as_deref()).is_err());
        }
    }
});
