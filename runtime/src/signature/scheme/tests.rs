//! Every pitfall of proving, against every way of proving.

use http::HeaderValue;
use secrecy::SecretString;

use super::super::{GITLAB_TOKEN, verify_gitlab, verify_header};
use super::*;

const SECRET: &str = "yo heave ho";
/// The key of Standard Webhooks' own examples.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = b"{\"ref\": \"refs/heads/m\xc3\xa4in\"}\r\n";
/// 2026-03-01T10:00:00Z.
const NOW: i64 = 1_772_359_200;

/// One way in which senders prove themselves.
#[derive(Clone, Copy, Debug)]
enum Proof {
    Signature(Scheme<'static>),
    GitlabSignature,
    Token(&'static str),
}

use Proof::{GitlabSignature, Signature, Token};

/// Declared ones, as a project may have them, are among them.
const PROOFS: [Proof; 14] = [
    Signature(GITHUB),
    Signature(GITHUB_SHA1),
    Signature(BITBUCKET),
    Signature(GITEA),
    Signature(FORGEJO),
    Signature(GOGS),
    Signature(SLACK),
    Signature(STANDARD_WEBHOOKS),
    Signature(trello("https://brigantine.example/trello")),
    Signature(Scheme { encoding: Encoding::Base64, ..body("x-shop", "", Algorithm::Sha256) }),
    Signature(body("x-declared", "sha512=", Algorithm::Sha512)),
    GitlabSignature,
    Token(GITLAB_TOKEN),
    Token("x-hook-uuid"),
];

impl Proof {
    fn scheme(self) -> Option<Scheme<'static>> {
        match self {
            Signature(scheme) => Some(scheme),
            GitlabSignature => Some(STANDARD_WEBHOOKS),
            Token(_) => None,
        }
    }

    fn header(self) -> &'static str {
        match self {
            Token(name) => name,
            Signature(_) | GitlabSignature => self.scheme().unwrap().header,
        }
    }

    fn secret(self) -> &'static str {
        if matches!(self, GitlabSignature) { KEY } else { SECRET }
    }

    /// The headers of a delivery that is proved by this secret.
    fn headers_of(self, secret: &str, seconds: i64, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some(scheme) = self.scheme() else {
            headers.insert(self.header(), secret.parse().unwrap());
            return headers;
        };
        let seconds = seconds.to_string();
        let stamp = Stamp { id: "msg_1", seconds: &seconds };
        let value = scheme.value(&scheme.key(secret).unwrap_or_default(), stamp, body);
        headers.insert(scheme.header, value.parse().unwrap());
        let (id, moment) = scheme.stamp_headers();
        for (name, value) in [(id, stamp.id), (moment, stamp.seconds)] {
            if let Some(name) = name {
                headers.insert(name, value.parse().unwrap());
            }
        }
        headers
    }

    fn headers(self) -> HeaderMap {
        self.headers_of(self.secret(), NOW, BODY)
    }

    /// Those of [`Proof::headers`], but for the signature or the token.
    fn with(self, value: &[u8]) -> HeaderMap {
        let mut headers = self.headers();
        headers.insert(self.header(), HeaderValue::from_bytes(value).unwrap());
        headers
    }

    fn verify(self, secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
        let secret = SecretString::from(secret);
        let secrets = Secrets::of(&secret);
        let now = Timestamp::from_second(NOW).unwrap();
        match self {
            Signature(scheme) => scheme.verify(&secrets, headers, body, now),
            GitlabSignature => verify_gitlab(&secrets, headers, body, now),
            Token(name) => verify_header(&secrets, headers, name),
        }
    }

    /// What is said of these headers with the right secret and the right body.
    fn said(self, headers: &HeaderMap) -> Result<(), SignatureError> {
        self.verify(self.secret(), headers, BODY)
    }

    /// The right signature or token.
    fn value(self) -> String {
        self.headers()[self.header()].to_str().unwrap().to_owned()
    }
}

/// Those that sign.
fn signatures() -> impl Iterator<Item = (Proof, Scheme<'static>)> {
    PROOFS.into_iter().filter_map(|proof| Some((proof, proof.scheme()?)))
}

#[test]
fn every_proof_proves() {
    for proof in PROOFS {
        assert_eq!(proof.said(&proof.headers()), Ok(()), "{proof:?}");
    }
}

