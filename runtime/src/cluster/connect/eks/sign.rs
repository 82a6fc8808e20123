//! Signs requests to AWS: Signature Version 4, in headers or in an address.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use jiff::Timestamp;
use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};

/// What AWS knows somebody by.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) session: Option<SecretString>,
    /// Until when it is good, if not for ever.
    pub(super) ends: Option<Timestamp>,
}

/// What a signature is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: Timestamp,
}

/// A request, as it is signed. It has secrets, and is not to be printed.
#[derive(Clone, Default)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// As it is sent.
    pub(super) path: &'a str,
    /// Names and values, not encoded.
    pub(super) query: Vec<(&'a str, &'a str)>,
    /// In lower case; without the host.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'a str,
}

impl Request<'_> {
    /// The headers that sign it, with those that it has.
    pub(super) fn signed(mut self, key: &Key, scope: Scope<'_>) -> Vec<(&'static str, String)> {
        self.headers.push(("x-amz-date", scope.time()));
        if let Some(session) = &key.session {
            self.headers.push(("x-amz-security-token", session.expose_secret().to_owned()));
        }
        let names = self.signed_headers();
        let signature = self.signature(key, scope);
        let credential = format!("{}/{}", key.id, scope.name());
        let mut headers = self.headers;
        headers.push((
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, \
                 Signature={signature}"
            ),
        ));
        headers
    }

    /// The path and query that sign it for some seconds; its headers are not in them, and are sent
    /// beside them.
    pub(super) fn presigned(&self, key: &Key, scope: Scope<'_>, seconds: u32) -> String {
        let (credential, time) = (format!("{}/{}", key.id, scope.name()), scope.time());
        let (names, seconds) = (self.signed_headers(), seconds.to_string());
        let mut request = self.clone();
        request.query.extend([
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &seconds),
            ("X-Amz-SignedHeaders", &names),
        ]);
        let session = key.session.as_ref().map(ExposeSecret::expose_secret);
        request.query.extend(session.map(|session| ("X-Amz-Security-Token", session)));
        let signature = request.signature(key, scope);
        format!("{}?{}&X-Amz-Signature={signature}", self.path, request.canonical_query())
    }

    fn signature(&self, key: &Key, scope: Scope<'_>) -> String {
        let (name, time) = (scope.name(), scope.time());
        let hash = hex::encode(digest::digest(&digest::SHA256, self.canonical().as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{name}\n{hash}");
        let first = format!("AWS4{}", key.secret.expose_secret());
        let signing = name.split('/').fold(first.into_bytes(), |key, part| sign(&key, part));
        hex::encode(sign(&signing, &text))
    }

    fn canonical(&self) -> String {
        let headers: String = self
            .sorted()
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        [
            self.method,
            // Everything but objects of S3 is encoded once more.
            &encode(self.path, "/"),
            &self.canonical_query(),
            &headers,
            &self.signed_headers(),
            &hex::encode(digest::digest(&digest::SHA256, self.body.as_bytes())),
        ]
        .join("\n")
    }

    fn canonical_query(&self) -> String {
        let pair = |(name, value): &(&str, &str)| (encode(name, ""), encode(value, ""));
        let mut pairs: Vec<_> = self.query.iter().map(pair).collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }

    fn signed_headers(&self) -> String {
        let names: Vec<_> = self.sorted().into_iter().map(|(name, _)| name).collect();
        names.join(";")
    }

    fn sorted(&self) -> Vec<(&str, &str)> {
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("host", self.host));
        headers.sort_unstable();
        headers
    }
}

impl Scope<'_> {
    fn time(&self) -> String {
        self.at.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    fn name(&self) -> String {
        let day = self.at.strftime("%Y%m%d");
        format!("{day}/{}/{}/aws4_request", self.region, self.service)
    }
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// Encodes what is not unreserved, and not `also`.
fn encode(text: &str, also: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~') || also.contains(c) {
            encoded.push(c);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session: None,
            ends: None,
        }
    }

    /// From the test suite that AWS publishes for Signature Version 4: the same key, time and host
    /// in all, and the signatures of its files `*.authz`.
    #[test]
    fn requests_are_signed_as_in_the_test_suite_of_aws() {
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let scope = Scope { region: "us-east-1", service: "service", at };
        let plain = Request {
            method: "GET",
            host: "example.amazonaws.com",
            path: "/",
            ..Request::default()
        };
        let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
        for (name, request, signature) in [
            (
                "get-vanilla",
                plain.clone(),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-empty-query-key",
                Request { query: vec![("Param1", "value1")], ..plain.clone() },
                "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
            ),
            (
                "get-vanilla-query-order-key-case",
                Request {
                    query: vec![("Param2", "value2"), ("Param1", "value1")],
                    ..plain.clone()
                },
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                Request { method: "POST", ..plain.clone() },
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                Request {
                    method: "POST",
                    headers: vec![form],
                    body: "Param1=value1",
                    ..plain.clone()
                },
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let headers = request.signed(&key(), scope);
            let authorization = &headers.last().unwrap().1;
            assert!(authorization.ends_with(&format!("Signature={signature}")), "{name}");
        }
        let headers = plain.signed(&key(), scope);
        assert_eq!(
            headers.last().unwrap().1,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    /// `post-sts-header-before` of the same suite, with the session that its notes give.
    #[test]
    fn a_session_is_signed_as_in_the_test_suite_of_aws() {
        let session = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMic\
             RXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKs\
             burEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0\
             iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let scope = Scope { region: "us-east-1", service: "service", at };
        let request = Request {
            method: "POST",
            host: "example.amazonaws.com",
            path: "/",
            ..Request::default()
        };
        let headers = request.signed(&Key { session: Some(session.into()), ..key() }, scope);
        let expected = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
        assert!(headers.last().unwrap().1.ends_with(expected));
    }

    /// As `botocore` 1.43, which is the SDK of AWS's own command line, signs the same.
    #[test]
    fn an_address_of_sts_is_signed_as_amazons_own_tools_do() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let request = Request {
            method: "GET",
            host: "sts.eu-west-1.amazonaws.com",
            path: "/",
            query: vec![("Action", "GetCallerIdentity"), ("Version", "2011-06-15")],
            headers: vec![("x-k8s-aws-id", "my-cluster".to_owned())],
            body: "",
        };
        let key = Key { session: Some("FQo/session+token==".into()), ..key() };
        let scope = Scope { region: "eu-west-1", service: "sts", at };
        let address = request.presigned(&key, scope, 60);
        assert_eq!(
            address,
            "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Fsts%2Faws4_request\
             &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60\
             &X-Amz-Security-Token=FQo%2Fsession%2Btoken%3D%3D\
             &X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
             &X-Amz-Signature=16ecabc3d032fc8ae68d6562564a8d8fec12defb95357a5442a23e24c92722fd"
        );
    }

    /// The example of AWS's documentation of how a request is signed: `ListUsers` of IAM.
    #[test]
    fn a_request_is_signed_as_in_the_documentation() {
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let request = Request {
            method: "GET",
            host: "iam.amazonaws.com",
            path: "/",
            query: vec![("Action", "ListUsers"), ("Version", "2010-05-08")],
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
            )],
            body: "",
        };
        let headers = request.signed(&key(), Scope { region: "us-east-1", service: "iam", at });
        let expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert!(headers.last().unwrap().1.ends_with(expected));
    }
}
