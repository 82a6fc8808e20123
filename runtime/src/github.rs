//! GitHub's API: what proves a GitHub App to it, where that may be sent, and calls as an installation
//! of the App.
//!
//! A token is asked for by a statement that the App's key signs, good for some minutes; it lives for
//! an hour, is good for one repository, and is kept nowhere but in what it was asked for. Nothing of
//! an answer is repeated in an error.
//!
//! <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app>

use std::net::IpAddr;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, USER_AGENT};
use reqwest::{Method, StatusCode, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

/// GitHub's own API, for projects that name no server.
const GITHUB: &str = "https://api.github.com/";

/// How much of an answer is read.
const LIMIT: usize = 4 * 1024 * 1024;

/// Why GitHub was not asked, or did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The key signs nothing.
    #[error("the variable APP_KEY is no RSA key that signs")]
    Key,
    /// The project's server is none that a token may be sent to.
    #[error(
        "the project's github.baseURL is not the https URL of an API on api.github.com or on a \
         host of GITHUB_HOSTS"
    )]
    Address,
    /// Whoever signed the body named an installation that is not theirs.
    #[error("the installation that the delivery names gives no token for the project's repository")]
    Elsewhere,
    /// It said no.
    #[error("GitHub answered {code} to {call}")]
    Refused {
        /// The method and the path.
        call: String,
        /// The status code.
        code: StatusCode,
    },
    /// It said nothing, or that it cannot, or something else.
    #[error("GitHub did not answer {call}: {problem}")]
    Away {
        /// The method and the path.
        call: String,
        /// What happened instead.
        problem: String,
    },
}

/// A GitHub App that acts for every project of an installation.
#[derive(Clone, Debug)]
pub struct App {
    /// Its number.
    pub id: u64,
    /// Its private key, in PEM.
    pub key: SecretString,
    /// The servers beside api.github.com that may be sent what proves it.
    pub hosts: Vec<String>,
}

/// A token of an App's installation.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub token: SecretString,
    /// When it ends, as GitHub says it.
    pub expires: String,
}

impl Token {
    /// Reads what GitHub answers who asks for a token. It must say that it is for this repository
    /// and no other.
    pub fn read(answer: &[u8], repository: &str) -> Result<Token, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
            #[serde(default)]
            expires_at: String,
            #[serde(default)]
            repositories: Vec<Repository>,
        }
        #[derive(Deserialize)]
        struct Repository {
            full_name: String,
        }
        // What the parser says could repeat a token.
        let answer: Answer = serde_json::from_slice(answer).map_err(|_quoting| ApiError::Away {
            call: "POST app/installations/{installation}/access_tokens".to_owned(),
            problem: "its answer cannot be read".to_owned(),
        })?;
        match &answer.repositories[..] {
            [only] if only.full_name.eq_ignore_ascii_case(repository) => {
                Ok(Token { token: answer.token.into(), expires: answer.expires_at })
            }
            _ => Err(ApiError::Elsewhere),
        }
    }
}

/// Where an App is told which of its installations a repository is in.
pub fn installation_path(repository: &str) -> String {
    format!("repos/{repository}/installation")
}

/// Where an installation is asked for a token.
pub fn token_path(installation: u64) -> String {
    format!("app/installations/{installation}/access_tokens")
}

/// What it is asked: a token for one repository.
pub fn token_request(repository: &str) -> Value {
    json!({"repositories": [repository.rsplit('/').next().unwrap_or_default()]})
}

/// The API, for whoever the token is of.
pub struct Api {
    base: Url,
    token: SecretString,
    until: Instant,
}

impl Api {
    /// The API with a new token of an installation for this repository, until a moment; and when the
    /// token ends, as GitHub says it.
    ///
    /// The installation is what the body says, and a project proves its own bodies: so that nobody
    /// has the token of another's, GitHub must say that it is for the project's repository and no
    /// other.
    pub async fn of_installation(
        base: Url,
        (app, key): (u64, &SecretString),
        (installation, repository): (u64, &str),
        until: Instant,
    ) -> Result<(Api, String), ApiError> {
        let statement = statement(app, key, Timestamp::now())?;
        let api = Api { base, token: statement, until };
        let path = token_path(installation);
        let answer = api.send(Method::POST, &path, Some(&token_request(repository))).await?;
        let Token { token, expires } = Token::read(&answer, repository)?;
        Ok((Api { token, ..api }, expires))
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.token.expose_secret()
    }

