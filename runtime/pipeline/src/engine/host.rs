//! The host object: everything that a script can do, a function each.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rquickjs::context::EvalOptions;
use rquickjs::function::Opt;
use rquickjs::{Ctx, Exception, Function, Object, Result, TypedArray};
use runtime::event::LogLevel;
use runtime::job::Job;

use super::resolve::Asked;
use super::sources::Kind;
use super::{Command, Shared, Want, builtins, bytes, modules, resolve};
use crate::output::Stream;
use crate::script::BUILT_IN;
use crate::view;

/// What a CommonJS file begins with, on its first line.
const WRAPPER: &str = "(function (exports, require, module, __filename, __dirname) {";

/// What a job may take: no Secret holds more.
const LARGEST_JOB: usize = 1 << 20;

/// What all jobs of a build may take.
const LARGEST_JOBS: usize = 32 << 20;

/// Makes the globals of a script, and keeps the function that drives it.
pub(super) fn install<'js>(ctx: &Ctx<'js>, shared: &Arc<Shared>) -> Result<()> {
    let host = Object::new(ctx.clone())?;
    values(&host, shared)?;
    printing(ctx, &host, shared)?;
    jobs(ctx, &host, shared)?;
    timers(ctx, &host, shared)?;
    sources(ctx, &host, shared)?;
    repository(ctx, &host, shared)?;
    content(ctx, &host, shared)?;
    chance(ctx, &host, shared)?;
    let boot: Option<Function<'js>> = builtins::evaluate(ctx, "brigantine:boot.js")?;
    let boot = boot.ok_or(rquickjs::Error::Unknown)?;
    let dispatch: Function<'js> = boot.call((host,))?;
    // Nothing was stored before, and nothing is being read.
    let _stored = ctx.store_userdata(dispatch);
    Ok(())
}

/// Compiles a CommonJS file to its function.
pub(super) fn compile_text<'js, V: rquickjs::FromJs<'js>>(
    ctx: &Ctx<'js>,
    name: &str,
    text: &str,
) -> Result<V> {
    // A line that is for a shell.
    let comment = if text.starts_with("#!") { "//" } else { "" };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\0') {
        return Err(Exception::throw_syntax(ctx, &format!("{name} is no text: it contains a NUL")));
    }
    let head = format!("{WRAPPER}{comment}");
    super::dispatch::<()>(ctx, ("wrapped", name, head.len()))?;
    evaluate(ctx, &format!("{head}{text}\n}})"), name)
}

fn evaluate<'js, V: rquickjs::FromJs<'js>>(ctx: &Ctx<'js>, text: &str, name: &str) -> Result<V> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(name.to_owned());
    ctx.eval_with_options(text, options)
}

fn values(host: &Object<'_>, shared: &Shared) -> Result<()> {
    let root = shared.files.root();
    let workspace = if shared.files.has_repository() { root.clone() } else { String::new() };
    let environment = view::environment(&shared.project, &shared.build, &shared.policy, &workspace);
    let seed: Vec<u32> = shared
        .random(16)
        .chunks_exact(4)
        .map(|part| part.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)))
        .collect();
    host.set("context", view::context(&shared.project, &shared.build, &shared.policy))?;
    host.set("environment", environment)?;
    host.set("workspace", workspace)?;
    host.set("root", root)?;
    host.set("builtins", BUILT_IN.to_vec())?;
    host.set("script", shared.script.as_str())?;
    host.set("seed", seed)?;
    host.set("arch", if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" })
}

fn printing<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    // A script that has called `process.exit` may run on for a moment, but says nothing more.
    let print = move |level: String, text: String| {
        if own.guard.stop().is_none() {
            own.printer.console(&level, &text);
        }
    };
    host.set("print", Function::new(ctx.clone(), print)?)?;
    let own = Arc::clone(shared);
    let write = move |stream: u32, text: String| {
        if own.guard.stop().is_none() {
            own.printer.write(if stream == 2 { Stream::Err } else { Stream::Out }, &text);
        }
    };
    host.set("write", Function::new(ctx.clone(), write)?)?;
    let own = Arc::clone(shared);
    let log = move |level: String, part: String, text: String| {
        own.log(LogLevel::parse(&level).unwrap_or_default(), &part, &text);
    };
    host.set("log", Function::new(ctx.clone(), log)?)?;
    let own = Arc::clone(shared);
    let clock = move || own.clock.load(Ordering::Relaxed) as f64;
    host.set("clock", Function::new(ctx.clone(), clock)?)?;
    host.set("began", shared.began as f64)?;
    let own = Arc::clone(shared);
    let exit = move |code: i32| {
        own.state().commands.clear();
        own.guard.exit_code.store(code, Ordering::Relaxed);
        own.guard.exiting.store(true, Ordering::Relaxed);
    };
    host.set("exit", Function::new(ctx.clone(), exit)?)
}

