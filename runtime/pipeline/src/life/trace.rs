//! Tells the trace of a build what became of its jobs.

use jiff::Timestamp;
use runtime::journal::End;
use runtime::telemetry::{Kind, Span};
use runtime::trace::TraceContext;

use super::Life;

impl Life<'_> {
    /// Tells a span for each job that has ended, from when the script ran it to when it ended: the
    /// one that its pod was told of.
    pub(crate) fn trace(&self) {
        let build = &self.context.build;
        let Some(parent) = TraceContext::of_build(build).filter(|place| place.sampled) else {
            return;
        };
        for id in 0..self.jobs.count() {
            let Some(job) = self.jobs.job(id).filter(|_| self.jobs.has_ended(id)) else { continue };
            let End { pod, succeeded, message, exit_code, started, finished, .. } =
                self.jobs.end(id);
            let ran = Timestamp::from_millisecond(self.jobs.at(id)).unwrap_or_default();
            let ended = finished.unwrap_or_else(Timestamp::now);
            let Some(place) = TraceContext::of_pod(build, &job.pod_name(build)) else { continue };
            let mut span =
                Span::of(&format!("job {}", job.name), Kind::Producer, place, Some(parent));
            span.was(ran.min(started.unwrap_or(ran)), ended);
            span.set("cicd.pipeline.run.id", build.id.to_string());
            span.set("cicd.pipeline.task.name", job.name.as_str());
            span.set("cicd.pipeline.task.run.id", pod.as_str());
            let result = if succeeded { "success" } else { "failure" };
            span.set("cicd.pipeline.task.run.result", result);
            span.set("k8s.pod.name", pod);
            span.set("k8s.namespace.name", build.namespace.as_str());
            span.set("container.image.name", job.image.as_str());
            if let Some(code) = exit_code {
                span.set("process.exit.code", i64::from(code));
            }
            if !succeeded {
                span.fail(message.unwrap_or_default());
            }
        }
    }
}
