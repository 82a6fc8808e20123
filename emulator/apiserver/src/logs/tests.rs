//! Tests of container logs.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::{LogError, LogOptions, LogWriter, Logs, Output, segments};

const UID: &str = "6d0c7a2e-7f4e-4b7c-9a52-0d9b3d3ad001";

fn logs() -> (tempfile::TempDir, Logs) {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::new(folder.path().join("logs"));
    (folder, logs)
}

fn say(writer: &mut LogWriter, text: &str) {
    writer.write(Output::Stdout, text.as_bytes()).unwrap();
}

async fn read(logs: &Logs, options: LogOptions) -> String {
    let stream = logs.read(UID, "main", &options).unwrap();
    let chunks: Vec<_> = timeout(Duration::from_secs(60), stream.try_collect())
        .await
        .expect("the log ends")
        .unwrap();
    String::from_utf8(chunks.concat()).unwrap()
}

fn tail(lines: u64) -> LogOptions {
    LogOptions { tail_lines: Some(lines), ..LogOptions::default() }
}

#[tokio::test]
async fn lines_of_both_outputs_are_read_in_their_order() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "one\ntw");
    writer.write(Output::Stderr, b"error\n").unwrap();
    say(&mut writer, "o\n\n");
    assert_eq!(read(&logs, LogOptions::default()).await, "one\nerror\ntwo\n\n");
}

#[tokio::test]
async fn the_file_has_the_format_of_the_runtime_interface() {
    let (folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "line\nno newline");
    drop(writer);
    let path = folder.path().join("logs").join(UID).join("main/0.0.log");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!([lines[0].1, lines[1].1], ["stdout F line", "stdout P no newline"]);
    assert!(lines[0].0.parse::<jiff::Timestamp>().is_ok() && lines[0].0.len() == 30);
}

#[tokio::test]
async fn a_last_line_without_newline_keeps_having_none() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "a\nb");
    assert_eq!(read(&logs, LogOptions::default()).await, "a\n");
    drop(writer);
    assert_eq!(read(&logs, LogOptions::default()).await, "a\nb");
    assert_eq!(read(&logs, tail(1)).await, "b");
}

#[tokio::test]
async fn long_lines_are_stored_in_parts_and_read_whole() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    let long = "x".repeat(100_000);
    let exact = "y".repeat(2 * super::record::MAX_TEXT);
    for part in format!("{long}\n{exact}\nend\n").as_bytes().chunks(7_001) {
        writer.write(Output::Stdout, part).unwrap();
    }
    assert_eq!(read(&logs, LogOptions::default()).await, format!("{long}\n{exact}\nend\n"));
    assert_eq!(read(&logs, tail(2)).await, format!("{exact}\nend\n"));
    let stamped = read(&logs, LogOptions { timestamps: true, ..LogOptions::default() }).await;
    assert_eq!(stamped.lines().count(), 3, "parts get no time of their own");
    assert!(stamped.lines().all(|line| &line[29..31] == "Z "));
}

#[tokio::test]
async fn tail_counts_lines_from_the_end() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    let all: Vec<_> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    say(&mut writer, &all.concat());
    for wanted in [0, 1, 2, 1_000, 19_999, 20_000, 50_000] {
        let expected = all[all.len().saturating_sub(wanted as usize)..].concat();
        assert_eq!(read(&logs, tail(wanted)).await, expected, "tail {wanted}");
    }
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "old\n");
    let since = jiff::Timestamp::now();
    say(&mut writer, "new\n");
    let options = LogOptions { since: Some(since), ..LogOptions::default() };
    assert_eq!(read(&logs, options).await, "new\n");
}

#[tokio::test]
async fn a_byte_limit_ends_inside_a_line() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "0123456789\n");
    let options = LogOptions { limit_bytes: Some(4), follow: true, ..LogOptions::default() };
    assert_eq!(read(&logs, options).await, "0123");
}

#[tokio::test]
async fn previous_is_the_run_before_the_newest() {
    let (_folder, logs) = logs();
    let previous = || LogOptions { previous: true, ..LogOptions::default() };
    for run in 0..3 {
        let mut writer = logs.writer(UID, "main", run).unwrap();
        say(&mut writer, &format!("run {run}\n"));
        if run == 0 {
            let missing = logs.read(UID, "main", &previous()).err();
            assert!(matches!(missing, Some(LogError::NotFound(name)) if name == "main"));
        }
    }
    assert_eq!(read(&logs, LogOptions::default()).await, "run 2\n");
    assert_eq!(read(&logs, previous()).await, "run 1\n");
    logs.await_restart(UID, "main");
    assert_eq!(read(&logs, LogOptions::default()).await, "run 2\n");
    assert_eq!(read(&logs, previous()).await, "run 2\n", "between two runs the last one is both");
    let _writer = logs.writer(UID, "main", 3).unwrap();
    assert_eq!(read(&logs, previous()).await, "run 2\n");
}

