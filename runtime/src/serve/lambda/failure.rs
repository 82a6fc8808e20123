//! Tells Lambda why the program cannot begin, so that its log and its metrics say it.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long Lambda is waited for; then the program ends all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Posts an error to `/runtime/init/error`. If that fails, the program's end says it.
pub(in crate::serve) async fn failed(address: &str, error: &str) {
    if !matches!(tokio::time::timeout(PATIENCE, post(address, error)).await, Ok(Ok(()))) {
        tracing::warn!("Lambda could not be told why the program cannot begin");
    }
}

/// One request by hand: there may be no settings to make a client of.
async fn post(address: &str, error: &str) -> std::io::Result<()> {
    let kind = "Brigantine.InitError";
    let body = json!({"errorMessage": error, "errorType": kind, "stackTrace": []}).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/vnd.aws.lambda.error+json\r\n\
         Lambda-Runtime-Function-Error-Type: {kind}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    // It has been heard when there is an answer, whatever it is.
    stream.read_u8().await.map(drop)
}
