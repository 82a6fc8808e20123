//! The published vectors, and every way of forging that we know.

use std::path::Path;

use super::*;

const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const SHA256: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in values {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn github(secret: &str, values: &[(&'static str, &str)]) -> Result<(), SignatureError> {
    verify_github(&Secrets::of(&secret.into()), &headers(values), BODY, Legacy::Refuse)
}

fn token(secret: &str, token: Option<&str>) -> Result<(), SignatureError> {
    verify_token(&Secrets::of(&secret.into()), token)
}

#[test]
fn the_published_vectors_are_proved() {
    assert_eq!(github(SECRET, &[(GITHUB_SHA256, SHA256)]), Ok(()));
    let secret = "This is the way the world ends.";
    let body = b"Not with a bang, but a whimper.\n";
    let sha1 = "sha1=0ca6713b350828f53c6dcced9232aeace3e60708";
    let headers = headers(&[(GITHUB_SHA1, sha1)]);
    let value = secret.into();
    let secrets = Secrets::of(&value);
    assert_eq!(verify_github(&secrets, &headers, body, Legacy::Accept), Ok(()));
    assert_eq!(
        verify_github(&secrets, &headers, body, Legacy::Refuse),
        Err(SignatureError::Missing)
    );
}

#[test]
fn what_is_signed_is_proved() {
    assert_eq!(sign_github(SECRET, BODY), SHA256);
    let sha1 = sign_github_sha1("This is the way the world ends.", BODY);
    let headers = headers(&[(GITHUB_SHA1, &sha1)]);
    let value = "This is the way the world ends.".into();
    assert_eq!(verify_github(&Secrets::of(&value), &headers, BODY, Legacy::Accept), Ok(()));
}

#[test]
fn hexadecimal_digits_count_in_either_case() {
    let upper = SHA256.to_uppercase().replace("SHA256", "sha256");
    assert_eq!(github(SECRET, &[(GITHUB_SHA256, &upper)]), Ok(()));
}

#[test]
fn a_signature_that_is_not_one_is_refused() {
    let digits = SHA256.strip_prefix("sha256=").unwrap();
    let cases = [
        ("", SignatureError::Missing),
        ("sha256=", SignatureError::Malformed),
        (digits, SignatureError::Malformed),
        (&format!("sha1={digits}"), SignatureError::Malformed),
        (&format!("SHA256={digits}"), SignatureError::Malformed),
        (&SHA256[..SHA256.len() - 1], SignatureError::Malformed),
        (&SHA256[..SHA256.len() - 2], SignatureError::Malformed),
        (&format!("{SHA256}00"), SignatureError::Malformed),
        (&SHA256.replace("757107", "75710g"), SignatureError::Malformed),
        (&SHA256.replace("757107", "+57107"), SignatureError::Malformed),
        (&format!("{SHA256},{SHA256}"), SignatureError::Malformed),
        (&format!("{SHA256}, sha256=00"), SignatureError::Malformed),
        (&SHA256.replace("757107", "757106"), SignatureError::Forged),
        (&format!("sha256={}", "0".repeat(64)), SignatureError::Forged),
    ];
    for (value, error) in cases {
        assert_eq!(github(SECRET, &[(GITHUB_SHA256, value)]), Err(error), "{value:?}");
    }
}

#[test]
fn a_signature_with_bytes_that_are_not_text_is_refused() {
    let mut headers = HeaderMap::new();
    headers.insert(GITHUB_SHA256, HeaderValue::from_bytes(b"sha256=\xff\xfe").unwrap());
    let value = SECRET.into();
    assert_eq!(
        verify_github(&Secrets::of(&value), &headers, BODY, Legacy::Refuse),
        Err(SignatureError::Malformed)
    );
}

#[test]
fn a_missing_signature_is_a_failure() {
    assert_eq!(github(SECRET, &[]), Err(SignatureError::Missing));
}

#[test]
fn two_signatures_are_refused_even_if_both_are_right() {
    let twice = [(GITHUB_SHA256, SHA256), (GITHUB_SHA256, SHA256)];
    assert_eq!(github(SECRET, &twice), Err(SignatureError::Malformed));
}

#[test]
fn a_right_sha1_does_not_make_good_a_wrong_sha256() {
    let value = SECRET.into();
    let secrets = Secrets::of(&value);
    let sha1 = sign_github_sha1(SECRET, BODY);
    let wrong = sign_github("another", BODY);
    let both = headers(&[(GITHUB_SHA256, &wrong), (GITHUB_SHA1, &sha1)]);
    for legacy in [Legacy::Accept, Legacy::Refuse] {
        assert_eq!(verify_github(&secrets, &both, BODY, legacy), Err(SignatureError::Forged));
    }
}

#[test]
fn a_sha256_digest_in_the_sha1_header_is_refused() {
    let value = SECRET.into();
    let headers = headers(&[(GITHUB_SHA1, SHA256)]);
    assert_eq!(
        verify_github(&Secrets::of(&value), &headers, BODY, Legacy::Accept),
        Err(SignatureError::Malformed)
    );
}

#[test]
fn a_body_with_one_bit_changed_is_refused() {
    let value = SECRET.into();
    let headers = headers(&[(GITHUB_SHA256, SHA256)]);
    for bit in 0..BODY.len() * 8 {
        let mut body = BODY.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verify_github(&Secrets::of(&value), &headers, &body, Legacy::Refuse),
            Err(SignatureError::Forged)
        );
    }
}

#[test]
fn a_blank_secret_proves_nothing() {
    for blank in ["", " ", "\n", "\0\0\0", " \t\r\n"] {
        let forged = sign_github(blank, BODY);
        assert_eq!(
            github(blank, &[(GITHUB_SHA256, &forged)]),
            Err(SignatureError::NoSecret),
            "{blank:?}"
        );
        assert_eq!(github(blank, &[]), Err(SignatureError::NoSecret), "{blank:?}");
        assert_eq!(token(blank, Some(blank)), Err(SignatureError::NoSecret), "{blank:?}");
    }
}

#[test]
fn a_blank_line_among_secrets_proves_nothing() {
    let forged = sign_github("", BODY);
    let rotated = format!("\n{SECRET}\n\n");
    assert_eq!(github(&rotated, &[(GITHUB_SHA256, &forged)]), Err(SignatureError::Forged));
    assert_eq!(github(&rotated, &[(GITHUB_SHA256, SHA256)]), Ok(()));
    assert_eq!(token(&rotated, Some("")), Err(SignatureError::Missing));
}

#[test]
fn the_old_and_the_new_secret_prove_while_they_rotate() {
    let rotating = format!("the next one\n{SECRET}");
    assert_eq!(github(&rotating, &[(GITHUB_SHA256, SHA256)]), Ok(()));
    let next = sign_github("the next one", BODY);
    assert_eq!(github(&rotating, &[(GITHUB_SHA256, &next)]), Ok(()));
    let both = sign_github(&rotating, BODY);
    assert_eq!(github(&rotating, &[(GITHUB_SHA256, &both)]), Err(SignatureError::Forged));
    assert_eq!(Secrets::of(&rotating.into()).current(), Some("the next one"));
}

#[test]
fn a_default_secret_counts_only_where_the_project_has_none() {
    let (project, default, none) = ("project".into(), "default".into(), "".into());
    assert_eq!(Secrets::of(&project).or(&default).current(), Some("project"));
    assert_eq!(Secrets::of(&none).or(&default).current(), Some("default"));
    assert!(Secrets::of(&none).or(&none).is_empty());
}

#[test]
fn a_token_is_the_whole_secret_and_nothing_else() {
    assert_eq!(token("open sesame", Some("open sesame")), Ok(()));
    assert_eq!(token("old\nnew", Some("new")), Ok(()));
    assert_eq!(token("open sesame", None), Err(SignatureError::Missing));
    assert_eq!(token("open sesame", Some("")), Err(SignatureError::Missing));
    for wrong in ["open", "open sesame ", "OPEN SESAME", "open sesame\0", "open sesame2"] {
        assert_eq!(token("open sesame", Some(wrong)), Err(SignatureError::Forged), "{wrong:?}");
    }
}

#[test]
fn authorization_gives_the_token_or_the_password() {
    let read = |value: &str| authorization(&headers(&[("authorization", value)]));
    assert_eq!(authorization(&HeaderMap::new()), Ok(None));
    assert_eq!(read("Bearer abc"), Ok(Some("abc".to_owned())));
    assert_eq!(read("bearer   abc"), Ok(Some("abc".to_owned())));
    assert_eq!(read("Basic dXNlcjphOmI="), Ok(Some("a:b".to_owned())));
    assert_eq!(read("Basic OnNlY3JldA=="), Ok(Some("secret".to_owned())));
    for malformed in ["abc", "Digest abc", "Basic !!!", "Basic bm9jb2xvbg==", "Basic /w=="] {
        assert_eq!(read(malformed), Err(SignatureError::Malformed), "{malformed:?}");
    }
    let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
    assert_eq!(authorization(&twice), Err(SignatureError::Malformed));
}

#[test]
fn every_recorded_vector_is_proved() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads");
    let Ok(table) = std::fs::read_to_string(root.join("VECTORS.tsv")) else {
        println!("skipped: there are no recorded vectors in {}", root.display());
        return;
    };
    let mut proved = 0;
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, header, algorithm, secret, value, ..] = columns[..] else {
            panic!("not a vector: {line}");
        };
        let header = header.to_ascii_lowercase();
        let prefix = value.split_once('=').unwrap().0;
        let scheme = scheme::ALL.into_iter().find(|scheme| {
            scheme.header == header && scheme.prefix.strip_suffix('=') == Some(prefix)
        });
        let scheme = scheme.unwrap_or_else(|| panic!("no scheme for {line}"));
        let seconds = algorithm.split(':').nth(1).unwrap_or("0");
        let body = match file {
            "(literal body: Hello, World!)" => BODY.to_vec(),
            "slack slash_command envelope" => slack_envelope(&root),
            _ => std::fs::read(root.join(file)).unwrap(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(scheme.header, value.parse().unwrap());
        if let (_, Some(name)) = scheme.stamp_headers() {
            headers.insert(name, seconds.parse().unwrap());
        }
        let now = Timestamp::from_second(seconds.parse().unwrap()).unwrap();
        let secret = secret.into();
        let secrets = Secrets::of(&secret);
        assert_eq!(scheme.verify(&secrets, &headers, &body, now), Ok(()), "{line}");
        let wrong = scheme.verify(&secrets, &headers, &body[1..], now);
        assert_eq!(wrong, Err(SignatureError::Forged), "{line}");
        proved += 1;
    }
    println!("{proved} recorded vectors proved");
    assert_eq!(proved, table.lines().count() - 1);
}

/// The body of the slash command that Slack's documentation signs.
fn slack_envelope(root: &Path) -> Vec<u8> {
    let text = std::fs::read(root.join("slack/slash_command.2.json")).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&text).unwrap();
    envelope["body"].as_str().unwrap().as_bytes().to_vec()
}
