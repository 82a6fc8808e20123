//! The page, as Prometheus reads it, and the lines, as CloudWatch does.

use std::collections::BTreeMap;

use super::*;

/// The samples of a page, by name and labels; what is no OpenMetrics fails.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let (page, end) = page.split_at(page.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            assert_eq!(families.insert(name, kind), None, "{name} is there twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let is_of = |(family, kind): (&&str, &&str)| {
            let rest = name.strip_prefix(*family);
            match *kind {
                "counter" => rest == Some("_total"),
                "info" => rest == Some("_info"),
                "gauge" => rest == Some(""),
                "histogram" => matches!(rest, Some("_bucket" | "_count" | "_sum")),
                other => panic!("{other}"),
            }
        };
        assert!(families.iter().any(is_of), "{name} has no type");
        assert_eq!(samples.insert(series.to_owned(), value.parse().unwrap()), None, "{series}");
    }
    samples
}

#[test]
fn the_page_is_openmetrics_and_counts() {
    delivered("tested", "made", false, Duration::from_millis(3));
    delivered("tested", "refused", true, Duration::from_millis(30));
    requested("create Pod one", Some(201), Duration::from_millis(2));
    requested("list the jobs of a build", None, Duration::from_secs(3));
    let samples = samples(&page());
    let of = |series: &str| samples.get(series).copied().unwrap_or_else(|| panic!("{series}"));
    assert_eq!(of(r#"brigantine_deliveries_total{function="tested",outcome="made"}"#), 1.0);
    assert_eq!(of(r#"brigantine_signature_failures_total{function="tested"}"#), 1.0);
    assert_eq!(of(r#"brigantine_delivery_duration_seconds_count{function="tested"}"#), 2.0);
    let within = r#"brigantine_delivery_duration_seconds_bucket{le="0.005",function="tested"}"#;
    assert_eq!(of(within), 1.0);
    let pods = r#"brigantine_kubernetes_requests_total{verb="create",resource="pods",code="201"}"#;
    assert_eq!(of(pods), 1.0);
    let unanswered =
        r#"brigantine_kubernetes_requests_total{verb="list",resource="secrets",code="0"}"#;
    assert_eq!(of(unanswered), 1.0);
    assert!(of("process_resident_memory_bytes") > 1e6);
    assert!(of("process_open_fds") > 2.0);
    assert!(of("process_start_time_seconds") > 1.5e9);
    assert!(samples.keys().any(|name| name.starts_with("brigantine_build_info{version=")));
}

#[test]
fn every_metric_is_told_of_in_the_readme() {
    let readme = include_str!("../../../../functions/README.md");
    for line in page().lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(
            readme.contains(&format!("`{name}{suffix}")),
            "{name}{suffix} is not in the README"
        );
    }
}

#[test]
fn a_line_is_a_document_of_the_embedded_metric_format() {
    let metrics = Metrics::new();
    metrics.builds.counter.inc();
    metrics.asked.counter.inc_by(3);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let line = metrics.embedded("github", "made", false, Duration::from_millis(7), now);
    assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_123_u64);
    let mut dimensions = BTreeMap::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        assert!(!directive["Namespace"].as_str().unwrap().is_empty());
        for set in directive["Dimensions"].as_array().unwrap() {
            for dimension in set.as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
            }
        }
        let listed = directive["Metrics"].as_array().unwrap();
        assert!(listed.len() <= 100);
        for metric in listed {
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{metric}");
            assert!(["Seconds", "Count"].contains(&metric["Unit"].as_str().unwrap()), "{metric}");
            let sets = directive["Dimensions"].clone();
            assert_eq!(dimensions.insert(name, sets), None, "{name} is there twice");
        }
    }
    // What CloudWatch bills are the values of these, times the metrics.
    assert_eq!(dimensions["brigantine_deliveries_total"], json!([["function", "outcome"]]));
    assert_eq!(dimensions["brigantine_kubernetes_requests_total"], json!([[]]));
    assert_eq!(dimensions.len(), 7);
    assert_eq!(line["brigantine_builds_total"], 1);
    assert_eq!(line["brigantine_kubernetes_requests_total"], 3);
    // The next line tells what comes after.
    let next = metrics.embedded("github", "duplicate", false, Duration::ZERO, now);
    assert_eq!(next["brigantine_builds_total"], 0);
}

#[test]
fn no_name_of_an_object_is_a_label() {
    assert_eq!(labels("get Secret brigade-0123"), ("get", "secrets"));
    assert_eq!(labels("read the log of one-01hf"), ("get", "pods/log"));
    assert_eq!(labels("patch Secret x"), ("patch", "secrets"));
    assert_eq!(labels("hunter2 hunter2"), ("other", "other"));
}
