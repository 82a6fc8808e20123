//! Bodies that are too large, too slow, too deep, or in another form than they seem.

use futures::StreamExt;

use super::*;

/// The largest body that any sender may send.
const LARGEST: usize = 25 * 1024 * 1024;

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes() {
    for source in sources::all() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let mut claimed = sample.proved();
        let length = (LARGEST + 1).to_string().parse().unwrap();
        claimed.headers_mut().insert("content-length", length);
        let told = refused(&world, claimed, 413).await;
        if source.in_our_form {
            let reason = told["reason"].as_str().unwrap();
            assert!(reason.starts_with("a body may have "), "{}: {reason}", source.name);
        }
        // Chunked, so without a length; it never ends.
        let chunk = Ok::<_, std::convert::Infallible>(Bytes::from(vec![b' '; 1024 * 1024]));
        let mut endless = sample.proved();
        *endless.body_mut() = Body::from_stream(futures::stream::repeat(chunk));
        refused(&world, endless, 413).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_does_not_hold_a_request() {
    for source in sources::all() {
        let world = World::of(source).await;
        let mut request = (source.sample)(1).proved();
        let begun = Ok::<_, std::convert::Infallible>(Bytes::from_static(b"{"));
        let never = futures::stream::once(async { begun }).chain(futures::stream::pending());
        *request.body_mut() = Body::from_stream(never);
        tokio::time::pause();
        refused(&world, request, 408).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn an_encoded_body_is_refused() {
    for source in sources::all() {
        let world = World::of(source).await;
        for encoding in ["gzip", "deflate", "br", "identity"] {
            let mut request = (source.sample)(1).proved();
            request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
            refused(&world, request, 415).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_a_page_in_a_browser_can_send_is_refused() {
    for source in sources::all() {
        let world = World::of(source).await;
        for media in ["text/plain", "multipart/form-data; boundary=x", "image/png", "json", ""] {
            let mut request = (source.sample)(1).request(None);
            request.headers_mut().insert("content-type", media.parse().unwrap());
            let told = world.send(request).await;
            assert!((400..500).contains(&told.code), "{} {media}: {told:?}", source.name);
        }
        assert!(world.is_untouched().await, "{}", source.name);
    }
}

#[tokio::test]
async fn hostile_json_makes_no_source_fail() {
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let objects = "{\"a\":".repeat(100_000);
    for source in sources::all() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let text = String::from_utf8(sample.body.to_vec()).unwrap();
        for hostile in [
            "",
            " ",
            "null",
            "true",
            "0",
            "-",
            "\"",
            "\"push\"",
            "[]",
            "[[]]",
            "[{}]",
            "[null]",
            "{}",
            "{} {}",
            "{\"\":}",
            "{\"a\":1,}",
            "{'a':1}",
            "NaN",
            "\u{0}",
            "\u{feff}",
            "\u{feff}{}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\u0000\"}",
            "{\"a\":1e999999}",
            "{\"a\":-1e999999}",
            &objects,
            &deep(100_000),
            &format!("{text}x"),
            &format!("[{text}"),
            &text[1..],
            &text[..text.len() - 1],
            &"[".repeat(500_000),
            &format!("{{\"a\":{}}}", deep(10_000)),
            &format!("[{}1]", "1,".repeat(400_000)),
            &format!("[{}{{}}]", "{},".repeat(200_000)),
        ] {
            let told = world.send(sample.with_body(hostile.to_owned()).proved()).await;
            let shown: String = hostile.chars().take(60).collect();
            assert!(told.code < 500, "{} {shown:?}: {told:?}", source.name);
        }
        let mut bytes = text.clone().into_bytes();
        for at in (0..bytes.len()).step_by(7) {
            let kept = std::mem::replace(&mut bytes[at], 0xff);
            let told = world.send(sample.with_body(bytes.clone()).proved()).await;
            assert!(told.code < 500, "{} at {at}: {told:?}", source.name);
            bytes[at] = kept;
        }
    }
}

/// Each member of the sample's body in turn is something else than the sender's contract says.
#[tokio::test]
async fn a_member_of_another_type_makes_no_source_fail() {
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
        json!("\u{0}"),
        json!("a".repeat(100_000)),
        json!([]),
        json!([null]),
        json!({}),
        json!({"": {}}),
        json!("../../x"),
        json!("-x"),
        json!("ä\u{202e}\u{feff}"),
    ];
    for source in sources::all() {
        let world = World::of(source).await;
        let sample = (source.sample)(1);
        let Ok(body) = serde_json::from_slice::<Value>(&sample.body) else { continue };
        for pointer in pointers(&body) {
            for other in &others {
                let mut body = body.clone();
                *body.pointer_mut(&pointer).unwrap() = other.clone();
                let told = world.send(sample.with_body(body.to_string()).proved()).await;
                assert!(told.code < 500, "{} {pointer} {other:.60}: {told:?}", source.name);
            }
        }
    }
}

/// The JSON pointers of all values in a value.
pub(super) fn pointers(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        pointers(value).into_iter().map(move |rest| format!("/{name}{rest}")).collect::<Vec<_>>()
    };
    let mut found = vec![String::new()];
    match value {
        Value::Object(members) => {
            found.extend(members.iter().flat_map(|(name, value)| below(name, value)));
        }
        Value::Array(values) => {
            let values = values.iter().enumerate();
            found.extend(values.flat_map(|(number, value)| below(&number.to_string(), value)));
        }
        _ => {}
    }
    found
}