    /// The commit at the head of a pull request.
    pub async fn head(&self, repository: &str, number: u64) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Pull {
            head: Head,
        }
        #[derive(Deserialize)]
        struct Head {
            sha: String,
        }
        let path = format!("repos/{repository}/pulls/{number}");
        let pull: Pull = self.call(Method::GET, &path, None).await?;
        let sha = Some(pull.head.sha).filter(|sha| is_commit(sha));
        sha.ok_or_else(|| unread(&Method::GET, &path))
    }

    /// Makes a check suite of the App run for a commit: a new one, or the one that there is.
    ///
    /// A suite that is made does not run before it is asked for again.
    pub async fn run_suite(
        &self,
        app: u64,
        repository: &str,
        head: &str,
        reference: &str,
    ) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct Suite {
            id: u64,
        }
        #[derive(Deserialize)]
        struct Suites {
            #[serde(default)]
            check_suites: Vec<Suite>,
        }
        let path = format!("repos/{repository}/check-suites");
        let asked = json!({"head_sha": head, "head_branch": reference});
        let suite = match self.call::<Suite>(Method::POST, &path, Some(&asked)).await {
            Ok(suite) => suite,
            // There is one for this commit already.
            Err(ApiError::Refused { code: StatusCode::UNPROCESSABLE_ENTITY, .. }) => {
                let path = format!("repos/{repository}/commits/{head}/check-suites?app_id={app}");
                let suites: Suites = self.call(Method::GET, &path, None).await?;
                let Some(suite) = suites.check_suites.into_iter().next() else { return Ok(()) };
                suite
            }
            Err(error) => return Err(error),
        };
        let path = format!("repos/{repository}/check-suites/{}/rerequest", suite.id);
        self.send(Method::POST, &path, None).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ApiError> {
        let answer = self.send(method.clone(), path, body).await?;
        // What the parser says could repeat a token.
        serde_json::from_slice(&answer).map_err(|_quoting| unread(&method, path))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, ApiError> {
        let call = named(&method, path);
        let away =
            |problem: &str| ApiError::Away { call: call.clone(), problem: problem.to_owned() };
        let url = self.base.join(path).map_err(|_no_url| ApiError::Address)?;
        let client = client().ok_or_else(|| away("there is no client for it"))?;
        let mut request = client
            .request(method, url)
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(USER_AGENT, "brigantine")
            .bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let sending = async {
            let mut answer = request.send().await.map_err(|_error| away("it is unreachable"))?;
            let code = answer.status();
            let header = |name: &str| answer.headers().get(name).map(|value| value.as_bytes());
            // It refuses in the same way what it is asked too often.
            let is_limited = code == StatusCode::TOO_MANY_REQUESTS
                || header("retry-after").is_some()
                || header("x-ratelimit-remaining") == Some(b"0");
            if code.is_server_error() || (code.is_client_error() && is_limited) {
                return Err(away(&format!("it answered {code}")));
            }
            if !code.is_success() {
                return Err(ApiError::Refused { call: call.clone(), code });
            }
            let mut bytes = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(|_error| away("it broke off"))? {
                if bytes.len() + piece.len() > LIMIT {
                    return Err(away("its answer is too long"));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        let sent = tokio::time::timeout_at(self.until, sending).await;
        sent.unwrap_or_else(|_elapsed| Err(away("it took too long")))
    }
}

/// What proves to GitHub that it is the App that asks, for some minutes.
pub fn statement(app: u64, key: &SecretString, now: Timestamp) -> Result<SecretString, ApiError> {
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
    let key = match key.map_err(|_no_pem| ApiError::Key)? {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err(ApiError::Key),
    };
    let key = key.map_err(|_refused| ApiError::Key)?;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = now.as_second();
    // A minute ago, since clocks differ.
    let claims = json!({"iat": now - 60, "exp": now + 300, "iss": app.to_string()});
    let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_failed| ApiError::Key)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
}

/// The API's address: GitHub's own, or that of the project's server, if the operator lists it. What
/// proves the App is sent there, so it must be encrypted on its way, unless that does not leave this
/// machine.
pub fn address(base: &str, hosts: &[String]) -> Result<Url, ApiError> {
    let base = if base.is_empty() { GITHUB } else { base };
    // What a path is joined to ends with a slash.
    let url = Url::parse(&format!("{}/", base.trim_end_matches('/')));
    let url = url.map_err(|_no_url| ApiError::Address)?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_known = host == "api.github.com" || hosts.iter().any(|known| known == host);
    let fits = match url.scheme() {
        "https" => is_known || is_here,
        "http" => is_here,
        _ => false,
    };
    if fits && url.query().is_none() { Ok(url) } else { Err(ApiError::Address) }
}

/// Whether a text is the full id of a commit.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn unread(method: &Method, path: &str) -> ApiError {
    ApiError::Away { call: named(method, path), problem: "its answer cannot be read".to_owned() }
}

fn named(method: &Method, path: &str) -> String {
    format!("{method} {}", path.split('?').next().unwrap_or_default())
}

/// The client of all calls, made when the first is. It follows no one elsewhere with a token.
fn client() -> Option<&'static reqwest::Client> {
    static CLIENT: OnceLock<Option<reqwest::Client>> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        // Installed once for the process; a second time changes nothing.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        // Calls are rare, and connections would belong to whoever made the first.
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none());
        client.build().ok()
    });
    client.as_ref()
}

#[test]
fn a_token_is_sent_to_github_or_encrypted_or_nowhere_else() {
    for (base, url) in [
        ("", "https://api.github.com/"),
        ("https://github.acme.com/api/v3", "https://github.acme.com/api/v3/"),
        ("https://github.acme.com/api/v3/", "https://github.acme.com/api/v3/"),
        ("http://127.0.0.1:80", "http://127.0.0.1/"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
    ] {
        assert_eq!(address(base, &["github.acme.com".to_owned()]).unwrap().as_str(), url);
    }
    for base in [
        "http://github.acme.com",
        "https://evil.example/",
        "https://github.acme.com.evil.example/",
        "https://github.acme.com@evil.example/",
        "https://evil.example/github.acme.com",
        "ftp://x/",
        "github.acme.com",
        "http://127.0.0.1.x/",
        "https://x/?a=b",
    ] {
        let hosts = ["github.acme.com".to_owned()];
        assert!(matches!(address(base, &hosts), Err(ApiError::Address)), "{base}");
    }
    let unlisted = address("https://github.acme.com/api/v3", &[]);
    assert!(matches!(unlisted, Err(ApiError::Address)), "{unlisted:?}");
}

#[test]
fn a_key_that_is_none_is_said_to_be_none() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n";
    for key in ["", "hello", pem] {
        let error = statement(7, &key.into(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.to_string(), "the variable APP_KEY is no RSA key that signs");
    }
}