#[test]
fn every_published_example_is_proved() {
    let stamp = Stamp { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", seconds: "1614265330" };
    assert_eq!(
        STANDARD_WEBHOOKS.sign(KEY, stamp, br#"{"test": 2432232314}"#).as_deref(),
        Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    );
    // The second case of RFC 4231.
    let (key, text) = ("Jefe", b"what do ya want for nothing?");
    assert_eq!(
        GITEA.sign(key, Stamp::default(), text).as_deref(),
        Some("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    );
    let long = body("x", "", Algorithm::Sha512).sign(key, Stamp::default(), text).unwrap();
    assert!(long.starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd6"), "{long}");
    // The second case of RFC 2202.
    let short = body("x", "", Algorithm::Sha1).sign(key, Stamp::default(), text);
    assert_eq!(short.as_deref(), Some("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
}

#[test]
fn no_proof_is_made_with_a_blank_secret() {
    for proof in PROOFS {
        for blank in ["", " ", "\t", "\0", "\0\0\0", "\n \n"] {
            // What anybody can make who guesses that the secret is blank.
            let mut headers = proof.headers_of(SECRET, NOW, BODY);
            if let Some(scheme) = proof.scheme() {
                let seconds = NOW.to_string();
                let stamp = Stamp { id: "msg_1", seconds: &seconds };
                let forged = scheme.value(blank.as_bytes(), stamp, BODY);
                headers.insert(scheme.header, forged.parse().unwrap());
            }
            let said = proof.verify(blank, &headers, BODY);
            assert_eq!(said, Err(SignatureError::NoSecret), "{proof:?} {blank:?}");
            let none = proof.verify(blank, &HeaderMap::new(), BODY);
            assert_eq!(none, Err(SignatureError::NoSecret), "{proof:?} {blank:?}");
        }
    }
}

#[test]
fn a_key_that_is_none_or_zeros_is_no_secret() {
    for secret in ["whsec_", "whsec_AAAA", "whsec_AAAAAAAA", "whsec_!", "whsec_MfKQ9r8"] {
        let seconds = NOW.to_string();
        let stamp = Stamp { id: "msg_1", seconds: &seconds };
        let mut headers = Signature(STANDARD_WEBHOOKS).headers();
        let forged = STANDARD_WEBHOOKS.value(b"", stamp, BODY);
        headers.insert("webhook-signature", forged.parse().unwrap());
        for proof in [Signature(STANDARD_WEBHOOKS), GitlabSignature] {
            let said = proof.verify(secret, &headers, BODY);
            assert_eq!(said, Err(SignatureError::NoSecret), "{proof:?} {secret}");
        }
        assert_eq!(STANDARD_WEBHOOKS.sign(secret, stamp, BODY), None, "{secret}");
    }
}

#[test]
fn a_missing_proof_is_a_failure() {
    for proof in PROOFS {
        let none = proof.said(&HeaderMap::new());
        assert_eq!(none, Err(SignatureError::Missing), "{proof:?}");
        assert_eq!(proof.said(&proof.with(b"")), Err(SignatureError::Missing), "{proof:?}");
    }
}

#[test]
fn a_missing_moment_or_name_is_a_failure() {
    for (proof, scheme) in signatures() {
        let (id, moment) = scheme.stamp_headers();
        for name in [id, moment].into_iter().flatten() {
            let mut headers = proof.headers();
            headers.remove(name);
            assert_eq!(proof.said(&headers), Err(SignatureError::Missing), "{proof:?} {name}");
            headers.insert(name, "".parse().unwrap());
            assert_eq!(proof.said(&headers), Err(SignatureError::Missing), "{proof:?} {name}");
        }
    }
}

#[test]
fn a_moment_that_is_not_the_signed_one_is_refused() {
    for (proof, scheme) in signatures() {
        let (id, moment) = scheme.stamp_headers();
        for name in [id, moment].into_iter().flatten() {
            let mut headers = proof.headers();
            headers.insert(name, (NOW + 1).to_string().parse().unwrap());
            assert_eq!(proof.said(&headers), Err(SignatureError::Forged), "{proof:?} {name}");
        }
    }
}

#[test]
fn an_old_or_a_future_signature_is_refused() {
    for (proof, scheme) in signatures() {
        if scheme.stamp_headers().1.is_none() {
            continue;
        }
        let at = |seconds| proof.said(&proof.headers_of(proof.secret(), seconds, BODY));
        for near in [NOW, NOW - WINDOW, NOW + WINDOW] {
            assert_eq!(at(near), Ok(()), "{proof:?}");
        }
        for far in [NOW - WINDOW - 1, NOW + WINDOW + 1, 0, i64::MAX, NOW * 1000] {
            assert_eq!(at(far), Err(SignatureError::Forged), "{proof:?}");
        }
        for malformed in ["-1", "1e9", "99999999999999999999", "now", "1772359200.0", "+1772359200"]
        {
            let stamp = Stamp { id: "msg_1", seconds: malformed };
            let signed = scheme.sign(proof.secret(), stamp, BODY).unwrap();
            let mut headers = proof.with(signed.as_bytes());
            headers.insert(scheme.stamp_headers().1.unwrap(), malformed.parse().unwrap());
            assert_eq!(proof.said(&headers), Err(SignatureError::Malformed), "{proof:?}");
        }
    }
}

#[test]
fn two_headers_are_refused_even_if_both_are_right() {
    for proof in PROOFS {
        let right = proof.headers();
        for name in right.keys() {
            let mut headers = right.clone();
            headers.append(name, right[name].clone());
            assert_eq!(proof.said(&headers), Err(SignatureError::Malformed), "{proof:?} {name}");
        }
    }
}

#[test]
fn a_list_with_commas_is_refused() {
    for (proof, scheme) in signatures() {
        let right = proof.value();
        for list in [format!("{right},{right}"), format!("{right}, {right}"), format!("{right},")] {
            // Standard Webhooks has lists, with spaces, and the second of this one is right.
            let spaced = list.contains(' ') && scheme.signed == Signed::StandardWebhooks;
            let expected = if spaced { Ok(()) } else { Err(SignatureError::Malformed) };
            let said = proof.said(&proof.with(list.as_bytes()));
            assert_eq!(said, expected, "{proof:?} {list}");
        }
    }
    let list = format!("{SECRET},{SECRET}");
    let headers = Token(GITLAB_TOKEN).with(list.as_bytes());
    assert_eq!(Token(GITLAB_TOKEN).said(&headers), Err(SignatureError::Forged));
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for (proof, scheme) in signatures() {
        let right = proof.value();
        let digest = right.strip_prefix(scheme.prefix).unwrap();
        let longer = format!("{right}00");
        let mut wrong = vec![scheme.prefix.to_owned(), longer, format!("{}{}", right, digest)];
        let shorter = [1, 2, 4, digest.len() / 2, digest.len()];
        wrong.extend(shorter.map(|less| right[..right.len() - less].to_owned()));
        for wrong in wrong.iter().filter(|wrong| !wrong.is_empty()) {
            let said = proof.said(&proof.with(wrong.as_bytes()));
            assert_eq!(said, Err(SignatureError::Malformed), "{proof:?} {wrong}");
        }
    }
}

#[test]
fn a_signature_with_another_prefix_is_refused() {
    for (proof, scheme) in signatures() {
        let digest = proof.value().strip_prefix(scheme.prefix).unwrap().to_owned();
        let others = ["", "sha1=", "sha256=", "SHA256=", "v0=", "v1=", "v1,", "v1a,", "md5=", "="];
        for other in others.iter().filter(|other| **other != scheme.prefix) {
            let said = proof.said(&proof.with(format!("{other}{digest}").as_bytes()));
            assert_eq!(said, Err(SignatureError::Malformed), "{proof:?} {other}");
        }
    }
}

#[test]
fn a_signature_that_is_no_digest_is_refused() {
    for (proof, scheme) in signatures() {
        let length = proof.value().len() - scheme.prefix.len();
        for filler in ["-", "g", " ", "\u{e9}", "=", "%"] {
            let wrong = format!("{}{}", scheme.prefix, filler.repeat(length / filler.len()));
            let said = proof.said(&proof.with(wrong.as_bytes()));
            assert_eq!(said, Err(SignatureError::Malformed), "{proof:?} {wrong}");
        }
        let said = proof.said(&proof.with(b"\xff\xfe"));
        assert_eq!(said, Err(SignatureError::Malformed), "{proof:?}");
    }
}

#[test]
fn hexadecimal_digits_count_in_either_case() {
    for (proof, scheme) in signatures().filter(|(_, scheme)| scheme.encoding == Encoding::Hex) {
        let digest = proof.value().strip_prefix(scheme.prefix).unwrap().to_uppercase();
        let upper = format!("{}{digest}", scheme.prefix);
        assert_eq!(proof.said(&proof.with(upper.as_bytes())), Ok(()), "{proof:?}");
    }
}

#[test]
fn a_digest_of_another_algorithm_is_refused() {
    let algorithms = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];
    for (proof, scheme) in signatures() {
        for algorithm in algorithms.into_iter().filter(|other| *other != scheme.algorithm) {
            let other = Scheme { algorithm, ..scheme };
            let value = other.value(&scheme.key(proof.secret()).unwrap(), Stamp::default(), BODY);
            let said = proof.said(&proof.with(value.as_bytes()));
            assert_eq!(said, Err(SignatureError::Malformed), "{proof:?} {algorithm:?}");
        }
    }
}

#[test]
fn a_body_with_one_byte_changed_is_refused() {
    for (proof, _) in signatures() {
        let headers = proof.headers();
        for byte in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[byte] ^= 1;
            let said = proof.verify(proof.secret(), &headers, &body);
            assert_eq!(said, Err(SignatureError::Forged), "{proof:?} {byte}");
        }
        for other in [&BODY[1..], &BODY[..BODY.len() - 1], b""] {
            let said = proof.verify(proof.secret(), &headers, other);
            assert_eq!(said, Err(SignatureError::Forged), "{proof:?}");
        }
    }
}

#[test]
fn a_body_that_was_converted_is_refused() {
    let marked = [b"\xef\xbb\xbf", BODY].concat();
    let latin = b"{\"ref\": \"refs/heads/m\xe4in\"}\r\n";
    let lines = b"{\"ref\": \"refs/heads/m\xc3\xa4in\"}\n";
    let written_anew = b"{\"ref\":\"refs/heads/m\xc3\xa4in\"}";
    for (proof, _) in signatures() {
        for other in [&marked[..], latin, lines, written_anew] {
            let said = proof.verify(proof.secret(), &proof.headers(), other);
            assert_eq!(said, Err(SignatureError::Forged), "{proof:?}");
        }
        // And the other way round: the mark is signed if it is sent.
        let headers = proof.headers_of(proof.secret(), NOW, &marked);
        assert_eq!(proof.verify(proof.secret(), &headers, &marked), Ok(()), "{proof:?}");
        let said = proof.verify(proof.secret(), &headers, BODY);
        assert_eq!(said, Err(SignatureError::Forged), "{proof:?}");
    }
}

#[test]
fn another_secret_is_refused() {
    for proof in PROOFS {
        for other in ["yo heave h", "yo heave hoo", "YO HEAVE HO", "whsec_AAECAwQFBgcICQ=="] {
            let said = proof.verify(other, &proof.headers(), BODY);
            // Without a signing token GitLab's token is looked for.
            let missing = matches!(proof, GitlabSignature) && !other.starts_with("whsec_");
            let expected = if missing { SignatureError::Missing } else { SignatureError::Forged };
            assert_eq!(said, Err(expected), "{proof:?} {other}");
        }
    }
}

#[test]
fn the_old_and_the_new_secret_prove_while_they_rotate() {
    for proof in PROOFS {
        let rotating = format!("the next one\n\n{}\r\n", proof.secret());
        assert_eq!(proof.verify(&rotating, &proof.headers(), BODY), Ok(()), "{proof:?}");
    }
}

#[test]
fn one_of_several_standard_signatures_must_fit() {
    let proof = Signature(STANDARD_WEBHOOKS);
    let right = proof.value();
    let wrong = format!("v1,{}", STANDARD.encode([7; 32]));
    for several in [
        format!("{wrong} {right}"),
        format!("{right} {wrong}"),
        format!(
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {right}"
        ),
        format!(" {right}"),
    ] {
        assert_eq!(proof.said(&proof.with(several.as_bytes())), Ok(()), "{several}");
    }
    for none in [format!("{wrong} {wrong}"), format!("{wrong} v1,!")] {
        let said = proof.said(&proof.with(none.as_bytes()));
        assert_eq!(said, Err(SignatureError::Forged), "{none}");
    }
    // More than anybody sends are not looked at.
    let many = format!("{}{right}", format!("{wrong} ").repeat(MOST));
    assert_eq!(proof.said(&proof.with(many.as_bytes())), Err(SignatureError::Forged));
}

#[test]
fn a_right_gitlab_token_does_not_make_good_a_wrong_signature() {
    let both = format!("{SECRET}\n{KEY}");
    let token = |mut headers: HeaderMap| {
        headers.insert(GITLAB_TOKEN, SECRET.parse().unwrap());
        headers
    };
    let right = token(GitlabSignature.headers());
    assert_eq!(GitlabSignature.verify(&both, &right, BODY), Ok(()));
    let wrong = token(GitlabSignature.headers_of("whsec_AAECAwQFBgcICQ==", NOW, BODY));
    assert_eq!(GitlabSignature.verify(&both, &wrong, BODY), Err(SignatureError::Forged));
    let old = token(GitlabSignature.headers_of(KEY, NOW - WINDOW - 1, BODY));
    assert_eq!(GitlabSignature.verify(&both, &old, BODY), Err(SignatureError::Forged));
    // Where nobody has configured the signing token here, the other one decides.
    assert_eq!(GitlabSignature.verify(SECRET, &wrong, BODY), Ok(()));
    let mut unsigned = HeaderMap::new();
    unsigned.insert(GITLAB_TOKEN, SECRET.parse().unwrap());
    assert_eq!(GitlabSignature.verify(&both, &unsigned, BODY), Ok(()));
}

#[test]
fn githubs_signature_does_not_prove_bitbucket() {
    let sha1 = Signature(GITHUB_SHA1).headers();
    assert_eq!(Signature(BITBUCKET).said(&sha1), Err(SignatureError::Malformed));
    let sha256 = Signature(BITBUCKET).headers();
    assert_eq!(Signature(GITHUB_SHA1).said(&sha256), Err(SignatureError::Malformed));
}