#[tokio::test]
async fn a_container_that_never_ran_has_no_log() {
    let (_folder, logs) = logs();
    for (uid, name) in [(UID, "main"), ("..", "main"), (UID, "../../etc"), ("", "")] {
        let result = logs.read(uid, name, &LogOptions::default());
        assert!(matches!(result.err(), Some(LogError::NotFound(_))));
    }
    assert!(logs.writer("../x", "main", 0).is_err());
}

#[tokio::test]
async fn following_sees_lines_as_they_come_and_ends_with_the_writer() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "before\n");
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = Box::pin(logs.read(UID, "main", &follow).unwrap());
    assert_eq!(stream.next().await.unwrap().unwrap(), "before\n");
    for number in 0..100 {
        say(&mut writer, &format!("{number}\n"));
        let chunk = timeout(Duration::from_secs(60), stream.next()).await.expect("woken");
        assert_eq!(chunk.unwrap().unwrap(), format!("{number}\n"));
    }
    let end = tokio::spawn(async move { stream.next().await });
    drop(writer);
    assert!(timeout(Duration::from_secs(60), end).await.expect("ends").unwrap().is_none());
}

#[tokio::test]
async fn following_ends_when_the_pod_is_removed() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    say(&mut writer, "x\n");
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = Box::pin(logs.read(UID, "main", &follow).unwrap());
    assert_eq!(stream.next().await.unwrap().unwrap(), "x\n");
    logs.remove(UID).unwrap();
    logs.remove(UID).unwrap();
    drop(writer);
    assert!(timeout(Duration::from_secs(60), stream.next()).await.expect("ends").is_none());
    assert!(matches!(logs.read(UID, "main", &follow).err(), Some(LogError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_followers_of_a_fast_writer_all_get_every_line() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let followers: Vec<_> = (0..10)
        .map(|_| {
            let (logs, follow) = (logs.clone(), follow.clone());
            tokio::spawn(async move { read(&logs, follow).await })
        })
        .collect();
    let expected: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
    for part in expected.as_bytes().chunks(61) {
        writer.write(Output::Stdout, part).unwrap();
        tokio::task::yield_now().await;
    }
    drop(writer);
    for follower in followers {
        assert!(follower.await.unwrap() == expected);
    }
}

#[tokio::test]
async fn a_log_at_its_limit_loses_its_beginning_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::with_segment_bytes(folder.path().to_owned(), 1_000);
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    for number in 0..1_000 {
        say(&mut writer, &format!("line {number}\n"));
    }
    let kept = segments(&folder.path().join(UID).join("main")).unwrap();
    assert_eq!(kept.len() as u64, super::SEGMENTS);
    let text = read(&logs, LogOptions::default()).await;
    assert!(text.starts_with("[older lines are gone: the log has reached its size limit]\nline "));
    assert!(text.ends_with("line 998\nline 999\n"));
    assert_eq!(read(&logs, tail(60)).await.lines().next(), Some("line 940"), "across segments");
    drop(writer);
    assert_eq!(read(&logs, LogOptions::default()).await, text, "also when nobody writes any more");
}

#[tokio::test]
async fn a_hundred_megabytes_are_streamed_in_small_pieces() {
    let (_folder, logs) = logs();
    let mut writer = logs.writer(UID, "main", 0).unwrap();
    let block = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n".repeat(1_024);
    for _ in 0..1_600 {
        say(&mut writer, &block);
    }
    let mut stream = Box::pin(logs.read(UID, "main", &LogOptions::default()).unwrap());
    let mut total = 0;
    while let Some(chunk) = stream.try_next().await.unwrap() {
        assert!(chunk.len() <= 64 * 1024);
        total += chunk.len();
    }
    assert_eq!(total, 1_600 * block.len());
    assert_eq!(read(&logs, tail(3)).await.len(), 3 * 64);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_is_written_is_read(
        chunks in proptest::collection::vec("([a-c\n]{0,40}|x{15000,40000}|\n{0,3})", 0..12),
        tail_lines in 0_u64..6,
        segment_bytes in 100_000_u64..400_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let logs = Logs::with_segment_bytes(folder.path().to_owned(), segment_bytes);
            let mut writer = logs.writer(UID, "main", 0).unwrap();
            for chunk in &chunks {
                say(&mut writer, chunk);
            }
            drop(writer);
            let text = chunks.concat();
            assert!(read(&logs, LogOptions::default()).await == text);
            let lines: Vec<_> = text.split_inclusive('\n').collect();
            let expected = lines[lines.len().saturating_sub(tail_lines as usize)..].concat();
            assert!(read(&logs, tail(tail_lines)).await == expected);
        });
    }
}