fn jobs<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    let run = move |ctx: Ctx<'js>, json: String| -> Result<usize> {
        own.describe(&ctx, json.len())?;
        let job: Job = serde_json::from_str(&json)
            .map_err(|error| Exception::throw_type(&ctx, &unreadable(&json, &error)))?;
        run(&own, &ctx, job)
    };
    host.set("run", Function::new(ctx.clone(), run)?)?;
    let own = Arc::clone(shared);
    let pod = move |id: usize| own.state().pods.get(id).cloned().unwrap_or_default();
    host.set("pod", Function::new(ctx.clone(), pod)?)?;
    let own = Arc::clone(shared);
    let awaited = move |ctx: Ctx<'js>, id: usize| own.push(&ctx, Command::Awaited { id });
    host.set("awaited", Function::new(ctx.clone(), awaited)?)?;
    let own = Arc::clone(shared);
    let logs =
        move |ctx: Ctx<'js>, id: usize, token: u64| own.push(&ctx, Command::Logs { id, token });
    host.set("logs", Function::new(ctx.clone(), logs)?)
}

/// Where a description of a job is none, in words that name the property.
fn unreadable(json: &str, error: &serde_json::Error) -> String {
    let name = serde_json::from_str::<serde_json::Value>(json)
        .ok()
        .and_then(|job| job["name"].as_str().map(str::to_owned))
        .unwrap_or_default();
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    if what.contains("untagged enum Variable") {
        return format!(
            "an environment variable of job {name} is neither a value nor a reference such as {{ secretKeyRef: {{ name, key }} }}"
        );
    }
    format!("job {name} is not as Kubernetes needs it: {what}")
}

fn run(shared: &Shared, ctx: &Ctx<'_>, job: Job) -> Result<usize> {
    let warnings = job
        .check(&shared.project, &shared.build, &shared.policy)
        .map_err(|error| Exception::throw_message(ctx, &error.to_string()))?;
    let mut state = shared.state();
    if state.pods.len() >= shared.limits.jobs {
        let limit = shared.limits.jobs;
        drop(state);
        let text = format!(
            "a build may run {limit} jobs, and job {} would be one more; limits.scriptJobs of the project raises that, up to SCRIPT_LIMITS of the installation",
            job.name
        );
        return Err(Exception::throw_range(ctx, &text));
    }
    let id = state.pods.len();
    let pod = job.pod_name(&shared.build);
    state.pods.push(pod.clone());
    let command = if state.names.insert(job.name.clone()) {
        Command::Run { id, job: Box::new(job) }
    } else {
        let message = format!(
            "secrets \"{pod}\" already exists: a job named {} was already run in this build, give this one another name",
            job.name
        );
        Command::Refuse { id, name: job.name, pod, message }
    };
    state.commands.push(command);
    drop(state);
    for warning in warnings {
        shared.log(LogLevel::Warn, "k8s", &warning);
    }
    Ok(id)
}

fn timers<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    let timer = move |ctx: Ctx<'js>, id: u64, delay: u64| -> Result<()> {
        let mut state = own.state();
        if state.timers.len() >= own.limits.timers && !state.timers.contains(&id) {
            let limit = own.limits.timers;
            drop(state);
            let text = format!(
                "a build may have {limit} timers pending at once; limits.scriptTimers of the project raises that, up to SCRIPT_LIMITS of the installation"
            );
            return Err(Exception::throw_range(&ctx, &text));
        }
        state.timers.insert(id);
        drop(state);
        own.push(&ctx, Command::Timer { id, delay })
    };
    host.set("timer", Function::new(ctx.clone(), timer)?)?;
    let own = Arc::clone(shared);
    let clear = move |ctx: Ctx<'js>, id: u64| -> Result<()> {
        let mut state = own.state();
        state.timers.remove(&id);
        // What is set and cleared at once has not happened.
        let last = state.commands.last();
        if matches!(last, Some(Command::Timer { id: set, .. }) if *set == id) {
            state.commands.pop();
            return Ok(());
        }
        drop(state);
        own.push(&ctx, Command::Clear { id })
    };
    host.set("clear", Function::new(ctx.clone(), clear)?)?;
    let own = Arc::clone(shared);
    // A script that holds and releases for ever must not fill the memory with that.
    let hold = move |id: u64, held: bool| {
        let mut state = own.state();
        if state.timers.contains(&id) {
            let same = |command: &Command| matches!(command, Command::Hold { id: other, .. } if *other == id);
            state.commands.retain(|command| !same(command));
            state.commands.push(Command::Hold { id, held });
        }
    };
    host.set("hold", Function::new(ctx.clone(), hold)?)
}

