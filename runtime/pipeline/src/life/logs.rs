//! The logs of jobs, read in bounded memory.

use futures::AsyncReadExt;
use futures::io::AsyncBufRead;
use runtime::cluster::Cluster;
use runtime::event::LogLevel;
use runtime::job::CONTAINER;

use crate::mask::Mask;
use crate::output::Printer;

/// What a line is cut at.
const LINE: usize = 16 << 10;

/// The end of a job's log, at most so many bytes.
pub(super) async fn end(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    limit: usize,
) -> Result<String, String> {
    let failed = |error: &dyn std::error::Error| {
        format!("the log of {namespace}/{pod} cannot be read: {}", super::chain(error))
    };
    let log =
        cluster.pod_log(namespace, pod, CONTAINER, false).await.map_err(|error| failed(&error))?;
    last(log, limit).await.map_err(|error| failed(&error))
}

async fn last(log: impl AsyncBufRead, limit: usize) -> std::io::Result<String> {
    let mut log = std::pin::pin!(log);
    let mut kept: Vec<u8> = Vec::new();
    let mut part = vec![0; 32 << 10];
    loop {
        let count = log.read(&mut part).await?;
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&part[..count]);
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
    if kept.len() > limit {
        kept.drain(..kept.len() - limit);
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// Shows a job's log in the worker's, line by line, until it ends.
pub(super) async fn follow(cluster: &Cluster, namespace: &str, pod: &str, printer: &Printer) {
    let show = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let text = format!("{namespace}/{pod} logs {}", line.trim_end_matches('\r'));
        printer.worker(LogLevel::Log, "k8s", &text);
    };
    let log = match cluster.pod_log(namespace, pod, CONTAINER, true).await {
        Ok(log) => log,
        Err(error) => {
            let text =
                format!("{namespace}/{pod} logs cannot be followed: {}", super::chain(&error));
            printer.worker(LogLevel::Warn, "k8s", &text);
            return;
        }
    };
    if let Err(error) = lines(log, &printer.mask(), show).await {
        let text = format!("{namespace}/{pod} logs end early: {}", super::chain(&error));
        printer.worker(LogLevel::Warn, "k8s", &text);
    }
}

async fn lines(log: impl AsyncBufRead, mask: &Mask, show: impl Fn(&[u8])) -> std::io::Result<()> {
    // A line that is cut is cut where no secret is, which is seen only with what follows.
    let most = LINE + mask.longest();
    let mut log = std::pin::pin!(log);
    let mut line: Vec<u8> = Vec::new();
    let mut part = vec![0; 8 << 10];
    loop {
        let count = log.read(&mut part).await?;
        if count == 0 {
            break;
        }
        for byte in &part[..count] {
            if *byte == b'\n' {
                show(&line);
                line.clear();
            } else if line.len() == most {
                let end = mask.cut(&line, LINE);
                show(&line[..end]);
                line.drain(..end);
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        show(&line);
    }
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_long_log_is_kept() {
    let log: Vec<u8> =
        (0..200_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let kept = last(futures::io::Cursor::new(log), 1000).await.unwrap();
    assert_eq!(kept.len(), 1000);
    assert!(kept.ends_with("199998\n199999\n"), "{kept}");
}

#[tokio::test]
async fn lines_are_shown_one_by_one_and_cut_when_they_do_not_end() {
    let log = format!("one\ntwo\r\n{}\nlast", "x".repeat(LINE + 5));
    let shown = std::cell::RefCell::new(Vec::new());
    let mask = Mask::default();
    lines(futures::io::Cursor::new(log), &mask, |line| shown.borrow_mut().push(line.len()))
        .await
        .unwrap();
    assert_eq!(*shown.borrow(), [3, 4, LINE, 5, 4]);
}

#[tokio::test]
async fn no_secret_is_cut_where_a_line_is() {
    let project = crate::engine::tests::project();
    let mask = Mask::of(&project);
    for at in LINE - 20..LINE + 20 {
        let log = format!("{}correct horse{}", "x".repeat(at), "y".repeat(LINE));
        let shown = std::cell::RefCell::new(String::new());
        lines(futures::io::Cursor::new(log), &mask, |line| {
            let line = String::from_utf8_lossy(line);
            *shown.borrow_mut() += &mask.apply(&line);
        })
        .await
        .unwrap();
        assert_eq!(*shown.borrow(), format!("{}***{}", "x".repeat(at), "y".repeat(LINE)));
    }
}
