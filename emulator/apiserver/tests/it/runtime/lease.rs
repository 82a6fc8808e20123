//! Election of a leader by a Lease: two candidates, one dies.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{server, soon};

const NAME: &str = "leader";
const DURATION: SignedDuration = SignedDuration::from_secs(1);

/// Takes the lease when nobody has it, and renews it while it lives.
fn candidate(api: Api<Lease>, name: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Who loses a race is told 409, and tries again.
            let _ = campaign(&api, name).await;
        }
    })
}

async fn campaign(api: &Api<Lease>, name: &str) -> Result<(), kube::Error> {
    let now = Timestamp::now();
    let Some(mut lease) = api.get_opt(NAME).await? else {
        let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(held(name, now, 0)) };
        api.create(&PostParams::default(), &lease).await?;
        return Ok(());
    };
    let spec = lease.spec.take().unwrap_or_default();
    let renewed = spec.renew_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let transitions = spec.lease_transitions.unwrap_or_default();
    if spec.holder_identity.as_deref() == Some(name) {
        lease.spec = Some(LeaseSpec { renew_time: Some(MicroTime(now)), ..spec });
    } else if now > renewed.saturating_add(DURATION).unwrap_or(Timestamp::MAX) {
        lease.spec = Some(held(name, now, transitions + 1));
    } else {
        return Ok(());
    }
    api.replace(NAME, &PostParams::default(), &lease).await?;
    Ok(())
}

fn held(name: &str, now: Timestamp, transitions: i32) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

fn holder(lease: Option<&Lease>) -> Option<String> {
    lease?.spec.as_ref()?.holder_identity.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_candidate_leads_and_when_it_dies_the_other_does() {
    let server = server();
    let api: Api<Lease> = Api::default_namespaced(server.client());
    let first = candidate(api.clone(), "first");
    let led =
        |name: &'static str| move |lease: Option<&Lease>| holder(lease).as_deref() == Some(name);
    soon("the first leader", await_condition(api.clone(), NAME, led("first"))).await.unwrap();
    let second = candidate(api.clone(), "second");

    // The leader renews for longer than the lease lasts, and is not pushed aside.
    let taken = api.get(NAME).await.unwrap().spec.unwrap().acquire_time;
    let renewed = move |lease: Option<&Lease>| {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        let times = spec
            .and_then(|spec| Some((spec.acquire_time.as_ref()?.0, spec.renew_time.as_ref()?.0)));
        times.is_some_and(|(taken, renewed)| renewed.duration_since(taken) > DURATION * 2)
    };
    let lease = soon("renewals", await_condition(api.clone(), NAME, renewed)).await.unwrap();
    assert_eq!(holder(lease.as_ref()).as_deref(), Some("first"));
    assert_eq!(lease.unwrap().spec.unwrap().acquire_time, taken);

    first.abort();
    let lease = soon("another leader", await_condition(api, NAME, led("second"))).await.unwrap();
    assert_eq!(lease.unwrap().spec.unwrap().lease_transitions, Some(1));
    second.abort();
}
