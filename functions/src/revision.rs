//! Reads which revision of the repository a sender means, where it may say so itself.

use runtime::event::Revision;
use serde::Deserialize;
use serde_json::Value;

/// The longest name of a revision, in bytes.
const LIMIT: usize = 1024;

/// What Brigade's gateways said where the sender said nothing.
pub(crate) fn master() -> Revision {
    Revision { commit: String::new(), reference: "master".to_owned() }
}

/// Whether a text can name a revision: what begins with a hyphen would be an option of git.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= LIMIT && !text.starts_with('-') && !text.chars().any(char::is_control)
}

/// The members `ref` and `commit` of a JSON object, as far as they are texts that name a revision.
/// Whatever else the JSON is, it says nothing.
pub(crate) fn of_json(json: &str) -> Revision {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        commit: Value,
        #[serde(rename = "ref")]
        reference: Value,
    }
    let is_object = json.trim_start().starts_with('{');
    let said: Option<Said> = is_object.then(|| serde_json::from_str(json).ok()).flatten();
    let said = said.unwrap_or_default();
    let name = |value: &Value| value.as_str().filter(|text| is_name(text)).map(str::to_owned);
    Revision {
        commit: name(&said.commit).unwrap_or_default(),
        reference: name(&said.reference).unwrap_or_default(),
    }
}

#[test]
fn only_texts_that_name_a_revision_count() {
    let said = |json: &str| {
        let Revision { commit, reference } = of_json(json);
        format!("{reference}@{commit}")
    };
    assert_eq!(said(r#"{"ref": "main", "commit": "1e175a8", "more": []}"#), "main@1e175a8");
    assert_eq!(said(r#"{"ref": {}, "commit": 7}"#), "@");
    assert_eq!(said(r#"{"ref": "--upload-pack=x", "commit": "a\nb"}"#), "@");
    assert_eq!(said(&format!(r#"{{"ref": "{}"}}"#, "x".repeat(1025))), "@");
    for json in ["", "null", "7", r#""ref""#, r#"["main", "x"]"#, "{", &"[".repeat(100_000)] {
        assert_eq!(said(json), "@", "{json:.20}");
    }
}
