//! The core's own latency tracer on the built plugin: what the element reports against what it takes.

use std::process::Command;

use casm_tests::machine::alone;
use casm_tests::plugin_folder;

/// The number of nanoseconds in `field` of a tracer's record, in ms.
fn milliseconds(record: &str, field: &str) -> Option<f64> {
    let (_, rest) = record.split_once(&format!("{field}=(guint64)"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse::<f64>()
        .ok()
        .map(|nanoseconds| nanoseconds / 1e6)
}

/// Last reported latency, and the 95th percentile of those measured among the last 64. `None` if the run, which takes
/// seven seconds, does not end: GStreamer 1.26.2's tracer locks up when a pipeline starts or ends, one thread in its hook of
/// an event, the other sorting the pipeline's elements, both at the lock of a pad. So it does with `identity` in our place.
fn trace(properties: &str) -> Option<(f64, f64)> {
    let description = format!(
        "videotestsrc is-live=true num-buffers=70 ! video/x-raw,width=320,height=180,framerate=10/1 \
         ! casmesaliency name=c threads=1 device=cpu {properties} ! queue ! fakesink sync=true"
    );
    let output = Command::new("timeout")
        .args(["--signal=KILL", "30", "gst-launch-1.0"])
        .args(description.split_whitespace())
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("GST_TRACERS", "latency(flags=element+pipeline+reported)")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .output()
        .expect("timeout and gst-launch-1.0 are installed");
    // Killed itself, or by the signal of its own.
    if matches!(output.status.code(), None | Some(124 | 137)) {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let ours = |kind: &str, field: &str| -> Vec<f64> {
        let records = text
            .lines()
            .filter(|line| line.contains(kind) && line.contains("element=(string)c,"));
        records
            .filter_map(|record| milliseconds(record, field))
            .collect()
    };
    let reported = ours("element-reported-latency,", "min");
    let measured = ours("element-latency,", "time");
    assert_eq!(measured.len(), 70, "one of each frame");
    let mut last = measured[6..].to_vec();
    last.sort_unstable_by(f64::total_cmp);
    let reported = reported.last().copied().expect("the element reports");
    Some((reported, last[last.len() * 95 / 100]))
}

#[test]
fn the_tracer_measures_what_is_reported() {
    let _machine = alone();
    for properties in ["", "async-depth=4"] {
        // What else the machine does may change in the seconds that a run takes: one of three is quiet enough.
        let mut runs = (0..3).filter_map(|_| trace(properties)).peekable();
        if runs.peek().is_none() {
            assert_eq!(gst::version().1, 26, "only 1.26's tracer is known to hang");
            println!("skipped: the tracer of {} hangs", gst::version_string());
            continue;
        }
        let mut seen = Vec::new();
        let agrees = runs.any(|(reported, measured)| {
            seen.push((reported, measured));
            (reported - measured).abs() <= 0.2 * measured
        });
        println!("{properties:?}: reported and measured {seen:.1?} ms");
        assert!(agrees, "{properties}: {seen:?}");
    }
}
