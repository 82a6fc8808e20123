//! The digest that a package must have, as registries write it: `sha512-` and base64.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A digest; those of stronger functions are greater.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Integrity {
    function: Function,
    digest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Function {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

const FUNCTIONS: [(Function, &str, usize); 4] = [
    (Function::Sha1, "sha1", 20),
    (Function::Sha256, "sha256", 32),
    (Function::Sha384, "sha384", 48),
    (Function::Sha512, "sha512", 64),
];

impl Integrity {
    /// The strongest of those in a list; what is not understood is passed over.
    pub(super) fn parse(text: &str) -> Option<Integrity> {
        let one = |item: &str| {
            let item = item.split('?').next().unwrap_or_default();
            let (name, digest) = item.split_once('-')?;
            let (function, _, size) = *FUNCTIONS.iter().find(|(_, known, _)| *known == name)?;
            let digest = STANDARD.decode(digest).ok()?;
            (digest.len() == size).then_some(Integrity { function, digest })
        };
        text.split_ascii_whitespace().filter_map(one).max_by_key(|found| found.function)
    }

    /// The SHA-1 that old packages have, in hexadecimal digits.
    pub(super) fn sha1(text: &str) -> Option<Integrity> {
        let digest = hex::decode(text).ok().filter(|digest| digest.len() == 20)?;
        Some(Integrity { function: Function::Sha1, digest })
    }

    /// Whether some content is what it should be.
    pub(super) fn matches(&self, content: &[u8]) -> bool {
        let digest = match self.function {
            Function::Sha1 => Sha1::digest(content).to_vec(),
            Function::Sha256 => Sha256::digest(content).to_vec(),
            Function::Sha384 => Sha384::digest(content).to_vec(),
            Function::Sha512 => Sha512::digest(content).to_vec(),
        };
        digest == self.digest
    }
}

/// As the name of a folder.
impl fmt::Display for Integrity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FUNCTIONS.iter().find(|(function, ..)| *function == self.function);
        let name = name.map_or("", |(_, name, _)| name);
        write!(formatter, "{name}-{}", hex::encode(&self.digest))
    }
}

#[test]
fn the_strongest_digest_counts() {
    let sha1 = "sha1-qvTGHdzF6KLavt4PO0gs2a6pQ00=";
    let sha256 = "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let both = Integrity::parse(&format!("{sha1} {sha256}?option md5-x")).unwrap();
    assert!(both.matches(b"hello"));
    assert_eq!(both.function, Function::Sha256);
    assert!(!both.matches(b"hello!"));
    assert!(Integrity::parse(sha1).unwrap().matches(b"hello"));
    let old = Integrity::sha1("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d").unwrap();
    assert_eq!(old.to_string(), "sha1-aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    for wrong in ["", "sha512-", "sha512-aGVsbG8=", "md5-XUFAKrxLKna5cZ2REBfFkg==", "sha1"] {
        assert_eq!(Integrity::parse(wrong), None, "{wrong}");
    }
    assert_eq!(Integrity::sha1("aaf4"), None);
}