fn sources<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    let builtin = move |ctx: Ctx<'js>, name: String| -> Result<Function<'js>> {
        own.may_compile(&ctx)?;
        match builtins::evaluate(&ctx, &format!("brigantine:{name}.js"))? {
            Some(found) => Ok(found),
            None => {
                let small: Option<HashMap<String, Function<'js>>> =
                    builtins::evaluate(&ctx, builtins::SMALL)?;
                small.and_then(|mut all| all.remove(&name)).ok_or(rquickjs::Error::Unknown)
            }
        }
    };
    host.set("builtin", Function::new(ctx.clone(), builtin)?)?;
    let own = Arc::clone(shared);
    let compile = move |ctx: Ctx<'js>, name: String, text: String| -> Result<Function<'js>> {
        own.one_more_module(&ctx)?;
        compile_text(&ctx, &name, &text)
    };
    host.set("compile", Function::new(ctx.clone(), compile)?)?;
    let own = Arc::clone(shared);
    let resolve = move |ctx: Ctx<'js>, base: String, name: String, imports: bool| {
        let asked = if imports { Asked::Import } else { Asked::Require };
        // A package may be in the repository, or be one that is fetched.
        let path = resolve::is_path(&name);
        let files = if path { own.files(&name) } else { &own.files };
        let found = resolve::resolve(files, &base, &name, asked);
        if found.is_err() && !path {
            own.state().want(Want::Package);
        }
        found.map_err(|error| error.throw(&ctx))
    };
    host.set("resolve", Function::new(ctx.clone(), resolve)?)?;
    let own = Arc::clone(shared);
    let load = move |ctx: Ctx<'js>, path: String| -> Result<Object<'js>> {
        own.one_more_module(&ctx)?;
        let source = own.source(&ctx, &path)?;
        let found = Object::new(ctx.clone())?;
        match source.kind {
            Kind::Module => found.set("kind", "module")?,
            Kind::Json => {
                found.set("kind", "json")?;
                found.set("text", source.text)?;
            }
            Kind::CommonJs => {
                let run: Function<'js> = compile_text(&ctx, &path, &source.text)?;
                found.set("kind", "commonjs")?;
                found.set("run", run)?;
            }
        }
        Ok(found)
    };
    host.set("load", Function::new(ctx.clone(), load)?)?;
    let own = Arc::clone(shared);
    let namespace = move |ctx: Ctx<'js>, path: String| modules::require(&own, &ctx, &path);
    host.set("namespace", Function::new(ctx.clone(), namespace)?)?;
    let own = Arc::clone(shared);
    let relative = move |path: String| own.files.relative(&path);
    host.set("relative", Function::new(ctx.clone(), relative)?)?;
    let own = Arc::clone(shared);
    let place = move |file: String, line: u32, column: u32| {
        let (line, column) = match own.state().positions.get(&file) {
            Some(positions) => positions.source(line, column),
            None => (line, column),
        };
        format!("{line}:{column}")
    };
    host.set("place", Function::new(ctx.clone(), place)?)
}

