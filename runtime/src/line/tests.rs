//! Tests of the line: never too many at once, in order, and nobody forgotten whoever dies.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use apiserver::{Fault, Options, Server, When};
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::Notify;
use tower::ServiceExt;

use super::*;
use crate::cluster::Creation;
use crate::event::{Event, Identity};
use crate::project::values;

/// A ceiling for what takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster in memory that notes who takes slots, counts who runs, and lets callers die.
struct World {
    server: Server,
    project: Project,
    /// The builds that slots were taken for, in that order, by the versions of the slots.
    taken: Arc<Mutex<BTreeMap<u64, String>>>,
    /// The most builds that ran at once.
    most: Arc<Mutex<usize>>,
    hang: Arc<Mutex<Option<Hang>>>,
    hanging: Arc<Notify>,
}

/// After how many more calls every further one hangs, and whether that one is carried out.
#[derive(Clone, Copy)]
struct Hang {
    after: usize,
    carried_out: bool,
}

impl World {
    async fn new(limits: &str) -> World {
        let yaml = format!("project: acme/app\nsharedSecret: s\nlimits: {limits}");
        let (project, warnings) = values::read(&yaml, "default").unwrap();
        assert_eq!(warnings, [""; 0]);
        let world = World {
            server: Server::new(Options::default()).unwrap(),
            project,
            taken: Arc::default(),
            most: Arc::default(),
            hang: Arc::default(),
            hanging: Arc::default(),
        };
        let cluster = world.plain();
        cluster.create_service_account("default", "brigade-worker").await.unwrap();
        cluster.put_project(&world.project).await.unwrap();
        world
    }

    /// A cluster whose calls nobody watches.
    fn plain(&self) -> Cluster {
        Cluster::new(self.server.client(), "default")
    }

