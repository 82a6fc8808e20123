//! Small texts with places that values are put into: `{{ build.phase }}`.
//!
//! A place is a path of members with dots between them, or a JSON pointer that begins with `/`; after
//! a `|` it may have a text for what is not there: `{{ ref | no branch }}`. Texts, numbers and truth
//! values are put in as they are, lists and objects as JSON, and what is not there as nothing. There
//! are no conditions, no loops and no way out of the value that is given.

use std::fmt;

use serde_json::Value;

/// The longest template, in bytes.
const LONGEST: usize = 16 * 1024;

/// How long the text may be before no more is put into it, in bytes.
const MOST: usize = 64 * 1024;

/// A text with places.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Place { pointer: String, default: String },
}

/// A template that is not understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// A place is not closed.
    #[error("`{{{{` without `}}}}` after it")]
    Open,
    /// A place is none.
    #[error("{0:?} is no place: write `{{{{ a.b }}}}` or `{{{{ /a/b }}}}`")]
    Place(String),
    /// It is too long.
    #[error("a template has at most {LONGEST} bytes")]
    Long,
}

impl Template {
    /// Reads a template.
    pub fn parse(source: &str) -> Result<Template, TemplateError> {
        if source.len() > LONGEST {
            return Err(TemplateError::Long);
        }
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some((text, after)) = rest.split_once("{{") {
            let (place, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            let (path, default) = place.split_once('|').unwrap_or((place, ""));
            let pointer = pointer(path.trim());
            let pointer = pointer.ok_or_else(|| TemplateError::Place(place.trim().to_owned()))?;
            parts.push(Part::Place { pointer, default: default.trim().to_owned() });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { source: source.to_owned(), parts })
    }

    /// The text, with values put into it; what is beyond 64 KiB of it is left out.
    pub fn render(&self, value: &Value) -> String {
        let mut rendered = String::new();
        for part in &self.parts {
            let json;
            let text = match part {
                Part::Text(text) => text,
                Part::Place { pointer, default } => match value.pointer(pointer) {
                    None | Some(Value::Null) => default,
                    Some(Value::String(text)) if text.is_empty() => default,
                    Some(Value::String(text)) => text,
                    Some(other) => {
                        json = other.to_string();
                        &json
                    }
                },
            };
            let left = MOST - rendered.len();
            rendered.push_str(&text[..text.floor_char_boundary(left)]);
            if text.len() > left {
                break;
            }
        }
        rendered
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}

/// The JSON pointer of a path.
fn pointer(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let parts: Vec<&str> = path.split('.').collect();
    let fits = parts.iter().all(|part| !part.is_empty() && !part.contains(['{', '}', ' ']));
    fits.then(|| {
        parts
            .iter()
            .map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1")))
            .collect()
    })
}

#[test]
fn values_are_put_into_their_places() {
    let value = serde_json::json!({
        "build": {"phase": "Failed", "jobs": [{"name": "test"}, 2]}, "n": 1.5, "a.b": "dotted", "no": null
    });
    for (template, rendered) in [
        ("", ""),
        ("plain { } text", "plain { } text"),
        ("{{build.phase}}!", "Failed!"),
        ("<{{ build.jobs.0.name }} {{/build/jobs/1}}>", "<test 2>"),
        ("{{n}} {{build.jobs}}", r#"1.5 [{"name":"test"},2]"#),
        ("{{/a.b}}{{none}}{{none | nobody}}{{ no|null}}", "dottednobodynull"),
        // What a value holds is no template.
        ("{{ evil | {{ }}", "{{"),
    ] {
        let parsed = Template::parse(template).unwrap();
        assert_eq!(parsed.render(&value), rendered, "{template}");
        assert_eq!(parsed.to_string(), template);
    }
    let nested = Template::parse("{{a}}").unwrap();
    assert_eq!(nested.render(&serde_json::json!({"a": "{{b}}", "b": 1})), "{{b}}");
}

#[test]
fn a_text_is_no_longer_than_it_may_be() {
    let value = serde_json::json!({"a": "é".repeat(MOST), "b": ["x".repeat(MOST)]});
    let template = Template::parse(&"{{a}}{{b}}".repeat(1000)).unwrap();
    assert_eq!(template.render(&value).len(), MOST);
    let template = Template::parse("x{{a}}{{b}}").unwrap();
    assert_eq!(template.render(&value).len(), MOST - 1, "no letter is cut in two");
}

#[test]
fn what_is_no_template_is_said_to_be_none() {
    for (template, error) in [
        ("{{ a", TemplateError::Open),
        ("{{ }}", TemplateError::Place(String::new())),
        ("{{ a..b }}", TemplateError::Place("a..b".to_owned())),
        ("{{ a b }}", TemplateError::Place("a b".to_owned())),
    ] {
        assert_eq!(Template::parse(template), Err(error), "{template}");
    }
    assert_eq!(Template::parse(&"x".repeat(LONGEST + 1)), Err(TemplateError::Long));
}