impl Shared {
    fn random(&self, size: usize) -> Vec<u8> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).bytes(size)
    }

    /// Counts what the descriptions of jobs take: they are kept outside of the engine's memory.
    fn describe(&self, ctx: &Ctx<'_>, bytes: usize) -> Result<()> {
        let mut state = self.state();
        state.described = state.described.saturating_add(bytes);
        let all = state.described;
        drop(state);
        if bytes <= LARGEST_JOB && all <= LARGEST_JOBS {
            return Ok(());
        }
        let text = format!(
            "a job may take {LARGEST_JOB} bytes with its tasks and its environment, and all jobs of a build {LARGEST_JOBS}"
        );
        Err(Exception::throw_range(ctx, &text))
    }

    /// Refuses work that takes long once the script's time is over: the engine asks only now and
    /// then whether it is.
    fn in_time(&self, ctx: &Ctx<'_>) -> Result<()> {
        if self.guard.interrupts() {
            return Err(Exception::throw_range(ctx, "the script has run for as long as it may"));
        }
        Ok(())
    }

    /// Refuses to compile where the stack could be overrun by what is compiled.
    pub(super) fn may_compile(&self, ctx: &Ctx<'_>) -> Result<()> {
        if self.guard.may_compile() {
            return Ok(());
        }
        Err(Exception::throw_range(ctx, "Maximum call stack size exceeded"))
    }

    /// Counts the modules, and refuses to compile where little of the stack is left.
    pub(super) fn one_more_module(&self, ctx: &Ctx<'_>) -> Result<()> {
        const MOST: usize = 500;
        self.may_compile(ctx)?;
        let mut state = self.state();
        state.modules += 1;
        let count = state.modules;
        drop(state);
        if count > MOST {
            return Err(Exception::throw_range(ctx, &format!("a build may load {MOST} modules")));
        }
        Ok(())
    }
}

fn repository<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    let file = move |ctx: Ctx<'js>, path: String| -> Result<TypedArray<'js, u8>> {
        let content = own.files(&path).read(&path).map_err(|error| error.throw(&ctx))?;
        TypedArray::new(ctx, content)
    };
    host.set("file", Function::new(ctx.clone(), file)?)?;
    let own = Arc::clone(shared);
    let kind = move |path: String| own.files(&path).kind(&path);
    host.set("kind", Function::new(ctx.clone(), kind)?)?;
    let own = Arc::clone(shared);
    let status = move |ctx: Ctx<'js>, path: String| -> Result<String> {
        let status = own.files(&path).status(&path).map_err(|error| error.throw(&ctx))?;
        Ok(serde_json::to_string(&status).unwrap_or_default())
    };
    host.set("status", Function::new(ctx.clone(), status)?)?;
    let own = Arc::clone(shared);
    let list = move |ctx: Ctx<'js>, path: String| -> Result<String> {
        let names = own.files(&path).list(&path).map_err(|error| error.throw(&ctx))?;
        Ok(serde_json::to_string(&names).unwrap_or_default())
    };
    host.set("list", Function::new(ctx.clone(), list)?)
}

fn content<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    let encode =
        move |ctx: Ctx<'js>, text: String, encoding: String| -> Result<TypedArray<'js, u8>> {
            own.in_time(&ctx)?;
            TypedArray::new(ctx, bytes::encode(&text, &encoding))
        };
    host.set("encode", Function::new(ctx.clone(), encode)?)?;
    // Bytes come in as a text of characters below 256.
    let own = Arc::clone(shared);
    let decode = move |ctx: Ctx<'js>, binary: String, encoding: String| -> Result<String> {
        own.in_time(&ctx)?;
        Ok(bytes::decode(&bytes::from_binary(&binary), &encoding))
    };
    host.set("decode", Function::new(ctx.clone(), decode)?)?;
    let own = Arc::clone(shared);
    let digest = move |ctx: Ctx<'js>,
                       name: String,
                       binary: String,
                       key: Opt<Option<String>>|
          -> Result<TypedArray<'js, u8>> {
        own.in_time(&ctx)?;
        let key = key.0.flatten().map(|key| bytes::from_binary(&key));
        match bytes::digest(&name, &bytes::from_binary(&binary), key.as_deref()) {
            Some(digest) => TypedArray::new(ctx, digest),
            None => {
                let text = format!(
                    "Digest method {name} is not there; there are sha1, sha256, sha384 and sha512"
                );
                Err(Exception::throw_message(&ctx, &text))
            }
        }
    };
    host.set("digest", Function::new(ctx.clone(), digest)?)
}

/// The same bytes in every evaluation of a build.
fn chance<'js>(ctx: &Ctx<'js>, host: &Object<'js>, shared: &Arc<Shared>) -> Result<()> {
    let own = Arc::clone(shared);
    let random = move |ctx: Ctx<'js>, size: usize| -> Result<TypedArray<'js, u8>> {
        if size > 65_536 {
            return Err(Exception::throw_range(&ctx, "at most 65536 random bytes at once"));
        }
        own.in_time(&ctx)?;
        TypedArray::new(ctx, own.random(size))
    };
    host.set("random", Function::new(ctx.clone(), random)?)
}