    fn cluster(&self) -> Cluster {
        let (router, plain) = (self.server.router(), self.plain());
        let (taken, most) = (Arc::clone(&self.taken), Arc::clone(&self.most));
        let (hang, hanging) = (Arc::clone(&self.hang), Arc::clone(&self.hanging));
        let project = self.project.clone();
        let luck = Arc::new(AtomicU64::new(1));
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (router, plain, project) = (router.clone(), plain.clone(), project.clone());
            let (taken, most) = (Arc::clone(&taken), Arc::clone(&most));
            let hanging = Arc::clone(&hanging);
            let reads = request.method() == Method::GET;
            let fate = hang.lock().unwrap().as_mut().map(|hang| {
                let now = hang.after == 0;
                hang.after = hang.after.saturating_sub(1);
                (now, hang.carried_out)
            });
            let delays = random(&luck);
            async move {
                // Others are quicker, now and then.
                for _ in 0..delays {
                    tokio::task::yield_now().await;
                }
                if let Some((true, false)) = fate {
                    hanging.notify_one();
                    std::future::pending::<()>().await;
                }
                let response = router.oneshot(request.map(Body::new)).await.unwrap();
                let response = note(response, &taken).await;
                if !reads {
                    let running = running(&plain, &project).await.len();
                    let mut most = most.lock().unwrap();
                    *most = (*most).max(running);
                }
                if let Some((true, true)) = fate {
                    hanging.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        Cluster::new(kube::Client::new(service, "default"), "default")
    }

    /// Lets something happen until a call hangs, as if its process died there; whether it lived.
    async fn until(&self, action: impl Future<Output = ()>, hang: Hang) -> bool {
        *self.hang.lock().unwrap() = Some(hang);
        let lived = tokio::select! {
            biased;
            () = self.hanging.notified() => false,
            ended = tokio::time::timeout(PATIENCE, action) => {
                ended.unwrap();
                true
            }
        };
        *self.hang.lock().unwrap() = None;
        lived
    }

    fn event(&self, number: usize) -> Build {
        let mut event = Event::new("test", "push", "{}");
        event.identity = Identity::Content(number.to_string().into());
        event.time = Some(Timestamp::from_millisecond(i64::try_from(number).unwrap() + 1).unwrap());
        event.revision.reference = format!("refs/heads/{}", number / 10);
        Build::new(&self.project, event, Timestamp::now())
    }

    async fn create(&self, number: usize) -> Build {
        let build = self.event(number);
        match self.plain().create_build(&build).await.unwrap() {
            Creation::Made(build) | Creation::Exists(build) => build,
        }
    }

    /// What a function does with an event.
    async fn arrive(&self, cluster: &Cluster, number: usize) {
        cluster.create_build(&self.event(number)).await.unwrap();
        next(cluster, &self.project, &Settings::default(), GRACE).await.unwrap();
    }

    /// What a worker does at its end.
    async fn end(&self, cluster: &Cluster, id: BuildId) {
        let phase = (annotation::PHASE.to_owned(), Phase::Succeeded.name().to_owned());
        cluster.note("default", id, &[phase].into()).await.unwrap();
        leave(cluster, &self.project, &Settings::default(), "default", id).await.unwrap();
    }

    /// Ends the worker of every build that has one, until so many have ended; but only when so many
    /// run `together`, or none is left to come.
    async fn work(&self, cluster: &Cluster, count: usize, together: usize) {
        let mut ends = futures::stream::FuturesUnordered::new();
        let mut changes = Box::pin(self.workers());
        let (mut seen, mut run, mut ended) = (BTreeSet::new(), Vec::new(), 0);
        while ended < count {
            tokio::select! {
                Some(()) = ends.next(), if !ends.is_empty() => ended += 1,
                Some(id) = changes.next() => {
                    if seen.insert(id) {
                        run.push(id);
                    }
                    if run.len() >= together || seen.len() == count {
                        ends.extend(run.drain(..).map(|id| self.end(cluster, id)));
                    }
                }
            }
        }
    }

    /// The builds of the worker pods that there are, and of those that come.
    fn workers(&self) -> impl Stream<Item = BuildId> + use<> {
        let pods = Api::<Pod>::namespaced(self.server.client(), "default");
        let workers = watcher(pods, watcher::Config::default().labels("component=build"));
        workers
            .applied_objects()
            .filter_map(async |pod| BuildId::parse(&pod.unwrap().name_any()).ok())
    }

    async fn running(&self) -> Vec<BuildId> {
        running(&self.plain(), &self.project).await
    }

    fn taken(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let taken = self.taken.lock().unwrap();
        taken.values().filter(|id| seen.insert((*id).clone())).cloned().collect()
    }

    async fn phases(&self) -> Vec<Option<Phase>> {
        self.plain().heads("default").await.unwrap().iter().map(Head::phase).collect()
    }
}

/// A number below 8, another one each time.
fn random(state: &AtomicU64) -> u64 {
    let next = |seed: u64| {
        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
    };
    state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| Some(next(seed))).unwrap() >> 61
}

/// The builds that have a worker and have not ended.
async fn running(cluster: &Cluster, project: &Project) -> Vec<BuildId> {
    // In this order, so that each of them ran when the second list was made.
    let pods = cluster.build_pods("default").await.unwrap();
    let open = cluster.open_builds(project).await.unwrap();
    let has_worker = |head: &&Head| {
        pods.iter().any(|pod| pod.metadata.name.as_deref() == Some(head.name().as_str()))
    };
    open.iter().filter(has_worker).map(|head| head.id).collect()
}

/// Notes which build a slot was taken for, if that is what was answered.
async fn note(response: Response<Body>, taken: &Mutex<BTreeMap<u64, String>>) -> Response<Body> {
    if response.status() != 201 {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let object: serde_json::Value = serde_json::from_slice(&body).unwrap();
    if object["type"] == "brigantine.dev/slot" {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        let build = object["metadata"]["labels"]["build"].as_str().unwrap().to_owned();
        taken.lock().unwrap().insert(version, build);
    }
    Response::from_parts(parts, body.into())
}

#[tokio::test]
async fn of_fifty_builds_that_arrive_at_once_never_more_than_two_run_and_all_do() {
    let world = World::new("{maxBuilds: 2}").await;
    let cluster = world.cluster();
    let arrivals = futures::future::join_all((0..50).map(|number| world.arrive(&cluster, number)));
    let all = async { tokio::join!(arrivals, world.work(&cluster, 50, 2)) };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert_eq!(*world.most.lock().unwrap(), 2);
    assert_eq!(world.phases().await, [Some(Phase::Succeeded); 50]);
    assert_eq!(world.taken().len(), 50);
    assert!(cluster.slots(&world.project).await.unwrap().is_empty());
}

#[tokio::test]
async fn builds_that_wait_are_started_in_their_order() {
    let world = World::new("{maxBuilds: 2}").await;
    let cluster = world.cluster();
    let mut places = BTreeMap::new();
    for number in [7, 3, 9, 1, 0, 2, 8, 6, 4, 5] {
        let build = world.create(number).await;
        let head = cluster.head("default", build.id).await.unwrap().unwrap();
        places.insert(head.place(), head.id.to_string());
    }
    next(&cluster, &world.project, &Settings::default(), GRACE).await.unwrap();
    tokio::time::timeout(PATIENCE, world.work(&cluster, 10, 2)).await.unwrap();
    assert_eq!(world.taken(), places.into_values().collect::<Vec<_>>());
    assert_eq!(*world.most.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_newcomer_does_not_overtake_those_that_wait() {
    let world = World::new("{maxBuilds: 1}").await;
    let cluster = world.cluster();
    let first = world.create(0).await;
    let second = world.create(1).await;
    // Nobody has started them yet; the third tends the line.
    world.arrive(&cluster, 2).await;
    assert_eq!(world.running().await, [first.id]);
    world.end(&cluster, first.id).await;
    assert_eq!(world.running().await, [second.id]);
}

#[tokio::test]
async fn whoever_dies_between_any_two_calls_nobody_is_forgotten() {
    for carried_out in [false, true] {
        let mut deaths = 0;
        for after in 0.. {
            let world = World::new("{maxBuilds: 1}").await;
            let (plain, cluster) = (world.plain(), world.cluster());
            let first = world.create(0).await;
            next(&plain, &world.project, &Settings::default(), GRACE).await.unwrap();
            let second = world.create(1).await;
            // The first ends and the third arrives, one after the other, in one process.
            let both = async {
                world.end(&cluster, first.id).await;
                world.arrive(&cluster, 2).await;
            };
            let lived = world.until(both, Hang { after, carried_out }).await;
            // The worker is started again, the delivery is made again, and the sweeper comes.
            world.end(&cluster, first.id).await;
            world.arrive(&cluster, 2).await;
            next(&cluster, &world.project, &Settings::default(), Duration::ZERO).await.unwrap();
            assert_eq!(world.running().await, [second.id], "{after} {carried_out}");
            tokio::time::timeout(PATIENCE, world.work(&cluster, 3, 1)).await.unwrap();
            assert_eq!(world.phases().await, [Some(Phase::Succeeded); 3], "{after}");
            assert_eq!(*world.most.lock().unwrap(), 1, "{after} {carried_out}");
            assert_eq!(world.taken().len(), 2, "{after}");
            if lived {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 10, "{deaths}");
    }
}

#[tokio::test]
async fn two_slots_of_one_build_become_one() {
    let world = World::new("{maxBuilds: 3}").await;
    let cluster = world.cluster();
    let build = world.create(0).await;
    let head = cluster.head("default", build.id).await.unwrap().unwrap();
    for number in [0, 2] {
        assert!(cluster.take_slot(&world.project, number, &head, "somebody").await.unwrap());
        assert!(!cluster.take_slot(&world.project, number, &head, "another").await.unwrap());
    }
    let line = tend(&cluster, &world.project, GRACE).await.unwrap();
    assert!(line.start.is_empty(), "who took it starts it");
    let numbers = cluster.slots(&world.project).await.unwrap();
    assert_eq!(numbers.iter().map(|slot| slot.number).collect::<Vec<_>>(), [0]);
    let line = tend(&cluster, &world.project, Duration::ZERO).await.unwrap();
    assert_eq!(line.start.len(), 1, "who took it is dead");
}

#[tokio::test]
async fn what_waits_is_cancelled_at_once_and_the_line_goes_on() {
    let world = World::new("{maxBuilds: 1}").await;
    let cluster = world.cluster();
    let builds = [world.create(0).await, world.create(1).await, world.create(2).await];
    next(&cluster, &world.project, &Settings::default(), GRACE).await.unwrap();
    let waiting = cluster.build("default", builds[1].id).await.unwrap().unwrap();
    assert_eq!(waiting.phase(), Some(Phase::Waiting));
    assert_eq!(
        waiting.annotations[annotation::WAITING],
        "until fewer than 1 builds of the project run"
    );
    let cancelled = cluster.cancel("default", builds[1].id, "not needed").await.unwrap();
    assert_eq!(cancelled, Cancelled::Ended);
    // Its worker pod has not begun to run, so it is ended here too.
    assert_eq!(cluster.cancel("default", builds[0].id, "").await.unwrap(), Cancelled::Ended);
    assert!(cluster.slots(&world.project).await.unwrap().is_empty());
    next(&cluster, &world.project, &Settings::default(), GRACE).await.unwrap();
    assert_eq!(world.running().await, [builds[2].id]);
    let missing = BuildId::parse("00000000000000000000000000").unwrap();
    assert_eq!(cluster.cancel("default", missing, "").await.unwrap(), Cancelled::Missing);
}

#[tokio::test]
async fn the_newest_build_of_a_ref_supersedes_the_older_ones() {
    for limits in ["{supersede: true}", "{supersede: true, maxBuilds: 1}"] {
        let world = World::new(limits).await;
        let cluster = world.cluster();
        let older = [world.create(0).await, world.create(1).await];
        let other = world.create(10).await;
        let newest = world.create(2).await;
        let line = tend(&cluster, &world.project, GRACE).await.unwrap();
        for build in older {
            let build = cluster.build("default", build.id).await.unwrap().unwrap();
            assert_eq!(build.phase(), Some(Phase::Cancelled), "{limits}");
            let reason = format!("the build was cancelled: superseded by {}", newest.id);
            assert_eq!(build.annotations[annotation::REASON], reason);
        }
        assert_eq!(line.open, [other.id, newest.id].into(), "{limits}");
    }
}

#[tokio::test]
async fn a_build_whose_event_is_delivered_late_supersedes_no_newer_one() {
    let world = World::new("{supersede: true}").await;
    for number in [0, 1] {
        world.create(number).await;
    }
    let mut heads = world.plain().open_builds(&world.project).await.unwrap();
    let [first, second] = [heads[0].id, heads[1].id];
    // The first event came an hour after the second.
    heads[0].created = heads[1].created + Duration::from_secs(3600);
    assert_eq!(newest(&heads), [("push refs/heads/0", second)].into());
    // Nobody knows when the second event happened.
    heads[1].id = BuildId::parse("00000000000000000000000001").unwrap();
    assert_eq!(newest(&heads), [("push refs/heads/0", first)].into());
}

#[tokio::test]
async fn a_limit_that_is_lifted_lets_all_run() {
    let mut world = World::new("{maxBuilds: 1}").await;
    let cluster = world.cluster();
    for number in 0..3 {
        world.arrive(&cluster, number).await;
    }
    assert_eq!(world.running().await.len(), 1);
    world.project.limits.builds = None;
    next(&cluster, &world.project, &Settings::default(), GRACE).await.unwrap();
    assert_eq!(world.running().await.len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_lost_when_a_slot_is_taken_is_no_refusal() {
    let world = World::new("{maxBuilds: 1}").await;
    let cluster = world.cluster();
    let build = world.create(0).await;
    let lost = Fault { when: When::After, ..Fault::next("POST", "/secrets", 504) };
    world.server.faults().lay(lost);
    let started = next(&cluster, &world.project, &Settings::default(), GRACE).await.unwrap();
    assert_eq!(started, [build.id]);
}

#[tokio::test]
async fn faults_of_the_cluster_forget_nobody() {
    let luck = AtomicU64::new(7);
    for round in 0..10 {
        let world = World::new("{maxBuilds: 2}").await;
        let cluster = world.cluster();
        for _ in 0..6 {
            let code = [429, 500, 503, 504][usize::try_from(random(&luck) % 4).unwrap()];
            let skip = u32::try_from(random(&luck) * 8 + random(&luck)).unwrap();
            let when = if random(&luck) < 4 { When::Before } else { When::After };
            let (method, path) = (String::new(), String::new());
            world.server.faults().lay(Fault { method, path, skip, times: 1, code, when });
        }
        let arrivals = async {
            for number in 0..8 {
                world.arrive(&cluster, number).await;
            }
        };
        let all = async { tokio::join!(arrivals, world.work(&cluster, 8, 1)) };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
        assert_eq!(world.phases().await, [Some(Phase::Succeeded); 8], "{round}");
        assert!(*world.most.lock().unwrap() <= 2, "{round}");
    }
}
