//! Random numbers that are the same in every evaluation of a build.
//!
//! They come from the uid of the build's Secret, which the cluster has made at random: nobody who
//! sends events can guess them, but whoever may read the build's objects can.

use hmac::{Hmac, KeyInit, Mac};
use runtime::build::Build;
use sha2::Sha256;

pub(super) struct Random {
    mac: Hmac<Sha256>,
    count: u64,
    /// What was made and not asked for yet.
    left: Vec<u8>,
}

impl Random {
    pub(super) fn of(build: &Build) -> Random {
        let key = build.uid.as_deref().unwrap_or_default();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key may have any length");
        mac.update(format!("brigantine/random/{}/{}/", build.project, build.id).as_bytes());
        Random { mac, count: 0, left: Vec::new() }
    }

    pub(super) fn bytes(&mut self, size: usize) -> Vec<u8> {
        while self.left.len() < size {
            let mut mac = self.mac.clone();
            mac.update(&self.count.to_be_bytes());
            self.count += 1;
            self.left.extend_from_slice(&mac.finalize().into_bytes());
        }
        let rest = self.left.split_off(size);
        std::mem::replace(&mut self.left, rest)
    }
}

#[test]
fn the_same_build_draws_the_same_and_no_other_does() {
    let project = super::tests::project();
    let mut build = super::tests::build(&project, super::tests::push());
    let mut first = Random::of(&build);
    let drawn = [first.bytes(1), first.bytes(70), first.bytes(0), first.bytes(3)].concat();
    assert_eq!(drawn, Random::of(&build).bytes(74));
    build.uid = Some("another".to_owned());
    assert_ne!(drawn, Random::of(&build).bytes(74));
}
